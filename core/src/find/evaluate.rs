//! From a plan to the set of tickets that it means.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use roaring::RoaringBitmap;

use super::facet::Facet;
use super::index::Index;
use super::plan::Plan;
use super::query::{Compare, Has, Instant, Pattern, PatternEnd};
use super::time_column::TimeColumn;
use crate::id::TicketId;
use crate::right::QueueSet;

/// For each text term of a plan, by its printed form, the tickets that have it.
#[derive(Debug, Clone, Default)]
pub struct Texts(BTreeMap<String, RoaringBitmap>);

impl Texts {
    /// Adds what was found for a term.
    pub fn add(&mut self, term: String, tickets: impl IntoIterator<Item = TicketId>) {
        let tickets = tickets.into_iter().filter_map(|ticket| u32::try_from(ticket.0).ok()).collect();
        self.0.insert(term, tickets);
    }
}

impl Index {
    /// The tickets that `plan` means, of those in the queues that may be seen. Deleted ones only where it asks for
    /// them.
    #[must_use]
    pub fn find(&self, plan: &Plan, texts: &Texts, visible: &QueueSet) -> RoaringBitmap {
        let mut found = self.evaluate(plan, texts);
        if let QueueSet::Some(_) = visible {
            let seen =
                self.by_queue.iter().filter(|(queue, _)| visible.contains(crate::id::QueueId(**queue)));
            found &= seen.fold(RoaringBitmap::new(), |all, (_, tickets)| all | tickets);
        }
        if !plan.shows_deleted() {
            found -= self.one(Facet::Deleted);
        }
        found
    }

    fn evaluate(&self, plan: &Plan, texts: &Texts) -> RoaringBitmap {
        match plan {
            Plan::All => self.all.clone(),
            Plan::Not(inner) => &self.all - self.evaluate(inner, texts),
            Plan::And(parts) => self.all_of(parts, texts),
            Plan::Or(parts) => {
                let each = parts.iter().map(|part| self.evaluate(part, texts));
                each.fold(RoaringBitmap::new(), |all, part| all | part)
            }
            Plan::Status(statuses) => {
                let wanted = self
                    .by_status
                    .iter()
                    .filter(|(index, _)| statuses.contains(crate::ticket::Status::from_index(**index)));
                wanted.fold(RoaringBitmap::new(), |all, (_, tickets)| all | tickets)
            }
            Plan::Queue(queue) => self.by_queue.get(&queue.0).cloned().unwrap_or_default(),
            Plan::Assignee(agent) => {
                self.by_assignee.get(&agent.map_or(0, |agent| agent.0)).cloned().unwrap_or_default()
            }
            Plan::Follower(Some(agent)) => self.one(Facet::Follower(agent.0)),
            Plan::Follower(None) => &self.all - self.one(Facet::has(Has::Follower)),
            Plan::Priority(compare, priority) => {
                let wanted = self.by_priority.iter().filter(|(known, _)| compare.holds(*known, priority));
                wanted.fold(RoaringBitmap::new(), |all, (_, tickets)| all | tickets)
            }
            Plan::Requester(pattern) => self.pattern(Facet::Requester, pattern, |facet| match facet {
                Facet::Requester(text) => Some(text),
                _ => None,
            }),
            Plan::Tag(pattern) => self.pattern(Facet::Tag, pattern, |facet| match facet {
                Facet::Tag(text) => Some(text),
                _ => None,
            }),
            Plan::Channel(pattern) => self.pattern(Facet::Channel, pattern, |facet| match facet {
                Facet::Channel(text) => Some(text),
                _ => None,
            }),
            Plan::Field(name, compare, pattern) => self.field(name, *compare, pattern),
            Plan::Id(compare, id) => self.numbers(*compare, *id),
            Plan::Time(instant, from, until) => self.within(*instant, from.0, until.0, &self.all),
            Plan::Has(Has::Attachment) => &self.with_attachment & &self.all,
            Plan::Has(Has::Due) => self.with_due.clone(),
            Plan::Has(has) => self.one(Facet::has(*has)),
            Plan::Merged => self.one(Facet::Merged),
            Plan::Deleted => self.one(Facet::Deleted),
            Plan::Text(term) => texts.0.get(term).map(|tickets| tickets & &self.all).unwrap_or_default(),
        }
    }

    /// Sets first; times are looked at only of what is left then.
    fn all_of(&self, parts: &[Plan], texts: &Texts) -> RoaringBitmap {
        let mut found: Option<RoaringBitmap> = None;
        for part in parts.iter().filter(|part| !matches!(part, Plan::Time(..))) {
            found = Some(match (found, part) {
                (Some(mut found), Plan::Not(inner)) => {
                    found -= self.evaluate(inner, texts);
                    found
                }
                (Some(mut found), part) => {
                    found &= self.evaluate(part, texts);
                    found
                }
                (None, part) => self.evaluate(part, texts),
            });
        }
        let mut found = found.unwrap_or_else(|| self.all.clone());
        for part in parts {
            if let Plan::Time(instant, from, until) = part {
                found = self.within(*instant, from.0, until.0, &found);
            }
        }
        found
    }

    fn within(&self, instant: Instant, from: u64, until: u64, candidates: &RoaringBitmap) -> RoaringBitmap {
        match instant {
            Instant::Created => self.created.within(from, until, candidates),
            Instant::Updated => self.updated.within(from, until, candidates),
            Instant::Due => self.due.within(from, until, &(candidates & &self.with_due)),
        }
    }

    pub(super) fn times(&self, instant: Instant) -> &TimeColumn {
        match instant {
            Instant::Created => &self.created,
            Instant::Updated => &self.updated,
            Instant::Due => &self.due,
        }
    }

    fn numbers(&self, compare: Compare, id: u64) -> RoaringBitmap {
        let id = u32::try_from(id).unwrap_or(u32::MAX);
        let range = match compare {
            Compare::Is => self.all.range(id..=id),
            Compare::Below => self.all.range(..id),
            Compare::AtMost => self.all.range(..=id),
            Compare::Above if id == u32::MAX => return RoaringBitmap::new(),
            Compare::Above => self.all.range(id + 1..),
            Compare::AtLeast => self.all.range(id..),
        };
        RoaringBitmap::from_iter(range)
    }

    fn one(&self, facet: Facet) -> RoaringBitmap {
        let wanted = facet.clone();
        self.union(facet, |found| (*found == wanted).then_some(true))
    }

    /// Values of a property that are, or begin with, the pattern's text: they are beside each other.
    fn pattern(
        &self,
        property: fn(String) -> Facet,
        pattern: &Pattern,
        text: fn(&Facet) -> Option<&String>,
    ) -> RoaringBitmap {
        self.union(property(pattern.text.clone()), |facet| {
            text(facet).filter(|text| pattern.matches(text)).map(|_| true)
        })
    }

    fn field(&self, name: &str, compare: Compare, pattern: &Pattern) -> RoaringBitmap {
        let value = |facet: &Facet| match facet {
            Facet::Field(of, value) if of == name => Some(value.clone()),
            _ => None,
        };
        if compare == Compare::Is {
            return self.union(Facet::Field(name.to_owned(), pattern.text.clone()), |facet| {
                value(facet).filter(|value| pattern.matches(value)).map(|_| true)
            });
        }
        if pattern.ends == PatternEnd::Anywhere {
            return RoaringBitmap::new();
        }
        self.union(Facet::Field(name.to_owned(), String::new()), |facet| {
            value(facet)
                .map(|value| by_value(&value, &pattern.text).is_some_and(|order| holds(compare, order)))
        })
    }
}

/// Numbers by size; texts, dates among them, letter by letter.
fn by_value(left: &str, right: &str) -> Option<Ordering> {
    match (left.parse::<f64>(), right.parse::<f64>()) {
        (Ok(left), Ok(right)) => left.partial_cmp(&right),
        (Err(_), Err(_)) => Some(left.cmp(right)),
        _ => None,
    }
}

fn holds(compare: Compare, order: Ordering) -> bool {
    compare.holds(&order, &Ordering::Equal)
}
