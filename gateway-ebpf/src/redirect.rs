//! What is redirected past TCP, and by which key its other end is found: shared by the programs and by the
//! gateway; the decisions are pure and tested on the host.
//!
//! Both ends of a connection have to be in the map of sockets before its first byte is sent. The client's end
//! is established first, so the `sock_ops` program puts it in then, and the accepted end only where it finds
//! that the other one is there. At the first message of the accepted end the `sk_msg` program decides whether
//! the connection is redirected, and keeps to that: bytes that took the other way could come sooner.

use crate::abi::{OP_ACTIVE_ESTABLISHED, OP_PASSIVE_ESTABLISHED};

/// Map from a TCP port in host byte order to 1: connections that are accepted on it are redirected.
pub const MAP_PORTS: &str = "REDIRECT_PORTS";
/// Hash of sockets, by the [`Ends`] as the socket itself sees them.
pub const MAP_SOCKETS: &str = "REDIRECT_SOCKETS";
/// LRU hash from [`Ends`] to 1: clients' ends whose other end is not established yet.
pub const MAP_EXPECTED: &str = "REDIRECT_EXPECTED";
/// Socket storage of [`Way`] as its number, of accepted ends that are in the map of sockets.
pub const MAP_WAYS: &str = "REDIRECT_WAYS";
/// Per-CPU array of `u64`, indexed by [`Count`].
pub const MAP_COUNTS: &str = "REDIRECT_COUNTS";
/// The `sock_ops` program that puts sockets into the map.
pub const PROGRAM_ENTER: &str = "waggle_enter";
/// The `sk_msg` program that decides about each message.
pub const PROGRAM_MESSAGE: &str = "waggle_message";

/// Most ports.
pub const PORTS_MAX: u32 = 64;
/// Most sockets, two for each connection. Those that find no room are served over TCP.
pub const SOCKETS_MAX: u32 = 131_072;
/// Most clients' ends that wait for the other end; beyond, the oldest is served over TCP.
pub const EXPECTED_MAX: u32 = 16_384;

/// A connection as one of its ends sees it: a key of the map of sockets. 48 bytes without padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Ends {
    /// The network namespace's cookie: two containers may have connections of the same addresses and ports.
    pub namespace: u64,
    /// This end's address; IPv4 as IPv4-mapped IPv6.
    pub local: [u8; 16],
    /// The other end's address.
    pub remote: [u8; 16],
    /// This end's port, in host byte order.
    pub local_port: u16,
    /// The other end's port, in host byte order.
    pub remote_port: u16,
    /// Always 0.
    pub zero: u32,
}

const _: () = assert!(size_of::<Ends>() == 48 && align_of::<Ends>() == 8);

impl Ends {
    /// An end in `namespace`. The local port is in host byte order and the remote one in network byte order
    /// in 32 bits, as the kernel gives them to programs.
    #[must_use]
    #[inline(always)]
    pub const fn new(
        namespace: u64,
        (local, local_port): ([u8; 16], u32),
        (remote, remote_port_be): ([u8; 16], u32),
    ) -> Self {
        let remote_port = u32::from_be(remote_port_be) as u16;
        Self { namespace, local, remote, local_port: local_port as u16, remote_port, zero: 0 }
    }

    /// The same connection as its other end sees it.
    #[must_use]
    #[inline(always)]
    pub const fn reversed(&self) -> Self {
        Self {
            namespace: self.namespace,
            local: self.remote,
            remote: self.local,
            local_port: self.remote_port,
            remote_port: self.local_port,
            zero: 0,
        }
    }
}

/// Which end of a connection has been established.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The one that connected.
    Client,
    /// The one that was accepted, or will be.
    Accepted,
}

/// The end that a `sock_ops` call is about and the port that the connection was made to; `None` where the
/// call does not establish a connection.
#[must_use]
#[inline(always)]
pub const fn established(op: u32, ends: &Ends) -> Option<(End, u16)> {
    match op {
        OP_ACTIVE_ESTABLISHED => Some((End::Client, ends.remote_port)),
        OP_PASSIVE_ESTABLISHED => Some((End::Accepted, ends.local_port)),
        _ => None,
    }
}

/// Which way the messages of an accepted end go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Way {
    /// Both ends are in the map, and nothing has been sent.
    Undecided = 1,
    /// To the other end's queue.
    Redirected = 2,
    /// By TCP.
    Tcp = 3,
}

impl Way {
    /// The way with this number.
    #[must_use]
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::Undecided),
            2 => Some(Self::Redirected),
            3 => Some(Self::Tcp),
            _ => None,
        }
    }
}

/// What becomes of one message, and of its connection from then on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The way of the connection after it.
    pub way: Way,
    /// Whether the message goes on; where not, sending it fails.
    pub passes: bool,
}

/// Decides about a message of a connection on `way`; `found` is whether the other end is in the map of
/// sockets (asked for [`Way::Undecided`] and [`Way::Redirected`] only).
///
/// A first message that does not find it goes by TCP, as all after it. A later one that does not find it has
/// no reader any more: an end leaves the map when it closes. By TCP it might yet come where bytes before it
/// are lost, so it is not sent at all, and the connection ends.
#[must_use]
#[inline(always)]
pub const fn verdict(way: Way, found: bool) -> Verdict {
    match (way, found) {
        (Way::Undecided | Way::Redirected, true) => Verdict { way: Way::Redirected, passes: true },
        (Way::Undecided | Way::Tcp, _) => Verdict { way: Way::Tcp, passes: true },
        (Way::Redirected, false) => Verdict { way: Way::Redirected, passes: false },
    }
}

/// What the programs count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Count {
    /// Clients' ends in the map.
    Clients = 0,
    /// Connections with both ends in the map.
    Pairs = 1,
    /// Connections that were accepted while their other end was not in the map: it is on another machine, in
    /// another network namespace, or in a cgroup that is not named.
    Elsewhere = 2,
    /// Sockets for which the map had no room.
    Full = 3,
    /// Connections whose first message was redirected.
    Redirected = 4,
    /// Connections whose first message did not find the other end, and that go by TCP.
    Missed = 5,
    /// Messages that were redirected.
    Messages = 6,
    /// Their bytes.
    Bytes = 7,
    /// Messages that were not sent, for the other end had gone.
    Gone = 8,
}

impl Count {
    /// All counts, in the order of their numbers.
    pub const ALL: [Self; 9] = [
        Self::Clients,
        Self::Pairs,
        Self::Elsewhere,
        Self::Full,
        Self::Redirected,
        Self::Missed,
        Self::Messages,
        Self::Bytes,
        Self::Gone,
    ];

    /// Its word in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Clients => "clients",
            Self::Pairs => "pairs",
            Self::Elsewhere => "elsewhere",
            Self::Full => "full",
            Self::Redirected => "redirected",
            Self::Missed => "missed",
            Self::Messages => "messages",
            Self::Bytes => "bytes",
            Self::Gone => "gone",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::address;
    use proptest::prelude::*;

    const IPV4: u32 = 2;
    const IPV6: u32 = 10;

    #[test]
    fn a_dual_stack_server_and_an_ipv4_client_see_the_same_connection() {
        let (client, server) = ([127, 0, 0, 2], [127, 0, 0, 1]);
        let four = |octets: [u8; 4]| address(IPV4, u32::from_ne_bytes(octets), [0; 4]);
        let mapped =
            |octets: [u8; 4]| address(IPV6, 0, [0, 0, 0xffff_u32.to_be(), u32::from_ne_bytes(octets)]);
        let of_client = Ends::new(7, (four(client), 50_000), (four(server), 8081_u32.to_be()));
        let of_server = Ends::new(7, (mapped(server), 8081), (mapped(client), 50_000_u32.to_be()));
        assert_eq!(of_client.reversed(), of_server);
        assert_eq!((of_client.local_port, of_client.remote_port), (50_000, 8081));
        let elsewhere = Ends { namespace: 8, ..of_server };
        assert_ne!(of_client.reversed(), elsewhere);
    }

    #[test]
    fn the_port_is_that_which_was_connected_to() {
        let ends = Ends::new(1, ([1; 16], 50_000), ([2; 16], 8081_u32.to_be()));
        assert_eq!(established(OP_ACTIVE_ESTABLISHED, &ends), Some((End::Client, 8081)));
        assert_eq!(established(OP_PASSIVE_ESTABLISHED, &ends.reversed()), Some((End::Accepted, 8081)));
        for op in [0, 1, 2, 3, 6, 10, 12] {
            assert_eq!(established(op, &ends), None, "{op}");
        }
    }

    #[test]
    fn numbers_lead_back() {
        for way in [Way::Undecided, Way::Redirected, Way::Tcp] {
            assert_eq!(Way::from_number(way as u32), Some(way));
        }
        assert_eq!((Way::from_number(0), Way::from_number(4)), (None, None));
        for (number, count) in Count::ALL.into_iter().enumerate() {
            assert_eq!(count as usize, number, "{}", count.name());
        }
    }

    proptest! {
        /// Whatever the map holds from message to message: all that pass went the same way, the first one
        /// always passes, and after one that did not none is sent by TCP.
        #[test]
        fn a_connection_keeps_its_way(found in proptest::collection::vec(any::<bool>(), 1..50)) {
            let mut way = Way::Undecided;
            let mut ways = Vec::new();
            for (number, found) in found.iter().enumerate() {
                let verdict = verdict(way, *found);
                way = verdict.way;
                prop_assert!(way != Way::Undecided && (verdict.passes || number > 0));
                ways.push(way);
            }
            prop_assert!(ways.iter().all(|way| *way == ways[0]));
            prop_assert_eq!(ways[0] == Way::Redirected, found[0]);
        }
    }
}
