//! Tickets: what may happen to one, and what it is after everything that has.

mod cell;
mod command;
mod conflict;
mod decide;
mod details;
mod event;
mod field;
mod follower;
mod lifecycle;
mod link;
mod mention;
mod merge_patch;
mod parse;
mod removal;
mod teaching;

pub use cell::{Cell, Reserved};
pub use command::{Command, CommandError, Expect, Priority, Request, Settle, UnknownStatus};
pub use conflict::{FieldConflict, find_conflict};
pub use decide::{Actor, Authority, Hold, Intent, Refusal, Transition, Word, decide, destination};
pub use details::{Details, DetailsError, Patch};
pub use event::{Entry, Kind, NewEvent, Route, StoredEvent};
pub use field::{FIELD_NUMBER_MAX, FieldDef, FieldDefError, FieldKind, FieldSet, Required, ValueError};
pub use follower::{Concerns, Follow, Followers, NoFollowers};
pub use lifecycle::{
    BadName, Category, Change, DefaultsSpec, Edge, EdgeSpec, Fault, Guard, Lifecycle, LifecycleRow,
    LifecycleSpec, Lifecycles, QueueChange, Status, StatusPlan, StatusRow, StatusSet, StatusSpec, check,
};
pub use link::{LinkKind, LinkState, linked};
pub use mention::mentions;
pub use merge_patch::merge_patch;
pub use removal::{is_deleted, redact, redact_patch};
pub use teaching::{Feedback, Origin, Suggested, Verdict};
