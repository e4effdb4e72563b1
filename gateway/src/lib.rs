//! The Waggle gateway: the ticket ledger, the HTTP API and the push engine.

pub use waggle_accel as accel;
pub mod app;
pub mod attachment;
pub mod auth;
pub mod cli;
pub mod config;
pub mod count;
pub mod data_dir;
pub mod directory;
pub mod erasure;
pub mod find;
pub mod http;
pub mod learn;
pub mod ledger;
pub mod lifecycle;
pub mod markdown;
pub mod observe;
mod pending;
mod priority;
pub mod problem;
pub mod push;
pub mod store;
pub mod tls;
pub mod trust;
mod wall_clock;
