//! Tickets: what may happen to one, and what it is after everything that has.

mod cell;
mod command;
mod decide;
mod event;
mod lifecycle;

pub use cell::{Cell, Reserved};
pub use command::{Command, CommandError, Expect, Priority, Request, Settle, UnknownStatus};
pub use decide::{Actor, Authority, Hold, Intent, Refusal, Transition, Word, decide};
pub use event::{Entry, Kind, NewEvent, Route, StoredEvent};
pub use lifecycle::{
    BadName, Category, Change, DefaultsSpec, Edge, EdgeSpec, Fault, Guard, Lifecycle, LifecycleRow,
    LifecycleSpec, Lifecycles, QueueChange, Status, StatusPlan, StatusRow, StatusSet, StatusSpec, check,
};
