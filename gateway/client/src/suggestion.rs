//! What the assistant suggests, as clients read it.

use serde::Deserialize;
use waggle_core::id::{Offset, TicketId, Version};

/// About one message of a customer's.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Suggestion {
    /// The ticket.
    pub ticket: TicketId,
    /// The version that the message made.
    pub message: Version,
    /// By which model.
    pub model: SuggestionModel,
    /// What is wanted, where it is known.
    pub intent: Option<SuggestedIntent>,
    /// What may be wanted, the likeliest first.
    #[serde(default)]
    pub candidates: Vec<Candidate>,
    /// Replies that fit, the best first.
    #[serde(default)]
    pub replies: Vec<SuggestedReply>,
    /// Why all that, in a sentence.
    #[serde(default)]
    pub why: String,
}

/// A model.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct SuggestionModel {
    /// Offset of the newest event that taught it something.
    pub version: Offset,
}

/// What a customer wants.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct SuggestedIntent {
    /// Its name.
    pub name: String,
    /// How likely it is right, from 0 to 1.
    pub confidence: f32,
    /// The confidence from which on it counts as known, from 0 to 1.
    #[serde(default)]
    pub threshold: f32,
}

/// What a customer may want.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Candidate {
    /// The intent's name.
    pub intent: String,
    /// How likely it is right, from 0 to 1.
    pub confidence: f32,
}

/// A reply that fits.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct SuggestedReply {
    /// Its number: to be told with the reply that is made of it.
    pub id: u64,
    /// Its text.
    pub text: String,
    /// How often it was sent as suggested.
    #[serde(default)]
    pub accepted: u32,
    /// How often with changes.
    #[serde(default)]
    pub edited: u32,
    /// How often it was turned down.
    #[serde(default)]
    pub rejected: u32,
    /// How often agents wrote it themselves.
    #[serde(default)]
    pub written: u32,
}
