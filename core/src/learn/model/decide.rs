//! Whether to reply without a human.

use super::Model;
use crate::learn::ask::{Ask, Gate};
use crate::learn::automatic::Automatic;
use crate::learn::mode::Mode;
use crate::time::Timestamp;

/// Times that agents sent a reply before it is sent without one.
const USES_MIN: u32 = 5;
/// The share of a message's words that were heard before, at least.
const HEARD_MIN: f32 = 0.6;
const HOUR_MS: u64 = 3_600_000;

impl Model {
    /// Whether to reply to a message without a human, and what; `now` is the time of the clock.
    #[must_use]
    pub fn automatic(&self, ask: &Ask, now: Timestamp) -> Automatic {
        let Mode::Auto { precision, per_ticket, per_hour } = self.mode(ask.queue()) else {
            return Automatic::No { why: "the queue's mode is not auto" };
        };
        if let Some(refused) = refused(&ask.gate, per_ticket) {
            return refused;
        }
        let after = now.0.saturating_sub(HOUR_MS);
        let times = self.sent.get(&ask.queue()).into_iter().flatten().filter(|at| at.0 > after).count();
        if times >= per_hour as usize {
            return Automatic::No {
                why: "the queue has had as many automatic replies within an hour as it may",
            };
        }
        let understood = self.understand(ask, precision);
        let Some((intent, confidence)) = understood.best().filter(|(_, confidence)| {
            // Past predictions say nothing of questions that are like none of them; the learner's own confidence does.
            understood.is_known && *confidence >= precision && understood.heard >= HEARD_MIN
        }) else {
            return unknown(&ask.gate);
        };
        if self.champion.scores.proved(intent, precision).is_none_or(|proved| confidence < proved) {
            return Automatic::No {
                why: "checked predictions do not show yet that such answers are right often enough",
            };
        }
        let ranked = self.replies.ranked(intent, &ask.asked.context);
        let Some(reply) = ranked.first().filter(|reply| reply.is_proved(USES_MIN)) else {
            return Automatic::No {
                why: "no reply has been sent by agents often enough, and seldom turned down",
            };
        };
        let (text, slots) = reply.template.fill(&ask.filling);
        if reply.template.open_slots() > 0 || slots.iter().any(|slot| slot.value.is_none()) {
            return Automatic::No { why: "the reply needs something that the ticket does not have" };
        }
        Automatic::Send { reply: reply.id, text, intent: self.names.name(intent), confidence }
    }
}

/// Why not, whatever the message says.
fn refused(gate: &Gate, per_ticket: u32) -> Option<Automatic> {
    if gate.is_handed_over {
        return Some(Automatic::No { why: "a human goes on with this ticket" });
    }
    if gate.is_from_machine {
        return Some(Automatic::No { why: "the message is not from a human" });
    }
    if gate.is_answered || gate.is_out_of_sight {
        return Some(Automatic::No { why: "the message waits for no answer" });
    }
    if let Some(trouble) = gate.trouble {
        return Some(Automatic::HandOver { why: trouble.why() });
    }
    if gate.is_held {
        return Some(Automatic::No { why: "an agent holds the ticket" });
    }
    if gate.is_after_automatic {
        return Some(Automatic::No { why: "no human has replied since the last automatic reply" });
    }
    (gate.automatic >= per_ticket)
        .then_some(Automatic::No { why: "the ticket has had as many automatic replies as it may" })
}

fn unknown(gate: &Gate) -> Automatic {
    match gate.automatic {
        0 => Automatic::No { why: "what is wanted is not known surely enough" },
        _ => Automatic::HandOver { why: "what is wanted after an automatic reply is not known" },
    }
}
