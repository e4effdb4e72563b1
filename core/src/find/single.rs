//! Whether a query means one ticket, found out without a look at any other: counts follow changes by it.

use smallvec::SmallVec;

use super::facet::{Facet, Facets, Size};
use super::index::{Index, Packed, TicketColumns};
use super::plan::Plan;
use super::query::{Compare, Has, Instant, Pattern, PatternEnd};
use crate::id::{AgentId, QueueId, TicketId};
use crate::right::QueueSet;
use crate::ticket::Status;

/// Something that all tickets which a plan means have, and that is told by a ticket's columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Anchor {
    /// They are held by this agent.
    Holder(AgentId),
    /// They are in this queue.
    Queue(QueueId),
}

impl Plan {
    /// An anchor of it, where it has one.
    #[must_use]
    pub fn anchor(&self) -> Option<Anchor> {
        match self {
            Self::Assignee(agent) => agent.map(Anchor::Holder),
            Self::Queue(queue) => Some(Anchor::Queue(*queue)),
            // There are more agents than queues.
            Self::And(parts) => {
                let anchors = || parts.iter().filter_map(Self::anchor);
                anchors().find(|anchor| matches!(anchor, Anchor::Holder(_))).or_else(|| anchors().next())
            }
            _ => None,
        }
    }
}

/// A ticket by itself, as an index has it or would have it.
#[derive(Debug)]
pub struct Single<'a> {
    id: u64,
    columns: Packed,
    created: u64,
    updated: u64,
    due: Option<u64>,
    has_file: bool,
    facets: SmallVec<[&'a Facet; 8]>,
}

impl Index {
    /// One ticket, where it is there.
    #[must_use]
    pub fn single(&self, ticket: TicketId) -> Option<Single<'_>> {
        let (id, columns, facets) = self.ticket(ticket)?;
        Some(Single {
            id: ticket.0,
            columns,
            created: self.created.get(id),
            updated: self.updated.get(id),
            due: self.with_due.contains(id).then(|| self.due.get(id)),
            has_file: self.with_attachment.contains(id),
            facets: facets.collect(),
        })
    }
}

impl<'a> Single<'a> {
    /// One that is in no index.
    #[must_use]
    pub fn of(ticket: TicketId, columns: &TicketColumns, facets: &'a Facets, has_file: bool) -> Self {
        Self {
            id: ticket.0,
            columns: Packed::of(columns),
            created: columns.created_at.0,
            updated: columns.updated_at.0,
            due: facets.due_at.filter(|due| due.0 > 0).map(|due| due.0),
            has_file,
            facets: facets.values.iter().collect(),
        }
    }

    /// The anchors of plans that may mean it; a plan without one may, too.
    #[must_use]
    pub fn anchors(&self) -> SmallVec<[Anchor; 2]> {
        let holder = (self.columns.assignee > 0).then_some(Anchor::Holder(AgentId(self.columns.assignee)));
        holder.into_iter().chain([Anchor::Queue(QueueId(self.columns.queue))]).collect()
    }

    /// Whether [`Index::find`] would have it among what `plan` means. No word is in it.
    #[must_use]
    pub fn is_meant(&self, plan: &Plan, visible: &QueueSet) -> bool {
        visible.contains(QueueId(self.columns.queue))
            && self.fits(plan)
            && (!self.has(&Facet::Deleted) || plan.shows_deleted())
    }

    fn fits(&self, plan: &Plan) -> bool {
        match plan {
            Plan::All => true,
            Plan::Not(inner) => !self.fits(inner),
            Plan::And(parts) => parts.iter().all(|part| self.fits(part)),
            Plan::Or(parts) => parts.iter().any(|part| self.fits(part)),
            Plan::Status(statuses) => statuses.contains(Status::from_index(self.columns.status)),
            Plan::Queue(queue) => self.columns.queue == queue.0,
            Plan::Assignee(agent) => self.columns.assignee == agent.map_or(0, |agent| agent.0),
            Plan::Follower(Some(agent)) => self.has(&Facet::Follower(agent.0)),
            Plan::Follower(None) => !self.has(&Facet::has(Has::Follower)),
            Plan::Priority(compare, priority) => compare.holds(&self.columns.priority, priority),
            Plan::Requester(pattern) => {
                self.any(|facet| matches!(facet, Facet::Requester(text) if pattern.matches(text)))
            }
            Plan::Tag(pattern) => {
                self.any(|facet| matches!(facet, Facet::Tag(text) if pattern.matches(text)))
            }
            Plan::Channel(pattern) => {
                self.any(|facet| matches!(facet, Facet::Channel(text) if pattern.matches(text)))
            }
            Plan::Field(name, compare, pattern) => self.has_value(name, *compare, pattern),
            Plan::Id(compare, id) => compare.holds(&self.id, id),
            Plan::Time(instant, from, until) => {
                let time = match instant {
                    Instant::Created => Some(self.created),
                    Instant::Updated => Some(self.updated),
                    Instant::Due => self.due,
                };
                time.is_some_and(|time| (from.0..until.0).contains(&time))
            }
            Plan::Has(Has::Attachment) => self.has_file,
            Plan::Has(Has::Due) => self.due.is_some(),
            Plan::Has(has) => self.has(&Facet::has(*has)),
            Plan::Merged => self.has(&Facet::Merged),
            Plan::Deleted => self.has(&Facet::Deleted),
            Plan::Text(_) => false,
        }
    }

    fn has_value(&self, name: &str, compare: Compare, pattern: &Pattern) -> bool {
        let wanted = Size::of(&pattern.text);
        self.any(|facet| match facet {
            Facet::Field(of, size, value) if of == name => match (compare, pattern.ends, size, wanted) {
                (Compare::Is, ..) => pattern.matches(value),
                (_, PatternEnd::Here, Some(size), Some(wanted)) => compare.holds(size, &wanted),
                (_, PatternEnd::Here, None, None) => compare.holds(value, &pattern.text),
                // What begins with a text is not before or behind it, and a number is not before or behind a text.
                _ => false,
            },
            _ => false,
        })
    }

    fn has(&self, facet: &Facet) -> bool {
        self.any(|known| known == facet)
    }

    fn any(&self, is_so: impl Fn(&Facet) -> bool) -> bool {
        self.facets.iter().any(|facet| is_so(facet))
    }
}
