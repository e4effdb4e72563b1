//! What is to be learned of one event. A lesson holds all that the model needs, so that the dialogue which it comes from
//! may be dropped; texts in it are masked.

use serde::Deserialize;

use super::dialogue::{PersonKey, Wording};
use super::language::Language;
use super::mode::Mode;
use super::suggestion::Source;
use crate::id::{AgentId, Offset, QueueId, TicketId, Version};
use crate::ticket::Verdict;
use crate::time::Timestamp;

/// What is to be learned of one event.
#[derive(Debug, Clone, PartialEq)]
pub struct Lesson {
    pub(super) what: What,
}

impl Lesson {
    /// Whether a rollback over it leaves it in force: what administrators have set, and what was sent, stays.
    #[must_use]
    pub fn survives_rollback(&self) -> bool {
        match &self.what {
            What::Sent(_) => true,
            What::Teach(teach) => !matches!(
                teach,
                Teach::Create { .. }
                    | Teach::Rename { .. }
                    | Teach::Merge { .. }
                    | Teach::Remove { .. }
                    | Teach::Promote { .. }
            ),
            _ => false,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum What {
    /// An agent's own reply.
    Reply(Box<Replied>),
    /// What became of a suggestion.
    Judged(Box<Judged>),
    /// What a message wants.
    Labelled(Box<Labelled>),
    /// What the customer wrote after an automatic reply.
    Outcome(Box<Outcome>),
    /// An automatic reply was sent.
    Sent(Sent),
    /// What concerns the whole tenant.
    Teach(Teach),
    /// Somebody taught what cannot be read.
    Unreadable(String),
}

/// A customer's message, as the model sees it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Asked {
    pub(super) ticket: TicketId,
    pub(super) message: Version,
    /// Who asked.
    pub(super) requester: PersonKey,
    /// Masked.
    pub(super) text: String,
    pub(super) context: Context,
}

/// What a reply may depend on beyond the intent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Context {
    pub(super) language: Language,
    pub(super) queue: QueueId,
    /// Which of the customer's turns, from 1.
    pub(super) turn: u32,
    /// In order.
    pub(super) tags: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Replied {
    pub(super) asked: Asked,
    pub(super) agent: AgentId,
    pub(super) source: Source,
    /// The reply, masked; nothing where it is too long to be suggested.
    pub(super) wording: Option<Wording>,
    /// The suggestion that it was made of, unless a verdict on it was given before.
    pub(super) made_of: Option<u64>,
    pub(super) made_with: Option<String>,
    /// The automatic reply that it sets right.
    pub(super) corrects: Option<u64>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Judged {
    pub(super) asked: Asked,
    pub(super) agent: AgentId,
    pub(super) reply: u64,
    pub(super) verdict: Verdict,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Labelled {
    pub(super) asked: Asked,
    pub(super) agent: AgentId,
    pub(super) label: Label,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Label {
    /// None of the known intents.
    None,
    /// This one.
    Named(String),
    /// The one that a tag names, where the tenant's prefix makes it one.
    Tags(Vec<String>),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Outcome {
    pub(super) asked: Asked,
    pub(super) reply: u64,
    pub(super) was_good: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sent {
    pub(super) queue: QueueId,
    pub(super) at: Timestamp,
}

/// What concerns the whole tenant: the data of a `taught` event.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "teach", rename_all = "snake_case")]
pub(super) enum Teach {
    /// There is an intent of this name.
    Create { name: String },
    /// It has another name.
    Rename { name: String, to: String },
    /// What was learned of it is of another one.
    Merge { name: String, into: String },
    /// It is forgotten.
    Remove { name: String },
    /// The challenger becomes the champion.
    Promote { recipe: Option<String> },
    /// A recipe is not promoted any more; a champion of it goes.
    Bar { recipe: String },
    /// It may be promoted again.
    Allow { recipe: String },
    /// What the assistant may do in a queue.
    Mode {
        queue: QueueId,
        #[serde(flatten)]
        mode: Mode,
    },
    /// How the tenant wants it.
    Settings {
        /// What a tag begins with that names an intent; empty: every tag does.
        tag_prefix: Option<String>,
        /// Whether a challenger learns beside the champion.
        challenger: Option<bool>,
        /// The chance that a promotion is a mistake, at most.
        alpha: Option<f64>,
    },
    /// The model as it was at that offset.
    Rollback { to: Offset },
}
