//! The program's way onto interfaces, and what of it outlives the gateway.
#![allow(unsafe_code, reason = "an interface's index and type by its name")]

use std::ffi::CString;
use std::fs;
use std::mem;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use aya::programs::links::FdLink;
use aya::programs::{ProgramError, Xdp, XdpMode};
use tracing::{info, warn};

use super::report::{GuardInterface, XdpAttachment};
use crate::error::chain;
use crate::pin::link::{PinnedLink, Target};
use crate::pin::{DATA_DIR, PIN_DIR_DEFAULT, PinFolder};

/// Followed by the interface's index and the way of attachment.
pub(super) const LINK: &str = "guard_link_";
/// The network namespace in which the indices hold.
const NAMESPACE: &str = "guard_namespace";

/// Where links are pinned, and whether those there have this very program.
#[derive(Clone, Copy)]
pub(super) struct Pinned<'a> {
    pub(super) folder: &'a PinFolder,
    pub(super) same_program: bool,
}

/// An interface that is named, and what was done there.
#[derive(Debug)]
pub(super) struct Place {
    then: GuardInterface,
    index: Option<u32>,
    /// The file of its link, where that is pinned.
    pin: Option<PathBuf>,
}

impl Place {
    /// How it is now: a program may have been taken off, and an interface may have gone.
    pub(super) fn now(&self) -> GuardInterface {
        let is_here = || index_of(&self.then.name) == self.index;
        let is_linked = |path: &PathBuf| {
            let target = PinnedLink::open(path).and_then(|link| link.target());
            target.is_ok_and(|target| Some(target) == self.index.map(Target::Interface))
        };
        let reason = match &self.pin {
            _ if self.then.attached == XdpAttachment::Off => return self.then.clone(),
            _ if !is_here() => "the interface is gone, or has another name now",
            Some(path) if !is_linked(path) => "the program was taken off by somebody else",
            _ => return self.then.clone(),
        };
        let name = self.then.name.clone();
        GuardInterface { name, attached: XdpAttachment::Off, reason: reason.to_owned() }
    }
}

/// Puts the program on every interface, over from an earlier gateway where that has left its link.
pub(super) fn attach_all(program: &mut Xdp, names: &[String], pinned: Option<Pinned<'_>>) -> Vec<Place> {
    let mut places: Vec<(&String, Option<u32>)> = Vec::new();
    for name in names {
        let index = index_of(name);
        let is_named =
            |(other, at): &(&String, Option<u32>)| *other == name || (index.is_some() && *at == index);
        if !places.iter().any(is_named) {
            places.push((name, index));
        }
    }
    if let Some(pinned) = pinned {
        forget_other_namespace(pinned.folder);
        let kept: Vec<String> = places.iter().filter_map(|(_, index)| index.map(prefix)).collect();
        for name in pinned.folder.names(LINK) {
            if !kept.iter().any(|prefix| name.starts_with(prefix)) {
                pinned.folder.clear(&name);
                info!(link = name, "the guard is taken off an interface that is no longer named");
            }
        }
    }
    let attached = places.into_iter().map(|(name, index)| {
        let then = attach(program, name, index, pinned);
        let pin = index.zip(pinned).and_then(|(index, pinned)| {
            Some(pinned.folder.path(pinned.folder.names(&prefix(index)).first()?))
        });
        Place { then, index, pin }
    });
    attached.collect()
}

/// Whether an earlier gateway has left links here.
pub(super) fn are_pinned(folder: &PinFolder) -> bool {
    !folder.names(LINK).is_empty()
}

fn prefix(index: u32) -> String {
    format!("{LINK}{index}_")
}

fn index_of(name: &str) -> Option<u32> {
    let name = CString::new(name).ok()?;
    // SAFETY: a string that ends with a zero, alive for the length of the call.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    (index != 0).then_some(index)
}

/// Whether packets of interfaces of this type start as the program expects.
fn has_ethernet(kind: libc::sa_family_t) -> bool {
    [libc::ARPHRD_ETHER, libc::ARPHRD_LOOPBACK].contains(&kind)
}

/// The interface's type (`ARPHRD_*`); `/sys` may show those of another namespace.
fn hardware(name: &str) -> Option<libc::sa_family_t> {
    let socket = UnixDatagram::unbound().ok()?;
    // SAFETY: numbers and bytes, of which all zero is a value.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    if name.len() >= request.ifr_name.len() {
        return None;
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from.cast_signed();
    }
    // SAFETY: the kernel reads the name, which ends with a zero, and writes the address, both in `request`.
    let answer = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFHWADDR, &raw mut request) };
    // SAFETY: the kernel has just written this part, or it is zero.
    let kind = unsafe { request.ifr_ifru.ifru_hwaddr.sa_family };
    (answer == 0).then_some(kind)
}

/// Indices of another network namespace mean other interfaces.
fn forget_other_namespace(folder: &PinFolder) {
    let own = fs::metadata("/proc/self/ns/net").map(|found| found.ino().to_string()).unwrap_or_default();
    if folder.note(NAMESPACE).is_some_and(|noted| noted != own) {
        folder.clear(LINK);
    }
    if let Err(error) = folder.set_note(NAMESPACE, &own) {
        warn!(%error, "cannot note the network namespace of pinned links");
    }
}

fn attach(program: &mut Xdp, name: &str, index: Option<u32>, pinned: Option<Pinned<'_>>) -> GuardInterface {
    let interface = |(attached, reason)| GuardInterface { name: name.to_owned(), attached, reason };
    if name.is_empty() || name.contains('\0') {
        return interface((XdpAttachment::Off, "that is no interface's name".to_owned()));
    }
    let Some(index) = index else {
        let reason = "there is no such interface; `ip link` lists those there are".to_owned();
        return interface((XdpAttachment::Off, reason));
    };
    if let Some(kind) = hardware(name).filter(|kind| !has_ethernet(*kind)) {
        let reason =
            format!("its packets have no Ethernet header (type {kind}); name the interface below it");
        return interface((XdpAttachment::Off, reason));
    }
    if let Some(adopted) = pinned.and_then(|pinned| adopt(program, index, pinned)) {
        return interface((adopted, reason_for(adopted, "when an earlier gateway attached it")));
    }
    interface(attach_anew(program, index, pinned.map(|pinned| pinned.folder)))
}

fn reason_for(attached: XdpAttachment, when: &str) -> String {
    match attached {
        XdpAttachment::Native => String::new(),
        _ => format!("not native {when}"),
    }
}

/// Takes over the link that an earlier gateway has left; its program is replaced in one step, or kept where
/// it is the same.
fn adopt(program: &Xdp, index: u32, pinned: Pinned<'_>) -> Option<XdpAttachment> {
    let found = pinned.folder.names(&prefix(index)).into_iter().next()?;
    let attached = if found.ends_with("native") { XdpAttachment::Native } else { XdpAttachment::Generic };
    let taken = || {
        let link = PinnedLink::open(&pinned.folder.path(&found))?;
        if link.target()? != Target::Interface(index) {
            return Err(std::io::ErrorKind::NotFound.into());
        }
        if pinned.same_program {
            return Ok(());
        }
        link.update(program.fd().map_err(std::io::Error::other)?.as_fd())
    };
    match taken() {
        Ok(()) => Some(attached),
        Err(error) => {
            info!(link = found, %error, "a pinned link is of no use any more");
            pinned.folder.clear(&found);
            None
        }
    }
}

fn attach_anew(program: &mut Xdp, index: u32, folder: Option<&PinFolder>) -> (XdpAttachment, String) {
    let native = match attach_as(program, index, XdpMode::Driver, folder) {
        Ok(reason) => return (XdpAttachment::Native, reason),
        Err(error) => explained(index, folder, &error),
    };
    match attach_as(program, index, XdpMode::Skb, folder) {
        Ok(reason) if reason.is_empty() => (XdpAttachment::Generic, format!("not native: {native}")),
        Ok(reason) => (XdpAttachment::Generic, format!("not native: {native}; {reason}")),
        Err(error) => (XdpAttachment::Off, explained(index, folder, &error)),
    }
}

/// Attaches, and pins the link where there is a folder; gives why it is not pinned, or nothing.
fn attach_as(
    program: &mut Xdp,
    index: u32,
    mode: XdpMode,
    folder: Option<&PinFolder>,
) -> Result<String, ProgramError> {
    let id = program.attach_to_if_index(index, mode)?;
    let Some(folder) = folder else { return Ok(String::new()) };
    let word = if mode == XdpMode::Driver { XdpAttachment::Native } else { XdpAttachment::Generic };
    let path = folder.path(&format!("{}{}", prefix(index), word.name()));
    let link = program.take_link(id)?;
    let pinned = FdLink::try_from(link).map_err(|error| chain(&error)).and_then(|link| {
        // The file holds it from now on.
        link.pin(&path).map(drop).map_err(|error| chain(&error))
    });
    match pinned {
        Ok(()) => Ok(String::new()),
        Err(error) => {
            // The link went with the attempt.
            program.attach_to_if_index(index, mode)?;
            Ok(format!("not pinned: {error}"))
        }
    }
}

fn explained(index: u32, folder: Option<&PinFolder>, error: &ProgramError) -> String {
    let number = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source())
        .find_map(|error| error.downcast_ref::<std::io::Error>()?.raw_os_error());
    match number {
        Some(libc::EBUSY | libc::EEXIST) => match pinned_by(index, folder) {
            Some(data_dir) => format!(
                "the program of the gateway on {data_dir} is pinned on it; `waggle accel detach` takes it off"
            ),
            None => "another XDP program is on it; take that off first".to_owned(),
        },
        Some(libc::EOPNOTSUPP) => "its driver has no XDP".to_owned(),
        Some(libc::ENODEV) => "there is no such interface; `ip link` lists those there are".to_owned(),
        _ => chain(error),
    }
}

/// The data directory of the gateway that has a link pinned there, whether it lives or not.
fn pinned_by(index: u32, folder: Option<&PinFolder>) -> Option<String> {
    let beside = folder.and_then(|folder| folder.dir().parent()).map(Path::to_owned);
    let folders = beside.into_iter().chain([PIN_DIR_DEFAULT.into()]).flat_map(|dir| PinFolder::all(&dir));
    let own = folder.map(PinFolder::dir);
    folders
        .filter(|other| Some(other.dir()) != own && !other.names(&prefix(index)).is_empty())
        .find_map(|other| other.note(DATA_DIR))
}
