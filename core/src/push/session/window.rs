//! Flow control: how many bytes of events the client has not acknowledged.

use std::collections::VecDeque;

use crate::id::Offset;

/// Steps that acks are told apart by: an ack frees what it covers to within a step.
const STEPS: u64 = 32;

/// The window of one session.
///
/// It keeps not every event but steps of at least `bytes / STEPS`, so its memory is bounded whatever the
/// size of events. What is counted as unacknowledged is never less than what is.
#[derive(Debug)]
pub(super) struct Window {
    bytes: u64,
    /// Since the welcome.
    sent_bytes: u64,
    /// Of those sent, the ones acknowledged.
    acked_bytes: u64,
    /// The last offset of each step, and all bytes sent up to it.
    steps: VecDeque<(Offset, u64)>,
}

impl Window {
    pub(super) fn new(bytes: u32) -> Self {
        Self { bytes: u64::from(bytes), sent_bytes: 0, acked_bytes: 0, steps: VecDeque::new() }
    }

    /// Whether a frame may be sent: it fits, or is larger than any window and alone.
    pub(super) fn admits(&self, frame_bytes: usize) -> bool {
        let unacked = self.unacked_bytes();
        unacked == 0 || unacked + frame_bytes as u64 <= self.bytes
    }

    /// Whether at least half is free.
    pub(super) fn is_half_free(&self) -> bool {
        self.unacked_bytes() * 2 <= self.bytes
    }

    /// How many bytes may be unacknowledged.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn unacked_bytes(&self) -> u64 {
        self.sent_bytes - self.acked_bytes
    }

    pub(super) fn record_sent(&mut self, offset: Offset, frame_bytes: usize) {
        let step_from = match self.steps.len().checked_sub(2).and_then(|before| self.steps.get(before)) {
            Some((_, until)) => *until,
            None => self.acked_bytes,
        };
        let step_is_open = self.sent_bytes - step_from < self.bytes / STEPS;
        self.sent_bytes += frame_bytes as u64;
        match self.steps.back_mut() {
            Some(last) if step_is_open => *last = (offset, self.sent_bytes),
            _ => self.steps.push_back((offset, self.sent_bytes)),
        }
    }

    /// Returns whether that frees anything.
    pub(super) fn record_acked(&mut self, offset: Offset) -> bool {
        let acked_before = self.acked_bytes;
        while let Some((last, until)) = self.steps.front().copied()
            && last <= offset
        {
            self.acked_bytes = until;
            self.steps.pop_front();
        }
        self.acked_bytes > acked_before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_bounded_and_acks_free_to_within_one() {
        let mut window = Window::new(64 * 1024);
        let mut offset = 0;
        while window.admits(100) {
            offset += 1;
            window.record_sent(Offset(offset), 100);
        }
        assert_eq!(offset, 655);
        assert!(window.steps.len() <= 33, "{}", window.steps.len());
        window.record_acked(Offset(328));
        let really = (offset - 328) * 100;
        assert!((really..=really + 64 * 1024 / 32 + 100).contains(&window.unacked_bytes()));
        window.record_acked(Offset(offset));
        assert_eq!(window.unacked_bytes(), 0);
    }

    #[test]
    fn one_frame_may_be_larger_when_alone() {
        let mut window = Window::new(4096);
        assert!(window.admits(10_000));
        window.record_sent(Offset(1), 10_000);
        assert!(!window.admits(1) && !window.is_half_free());
        window.record_acked(Offset(1));
        assert!(window.is_half_free());
        window.record_sent(Offset(2), 4000);
        assert!(window.admits(96) && !window.admits(97));
    }
}
