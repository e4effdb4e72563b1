//! A tenant's recent events, bounded in bytes and in number.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::id::Offset;
use crate::ticket::Entry;

/// The newest events of one log, without gaps.
#[derive(Debug)]
pub struct Ring {
    entries: VecDeque<Arc<Entry>>,
    bytes: usize,
    bytes_max: usize,
    entries_max: usize,
    /// Offset of the newest event, or of the log's head where there is none in memory.
    head: Offset,
}

impl Ring {
    /// An empty ring of a log whose newest offset is `head`.
    #[must_use]
    pub fn new(head: Offset, bytes_max: usize, entries_max: usize) -> Self {
        Self { entries: VecDeque::new(), bytes: 0, bytes_max, entries_max, head }
    }

    /// Appends the next event and drops the oldest beyond the bounds. An event that does not follow
    /// the newest starts the ring anew, so that it never has gaps.
    pub fn push(&mut self, entry: Arc<Entry>) {
        if entry.offset != self.head.next() {
            self.entries.clear();
            self.bytes = 0;
        }
        self.head = entry.offset;
        self.bytes += entry.frame.len();
        self.entries.push_back(entry);
        while self.bytes > self.bytes_max || self.entries.len() > self.entries_max {
            let Some(oldest) = self.entries.pop_front() else { break };
            self.bytes -= oldest.frame.len();
        }
    }

    /// Puts an event in the place of the one with its offset, where that is in memory.
    pub fn replace(&mut self, entry: Arc<Entry>) {
        let Some(first) = self.entries.front().map(|first| first.offset) else { return };
        let place = entry.offset.0.checked_sub(first.0).and_then(|place| usize::try_from(place).ok());
        if let Some(old) = place.and_then(|place| self.entries.get_mut(place)) {
            self.bytes = self.bytes + entry.frame.len() - old.frame.len();
            *old = entry;
        }
    }

    /// Offset of the newest event.
    #[must_use]
    pub fn head(&self) -> Offset {
        self.head
    }

    /// Bytes of frames held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Events with offsets above `after`, at most `limit`; `None` where the ring begins later.
    #[must_use]
    pub fn after(&self, after: Offset, limit: usize) -> Option<Vec<Arc<Entry>>> {
        if after >= self.head {
            return Some(Vec::new());
        }
        let first = self.entries.front()?.offset;
        let skip = after.next().0.checked_sub(first.0)?;
        let skip = usize::try_from(skip).ok()?;
        Some(self.entries.iter().skip(skip).take(limit).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::id::{TicketId, Version};
    use crate::ticket::{Followers, Route};

    fn entry(offset: u64, bytes: usize) -> Arc<Entry> {
        Arc::new(Entry {
            offset: Offset(offset),
            ticket: TicketId(1),
            version: Version(1),
            route: Route::default(),
            followers: Followers::default(),
            frame: vec![0; bytes].into(),
            header_bytes: 2,
        })
    }

    proptest! {
        #[test]
        fn gives_exactly_what_follows_or_nothing(
            sizes in prop::collection::vec(1_usize..60, 1..80),
            start in 0_u64..5,
            after in 0_u64..90,
            limit in 0_usize..100,
        ) {
            let mut ring = Ring::new(Offset(start), 300, 20);
            for (index, size) in sizes.iter().enumerate() {
                ring.push(entry(start + 1 + index as u64, *size));
            }
            let head = start + sizes.len() as u64;
            prop_assert!(ring.bytes() <= 300 && ring.entries.len() <= 20);
            prop_assert_eq!(ring.head(), Offset(head));
            let oldest = head + 1 - ring.entries.len() as u64;
            match ring.after(Offset(after), limit) {
                None => prop_assert!(after + 1 < oldest),
                Some(found) => {
                    let offsets: Vec<u64> = found.iter().map(|entry| entry.offset.0).collect();
                    let wanted: Vec<u64> = (after + 1..=head).take(limit).collect();
                    prop_assert_eq!(offsets, wanted);
                }
            }
        }
    }

    #[test]
    fn what_is_replaced_is_in_its_place() {
        let mut ring = Ring::new(Offset(4), 300, 20);
        ring.push(entry(5, 10));
        ring.push(entry(6, 20));
        for offset in [4, 6, 7] {
            ring.replace(entry(offset, 3));
        }
        let sizes: Vec<usize> =
            ring.after(Offset(4), 9).unwrap().iter().map(|entry| entry.frame.len()).collect();
        assert_eq!((sizes, ring.bytes()), (vec![10, 3], 13));
    }

    #[test]
    fn a_jump_empties_it() {
        let mut ring = Ring::new(Offset(0), 300, 20);
        ring.push(entry(1, 10));
        ring.push(entry(5, 10));
        assert!(ring.after(Offset(0), 9).is_none());
        assert_eq!(ring.after(Offset(4), 9).map(|found| found.len()), Some(1));
        assert_eq!(ring.bytes(), 10);
    }
}
