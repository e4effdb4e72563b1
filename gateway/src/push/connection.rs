//! One connection's task: handshake, reading, and the end.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;
use tokio_tungstenite::accept_hdr_async_with_config;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error, ProtocolError};
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode};
use tokio_tungstenite::tungstenite::protocol::Message;
use waggle_core::limits::{CLIENT_MESSAGE_BYTES_MAX, CLOSE_MS_MAX};
use waggle_core::push::{CloseCode, PATH, SUBPROTOCOL};

use super::link::{Link, Socket, Wire};
use super::outbox::Overflow;
use super::reader::{Reader, config};
use super::shard::{Key, Shard};

/// Where a connection comes from.
pub(super) enum Origin {
    /// A listener: the handshake is still to be done.
    Accepted,
    /// The API: the handshake is done, and this was read after it.
    Upgraded(Bytes),
}

/// Serves a connection from its first byte to its last.
pub(super) async fn run(shard: Rc<Shard>, socket: Socket, origin: Origin) {
    let connection = Connection::begin(shard, socket);
    let (shard, link) = (&connection.shard, &connection.link);
    let since = shard.clock.now();
    let leftover = match origin {
        // In a box of its own: what a handshake needs is free again when the session begins.
        Origin::Accepted if Box::pin(shake_hands(shard, link)).await => Bytes::new(),
        Origin::Accepted => {
            shard.stats.handshakes_failed.add(1);
            return end(link).await;
        }
        Origin::Upgraded(leftover) => leftover,
    };
    let key = shard.admit(Rc::clone(link), since);
    serve(shard, key, link, leftover).await;
    shard.drive(key, |session| session.gone());
    end(link).await;
}

/// A connection that is counted while it is there.
struct Connection {
    shard: Rc<Shard>,
    link: Rc<Link>,
}

impl Connection {
    fn begin(shard: Rc<Shard>, socket: Socket) -> Self {
        shard.stats.connections.add(1);
        shard.stats.accepted.add(1);
        Self { shard, link: Link::new(socket) }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shard.stats.connections.subtract(1);
        self.shard.connection_ended.notify_one();
    }
}

/// Answers the client's handshake; returns whether it was good.
async fn shake_hands(shard: &Shard, link: &Rc<Link>) -> bool {
    let handshake = accept_hdr_async_with_config(Wire(Rc::clone(link)), check_request, Some(config()));
    let outcome = timeout(Duration::from_millis(shard.settings.hello_ms), handshake).await;
    match outcome {
        // A client waits for the answer before it says more, so nothing else has been read.
        Ok(Ok(_)) => {
            link.flush();
            return true;
        }
        // The answer has been written, or the peer is gone.
        Ok(Err(Error::Http(_) | Error::Io(_))) => {}
        Ok(Err(error)) => refuse(link, StatusCode::BAD_REQUEST, &error.to_string()),
        Err(_) => refuse(link, StatusCode::REQUEST_TIMEOUT, "the handshake took too long"),
    }
    false
}

/// Takes what asks for [`PATH`] with [`SUBPROTOCOL`].
#[expect(clippy::result_large_err, reason = "the callback's type is tungstenite's")]
fn check_request(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    if request.uri().path() != PATH {
        return Err(answer(StatusCode::NOT_FOUND, &format!("push is at {PATH}")));
    }
    let offered = request.headers().get_all("sec-websocket-protocol");
    let mut offered = offered.iter().filter_map(|value| value.to_str().ok()).flat_map(|list| list.split(','));
    if !offered.any(|protocol| protocol.trim() == SUBPROTOCOL) {
        let detail = format!("offer the subprotocol {SUBPROTOCOL} in Sec-WebSocket-Protocol");
        return Err(answer(StatusCode::BAD_REQUEST, &detail));
    }
    let protocol = HeaderValue::from_static(SUBPROTOCOL);
    response.headers_mut().insert("sec-websocket-protocol", protocol);
    Ok(response)
}

fn answer(status: StatusCode, detail: &str) -> ErrorResponse {
    let body = format!("{detail}\n");
    let length = HeaderValue::from(body.len());
    let mut response = ErrorResponse::new(Some(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert("content-length", length);
    headers.insert("content-type", HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert("connection", HeaderValue::from_static("close"));
    response
}

/// An HTTP answer on a connection that has got none.
fn refuse(link: &Link, status: StatusCode, detail: &str) {
    let text = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{detail}\n",
        detail.len() + 1
    );
    link.queue_close(Bytes::from(text));
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
    while !link.is_ending() {
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
        Message::Ping(_) | Message::Pong(_) => {
            let now = shard.clock.now();
            shard.drive(key, |session| {
                session.heard(now);
                Default::default()
            });
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
