//! The assistant in the real gateway: from the first dialogue on, through restarts, damage and kill -9.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod crash;
mod dialogue;
mod forget;
mod gateway;
#[path = "../support/ready.rs"]
mod ready;
mod screen;
mod start;
mod tenants;
