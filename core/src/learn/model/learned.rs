//! What the newest messages were learned as: a later label of one of them sets that right.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::uses::Use;
use crate::id::{TicketId, Version};
use crate::learn::intent::IntentId;
use crate::limits::LEARNED_MESSAGES_MAX;

/// What a message was learned as.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Known {
    pub(super) intent: IntentId,
    /// Whether somebody said so, rather than that a reply was like others.
    pub(super) is_said: bool,
    /// The weight that it was learned with.
    pub(super) weight: f32,
    /// The use of a reply that was counted for it.
    pub(super) used: Option<Use>,
}

/// The newest messages that something was learned of.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Learned {
    messages: BTreeMap<(TicketId, Version), Known>,
    order: VecDeque<(TicketId, Version)>,
}

impl Learned {
    pub(super) fn get(&self, ticket: TicketId, message: Version) -> Option<Known> {
        self.messages.get(&(ticket, message)).copied()
    }

    pub(super) fn set(&mut self, ticket: TicketId, message: Version, known: Known) {
        if self.messages.insert((ticket, message), known).is_none() {
            self.order.push_back((ticket, message));
        }
        if self.order.len() > LEARNED_MESSAGES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.messages.remove(&oldest);
        }
    }

    /// Messages of `from` are of `into`; replies became others.
    pub(super) fn merge(&mut self, from: IntentId, into: IntentId, became: &BTreeMap<u64, u64>) {
        for known in self.messages.values_mut() {
            if known.intent == from {
                known.intent = into;
            }
            if let Some(used) = &mut known.used {
                used.reply = became.get(&used.reply).copied().unwrap_or(used.reply);
            }
        }
    }

    pub(super) fn remove(&mut self, intent: IntentId) {
        let messages = &mut self.messages;
        messages.retain(|_, known| known.intent != intent);
        self.order.retain(|message| messages.contains_key(message));
    }
}
