//! Sessions that are redirected past TCP, of a gateway as a process of its own: what its clients get, what a
//! client that does not read costs, and what is left when either end is killed.
//!
//! Needs root; where that or anything else is missing the test says `SKIPPED` with the reason, and adds a line
//! to the file that `WAGGLE_SKIP_LOG` names.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod cases;
mod gateway;
mod place;
mod raw;
#[path = "../support/ready.rs"]
mod ready;
mod screen;
