//! A TUN device: IP packets of a namespace as reads and writes of a descriptor.
#![allow(unsafe_code, reason = "TUNSETIFF is an ioctl of its own")]

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;

use anyhow::{Context, Result, ensure};

/// `TUNSETIFF` of `linux/if_tun.h`.
const TUNSETIFF: libc::c_ulong = 0x4004_54ca;
/// `IFF_TUN | IFF_NO_PI`: bare IP packets.
const FLAGS: u16 = 0x1001;

/// `struct ifreq` as far as `TUNSETIFF` reads it, in its full size.
#[repr(C)]
struct Request {
    name: [u8; 16],
    flags: u16,
    rest: [u8; 22],
}

/// Makes the device `name` in the calling thread's namespace; it goes with the descriptor.
pub(super) fn open(name: &str) -> Result<File> {
    ensure!(name.len() < 16, "{name} is too long for a device");
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(libc::O_NONBLOCK);
    let file = options.open("/dev/net/tun").context("cannot open /dev/net/tun")?;
    let mut request = Request { name: [0; 16], flags: FLAGS, rest: [0; 22] };
    request.name[..name.len()].copy_from_slice(name.as_bytes());
    // SAFETY: the descriptor is open, and the kernel reads and writes at most the 40 bytes of a
    // `struct ifreq`, which `request` has.
    let answer = unsafe { libc::ioctl(file.as_raw_fd(), TUNSETIFF, &raw mut request) };
    ensure!(answer == 0, "cannot make the device {name}: {}", std::io::Error::last_os_error());
    Ok(file)
}
