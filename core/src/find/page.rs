//! Pages of a list. A page begins behind the place of the last ticket of the one before, whatever has become of that
//! ticket: what does not change meanwhile comes exactly once.

use std::fmt;
use std::str::FromStr;

use roaring::RoaringBitmap;

use super::index::{Index, place};
use super::order::{Direction, Order, SortKey};
use super::query::Instant;
use crate::id::TicketId;
use crate::ticket::Priority;

/// A ticket's place in a list: as text `-updated.1790000000000.17`, and `before-17` in lists by number. It belongs to
/// lists of its own order only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Of the list.
    pub order: Order,
    /// What the ticket is ordered by; none for one that has no such date, which come last.
    pub key: Option<u64>,
    /// The ticket.
    pub ticket: TicketId,
}

const PRIORITIES: [Priority; 4] = [Priority::Low, Priority::Normal, Priority::High, Priority::Urgent];

impl Index {
    /// The first `limit` tickets of a list that are behind `after`. A position of another order is passed over.
    #[must_use]
    pub fn page(
        &self,
        tickets: &RoaringBitmap,
        order: Order,
        after: Option<Position>,
        limit: usize,
    ) -> Vec<TicketId> {
        let after = after.filter(|after| after.order == order);
        let found = match order.key {
            SortKey::Id => numbered(tickets, order.direction, after.map(|after| after.ticket), limit),
            SortKey::Priority => self.by_priority(tickets, order.direction, after, limit),
            SortKey::Created => self.timed(Instant::Created, tickets, order, after, limit),
            SortKey::Updated => self.timed(Instant::Updated, tickets, order, after, limit),
            SortKey::Due => self.due(tickets, order, after, limit),
        };
        found.into_iter().map(|ticket| TicketId(u64::from(ticket))).collect()
    }

    /// Where a ticket is in lists of this order.
    #[must_use]
    pub fn position(&self, order: Order, ticket: TicketId) -> Position {
        let id = place(ticket).map_or(0, |(id, _)| id);
        let key = match order.key {
            SortKey::Id => Some(ticket.0),
            SortKey::Created => Some(self.created.get(id)),
            SortKey::Updated => Some(self.updated.get(id)),
            SortKey::Due => self.with_due.contains(id).then(|| self.due.get(id)),
            SortKey::Priority => {
                let of = |priority: &Priority| {
                    self.by_priority.get(priority).is_some_and(|tickets| tickets.contains(id))
                };
                (0..).zip(PRIORITIES).find(|(_, priority)| of(priority)).map(|(level, _)| level)
            }
        };
        Position { order, key, ticket }
    }

    fn timed(
        &self,
        instant: Instant,
        tickets: &RoaringBitmap,
        order: Order,
        after: Option<Position>,
        limit: usize,
    ) -> Vec<u32> {
        let rank = |after: Position| {
            let id = u32::try_from(after.ticket.0).unwrap_or(u32::MAX);
            order.direction.rank(after.key.unwrap_or_default(), id)
        };
        self.times(instant).first(tickets, order.direction, after.map(rank), limit)
    }

    /// Those with a date, then those without.
    fn due(&self, tickets: &RoaringBitmap, order: Order, after: Option<Position>, limit: usize) -> Vec<u32> {
        let is_past_dates = after.is_some_and(|after| after.key.is_none());
        let mut found = if is_past_dates {
            Vec::new()
        } else {
            self.timed(Instant::Due, &(tickets & &self.with_due), order, after, limit)
        };
        if found.len() < limit {
            let rest = tickets - &self.with_due;
            let behind = after.filter(|_| is_past_dates).map(|after| after.ticket);
            found.extend(numbered(&rest, order.direction, behind, limit - found.len()));
        }
        found
    }

    fn by_priority(
        &self,
        tickets: &RoaringBitmap,
        direction: Direction,
        after: Option<Position>,
        limit: usize,
    ) -> Vec<u32> {
        let mut levels: Vec<(u64, Priority)> = (0..).zip(PRIORITIES).collect();
        if direction == Direction::Descending {
            levels.reverse();
        }
        let reached = after.and_then(|after| after.key);
        let is_over = |level: u64| match (reached, direction) {
            (None, _) => false,
            (Some(reached), Direction::Ascending) => level < reached,
            (Some(reached), Direction::Descending) => level > reached,
        };
        let mut found = Vec::new();
        for (level, priority) in levels.into_iter().filter(|(level, _)| !is_over(*level)) {
            if found.len() >= limit {
                break;
            }
            let Some(all) = self.by_priority.get(&priority) else { continue };
            let behind = after.filter(|_| reached == Some(level)).map(|after| after.ticket);
            found.extend(numbered(&(tickets & all), direction, behind, limit - found.len()));
        }
        found
    }
}

/// In order of their numbers.
fn numbered(
    tickets: &RoaringBitmap,
    direction: Direction,
    after: Option<TicketId>,
    limit: usize,
) -> Vec<u32> {
    let after = after.map(|after| u32::try_from(after.0).unwrap_or(u32::MAX));
    match (direction, after) {
        (Direction::Ascending, Some(u32::MAX)) => Vec::new(),
        (Direction::Ascending, after) => {
            tickets.range(after.map_or(0, |after| after + 1)..).take(limit).collect()
        }
        (Direction::Descending, Some(after)) => tickets.range(..after).rev().take(limit).collect(),
        (Direction::Descending, None) => tickets.iter().rev().take(limit).collect(),
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { order, key, ticket } = self;
        match (order.key, order.direction, key) {
            (SortKey::Id, Direction::Descending, _) => write!(f, "before-{ticket}"),
            (SortKey::Id, Direction::Ascending, _) => write!(f, "after-{ticket}"),
            (_, _, Some(key)) => write!(f, "{order}.{key}.{ticket}"),
            (_, _, None) => write!(f, "{order}.none.{ticket}"),
        }
    }
}

/// A text that is no place in a list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the cursor {0:?} is not one of this list; expected its `next`")]
pub struct BadPosition(String);

impl FromStr for Position {
    type Err = BadPosition;

    fn from_str(text: &str) -> Result<Self, BadPosition> {
        let bad = || BadPosition(text.chars().take(40).collect());
        let numbered = |direction, ticket: &str| {
            let ticket = ticket.parse().map_err(|_| bad())?;
            Ok(Self {
                order: Order { key: SortKey::Id, direction },
                key: Some(ticket),
                ticket: TicketId(ticket),
            })
        };
        if let Some(ticket) = text.strip_prefix("before-") {
            return numbered(Direction::Descending, ticket);
        }
        if let Some(ticket) = text.strip_prefix("after-") {
            return numbered(Direction::Ascending, ticket);
        }
        let mut parts = text.split('.');
        let (Some(order), Some(key), Some(ticket), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(bad());
        };
        let order: Order = order.parse().map_err(|_| bad())?;
        let key = match key {
            "none" => None,
            key => Some(key.parse().map_err(|_| bad())?),
        };
        Ok(Self { order, key, ticket: TicketId(ticket.parse().map_err(|_| bad())?) })
    }
}
