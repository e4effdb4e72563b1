//! Connections of this process with itself, to see what the kernel does with them.
#![allow(unsafe_code, reason = "the network namespace's cookie by number")]

use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::time::Duration;

use waggle_ebpf::redirect::Ends;

use crate::network::mapped;

/// Loopback answers within microseconds; beyond this it does not answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);
/// Strangers on the port that are turned away.
const STRANGERS_MAX: usize = 8;
/// Since Linux 5.14.
const SO_NETNS_COOKIE: libc::c_int = 71;

/// Both ends of a connection. Neither blocks for longer than [`PATIENCE`].
pub(super) struct TcpPair {
    pub(super) client: TcpStream,
    pub(super) accepted: TcpStream,
}

/// Where one will be made.
pub(super) struct Listening(TcpListener);

impl TcpPair {
    pub(super) fn listen() -> io::Result<Listening> {
        Ok(Listening(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?))
    }

    pub(super) fn accepted(&self) -> BorrowedFd<'_> {
        self.accepted.as_fd()
    }
}

impl Listening {
    pub(super) fn port(&self) -> io::Result<u16> {
        Ok(self.0.local_addr()?.port())
    }

    pub(super) fn connect(&self) -> io::Result<TcpPair> {
        let client = TcpStream::connect_timeout(&self.0.local_addr()?, PATIENCE)?;
        let ours = client.local_addr()?;
        for _ in 0..STRANGERS_MAX {
            // Ours is in the queue already, so this does not block.
            let (accepted, peer) = self.0.accept()?;
            if peer == ours {
                for end in [&client, &accepted] {
                    end.set_read_timeout(Some(PATIENCE))?;
                    end.set_write_timeout(Some(PATIENCE))?;
                    end.set_nodelay(true)?;
                }
                return Ok(TcpPair { client, accepted });
            }
        }
        Err(io::ErrorKind::AddrInUse.into())
    }
}

/// The connection as this end of it sees it.
pub(super) fn ends(socket: &TcpStream) -> io::Result<Ends> {
    let bytes = |address: SocketAddr| -> [u8; 16] { mapped(IpAddr::to_canonical(&address.ip())) };
    let (local, remote) = (socket.local_addr()?, socket.peer_addr()?);
    Ok(Ends::new(
        namespace(socket)?,
        (bytes(local), local.port().into()),
        (bytes(remote), u32::from(remote.port()).to_be()),
    ))
}

fn namespace(socket: &TcpStream) -> io::Result<u64> {
    let mut cookie = 0_u64;
    let mut len = mem::size_of::<u64>() as libc::socklen_t;
    // SAFETY: the descriptor is open for the length of the call, and the kernel writes at most `len` bytes
    // to `cookie`, which is that large.
    let answer = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut len,
        )
    };
    if answer == 0 { Ok(cookie) } else { Err(io::Error::last_os_error()) }
}
