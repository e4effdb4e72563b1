//! Map layouts, map names and constants: one home for both sides.
//!
//! Every struct here is `repr(C)` with no padding, so its bytes are a map key or value as they are;
//! the sizes are asserted at compile time, for the host and for the BPF target alike.

use crate::leg::{Feature, Leg};

/// The layout's version. The object carries it in the section [`ABI_SECTION`], and the loader refuses
/// an object that carries another one. Raise it with every change of a struct, a name or a meaning.
pub const ABI_VERSION: u32 = 1;

/// The ELF section that holds [`ABI_VERSION`], as a little-endian `u32`.
pub const ABI_SECTION: &str = "waggle.abi";

/// The `sock_ops` program that gives a new connection its leg's profile.
pub const PROGRAM_PROFILES: &str = "waggle_profiles";

/// Hash map from [`PortKey`] to [`Profile`]; written by the gateway, read by the program.
pub const MAP_PROFILES: &str = "PROFILES";

/// Per-CPU array of `u64`, indexed by [`Counter::index`]; written by the program.
pub const MAP_COUNTERS: &str = "COUNTERS";

/// Most entries in the profile map: ports times sides.
pub const PROFILES_MAX: u32 = 256;

/// `bpf_sock_ops.op` when a connection that we opened is established.
pub const OP_ACTIVE_ESTABLISHED: u32 = 4;

/// `bpf_sock_ops.op` when a connection that we accepted is established.
pub const OP_PASSIVE_ESTABLISHED: u32 = 5;

/// Which end's port a [`PortKey`] names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Side {
    /// The local port of a connection that we accepted.
    Local = 0,
    /// The remote port of a connection that we opened.
    Remote = 1,
}

/// Key of the profile map. Four bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct PortKey {
    /// TCP port in host byte order.
    pub port: u16,
    /// A [`Side`] as its number.
    pub side: u16,
}

impl PortKey {
    /// The key of `port` at `side`.
    #[must_use]
    pub const fn new(port: u16, side: Side) -> Self {
        Self { port, side: side as u16 }
    }
}

/// TCP settings of one leg: the value of the profile map. Sixteen bytes; 0 leaves a setting alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Profile {
    /// Smallest retransmission timeout, in microseconds; the kernel rounds it up to whole jiffies.
    pub rto_min_us: u32,
    /// Longest delay of an acknowledgement, in microseconds; rounded up likewise.
    pub delack_max_us: u32,
    /// 1 switches Nagle's algorithm off.
    pub nodelay: u32,
    /// An [`Account`] as its number.
    pub account: u32,
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
    pub const ALL: [Self; 3] = [Self::Leg(Leg::Agent), Self::Leg(Leg::Mesh), Self::Probe];

    /// The account as it stands in [`Profile::account`].
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
            2 => Some(Self::Probe),
            _ => None,
        }
    }
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
}

const CELLS_PER_ACCOUNT: u32 = 1 + 3 * Feature::ALL.len() as u32;

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
        };
        account.number() * CELLS_PER_ACCOUNT + cell
    }
}

const _: () = assert!(size_of::<PortKey>() == 4 && align_of::<PortKey>() == 2);
const _: () = assert!(size_of::<Profile>() == 16 && align_of::<Profile>() == 4);
const _: () = assert!(COUNTERS_LEN == 30);

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
    fn key_bytes_are_port_then_side_in_host_order() {
        let key = PortKey::new(0x1234, Side::Remote);
        assert_eq!((key.port, key.side), (0x1234, 1));
    }
}
