//! Work at the desk over HTTP: requests of several kinds in open loop, over keep-alive connections, from one
//! thread. What is asked is a [`Work`]; [`Drive`] sends it when it is due, and a [`Tally`] has a histogram for
//! each kind.

mod drive;
mod share;
mod tally;
mod turns;
mod work;

pub use drive::{Drive, Schedule};
pub use share::{Crew, Share, drive_share};
pub use tally::{Series, Tally, WireTally};
pub use turns::MovesAndReads;
pub use work::{Ask, Work};
