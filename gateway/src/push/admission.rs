//! How many connections are taken: over all, of one tenant, and from one address.

use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use waggle_core::id::TenantId;
use waggle_core::limits::{
    ADDRESS_COUNTERS, RETRY_AFTER_S_MAX, RETRY_AFTER_S_MIN, SESSIONS_MAX, SESSIONS_PER_ADDRESS_MAX,
    SESSIONS_PER_TENANT_MAX,
};
use waggle_core::push::with_retry_after;

/// How many sessions there may be at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PushLimits {
    /// Of the gateway.
    pub sessions: u32,
    /// Of one tenant.
    pub sessions_per_tenant: u32,
    /// From one IPv4 address, or one /64 of IPv6; 0 is no limit.
    pub sessions_per_address: u32,
}

impl Default for PushLimits {
    fn default() -> Self {
        Self {
            sessions: SESSIONS_MAX,
            sessions_per_tenant: SESSIONS_PER_TENANT_MAX,
            sessions_per_address: SESSIONS_PER_ADDRESS_MAX,
        }
    }
}

/// Why a connection is not taken, and when to come back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushRefusal {
    /// Which limit it is and what would be right, with the hint at the end.
    pub reason: String,
    /// The hint, in seconds.
    pub retry_after_s: u32,
}

/// Counts connections, without a lock between shards: a limit holds over all of them.
#[derive(Debug)]
pub(super) struct Admission {
    limits: PushLimits,
    connections: AtomicU32,
    addresses: Addresses,
    /// Of a tenant that has had a session; a shard asks once and keeps its counter.
    tenants: Mutex<FxHashMap<TenantId, Arc<AtomicU32>>>,
    random: AtomicU64,
}

/// A place that is taken, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    admission: Arc<Admission>,
    address: Option<IpAddr>,
}

/// A place among a tenant's sessions.
#[derive(Debug)]
pub(super) struct TenantPlace(Arc<AtomicU32>);

impl Admission {
    pub(super) fn new(limits: PushLimits) -> Arc<Self> {
        let addresses = Addresses::new();
        let seed = addresses.seeds[0].hash_one(0);
        Arc::new(Self {
            limits,
            connections: AtomicU32::new(0),
            addresses,
            tenants: Mutex::default(),
            random: AtomicU64::new(seed),
        })
    }

    /// A place for a connection from `address`, where one is known.
    pub(super) fn enter(self: &Arc<Self>, address: Option<IpAddr>) -> Result<Place, PushRefusal> {
        let most = self.limits.sessions;
        if !take(&self.connections, most) {
            return Err(self.refuse(format!("the gateway has {most} push sessions, which is its limit")));
        }
        let mut place = Place { admission: Arc::clone(self), address: None };
        if let Some(address) = address {
            let most = match self.limits.sessions_per_address {
                0 => u32::MAX,
                most => most,
            };
            if !self.addresses.take(address, most) {
                let reason =
                    format!("{address} has {most} push sessions, which is the limit for one address");
                return Err(self.refuse(reason));
            }
            place.address = Some(address);
        }
        Ok(place)
    }

    /// What counts a tenant's sessions.
    pub(super) fn tenant(&self, tenant: TenantId) -> Arc<AtomicU32> {
        Arc::clone(self.tenants.lock().entry(tenant).or_default())
    }

    /// A place for a session of the tenant that `counter` is of.
    pub(super) fn enter_tenant(&self, counter: &Arc<AtomicU32>) -> Result<TenantPlace, PushRefusal> {
        let most = self.limits.sessions_per_tenant;
        if take(counter, most) {
            return Ok(TenantPlace(Arc::clone(counter)));
        }
        Err(self.refuse(format!("the tenant has {most} push sessions, which is its limit")))
    }

    /// A refusal whose hint differs from client to client, so that they do not come back together.
    pub(super) fn refuse(&self, reason: String) -> PushRefusal {
        let spread = u64::from(RETRY_AFTER_S_MAX - RETRY_AFTER_S_MIN + 1);
        // A step of SplitMix64 (Steele, Lea, Flood 2014); the numbers need not be secret.
        let mut mixed = self.random.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let retry_after_s = RETRY_AFTER_S_MIN + ((mixed >> 32) % spread) as u32;
        PushRefusal { reason: with_retry_after(&reason, retry_after_s), retry_after_s }
    }
}

impl Place {
    /// The client's address, where it is known.
    pub(super) fn address(&self) -> Option<IpAddr> {
        self.address
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.admission.connections.fetch_sub(1, Ordering::Relaxed);
        if let Some(address) = self.address {
            self.admission.addresses.give_back(address);
        }
    }
}

impl Drop for TenantPlace {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn take(counter: &AtomicU32, most: u32) -> bool {
    let more = |taken: u32| (taken < most).then_some(taken + 1);
    counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
}

/// Connections by address, in two rows of counters (a count-min sketch, Cormode and Muthukrishnan 2005):
/// memory is bounded whatever the number of addresses, and no address is ever counted for less than it
/// has. The hashes are seeded, so that nobody can choose addresses whose counts fall together.
#[derive(Debug)]
struct Addresses {
    rows: [Box<[AtomicU32]>; 2],
    seeds: [RandomState; 2],
}

impl Addresses {
    fn new() -> Self {
        let row = || (0..ADDRESS_COUNTERS).map(|_| AtomicU32::new(0)).collect();
        Self { rows: [row(), row()], seeds: [RandomState::new(), RandomState::new()] }
    }

    fn take(&self, address: IpAddr, most: u32) -> bool {
        let mut lowest = u32::MAX;
        for counter in self.counters(address) {
            lowest = lowest.min(counter.fetch_add(1, Ordering::Relaxed));
        }
        if lowest >= most {
            self.give_back(address);
        }
        lowest < most
    }

    fn give_back(&self, address: IpAddr) {
        for counter in self.counters(address) {
            counter.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn counters(&self, address: IpAddr) -> impl Iterator<Item = &AtomicU32> {
        let of = network(address);
        self.rows.iter().zip(&self.seeds).filter_map(move |(row, seed)| row.get(place(seed, &of)))
    }
}

fn place(seed: &RandomState, of: &impl Hash) -> usize {
    seed.hash_one(of) as usize & (ADDRESS_COUNTERS - 1)
}

/// What is one client: an IPv4 address, or the /64 of an IPv6 one.
fn network(address: IpAddr) -> u64 {
    match address.to_canonical() {
        // No /64 that is in use begins with so many zeros.
        IpAddr::V4(address) => u64::from(address.to_bits()),
        IpAddr::V6(address) => (address.to_bits() >> 64) as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(sessions: u32, sessions_per_tenant: u32, sessions_per_address: u32) -> Arc<Admission> {
        Admission::new(PushLimits { sessions, sessions_per_tenant, sessions_per_address })
    }

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn places_come_back() {
        let admission = limits(2, 1, 0);
        let first = admission.enter(ip("192.0.2.1")).unwrap();
        let _second = admission.enter(None).unwrap();
        let refusal = admission.enter(None).unwrap_err();
        assert!(refusal.reason.starts_with("the gateway has 2 push sessions"), "{refusal:?}");
        assert_eq!(waggle_core::push::retry_after_s(&refusal.reason), Some(refusal.retry_after_s));
        drop(first);
        admission.enter(None).unwrap();

        let tenant = admission.tenant(TenantId(1));
        let place = admission.enter_tenant(&tenant).unwrap();
        let other_shard = admission.tenant(TenantId(1));
        assert!(admission.enter_tenant(&other_shard).unwrap_err().reason.starts_with("the tenant has 1"));
        admission.enter_tenant(&admission.tenant(TenantId(2))).unwrap();
        drop(place);
        admission.enter_tenant(&other_shard).unwrap();
    }

    #[test]
    fn an_address_is_a_host_or_a_network() {
        let admission = limits(100, 1, 1);
        let held: Vec<Place> = ["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8:0:1::1"]
            .into_iter()
            .map(|address| admission.enter(ip(address)).unwrap())
            .collect();
        for same in ["192.0.2.1", "::ffff:192.0.2.1", "2001:db8::ffff"] {
            let refusal = admission.enter(ip(same)).unwrap_err();
            assert!(refusal.reason.contains("limit for one address"), "{refusal:?}");
        }
        admission.enter(None).unwrap();
        drop(held);
        admission.enter(ip("2001:db8::ffff")).unwrap();
        assert_eq!(admission.connections.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn hints_are_in_range_and_differ() {
        let admission = limits(1, 1, 1);
        let hints: Vec<u32> = (0..200).map(|_| admission.refuse(String::new()).retry_after_s).collect();
        for wanted in RETRY_AFTER_S_MIN..=RETRY_AFTER_S_MAX {
            assert!(hints.contains(&wanted), "{hints:?}");
        }
        assert!(hints.iter().all(|hint| (RETRY_AFTER_S_MIN..=RETRY_AFTER_S_MAX).contains(hint)));
    }
}
