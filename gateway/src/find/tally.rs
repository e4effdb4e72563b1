//! Counts of queries that follow the index: of each ticket that changes it is asked which queries meant it before and
//! which mean it now, so that nothing else is looked at.

use std::collections::{BTreeMap, BTreeSet};

use waggle_core::find::{Index, Plan, Texts};
use waggle_core::id::TicketId;
use waggle_core::limits::COUNT_STEPS_PER_TURN_MAX;
use waggle_core::right::QueueSet;

/// A count's number, unique within a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CountId(pub u64);

/// What is counted: a query without words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// Which tickets.
    pub plan: Plan,
    /// Of these queues.
    pub visible: QueueSet,
    /// Whether it changes with time alone: such a count does not follow, it is made anew.
    pub is_of_the_moment: bool,
}

/// The counts of one tenant.
#[derive(Debug, Default)]
pub(super) struct Tally {
    counts: BTreeMap<CountId, Count>,
    /// Those that may differ from what was last taken.
    changed: BTreeSet<CountId>,
}

#[derive(Debug)]
struct Count {
    what: Counted,
    count: u64,
    /// Tickets have changed, and were not compared with the query.
    is_stale: bool,
}

/// What [`Tally::look`] has seen: for each count that follows, how many of the tickets it means. `None` where they are
/// too many to be compared.
pub(super) struct Before(Option<Vec<u64>>);

impl Tally {
    /// Counts from now on, and now; in the place of what `id` counted before.
    pub(super) fn begin(&mut self, index: &Index, id: CountId, what: Counted) -> u64 {
        let count = index.find(&what.plan, &Texts::default(), &what.visible).len();
        self.changed.remove(&id);
        self.counts.insert(id, Count { what, count, is_stale: false });
        count
    }

    /// Counts no longer.
    pub(super) fn end(&mut self, id: CountId) {
        self.counts.remove(&id);
        self.changed.remove(&id);
    }

    /// What has changed since this was asked before; `None` in the place of a count that has to begin anew.
    pub(super) fn take_changed(&mut self) -> Vec<(CountId, Option<u64>)> {
        let changed = std::mem::take(&mut self.changed);
        let counts = changed.into_iter().filter_map(|id| Some((id, self.counts.get(&id)?)));
        counts.map(|(id, count)| (id, (!count.is_stale).then_some(count.count))).collect()
    }

    /// Looks at tickets that are about to change.
    pub(super) fn look(&self, index: &Index, tickets: &[TicketId]) -> Before {
        let steps = self.counts.len().saturating_mul(tickets.len());
        Before((steps <= COUNT_STEPS_PER_TURN_MAX).then(|| self.meant(index, tickets)))
    }

    /// These tickets have changed. Whether a count may have.
    pub(super) fn follow(&mut self, index: &Index, tickets: &[TicketId], before: Before) -> bool {
        if self.counts.is_empty() {
            return false;
        }
        let after = before.0.as_ref().map(|_| self.meant(index, tickets));
        let mut meant = before.0.iter().flatten().zip(after.iter().flatten());
        for (id, count) in &mut self.counts {
            match meant.next() {
                Some((before, after)) if count.follows() => {
                    if before != after {
                        count.count = (count.count + after).saturating_sub(*before);
                        self.changed.insert(*id);
                    }
                }
                _ => {
                    count.is_stale = true;
                    self.changed.insert(*id);
                }
            }
        }
        !self.changed.is_empty()
    }

    /// For each count, how many of these tickets it means.
    fn meant(&self, index: &Index, tickets: &[TicketId]) -> Vec<u64> {
        let mut meant = vec![0; self.counts.len()];
        if meant.is_empty() {
            return meant;
        }
        for single in tickets.iter().filter_map(|ticket| index.single(*ticket)) {
            for (meant, count) in meant.iter_mut().zip(self.counts.values()) {
                let what = &count.what;
                *meant += u64::from(count.follows() && single.is_meant(&what.plan, &what.visible));
            }
        }
        meant
    }
}

impl Count {
    /// Whether it is right, and stays so by comparing what changes.
    fn follows(&self) -> bool {
        !self.is_stale && !self.what.is_of_the_moment
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use waggle_core::find::{Facets, Instant, TicketColumns};
    use waggle_core::id::{AgentId, QueueId};
    use waggle_core::ticket::{Priority, Status};
    use waggle_core::time::Timestamp;

    use super::*;

    /// A turn of the feeder: tickets, each with status, queue, agent, time, tag and whether it is deleted.
    type Turn = Vec<(u64, (u8, u32, u32, u64, bool, bool))>;

    fn turns() -> impl Strategy<Value = Vec<Turn>> {
        let ticket = (0_u8..3, 1_u32..4, 0_u32..3, 0_u64..100, any::<bool>(), any::<bool>());
        prop::collection::vec(prop::collection::vec((1_u64..30, ticket), 0..12), 1..40)
    }

    fn plans() -> Vec<Counted> {
        let status = Plan::Status([Status::from_index(1)].into_iter().collect());
        let not = |plan: &Plan| Plan::Not(Box::new(plan.clone()));
        let assigned = Plan::Assignee(Some(AgentId(1)));
        let late = Plan::Time(Instant::Updated, Timestamp(50), Timestamp(u64::MAX));
        let either = Plan::Or(vec![late.clone(), assigned.clone()]);
        let plans = [
            Plan::All,
            not(&status),
            Plan::And(vec![status, not(&assigned)]),
            either,
            late,
            assigned,
            Plan::Deleted,
        ];
        let sets = [QueueSet::All, QueueSet::of([QueueId(1), QueueId(3)]), QueueSet::none()];
        let pairs = plans.into_iter().flat_map(|plan| sets.clone().map(|visible| (plan.clone(), visible)));
        pairs.map(|(plan, visible)| Counted { plan, visible, is_of_the_moment: false }).collect()
    }

    fn put(index: &mut Index, turn: &Turn) {
        for (ticket, (status, queue, agent, at, is_tagged, is_deleted)) in turn {
            let columns = TicketColumns {
                status: Status::from_index(*status),
                queue: QueueId(*queue),
                assignee: (*agent > 0).then_some(AgentId(*agent)),
                priority: Priority::Normal,
                created_at: Timestamp(1),
                updated_at: Timestamp(*at),
            };
            index.put(TicketId(*ticket), &columns);
            let tags = if *is_tagged { r#""tags":{"vip":true},"# } else { "" };
            let extra = format!(r#"{{{tags}"deleted":{is_deleted}}}"#);
            index.describe(TicketId(*ticket), Facets::read("kim", &extra).unwrap());
        }
    }

    proptest! {
        #[test]
        fn counts_that_follow_are_those_of_a_recount(turns in turns(), late in 0_usize..20) {
            let (mut tally, mut index) = (Tally::default(), Index::new());
            let mut told = BTreeMap::new();
            for (number, turn) in turns.iter().enumerate() {
                for (id, what) in (0..).zip(plans()) {
                    // Some begin later, and one begins anew in the middle.
                    if number == if id % 2 == 0 { 0 } else { late } {
                        told.insert(CountId(id), tally.begin(&index, CountId(id), what));
                    }
                }
                let tickets: Vec<_> = turn.iter().map(|(ticket, _)| TicketId(*ticket)).collect::<BTreeSet<_>>().into_iter().collect();
                let before = tally.look(&index, &tickets);
                put(&mut index, turn);
                tally.follow(&index, &tickets, before);
                for (id, count) in tally.take_changed() {
                    told.insert(id, count.expect("a count that follows"));
                }
                for (id, what) in (0..).map(CountId).zip(plans()) {
                    let anew = index.find(&what.plan, &Texts::default(), &what.visible).len();
                    prop_assert!(told.get(&id).is_none_or(|told| *told == anew), "{:?}: {anew}", what);
                }
            }
        }
    }

    #[test]
    fn what_cannot_follow_says_so() {
        let (mut tally, mut index) = (Tally::default(), Index::new());
        let mut what = plans().swap_remove(0);
        tally.begin(&index, CountId(1), what.clone());
        what.is_of_the_moment = true;
        tally.begin(&index, CountId(2), what.clone());
        let turn = |tickets: u64| -> Turn {
            (1..=tickets).map(|ticket| (ticket, (1, 1, 0, 5, false, false))).collect()
        };
        let run = |tally: &mut Tally, index: &mut Index, turn: &Turn| {
            let tickets: Vec<_> = turn.iter().map(|(ticket, _)| TicketId(*ticket)).collect();
            let before = tally.look(index, &tickets);
            put(index, turn);
            tally.follow(index, &tickets, before);
            tally.take_changed()
        };
        assert_eq!(run(&mut tally, &mut index, &turn(3)), [(CountId(1), Some(3)), (CountId(2), None)]);
        // Too many at once.
        let many = turn(COUNT_STEPS_PER_TURN_MAX as u64 / 2 + 1);
        assert_eq!(run(&mut tally, &mut index, &many), [(CountId(1), None), (CountId(2), None)]);
        assert_eq!(tally.begin(&index, CountId(1), plans().swap_remove(0)), many.len() as u64);
        tally.end(CountId(2));
        assert!(run(&mut tally, &mut index, &turn(1)).is_empty(), "nothing has changed, or has ended");
    }
}
