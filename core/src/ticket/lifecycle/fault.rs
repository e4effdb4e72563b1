//! What may be wrong with a lifecycle, each with what would be right.

use super::{CATEGORIES, Category, GUARDS};
use crate::limits::{LIFECYCLE_EDGES_MAX, LIFECYCLE_STATUSES_MAX, LIFECYCLES_MAX, STATUS_NAME_BYTES_MAX};
use crate::right::Rights;

/// Why a text is no name of a lifecycle or status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// Nothing.
    #[error("it is empty")]
    Empty,
    /// Over [`STATUS_NAME_BYTES_MAX`].
    #[error("it has {0} bytes; at most {STATUS_NAME_BYTES_MAX} are taken")]
    TooLong(usize),
    /// Another character, which may be invisible or look like one of those.
    #[error("it has the character U+{:04X}; expected a to z, 0 to 9 and _, beginning with a letter", *.0 as u32)]
    Character(char),
}

/// One thing that is wrong with a lifecycle. Names in it are cut to what is shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A name that is none.
    #[error("{name:?} is no name for a {kind}: {why}")]
    Name {
        /// Lifecycle or status.
        kind: &'static str,
        /// As given.
        name: String,
        /// What is wrong with it.
        why: BadName,
    },
    /// Two statuses of one name.
    #[error("status {0:?} is there twice; names are unique in a lifecycle")]
    Twice(String),
    /// Two names that people take for each other.
    #[error("status {name:?} looks like {other:?}; give them names that nobody confuses")]
    Confusable {
        /// The later one.
        name: String,
        /// The earlier one.
        other: String,
    },
    /// Too many statuses.
    #[error("there are {0} statuses; a lifecycle has at most {LIFECYCLE_STATUSES_MAX}")]
    TooManyStatuses(usize),
    /// Too many edges.
    #[error("there are {0} edges; a lifecycle has at most {LIFECYCLE_EDGES_MAX}")]
    TooManyEdges(usize),
    /// No such category.
    #[error("status {status:?} is of category {category:?}; expected one of {}", category_names())]
    UnknownCategory {
        /// The status.
        status: String,
        /// As given.
        category: String,
    },
    /// No status of a category without which tickets cannot be worked on, or not ended.
    #[error("there is no status of category {}; a lifecycle needs one", .0.name())]
    NoStatusOf(Category),
    /// An end of an edge that is no status.
    #[error("the edge from {from:?} to {to:?} names {unknown:?}, which is no status of this lifecycle")]
    UnknownEnd {
        /// As given.
        from: String,
        /// As given.
        to: String,
        /// That of them.
        unknown: String,
    },
    /// From a status to itself.
    #[error("there is an edge from {0:?} to itself; leave it out: a ticket may always stay")]
    Loop(String),
    /// An edge that is there twice.
    #[error("the edge from {from:?} to {to:?} is there twice; give it once, with its right and guard")]
    EdgeTwice {
        /// From.
        from: String,
        /// To.
        to: String,
    },
    /// An edge out of a closed status.
    #[error("the edge from {from:?} to {to:?} leaves a closed status, which is final; leave it out")]
    LeavesClosed {
        /// From.
        from: String,
        /// To.
        to: String,
    },
    /// No such right.
    #[error("the edge from {from:?} to {to:?} needs the right {right:?}; expected one of {}", Rights::ALL)]
    UnknownRight {
        /// From.
        from: String,
        /// To.
        to: String,
        /// As given.
        right: String,
    },
    /// No such guard.
    #[error("the edge from {from:?} to {to:?} has the guard {guard:?}; expected one of {}", guard_names())]
    UnknownGuard {
        /// From.
        from: String,
        /// To.
        to: String,
        /// As given.
        guard: String,
    },
    /// A default that is not said.
    #[error("defaults.{0} is missing; it names a status of category {1}")]
    MissingDefault(&'static str, String),
    /// A default that is no status.
    #[error("defaults.{default} is {name:?}, which is no status of this lifecycle")]
    UnknownDefault {
        /// Which.
        default: &'static str,
        /// As given.
        name: String,
    },
    /// A default of a category that makes no sense there.
    #[error("defaults.{default} is {name:?}, which is of category {}; expected one of category {wanted}", .category.name())]
    DefaultCategory {
        /// Which.
        default: &'static str,
        /// As given.
        name: String,
        /// What it is.
        category: Category,
        /// What it may be.
        wanted: String,
    },
    /// A status that no ticket comes to.
    #[error("no ticket can come to {0:?}; give it an edge from a status that tickets come to")]
    Unreachable(String),
    /// A status that no ticket leaves.
    #[error("a ticket in {0:?} can go nowhere; give it an edge, or make it of category closed")]
    DeadEnd(String),
    /// A status from which tickets cannot be closed, over however many edges.
    #[error("from {0:?} no edges lead to a closed status; give it a way there")]
    NeverEnds(String),
    /// A map from another lifecycle that names what is not there.
    #[error("from.{lifecycle} maps {status:?} to {to:?}: {why}")]
    BadMap {
        /// The other lifecycle, as given.
        lifecycle: String,
        /// Its status, as given.
        status: String,
        /// To which, as given.
        to: String,
        /// Which of it is wrong.
        why: &'static str,
    },
    /// The other lifecycle is none.
    #[error("from.{0}: there is no such other lifecycle")]
    UnknownLifecycle(String),
    /// No place for another lifecycle.
    #[error("the tenant has {LIFECYCLES_MAX} lifecycles already, which is the most")]
    TooManyLifecycles,
    /// No index for another status.
    #[error(
        "the tenant has no place for {wanted} new statuses: {free} of 256 are left over all its lifecycles; remove some"
    )]
    NoIndex {
        /// New ones.
        wanted: usize,
        /// What is left.
        free: usize,
    },
    /// A status that was closed and is to be something else.
    #[error("status {0:?} was of category closed, which is final; give the other one another name")]
    Reopened(String),
    /// A removed status that tickets have.
    #[error("tickets have the status {status:?}, which is removed; say in map which of {expected} they get")]
    Unmapped {
        /// The removed one.
        status: String,
        /// Those that there are.
        expected: String,
    },
    /// A map of what is not removed.
    #[error("map names {0:?}, which is not removed by this; leave it out")]
    NotRemoved(String),
    /// A map to what is not there.
    #[error("map gives {status:?} to tickets of {from:?}; expected one of {expected}")]
    UnknownTarget {
        /// The removed one.
        from: String,
        /// As given.
        status: String,
        /// Those that there are.
        expected: String,
    },
    /// A map that would open closed tickets.
    #[error(
        "map gives {to:?} to tickets of {from:?}, which is closed; closed is final: expected one of category closed"
    )]
    MapReopens {
        /// The removed one.
        from: String,
        /// As given.
        to: String,
    },
}

fn category_names() -> String {
    CATEGORIES.map(|(_, name)| name).join(", ")
}

fn guard_names() -> String {
    GUARDS.map(|(_, name)| name).join(", ")
}

/// A name as faults show it.
pub(super) fn shown(name: &str) -> String {
    name.chars().take(40).collect()
}
