//! Legs of the network, and the TCP profile of each.

/// A class of network path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Leg {
    /// Gateway to a remote client. Its push messages are few and small, so one lost packet is repaired
    /// by a timer, and the kernel's floor of 200 ms is what an agent would wait.
    Agent = 0,
    /// Node to node, on one network: round trips are far below a millisecond.
    Mesh = 1,
    /// Gateway to a proxy or a client on the same machine: nothing is lost there.
    Local = 2,
}

impl Leg {
    /// All legs, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Agent, Self::Mesh, Self::Local];

    /// The leg's word in settings and in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Mesh => "mesh",
            Self::Local => "local",
        }
    }

    /// The leg with this word.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|leg| leg.name() == name)
    }

    /// The profile that this leg gets where nobody says otherwise.
    ///
    /// `agent`: the client's kernel is not ours and may delay its acknowledgements by 40 ms and more, so
    /// the timeout stays above that; a path that comes back is tried again within 5 s, not 120; and what
    /// the peer is slow to take waits in the gateway, which can still merge it, not in the kernel.
    /// `mesh`: both ends are ours, so both timers come down together. Where a jiffy is 4 ms the kernel
    /// raises the second to 8 ms; the timeout comes on top of the round-trip time, so it still fires
    /// later, and a quiet peer was seen to cause no needless retransmission. A node that is gone is given
    /// up after 10 s. `local`: loopback loses nothing, so no timer matters.
    #[must_use]
    pub const fn profile(self) -> Profile {
        let nodelay = Profile::NONE.with(Feature::Nodelay, 1);
        match self {
            Self::Agent => nodelay
                .with(Feature::RtoMin, 50_000)
                .with(Feature::NotsentLowat, 131_072)
                .with(Feature::RtoMax, 5_000)
                .with(Feature::ThinLinear, 1),
            Self::Mesh => nodelay
                .with(Feature::RtoMin, 8_000)
                .with(Feature::DelackMax, 4_000)
                .with(Feature::UserTimeout, 10_000)
                .with(Feature::RtoMax, 1_000)
                .with(Feature::ThinLinear, 1),
            Self::Local => nodelay,
        }
    }
}

/// TCP settings of one leg, by [`Feature`]: the value of the profile map. 28 bytes; 0 leaves a setting
/// alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Profile {
    /// The wish for each of [`Feature::ALL`], in its unit.
    pub values: [u32; Feature::ALL.len()],
}

impl Profile {
    /// Leaves every setting alone.
    pub const NONE: Self = Self { values: [0; Feature::ALL.len()] };

    /// This profile with another value of `feature`.
    #[must_use]
    pub const fn with(mut self, feature: Feature, value: u32) -> Self {
        self.values[feature as usize] = value;
        self
    }

    /// What is asked for; `None` leaves the kernel's own value.
    #[must_use]
    pub const fn wanted(&self, feature: Feature) -> Option<u32> {
        match self.values[feature as usize] {
            0 => None,
            value => Some(value),
        }
    }
}

/// One setting of a profile: each is applied, refused and reported by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Feature {
    /// `TCP_NODELAY`: Nagle's algorithm off.
    Nodelay = 0,
    /// Smallest retransmission timeout, in microseconds.
    RtoMin = 1,
    /// Longest delay of an acknowledgement, in microseconds.
    DelackMax = 2,
    /// `TCP_NOTSENT_LOWAT`: with more unsent bytes than this a socket has no room.
    NotsentLowat = 3,
    /// `TCP_USER_TIMEOUT`: milliseconds without an acknowledgement after which a connection ends.
    UserTimeout = 4,
    /// Largest retransmission timeout, in milliseconds.
    RtoMax = 5,
    /// `TCP_THIN_LINEAR_TIMEOUTS`: with few packets in flight, the first six timeouts do not double.
    ThinLinear = 6,
}

impl Feature {
    /// All features, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::Nodelay,
        Self::RtoMin,
        Self::DelackMax,
        Self::NotsentLowat,
        Self::UserTimeout,
        Self::RtoMax,
        Self::ThinLinear,
    ];

    /// The feature's word in settings and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nodelay => "nodelay",
            Self::RtoMin => "rto_min_us",
            Self::DelackMax => "delack_max_us",
            Self::NotsentLowat => "notsent_lowat_bytes",
            Self::UserTimeout => "user_timeout_ms",
            Self::RtoMax => "rto_max_ms",
            Self::ThinLinear => "thin_linear",
        }
    }

    /// The feature with this word.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|feature| feature.name() == name)
    }

    /// Smallest and largest value that a profile may ask for, besides 0. The bounds of the timeouts are
    /// the kernel's.
    #[must_use]
    pub const fn range(self) -> (u32, u32) {
        match self {
            Self::Nodelay | Self::ThinLinear => (1, 1),
            Self::RtoMin | Self::DelackMax => (1_000, 200_000),
            Self::NotsentLowat => (4_096, 16 * 1024 * 1024),
            Self::UserTimeout => (1_000, 3_600_000),
            Self::RtoMax => (1_000, 120_000),
        }
    }

    /// A value that any kernel with the feature takes: for trying it.
    #[must_use]
    pub const fn sample(self) -> u32 {
        match self {
            Self::Nodelay | Self::ThinLinear => 1,
            Self::RtoMin => 100_000,
            Self::DelackMax => 40_000,
            Self::NotsentLowat => 131_072,
            Self::UserTimeout => 30_000,
            Self::RtoMax => 10_000,
        }
    }

    /// Option number for `bpf_setsockopt` at level `IPPROTO_TCP`.
    #[must_use]
    pub const fn bpf_option(self) -> i32 {
        match self {
            Self::RtoMin => 1004,
            Self::DelackMax => 1003,
            _ => self.socket_option(),
        }
    }

    /// Option number for `setsockopt(2)` and `getsockopt(2)` at level `IPPROTO_TCP`. The timers of
    /// retransmission and acknowledgement have one since Linux 6.15 only.
    #[must_use]
    pub const fn socket_option(self) -> i32 {
        match self {
            Self::Nodelay => 1,
            Self::RtoMin => 45,
            Self::DelackMax => 46,
            Self::NotsentLowat => 25,
            Self::UserTimeout => 18,
            Self::RtoMax => 44,
            Self::ThinLinear => 16,
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
            let rto_min = profile.wanted(Feature::RtoMin).unwrap_or(200_000);
            assert!(rto_min > profile.values[Feature::DelackMax as usize]);
        }
    }

    #[test]
    fn every_value_that_is_given_or_tried_is_within_its_range() {
        for feature in Feature::ALL {
            let (least, most) = feature.range();
            assert!((least..=most).contains(&feature.sample()), "{}", feature.name());
            for value in Leg::ALL.into_iter().filter_map(|leg| leg.profile().wanted(feature)) {
                assert!((least..=most).contains(&value), "{}", feature.name());
            }
        }
    }

    #[test]
    fn numbers_and_words_lead_back() {
        for (number, leg) in Leg::ALL.into_iter().enumerate() {
            assert_eq!((leg as usize, Leg::from_name(leg.name())), (number, Some(leg)));
        }
        for (number, feature) in Feature::ALL.into_iter().enumerate() {
            assert_eq!((feature as usize, Feature::from_name(feature.name())), (number, Some(feature)));
        }
        assert_eq!(Leg::from_name("Agent"), None);
    }

    #[test]
    fn a_zero_leaves_the_setting_alone() {
        assert_eq!(Leg::Agent.profile().wanted(Feature::DelackMax), None);
        assert_eq!(Leg::Agent.profile().wanted(Feature::RtoMin), Some(50_000));
        assert_eq!(Leg::Mesh.profile().wanted(Feature::DelackMax), Some(4_000));
    }
}
