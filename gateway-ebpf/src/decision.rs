//! Which profile a connection gets: pure functions, shared by the program and by host tests.

use crate::abi::{OP_ACTIVE_ESTABLISHED, OP_PASSIVE_ESTABLISHED, Side};
use crate::leg::{Feature, Leg};

/// Most values tried for one setting of one connection.
pub const ATTEMPTS_MAX: usize = 4;

/// `AF_INET`.
const FAMILY_IPV4: u32 = 2;

/// The side and the port to look up for a `sock_ops` call, or `None` when the call does not establish a
/// connection.
///
/// `local_port` is in host byte order and `remote_port_be` in network byte order in 32 bits, both as
/// the kernel puts them into `bpf_sock_ops`. A connection that we accepted is known by our port, one
/// that we opened by the port of its other end.
#[must_use]
pub const fn lookup_port(op: u32, local_port: u32, remote_port_be: u32) -> Option<(Side, u16)> {
    match op {
        OP_PASSIVE_ESTABLISHED => Some((Side::Local, local_port as u16)),
        OP_ACTIVE_ESTABLISHED => Some((Side::Remote, u32::from_be(remote_port_be) as u16)),
        _ => None,
    }
}

/// The other end's address: IPv4 as IPv4-mapped IPv6. The words are in network byte order, as in
/// `bpf_sock_ops`.
#[must_use]
#[inline(always)]
pub const fn address(family: u32, ipv4: u32, ipv6: [u32; 4]) -> [u8; 16] {
    let words = if family == FAMILY_IPV4 { [0, 0, 0xffff_u32.to_be(), ipv4] } else { ipv6 };
    let [a, b, c, d] =
        [words[0].to_ne_bytes(), words[1].to_ne_bytes(), words[2].to_ne_bytes(), words[3].to_ne_bytes()];
    [a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3], c[0], c[1], c[2], c[3], d[0], d[1], d[2], d[3]]
}

/// The sides under which a port of `leg` is put into the rules.
///
/// Mesh peers listen on the same port on every node, so connections that we open to it count too. The
/// others are always connections that we accepted.
#[must_use]
pub const fn sides(leg: Leg) -> &'static [Side] {
    match leg {
        Leg::Agent | Leg::Local => &[Side::Local],
        Leg::Mesh => &[Side::Local, Side::Remote],
    }
}

/// The values to try for a setting, in order, until the kernel takes one.
///
/// The kernel refuses timers below two jiffies, and a jiffy is 1 to 10 ms, by its configuration. Trying
/// the double three times finds a value within that floor wherever the wish is 2.5 ms or more, with no
/// need to know the jiffy. Other settings have one value, repeated.
#[must_use]
pub const fn attempts(feature: Feature, wanted: u32) -> [u32; ATTEMPTS_MAX] {
    match feature {
        Feature::RtoMin | Feature::DelackMax => {
            [wanted, wanted.saturating_mul(2), wanted.saturating_mul(4), wanted.saturating_mul(8)]
        }
        _ => [wanted; ATTEMPTS_MAX],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    type Expected = Option<(Side, u16)>;

    /// (op, local port, remote port) and what the program must look up.
    const VECTORS: [(u32, u16, u16, Expected); 5] = [
        (OP_PASSIVE_ESTABLISHED, 7443, 50_000, Some((Side::Local, 7443))),
        (OP_ACTIVE_ESTABLISHED, 50_000, 7501, Some((Side::Remote, 7501))),
        (3, 7443, 50_000, None),
        (6, 7443, 50_000, None),
        (0, 0, 0, None),
    ];

    #[test]
    fn established_connections_are_looked_up_by_their_listening_port() {
        for (op, local, remote, expected) in VECTORS {
            let got = lookup_port(op, u32::from(local), u32::from(remote).to_be());
            assert_eq!(got, expected, "op {op} local {local} remote {remote}");
        }
    }

    #[test]
    fn a_push_port_is_not_matched_on_connections_that_we_open() {
        assert_eq!(sides(Leg::Agent), [Side::Local]);
        assert_eq!(sides(Leg::Mesh), [Side::Local, Side::Remote]);
    }

    #[test]
    fn the_second_attempt_reaches_two_jiffies_at_250_hz_and_the_third_at_100_hz() {
        assert_eq!(attempts(Feature::DelackMax, 4_000), [4_000, 8_000, 16_000, 32_000]);
        assert_eq!(attempts(Feature::Nodelay, 1), [1; ATTEMPTS_MAX]);
    }

    proptest! {
        #[test]
        fn addresses_of_both_families_become_one_kind(four: [u8; 4], six: [u8; 16], noise: [u32; 4]) {
            let word = |bytes: [u8; 4]| u32::from_ne_bytes(bytes);
            let mapped = Ipv4Addr::from(four).to_ipv6_mapped().octets();
            prop_assert_eq!(address(FAMILY_IPV4, word(four), noise), mapped);
            let words = [0, 4, 8, 12].map(|at| word([six[at], six[at + 1], six[at + 2], six[at + 3]]));
            prop_assert_eq!(address(10, noise[0], words), Ipv6Addr::from(six).octets());
        }

        #[test]
        fn attempts_never_fall(wanted: u32) {
            let attempts = attempts(Feature::RtoMin, wanted);
            prop_assert!(attempts.is_sorted());
            prop_assert_eq!(attempts[0], wanted);
        }
    }
}
