//! One push session: a real handshake, then as little as the protocol asks for.

use std::io::{self, Read};

use tokio_tungstenite::tungstenite::handshake::{client::generate_key, derive_accept_key};
use waggle_core::id::{Cursor, Offset};
use waggle_core::push::{PATH, SUBPROTOCOL};

use crate::clock::{Clock, Random};
use crate::poller::{Interest, Key, Poller};
use crate::stream::{Outbox, Stream};
use crate::wire::frame::{self, Frame, FrameError};
use crate::wire::message::{EventKey, Message};

/// "Normal closure" of RFC 6455, 7.4.1.
const NORMAL: u16 = 1000;
/// A session's bytes that wait for the rest of a frame or handshake.
const PARTIAL_BYTES_MAX: usize = frame::PAYLOAD_BYTES_MAX + 16;

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The server has closed the connection without a word.
    #[error("session: connection closed")]
    Closed,
    /// The server has closed with a code.
    #[error("session closed with {code} {reason}")]
    CloseCode {
        /// On the wire.
        code: u16,
        /// On the wire.
        reason: String,
    },
    /// The upgrade was refused.
    #[error("push handshake refused: {0}")]
    Handshake(String),
    /// The kernel has an error for it.
    #[error("session: {0}")]
    Io(#[from] io::Error),
    /// A frame is not understood.
    #[error("session: {0}")]
    Frame(#[from] FrameError),
    /// A message in the wrong phase or over the limit.
    #[error("session: unexpected {0}")]
    Unexpected(&'static str),
}

#[derive(Debug)]
enum Phase {
    /// Waits for 101 with this accept key; then says this.
    Upgrading {
        accept: String,
        hello: String,
    },
    /// Waits for welcome.
    Greeting,
    Live,
    /// Another has taken its place: what still comes is passed over.
    Leaving,
}

/// What a session tells the load of.
#[derive(Debug, Clone, Copy)]
pub enum Seen {
    /// It is live.
    Live,
    /// An event, right after the read.
    Event {
        /// Which.
        event: EventKey,
        /// When.
        now_ns: u64,
    },
    /// What the assistant would answer, right after the read.
    Suggestion {
        /// The version that the customer's message made.
        message: u32,
        /// Whether it says that it knows.
        is_known: bool,
        /// When.
        now_ns: u64,
    },
    /// The gateway wants the session gone within so many milliseconds.
    Drain {
        /// On the wire.
        after_ms: u64,
    },
    /// Something against the protocol that does not end the session.
    Fault(&'static str),
}

/// A push connection; small, as there are many.
#[derive(Debug)]
pub struct Session {
    stream: Stream,
    key: Key,
    phase: Phase,
    partial: Vec<u8>,
    outbox: Outbox,
    waits_for_room: bool,
    /// Up to the last event.
    cursor: Cursor,
    /// Whether it came with that.
    resumes: bool,
    /// Events since welcome.
    events: u64,
    window: u32,
    unacknowledged: u32,
    /// The only ticket it watches, or zero.
    ticket: u64,
}

/// How a session introduces itself.
#[derive(Debug, Clone, Copy)]
pub struct Opening<'a> {
    /// The Host header.
    pub host: &'a str,
    /// Of an agent.
    pub token: &'a str,
    /// What to watch, as in `hello`.
    pub view: &'a str,
    /// The only ticket whose events it may see, or zero.
    pub ticket: u64,
    /// Where an earlier session of the same user has got to.
    pub resume: Option<Cursor>,
}

impl Session {
    /// Sends the upgrade over a new connection.
    ///
    /// # Errors
    /// Where the connection is gone.
    pub fn open(
        mut stream: Stream,
        key: Key,
        poller: &Poller,
        opening: Opening<'_>,
    ) -> Result<Self, SessionError> {
        let Opening { host, token, view, ticket, resume } = opening;
        let nonce = generate_key();
        let upgrade = format!(
            "GET {PATH} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: {SUBPROTOCOL}\r\nSec-WebSocket-Key: {nonce}\r\n\r\n"
        );
        let mut outbox = Outbox::default();
        outbox.buffer().extend_from_slice(upgrade.as_bytes());
        let waits_for_room = !outbox.flush(&mut stream)?;
        poller.add(&stream, key, if waits_for_room { Interest::ReadWrite } else { Interest::Read })?;
        let resumed = resume
            .map(|Cursor { epoch, offset }| format!(r#","resume":{{"epoch":"{epoch}","offset":{offset}}}"#));
        let resumed = resumed.as_deref().unwrap_or_default();
        let hello = format!(r#"{{"type":"hello","token":"{token}","views":["{view}"]{resumed}}}"#);
        let phase = Phase::Upgrading { accept: derive_accept_key(nonce.as_bytes()), hello };
        Ok(Self {
            stream,
            key,
            phase,
            partial: Vec::new(),
            outbox,
            waits_for_room,
            cursor: resume.unwrap_or_default(),
            resumes: resume.is_some(),
            events: 0,
            window: 0,
            unacknowledged: 0,
            ticket,
        })
    }

    /// Where it has got to, once it is welcomed.
    #[must_use]
    pub fn cursor(&self) -> Option<Cursor> {
        self.is_live().then_some(self.cursor)
    }

    /// Passes over what still comes, as another is to take its place; its readiness is `key`'s from now on.
    ///
    /// # Errors
    /// Where the kernel has an error for it.
    pub fn retire(&mut self, key: Key, poller: &Poller) -> io::Result<()> {
        (self.phase, self.key) = (Phase::Leaving, key);
        poller.modify(&self.stream, key, self.interest())
    }

    /// Asks for the close, as another has taken its place.
    ///
    /// # Errors
    /// Where the connection is gone.
    pub fn say_goodbye(&mut self, poller: &Poller, random: &mut Random) -> Result<(), SessionError> {
        let mask = random.next_u64() as u32;
        frame::push_masked(self.outbox.buffer(), frame::CLOSE, mask, &NORMAL.to_be_bytes());
        self.flush(poller)
    }

    /// Reads no more, and answers nothing, until [`Self::read_on`].
    ///
    /// # Errors
    /// Where the kernel has an error for it.
    pub fn stop_reading(&self, poller: &Poller) -> io::Result<()> {
        poller.remove(&self.stream)
    }

    /// Reads again.
    ///
    /// # Errors
    /// Where the kernel has an error for it.
    pub fn read_on(&self, poller: &Poller) -> io::Result<()> {
        poller.add(&self.stream, self.key, Interest::Read)
    }

    /// Whether it has been welcomed.
    #[must_use]
    pub fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Live)
    }

    /// Reads once into `scratch` and tells `see` what came.
    ///
    /// # Errors
    /// Where the session is over.
    pub fn receive(&mut self, with: &mut Reading<'_>, mut see: impl FnMut(Seen)) -> Result<(), SessionError> {
        let count = match self.stream.read(with.scratch) {
            Ok(0) => return Err(SessionError::Closed),
            Ok(count) => count,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                return self.flush(with.poller);
            }
            Err(error) => return Err(error.into()),
        };
        let now_ns = with.clock.now_ns();
        let received = with.scratch.get(..count).unwrap_or_default();
        if self.partial.is_empty() {
            let used = self.parse(received, now_ns, with.random, &mut see)?;
            self.partial.extend_from_slice(received.get(used..).unwrap_or_default());
        } else {
            let mut bytes = std::mem::take(&mut self.partial);
            bytes.extend_from_slice(received);
            let used = self.parse(&bytes, now_ns, with.random, &mut see)?;
            if used < bytes.len() {
                bytes.drain(..used);
                self.partial = bytes;
            }
        }
        if self.partial.len() > PARTIAL_BYTES_MAX {
            return Err(SessionError::Unexpected("length of a message"));
        }
        self.flush(with.poller)
    }

    /// Goes on with what the socket did not take.
    ///
    /// # Errors
    /// Where the connection is gone.
    pub fn flush(&mut self, poller: &Poller) -> Result<(), SessionError> {
        let waits = !self.outbox.flush(&mut self.stream)?;
        if waits != self.waits_for_room {
            self.waits_for_room = waits;
            poller.modify(&self.stream, self.key, self.interest())?;
        }
        Ok(())
    }

    fn interest(&self) -> Interest {
        if self.waits_for_room { Interest::ReadWrite } else { Interest::Read }
    }

    /// Takes whole frames off the start; returns how many bytes they were.
    fn parse(
        &mut self,
        bytes: &[u8],
        now_ns: u64,
        random: &mut Random,
        see: &mut impl FnMut(Seen),
    ) -> Result<usize, SessionError> {
        let mut used = 0;
        if matches!(self.phase, Phase::Upgrading { .. }) {
            used = self.upgraded(bytes, random)?;
            if used == 0 {
                return Ok(0);
            }
        }
        while let Some(frame) = Frame::parse(bytes.get(used..).unwrap_or_default())? {
            used += frame.bytes;
            self.take(frame, now_ns, random, see)?;
        }
        Ok(used)
    }

    fn upgraded(&mut self, bytes: &[u8], random: &mut Random) -> Result<usize, SessionError> {
        let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else { return Ok(0) };
        let head = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned();
        if let Phase::Upgrading { accept, hello } = &self.phase {
            if !head.starts_with("HTTP/1.1 101 ") || !head.contains(accept.as_str()) {
                let body = String::from_utf8_lossy(bytes.get(end..).unwrap_or_default());
                return Err(SessionError::Handshake(format!("{head}{body}").chars().take(600).collect()));
            }
            let mask = random.next_u64() as u32;
            frame::push_masked(self.outbox.buffer(), frame::TEXT, mask, hello.as_bytes());
        }
        self.phase = Phase::Greeting;
        Ok(end + 4)
    }

    fn take(
        &mut self,
        frame: Frame<'_>,
        now_ns: u64,
        random: &mut Random,
        see: &mut impl FnMut(Seen),
    ) -> Result<(), SessionError> {
        match frame.opcode {
            frame::TEXT => {}
            frame::PING => {
                let mask = random.next_u64() as u32;
                frame::push_masked(self.outbox.buffer(), frame::PONG, mask, frame.payload);
                return Ok(());
            }
            frame::PONG => return Ok(()),
            frame::CLOSE => return Err(closed(frame.payload)),
            _ => return Err(SessionError::Unexpected("kind of frame")),
        }
        if matches!(self.phase, Phase::Leaving) {
            return Ok(());
        }
        match (Message::parse(frame.payload), &self.phase) {
            (Message::Event(event), Phase::Live) => {
                self.event(event, frame.bytes, random, see);
                see(Seen::Event { event, now_ns });
            }
            (Message::Mark { offset, sent }, Phase::Live) => {
                if sent != self.events {
                    see(Seen::Fault("mark.sent differs from the events received"));
                }
                self.cursor.offset = self.cursor.offset.max(Offset(offset));
                self.ack(offset, random);
            }
            (Message::Welcome { window, cursor, resumed }, Phase::Greeting) => {
                if self.resumes && !(resumed && cursor == self.cursor) {
                    see(Seen::Fault("a session that was not resumed at its cursor"));
                }
                (self.window, self.cursor, self.phase) = (window, cursor, Phase::Live);
                see(Seen::Live);
            }
            (Message::Suggestion { message, is_known }, Phase::Live) => {
                see(Seen::Suggestion { message, is_known, now_ns });
            }
            (Message::Drain { after_ms }, Phase::Live) => see(Seen::Drain { after_ms }),
            (Message::Other, _) => see(Seen::Fault("a message that was not expected")),
            _ => return Err(SessionError::Unexpected("order of messages")),
        }
        Ok(())
    }

    fn event(&mut self, event: EventKey, bytes: usize, random: &mut Random, see: &mut impl FnMut(Seen)) {
        if event.offset <= self.cursor.offset.0 {
            see(Seen::Fault("an event out of order, or twice"));
        }
        if self.ticket != 0 && self.ticket != event.ticket {
            see(Seen::Fault("an event of a ticket that is not watched"));
        }
        self.cursor.offset = Offset(event.offset);
        self.events += 1;
        // A frame is at most 1 MiB.
        self.unacknowledged = self.unacknowledged.saturating_add(bytes as u32);
        if self.unacknowledged >= self.window / 2 {
            self.ack(event.offset, random);
        }
    }

    fn ack(&mut self, offset: u64, random: &mut Random) {
        self.unacknowledged = 0;
        let text = format!(r#"{{"type":"ack","offset":{offset}}}"#);
        frame::push_masked(self.outbox.buffer(), frame::TEXT, random.next_u64() as u32, text.as_bytes());
    }
}

/// What sessions share while they read.
pub struct Reading<'a> {
    /// For write interest.
    pub poller: &'a Poller,
    /// For the times of frames.
    pub clock: Clock,
    /// One buffer for all.
    pub scratch: &'a mut [u8],
    /// For masks.
    pub random: &'a mut Random,
}

fn closed(payload: &[u8]) -> SessionError {
    match payload {
        [a, b, reason @ ..] => SessionError::CloseCode {
            code: u16::from_be_bytes([*a, *b]),
            reason: String::from_utf8_lossy(reason).into_owned(),
        },
        _ => SessionError::Closed,
    }
}
