//! Links by number: what the library has no call for.
#![allow(unsafe_code, reason = "bpf(2) by number")]

use std::ffi::CString;
use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

const BPF_OBJ_GET: libc::c_int = 7;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const BPF_LINK_UPDATE: libc::c_int = 29;
const BPF_LINK_DETACH: libc::c_int = 34;

const LINK_TYPE_CGROUP: u32 = 3;
const LINK_TYPE_XDP: u32 = 6;

/// What a link hangs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A cgroup, by its inode's number.
    Cgroup(u64),
    /// A network interface, by its index in its namespace.
    Interface(u32),
    /// Nothing any more: the cgroup or the interface is gone.
    Gone,
    /// Something that is none of ours.
    Other,
}

/// A pinned link, opened.
#[derive(Debug)]
pub(crate) struct PinnedLink(OwnedFd);

#[repr(C)]
struct Get {
    path: u64,
    fd: u32,
    flags: u32,
}

#[repr(C)]
struct GetInfo {
    fd: u32,
    length: u32,
    info: u64,
}

#[repr(C)]
struct Update {
    link: u32,
    program: u32,
    flags: u32,
    old_program: u32,
}

#[repr(C)]
struct Detach {
    link: u32,
}

/// The head of the kernel's `struct bpf_link_info`, and room for the rest that matters.
#[repr(C, align(8))]
#[derive(Default)]
struct Info {
    kind: u32,
    _id: u32,
    _program: u32,
    _hole: u32,
    /// A cgroup's id, or in the first four bytes an interface's index.
    target: [u8; 8],
}

impl PinnedLink {
    /// What is pinned at `path`.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let path = CString::new(path.as_os_str().as_bytes())?;
        let mut attributes = Get { path: path.as_ptr() as u64, fd: 0, flags: 0 };
        let fd = bpf(BPF_OBJ_GET, &mut attributes)?;
        // SAFETY: the kernel has just given this descriptor to nobody else.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// What it hangs on.
    pub(crate) fn target(&self) -> io::Result<Target> {
        let mut info = Info::default();
        let mut attributes =
            GetInfo { fd: self.raw(), length: mem::size_of::<Info>() as u32, info: (&raw mut info) as u64 };
        bpf(BPF_OBJ_GET_INFO_BY_FD, &mut attributes)?;
        let [a, b, c, d, ..] = info.target;
        Ok(match (info.kind, u64::from_ne_bytes(info.target), u32::from_ne_bytes([a, b, c, d])) {
            (LINK_TYPE_CGROUP, 0, _) | (LINK_TYPE_XDP, _, 0) => Target::Gone,
            (LINK_TYPE_CGROUP, id, _) => Target::Cgroup(id),
            (LINK_TYPE_XDP, _, index) => Target::Interface(index),
            _ => Target::Other,
        })
    }

    /// Replaces its program, in one step: no event sees none, or both.
    pub(crate) fn update(&self, program: BorrowedFd<'_>) -> io::Result<()> {
        let program = raw(program);
        let mut attributes = Update { link: self.raw(), program, flags: 0, old_program: 0 };
        bpf(BPF_LINK_UPDATE, &mut attributes).map(drop)
    }

    /// Takes its program off, whoever else holds the link.
    pub(crate) fn detach(&self) -> io::Result<()> {
        bpf(BPF_LINK_DETACH, &mut Detach { link: self.raw() }).map(drop)
    }

    fn raw(&self) -> u32 {
        raw(self.0.as_fd())
    }
}

fn raw(fd: BorrowedFd<'_>) -> u32 {
    // An open descriptor is not negative.
    fd.as_raw_fd().unsigned_abs()
}

/// `attributes` is one of the structs above: what its kernel counterpart has more is 0.
fn bpf<T>(command: libc::c_int, attributes: &mut T) -> io::Result<libc::c_int> {
    // SAFETY: the kernel reads and writes at most the given number of bytes at `attributes`, and what the
    // pointers in it name is alive in the callers, as long as they say.
    let answer =
        unsafe { libc::syscall(libc::SYS_bpf, command, (&raw mut *attributes), mem::size_of::<T>()) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer as libc::c_int) }
}
