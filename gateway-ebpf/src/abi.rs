//! Map layouts, map names and constants: one home for both sides.
//!
//! Every struct here is `repr(C)` with no padding, so its bytes are a map key or value as they are;
//! the sizes are asserted at compile time, for the host and for the BPF target alike.

use crate::histogram::BUCKETS;
use crate::leg::{Feature, Leg, Profile};

/// The layout's version. The object carries it in the section [`ABI_SECTION`], and the loader refuses
/// an object that carries another one. Raise it with every change of a struct, a name or a meaning.
pub const ABI_VERSION: u32 = 3;

/// The ELF section that holds [`ABI_VERSION`], as a little-endian `u32`.
pub const ABI_SECTION: &str = "waggle.abi";

/// The `sock_ops` program that gives a new connection its leg's profile, and measures the leg.
pub const PROGRAM_PROFILES: &str = "waggle_profiles";

/// LPM trie from [`RuleKey`] to an [`Account`]'s number; written by the gateway, read by the program.
pub const MAP_RULES: &str = "RULES";

/// Array of [`Profile`], indexed by [`Account::number`]; written by the gateway.
pub const MAP_PROFILES: &str = "PROFILES";

/// Per-CPU array of `u64`, indexed by [`Counter::index`]; written by the program.
pub const MAP_COUNTERS: &str = "COUNTERS";

/// Per-CPU array of `u64`: the histogram of round-trip times of each account, [`BUCKETS`] cells each.
pub const MAP_ROUND_TRIPS: &str = "ROUND_TRIPS";

/// LRU hash from socket cookie to [`Connection`]; written by the program.
pub const MAP_CONNECTIONS: &str = "CONNECTIONS";

/// Ring buffer of [`Moment`]s.
pub const MAP_MOMENTS: &str = "MOMENTS";

/// Most rules: ports times networks.
pub const RULES_MAX: u32 = 8_192;

/// Connections whose measurements are kept; beyond, those unused for longest are forgotten.
pub const CONNECTIONS_MAX: u32 = 65_536;

/// Size of the ring buffer; a power of two of whole pages.
pub const MOMENTS_BYTES: u32 = 64 * 1024;

/// Cells of the map of round-trip times.
pub const ROUND_TRIPS_LEN: u32 = Account::ALL.len() as u32 * BUCKETS;

/// `bpf_sock_ops.op` when a connection that we opened is established.
pub const OP_ACTIVE_ESTABLISHED: u32 = 4;
/// `bpf_sock_ops.op` when a connection that we accepted is established.
pub const OP_PASSIVE_ESTABLISHED: u32 = 5;
/// `bpf_sock_ops.op` when a retransmission timer fired.
pub const OP_TIMEOUT: u32 = 8;
/// `bpf_sock_ops.op` when segments were retransmitted.
pub const OP_RETRANSMIT: u32 = 9;
/// `bpf_sock_ops.op` when the state changes.
pub const OP_STATE: u32 = 10;
/// `bpf_sock_ops.op` at each measured round trip.
pub const OP_ROUND_TRIP: u32 = 12;

/// Callbacks that the program asks for: timeouts, retransmissions, states and round trips.
pub const CALLBACKS: i32 = 0b1111;

/// The state of a connection that is over.
pub const STATE_CLOSE: u32 = 7;

/// Which end's port a [`RuleKey`] names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Side {
    /// The local port of a connection that we accepted.
    Local = 0,
    /// The remote port of a connection that we opened.
    Remote = 1,
}

/// Key of the trie of rules, without its prefix length. Twenty bytes, alignment 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct RuleKey {
    /// TCP port in network byte order.
    pub port: [u8; 2],
    /// A [`Side`] as its number.
    pub side: u8,
    /// Always 0.
    pub zero: u8,
    /// Address of the other end; IPv4 as IPv4-mapped IPv6.
    pub address: [u8; 16],
}

impl RuleKey {
    /// Bits before the address: a rule always names its port.
    pub const PORT_BITS: u32 = 32;

    /// Length of a full key, as the program looks it up.
    pub const BITS: u32 = Self::PORT_BITS + 128;

    /// The key of `port` at `side` with the other end at `address`.
    #[must_use]
    pub const fn new(side: Side, port: u16, address: [u8; 16]) -> Self {
        Self { port: port.to_be_bytes(), side: side as u8, zero: 0, address }
    }
}

/// Under whose name the program counts what it did for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account {
    /// A connection of this leg.
    Leg(Leg),
    /// A connection that the gateway made only to see what its program does.
    Probe,
}

impl Account {
    /// All accounts, in the order of their numbers.
    pub const ALL: [Self; 4] =
        [Self::Leg(Leg::Agent), Self::Leg(Leg::Mesh), Self::Leg(Leg::Local), Self::Probe];

    /// The account as it stands in the maps.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Leg(leg) => leg as u32,
            Self::Probe => Leg::ALL.len() as u32,
        }
    }

    /// The account with this number.
    #[must_use]
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::Leg(Leg::Agent)),
            1 => Some(Self::Leg(Leg::Mesh)),
            2 => Some(Self::Leg(Leg::Local)),
            3 => Some(Self::Probe),
            _ => None,
        }
    }
}

/// What the program knows of a connection. Sixteen bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Connection {
    /// An [`Account`] as its number.
    pub account: u32,
    /// The kernel's smoothed round-trip time, in microseconds; 0 before the first.
    pub srtt_us: u32,
    /// Segments sent again.
    pub retransmits: u32,
    /// Retransmission timers that fired.
    pub timeouts: u32,
}

/// What is worth a line of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum MomentKind {
    /// A retransmission timer fired.
    Timeout = 0,
    /// The kernel gave the peer up.
    Dead = 1,
}

impl MomentKind {
    /// The kind with this number.
    #[must_use]
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::Timeout),
            1 => Some(Self::Dead),
            _ => None,
        }
    }
}

/// An entry of the ring buffer. Forty-eight bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Moment {
    /// Nanoseconds since boot.
    pub at_ns: u64,
    /// The socket's cookie, as `SO_COOKIE` gives it.
    pub cookie: u64,
    /// A [`MomentKind`] as its number.
    pub kind: u32,
    /// An [`Account`] as its number.
    pub account: u32,
    /// Timeouts in a row.
    pub timeouts: u32,
    /// Port of the other end, in host byte order.
    pub port: u32,
    /// Address of the other end; IPv4 as IPv4-mapped IPv6.
    pub address: [u8; 16],
}

impl Moment {
    /// The moment in an entry's bytes; `None` where they are too few.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let long = |at: usize| Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        let word = |at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        Some(Self {
            at_ns: long(0)?,
            cookie: long(8)?,
            kind: word(16)?,
            account: word(20)?,
            timeouts: word(24)?,
            port: word(28)?,
            address: bytes.get(32..48)?.try_into().ok()?,
        })
    }
}

/// What happens to connections of a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Event {
    /// Segments sent again.
    Retransmit = 0,
    /// Retransmission timers that fired.
    Timeout = 1,
    /// Peers given up.
    Dead = 2,
    /// Moments for which the ring buffer had no room.
    MomentLost = 3,
}

impl Event {
    /// All events, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Retransmit, Self::Timeout, Self::Dead, Self::MomentLost];
}

/// One cell of the counter array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Connections that the program saw being established.
    Connections(Account),
    /// Settings that the kernel took as asked.
    Applied(Account, Feature),
    /// Settings that the kernel took at a larger value than asked: below its floor of two jiffies.
    Raised(Account, Feature),
    /// Settings that the kernel refused at every value tried.
    Refused(Account, Feature),
    /// What happened on established connections.
    Happened(Account, Event),
}

const FEATURE_CELLS: u32 = 3 * Feature::ALL.len() as u32;
const CELLS_PER_ACCOUNT: u32 = 1 + FEATURE_CELLS + Event::ALL.len() as u32;

/// Cells in the counter array.
pub const COUNTERS_LEN: u32 = CELLS_PER_ACCOUNT * Account::ALL.len() as u32;

impl Counter {
    /// Place of this counter in the array, below [`COUNTERS_LEN`].
    #[must_use]
    pub const fn index(self) -> u32 {
        let (account, cell) = match self {
            Self::Connections(account) => (account, 0),
            Self::Applied(account, feature) => (account, 1 + 3 * feature as u32),
            Self::Raised(account, feature) => (account, 2 + 3 * feature as u32),
            Self::Refused(account, feature) => (account, 3 + 3 * feature as u32),
            Self::Happened(account, event) => (account, 1 + FEATURE_CELLS + event as u32),
        };
        account.number() * CELLS_PER_ACCOUNT + cell
    }
}

const _: () = assert!(size_of::<RuleKey>() == 20 && align_of::<RuleKey>() == 1);
const _: () = assert!(size_of::<Profile>() == 28 && align_of::<Profile>() == 4);
const _: () = assert!(size_of::<Connection>() == 16 && align_of::<Connection>() == 4);
const _: () = assert!(size_of::<Moment>() == 48 && align_of::<Moment>() == 8);
const _: () = assert!(COUNTERS_LEN == 104 && ROUND_TRIPS_LEN == 384);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_has_a_cell_of_its_own() {
        let mut seen = [false; COUNTERS_LEN as usize];
        let mut mark = |counter: Counter| {
            let cell = &mut seen[counter.index() as usize];
            assert!(!*cell, "{counter:?} shares its cell");
            *cell = true;
        };
        for account in Account::ALL {
            mark(Counter::Connections(account));
            for feature in Feature::ALL {
                mark(Counter::Applied(account, feature));
                mark(Counter::Raised(account, feature));
                mark(Counter::Refused(account, feature));
            }
            for event in Event::ALL {
                mark(Counter::Happened(account, event));
            }
        }
        assert!(seen.iter().all(|&cell| cell));
    }

    #[test]
    fn numbers_name_their_account() {
        for account in Account::ALL {
            assert_eq!(Account::from_number(account.number()), Some(account));
        }
        assert_eq!(Account::from_number(Account::ALL.len() as u32), None);
    }

    #[test]
    fn key_bytes_are_port_then_side_then_address() {
        let key = RuleKey::new(Side::Remote, 0x1234, [7; 16]);
        assert_eq!((key.port, key.side, key.zero, key.address), ([0x12, 0x34], 1, 0, [7; 16]));
    }
}
