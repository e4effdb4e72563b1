//! What the assistant suggests, as its JSON has it.

use serde::Serialize;

use crate::id::{Offset, TicketId, Version};

/// Which model: the newest event that taught it something, and how it learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ModelVersion {
    /// Offset of the newest event that taught it something; 0 where none did.
    pub version: Offset,
    /// The champion's recipe.
    pub recipe: &'static str,
}

/// Whether the assistant knows what is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Surely enough for the precision that is wanted.
    Known,
    /// No.
    Unknown,
}

/// An intent that the message may have.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Candidate {
    /// Its name; `#17` where it has none yet.
    pub intent: String,
    /// From 0 to 1.
    pub confidence: f32,
}

/// The intent that the message has.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Meant {
    /// Its name; `#17` where it has none yet.
    pub name: String,
    /// From 0 to 1: how likely it is right.
    pub confidence: f32,
    /// The confidence from which on it counts as known.
    pub threshold: f32,
}

/// A place in a reply for what differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Filled {
    /// What belongs there.
    pub kind: &'static str,
    /// What the ticket has for it; nothing, and the text has a `{kind}` there.
    pub value: Option<String>,
}

/// A reply of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, serde::Deserialize)]
pub struct Source {
    /// Its ticket.
    pub ticket: TicketId,
    /// The version that it made.
    pub version: Version,
}

/// A reply that fits.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SuggestedReply {
    /// Its number.
    pub id: u64,
    /// Its text, with what the ticket has in its slots.
    pub text: String,
    /// Its slots, in order.
    pub slots: Vec<Filled>,
    /// How often it was sent as suggested.
    pub accepted: u32,
    /// How often with changes.
    pub edited: u32,
    /// How often it was turned down.
    pub rejected: u32,
    /// How often agents wrote it themselves.
    pub written: u32,
    /// The newest replies that it comes from.
    pub from: Vec<Source>,
}

/// What the assistant suggests about one message.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Suggestion {
    /// The ticket.
    pub ticket: TicketId,
    /// The version that the customer's message made.
    pub message: Version,
    /// By which model.
    pub model: ModelVersion,
    /// Of the message: two letters of ISO 639-1, or `und`.
    pub language: &'static str,
    /// Whether it knows.
    pub answer: Answer,
    /// What is wanted, where it knows.
    pub intent: Option<Meant>,
    /// What may be wanted, the likeliest first.
    pub candidates: Vec<Candidate>,
    /// What fits, the best first; none where it does not know.
    pub replies: Vec<SuggestedReply>,
    /// Why all that, in a sentence.
    pub why: String,
}
