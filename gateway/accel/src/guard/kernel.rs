//! The guard's program and maps.
#![allow(unsafe_code, reason = "map keys and values are declared plain data")]

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Array, HashMap, MapData, MapError, PerCpuArray};
use aya::programs::{ProgramInfo, TestRun as _, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader, Pod};
use tracing::{info, warn};
use waggle_ebpf::abi::ABI_VERSION;
use waggle_ebpf::guard::{
    self as abi, Limits, MAP_ALLOW, MAP_DENY, MAP_LIMITS, MAP_PORTS, MAP_SOURCES, MAP_TERM, MAP_UNDO,
    MAP_VERDICTS, PROGRAM, Undo, UndoKey, Verdict,
};

use super::interface::{self, Pinned, Place};
use super::report::GuardInterface;
use super::rules::{Entry, Rules, Said};
use super::undo::{self, Step};
use super::{Started, Unconfirmed, Wanted, boot_ns};
use crate::Unavailable;
use crate::capability;
use crate::ebpf::{load_error, take_map};
use crate::error::chain;
use crate::memory_lock;
use crate::network::Network;
use crate::object_file::{Object, ObjectFile};
use crate::pin::PinFolder;
use crate::verifier::refused;

/// `XDP_PASS`.
const XDP_PASS: u32 = 2;

/// Everything of the guard in a folder of pins starts so.
pub(super) const PINS: &str = "guard_";
const PINNED_MAP: &str = "guard_map_";
const PINNED_PROGRAM: &str = "guard_program";
/// The note with the maps' ABI version; written last, so that half a start is no whole one.
const PINNED_ABI: &str = "guard_abi";

const MAPS: [&str; 8] =
    [MAP_PORTS, MAP_ALLOW, MAP_DENY, MAP_SOURCES, MAP_LIMITS, MAP_TERM, MAP_UNDO, MAP_VERDICTS];

#[derive(Clone, Copy)]
#[repr(transparent)]
struct Plain<T>(T);
// SAFETY: `Limits` is `repr(C)` with no padding, and any bytes are a value of it.
unsafe impl Pod for Plain<Limits> {}
// SAFETY: likewise `Entry`.
unsafe impl Pod for Plain<abi::Entry> {}
// SAFETY: likewise `UndoKey`.
unsafe impl Pod for Plain<UndoKey> {}
// SAFETY: likewise `Undo`.
unsafe impl Pod for Plain<Undo> {}

type Trie = LpmTrie<MapData, [u8; 16], Plain<abi::Entry>>;

/// The loaded program, on its interfaces. Dropping it takes it off, but where it is pinned.
pub(super) struct Kernel {
    allow: Trie,
    deny: Trie,
    term: Array<MapData, u64>,
    undo: HashMap<MapData, Plain<UndoKey>, Plain<Undo>>,
    verdicts: PerCpuArray<MapData, u64>,
    places: Vec<Place>,
    bpf: Ebpf,
}

impl Kernel {
    /// Loads the program and puts it on the interfaces; with a folder, over from the gateway that was there
    /// before.
    pub(super) fn start(wanted: &Wanted<'_>, folder: Option<&PinFolder>) -> Result<Started, Unavailable> {
        let object = ObjectFile::open(Object::Guard, None)?;
        capability::check()?;
        let Some(folder) = folder else {
            return Self::load(&object, wanted, None);
        };
        let abi = folder.note(PINNED_ABI);
        let is_current = abi.as_deref() == Some(&ABI_VERSION.to_string());
        if !is_current || folder.names(PINNED_MAP).len() != MAPS.len() {
            lay_anew(folder);
        }
        let pinned = Self::load(&object, wanted, Some(folder)).or_else(|error| {
            warn!(reason = chain(&error), "the guard's pinned maps are of no use; they are laid anew");
            lay_anew(folder);
            Self::load(&object, wanted, Some(folder))
        });
        let mut started = match pinned {
            Ok(started) => started,
            Err(error) => {
                folder.clear(PINS);
                let pinning = format!("off: {}", chain(&error));
                return Ok(Started { pinning, ..Self::load(&object, wanted, None)? });
            }
        };
        if let (false, Some(other)) = (is_current, abi) {
            started.pinning.push_str(&format!(
                ", maps laid anew: those there had ABI {other}, not {ABI_VERSION}; rules made live are gone"
            ));
        }
        info!(pinning = started.pinning, "guard");
        Ok(started)
    }

    /// Fills the maps first: from its first packet on the program goes by them.
    fn load(
        object: &ObjectFile,
        wanted: &Wanted<'_>,
        folder: Option<&PinFolder>,
    ) -> Result<Started, Unavailable> {
        memory_lock::raise();
        let mut loader = EbpfLoader::new();
        for name in folder.iter().flat_map(|_| MAPS) {
            if let Some(folder) = folder {
                loader.map_pin_path(name, folder.path(&format!("{PINNED_MAP}{name}")));
            }
        }
        let mut bpf = loader.load(&object.bytes).map_err(load_error)?;
        let limits = take_map(&mut bpf, MAP_LIMITS)?;
        let ports = take_map(&mut bpf, MAP_PORTS)?;
        let sources = take_map(&mut bpf, MAP_SOURCES)?;
        let mut kernel = Self {
            allow: LpmTrie::try_from(take_map(&mut bpf, MAP_ALLOW)?).map_err(load_error)?,
            deny: LpmTrie::try_from(take_map(&mut bpf, MAP_DENY)?).map_err(load_error)?,
            term: Array::try_from(take_map(&mut bpf, MAP_TERM)?).map_err(load_error)?,
            undo: HashMap::try_from(take_map(&mut bpf, MAP_UNDO)?).map_err(load_error)?,
            verdicts: PerCpuArray::try_from(take_map(&mut bpf, MAP_VERDICTS)?).map_err(load_error)?,
            places: Vec::new(),
            bpf,
        };
        kernel.program()?.load().map_err(|error| refused(PROGRAM, error))?;
        write_ports(ports, wanted.ports).map_err(load_error)?;
        let mut limits: Array<_, Plain<Limits>> = Array::try_from(limits).map_err(load_error)?;
        let Plain(before) = limits.get(&0, 0).map_err(load_error)?;
        limits.set(0, Plain(wanted.limits), 0).map_err(load_error)?;
        if before != wanted.limits {
            // By other limits they are counted anew, or a source that is held up now would stay so.
            forget_sources(sources).map_err(load_error)?;
        }
        let (rules, probation) = kernel.take_over(wanted.rules).map_err(load_error)?;
        let pinning = kernel.attach(wanted.interfaces, folder)?;
        Ok(Started { kernel, rules, probation, pinning })
    }

    /// Puts the configuration's rules beside those that the maps hold; gives all of them, and the steps back with
    /// their time, where the last gateway ended while changes waited for a confirmation.
    fn take_over(&mut self, configured: &Rules) -> Result<(Rules, Option<Unconfirmed>), MapError> {
        let now_ns = boot_ns();
        let found = Rules { allow: read(&self.allow), deny: read(&self.deny) };
        let ends_ns = self.term.get(&0, 0)?;
        let before = undo::taken_back(&found, &self.steps());
        let (rules, probation) = match ends_ns {
            0 => (configured.with_those_before(&found, now_ns), None),
            ends_ns if ends_ns <= now_ns => {
                warn!("changes of the guard's rules that nobody has confirmed are taken back");
                (configured.with_those_before(&before, now_ns), None)
            }
            ends_ns => {
                let before = configured.with_those_before(&before, now_ns);
                let rules = configured.with_those_before(&found, now_ns);
                let steps = undo::steps(&before, &rules);
                (rules, Some((steps, ends_ns)))
            }
        };
        self.write(&found, &rules)?;
        match &probation {
            Some((steps, ends_ns)) => {
                self.hold_until(*ends_ns, steps)?;
                self.forget_steps_but(steps)?;
            }
            None => self.hold_for_ever()?,
        }
        Ok((rules, probation))
    }

    fn steps(&self) -> Vec<Step> {
        let step = |(Plain(key), Plain(undo)): (Plain<UndoKey>, Plain<Undo>)| Step {
            is_allow: key.is_allow == 1,
            network: Network::from_map(key.address, key.bits),
            entry: if undo.was == 1 { entry_of(&undo.entry) } else { None },
        };
        self.undo.iter().filter_map(Result::ok).map(step).collect()
    }

    /// Attaches, and says what is pinned.
    fn attach(&mut self, interfaces: &[String], folder: Option<&PinFolder>) -> Result<String, Unavailable> {
        let Some(folder) = folder else {
            self.places = interface::attach_all(self.program()?, interfaces, None);
            return Ok("off".to_owned());
        };
        let path = folder.path(PINNED_PROGRAM);
        let program = self.program()?;
        let tag = program.info().map_err(load_error)?.tag();
        let before = ProgramInfo::from_pin(&path).ok().map(|info| info.tag());
        let pinned = Pinned { folder, same_program: before == Some(tag) };
        let attached = interface::attach_all(program, interfaces, Some(pinned));
        if !pinned.same_program {
            folder.clear(PINNED_PROGRAM);
            program.pin(&path).map_err(load_error)?;
        }
        folder.set_note(PINNED_ABI, &ABI_VERSION.to_string()).map_err(load_error)?;
        self.places = attached;
        let how = match before {
            None => "new",
            Some(_) if pinned.same_program => "taken over, same program",
            Some(_) => "taken over, program replaced",
        };
        Ok(format!("{}: {how}", folder.dir().display()))
    }

    fn program(&mut self) -> Result<&mut Xdp, Unavailable> {
        let program = self.bpf.program_mut(PROGRAM);
        let program =
            program.ok_or_else(|| Unavailable::Load(format!("it holds no program {PROGRAM}").into()))?;
        program.try_into().map_err(load_error)
    }

    /// Makes the maps hold `after` where they hold `before`. Allowing comes first, and goes last.
    pub(super) fn write(&mut self, before: &Rules, after: &Rules) -> Result<(), MapError> {
        put(&mut self.allow, &before.allow, &after.allow)?;
        put(&mut self.deny, &before.deny, &after.deny)?;
        remove(&mut self.deny, &before.deny, &after.deny)?;
        remove(&mut self.allow, &before.allow, &after.allow)
    }

    /// Denies nobody after `ends_ns`, and remembers how to take changes back: the kernel does so even where
    /// this gateway does not live to see it.
    pub(super) fn hold_until(&mut self, ends_ns: u64, steps: &[Step]) -> Result<(), MapError> {
        self.term.set(0, ends_ns, 0)?;
        for step in steps {
            let entry =
                step.entry.map_or(abi::Entry { until_ns: 0, said: 0, zero: 0 }, |entry| in_map(&entry));
            let undo = Undo { entry, was: step.entry.is_some().into(), zero: 0 };
            self.undo.insert(Plain(undo_key(step)), Plain(undo), 0)?;
        }
        Ok(())
    }

    /// Ends what [`Kernel::hold_until`] began: first its time, for steps without a time are never taken.
    pub(super) fn hold_for_ever(&mut self) -> Result<(), MapError> {
        self.term.set(0, 0, 0)?;
        self.forget_steps_but(&[])
    }

    fn forget_steps_but(&mut self, kept: &[Step]) -> Result<(), MapError> {
        let kept: Vec<_> = kept.iter().map(undo_key).collect();
        let keys: Vec<_> = self.undo.keys().filter_map(Result::ok).collect();
        let gone = keys.iter().filter(|Plain(key)| !kept.contains(key));
        gone.into_iter().try_for_each(|key| gone_or(self.undo.remove(key)))
    }

    /// Where it is now.
    pub(super) fn interfaces(&self) -> Vec<GuardInterface> {
        self.places.iter().map(Place::now).collect()
    }

    /// Packets by verdict, over all CPUs.
    pub(super) fn verdicts(&self) -> Vec<(String, u64)> {
        let count = |verdict: Verdict| {
            let cells = self.verdicts.get(&(verdict as u32), 0);
            (verdict.name().to_owned(), cells.map(|cells| cells.iter().sum()).unwrap_or(0))
        };
        Verdict::ALL.into_iter().map(count).collect()
    }

    /// What the program does with a packet, by `BPF_PROG_TEST_RUN`: whether it passes, and the time of one run
    /// of `repeat`.
    pub(super) fn try_packet(&mut self, packet: &[u8], repeat: u32) -> Result<(bool, Duration), Unavailable> {
        let options = TestRunOptions { data_in: Some(packet), repeat, ..TestRunOptions::new() };
        let result = self.program()?.test_run(options).map_err(load_error)?;
        Ok((result.return_value == XDP_PASS, result.duration))
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The maps have no `Debug`, and their descriptors would tell nothing.
        f.debug_struct("Kernel").field("places", &self.places).finish_non_exhaustive()
    }
}

/// Forgets maps and program, which belong together; links stay, and get the new program with the new maps.
fn lay_anew(folder: &PinFolder) {
    [PINNED_ABI, PINNED_MAP, PINNED_PROGRAM].into_iter().for_each(|prefix| folder.clear(prefix));
}

/// Takes off what an earlier gateway has left on interfaces, with all that belongs to it.
pub(super) fn take_off(folder: &PinFolder) {
    if interface::are_pinned(folder) {
        info!(folder = %folder.dir().display(), "the guard of an earlier gateway is taken off");
    }
    folder.clear(PINS);
}

/// Takes off what this start has pinned: all but the links that were there before, and what they need.
pub(super) fn take_off_new(folder: &PinFolder, before: &[String]) {
    links(folder).iter().filter(|link| !before.contains(link)).for_each(|link| folder.clear(link));
    if !interface::are_pinned(folder) {
        folder.clear(PINS);
    }
}

/// Links that an earlier gateway has left.
pub(super) fn links(folder: &PinFolder) -> Vec<String> {
    folder.names(interface::LINK)
}

/// Whether a guard of an earlier gateway goes on without this one.
pub(super) fn goes_on(folder: &PinFolder) -> bool {
    interface::are_pinned(folder)
}

type Networks = BTreeMap<Network, Entry>;

fn write_ports(map: aya::maps::Map, ports: &[u16]) -> Result<(), MapError> {
    let mut guarded: HashMap<_, u16, u8> = HashMap::try_from(map)?;
    let before: Vec<u16> = guarded.keys().filter_map(Result::ok).collect();
    for port in ports {
        guarded.insert(port, 1, 0)?;
    }
    before.iter().filter(|port| !ports.contains(port)).try_for_each(|port| gone_or(guarded.remove(port)))
}

fn forget_sources(map: aya::maps::Map) -> Result<(), MapError> {
    let mut counted: HashMap<_, [u8; 16], u64> = HashMap::try_from(map)?;
    let sources: Vec<_> = counted.keys().filter_map(Result::ok).collect();
    sources.iter().try_for_each(|source| gone_or(counted.remove(source)))
}

/// What is gone already needs no removing.
fn gone_or(removed: Result<(), MapError>) -> Result<(), MapError> {
    match removed {
        Err(MapError::KeyNotFound) => Ok(()),
        Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        other => other,
    }
}

fn key(network: &Network) -> Key<[u8; 16]> {
    Key::new(u32::from(network.bits()), network.address())
}

fn undo_key(step: &Step) -> UndoKey {
    UndoKey {
        is_allow: u32::from(step.is_allow),
        bits: step.network.bits().into(),
        address: step.network.address(),
    }
}

fn in_map(entry: &Entry) -> abi::Entry {
    abi::Entry { until_ns: entry.until_ns, said: entry.said.number(), zero: 0 }
}

fn entry_of(entry: &abi::Entry) -> Option<Entry> {
    Some(Entry { until_ns: entry.until_ns, said: Said::from_number(entry.said)? })
}

fn read(trie: &Trie) -> Networks {
    let entries = trie.iter().filter_map(Result::ok);
    let entry = |(key, Plain(entry)): (Key<[u8; 16]>, Plain<abi::Entry>)| {
        Some((Network::from_map(key.data(), key.prefix_len()), entry_of(&entry)?))
    };
    entries.filter_map(entry).collect()
}

fn put(trie: &mut Trie, before: &Networks, after: &Networks) -> Result<(), MapError> {
    let new = after.iter().filter(|(network, entry)| before.get(network) != Some(entry));
    new.into_iter().try_for_each(|(network, entry)| trie.insert(&key(network), Plain(in_map(entry)), 0))
}

fn remove(trie: &mut Trie, before: &Networks, after: &Networks) -> Result<(), MapError> {
    let gone = before.keys().filter(|network| !after.contains_key(network));
    gone.into_iter().try_for_each(|network| gone_or(trie.remove(&key(network))))
}
