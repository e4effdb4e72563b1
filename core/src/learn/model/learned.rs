//! What the newest messages were learned as: a later label of one of them sets that right.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::uses::{Counted, Moved};
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
    /// What was counted for it.
    pub(super) counted: Counted,
    /// The intent without a name that it was of before, where that it is of `intent` was noted.
    pub(super) voted: Option<IntentId>,
}

/// The newest messages that something was learned of.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Learned {
    messages: BTreeMap<(TicketId, Version), Known>,
    order: VecDeque<(TicketId, Version)>,
}

impl Known {
    /// The weight that a message was learned with as one of `intent`; none where it is of another one, or not known.
    pub(super) fn weight_for(known: Option<Self>, intent: IntentId) -> f32 {
        known.filter(|known| known.intent == intent).map_or(0.0, |known| known.weight)
    }
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

    /// Messages of `from` are of `into`; replies have moved.
    pub(super) fn merge(&mut self, from: IntentId, into: IntentId, moved: &Moved) {
        for known in self.messages.values_mut() {
            if known.intent == from {
                known.intent = into;
            }
            known.voted = known.voted.filter(|voted| *voted != from);
            known.counted.follow(moved);
        }
    }

    pub(super) fn remove(&mut self, intent: IntentId) {
        let messages = &mut self.messages;
        messages.retain(|_, known| known.intent != intent);
        self.order.retain(|message| messages.contains_key(message));
        for known in messages.values_mut() {
            known.voted = known.voted.filter(|voted| *voted != intent);
        }
    }
}
