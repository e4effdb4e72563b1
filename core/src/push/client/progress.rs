//! What has been delivered: the cursor, and what no mark has confirmed yet.

use crate::id::{Cursor, Offset};
use crate::limits::UNVERIFIED_RUNS_MAX;

/// Whether an event is to be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Not delivered before.
    New,
    /// Delivered before.
    Repeat,
}

/// Delivery so far, over all connections.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// All up to here has been delivered, as far as the server's order can be trusted.
    cursor: Option<Cursor>,
    /// All up to here has been delivered, and a mark's count agreed.
    verified: Option<Cursor>,
    /// What was delivered after `verified`: runs from first to last offset, ascending, not touching.
    delivered: Vec<(u64, u64)>,
    /// Since a hole was found: go on from `verified`, and pass over what is in `delivered`.
    repairing: bool,
}

impl Progress {
    pub(super) fn cursor(&self) -> Option<Cursor> {
        self.cursor
    }

    /// Where a new connection goes on.
    pub(super) fn resume_from(&self) -> Option<Cursor> {
        if self.repairing { self.verified } else { self.cursor }
    }

    /// Starts at `cursor`; what was before does not count any more.
    pub(super) fn begin(&mut self, cursor: Cursor) {
        *self = Self { cursor: Some(cursor), verified: Some(cursor), ..Self::default() };
    }

    /// Takes note of an event of the cursor's log.
    pub(super) fn take(&mut self, offset: Offset) -> Verdict {
        let Some(cursor) = &mut self.cursor else { return Verdict::Repeat };
        if offset > cursor.offset {
            cursor.offset = offset;
            self.remember(offset.0);
            return Verdict::New;
        }
        let verified = self.verified.map_or(0, |cursor| cursor.offset.0);
        if self.repairing && offset.0 > verified && !self.has(offset.0) {
            self.remember(offset.0);
            return Verdict::New;
        }
        Verdict::Repeat
    }

    /// A mark's count agreed: all up to `offset`, and all delivered, is sure.
    pub(super) fn verify(&mut self, offset: Offset) {
        if let Some(cursor) = &mut self.cursor {
            cursor.offset = cursor.offset.max(offset);
            self.verified = Some(*cursor);
        }
        self.delivered.clear();
        self.repairing = false;
    }

    /// Something between `verified` and the cursor was not delivered.
    pub(super) fn distrust(&mut self) {
        self.repairing = true;
    }

    fn has(&self, offset: u64) -> bool {
        let after = self.delivered.partition_point(|(first, _)| *first <= offset);
        after.checked_sub(1).and_then(|at| self.delivered.get(at)).is_some_and(|(_, last)| offset <= *last)
    }

    fn remember(&mut self, offset: u64) {
        let at = self.delivered.partition_point(|(first, _)| *first <= offset);
        match at.checked_sub(1).and_then(|before| self.delivered.get_mut(before)) {
            Some((_, last)) if *last + 1 == offset => *last = offset,
            _ => self.delivered.insert(at, (offset, offset)),
        }
        if self.delivered.len() > UNVERIFIED_RUNS_MAX {
            // The oldest run is given up: a hole before it can no longer be repaired, but nothing
            // that was delivered can come twice.
            let (_, last) = self.delivered.remove(0);
            if let Some(verified) = &mut self.verified {
                verified.offset = verified.offset.max(Offset(last));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Epoch;

    fn at(offset: u64) -> Cursor {
        Cursor { epoch: Epoch(1), offset: Offset(offset) }
    }

    #[test]
    fn a_repair_delivers_what_is_missing_and_nothing_twice() {
        let mut progress = Progress::default();
        progress.begin(at(10));
        for offset in [11, 12, 15, 20] {
            assert_eq!(progress.take(Offset(offset)), Verdict::New);
        }
        assert_eq!(progress.resume_from(), Some(at(20)));
        progress.distrust();
        assert_eq!(progress.resume_from(), Some(at(10)));
        let verdicts = [11, 12, 13, 15, 20, 21].map(|offset| progress.take(Offset(offset)));
        use Verdict::{New, Repeat};
        assert_eq!(verdicts, [Repeat, Repeat, New, Repeat, Repeat, New]);
        progress.verify(Offset(30));
        assert_eq!(progress.resume_from(), Some(at(30)));
        assert_eq!(progress.take(Offset(13)), Repeat);
    }

    #[test]
    fn memory_between_marks_is_bounded() {
        let mut progress = Progress::default();
        progress.begin(at(0));
        for step in 1..=UNVERIFIED_RUNS_MAX as u64 + 1 {
            progress.take(Offset(step * 2));
        }
        progress.distrust();
        assert_eq!(progress.delivered.len(), UNVERIFIED_RUNS_MAX);
        assert_eq!(progress.resume_from(), Some(at(2)));
    }
}
