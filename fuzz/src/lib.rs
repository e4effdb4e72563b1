//! The targets of `gateway/tests/fuzz` that need no gateway.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a fuzz target finds panics")]

#[path = "../../gateway/tests/fuzz/targets.rs"]
pub mod targets;
