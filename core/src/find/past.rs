//! Lists as they were at an instant. Most tickets have not changed since then: those are found as they are. The others
//! come from the log, one by one.

use roaring::RoaringBitmap;

use super::evaluate::Texts;
use super::facet::{Facet, Facets};
use super::index::{Index, TicketColumns};
use super::order::{Order, SortKey};
use super::page::Position;
use super::plan::Plan;
use super::single::Single;
use crate::id::{QueueId, TicketId};
use crate::right::QueueSet;
use crate::ticket::Priority;
use crate::time::Timestamp;

/// What the index says of an instant.
#[derive(Debug)]
pub struct Past {
    /// Tickets that are meant, and have not changed since.
    steady: RoaringBitmap,
    /// Tickets that were there and have changed since, in order: what they were is in the log.
    pub changed: Vec<TicketId>,
}

/// A page of such a list.
#[derive(Debug)]
pub struct PastPage {
    order: Order,
    after: Option<Position>,
    limit: usize,
    found: Vec<Position>,
    count: u64,
}

impl Index {
    /// The tickets that `plan` meant at `at`, as far as the index knows: those in queues that may be seen now, and without
    /// those that were deleted since. A plan with words means none.
    #[must_use]
    pub fn past(&self, plan: &Plan, visible: &QueueSet, at: Timestamp) -> Past {
        let seen = match visible {
            QueueSet::All => self.all.clone(),
            QueueSet::Some(_) => {
                let queues = self.by_queue.iter().filter(|(queue, _)| visible.contains(QueueId(**queue)));
                queues.fold(RoaringBitmap::new(), |all, (_, tickets)| all | tickets)
            }
        };
        let since = at.0.saturating_add(1);
        let mut changed = self.updated.within(since, u64::MAX, &seen);
        let steady = self.find(plan, &Texts::default(), visible) - &changed;
        changed -= self.created.within(since, u64::MAX, &changed);
        // Whoever may see deleted tickets is told by a ticket as it is, not as it was.
        changed -= self.one(&Facet::Deleted);
        Past { steady, changed: changed.into_iter().map(|ticket| TicketId(u64::from(ticket))).collect() }
    }

    /// The beginning of a page of it: those that have not changed. The index must be as it was when it was asked.
    #[must_use]
    pub fn past_page(&self, past: &Past, order: Order, after: Option<Position>, limit: usize) -> PastPage {
        let steady = self.page(&past.steady, order, after, limit);
        let found = steady.into_iter().map(|ticket| self.position(order, ticket)).collect();
        PastPage { order, after, limit, found, count: past.steady.len() }
    }
}

impl PastPage {
    /// Adds a ticket that has changed, as it was at the instant, where `plan` meant it.
    pub fn add(
        &mut self,
        plan: &Plan,
        ticket: TicketId,
        columns: &TicketColumns,
        facets: &Facets,
        has_file: bool,
    ) {
        if !Single::of(ticket, columns, facets, has_file).is_meant(plan, &QueueSet::All) {
            return;
        }
        self.count += 1;
        let key = match self.order.key {
            SortKey::Id => Some(ticket.0),
            SortKey::Created => Some(columns.created_at.0),
            SortKey::Updated => Some(columns.updated_at.0),
            SortKey::Due => facets.due_at.map(|due| due.0),
            SortKey::Priority => Some(level(columns.priority)),
        };
        let position = Position { order: self.order, key, ticket };
        if self.after.is_none_or(|after| position.place() > after.place()) {
            self.found.push(position);
        }
    }

    /// How many tickets there are on all pages, and those of this one in order.
    #[must_use]
    pub fn finish(mut self) -> (u64, Vec<Position>) {
        self.found.sort_unstable_by_key(Position::place);
        self.found.truncate(self.limit);
        (self.count, self.found)
    }
}

impl Position {
    /// What lists of its order are sorted by.
    fn place(&self) -> (bool, u64, u32) {
        let id = u32::try_from(self.ticket.0).unwrap_or(u32::MAX);
        let (key, id) = self.order.direction.rank(self.key.unwrap_or_default(), id);
        (self.key.is_none(), key, id)
    }
}

fn level(priority: Priority) -> u64 {
    match priority {
        Priority::Low => 0,
        Priority::Normal => 1,
        Priority::High => 2,
        Priority::Urgent => 3,
    }
}
