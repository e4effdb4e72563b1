//! Counts of queries that follow the index: of each ticket that changes it is asked which queries meant it before and
//! which mean it now, so that nothing else is looked at.

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;
use waggle_core::find::{Anchor, Index, Plan, Texts};
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
    counts: FxHashMap<CountId, Count>,
    /// Those that follow, by what all their tickets have: a ticket is compared with those of its own alone. An agent's
    /// own tickets are what is counted most.
    by_anchor: FxHashMap<Option<Anchor>, BTreeSet<CountId>>,
    /// Those that are made anew whatever changes.
    of_the_moment: BTreeSet<CountId>,
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

/// How many of some tickets each count means.
type Meant = FxHashMap<CountId, u64>;

/// What [`Tally::look`] has seen. `None` where the tickets are too many to be compared.
pub(super) struct Before(Option<Meant>);

impl Tally {
    /// Counts from now on, and now; in the place of what `id` counted before.
    pub(super) fn begin(&mut self, index: &Index, id: CountId, what: Counted) -> u64 {
        self.end(id);
        let count = index.find(&what.plan, &Texts::default(), &what.visible).len();
        if what.is_of_the_moment {
            self.of_the_moment.insert(id);
        } else {
            self.by_anchor.entry(what.plan.anchor()).or_default().insert(id);
        }
        self.counts.insert(id, Count { what, count, is_stale: false });
        count
    }

    /// Counts no longer.
    pub(super) fn end(&mut self, id: CountId) {
        self.changed.remove(&id);
        self.of_the_moment.remove(&id);
        let Some(count) = self.counts.remove(&id) else { return };
        let anchor = count.what.plan.anchor();
        if let Some(ids) = self.by_anchor.get_mut(&anchor) {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_anchor.remove(&anchor);
            }
        }
    }

    /// What has changed since this was asked before; `None` in the place of a count that has to begin anew.
    pub(super) fn take_changed(&mut self) -> Vec<(CountId, Option<u64>)> {
        let changed = std::mem::take(&mut self.changed);
        let counts = changed.into_iter().filter_map(|id| Some((id, self.counts.get(&id)?)));
        counts.map(|(id, count)| (id, (!count.is_stale).then_some(count.count))).collect()
    }

    /// Looks at tickets that are about to change.
    pub(super) fn look(&self, index: &Index, tickets: &[TicketId]) -> Before {
        Before(self.meant(index, tickets))
    }

    /// These tickets have changed. Whether a count may have.
    pub(super) fn follow(&mut self, index: &Index, tickets: &[TicketId], before: Before) -> bool {
        if let Some((before, after)) = before.0.zip(self.meant(index, tickets)) {
            let ids: BTreeSet<CountId> = before.keys().chain(after.keys()).copied().collect();
            for id in ids {
                let [before, after] =
                    [&before, &after].map(|meant| meant.get(&id).copied().unwrap_or_default());
                if let Some(count) = self.counts.get_mut(&id).filter(|_| before != after) {
                    count.count = (count.count + after).saturating_sub(before);
                    self.changed.insert(id);
                }
            }
        } else {
            self.give_up();
        }
        for id in &self.of_the_moment {
            if let Some(count) = self.counts.get_mut(id) {
                count.is_stale = true;
                self.changed.insert(*id);
            }
        }
        !self.changed.is_empty()
    }

    /// No count follows any more until it begins anew.
    fn give_up(&mut self) {
        for id in std::mem::take(&mut self.by_anchor).into_values().flatten() {
            if let Some(count) = self.counts.get_mut(&id) {
                count.is_stale = true;
                self.changed.insert(id);
            }
        }
    }

    /// How many of these tickets counts that follow mean.
    fn meant(&self, index: &Index, tickets: &[TicketId]) -> Option<Meant> {
        let mut meant = Meant::default();
        if self.by_anchor.is_empty() {
            return Some(meant);
        }
        let mut steps = 0_usize;
        for single in tickets.iter().filter_map(|ticket| index.single(*ticket)) {
            let anchors = single.anchors().into_iter().map(Some).chain([None]);
            for ids in anchors.filter_map(|anchor| self.by_anchor.get(&anchor)) {
                steps = steps.saturating_add(ids.len());
                if steps > COUNT_STEPS_PER_TURN_MAX {
                    return None;
                }
                for (id, what) in ids.iter().filter_map(|id| Some((id, &self.counts.get(id)?.what))) {
                    if single.is_meant(&what.plan, &what.visible) {
                        *meant.entry(*id).or_default() += 1;
                    }
                }
            }
        }
        Some(meant)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use waggle_core::find::{Compare, Facets, Instant, TicketColumns};
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
            assigned.clone(),
            Plan::And(vec![Plan::Deleted, assigned]),
            Plan::And(vec![Plan::Queue(QueueId(2)), Plan::Priority(Compare::Is, Priority::Normal)]),
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
        let many = turn(COUNT_STEPS_PER_TURN_MAX as u64 + 1);
        assert_eq!(run(&mut tally, &mut index, &many), [(CountId(1), None), (CountId(2), None)]);
        assert_eq!(tally.begin(&index, CountId(1), plans().swap_remove(0)), many.len() as u64);
        tally.end(CountId(2));
        assert!(run(&mut tally, &mut index, &turn(1)).is_empty(), "nothing has changed, or has ended");
    }
}
