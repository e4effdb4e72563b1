//! From a plan to the set of tickets that it means.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Included, Unbounded};

use roaring::RoaringBitmap;

use super::facet::{Facet, Size};
use super::index::Index;
use super::plan::Plan;
use super::query::{Compare, Has, Instant, Pattern, PatternEnd};
use super::time_column::TimeColumn;
use crate::id::TicketId;
use crate::right::QueueSet;

/// What is behind every value: it is no character, and values are short.
const LAST: &str = "\u{10ffff}\u{10ffff}\u{10ffff}\u{10ffff}";

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
            found -= self.one(&Facet::Deleted);
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
            Plan::Follower(Some(agent)) => self.one(&Facet::Follower(agent.0)),
            Plan::Follower(None) => &self.all - self.one(&Facet::has(Has::Follower)),
            Plan::Priority(compare, priority) => {
                let wanted = self.by_priority.iter().filter(|(known, _)| compare.holds(*known, priority));
                wanted.fold(RoaringBitmap::new(), |all, (_, tickets)| all | tickets)
            }
            Plan::Requester(pattern) if pattern.is_anything() => self.all.clone(),
            Plan::Requester(pattern) => self.pattern(Facet::Requester, pattern),
            Plan::Tag(pattern) if pattern.is_anything() => self.one(&Facet::has(Has::Tag)),
            Plan::Tag(pattern) => self.pattern(Facet::Tag, pattern),
            Plan::Channel(pattern) => self.pattern(Facet::Channel, pattern),
            Plan::Field(name, compare, pattern) => self.field(name, *compare, pattern),
            Plan::Id(compare, id) => self.numbers(*compare, *id),
            Plan::Time(instant, from, until) => self.within(*instant, from.0, until.0, &self.all),
            Plan::Has(Has::Attachment) => &self.with_attachment & &self.all,
            Plan::Has(Has::Due) => self.with_due.clone(),
            Plan::Has(has) => self.one(&Facet::has(*has)),
            Plan::Merged => self.one(&Facet::Merged),
            Plan::Deleted => self.one(&Facet::Deleted),
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
        let Ok(id) = u32::try_from(id) else {
            let all = matches!(compare, Compare::Below | Compare::AtMost);
            return if all { self.all.clone() } else { RoaringBitmap::new() };
        };
        let mut found = self.all.clone();
        if matches!(compare, Compare::Is | Compare::Above | Compare::AtLeast) {
            found.remove_range(..id);
        }
        if matches!(compare, Compare::Is | Compare::Below | Compare::AtMost) {
            found.remove_range((Excluded(id), Unbounded));
        }
        if matches!(compare, Compare::Above | Compare::Below) {
            found.remove(id);
        }
        found
    }

    /// Values of a property that are, or begin with, the pattern's text: they are beside each other.
    fn pattern(&self, property: fn(String) -> Facet, pattern: &Pattern) -> RoaringBitmap {
        let first = property(pattern.text.clone());
        match pattern.ends {
            PatternEnd::Here => self.one(&first),
            PatternEnd::Anywhere => self.each(first..property(behind(&pattern.text))),
        }
    }

    fn field(&self, name: &str, compare: Compare, pattern: &Pattern) -> RoaringBitmap {
        let text = |text: &str| Facet::Field(name.to_owned(), None, text.to_owned());
        let number = |size| Facet::Field(name.to_owned(), Some(size), String::new());
        // Of two fields' names one may begin with the other.
        let end = || Facet::Field(format!("{name}\0"), None, String::new());
        let (texts, numbers) = (text("")..number(Size::LEAST), number(Size::LEAST)..end());
        match (compare, pattern.ends, Size::of(&pattern.text)) {
            (Compare::Is, PatternEnd::Here, _) => self.one(&Facet::field(name, pattern.text.clone())),
            (Compare::Is, PatternEnd::Anywhere, _) => {
                let begins = |facet: &Facet| match facet {
                    Facet::Field(_, _, value) => pattern.matches(value),
                    _ => false,
                };
                self.each(text(&pattern.text)..text(&behind(&pattern.text))) | self.some(numbers, begins)
            }
            // What begins with a text is not before or behind it.
            (_, PatternEnd::Anywhere, _) => RoaringBitmap::new(),
            (_, _, None) => {
                let wanted = text(&pattern.text);
                match compare {
                    Compare::Below => self.each(texts.start..wanted),
                    Compare::AtMost => self.each((Included(texts.start), Included(wanted))),
                    Compare::AtLeast => self.each(wanted..texts.end),
                    _ => self.each((Excluded(wanted), Excluded(texts.end))),
                }
            }
            (_, _, Some(size)) => {
                let (wanted, next) = (number(size), size.next().map_or_else(end, number));
                match compare {
                    Compare::Below => self.each(numbers.start..wanted),
                    Compare::AtMost => self.each(numbers.start..next),
                    Compare::AtLeast => self.each(wanted..numbers.end),
                    _ => self.each(next..numbers.end),
                }
            }
        }
    }
}

/// The first text behind all that begin with `text`, or one that no value is behind.
fn behind(start: &str) -> String {
    let mut text = start.to_owned();
    while let Some(last) = text.pop() {
        // Between the two are no characters.
        let next = if last == '\u{d7ff}' { Some('\u{e000}') } else { char::from_u32(u32::from(last) + 1) };
        if let Some(next) = next {
            text.push(next);
            return text;
        }
    }
    format!("{start}{LAST}")
}
