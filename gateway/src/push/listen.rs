//! Listening sockets, and the loops that accept from them.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Type};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use waggle_core::limits::{ACCEPTS_PER_TURN_MAX, HANDSHAKES_MAX};

use super::connection::{self, Origin, Underway};
use super::hub::{Handover, HandoverStream};
use super::peer::{Peer, Via};
use super::shard::Shard;
use super::socket::Socket;
use crate::accel::RedirectWay;

/// Connections that the kernel keeps until they are accepted.
const BACKLOG: i32 = 4_096;
/// Pause after an accept that failed for want of file descriptors or memory.
const ACCEPT_RETRY_MS: u64 = 50;

/// Called with each socket that the engine accepts, before anything is sent on it.
pub type AcceptHook = Arc<dyn Fn(BorrowedFd<'_>) + Send + Sync>;

/// Tells which way an accepted TCP connection's messages go, where the kernel may redirect them.
pub type RedirectHook = Arc<dyn Fn(BorrowedFd<'_>) -> Option<RedirectWay> + Send + Sync>;

/// Told of the address of a TCP peer that has shown a token that nobody has.
pub type UnauthorizedHook = Arc<dyn Fn(IpAddr) + Send + Sync>;

/// One shard's listening sockets.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    pub(super) tcp: Option<std::net::TcpListener>,
    pub(super) unix: Option<std::os::unix::net::UnixListener>,
}

/// As many TCP listeners on one address: the kernel spreads connections over them. Where somebody else
/// listens there already, this fails: another gateway of the same user would otherwise be given a share
/// of the connections.
pub(super) fn bind_tcp(address: SocketAddr, count: usize) -> io::Result<Vec<std::net::TcpListener>> {
    if address.port() != 0 {
        // Sharing is not asked for here, so this is refused where anybody listens. It is not refused for
        // connections that a killed gateway has left behind.
        new_socket(address)?.bind(&address.into())?;
    }
    let first = bind_one(address)?;
    // The port that was given where any was asked for.
    let address = first.local_addr()?;
    let mut listeners = vec![first];
    while listeners.len() < count {
        listeners.push(bind_one(address)?);
    }
    Ok(listeners)
}

fn new_socket(address: SocketAddr) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    Ok(socket)
}

fn bind_one(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = new_socket(address)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// A listener at `path`, for the user and group of the gateway. A socket that a gateway left there when
/// it was killed is replaced; anything else is not.
pub(super) fn bind_unix(path: &Path) -> io::Result<std::os::unix::net::UnixListener> {
    if std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
        match UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path)?,
            Ok(_) => return Err(io::ErrorKind::AddrInUse.into()),
            Err(error) => return Err(error),
        }
    }
    let listener = std::os::unix::net::UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Accepts TCP connections until the drain begins; then those that the kernel has queued, so that they are
/// refused instead of reset, and closes the listener.
pub(super) async fn accept_tcp(shard: Rc<Shard>, listener: TcpListener, hook: Option<AcceptHook>) {
    let mut turn = 0;
    loop {
        let accepted = tokio::select! {
            biased;
            () = shard.drain_began() => break,
            accepted = async { wait_for_room(&shard).await; listener.accept().await } => accepted,
        };
        match accepted {
            Ok((stream, remote)) => {
                // A socket that does not take it is gone already.
                let _ = stream.set_nodelay(true);
                take_tcp(&shard, stream, remote, hook.as_ref());
            }
            Err(error) => pause_after(&error).await,
        }
        yield_sometimes(&shard, &mut turn).await;
    }
    // The kernel's own word: tokio's may be older.
    let Ok(listener) = listener.into_std() else { return };
    while let Ok((stream, remote)) = listener.accept() {
        if let Ok(stream) = from_std(stream) {
            take_tcp(&shard, stream, remote, hook.as_ref());
        }
    }
}

fn take_tcp(shard: &Rc<Shard>, stream: TcpStream, remote: SocketAddr, hook: Option<&AcceptHook>) {
    let peer = Peer { via: Via::Tcp, address: Some(remote.ip()), tcp: Some(remote.ip()) };
    let origin = Origin::Accepted(Underway::begin(shard));
    match shard.secure(stream) {
        Ok(socket) => serve(shard, socket, peer, origin, hook),
        Err(error) => tracing::error!(%error, "TLS cannot be served"),
    }
}

/// The same for the Unix socket, whose file is gone when the drain begins.
pub(super) async fn accept_unix(shard: Rc<Shard>, listener: UnixListener, hook: Option<AcceptHook>) {
    let mut turn = 0;
    loop {
        let accepted = tokio::select! {
            biased;
            () = shard.drain_began() => break,
            accepted = async { wait_for_room(&shard).await; listener.accept().await } => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                // One that has no std half is gone already.
                if let Ok(stream) = stream.into_std() {
                    take_unix(&shard, stream, hook.as_ref());
                }
            }
            Err(error) => pause_after(&error).await,
        }
        yield_sometimes(&shard, &mut turn).await;
    }
    let Ok(listener) = listener.into_std() else { return };
    while let Ok((stream, _)) = listener.accept() {
        if stream.set_nonblocking(true).is_ok() {
            take_unix(&shard, stream, hook.as_ref());
        }
    }
}

fn take_unix(shard: &Rc<Shard>, stream: UnixStream, hook: Option<&AcceptHook>) {
    match Socket::local(stream) {
        Ok(socket) => {
            let peer = Peer { via: Via::Unix, address: None, tcp: None };
            serve(shard, socket, peer, Origin::Accepted(Underway::begin(shard)), hook);
        }
        Err(error) => tracing::warn!(%error, "a push connection could not be watched"),
    }
}

/// Takes over a connection whose handshake has been done elsewhere; whoever accepted it has done what the hook
/// does.
pub(super) fn adopt(shard: &Rc<Shard>, handover: Handover) -> io::Result<()> {
    let Handover { stream, leftover, remote, peer, via } = handover;
    let socket = match stream {
        HandoverStream::Tcp(stream) => Socket::Tcp(from_std(stream)?),
        HandoverStream::Tls(stream, connection) => Socket::tls(from_std(stream)?, *connection),
        HandoverStream::Local(stream) => {
            stream.set_nonblocking(true)?;
            Socket::local(stream)?
        }
    };
    let peer = Peer { via, address: Some(remote), tcp: Some(peer) };
    serve(shard, socket, peer, Origin::Upgraded(leftover), None);
    Ok(())
}

fn from_std(stream: std::net::TcpStream) -> io::Result<TcpStream> {
    stream.set_nonblocking(true)?;
    let stream = TcpStream::from_std(stream)?;
    // A socket that does not take it is gone already.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

fn serve(shard: &Rc<Shard>, socket: Socket, peer: Peer, origin: Origin, hook: Option<&AcceptHook>) {
    if let Some(hook) = hook {
        hook(socket.as_fd());
    }
    tokio::task::spawn_local(connection::run(Rc::clone(shard), socket, peer, origin));
}

/// Waits until another handshake may begin.
async fn wait_for_room(shard: &Shard) {
    while shard.handshakes.get() >= HANDSHAKES_MAX {
        shard.handshake_ended.notified().await;
    }
}

/// A storm of connections takes turns with the sessions that are there.
async fn yield_sometimes(shard: &Rc<Shard>, turn: &mut usize) {
    shard.deliver_waiting();
    *turn += 1;
    if *turn >= ACCEPTS_PER_TURN_MAX {
        *turn = 0;
        tokio::task::yield_now().await;
    }
}

async fn pause_after(error: &io::Error) {
    tracing::warn!(%error, "a push connection could not be accepted");
    tokio::time::sleep(Duration::from_millis(ACCEPT_RETRY_MS)).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("push.sock");
        let live = bind_unix(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        assert_eq!(bind_unix(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(live);
        bind_unix(&path).unwrap();

        let file = folder.path().join("file");
        std::fs::write(&file, "precious").unwrap();
        assert!(bind_unix(&file).is_err());
        assert_eq!(std::fs::read(&file).unwrap(), b"precious");
    }

    #[test]
    fn tcp_listeners_share_one_address() {
        let listeners = bind_tcp("127.0.0.1:0".parse().unwrap(), 3).unwrap();
        let addresses: Vec<_> = listeners.iter().map(|one| one.local_addr().unwrap()).collect();
        assert!(addresses.len() == 3 && addresses.iter().all(|address| *address == addresses[0]));
        // Nobody else shares it.
        assert_eq!(bind_tcp(addresses[0], 1).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn connections_that_are_left_do_not_hold_the_address() {
        let listeners = bind_tcp("127.0.0.1:0".parse().unwrap(), 1).unwrap();
        let address = listeners[0].local_addr().unwrap();
        let connect = || {
            let client = std::net::TcpStream::connect(address).unwrap();
            listeners[0].set_nonblocking(false).unwrap();
            (client, listeners[0].accept().unwrap().0)
        };
        let (_half_closed, served) = connect();
        drop(served);
        let (closed, served) = connect();
        drop(served);
        drop(closed);
        let _established = connect();
        drop(listeners);
        assert_eq!(bind_tcp(address, 2).unwrap().len(), 2);
    }
}
