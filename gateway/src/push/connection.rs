//! One connection's task: handshake, reading, and the end.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error, ProtocolError};
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode};
use tokio_tungstenite::tungstenite::protocol::{Message, Role, WebSocketConfig};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config};
use waggle_core::limits::{CLIENT_MESSAGE_BYTES_MAX, CLOSE_MS_MAX, CONTROL_BYTES_MAX, READ_BUFFER_BYTES};
use waggle_core::push::{CloseCode, PATH, SUBPROTOCOL};

use super::link::{Link, Socket, Wire};
use super::outbox::Overflow;
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
    let mut websocket = match origin {
        Origin::Accepted => match shake_hands(shard, link).await {
            Some(websocket) => websocket,
            None => {
                shard.stats.handshakes_failed.add(1);
                return end(link).await;
            }
        },
        Origin::Upgraded(leftover) => {
            let wire = Wire(Rc::clone(link));
            let role = Role::Server;
            WebSocketStream::from_partially_read(wire, leftover.to_vec(), role, Some(config())).await
        }
    };
    let key = shard.admit(Rc::clone(link), since);
    poll_fn(|cx| poll_serve(shard, key, link, &mut websocket, cx)).await;
    shard.drive(key, |session| session.gone());
    drop(websocket);
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

fn config() -> WebSocketConfig {
    // The write buffer is emptied into the outbox at once; its limit only has to be above 0.
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(CONTROL_BYTES_MAX)
        .max_message_size(Some(CLIENT_MESSAGE_BYTES_MAX))
        .max_frame_size(Some(CLIENT_MESSAGE_BYTES_MAX))
}

async fn shake_hands(shard: &Shard, link: &Rc<Link>) -> Option<WebSocketStream<Wire>> {
    let handshake = accept_hdr_async_with_config(Wire(Rc::clone(link)), check_request, Some(config()));
    let outcome = timeout(Duration::from_millis(shard.settings.hello_ms), handshake).await;
    match outcome {
        Ok(Ok(websocket)) => {
            link.flush();
            Some(websocket)
        }
        // The answer has been written, or the peer is gone.
        Ok(Err(Error::Http(_) | Error::Io(_))) => None,
        Ok(Err(error)) => {
            refuse(link, StatusCode::BAD_REQUEST, &error.to_string());
            None
        }
        Err(_) => {
            refuse(link, StatusCode::REQUEST_TIMEOUT, "the handshake took too long");
            None
        }
    }
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

/// Ready when nothing more is to be read: the client or the shard has closed, or the connection is gone.
fn poll_serve(
    shard: &Rc<Shard>,
    key: Key,
    link: &Link,
    websocket: &mut WebSocketStream<Wire>,
    cx: &mut Context<'_>,
) -> Poll<()> {
    link.register(cx.waker());
    loop {
        if link.is_ending() {
            return Poll::Ready(());
        }
        match Pin::new(&mut *websocket).poll_next(cx) {
            Poll::Ready(Some(Ok(message))) => take(shard, key, message),
            Poll::Ready(Some(Err(error))) => {
                fail(shard, key, &error);
                return Poll::Ready(());
            }
            Poll::Ready(None) => return Poll::Ready(()),
            Poll::Pending => break,
        }
    }
    // Pending or done: more is read either way, and whoever queues more wakes this task.
    let _ = link.poll_flush(cx);
    if link.is_ending() { Poll::Ready(()) } else { Poll::Pending }
}

fn take(shard: &Rc<Shard>, key: Key, message: Message) {
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
