//! Every way to a gateway, with the real binary: Server-Sent Events, TLS, and a real nginx in front.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod counts;
mod documents;
mod gateway;
mod nginx;
#[path = "../support/ready.rs"]
mod ready;
mod sse;
mod tls;
