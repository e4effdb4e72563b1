//! In which order tickets are listed.

use std::fmt;
use std::str::FromStr;

use super::time_column::Rank;

/// By what tickets are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SortKey {
    /// Their numbers.
    Id,
    /// When they came to be.
    Created,
    /// When something last happened.
    Updated,
    /// How urgent they are.
    Priority,
    /// When they are due; those without a date come last.
    Due,
}

const KEYS: [(SortKey, &str); 5] = [
    (SortKey::Id, "id"),
    (SortKey::Created, "created"),
    (SortKey::Updated, "updated"),
    (SortKey::Priority, "priority"),
    (SortKey::Due, "due"),
];

/// Which end comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The least.
    Ascending,
    /// The greatest.
    Descending,
}

impl Direction {
    /// The rank of a ticket: the least rank comes first.
    pub(super) fn rank(self, key: u64, ticket: u32) -> Rank {
        match self {
            Self::Ascending => (key, ticket),
            Self::Descending => (!key, !ticket),
        }
    }

    /// The ticket of a rank.
    pub(super) fn ticket(self, rank: Rank) -> u32 {
        match self {
            Self::Ascending => rank.1,
            Self::Descending => !rank.1,
        }
    }
}

/// An order: as text `updated`, and `-updated` from the other end. Tickets that are alike are in order of their
/// numbers, from the same end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Order {
    /// By what.
    pub key: SortKey,
    /// Which end comes first.
    pub direction: Direction,
}

impl Order {
    /// Newest first.
    pub const NEWEST: Self = Self { key: SortKey::Id, direction: Direction::Descending };
}

/// A text that is no order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no order; expected one of id, created, updated, priority, due, with `-` in front for the greatest first"
)]
pub struct BadOrder(String);

impl FromStr for Order {
    type Err = BadOrder;

    fn from_str(text: &str) -> Result<Self, BadOrder> {
        let (name, direction) = match text.strip_prefix('-') {
            Some(name) => (name, Direction::Descending),
            None => (text, Direction::Ascending),
        };
        let key = KEYS.iter().find(|(_, known)| *known == name).map(|(key, _)| *key);
        key.map(|key| Self { key, direction }).ok_or_else(|| BadOrder(text.chars().take(40).collect()))
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = KEYS.iter().find(|(key, _)| *key == self.key).map_or("?", |(_, name)| name);
        f.write_str(if self.direction == Direction::Descending { "-" } else { "" })?;
        f.write_str(name)
    }
}
