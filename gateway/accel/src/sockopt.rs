//! TCP options by `setsockopt` and `getsockopt`: the second rung, and what the status reads back.
//!
//! The two timers are too new for the libraries that wrap socket options safely.
#![allow(unsafe_code, reason = "setsockopt and getsockopt by number")]

use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use waggle_ebpf::{Feature, Profile, attempts};

/// What the kernel did with a wish.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Took it as asked.
    Applied,
    /// Took a larger value: the wish was below its floor.
    Raised,
    /// Took none of the values tried; the last error.
    Refused(io::Error),
}

/// Sets `feature` to `wanted`, or to the smallest larger value that the kernel takes.
pub(super) fn apply(socket: BorrowedFd<'_>, feature: Feature, wanted: u32) -> Outcome {
    let [first, larger @ ..] = attempts(feature, wanted);
    let Err(mut error) = set(socket, feature, first) else {
        return Outcome::Applied;
    };
    for value in larger {
        match set(socket, feature, value) {
            Ok(()) => return Outcome::Raised,
            Err(again) => error = again,
        }
    }
    Outcome::Refused(error)
}

/// Whether the kernel takes `feature` by `setsockopt`, tried on a socket made for it.
pub(super) fn supported(feature: Feature, wanted: u32) -> io::Result<()> {
    let flags = SocketFlags::CLOEXEC;
    let scratch = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)
        .or_else(|_| socket_with(AddressFamily::INET6, SocketType::STREAM, flags, None))?;
    match apply(scratch.as_fd(), feature, wanted) {
        Outcome::Applied | Outcome::Raised => Ok(()),
        Outcome::Refused(error) => Err(error),
    }
}

/// Whether the kernel has no such option at all.
pub(super) fn is_unknown(feature: Feature) -> bool {
    supported(feature, feature.sample()).is_err_and(|error| error.raw_os_error() == Some(libc::ENOPROTOOPT))
}

/// The kernel's own value of `feature` on this socket: microseconds, or 1 and 0.
pub(super) fn get(socket: BorrowedFd<'_>, feature: Feature) -> io::Result<u32> {
    let mut value: libc::c_int = 0;
    let mut len = mem::size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the descriptor is open for the length of the call, and the kernel writes at most `len`
    // bytes to `value`, which is that large.
    let answer = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            feature.socket_option(),
            (&raw mut value).cast(),
            &raw mut len,
        )
    };
    if answer != 0 {
        return Err(io::Error::last_os_error());
    }
    u32::try_from(value).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// Length of the kernel's `struct tcp_info` up to the last field read here. Its fields never move.
const TCP_INFO_BYTES: usize = 220;

/// What the kernel knows of the path of a connected TCP socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct PathQuality {
    /// The socket's number in this machine's kernel, as in [`super::MomentReport::cookie`].
    pub cookie: u64,
    /// Smoothed round-trip time, in microseconds.
    pub rtt_us: u32,
    /// Its mean deviation, in microseconds.
    pub rtt_var_us: u32,
    /// Segments with data that were sent, those sent again included.
    pub segments: u32,
    /// Segments that were sent again.
    pub retransmits: u32,
    /// Of these, for nothing: the peer said that it had them already.
    pub spurious: u32,
    /// Retransmission timeouts since the last acknowledgement: above 0, the path is silent now.
    pub timeouts_in_a_row: u8,
}

/// The path of a TCP socket; `None` for any other.
#[must_use]
pub fn path_quality(socket: BorrowedFd<'_>) -> Option<PathQuality> {
    let mut info = [0_u8; TCP_INFO_BYTES];
    let mut len = TCP_INFO_BYTES as libc::socklen_t;
    // SAFETY: the descriptor is open for the length of the call, and the kernel writes at most `len`
    // bytes to `info`, which is that large.
    let answer = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    // What an older kernel does not tell stays 0.
    let word = |at: usize| u32::from_ne_bytes([info[at], info[at + 1], info[at + 2], info[at + 3]]);
    (answer == 0).then(|| PathQuality {
        cookie: rustix::net::sockopt::socket_cookie(socket).unwrap_or(0),
        rtt_us: word(68),
        rtt_var_us: word(72),
        segments: word(156),
        retransmits: word(100),
        spurious: word(216),
        timeouts_in_a_row: info[2],
    })
}

/// Applies each setting of `profile` to a TCP socket by `setsockopt`, as far as the kernel takes it.
pub fn apply_profile(socket: BorrowedFd<'_>, profile: &Profile) {
    for feature in Feature::ALL {
        if let Some(wanted) = profile.wanted(feature) {
            // What is refused is as if nobody had asked; `read_back` tells.
            let _ = apply(socket, feature, wanted);
        }
    }
}

fn set(socket: BorrowedFd<'_>, feature: Feature, value: u32) -> io::Result<()> {
    let value = libc::c_int::try_from(value).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the descriptor is open for the length of the call, and the kernel reads the four bytes of
    // `value` only.
    let answer = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            feature.socket_option(),
            (&raw const value).cast(),
            mem::size_of_val(&value) as libc::socklen_t,
        )
    };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, UdpSocket};

    #[test]
    fn nodelay_is_set_and_read_back() {
        let socket = TcpListener::bind("127.0.0.1:0").expect("loopback");
        assert_eq!(get(socket.as_fd(), Feature::Nodelay).expect("readable"), 0);
        assert!(matches!(apply(socket.as_fd(), Feature::Nodelay, 1), Outcome::Applied));
        assert_eq!(get(socket.as_fd(), Feature::Nodelay).expect("readable"), 1);
    }

    #[test]
    fn a_connected_socket_has_a_path_and_others_have_none() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let opened = std::net::TcpStream::connect(listener.local_addr().expect("bound")).expect("loopback");
        let path = path_quality(opened.as_fd()).expect("connected");
        assert!(path.cookie != 0 && path.rtt_us > 0 && path.retransmits == 0, "{path:?}");
        assert_eq!(path_quality(UdpSocket::bind("127.0.0.1:0").expect("loopback").as_fd()), None);
    }

    #[test]
    fn a_socket_without_the_option_refuses() {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback");
        let outcome = apply(socket.as_fd(), Feature::RtoMin, 50_000);
        assert!(matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
    }

    #[test]
    fn a_timer_is_never_set_below_the_wish() {
        if supported(Feature::DelackMax, 4_000).is_err() {
            let reason = "this kernel has no TCP_DELACK_MAX_US (Linux 6.15 has)";
            crate::skip("a_timer_is_never_set_below_the_wish", reason);
            return;
        }
        let socket = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let outcome = apply(socket.as_fd(), Feature::DelackMax, 4_000);
        assert!(matches!(outcome, Outcome::Applied | Outcome::Raised));
        let value = get(socket.as_fd(), Feature::DelackMax).expect("readable");
        assert!((4_000..=40_000).contains(&value), "{value}");
    }
}
