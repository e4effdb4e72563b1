//! Which profile a connection gets: pure functions, shared by the program and by host tests.

use crate::abi::{OP_ACTIVE_ESTABLISHED, OP_PASSIVE_ESTABLISHED, PortKey, Side};
use crate::leg::{Feature, Leg};

/// Most values tried for one setting of one connection.
pub const ATTEMPTS_MAX: usize = 4;

/// The key to look up for a `sock_ops` call, or `None` when the call does not establish a connection.
///
/// `local_port` is in host byte order and `remote_port_be` in network byte order in 32 bits, both as
/// the kernel puts them into `bpf_sock_ops`. A connection that we accepted is known by our port, one
/// that we opened by the port of its other end.
#[must_use]
pub const fn lookup_key(op: u32, local_port: u32, remote_port_be: u32) -> Option<PortKey> {
    match op {
        OP_PASSIVE_ESTABLISHED => Some(PortKey::new(local_port as u16, Side::Local)),
        OP_ACTIVE_ESTABLISHED => Some(PortKey::new(u32::from_be(remote_port_be) as u16, Side::Remote)),
        _ => None,
    }
}

/// The keys under which `port` is put into the map for `leg`.
///
/// Mesh peers listen on the same port on every node, so connections that we open to it count too. An
/// agent's connection is always one that we accepted.
#[must_use]
pub const fn map_keys(leg: Leg, port: u16) -> (PortKey, Option<PortKey>) {
    let accepted = PortKey::new(port, Side::Local);
    match leg {
        Leg::Agent => (accepted, None),
        Leg::Mesh => (accepted, Some(PortKey::new(port, Side::Remote))),
    }
}

/// The values to try for a setting, in order, until the kernel takes one.
///
/// The kernel refuses timers below two jiffies, and a jiffy is 1 to 10 ms, by its configuration. Trying
/// the double three times finds a value within that floor wherever the wish is 2.5 ms or more, with no
/// need to know the jiffy. A switch has one value, repeated.
#[must_use]
pub const fn attempts_us(feature: Feature, wanted: u32) -> [u32; ATTEMPTS_MAX] {
    match feature {
        Feature::Nodelay => [wanted; ATTEMPTS_MAX],
        Feature::RtoMin | Feature::DelackMax => {
            [wanted, wanted.saturating_mul(2), wanted.saturating_mul(4), wanted.saturating_mul(8)]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// (op, local port, remote port) and what the program must look up.
    const VECTORS: [(u32, u16, u16, Option<PortKey>); 5] = [
        (OP_PASSIVE_ESTABLISHED, 7443, 50_000, Some(PortKey::new(7443, Side::Local))),
        (OP_ACTIVE_ESTABLISHED, 50_000, 7501, Some(PortKey::new(7501, Side::Remote))),
        (3, 7443, 50_000, None),
        (6, 7443, 50_000, None),
        (0, 0, 0, None),
    ];

    #[test]
    fn established_connections_are_looked_up_by_their_listening_port() {
        for (op, local, remote, expected) in VECTORS {
            let got = lookup_key(op, u32::from(local), u32::from(remote).to_be());
            assert_eq!(got, expected, "op {op} local {local} remote {remote}");
        }
    }

    #[test]
    fn a_push_port_is_not_matched_on_connections_that_we_open() {
        assert_eq!(map_keys(Leg::Agent, 7443), (PortKey::new(7443, Side::Local), None));
        assert_eq!(map_keys(Leg::Mesh, 7501).1, Some(PortKey::new(7501, Side::Remote)));
    }

    #[test]
    fn the_second_attempt_reaches_two_jiffies_at_250_hz_and_the_third_at_100_hz() {
        let attempts = attempts_us(Feature::DelackMax, 4_000);
        assert_eq!(attempts, [4_000, 8_000, 16_000, 32_000]);
        assert_eq!(attempts_us(Feature::Nodelay, 1), [1; ATTEMPTS_MAX]);
    }

    proptest! {
        #[test]
        fn both_ends_of_a_mesh_connection_find_what_was_put_into_the_map(port: u16, other: u16) {
            let (accepted, opened) = map_keys(Leg::Mesh, port);
            let at_listener = lookup_key(OP_PASSIVE_ESTABLISHED, u32::from(port), u32::from(other).to_be());
            let at_opener = lookup_key(OP_ACTIVE_ESTABLISHED, u32::from(other), u32::from(port).to_be());
            prop_assert_eq!(at_listener, Some(accepted));
            prop_assert_eq!(at_opener, opened);
        }

        #[test]
        fn attempts_never_fall(wanted: u32) {
            let attempts = attempts_us(Feature::RtoMin, wanted);
            prop_assert!(attempts.is_sorted());
            prop_assert_eq!(attempts[0], wanted);
        }
    }
}
