//! The `sock_ops` program's link to its cgroup, and what of the program outlives the gateway.
//!
//! The program itself is always the gateway's own: its buffers of moments and log lines have one reader.
//! What it shares with the one before are the link and the maps of state.

use std::os::fd::AsFd as _;

use aya::Ebpf;
use aya::EbpfLoader;
use aya::programs::links::FdLink;
use aya::programs::{CgroupAttachMode, SockOps};
use tracing::{info, warn};
use waggle_ebpf::abi::{
    ABI_VERSION, MAP_CONNECTIONS, MAP_COUNTERS, MAP_PROFILES, MAP_ROUND_TRIPS, MAP_RULES, PROGRAM_PROFILES,
};

use super::Unavailable;
use super::cgroup::Prepared;
use super::ebpf::load_error;
use super::error::chain;
use super::log;
use super::memory_lock;
use super::object_file::ObjectFile;
use super::pin::PinFolder;
use super::pin::link::{PinnedLink, Target};
use super::verifier::refused;

/// Everything of `sock_ops` in a folder of pins starts so.
pub(super) const PINS: &str = "sock_ops_";
const PINNED_MAP: &str = "sock_ops_map_";
const PINNED_LINK: &str = "sock_ops_link";
/// The note with the maps' ABI version; written last, so that half a start is no whole one.
const PINNED_ABI: &str = "sock_ops_abi";

const MAPS: [&str; 5] = [MAP_RULES, MAP_PROFILES, MAP_COUNTERS, MAP_ROUND_TRIPS, MAP_CONNECTIONS];

/// The level below which the program's log statements are active, as `aya-log` names it.
const GLOBAL_LOG_LEVEL: &str = "AYA_LOG_LEVEL";

/// Loads the object; with a folder, over the maps of state that an earlier gateway has left. Also says what of
/// it is pinned.
pub(super) fn load(
    object: &ObjectFile,
    folder: Option<&PinFolder>,
) -> Result<(Ebpf, Option<String>), Unavailable> {
    let Some(folder) = folder else {
        return Ok((load_with(object, None)?, None));
    };
    let abi = folder.note(PINNED_ABI);
    let is_current = abi.as_deref() == Some(&ABI_VERSION.to_string());
    let is_whole = folder.names(PINNED_MAP).len() == MAPS.len();
    if !(is_current && is_whole) {
        lay_anew(folder);
    }
    let how = match abi {
        None => "new".to_owned(),
        Some(_) if is_current && is_whole => "taken over".to_owned(),
        Some(_) if is_current => "maps laid anew: some were missing".to_owned(),
        Some(other) => format!("maps laid anew: those there had ABI {other}, not {ABI_VERSION}"),
    };
    match load_with(object, Some(folder)) {
        Ok(bpf) => Ok((bpf, Some(how))),
        Err(error) => {
            warn!(reason = chain(&error), "pinned maps are of no use; they are laid anew");
            lay_anew(folder);
            let how = "maps laid anew: the kernel refused those there".to_owned();
            load_with(object, Some(folder)).map(|bpf| (bpf, Some(how)))
        }
    }
}

fn lay_anew(folder: &PinFolder) {
    [PINNED_ABI, PINNED_MAP].into_iter().for_each(|prefix| folder.clear(prefix));
}

/// Maps and program, both.
fn load_with(object: &ObjectFile, folder: Option<&PinFolder>) -> Result<Ebpf, Unavailable> {
    memory_lock::raise();
    let level = log::level();
    let mut loader = EbpfLoader::new();
    loader.override_global(GLOBAL_LOG_LEVEL, &level, false);
    if let Some(folder) = folder {
        for name in MAPS {
            loader.map_pin_path(name, folder.path(&format!("{PINNED_MAP}{name}")));
        }
    }
    let mut bpf = loader.load(&object.bytes).map_err(load_error)?;
    program(&mut bpf)?.load().map_err(|error| refused(PROGRAM_PROFILES, error))?;
    Ok(bpf)
}

fn program(bpf: &mut Ebpf) -> Result<&mut SockOps, Unavailable> {
    let program = bpf
        .program_mut(PROGRAM_PROFILES)
        .ok_or_else(|| Unavailable::Load(format!("it holds no program {PROGRAM_PROFILES}").into()))?;
    program.try_into().map_err(load_error)
}

/// Attaches the program to the cgroup; with a folder, in place of the one before, in one step.
pub(super) fn attach(
    bpf: &mut Ebpf,
    cgroup: &Prepared,
    folder: Option<&PinFolder>,
) -> Result<(), Unavailable> {
    let program = program(bpf)?;
    if folder.is_some_and(|folder| take_over(program, cgroup, folder)) {
        return Ok(());
    }
    // A link, which is what this makes from Linux 5.7 on, lets others attach beside it whatever the mode
    // says, and accepts no other mode. The kernel detaches it with the process, unless it is pinned.
    let refused = |source| Unavailable::Attach { cgroup: cgroup.dir().to_owned(), source };
    let id =
        program.attach(cgroup.handle(), CgroupAttachMode::Single).map_err(|error| refused(error.into()))?;
    let Some(folder) = folder else { return Ok(()) };
    let link = program.take_link(id).map_err(load_error)?;
    let link = FdLink::try_from(link).map_err(|error| refused(error.into()))?;
    // The file holds it from now on.
    link.pin(folder.path(PINNED_LINK)).map_err(|error| refused(error.into()))?;
    folder.set_note(PINNED_ABI, &ABI_VERSION.to_string()).map_err(load_error)
}

/// Gives the link that an earlier gateway has left this program; false where there is none, or it hangs on
/// another cgroup.
fn take_over(program: &SockOps, cgroup: &Prepared, folder: &PinFolder) -> bool {
    let path = folder.path(PINNED_LINK);
    if !path.exists() {
        return false;
    }
    let taken = || {
        let link = PinnedLink::open(&path)?;
        if link.target()? != Target::Cgroup(cgroup.id()?) {
            return Err(std::io::Error::other("it hangs on another cgroup"));
        }
        link.update(program.fd().map_err(std::io::Error::other)?.as_fd())?;
        folder.set_note(PINNED_ABI, &ABI_VERSION.to_string())
    };
    taken()
        .inspect_err(|error| {
            info!(%error, "the pinned sock_ops link is of no use any more");
            folder.clear(PINNED_LINK);
        })
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object_file::Object;
    use object::{Object as _, ObjectSection as _};

    /// `r0 = *(u64 *)(r1 + 4096)`: reads what no context has.
    const BEYOND: [u8; 8] = [0x79, 0x10, 0x00, 0x10, 0, 0, 0, 0];

    #[test]
    fn a_refused_program_is_named_with_the_verdict_and_no_more() {
        let embedded = match ObjectFile::open(Object::SockOps, None) {
            Ok(object) if crate::capability::check().is_ok() => object,
            found => {
                let reason = match found {
                    Ok(_) => "loading eBPF needs root".to_owned(),
                    Err(error) => error.to_string(),
                };
                return crate::skip("a_refused_program_is_named_with_the_verdict_and_no_more", &reason);
            }
        };
        let at = {
            let file = object::File::parse(&*embedded.bytes).expect("our own object");
            let section = file.section_by_name("sockops").expect("our own section");
            section.file_range().expect("it has bytes").0 as usize
        };
        let mut bytes = embedded.bytes.to_vec();
        bytes[at..at + BEYOND.len()].copy_from_slice(&BEYOND);
        let broken = ObjectFile { bytes: bytes.into(), origin: "patched".to_owned() };
        let error = load(&broken, None).expect_err("the verifier refuses it");
        let text = chain(&error);
        println!("{text}");
        assert!(text.starts_with("the kernel did not load program waggle_profiles ("), "{text}");
        assert!(
            text.contains("invalid bpf_context access off=4096") && text.contains("0: (79) r0 ="),
            "{text}"
        );
        assert!(text.len() < 1_500 && !text.contains('\n'), "{} bytes", text.len());
    }
}
