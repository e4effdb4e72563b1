//! What people tell the assistant that learns: how its suggestions were received, and what messages want.

use serde::{Deserialize, Serialize};

use crate::id::{Offset, TicketId, Version};
use crate::json::JsonText;

impl TicketId {
    /// The tenant itself. Its events say what concerns all of its tickets, and have versions as a ticket's have; but it
    /// is no ticket: it is never listed, found or read, and takes no command that tickets take.
    pub const TENANT: Self = Self(0);
}

/// What became of a suggested reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It was sent as it was.
    Accepted,
    /// It was sent with changes.
    Edited,
    /// It was not what the customer needs.
    Rejected,
}

impl Verdict {
    /// Its name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Edited => "edited",
            Self::Rejected => "rejected",
        }
    }
}

/// A suggested reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suggested {
    /// The version of the model that suggested it: the offset of the newest event that taught it something.
    pub model: Offset,
    /// The reply's number.
    pub reply: u64,
}

/// What a reply was made of; nothing where its author wrote it himself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Origin<'a> {
    /// The suggestion.
    pub suggestion: Option<Suggested>,
    /// Name of the macro; at most [`INTENT_NAME_BYTES_MAX`](crate::limits::INTENT_NAME_BYTES_MAX).
    pub made_with: Option<JsonText<'a>>,
    /// Whether nobody wrote it: the gateway sent it by itself. Nobody else can say so.
    pub is_automatic: bool,
}

/// A verdict on a suggestion, for clients that tell it apart from the reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Feedback {
    /// The version that the customer's message made.
    pub message: Version,
    /// What was suggested.
    pub suggested: Suggested,
    /// What became of it.
    pub verdict: Verdict,
}
