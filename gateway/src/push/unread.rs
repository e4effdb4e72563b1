//! How much a client may have left unread, where the kernel gives no back-pressure.
//!
//! A redirected socket takes whatever it is given. So the gateway asks the client for proof that it reads: a
//! ping whose payload nobody can guess, which a WebSocket answers when it comes to it. What was sent before
//! an answered ping has been read. With more than a bound unproved the socket counts as full, and all is as
//! on one that the kernel says is full: frames wait in the outbox, whose own bounds end the session. Acks
//! would not do: an offset can be guessed. The time to the answer is the connection's latency, of which the
//! kernel knows nothing either.

use std::time::Instant;

use bytes::Bytes;
use waggle_core::limits::{UNREAD_BYTES_MAX, UNREAD_BYTES_PROOF};
use waggle_core::push::ping_frame;

/// The account of one connection. Bytes are of whole frames, from the handshake's answer on.
#[derive(Debug, Default)]
pub(super) struct Unread {
    sent: u64,
    proved: u64,
    asked: Option<Asked>,
    latency_us: Option<u32>,
}

/// A ping that has not been answered.
#[derive(Debug)]
struct Asked {
    payload: [u8; 8],
    /// What was sent before it.
    sent: u64,
    at: Instant,
}

impl Unread {
    /// How many bytes may be sent; one write that begins within may go beyond it.
    pub(super) fn room(&self) -> usize {
        usize::try_from((UNREAD_BYTES_MAX as u64).saturating_sub(self.bytes())).unwrap_or(0)
    }

    /// What the client has not proved to have read.
    pub(super) fn bytes(&self) -> u64 {
        self.sent - self.proved
    }

    /// The time from the latest ping to its answer.
    pub(super) fn latency_us(&self) -> Option<u32> {
        self.latency_us
    }

    /// The socket took so many bytes. Returns whether it is time to ask.
    pub(super) fn note_sent(&mut self, bytes: usize) -> bool {
        self.sent += bytes as u64;
        self.asked.is_none() && self.bytes() >= UNREAD_BYTES_PROOF as u64
    }

    /// The ping to send behind what waits, unless one is on its way.
    pub(super) fn ask(&mut self, now: Instant) -> Option<Bytes> {
        if self.asked.is_some() {
            return None;
        }
        let mut payload = [0; 8];
        // Without random bytes nothing is proved, and the session ends at the bound.
        getrandom::fill(&mut payload).ok()?;
        self.asked = Some(Asked { payload, sent: self.sent, at: now });
        Some(ping_frame(&payload))
    }

    /// A pong came. Returns whether it is the answer.
    pub(super) fn answered(&mut self, payload: &[u8], now: Instant) -> bool {
        let Some(asked) = self.asked.take_if(|asked| asked.payload == payload) else { return false };
        self.proved = asked.sent;
        let latency = now.saturating_duration_since(asked.at).as_micros();
        self.latency_us = Some(u32::try_from(latency).unwrap_or(u32::MAX));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn only_the_right_answer_makes_room() {
        let now = Instant::now();
        let mut unread = Unread::default();
        assert!(!unread.note_sent(UNREAD_BYTES_PROOF - 1) && unread.note_sent(1));
        let ping = unread.ask(now).unwrap();
        assert!(unread.ask(now).is_none() && !unread.note_sent(UNREAD_BYTES_MAX));
        assert_eq!((unread.room(), unread.latency_us()), (0, None));
        for wrong in [&b""[..], b"12345678", &ping[1..]] {
            assert!(!unread.answered(wrong, now));
        }
        assert!(unread.answered(&ping[2..], now + Duration::from_micros(70)));
        assert_eq!((unread.bytes(), unread.latency_us()), (UNREAD_BYTES_MAX as u64, Some(70)));
        assert_eq!(unread.room(), 0);
        // Once is enough for what was sent before it, and for no more.
        assert!(!unread.answered(&ping[2..], now));
        let next = unread.ask(now).unwrap();
        assert_ne!(next, ping);
        assert!(unread.answered(&next[2..], now) && unread.room() == UNREAD_BYTES_MAX);
    }
}
