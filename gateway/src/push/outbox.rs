//! What waits for one connection's socket, in order.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::Bytes;
use waggle_core::limits::{CONTROL_BYTES_MAX, WAITING_SIGNALS_MAX, WINDOW_BYTES_MAX};
use waggle_core::push::SignalKey;

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
    /// The first frame that waits has been sent in part.
    is_cut: bool,
    /// Behind all else. There only while some wait: most sessions never need it.
    signals: Option<Box<WaitingSignals>>,
}

/// What may be merged and lost.
#[derive(Debug, Default)]
struct WaitingSignals {
    newest: Vec<(SignalKey, Bytes)>,
    /// Who came and went was not told: who is there will have to be.
    is_presence_stale: bool,
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
    /// Whether no frame waits that must be sent.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether not even signals wait.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.signals.is_none()
    }

    /// Whether a frame waits, of whatever kind.
    pub(super) fn waits(&self) -> bool {
        !self.waiting.is_empty() || self.signals.as_ref().is_some_and(|waiting| !waiting.newest.is_empty())
    }

    /// Puts a signal's frame behind all else, in the place of an older one with its key. Returns whether
    /// there was room.
    pub(super) fn push_signal(&mut self, key: SignalKey, frame: Bytes) -> bool {
        let newest = &mut self.signals.get_or_insert_default().newest;
        if let Some((_, older)) = newest.iter_mut().find(|(known, _)| *known == key) {
            *older = frame;
            return true;
        }
        let has_room = newest.len() < WAITING_SIGNALS_MAX;
        if has_room {
            newest.push((key, frame));
        }
        has_room
    }

    /// Remembers that comings and goings were not told.
    pub(super) fn note_presence_stale(&mut self) {
        self.signals.get_or_insert_default().is_presence_stale = true;
    }

    /// Whether nothing waits any more but news of who is there, which are forgotten here.
    pub(super) fn take_presence_stale(&mut self) -> bool {
        let is_last = self.waiting.is_empty()
            && self
                .signals
                .as_ref()
                .is_some_and(|waiting| waiting.is_presence_stale && waiting.newest.is_empty());
        if is_last {
            self.signals = None;
        }
        is_last
    }

    /// Where nothing else waits, makes the oldest signal the next frame to be sent.
    fn promote_signal(&mut self) {
        let Some(signals) = &mut self.signals else { return };
        if !self.waiting.is_empty() {
            return;
        }
        if signals.newest.is_empty() {
            return;
        }
        let (_, bytes) = signals.newest.remove(0);
        if signals.newest.is_empty() && !signals.is_presence_stale {
            self.signals = None;
        }
        self.control_bytes += bytes.len();
        self.waiting.push_back(Waiting { bytes, class: Class::Control });
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

    /// The rest of an event's frame of which the socket has taken the beginning, while nothing waited.
    pub(super) fn push_rest(&mut self, bytes: Bytes) -> Result<(), Overflow> {
        self.push_event(bytes)?;
        self.is_cut = true;
        Ok(())
    }

    /// The same of any other frame.
    pub(super) fn push_cut(&mut self, bytes: Bytes) {
        self.push_last(bytes);
        self.is_cut = true;
    }

    /// Control bytes that are the next whole frame to be sent. Not for more than one at a time.
    pub(super) fn push_next(&mut self, bytes: Bytes) {
        self.control_bytes += bytes.len();
        self.waiting.insert(usize::from(self.is_cut), Waiting { bytes, class: Class::Control });
    }

    /// Fills `slices` with what comes first: whole frames, but not more than fit into `bytes_max` unless it is
    /// the first one. Returns how many.
    pub(super) fn fill<'a>(&'a mut self, slices: &mut [IoSlice<'a>], bytes_max: usize) -> usize {
        self.promote_signal();
        let (mut count, mut bytes) = (0, 0_usize);
        for (slice, waiting) in slices.iter_mut().zip(&self.waiting) {
            bytes = bytes.saturating_add(waiting.bytes.len());
            if bytes > bytes_max && count > 0 {
                break;
            }
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
            self.is_cut = taken < first.bytes.len();
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
        let count = outbox.fill(&mut slices, usize::MAX);
        let text: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.to_vec()).collect();
        assert_eq!(text, b"efgh");
        assert_eq!((outbox.fill(&mut [IoSlice::new(&[]); 4], 0), outbox.is_cut), (1, true));
        outbox.advance(4);
        assert!(outbox.is_empty() && outbox.control_bytes == 0 && outbox.event_bytes == 0);
    }

    #[test]
    fn a_next_frame_never_cuts_another() {
        let text = |outbox: &mut Outbox| {
            let mut slices = [IoSlice::new(&[]); 4];
            let count = outbox.fill(&mut slices, usize::MAX);
            String::from_utf8(slices[..count].iter().flat_map(|slice| slice.to_vec()).collect()).unwrap()
        };
        let mut outbox = Outbox::default();
        outbox.push_rest(Bytes::from_static(b"bc")).unwrap();
        outbox.push_event(Bytes::from_static(b"def")).unwrap();
        outbox.push_next(Bytes::from_static(b"!"));
        assert_eq!(text(&mut outbox), "bc!def");
        outbox.advance(3);
        outbox.push_next(Bytes::from_static(b"?"));
        assert_eq!(text(&mut outbox), "?def");
        outbox.advance(2);
        outbox.push_next(Bytes::from_static(b"."));
        assert_eq!(text(&mut outbox), "ef.");
        outbox.advance(3);
        outbox.push_next(Bytes::from_static(b","));
        assert_eq!((text(&mut outbox).as_str(), outbox.bytes()), (",", 1));
    }

    #[test]
    fn signals_are_merged_bounded_and_last() {
        use waggle_core::id::{AgentId, TicketId};
        use waggle_core::push::SignalKind;
        let key =
            |ticket| SignalKey { kind: SignalKind::Typing, ticket: TicketId(ticket), agent: AgentId(1) };
        let mut outbox = Outbox::default();
        outbox.push_event(Bytes::from_static(b"e")).unwrap();
        assert!(outbox.push_signal(key(1), Bytes::from_static(b"old")));
        assert!(outbox.push_signal(key(2), Bytes::from_static(b"2")));
        assert!(outbox.push_signal(key(1), Bytes::from_static(b"new")));
        for ticket in 3..=WAITING_SIGNALS_MAX as u64 {
            assert!(outbox.push_signal(key(ticket), Bytes::from_static(b".")));
        }
        assert!(!outbox.push_signal(key(1000), Bytes::from_static(b"lost")));
        outbox.note_presence_stale();
        outbox.push_control(Bytes::from_static(b"c")).unwrap();
        let mut text = Vec::new();
        while !outbox.is_idle() && !outbox.take_presence_stale() {
            let mut slices = [IoSlice::new(&[]); 4];
            let count = outbox.fill(&mut slices, usize::MAX);
            let first: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.to_vec()).collect();
            outbox.advance(first.len());
            text.extend(first);
        }
        assert_eq!(text[..6], *b"ecnew2");
        assert_eq!(text.len(), 6 + WAITING_SIGNALS_MAX - 2);
        assert!(outbox.is_idle() && outbox.control_bytes == 0);
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
