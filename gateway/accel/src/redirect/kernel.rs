//! The programs and maps of redirection.
#![allow(unsafe_code, reason = "map keys are declared plain data")]

use std::fmt;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::path::{Path, PathBuf};

use aya::maps::{HashMap, MapData, MapError, PerCpuArray, SkStorage, SockHash};
use aya::programs::{CgroupAttachMode, SkMsg, SockOps};
use aya::{Ebpf, EbpfLoader, Pod};
use parking_lot::Mutex;
use waggle_ebpf::redirect::{
    Count, Ends, MAP_COUNTS, MAP_PORTS, MAP_SOCKETS, MAP_WAYS, PROGRAM_ENTER, PROGRAM_MESSAGE, Way,
};

use super::RedirectWay;
use super::pair::TcpPair;
use super::places::places;
use crate::Unavailable;
use crate::capability;
use crate::ebpf::{load_error, take_map};
use crate::memory_lock;
use crate::object_file::{Object, ObjectFile};
use crate::verifier::refused;

#[derive(Clone, Copy)]
#[repr(transparent)]
struct Key(Ends);
// SAFETY: `Ends` is `repr(C)` with no padding, and any bytes are a value of it.
unsafe impl Pod for Key {}

/// The loaded programs. Dropping them takes them off; the kernel does the same when the process ends.
pub(super) struct Kernel {
    ports: Mutex<HashMap<MapData, u16, u8>>,
    sockets: Mutex<SockHash<MapData, Key>>,
    ways: Mutex<SkStorage<MapData, u32>>,
    counts: PerCpuArray<MapData, u64>,
    cgroups: Vec<PathBuf>,
    /// What was counted before the first connection that matters.
    before: Vec<u64>,
    bpf: Ebpf,
}

impl Kernel {
    /// Loads both programs, and has the one decide about messages of all sockets that will be in the map.
    pub(super) fn load() -> Result<Self, Unavailable> {
        let object = ObjectFile::open(Object::Redirect, None)?;
        capability::check()?;
        memory_lock::raise();
        let mut bpf =
            EbpfLoader::new().load(&object.bytes).map_err(|error| Unavailable::Load(error.into()))?;
        let sockets = SockHash::try_from(take_map(&mut bpf, MAP_SOCKETS)?).map_err(load_error)?;
        let ports = HashMap::try_from(take_map(&mut bpf, MAP_PORTS)?).map_err(load_error)?;
        let ways = SkStorage::try_from(take_map(&mut bpf, MAP_WAYS)?).map_err(load_error)?;
        let counts = PerCpuArray::try_from(take_map(&mut bpf, MAP_COUNTS)?).map_err(load_error)?;
        // Before any socket is in the map: one that is in it already would not get the program.
        let message: &mut SkMsg = program(&mut bpf, PROGRAM_MESSAGE)?;
        message.load().map_err(|error| refused(PROGRAM_MESSAGE, error))?;
        message.attach(sockets.fd()).map_err(load_error)?;
        let enter: &mut SockOps = program(&mut bpf, PROGRAM_ENTER)?;
        enter.load().map_err(|error| refused(PROGRAM_ENTER, error))?;
        Ok(Self {
            ports: Mutex::new(ports),
            sockets: Mutex::new(sockets),
            ways: Mutex::new(ways),
            counts,
            cgroups: Vec::new(),
            before: Vec::new(),
            bpf,
        })
    }

    /// Finds sockets in the gateway's own cgroup and in those that are named.
    pub(super) fn attach(&mut self, own: &Path, named: &[PathBuf]) -> Result<(), Unavailable> {
        for place in places(own, named) {
            let failed = |source: Box<dyn std::error::Error + Send + Sync>| Unavailable::Attach {
                cgroup: place.clone(),
                source,
            };
            let handle = File::open(&place).map_err(|error| failed(error.into()))?;
            let enter: &mut SockOps = program(&mut self.bpf, PROGRAM_ENTER)?;
            // A link: see the profiles' program.
            enter.attach(&handle, CgroupAttachMode::Single).map_err(|error| failed(error.into()))?;
            self.cgroups.push(place);
        }
        Ok(())
    }

    /// Makes a connection of this process, and sees that it is redirected.
    pub(super) fn try_own(&mut self) -> Result<(), String> {
        let words = |error: std::io::Error| error.to_string();
        let listening = TcpPair::listen().map_err(words)?;
        let port = listening.port().map_err(words)?;
        self.put_port(port).map_err(|error| error.to_string())?;
        let tried = listening.connect().and_then(|mut pair| {
            let mut byte = [0];
            pair.accepted.write_all(&[7])?;
            pair.client.read_exact(&mut byte)?;
            Ok(self.way_of(pair.accepted()))
        });
        self.remove_ports().map_err(|error| error.to_string())?;
        let way = tried.map_err(words)?;
        self.before = Count::ALL.map(|count| self.counted(count)).to_vec();
        match way {
            Some(RedirectWay::Redirected) => Ok(()),
            Some(_) => Err("its other end was not in the map at the first message".to_owned()),
            None => Err("the sock_ops program does not see this process's connections".to_owned()),
        }
    }

    pub(super) fn put_port(&self, port: u16) -> Result<(), MapError> {
        self.ports.lock().insert(port, 1, 0)
    }

    pub(super) fn remove_ports(&self) -> Result<(), MapError> {
        let ports = self.ports();
        let mut map = self.ports.lock();
        ports.iter().try_for_each(|port| map.remove(port))
    }

    pub(super) fn ports(&self) -> Vec<u16> {
        self.ports.lock().keys().filter_map(Result::ok).collect()
    }

    /// Puts one end of a pair into the map, as the `sock_ops` program does it in the gateway's cgroup.
    pub(super) fn put_socket(&self, socket: BorrowedFd<'_>, ends: Ends) -> Result<(), MapError> {
        self.sockets.lock().insert(Key(ends), socket.as_raw_fd(), 0)
    }

    /// Lets the connection's first message decide.
    pub(super) fn put_undecided(&self, accepted: BorrowedFd<'_>) -> Result<(), MapError> {
        self.ways.lock().insert(&accepted, Way::Undecided as u32, 0)
    }

    pub(super) fn way_of(&self, socket: BorrowedFd<'_>) -> Option<RedirectWay> {
        let number = self.ways.lock().get(&socket, 0).ok()?;
        Some(match Way::from_number(number)? {
            Way::Undecided => RedirectWay::Undecided,
            Way::Redirected => RedirectWay::Redirected,
            Way::Tcp => RedirectWay::Tcp,
        })
    }

    /// How many sockets are in the map, counted up to `most`.
    pub(super) fn sockets(&self, most: usize) -> usize {
        self.sockets.lock().keys().take(most).filter(Result::is_ok).count()
    }

    pub(super) fn cgroups(&self) -> &[PathBuf] {
        &self.cgroups
    }

    /// All counts with their words, since the programs were tried.
    pub(super) fn counts(&self) -> Vec<(String, u64)> {
        let before = self.before.iter().copied().chain(std::iter::repeat(0));
        let count = |(count, before): (Count, u64)| (count.name().to_owned(), self.counted(count) - before);
        Count::ALL.into_iter().zip(before).map(count).collect()
    }

    /// A count over all CPUs.
    pub(super) fn counted(&self, count: Count) -> u64 {
        self.counts.get(&(count as u32), 0).map(|cells| cells.iter().sum()).unwrap_or(0)
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The maps have no `Debug`, and their descriptors would tell nothing.
        f.debug_struct("Kernel").field("cgroups", &self.cgroups).finish_non_exhaustive()
    }
}

fn program<'a, P>(bpf: &'a mut Ebpf, name: &str) -> Result<&'a mut P, Unavailable>
where
    &'a mut P: TryFrom<&'a mut aya::programs::Program, Error = aya::programs::ProgramError>,
{
    let program = bpf
        .program_mut(name)
        .ok_or_else(|| Unavailable::Load(format!("it holds no program {name}").into()))?;
    program.try_into().map_err(load_error)
}
