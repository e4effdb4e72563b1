//! A customer's message that waits for an answer.

use super::dialogue::{Person, PersonKey, Trouble};
use super::language::Language;
use super::lesson::{Asked, Context};
use crate::id::{QueueId, TicketId, Version};
use crate::text::{composed, mask};

/// A customer's message, with what a suggestion depends on.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    pub(super) asked: Asked,
    pub(super) filling: Filling,
    pub(super) gate: Gate,
}

/// What the ticket has for a reply's slots.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Filling {
    pub(super) first_name: Option<String>,
    pub(super) last_name: Option<String>,
    pub(super) full_name: Option<String>,
    pub(super) email: Option<String>,
    pub(super) order_number: Option<String>,
}

/// What an automatic reply depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Gate {
    /// Somebody has answered, or a newer message is there.
    pub(super) is_answered: bool,
    pub(super) is_held: bool,
    pub(super) is_out_of_sight: bool,
    pub(super) is_from_machine: bool,
    pub(super) is_handed_over: bool,
    pub(super) trouble: Option<Trouble>,
    /// Automatic replies of the ticket.
    pub(super) automatic: u32,
    /// No human has replied since the last of them.
    pub(super) is_after_automatic: bool,
}

impl Ask {
    /// A message that stands alone: for measuring and trying.
    #[must_use]
    pub fn of_text(queue: QueueId, text: &str) -> Self {
        let text = composed(text);
        let context = Context { language: Language::of(&text), queue, turn: 1, tags: Vec::new() };
        let text = mask(&text).text.into_owned();
        let requester = PersonKey::default();
        let asked = Asked { ticket: TicketId(1), message: Version(1), requester, text, context };
        Self { asked, filling: Filling::default(), gate: Gate::default() }
    }

    /// Its ticket.
    #[must_use]
    pub fn ticket(&self) -> TicketId {
        self.asked.ticket
    }

    /// The version that the message made.
    #[must_use]
    pub fn message(&self) -> Version {
        self.asked.message
    }

    /// The ticket's queue.
    #[must_use]
    pub fn queue(&self) -> QueueId {
        self.asked.context.queue
    }

    /// The text, masked: what the learner sees.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.asked.text
    }
}

impl Filling {
    pub(super) fn of(person: &Person, order_number: Option<String>) -> Self {
        Self {
            first_name: person.first_name().map(str::to_owned),
            last_name: person.last_name().map(str::to_owned),
            full_name: person.name.clone(),
            email: person.email.clone(),
            order_number,
        }
    }
}
