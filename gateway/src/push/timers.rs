//! When which session is next due.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

use tokio::sync::Notify;
use waggle_core::time::Tick;

use super::shard::Key;

/// Deadlines in order. A session may have stale ones here: whoever takes one out compares it with the
/// session's own.
#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: RefCell<BinaryHeap<Reverse<(Tick, Key)>>>,
    /// The first deadline is an earlier one than before.
    sooner: Notify,
}

impl Timers {
    pub(super) fn push(&self, at: Tick, key: Key) {
        let mut heap = self.heap.borrow_mut();
        let is_first = heap.peek().is_none_or(|Reverse((first, _))| at < *first);
        heap.push(Reverse((at, key)));
        if is_first {
            self.sooner.notify_one();
        }
    }

    /// Takes one that is due.
    pub(super) fn pop_due(&self, now: Tick) -> Option<(Tick, Key)> {
        let mut heap = self.heap.borrow_mut();
        let Reverse((at, _)) = heap.peek()?;
        if *at > now {
            return None;
        }
        heap.pop().map(|Reverse(due)| due)
    }

    /// Waits for the first deadline, `instant` being when a tick is there.
    pub(super) async fn wait(&self, instant: impl Fn(Tick) -> tokio::time::Instant) {
        loop {
            let first = self.heap.borrow().peek().map(|Reverse((at, _))| *at);
            match first {
                None => self.sooner.notified().await,
                Some(at) => tokio::select! {
                    () = tokio::time::sleep_until(instant(at)) => return,
                    () = self.sooner.notified() => {}
                },
            }
        }
    }
}
