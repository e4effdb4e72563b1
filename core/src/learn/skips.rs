//! What rollbacks leave out of a fold from the log's start.

use std::ops::RangeInclusive;

use super::happening::Happening;
use super::lesson::{Lesson, Teach};
use crate::id::Offset;
use crate::limits::ROLLBACKS_MAX;
use crate::ticket::Kind;

/// Offsets whose lessons are left out. A lesson that was left out once stays out, whatever is rolled back later.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Skips {
    ranges: Vec<RangeInclusive<u64>>,
}

impl Skips {
    /// Takes note of an event of the log; most say nothing. In any order, and the same one as often as wanted.
    pub fn note(&mut self, happening: &Happening<'_>) {
        let Some(to) = Self::rolled_back_to(happening) else { return };
        let (from, until) = (to.0.saturating_add(1), happening.offset.0.saturating_sub(1));
        if from <= until {
            self.ranges.push(from..=until);
            self.ranges.sort_unstable_by_key(|range| (*range.start(), *range.end()));
            self.join();
        }
    }

    /// The offset to which an event takes the model back, where it is a rollback.
    #[must_use]
    pub fn rolled_back_to(happening: &Happening<'_>) -> Option<Offset> {
        if happening.kind != Kind::Taught {
            return None;
        }
        match serde_json::from_str(happening.data) {
            Ok(Teach::Rollback { to }) => Some(to),
            _ => None,
        }
    }

    /// Whether the lesson of the event at `offset` is left out: pass it, and learn nothing of it.
    #[must_use]
    pub fn leaves_out(&self, offset: Offset, lesson: &Lesson) -> bool {
        !lesson.survives_rollback() && self.ranges.iter().any(|range| range.contains(&offset.0))
    }

    /// Makes one of ranges that touch; of too many, the two oldest.
    fn join(&mut self) {
        let mut joined: Vec<RangeInclusive<u64>> = Vec::with_capacity(self.ranges.len());
        for range in self.ranges.drain(..) {
            match joined.pop() {
                Some(last) if *range.start() <= last.end().saturating_add(1) => {
                    joined.push(*last.start()..=(*last.end()).max(*range.end()));
                }
                last => joined.extend(last.into_iter().chain([range])),
            }
        }
        if joined.len() > ROLLBACKS_MAX {
            let first = joined.remove(0);
            if let Some(next) = joined.first_mut() {
                *next = *first.start()..=*next.end();
            }
        }
        self.ranges = joined;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{QueueId, TicketId, Version};
    use crate::learn::Dialogue;
    use crate::ticket::Actor;
    use crate::time::Timestamp;

    fn taught(offset: u64, data: &str) -> Happening<'_> {
        Happening {
            offset: Offset(offset),
            ticket: TicketId::TENANT,
            version: Version(1),
            kind: Kind::Taught,
            actor: Actor::System,
            at: Timestamp(0),
            queue: QueueId(0),
            data,
        }
    }

    #[test]
    fn an_intent_may_be_called_rollback() {
        let to = |data| Skips::rolled_back_to(&taught(9, data));
        assert_eq!(to(r#"{"teach":"rollback","to":4}"#), Some(Offset(4)));
        assert_eq!(to(r#"{"teach":"create","name":"rollback"}"#), None);
        assert_eq!(to(r#"{"teach":"rename","name":"rollback","to":"refund"}"#), None);
    }

    #[test]
    fn rollbacks_leave_out_lessons_and_no_settings() {
        let lesson = |data| Dialogue::default().apply(&taught(1, data)).unwrap();
        let create = lesson(r#"{"teach":"create","name":"refund"}"#);
        let off = lesson(r#"{"teach":"mode","queue":1,"mode":"off"}"#);
        let mut skips = Skips::default();
        skips.note(&taught(20, r#"{"teach":"rollback","to":15}"#));
        skips.note(&taught(9, r#"{"teach":"rollback","to":4}"#));
        skips.note(&taught(22, r#"{"teach":"rollback","to":3000}"#));
        skips.note(&taught(23, "no json"));
        let out: Vec<u64> = (0..30).filter(|at| skips.leaves_out(Offset(*at), &create)).collect();
        assert_eq!(out, [5, 6, 7, 8, 16, 17, 18, 19]);
        assert!((0..30).all(|at| !skips.leaves_out(Offset(at), &off)));
        skips.note(&taught(40, r#"{"teach":"rollback","to":6}"#));
        assert!(skips.leaves_out(Offset(5), &create), "what is out stays out");
        assert_eq!(skips.ranges, [5..=39]);
    }
}
