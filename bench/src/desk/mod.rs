//! Work at the desk over HTTP: requests of several kinds in open loop, over keep-alive connections, from one
//! thread. What is asked is a [`Work`]; [`Drive`] sends it when it is due, and a [`Tally`] has a histogram for
//! each kind.

mod day;
mod drive;
mod exchange;
mod pages;
mod replay;
mod searches;
mod share;
mod tally;
mod turns;
mod work;

pub(crate) use day::REQUESTS_PER_TICKET;
pub use day::{Day, HasSearch};
pub use drive::{Drive, Schedule};
pub use exchange::{Answer, Exchange};
pub use pages::{Desk, Jumps, Pages};
pub use replay::{Attempt, RUSH, Rush};
pub use searches::Searches;
pub use share::{Crew, Share, drive_share};
pub use tally::{Series, Tally, WireTally};
pub use turns::MovesAndReads;
pub use work::{Ask, Work};
