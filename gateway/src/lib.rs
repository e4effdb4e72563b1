//! The Waggle gateway: the ticket ledger, the HTTP API and the push engine.

pub mod accel;
pub mod directory;
pub mod ledger;
pub mod problem;
pub mod push;
pub mod store;
