//! What waits for one connection's socket, in order.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::Bytes;
use waggle_core::limits::{CONTROL_BYTES_MAX, WINDOW_BYTES_MAX};

/// What there is no room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overflow {
    /// More control bytes than [`CONTROL_BYTES_MAX`]: the client asks, but does not read the answers.
    Control,
    /// More event bytes than any window has: the client acknowledges what it has not read.
    Events,
}

impl Overflow {
    /// What the client is told.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Control => "too many answers wait to be read",
            Self::Events => "too many events wait to be read; acknowledge only what was read",
        }
    }
}

/// Bytes of frames that wait for the socket. Those of events are bounded by the session's window where
/// its client acknowledges what it has read, and by [`WINDOW_BYTES_MAX`] and one frame whatever it does;
/// all others by [`CONTROL_BYTES_MAX`].
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: VecDeque<Waiting>,
    control_bytes: usize,
    event_bytes: usize,
}

#[derive(Debug)]
struct Waiting {
    bytes: Bytes,
    class: Class,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Event,
    Control,
}

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.event_bytes + self.control_bytes
    }

    pub(super) fn push_event(&mut self, bytes: Bytes) -> Result<(), Overflow> {
        if self.event_bytes > WINDOW_BYTES_MAX as usize {
            return Err(Overflow::Events);
        }
        self.event_bytes += bytes.len();
        self.waiting.push_back(Waiting { bytes, class: Class::Event });
        Ok(())
    }

    pub(super) fn push_control(&mut self, bytes: Bytes) -> Result<(), Overflow> {
        if self.control_bytes + bytes.len() > CONTROL_BYTES_MAX {
            return Err(Overflow::Control);
        }
        self.push_last(bytes);
        Ok(())
    }

    /// Control bytes that fit always: there is one such frame in a connection's life, its close.
    pub(super) fn push_last(&mut self, bytes: Bytes) {
        self.control_bytes += bytes.len();
        self.waiting.push_back(Waiting { bytes, class: Class::Control });
    }

    /// Fills `slices` with what comes first; returns how many.
    pub(super) fn fill<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut count = 0;
        for (slice, waiting) in slices.iter_mut().zip(&self.waiting) {
            *slice = IoSlice::new(&waiting.bytes);
            count += 1;
        }
        count
    }

    /// The socket took this many bytes.
    pub(super) fn advance(&mut self, mut bytes: usize) {
        while bytes > 0
            && let Some(first) = self.waiting.front_mut()
        {
            let taken = bytes.min(first.bytes.len());
            match first.class {
                Class::Control => self.control_bytes -= taken,
                Class::Event => self.event_bytes -= taken,
            }
            bytes -= taken;
            if taken == first.bytes.len() {
                self.waiting.pop_front();
            } else {
                bytes::Buf::advance(&mut first.bytes, taken);
            }
        }
        if self.waiting.is_empty() && self.waiting.capacity() > 64 {
            self.waiting.shrink_to(4);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_order_over_partial_writes() {
        let mut outbox = Outbox::default();
        outbox.push_event(Bytes::from_static(b"abc")).unwrap();
        outbox.push_control(Bytes::from_static(b"defg")).unwrap();
        outbox.push_event(Bytes::from_static(b"h")).unwrap();
        outbox.advance(4);
        let mut slices = [IoSlice::new(&[]); 4];
        let count = outbox.fill(&mut slices);
        let text: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.to_vec()).collect();
        assert_eq!(text, b"efgh");
        outbox.advance(4);
        assert!(outbox.is_empty() && outbox.control_bytes == 0 && outbox.event_bytes == 0);
    }

    #[test]
    fn control_and_events_are_bounded_apart() {
        let mut outbox = Outbox::default();
        outbox.push_event(Bytes::from(vec![0; CONTROL_BYTES_MAX])).unwrap();
        outbox.push_control(Bytes::from(vec![0; CONTROL_BYTES_MAX])).unwrap();
        assert_eq!(outbox.push_control(Bytes::from_static(b"x")), Err(Overflow::Control));
        outbox.advance(CONTROL_BYTES_MAX + 1);
        outbox.push_control(Bytes::from_static(b"x")).unwrap();

        let mut outbox = Outbox::default();
        outbox.push_event(Bytes::from(vec![0; WINDOW_BYTES_MAX as usize])).unwrap();
        outbox.push_event(Bytes::from_static(b"xy")).unwrap();
        assert_eq!(outbox.push_event(Bytes::from_static(b"x")), Err(Overflow::Events));
        outbox.push_control(Bytes::from_static(b"x")).unwrap();
        outbox.advance(2);
        outbox.push_event(Bytes::from_static(b"x")).unwrap();
    }
}
