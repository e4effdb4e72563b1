//! One welcomed connection: its count of events, and what it owes in acks.

use super::{Link, Receipt};
use crate::id::Offset;
use crate::push::Welcome;
use crate::time::Tick;

/// A server that asks for more frequent heartbeats than this, in milliseconds, is not followed.
const HEARTBEAT_MS_MIN: u64 = 10;
/// A server that promises fewer heartbeats than this, in milliseconds, is not believed.
const HEARTBEAT_MS_MAX: u64 = 600_000;

/// How an event's offset stands to those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// As it should.
    Rising,
    /// The session starts after it: delivered before.
    BeforeStart,
    /// It should have come before `after`, or did.
    Broken { after: Offset },
}

#[derive(Debug)]
pub(super) struct Session {
    heartbeat_ms: u64,
    window: u64,
    heard: Tick,
    /// The session's events come after this.
    start: Offset,
    /// Events received, delivered or not.
    pub(super) received: u64,
    /// The last event's offset.
    last: Offset,
    /// Events up to here may have come over other connections: one that this one replaces, or one with
    /// a hole.
    overlap_to: Offset,
    /// Resume was refused: nothing counts before the resync.
    pub(super) awaits_resync: bool,
    /// Delivered here and not shown yet.
    pending: u64,
    /// All of this session up to here is shown.
    shown: Offset,
    /// Bytes shown or passed over since the last ack.
    owed_bytes: u64,
    /// Bytes passed over while others were pending.
    held_bytes: u64,
    /// A large event has been shown since the last ack.
    owes_large: bool,
    /// The newest mark, until it is acked itself.
    mark: Option<Offset>,
}

impl Session {
    pub(super) fn new(welcome: &Welcome, overlap_to: Offset, awaits_resync: bool, now: Tick) -> Self {
        Self {
            heartbeat_ms: welcome.heartbeat_ms.clamp(HEARTBEAT_MS_MIN, HEARTBEAT_MS_MAX),
            window: u64::from(welcome.window).max(1),
            heard: now,
            start: welcome.offset,
            received: 0,
            last: welcome.offset,
            overlap_to,
            awaits_resync,
            pending: 0,
            shown: welcome.offset,
            owed_bytes: 0,
            held_bytes: 0,
            owes_large: false,
            mark: None,
        }
    }

    pub(super) fn hear(&mut self, now: Tick) {
        self.heard = now;
    }

    /// When the session is given up unless something is heard.
    pub(super) fn silent_at(&self) -> Tick {
        self.heard.after_ms(2 * self.heartbeat_ms)
    }

    /// Counts an event in.
    pub(super) fn order(&mut self, offset: Offset) -> Order {
        self.received += 1;
        if offset > self.last {
            self.last = offset;
            Order::Rising
        } else if offset <= self.start {
            Order::BeforeStart
        } else {
            Order::Broken { after: self.last }
        }
    }

    /// Whether an event delivered before may come here without the server being wrong.
    pub(super) fn expects_repeat(&self, offset: Offset) -> bool {
        offset > self.start && offset <= self.overlap_to
    }

    /// The event last counted goes to the application.
    pub(super) fn deliver(&mut self, link: Link, offset: Offset, bytes: u64) -> Receipt {
        self.pending += 1;
        Receipt { link, offset, bytes }
    }

    /// The event last counted was delivered before.
    pub(super) fn pass_over(&mut self, bytes: u64) {
        if self.pending == 0 {
            self.shown = self.last;
            self.owe(bytes);
        } else {
            self.held_bytes += bytes;
        }
    }

    /// The application has an event of this session.
    pub(super) fn show(&mut self, receipt: Receipt) {
        self.pending = self.pending.saturating_sub(1);
        self.owe(receipt.bytes);
        self.shown = receipt.offset;
        if self.pending == 0 {
            self.shown = self.last;
            let held_bytes = std::mem::take(&mut self.held_bytes);
            self.owe(held_bytes);
        }
    }

    /// The ack that is due, where one is: the newest mark once all before it is shown, or what is shown
    /// once that makes a quarter of the window, or has an event of an eighth.
    ///
    /// A server that has filled the window reads on when half of it is free, by a count that includes
    /// frame headers and may be coarser than ours. What is never acked before the next mark must be well
    /// below half of the window, or both would wait for that mark.
    pub(super) fn ack_due(&mut self) -> Option<Offset> {
        if self.pending == 0
            && let Some(mark) = self.mark.take()
        {
            return Some(self.ack(mark.max(self.shown)));
        }
        let is_quarter = self.owed_bytes * 4 >= self.window;
        (is_quarter || self.owes_large).then(|| self.ack(self.shown))
    }

    /// The answer to a mark, which is always given: where the application has not read all before it,
    /// only what it has.
    pub(super) fn answer_mark(&mut self, offset: Offset) -> Offset {
        self.mark = Some(offset);
        self.last = self.last.max(offset);
        match self.ack_due() {
            Some(acked) => acked,
            None => self.ack(self.shown),
        }
    }

    fn owe(&mut self, bytes: u64) {
        self.owed_bytes += bytes;
        self.owes_large |= bytes * 8 >= self.window;
    }

    fn ack(&mut self, offset: Offset) -> Offset {
        self.owed_bytes = 0;
        self.owes_large = false;
        self.shown = self.shown.max(offset);
        offset
    }
}
