//! What waits for one connection's socket, in order.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::Bytes;
use waggle_core::limits::CONTROL_BYTES_MAX;

/// More control bytes wait than [`CONTROL_BYTES_MAX`]: the client asks, but does not read the answers.
#[derive(Debug)]
pub(super) struct Overflow;

/// Bytes of frames that wait for the socket. Those of events are bounded by the session's window, all
/// others by [`CONTROL_BYTES_MAX`].
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: VecDeque<Waiting>,
    control_bytes: usize,
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

    pub(super) fn push_event(&mut self, bytes: Bytes) {
        self.waiting.push_back(Waiting { bytes, class: Class::Event });
    }

    pub(super) fn push_control(&mut self, bytes: Bytes) -> Result<(), Overflow> {
        if self.control_bytes + bytes.len() > CONTROL_BYTES_MAX {
            return Err(Overflow);
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
            if first.class == Class::Control {
                self.control_bytes -= taken;
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
        outbox.push_event(Bytes::from_static(b"abc"));
        outbox.push_control(Bytes::from_static(b"defg")).unwrap();
        outbox.push_event(Bytes::from_static(b"h"));
        outbox.advance(4);
        let mut slices = [IoSlice::new(&[]); 4];
        let count = outbox.fill(&mut slices);
        let text: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.to_vec()).collect();
        assert_eq!(text, b"efgh");
        outbox.advance(4);
        assert!(outbox.is_empty() && outbox.control_bytes == 0);
    }

    #[test]
    fn control_is_bounded_and_events_do_not_count() {
        let mut outbox = Outbox::default();
        outbox.push_event(Bytes::from(vec![0; CONTROL_BYTES_MAX]));
        outbox.push_control(Bytes::from(vec![0; CONTROL_BYTES_MAX])).unwrap();
        assert!(outbox.push_control(Bytes::from_static(b"x")).is_err());
        outbox.advance(CONTROL_BYTES_MAX + 1);
        outbox.push_control(Bytes::from_static(b"x")).unwrap();
    }
}
