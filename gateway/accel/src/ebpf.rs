//! The first rung: the `sock_ops` program, loaded and attached to the gateway's cgroup.
#![allow(unsafe_code, reason = "map keys and values are declared plain data")]

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Array, MapData, MapError, PerCpuArray, RingBuf};
use aya::{Ebpf, Pod};
use tracing::warn;
use waggle_ebpf::abi::{MAP_COUNTERS, MAP_MOMENTS, MAP_PROFILES, MAP_ROUND_TRIPS, MAP_RULES};
use waggle_ebpf::histogram::BUCKETS;
use waggle_ebpf::{Account, Counter, Profile, RuleKey};

use super::capability;
use super::cgroup::{self, Membership};
use super::error::chain;
use super::legs::MomentReport;
use super::link;
use super::log;
use super::moments::Moments;
use super::object_file::{Object, ObjectFile};
use super::pin::{CGROUP, PinFolder};
use super::plan::Rule;
use super::reader::Reader;
use super::{AccelConfig, Unavailable};

#[derive(Clone, Copy)]
#[repr(transparent)]
struct Port(RuleKey);
// SAFETY: `RuleKey` is `repr(C)` with no padding, and any bytes are a value of it.
unsafe impl Pod for Port {}

#[derive(Clone, Copy)]
#[repr(transparent)]
struct Value(Profile);
// SAFETY: `Profile` is `repr(C)` with no padding, and any bytes are a value of it.
unsafe impl Pod for Value {}

/// The program is attached, and the process lives in its cgroup. Dropping undoes both, but what is pinned
/// stays.
pub(super) struct Attached {
    rules: LpmTrie<MapData, Port, u32>,
    profiles: Array<MapData, Value>,
    counters: PerCpuArray<MapData, u64>,
    round_trips: PerCpuArray<MapData, u64>,
    // The order of these is the order of undoing: detach, read the last moments and log lines, leave the
    // cgroup.
    _bpf: Ebpf,
    moments: Option<Moments>,
    _log: Option<Reader>,
    _membership: Membership,
    _sole: Sole,
    cgroup: PathBuf,
    object: String,
    pinning: String,
}

impl Attached {
    /// Loads and attaches the program, then moves the process into the cgroup. On any failure all is as
    /// before.
    pub(super) fn start(config: &AccelConfig) -> Result<Self, Unavailable> {
        let folder = config.pins.folder();
        let off = config.pins.off().map_or_else(|| "off".to_owned(), |why| format!("off: {why}"));
        let Some(folder) = folder else { return Self::start_in(config, None, off) };
        Self::start_in(config, Some(&folder), off).or_else(|error| {
            // Nothing is left half attached.
            folder.clear(link::PINS);
            Self::start_in(config, None, format!("off: {}", chain(&error)))
        })
    }

    fn start_in(config: &AccelConfig, folder: Option<&PinFolder>, off: String) -> Result<Self, Unavailable> {
        let sole = Sole::claim()?;
        let object = ObjectFile::open(Object::SockOps, config.object.as_deref())?;
        capability::check()?;
        let no_cgroup = |error: cgroup::CgroupError| Unavailable::Cgroup(error.into());
        let prepared = match folder {
            Some(folder) => prepare_kept(config, folder),
            None => cgroup::prepare(config.cgroup.as_deref()),
        }
        .map_err(no_cgroup)?;
        let (mut bpf, how) = link::load(&object, folder)?;
        let pinning = match (folder, how) {
            (Some(folder), Some(how)) => format!("{}: {how}", folder.dir().display()),
            _ => off,
        };
        let mut rules = LpmTrie::try_from(take_map(&mut bpf, MAP_RULES)?).map_err(load_error)?;
        forget(&mut rules).map_err(load_error)?;
        let profiles = take_map(&mut bpf, MAP_PROFILES)?;
        let counters = take_map(&mut bpf, MAP_COUNTERS)?;
        let round_trips = take_map(&mut bpf, MAP_ROUND_TRIPS)?;
        let ring = RingBuf::try_from(take_map(&mut bpf, MAP_MOMENTS)?).map_err(load_error)?;
        let moments = Moments::start(ring)
            .inspect_err(|error| warn!(%error, "the eBPF programs' moments are not read"))
            .ok();
        let log =
            log::read(&mut bpf).inspect_err(|error| warn!(%error, "the eBPF programs' log is not read")).ok();
        link::attach(&mut bpf, &prepared, folder)?;

        let cgroup = prepared.dir().to_owned();
        Ok(Self {
            rules,
            profiles: Array::try_from(profiles).map_err(load_error)?,
            counters: PerCpuArray::try_from(counters).map_err(load_error)?,
            round_trips: PerCpuArray::try_from(round_trips).map_err(load_error)?,
            _bpf: bpf,
            moments,
            _log: log,
            _membership: prepared.enter().map_err(no_cgroup)?,
            _sole: sole,
            cgroup,
            object: object.origin,
            pinning,
        })
    }

    /// Gives connections that `rule` finds to `account`.
    pub(super) fn put_rule(&mut self, rule: Rule, account: Account) -> Result<(), MapError> {
        self.rules.insert(&Key::new(rule.bits(), Port(rule.key())), account.number(), 0)
    }

    /// Takes `rule` out.
    pub(super) fn remove_rule(&mut self, rule: Rule) -> Result<(), MapError> {
        self.rules.remove(&Key::new(rule.bits(), Port(rule.key())))
    }

    /// Whether the kernel's trie gives what `rule` finds to `account`.
    pub(super) fn holds(&self, rule: Rule, account: Account) -> bool {
        self.rules
            .get(&Key::new(rule.bits(), Port(rule.key())), 0)
            .is_ok_and(|number| number == account.number())
    }

    /// Gives the account's connections this profile from now on.
    pub(super) fn put_profile(&mut self, account: Account, profile: Profile) -> Result<(), MapError> {
        self.profiles.set(account.number(), Value(profile), 0)
    }

    /// The counter's sum over all CPUs.
    pub(super) fn counter(&self, counter: Counter) -> Result<u64, MapError> {
        let cells = self.counters.get(&counter.index(), 0)?;
        Ok(cells.iter().sum())
    }

    /// The account's histogram of round trips, over all CPUs.
    pub(super) fn round_trips(&self, account: Account) -> Result<Vec<u64>, MapError> {
        let first = account.number() * BUCKETS;
        let cell = |index| self.round_trips.get(&index, 0).map(|cells| cells.iter().sum());
        (first..first + BUCKETS).map(cell).collect()
    }

    /// The latest notable moments, oldest first.
    pub(super) fn moments(&self) -> Vec<MomentReport> {
        self.moments.as_ref().map(Moments::latest).unwrap_or_default()
    }

    /// The cgroup that the program is attached to.
    pub(super) fn cgroup(&self) -> &Path {
        &self.cgroup
    }

    /// What of it outlives the gateway, and what was taken over from the one before; or why nothing.
    pub(super) fn pinning(&self) -> &str {
        &self.pinning
    }

    /// Where the object came from.
    pub(super) fn object(&self) -> &str {
        &self.object
    }
}

impl fmt::Debug for Attached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The maps have no `Debug`, and their descriptors would tell nothing.
        f.debug_struct("Attached")
            .field("cgroup", &self.cgroup)
            .field("object", &self.object)
            .finish_non_exhaustive()
    }
}

/// The cgroup that a pinned link hangs on; noted where it was made for it.
fn prepare_kept(config: &AccelConfig, folder: &PinFolder) -> Result<cgroup::Prepared, cgroup::CgroupError> {
    let (prepared, is_made) = cgroup::prepare_kept(config.cgroup.as_deref(), &folder.id())?;
    if is_made && let Err(error) = folder.set_note(CGROUP, &prepared.dir().to_string_lossy()) {
        warn!(%error, "cannot note the cgroup of the pinned link");
    }
    Ok(prepared)
}

/// Takes out what the gateway before asked for: its ports are closed, and ours follow.
fn forget(rules: &mut LpmTrie<MapData, Port, u32>) -> Result<(), MapError> {
    let before: Vec<_> = rules.keys().filter_map(Result::ok).collect();
    before.iter().try_for_each(|key| rules.remove(key))
}

pub(super) fn take_map(bpf: &mut Ebpf, name: &str) -> Result<aya::maps::Map, Unavailable> {
    bpf.take_map(name).ok_or_else(|| Unavailable::Load(format!("it holds no map {name}").into()))
}

pub(super) fn load_error(error: impl std::error::Error + Send + Sync + 'static) -> Unavailable {
    Unavailable::Load(error.into())
}

/// Held by the one accelerator of the process that is attached.
#[derive(Debug)]
struct Sole;

static ACTIVE: AtomicBool = AtomicBool::new(false);

impl Sole {
    fn claim() -> Result<Self, Unavailable> {
        if ACTIVE.swap(true, Ordering::Acquire) { Err(Unavailable::AlreadyActive) } else { Ok(Self) }
    }
}

impl Drop for Sole {
    fn drop(&mut self) {
        ACTIVE.store(false, Ordering::Release);
    }
}
