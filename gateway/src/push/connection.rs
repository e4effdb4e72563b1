//! One connection's task: handshake, reading, and the end.

use std::future::poll_fn;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::Message;
use waggle_core::limits::{CLIENT_MESSAGE_BYTES_MAX, CLOSE_MS_MAX, READS_PER_TURN_MAX};
use waggle_core::push::CloseCode;

use super::handshake::shake_hands;
use super::link::Link;
use super::outbox::Overflow;
use super::peer::{Peer, Via};
use super::reader::Reader;
use super::shard::{Key, Shard};
use super::socket::Socket;
use super::unread::Unread;

/// Where a connection comes from.
pub(super) enum Origin {
    /// A listener: the handshake is still to be done.
    Accepted(Underway),
    /// The API: the handshake is done, and this was read after it.
    Upgraded(Bytes),
}

/// Serves a connection from its first byte to its last.
pub(super) async fn run(shard: Rc<Shard>, socket: Socket, peer: Peer, origin: Origin) {
    let connection = Connection::begin(shard, socket, peer);
    let (shard, link) = (&connection.shard, &connection.link);
    let since = shard.clock.now();
    let leftover = match origin {
        // In a box of its own: what a handshake needs is free again when the session begins.
        Origin::Accepted(underway) => {
            let is_good = Box::pin(shake_hands(shard, link)).await;
            drop(underway);
            if !is_good {
                shard.stats.handshakes_failed.add(1);
                return end(link).await;
            }
            Bytes::new()
        }
        Origin::Upgraded(leftover) => leftover,
    };
    let key = shard.admit(Rc::clone(link), since);
    if link.has_no_place() {
        enter_upgraded(shard, key, link);
    }
    serve(shard, key, link, leftover).await;
    leave(shard, key).await;
    end(link).await;
}

/// Parts with a session, after others have had their turn: in a mass disconnect thousands are over at once.
async fn leave(shard: &Rc<Shard>, key: Key) {
    // The semaphore is never closed.
    let _turn = shard.leaving_turns.acquire().await;
    shard.deliver_waiting();
    shard.drive(key, |session| session.gone());
    tokio::task::yield_now().await;
}

/// A handshake that is counted while it is under way.
pub(super) struct Underway(Rc<Shard>);

impl Underway {
    pub(super) fn begin(shard: &Rc<Shard>) -> Self {
        shard.handshakes.set(shard.handshakes.get() + 1);
        Self(Rc::clone(shard))
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.0.handshakes.set(self.0.handshakes.get() - 1);
        self.0.handshake_ended.notify_one();
    }
}

/// A place for a connection whose handshake was done elsewhere; without one it is closed.
fn enter_upgraded(shard: &Rc<Shard>, key: Key, link: &Link) {
    match shard.admission.enter(link.peer_address()) {
        Ok(place) => link.take_place(place),
        Err(refusal) => {
            shard.stats.refused.add(1);
            shard.drive(key, |session| session.close(CloseCode::Overload, refusal.reason));
        }
    }
}

/// A connection that is counted while it is there.
struct Connection {
    shard: Rc<Shard>,
    link: Rc<Link>,
}

impl Connection {
    fn begin(shard: Rc<Shard>, socket: Socket, peer: Peer) -> Self {
        shard.stats.connections.add(1);
        shard.stats.accepted.add(1);
        let is_bare = matches!((&socket, peer.via), (Socket::Tcp(_), Via::Tcp));
        let unread = (is_bare && shard.way_of(socket.as_fd()).is_some()).then(Unread::default);
        Self { shard, link: Link::new(socket, peer, unread) }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shard.stats.connections.subtract(1);
        self.shard.connection_ended.notify_one();
    }
}

/// Reads until nothing more is to be read: the client or the shard has closed, or the connection is gone.
async fn serve(shard: &Rc<Shard>, key: Key, link: &Link, leftover: Bytes) {
    let mut reader = Reader::new(&leftover);
    let outcome = reader.take_leftover(link, |message| take(shard, key, link, message));
    drop(leftover);
    if go_on(shard, key, outcome) {
        poll_fn(|cx| poll_serve(shard, key, link, &mut reader, cx)).await;
    }
}

fn poll_serve(
    shard: &Rc<Shard>,
    key: Key,
    link: &Link,
    reader: &mut Reader,
    cx: &mut Context<'_>,
) -> Poll<()> {
    link.register(cx.waker());
    shard.deliver_waiting();
    for turn in 0.. {
        if link.is_ending() {
            break;
        }
        if turn == READS_PER_TURN_MAX {
            cx.waker().wake_by_ref();
            break;
        }
        let taking = |message| take(shard, key, link, message);
        match reader.poll_read(link, &shard.scratch, cx, taking) {
            Poll::Ready(outcome) => {
                if !go_on(shard, key, outcome) {
                    return Poll::Ready(());
                }
            }
            Poll::Pending => {
                // Pending or done: more is read either way, and whoever queues more wakes this task.
                if link.poll_flush(cx).is_ready() && link.take_presence_stale() {
                    shard.tell_presence(&mut shard.sessions.borrow_mut(), key);
                }
                break;
            }
        }
    }
    if link.is_ending() { Poll::Ready(()) } else { Poll::Pending }
}

/// Whether to read on; closes for what the client did, where it did something.
fn go_on(shard: &Rc<Shard>, key: Key, outcome: Result<bool, Error>) -> bool {
    outcome.unwrap_or_else(|error| {
        fail(shard, key, &error);
        false
    })
}

/// Takes a message; returns whether to read on.
fn take(shard: &Rc<Shard>, key: Key, link: &Link, message: Message) -> bool {
    match message {
        Message::Text(text) => shard.received(key, &Bytes::from(text)),
        Message::Binary(_) => {
            let reason = "a binary message came; this protocol has text messages only";
            shard.drive(key, |session| session.close(CloseCode::ProtocolError, reason));
        }
        // It answers us, so it is not counted.
        Message::Pong(payload) if link.proved(&payload) => {}
        Message::Ping(_) | Message::Pong(_) => {
            let now = shard.clock.now();
            shard.drive(key, |session| session.heard(now));
        }
        // The next read sends the reply, and ends.
        Message::Close(_) => shard.drive(key, |session| session.gone()),
        // Frames are not handed out raw while reading.
        Message::Frame(_) => {}
    }
    !link.is_ending()
}

/// Closes for what the client did, where it did something.
fn fail(shard: &Rc<Shard>, key: Key, error: &Error) {
    let (code, reason) = match error {
        Error::Capacity(CapacityError::MessageTooLong { size, .. }) => (
            CloseCode::TooLarge,
            format!("a message of {size} bytes; at most {CLIENT_MESSAGE_BYTES_MAX} are taken"),
        ),
        Error::Utf8(_) => (CloseCode::ProtocolError, "a text message is not UTF-8".to_owned()),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => return,
        Error::Protocol(violation) => (CloseCode::ProtocolError, violation.to_string().to_lowercase()),
        Error::Io(error) if error.kind() == std::io::ErrorKind::QuotaExceeded => {
            (CloseCode::Lagging, Overflow::Control.reason().to_owned())
        }
        _ => return,
    };
    shard.drive(key, |session| session.close(code, reason));
}

/// Sends what waits, then waits for the peer to close, so that the close frame is not overtaken by a
/// reset; not for long.
async fn end(link: &Link) {
    let ended = timeout(Duration::from_millis(CLOSE_MS_MAX), async {
        poll_fn(|cx| link.poll_flush(cx)).await;
        if !link.is_broken() {
            link.shut_down_write();
            poll_fn(|cx| link.poll_discard(cx)).await;
        }
    });
    // Late or not, the socket is dropped now.
    let _ = ended.await;
}
