//! Every decision of Waggle, without IO.
//!
//! Nothing here opens a socket, starts a thread or reads a clock: functions take what happened and
//! the time, and return what to do. `gateway` and `waggle-client` carry it out.

pub mod find;
pub mod id;
pub mod json;
pub mod learn;
pub mod ledger;

pub mod limits;
pub mod name;
pub mod push;
pub mod requester;
pub mod right;
pub mod text;
pub mod throttle;
pub mod ticket;
pub mod time;
