//! TCP options by `setsockopt` and `getsockopt`: the second rung, and what the status reads back.
//!
//! The two timers are too new for the libraries that wrap socket options safely.
#![allow(unsafe_code, reason = "setsockopt and getsockopt by number")]

use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use waggle_ebpf::{Feature, attempts_us};

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
    let [first, larger @ ..] = attempts_us(feature, wanted);
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
    fn a_socket_without_the_option_refuses() {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback");
        let outcome = apply(socket.as_fd(), Feature::RtoMin, 50_000);
        assert!(matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
    }

    #[test]
    fn a_timer_is_never_set_below_the_wish() {
        if supported(Feature::DelackMax, 4_000).is_err() {
            let reason = "this kernel has no TCP_DELACK_MAX_US (Linux 6.15 has)";
            crate::accel::skip("a_timer_is_never_set_below_the_wish", reason);
            return;
        }
        let socket = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let outcome = apply(socket.as_fd(), Feature::DelackMax, 4_000);
        assert!(matches!(outcome, Outcome::Applied | Outcome::Raised));
        let value = get(socket.as_fd(), Feature::DelackMax).expect("readable");
        assert!((4_000..=40_000).contains(&value), "{value}");
    }
}
