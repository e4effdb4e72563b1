//! What customers want and what a team answers, learned from each dialogue.
//!
//! No clock, no chance, no threads: the same lessons in the same order give the same model, bit for bit, on every
//! machine.

pub mod intent;
mod snapshot;

pub use snapshot::SnapshotError;
