//! Lifecycles as data: statuses inside fixed categories, and the edges between them.

mod built_in;
mod change;
mod check;
mod fault;
mod spec;
mod table;

#[cfg(test)]
mod check_tests;

use std::fmt;

use serde::Serialize;

use crate::right::Right;

pub use change::{Change, QueueChange, StatusPlan};
pub use check::check;
pub use fault::{BadName, Fault};
pub use spec::{DefaultsSpec, EdgeSpec, LifecycleSpec, StatusSpec};
pub use table::{Lifecycle, LifecycleRow, Lifecycles, StatusRow};

/// What a status means to the machine; statuses are what it means to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// Nobody has taken it up.
    New,
    /// The team's turn.
    Open,
    /// The requester's turn.
    Pending,
    /// A third party's turn.
    OnHold,
    /// Answered; a requester's message reopens it.
    Solved,
    /// Final; a requester's message becomes a follow-up ticket.
    Closed,
}

const CATEGORIES: [(Category, &str); 6] = [
    (Category::New, "new"),
    (Category::Open, "open"),
    (Category::Pending, "pending"),
    (Category::OnHold, "on_hold"),
    (Category::Solved, "solved"),
    (Category::Closed, "closed"),
];

impl Category {
    /// Its name on the wire and in storage.
    #[must_use]
    pub fn name(self) -> &'static str {
        CATEGORIES.iter().find(|(category, _)| *category == self).map_or("?", |(_, name)| name)
    }

    /// The category called `name`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        CATEGORIES.iter().find(|(_, known)| *known == name).map(|(category, _)| *category)
    }
}

/// A status: an index that no other status of its tenant has, whatever its lifecycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Status(u8);

impl Status {
    /// How many a tenant may have, all lifecycles together: what fits a cell's eight bits.
    pub const MAX: usize = 256;

    /// The status of an index.
    #[must_use]
    pub const fn from_index(index: u8) -> Self {
        Self(index)
    }

    /// Its index.
    #[must_use]
    pub const fn index(self) -> u8 {
        self.0
    }

    /// All that there may be, by index.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..=u8::MAX).map(Self)
    }
}

/// Some statuses of a tenant: a bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StatusSet([u64; 4]);

impl StatusSet {
    /// Whether `status` is one of them.
    #[must_use]
    pub fn contains(&self, status: Status) -> bool {
        let (word, bit) = Self::place(status);
        self.0.get(word).is_some_and(|word| word & bit != 0)
    }

    /// Adds one.
    pub fn insert(&mut self, status: Status) {
        let (word, bit) = Self::place(status);
        if let Some(word) = self.0.get_mut(word) {
            *word |= bit;
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Its statuses, by index.
    pub fn iter(&self) -> impl Iterator<Item = Status> {
        Status::all().filter(|status| self.contains(*status))
    }

    fn place(status: Status) -> (usize, u64) {
        (usize::from(status.0) / 64, 1 << (status.0 % 64))
    }
}

impl FromIterator<Status> for StatusSet {
    fn from_iter<T: IntoIterator<Item = Status>>(statuses: T) -> Self {
        let mut set = Self::default();
        statuses.into_iter().for_each(|status| set.insert(status));
        set
    }
}

impl From<Status> for StatusSet {
    fn from(status: Status) -> Self {
        Self::from_iter([status])
    }
}

/// What must hold, besides a right, for an edge to be taken. A closed list: each is decided by what admission has
/// at hand, the ticket's word, its holder and the command, so that no edge costs a look into storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Guard {
    /// Somebody holds the ticket.
    Assigned,
    /// Whoever takes the edge holds the ticket, an administrator no less.
    Holder,
    /// It is taken by a public reply: the requester is told something with it.
    Reply,
}

const GUARDS: [(Guard, &str); 3] =
    [(Guard::Assigned, "assigned"), (Guard::Holder, "holder"), (Guard::Reply, "reply")];

impl Guard {
    /// Its name on the wire and in storage.
    #[must_use]
    pub fn name(self) -> &'static str {
        GUARDS.iter().find(|(guard, _)| *guard == self).map_or("?", |(_, name)| name)
    }

    /// The guard called `name`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        GUARDS.iter().find(|(_, known)| *known == name).map(|(guard, _)| *guard)
    }

    /// What is to be done about it where it does not hold.
    #[must_use]
    pub fn demand(self) -> &'static str {
        match self {
            Self::Assigned => "somebody must hold the ticket: claim or assign it first",
            Self::Holder => "only whoever holds the ticket may make this move: claim it first",
            Self::Reply => "only a reply makes this move: send a reply command with this status",
        }
    }
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A move that a lifecycle allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edge {
    /// To this status,
    pub to: Status,
    /// for whoever has this right; where the ticket is held, that is its holder.
    pub right: Right,
    /// What must hold besides.
    pub guard: Option<Guard>,
}
