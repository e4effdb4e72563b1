//! Lifecycles as data: statuses inside fixed categories, and the edges between them.

use serde::Serialize;

use crate::right::Right;

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

/// A status: its place in the lifecycle's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Status(u8);

impl Status {
    /// The most statuses a lifecycle may have: what fits a cell's six bits.
    pub const MAX: usize = 64;

    /// The status at `index` of a lifecycle's list, which must be below [`Status::MAX`].
    #[must_use]
    pub const fn from_index(index: u8) -> Self {
        assert!((index as usize) < Self::MAX, "a status index is below 64");
        Self(index)
    }

    /// Place in the lifecycle's list, below [`Status::MAX`].
    #[must_use]
    pub const fn index(self) -> u8 {
        self.0
    }
}

/// A status as its lifecycle defines it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusDef {
    /// Its name on the wire: lower case, `[a-z_]`.
    pub name: &'static str,
    /// Its category.
    pub category: Category,
}

/// A move that the lifecycle allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edge {
    /// From this status
    pub from: Status,
    /// to this one,
    pub to: Status,
    /// for whoever has this right; where the ticket is held, that is its holder.
    pub right: Right,
}

/// Statuses, edges, and what happens by itself.
#[derive(Debug)]
pub struct Lifecycle {
    statuses: &'static [StatusDef],
    edges: &'static [Edge],
    initial: Status,
    /// Where a ticket goes that was new when an agent took it or answered it, or that waited for its
    /// requester, or was solved, when the requester wrote.
    open: Status,
}

const NEW: Status = Status(0);
const OPEN: Status = Status(1);
const PENDING: Status = Status(2);
const ON_HOLD: Status = Status(3);
const SOLVED: Status = Status(4);
const CLOSED: Status = Status(5);

const fn edge(from: Status, to: Status) -> Edge {
    Edge { from, to, right: Right::Edit }
}

/// Common helpdesk practice, as in Zendesk's and Request Tracker's documentation: nothing returns to
/// new, closed is final, everything else may move between the working statuses.
static DEFAULT: Lifecycle = Lifecycle {
    statuses: &[
        StatusDef { name: "new", category: Category::New },
        StatusDef { name: "open", category: Category::Open },
        StatusDef { name: "pending", category: Category::Pending },
        StatusDef { name: "on_hold", category: Category::OnHold },
        StatusDef { name: "solved", category: Category::Solved },
        StatusDef { name: "closed", category: Category::Closed },
    ],
    edges: &[
        edge(NEW, OPEN),
        edge(NEW, PENDING),
        edge(NEW, ON_HOLD),
        edge(NEW, SOLVED),
        edge(OPEN, PENDING),
        edge(OPEN, ON_HOLD),
        edge(OPEN, SOLVED),
        edge(PENDING, OPEN),
        edge(PENDING, ON_HOLD),
        edge(PENDING, SOLVED),
        edge(ON_HOLD, OPEN),
        edge(ON_HOLD, PENDING),
        edge(ON_HOLD, SOLVED),
        edge(SOLVED, OPEN),
        Edge { from: SOLVED, to: CLOSED, right: Right::Close },
    ],
    initial: NEW,
    open: OPEN,
};

impl Lifecycle {
    /// The lifecycle of a tenant that has set no other.
    #[must_use]
    pub fn default_table() -> &'static Lifecycle {
        &DEFAULT
    }

    /// Where a new ticket starts.
    #[must_use]
    pub fn initial(&self) -> Status {
        self.initial
    }

    /// The status that is the team's turn.
    #[must_use]
    pub fn open(&self) -> Status {
        self.open
    }

    /// All statuses, in the order of their indexes.
    #[must_use]
    pub fn statuses(&self) -> &'static [StatusDef] {
        self.statuses
    }

    /// The status called `name`.
    #[must_use]
    pub fn status(&self, name: &str) -> Option<Status> {
        let index = self.statuses.iter().position(|status| status.name == name)?;
        u8::try_from(index).ok().map(Status)
    }

    /// The name of `status`; `"?"` for one of another lifecycle.
    #[must_use]
    pub fn name(&self, status: Status) -> &'static str {
        self.statuses.get(usize::from(status.0)).map_or("?", |def| def.name)
    }

    /// The category of `status`; closed, which admits nothing, for one of another lifecycle.
    #[must_use]
    pub fn category(&self, status: Status) -> Category {
        self.statuses.get(usize::from(status.0)).map_or(Category::Closed, |def| def.category)
    }

    /// The edge between two statuses, where there is one.
    #[must_use]
    pub fn edge(&self, from: Status, to: Status) -> Option<&'static Edge> {
        self.edges.iter().find(|edge| edge.from == from && edge.to == to)
    }

    /// Names of the statuses that can be reached from `from` in one move.
    pub fn targets(&self, from: Status) -> impl Iterator<Item = &'static str> {
        self.edges.iter().filter(move |edge| edge.from == from).map(|edge| self.name(edge.to))
    }

    /// Where an agent taking the ticket up (claim, assignment, reply) puts it.
    #[must_use]
    pub fn after_taken(&self, from: Status) -> Status {
        match self.category(from) {
            Category::New => self.open,
            _ => from,
        }
    }

    /// Where a requester's message puts it; closed takes none.
    #[must_use]
    pub fn after_requester(&self, from: Status) -> Option<Status> {
        match self.category(from) {
            Category::New | Category::Open => Some(from),
            Category::Pending | Category::OnHold | Category::Solved => Some(self.open),
            Category::Closed => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_table_is_sound() {
        let table = Lifecycle::default_table();
        let mut reached = vec![table.initial()];
        let mut next = 0;
        while let Some(from) = reached.get(next).copied() {
            for edge in table.edges.iter().filter(|edge| edge.from == from) {
                if !reached.contains(&edge.to) {
                    reached.push(edge.to);
                }
            }
            next += 1;
        }
        assert_eq!(reached.len(), table.statuses().len(), "every status can be reached");
        for (index, def) in table.statuses().iter().enumerate() {
            let status = table.status(def.name).unwrap();
            assert_eq!(usize::from(status.index()), index);
            let dead_end = table.targets(status).next().is_none();
            assert_eq!(dead_end, def.category == Category::Closed, "{}", def.name);
        }
        assert!(table.edges.iter().all(|edge| edge.to != table.initial()), "nothing becomes new again");
    }
}
