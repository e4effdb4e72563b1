//! The push protocol over real sockets, against an in-memory log.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests, too")]

mod admission;
mod client_library;
mod harness;
mod hostile;
mod lifecycle;
mod replay;
mod rights;
mod sessions;
mod sessions_list;
mod signals;
mod storm;
mod tls;
