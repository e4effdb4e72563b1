//! Whether the assistant replies by itself.

use serde::Serialize;

/// Whether to reply without a human.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "automatic", rename_all = "snake_case")]
pub enum Automatic {
    /// Send this.
    Send {
        /// The reply's number.
        reply: u64,
        /// Its text, without empty slots.
        text: String,
        /// The intent's name.
        intent: String,
        /// From 0 to 1.
        confidence: f32,
    },
    /// Not this time.
    No {
        /// Why not.
        why: &'static str,
    },
    /// A human goes on with this ticket, for good: tag it [`HANDED_OVER_TAG`], so that every later fold knows.
    HandOver {
        /// Why.
        why: &'static str,
    },
}

/// A ticket with this tag never gets an automatic reply.
pub const HANDED_OVER_TAG: &str = "handed-over";
