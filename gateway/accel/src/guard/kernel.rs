//! The guard's program and maps.
#![allow(unsafe_code, reason = "map values are declared plain data")]

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Array, HashMap, MapData, MapError, PerCpuArray};
use aya::programs::{ProgramError, TestRun as _, TestRunOptions, Xdp, XdpMode};
use aya::{Ebpf, EbpfLoader, Pod};
use waggle_ebpf::guard::{
    Limits, MAP_ALLOW, MAP_DENY, MAP_LIMITS, MAP_PORTS, MAP_VERDICTS, PROGRAM, Verdict,
};

use super::report::{GuardInterface, XdpAttachment};
use super::rules::{Entry, Rules};
use crate::Unavailable;
use crate::capability;
use crate::ebpf::{load_error, take_map};
use crate::error::chain;
use crate::network::Network;
use crate::object_file::{Object, ObjectFile};
use crate::verifier::refused;

/// `XDP_PASS`.
const XDP_PASS: u32 = 2;

#[derive(Clone, Copy)]
#[repr(transparent)]
struct Value(Limits);
// SAFETY: `Limits` is `repr(C)` with no padding, and any bytes are a value of it.
unsafe impl Pod for Value {}

/// The loaded program, on its interfaces. Dropping it takes it off.
pub(super) struct Kernel {
    allow: LpmTrie<MapData, [u8; 16], u64>,
    deny: LpmTrie<MapData, [u8; 16], u64>,
    verdicts: PerCpuArray<MapData, u64>,
    interfaces: Vec<GuardInterface>,
    bpf: Ebpf,
}

impl Kernel {
    /// Fills the maps first: from its first packet on the program goes by them.
    pub(super) fn start(
        interfaces: &[String],
        ports: &[u16],
        limits: Limits,
        rules: &Rules,
    ) -> Result<Self, Unavailable> {
        let object = ObjectFile::open(Object::Guard, None)?;
        capability::check(&capability::GUARD)?;
        let mut bpf =
            EbpfLoader::new().load(&object.bytes).map_err(|error| Unavailable::Load(error.into()))?;
        let mut guarded: HashMap<_, u16, u8> =
            HashMap::try_from(take_map(&mut bpf, MAP_PORTS)?).map_err(load_error)?;
        for port in ports {
            guarded.insert(port, 1, 0).map_err(load_error)?;
        }
        let mut limit: Array<_, Value> =
            Array::try_from(take_map(&mut bpf, MAP_LIMITS)?).map_err(load_error)?;
        limit.set(0, Value(limits), 0).map_err(load_error)?;
        let mut kernel = Self {
            allow: LpmTrie::try_from(take_map(&mut bpf, MAP_ALLOW)?).map_err(load_error)?,
            deny: LpmTrie::try_from(take_map(&mut bpf, MAP_DENY)?).map_err(load_error)?,
            verdicts: PerCpuArray::try_from(take_map(&mut bpf, MAP_VERDICTS)?).map_err(load_error)?,
            interfaces: Vec::new(),
            bpf,
        };
        kernel.write(&Rules::default(), rules).map_err(load_error)?;
        kernel.program()?.load().map_err(|error| refused(PROGRAM, error))?;
        for name in interfaces {
            let interface = attach(kernel.program()?, name);
            kernel.interfaces.push(interface);
        }
        Ok(kernel)
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

    pub(super) fn interfaces(&self) -> &[GuardInterface] {
        &self.interfaces
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
        f.debug_struct("Kernel").field("interfaces", &self.interfaces).finish_non_exhaustive()
    }
}

type Networks = BTreeMap<Network, Entry>;
type Trie = LpmTrie<MapData, [u8; 16], u64>;

fn key(network: &Network) -> Key<[u8; 16]> {
    Key::new(u32::from(network.bits()), network.address())
}

fn put(trie: &mut Trie, before: &Networks, after: &Networks) -> Result<(), MapError> {
    let new = after.iter().filter(|(network, entry)| before.get(network) != Some(entry));
    new.into_iter().try_for_each(|(network, entry)| trie.insert(&key(network), entry.until_ns, 0))
}

fn remove(trie: &mut Trie, before: &Networks, after: &Networks) -> Result<(), MapError> {
    let gone = before.keys().filter(|network| !after.contains_key(network));
    gone.into_iter().try_for_each(|network| trie.remove(&key(network)))
}

fn attach(program: &mut Xdp, name: &str) -> GuardInterface {
    let interface = |attached, reason| GuardInterface { name: name.to_owned(), attached, reason };
    if name.is_empty() || name.contains('\0') {
        return interface(XdpAttachment::Off, "that is no interface's name".to_owned());
    }
    let native = match program.attach(name, XdpMode::Driver) {
        Ok(_) => return interface(XdpAttachment::Native, String::new()),
        Err(error) => explained(&error),
    };
    match program.attach(name, XdpMode::Skb) {
        Ok(_) => interface(XdpAttachment::Generic, format!("not native: {native}")),
        Err(error) => interface(XdpAttachment::Off, explained(&error)),
    }
}

fn explained(error: &ProgramError) -> String {
    let number = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source())
        .find_map(|error| error.downcast_ref::<std::io::Error>()?.raw_os_error());
    match number {
        Some(libc::EBUSY | libc::EEXIST) => "another XDP program is on it; take that off first".to_owned(),
        Some(libc::EOPNOTSUPP) => "its driver has no XDP".to_owned(),
        Some(libc::ENODEV) => "there is no such interface; `ip link` lists those there are".to_owned(),
        _ if matches!(error, ProgramError::UnknownInterface { .. }) => {
            "there is no such interface; `ip link` lists those there are".to_owned()
        }
        _ => chain(error),
    }
}
