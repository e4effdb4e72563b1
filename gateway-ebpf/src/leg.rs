//! Legs of the network, and the TCP profile of each.

use crate::abi::{Account, Profile};

/// A class of network path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Leg {
    /// Gateway to a remote client. Its push messages are few and small, so one lost packet is repaired
    /// by a timer, and the kernel's floor of 200 ms is what an agent would wait.
    Agent = 0,
    /// Node to node, on one network: round trips are far below a millisecond.
    Mesh = 1,
}

impl Leg {
    /// All legs, in the order of their numbers.
    pub const ALL: [Self; 2] = [Self::Agent, Self::Mesh];

    /// The leg's word in settings and in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Mesh => "mesh",
        }
    }

    /// The profile that this leg gets.
    ///
    /// `agent`: the client's kernel is not ours and may delay its acknowledgements by 40 ms and more, so
    /// the timeout stays above that. `mesh`: both ends are ours, so both timers come down together. Where
    /// a jiffy is 4 ms the kernel raises the second to 8 ms; the timeout comes on top of the round-trip
    /// time, so it still fires later, and a quiet peer was seen to cause no needless retransmission.
    #[must_use]
    pub const fn profile(self) -> Profile {
        match self {
            Self::Agent => Profile {
                rto_min_us: 50_000,
                delack_max_us: 0,
                nodelay: 1,
                account: Account::Leg(Self::Agent).number(),
            },
            Self::Mesh => Profile {
                rto_min_us: 8_000,
                delack_max_us: 4_000,
                nodelay: 1,
                account: Account::Leg(Self::Mesh).number(),
            },
        }
    }
}

/// One setting of a profile: each is applied, refused and reported by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Feature {
    /// `TCP_NODELAY`: Nagle's algorithm off.
    Nodelay = 0,
    /// Smallest retransmission timeout.
    RtoMin = 1,
    /// Longest delay of an acknowledgement.
    DelackMax = 2,
}

impl Feature {
    /// All features, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Nodelay, Self::RtoMin, Self::DelackMax];

    /// The feature's word in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nodelay => "nodelay",
            Self::RtoMin => "rto_min_us",
            Self::DelackMax => "delack_max_us",
        }
    }

    /// What `profile` asks for: microseconds, or 1 for a switch; `None` leaves the kernel's own value.
    #[must_use]
    pub const fn wanted(self, profile: &Profile) -> Option<u32> {
        let value = match self {
            Self::Nodelay => profile.nodelay,
            Self::RtoMin => profile.rto_min_us,
            Self::DelackMax => profile.delack_max_us,
        };
        if value == 0 { None } else { Some(value) }
    }

    /// Option number for `bpf_setsockopt` at level `IPPROTO_TCP`.
    #[must_use]
    pub const fn bpf_option(self) -> i32 {
        match self {
            Self::Nodelay => 1,
            Self::RtoMin => 1004,
            Self::DelackMax => 1003,
        }
    }

    /// Option number for `setsockopt(2)` and `getsockopt(2)` at level `IPPROTO_TCP`. The two timers have
    /// one since Linux 6.15 only.
    #[must_use]
    pub const fn socket_option(self) -> i32 {
        match self {
            Self::Nodelay => 1,
            Self::RtoMin => 45,
            Self::DelackMax => 46,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_stay_above_the_delay_of_an_acknowledgement() {
        for leg in Leg::ALL {
            let profile = leg.profile();
            assert!(profile.rto_min_us > profile.delack_max_us);
            assert!(profile.rto_min_us <= 200_000, "the kernel refuses more than 200 ms");
        }
    }

    #[test]
    fn a_zero_leaves_the_setting_alone() {
        assert_eq!(Feature::DelackMax.wanted(&Leg::Agent.profile()), None);
        assert_eq!(Feature::RtoMin.wanted(&Leg::Agent.profile()), Some(50_000));
        assert_eq!(Feature::DelackMax.wanted(&Leg::Mesh.profile()), Some(4_000));
    }
}
