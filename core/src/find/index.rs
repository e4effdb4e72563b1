//! The tickets of one tenant, arranged for finding: a column per property that all have, a set of tickets per value.

use std::collections::BTreeMap;
use std::ops::RangeBounds;
use std::sync::Arc;

use roaring::RoaringBitmap;
use smallvec::SmallVec;

use super::facet::{Facet, Facets};
use super::posting::Posting;
use super::time_column::TimeColumn;
use crate::id::{AgentId, QueueId, TicketId};
use crate::limits::TICKETS_MAX;
use crate::ticket::{Priority, Status};
use crate::time::Timestamp;

/// What changes all the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TicketColumns {
    /// Its status.
    pub status: Status,
    /// Its queue.
    pub queue: QueueId,
    /// Who holds it.
    pub assignee: Option<AgentId>,
    /// How urgent it is.
    pub priority: Priority,
    /// When it came to be.
    pub created_at: Timestamp,
    /// When something last happened.
    pub updated_at: Timestamp,
}

/// An index. It is fed with tickets as they are after events, and knows no history: feeding it the same again changes
/// nothing.
#[derive(Debug, Default)]
pub struct Index {
    pub(super) all: RoaringBitmap,
    pub(super) by_status: BTreeMap<u8, RoaringBitmap>,
    pub(super) by_queue: BTreeMap<u32, RoaringBitmap>,
    /// 0 is nobody.
    pub(super) by_assignee: BTreeMap<u32, RoaringBitmap>,
    pub(super) by_priority: BTreeMap<Priority, RoaringBitmap>,
    pub(super) created: TimeColumn,
    pub(super) updated: TimeColumn,
    /// 0 where a ticket has none.
    pub(super) due: TimeColumn,
    pub(super) with_due: RoaringBitmap,
    pub(super) with_attachment: RoaringBitmap,
    tickets: Vec<Ticket>,
    facets: BTreeMap<Arc<Facet>, u32>,
    postings: Vec<(Arc<Facet>, Posting)>,
    /// Places in `postings` that no facet has.
    free: Vec<u32>,
}

/// What is known of a ticket, so that it can be taken out of where it is.
#[derive(Debug, Default, Clone)]
struct Ticket {
    columns: Option<Packed>,
    /// Places in `postings`.
    facets: SmallVec<[u32; 4]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Packed {
    pub(super) queue: u32,
    pub(super) assignee: u32,
    pub(super) status: u8,
    pub(super) priority: Priority,
}

impl Packed {
    pub(super) fn of(columns: &TicketColumns) -> Self {
        Self {
            queue: columns.queue.0,
            assignee: columns.assignee.map_or(0, |agent| agent.0),
            status: columns.status.index(),
            priority: columns.priority,
        }
    }
}

impl Index {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many tickets there are, deleted ones included.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.all.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Takes a ticket's columns as they are now. A number above [`TICKETS_MAX`] is passed over: no ticket has it.
    pub fn put(&mut self, ticket: TicketId, columns: &TicketColumns) {
        let Some((id, place)) = place(ticket) else { return };
        if place >= self.tickets.len() {
            self.tickets.resize_with(place + 1, Ticket::default);
        }
        let fresh = Packed::of(columns);
        let Some(known) = self.tickets.get_mut(place) else { return };
        let old = known.columns.replace(fresh);
        swap(&mut self.by_status, id, old.map(|old| old.status), fresh.status);
        swap(&mut self.by_queue, id, old.map(|old| old.queue), fresh.queue);
        swap(&mut self.by_assignee, id, old.map(|old| old.assignee), fresh.assignee);
        swap(&mut self.by_priority, id, old.map(|old| old.priority), fresh.priority);
        self.created.set(id, columns.created_at.0);
        self.updated.set(id, columns.updated_at.0);
        self.all.insert(id);
    }

    /// Takes what a ticket that is there has beyond its columns.
    pub fn describe(&mut self, ticket: TicketId, facets: Facets) {
        if place(ticket).is_some_and(|(id, _)| self.all.contains(id)) {
            let numbers = facets.values.into_iter().map(|facet| self.intern(facet)).collect();
            self.describe_by(ticket, numbers, facets.due_at);
        }
    }

    /// The same, with the numbers of its facets.
    pub(super) fn describe_by(
        &mut self,
        ticket: TicketId,
        fresh: SmallVec<[u32; 4]>,
        due_at: Option<Timestamp>,
    ) {
        let Some((id, place)) = place(ticket).filter(|(id, _)| self.all.contains(*id)) else { return };
        let Some(known) = self.tickets.get_mut(place) else { return };
        let old = std::mem::replace(&mut known.facets, fresh.clone());
        for number in fresh.iter().filter(|number| !old.contains(number)) {
            if let Some((_, posting)) = self.posting_mut(*number) {
                posting.insert(id);
            }
        }
        for number in old.iter().filter(|number| !fresh.contains(number)) {
            self.leave(*number, id);
        }
        match due_at.filter(|due| due.0 > 0) {
            Some(due) => {
                self.due.set(id, due.0);
                self.with_due.insert(id);
            }
            None => {
                self.with_due.remove(id);
            }
        }
    }

    /// Says that a ticket has a file.
    pub fn attach(&mut self, ticket: TicketId) {
        if let Some((id, _)) = place(ticket) {
            self.with_attachment.insert(id);
        }
    }

    /// Says that a ticket has no file any more.
    pub fn detach(&mut self, ticket: TicketId) {
        if let Some((id, _)) = place(ticket) {
            self.with_attachment.remove(id);
        }
    }

    /// The tickets of one facet.
    pub(super) fn one(&self, facet: &Facet) -> RoaringBitmap {
        self.union(self.facets.get(facet))
    }

    /// The tickets of all facets of a range.
    pub(super) fn each(&self, facets: impl RangeBounds<Facet>) -> RoaringBitmap {
        self.union(self.facets.range::<Facet, _>(facets).map(|(_, number)| number))
    }

    /// The tickets of those facets of a range that are `wanted`.
    pub(super) fn some(
        &self,
        facets: impl RangeBounds<Facet>,
        wanted: impl Fn(&Facet) -> bool,
    ) -> RoaringBitmap {
        let all = self.facets.range::<Facet, _>(facets);
        self.union(all.filter(|(facet, _)| wanted(facet)).map(|(_, number)| number))
    }

    fn union<'a>(&self, numbers: impl IntoIterator<Item = &'a u32>) -> RoaringBitmap {
        let mut numbers: Vec<u32> = numbers.into_iter().copied().collect();
        // Postings are in the order in which they came to be: that is how memory is read fastest.
        numbers.sort_unstable();
        let places = numbers.into_iter().filter_map(|number| usize::try_from(number).ok());
        let postings = places.filter_map(|place| self.postings.get(place)).map(|(_, posting)| posting);
        Posting::union(postings, self.tickets.len())
    }

    /// A ticket's number, columns and facets, where it is there.
    pub(super) fn ticket(&self, ticket: TicketId) -> Option<(u32, Packed, impl Iterator<Item = &Facet>)> {
        let (id, place) = place(ticket)?;
        let known = self.tickets.get(place)?;
        let facets = known.facets.iter().filter_map(|number| {
            let place = usize::try_from(*number).ok()?;
            self.postings.get(place).map(|(facet, _)| &**facet)
        });
        Some((id, known.columns?, facets))
    }

    fn intern(&mut self, facet: Facet) -> u32 {
        if let Some(number) = self.facets.get(&facet) {
            return *number;
        }
        let facet = Arc::new(facet);
        let number = self.free.pop().unwrap_or_else(|| self.add_posting(&facet));
        if let Some(place) = self.posting_mut(number) {
            *place = (Arc::clone(&facet), Posting::default());
        }
        self.facets.insert(facet, number);
        number
    }

    /// A new posting, which no facet leads to yet.
    pub(super) fn add_posting(&mut self, facet: &Arc<Facet>) -> u32 {
        self.postings.push((Arc::clone(facet), Posting::default()));
        u32::try_from(self.postings.len() - 1).unwrap_or(u32::MAX)
    }

    /// With facets that lead to all its postings.
    pub(super) fn with_facets(mut self, facets: impl IntoIterator<Item = (Arc<Facet>, u32)>) -> Self {
        self.facets = facets.into_iter().collect();
        self
    }

    /// Takes a ticket out of a posting; one that is empty then is given up.
    fn leave(&mut self, number: u32, ticket: u32) {
        let Some((facet, posting)) = self.posting_mut(number) else { return };
        posting.remove(ticket);
        if posting.is_empty() {
            // What nothing has any more is not kept either: it may be somebody's name.
            let facet = std::mem::replace(facet, Arc::new(Facet::Deleted));
            self.facets.remove(&facet);
            self.free.push(number);
        }
    }

    fn posting_mut(&mut self, number: u32) -> Option<&mut (Arc<Facet>, Posting)> {
        self.postings.get_mut(usize::try_from(number).ok()?)
    }
}

/// A ticket's number in sets, and its place in columns.
pub(super) fn place(ticket: TicketId) -> Option<(u32, usize)> {
    let id = u32::try_from(ticket.0).ok().filter(|id| u64::from(*id) <= TICKETS_MAX)?;
    Some((id, usize::try_from(id).ok()?))
}

fn swap<K: Ord>(sets: &mut BTreeMap<K, RoaringBitmap>, ticket: u32, old: Option<K>, fresh: K) {
    if let Some(old) = old {
        if old == fresh {
            return;
        }
        if let Some(tickets) = sets.get_mut(&old) {
            tickets.remove(ticket);
            if tickets.is_empty() {
                sets.remove(&old);
            }
        }
    }
    sets.entry(fresh).or_default().insert(ticket);
}
