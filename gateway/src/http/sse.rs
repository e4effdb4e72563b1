//! `GET /v1/push/events`: the push protocol as Server-Sent Events (the HTML standard, section 9.2), for
//! networks that break WebSocket.
//!
//! The stream is a client of the push engine within this process: one end of a socket pair is an ordinary
//! push connection, the other end is read here as fast as the HTTP client takes it. So views, cursors,
//! lag, limits and drains are the engine's, and nothing is decided twice.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderName, HeaderValue};
use hyper::body::Frame;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::sync::OwnedSemaphorePermit;
use waggle_core::id::{Cursor, Epoch, Offset};
use waggle_core::limits::{
    HTTP_STREAMS_MAX, SERVER_MESSAGE_BYTES_MAX, SSE_CHUNK_BYTES, SSE_RETRY_MS, WINDOW_BYTES_DEFAULT,
    WINDOW_BYTES_MAX, WINDOW_BYTES_MIN,
};
use waggle_core::push::View;

use super::answer::{self, AnswerBody, Response};
use super::query::{self, Query};
use super::{Api, Phase, Refused, auth, upgrade};
use crate::problem::Problem;
use crate::push::{Handover, HandoverStream, Via};

const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// nginx passes events on as they come when it is told so.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

#[derive(Serialize)]
struct Hello<'a> {
    r#type: &'static str,
    token: &'a str,
    views: Vec<View>,
    resume: Option<Cursor>,
    window: u32,
}

/// Begins a stream.
pub(super) fn stream(api: &Api, parts: &Parts, remote: SocketAddr) -> Result<Response, Refused> {
    if api.readiness.phase() != Phase::Ready {
        return Err(Problem::new("stopping", "the gateway takes no new push connections").into());
    }
    let token = auth::hello_token(&api.directory, &parts.headers)?;
    let query = Query::parse(parts.uri.query(), &["views", "resume", "window"])?;
    let views = query.text("views").ok_or_else(|| {
        query::bad("give the parameter views: mine, queue:<id>, ticket:<id>, count:<id>, tenant or presence, with commas")
    })?;
    let views = views.split(',').filter(|view| !view.is_empty()).map(str::parse).collect::<Result<_, _>>();
    let views = views.map_err(|error| query::bad(&format!("views: {error}")))?;
    let resume = match parts.headers.get(LAST_EVENT_ID) {
        Some(id) => Some(id.to_str().unwrap_or("?")),
        None => query.text("resume"),
    };
    let resume = resume.map(cursor).transpose()?;
    let window: u32 = query.parsed("window")?.unwrap_or(WINDOW_BYTES_DEFAULT);
    // As the engine takes it.
    let window = window.clamp(WINDOW_BYTES_MIN, WINDOW_BYTES_MAX);
    let address = upgrade::admit(api, &parts.headers, remote)?;
    let place = Arc::clone(&api.streams)
        .try_acquire_owned()
        .map_err(|_| Problem::new("overload", format!("{HTTP_STREAMS_MAX} streams of events are open")))?;
    let hello = Hello { r#type: "hello", token: &token, views, resume, window };
    let hello = serde_json::to_vec(&hello).map_err(|error| Problem::new("internal", error.to_string()))?;

    let no_pair =
        |error: std::io::Error| Problem::new("overload", format!("no socket for the stream: {error}"));
    let (ours, engines) = UnixStream::pair().map_err(no_pair)?;
    let engines = engines.into_std().map_err(no_pair)?;
    let leftover = masked_text(&hello);
    (api.adopt)(Handover {
        stream: HandoverStream::Local(engines),
        leftover,
        remote: address,
        peer: remote.ip(),
        via: Via::Sse,
    });
    let mut response =
        Response::new(AnswerBody::Events(Box::new(Events::new(ours, window, resume.is_some(), place))));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, EVENT_STREAM);
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    answer::no_store(headers);
    Ok(response)
}

/// `epoch:offset`, as the stream's ids are.
fn cursor(text: &str) -> Result<Cursor, Problem> {
    let parsed = text.split_once(':').and_then(|(epoch, offset)| {
        let epoch: Epoch = serde_json::from_value(epoch.into()).ok()?;
        Some(Cursor { epoch, offset: Offset(offset.parse().ok()?) })
    });
    parsed.ok_or_else(|| {
        let shown: String = text.chars().take(60).collect();
        Problem::new(
            "bad_cursor",
            format!("{shown:?} is no cursor; expected the id of an event: epoch:offset"),
        )
    })
}

/// A client's text frame. Its mask is zero: the frame does not leave the process.
fn masked_text(text: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(text.len() + 14);
    frame.put_u8(0x81);
    match text.len() {
        short @ 0..=125 => frame.put_u8(0x80 | short as u8),
        middle @ 126..=0xffff => {
            frame.put_u8(0x80 | 126);
            frame.put_u16(middle as u16);
        }
        long => {
            frame.put_u8(0x80 | 127);
            frame.put_u64(long as u64);
        }
    }
    frame.put_u32(0);
    frame.put_slice(text);
    frame.freeze()
}

/// The body of a stream: ends when the push session does.
#[derive(Debug)]
pub struct Events {
    stream: UnixStream,
    received: BytesMut,
    /// Acks that the engine has not taken yet.
    acks: BytesMut,
    window: u32,
    epoch: String,
    /// The newest offset that was given to the HTTP client.
    given: u64,
    given_bytes: usize,
    /// That one, or a mark, is to be acknowledged once the client has taken it.
    owes_ack: bool,
    /// It asked to go on at a cursor, and has not been told yet whether it does.
    asks_resume: bool,
    has_begun: bool,
    is_over: bool,
    /// Among the streams that there may be.
    _place: OwnedSemaphorePermit,
}

/// What a message is, as far as it matters here.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    epoch: Option<Cow<'a, str>>,
    offset: Option<u64>,
    resumed: Option<bool>,
}

impl Events {
    fn new(stream: UnixStream, window: u32, asks_resume: bool, place: OwnedSemaphorePermit) -> Self {
        Self {
            stream,
            received: BytesMut::new(),
            acks: BytesMut::new(),
            window,
            epoch: String::new(),
            given: 0,
            given_bytes: 0,
            owes_ack: false,
            asks_resume,
            has_begun: false,
            is_over: false,
            _place: place,
        }
    }

    /// The next piece of the stream; asking for it says that the one before was taken.
    pub(super) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Frame<Bytes>>> {
        if !self.has_begun {
            self.has_begun = true;
            return Poll::Ready(Some(Frame::data(Bytes::from(format!("retry: {SSE_RETRY_MS}\n\n")))));
        }
        if std::mem::take(&mut self.owes_ack) {
            let ack = format!(r#"{{"type":"ack","offset":{}}}"#, self.given);
            self.acks.extend_from_slice(&masked_text(ack.as_bytes()));
        }
        loop {
            while !self.acks.is_empty() {
                match Pin::new(&mut self.stream).poll_write(cx, &self.acks) {
                    Poll::Ready(Ok(written)) => self.acks.advance(written),
                    Poll::Ready(Err(_)) => self.acks.clear(),
                    Poll::Pending => break,
                }
            }
            let piece = self.take_frames();
            if !piece.is_empty() {
                return Poll::Ready(Some(Frame::data(piece)));
            }
            if self.is_over {
                return Poll::Ready(None);
            }
            if !ready!(self.poll_receive(cx)) {
                self.is_over = true;
            }
        }
    }

    /// Reads more; false at the end.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut scratch = [0; SSE_CHUNK_BYTES];
        let mut buffer = ReadBuf::new(&mut scratch);
        let outcome = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer));
        self.received.extend_from_slice(buffer.filled());
        Poll::Ready(outcome.is_ok() && !buffer.filled().is_empty())
    }

    /// Turns the frames that have come whole into events.
    fn take_frames(&mut self) -> Bytes {
        let mut piece = BytesMut::new();
        while !self.is_over
            && piece.len() < SSE_CHUNK_BYTES
            && let Some((opcode, payload)) = take_frame(&mut self.received)
        {
            match opcode {
                0x1 => self.add_message(&payload, &mut piece),
                0x8 => {
                    self.add_close(&payload, &mut piece);
                    self.is_over = true;
                }
                _ => {}
            }
        }
        piece.freeze()
    }

    fn add_message(&mut self, json: &[u8], piece: &mut BytesMut) {
        // The engine's own messages are always of this form.
        let Ok(head) = serde_json::from_slice::<Head<'_>>(json) else { return };
        if let Some(epoch) = head.epoch {
            self.epoch = epoch.into_owned();
        }
        if let Some(offset) = head.offset {
            self.given = self.given.max(offset);
            self.given_bytes += json.len();
            // As other clients do: each mark, and a quarter of the window.
            if head.kind == "mark" || self.given_bytes * 4 >= self.window as usize {
                self.given_bytes = 0;
                self.owes_ack = true;
            }
            // Where the client's cursor was not taken, a `resync` follows and says so: a stream that is cut
            // before it has to go on at the old cursor, to be told again.
            let is_refusal = std::mem::take(&mut self.asks_resume) && head.resumed == Some(false);
            if !is_refusal {
                piece.put_slice(format!("id: {}:{}\n", self.epoch, self.given).as_bytes());
            }
        }
        add_event(piece, &head.kind, json);
    }

    fn add_close(&self, payload: &[u8], piece: &mut BytesMut) {
        let (code, reason) = payload.split_at_checked(2).unwrap_or((&[0, 0], &[]));
        let code = u16::from_be_bytes([code[0], code[1]]);
        let reason = String::from_utf8_lossy(reason);
        let json = serde_json::json!({"type": "close", "code": code, "reason": reason}).to_string();
        add_event(piece, "close", json.as_bytes());
    }
}

fn add_event(piece: &mut BytesMut, kind: &str, json: &[u8]) {
    piece.reserve(json.len() + kind.len() + 24);
    piece.put_slice(b"event: ");
    piece.put_slice(kind.as_bytes());
    piece.put_slice(b"\ndata: ");
    let start = piece.len();
    piece.put_slice(json);
    // Between the tokens of JSON a line's end is only space, but here it would end the data.
    let text = piece.get_mut(start..).unwrap_or_default();
    text.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
    piece.put_slice(b"\n\n");
}

/// Takes a server's frame off the front, once it is there whole: its opcode and payload.
fn take_frame(received: &mut BytesMut) -> Option<(u8, Bytes)> {
    let (first, second) = (*received.first()?, *received.get(1)?);
    let (header_bytes, payload_bytes) = match second {
        126 => (4, u64::from(u16::from_be_bytes(received.get(2..4)?.try_into().ok()?))),
        127 => (10, u64::from_be_bytes(received.get(2..10)?.try_into().ok()?)),
        short => (2, u64::from(short)),
    };
    debug_assert!(payload_bytes <= SERVER_MESSAGE_BYTES_MAX as u64, "the engine sends no such frame");
    let payload_bytes = usize::try_from(payload_bytes).ok()?;
    if received.len() < header_bytes + payload_bytes {
        return None;
    }
    received.advance(header_bytes);
    Some((first & 0x0f, received.split_to(payload_bytes).freeze()))
}

#[cfg(test)]
mod tests {
    use waggle_core::push::{close_frame, text_frame};

    use super::*;

    #[test]
    fn cursors_are_ids() {
        let cursor = super::cursor("00000000000000ff:7").unwrap();
        assert_eq!((cursor.epoch, cursor.offset), (Epoch(255), Offset(7)));
        for text in ["", "7", "ff:", "00000000000000ff:-1", "x:1", "00000000000000ff:1:2"] {
            assert_eq!(super::cursor(text).unwrap_err().code, "bad_cursor", "{text}");
        }
    }

    fn events(asks_resume: bool) -> Events {
        let place = Arc::new(tokio::sync::Semaphore::new(1)).try_acquire_owned().unwrap();
        Events::new(UnixStream::pair().unwrap().0, 1000, asks_resume, place)
    }

    #[tokio::test]
    async fn a_cursor_that_is_not_taken_stays_until_the_resync() {
        let welcome = |resumed| {
            let text =
                format!(r#"{{"type":"welcome","epoch":"00000000000000ff","offset":4,"resumed":{resumed}}}"#);
            text_frame(text.as_bytes())
        };
        let resync =
            text_frame(br#"{"type":"resync","reason":"epoch","epoch":"00000000000000ff","offset":4}"#);
        for (asked, resumed, first_has_id) in [(false, false, true), (true, true, true), (true, false, false)]
        {
            let mut events = events(asked);
            events.received.extend_from_slice(&welcome(resumed));
            let first = events.take_frames();
            assert_eq!(first.starts_with(b"id: "), first_has_id, "{asked} {resumed}");
            events.received.extend_from_slice(&resync);
            assert!(events.take_frames().starts_with(b"id: 00000000000000ff:4\n"));
        }
    }

    #[tokio::test]
    async fn frames_become_events_however_they_are_cut() {
        let frames = [
            text_frame(br#"{"type":"welcome","epoch":"00000000000000ff","offset":4}"#),
            text_frame(b"{\"type\":\"event\",\"offset\":5,\n\"data\":{}}"),
            text_frame(br#"{"type":"signal","kind":"typing"}"#),
            text_frame(br#"{"type":"mark","offset":6,"sent":1}"#),
            close_frame(4000, "draining"),
        ]
        .concat();
        let wanted = "id: 00000000000000ff:4\nevent: welcome\n\
            data: {\"type\":\"welcome\",\"epoch\":\"00000000000000ff\",\"offset\":4}\n\n\
            id: 00000000000000ff:5\nevent: event\ndata: {\"type\":\"event\",\"offset\":5, \"data\":{}}\n\n\
            event: signal\ndata: {\"type\":\"signal\",\"kind\":\"typing\"}\n\n\
            id: 00000000000000ff:6\nevent: mark\ndata: {\"type\":\"mark\",\"offset\":6,\"sent\":1}\n\n\
            event: close\ndata: {\"code\":4000,\"reason\":\"draining\",\"type\":\"close\"}\n\n";
        for step in [1, 2, 7, 1000] {
            let mut events = events(false);
            let mut text = Vec::new();
            for part in frames.chunks(step) {
                events.received.extend_from_slice(part);
                text.extend_from_slice(&events.take_frames());
            }
            assert_eq!(String::from_utf8(text).unwrap(), wanted);
            assert!(events.is_over && events.owes_ack);
        }
    }
}
