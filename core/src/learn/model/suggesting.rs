//! What fits a customer's message.

use super::Model;
use super::names::NONE;
use super::replies::Reply;
use crate::learn::ask::{Ask, Filling};
use crate::learn::intent::IntentId;
use crate::learn::suggestion::{Answer, Candidate, Meant, SuggestedReply, Suggestion};

const CANDIDATES_MAX: usize = 5;
const REPLIES_MAX: usize = 3;
/// The share of a message's words that were heard before, at least, where it is known.
const HEARD_MIN: f32 = 0.3;

/// What a message wants.
pub(super) struct Understood {
    /// The best first, each with its confidence.
    pub(super) ranked: Vec<(IntentId, f32)>,
    pub(super) threshold: f32,
    /// The share of its words that were heard before.
    pub(super) heard: f32,
    pub(super) is_known: bool,
}

impl Understood {
    pub(super) fn best(&self) -> Option<(IntentId, f32)> {
        self.ranked.first().copied()
    }
}

impl Model {
    /// What a message wants, surely enough for this precision or not.
    pub(super) fn understand(&self, ask: &Ask, precision: f32) -> Understood {
        let features = Self::features(&ask.asked.text);
        let ranking = self.champion.learner.rank(&features, CANDIDATES_MAX + 1);
        let first = ranking.intents.first().map_or(0.0, |(_, score)| *score);
        let confidence =
            if ranking.confidence.is_finite() { ranking.confidence.clamp(0.0, 1.0) } else { 0.0 };
        // Scores compare within a ranking only: those behind the first one have less by their distance.
        let share = |score: f32| {
            let less = libm::expf(2.0 * (score - first).clamp(-20.0, 0.0));
            if less.is_finite() { confidence * less } else { 0.0 }
        };
        let ranked: Vec<(IntentId, f32)> =
            ranking.intents.iter().map(|(intent, score)| (*intent, share(*score))).collect();
        let best = ranked.first().map(|(intent, _)| *intent).filter(|best| *best != NONE);
        let threshold = best.map_or_else(
            || self.champion.scores.general(precision),
            |best| self.champion.scores.threshold(best, precision),
        );
        let heard = self.heard.share(&ask.asked.text);
        let is_known =
            best.is_some() && !features.is_empty() && confidence >= threshold && heard >= HEARD_MIN;
        Understood { ranked, threshold, heard, is_known }
    }

    /// What fits a customer's message: its intent, where that is known, and replies that agents sent for it.
    #[must_use]
    pub fn suggest(&self, ask: &Ask) -> Suggestion {
        let context = &ask.asked.context;
        let understood = self.understand(ask, self.mode(context.queue).precision());
        let best = understood.best().filter(|_| understood.is_known);
        let replies: Vec<&Reply> =
            best.map(|(intent, _)| self.replies.ranked(intent, context)).unwrap_or_default();
        let candidates = understood.ranked.iter().filter(|(intent, _)| *intent != NONE).take(CANDIDATES_MAX);
        Suggestion {
            ticket: ask.ticket(),
            message: ask.message(),
            model: self.version(),
            language: context.language.code(),
            answer: if understood.is_known { Answer::Known } else { Answer::Unknown },
            intent: best.map(|(intent, confidence)| Meant {
                name: self.names.name(intent),
                confidence,
                threshold: understood.threshold,
            }),
            candidates: candidates
                .map(|(intent, confidence)| Candidate {
                    intent: self.names.name(*intent),
                    confidence: *confidence,
                })
                .collect(),
            replies: replies.iter().take(REPLIES_MAX).map(|reply| filled(reply, &ask.filling)).collect(),
            why: self.why(&understood, replies.first().copied()),
        }
    }

    fn why(&self, understood: &Understood, reply: Option<&Reply>) -> String {
        let Some((intent, confidence)) = understood.best() else {
            return "unknown: nothing was learned yet".to_owned();
        };
        let (name, threshold) = (self.names.name(intent), understood.threshold);
        if intent == NONE {
            return "unknown: it is like messages that agents said are of no known intent".to_owned();
        }
        if !understood.is_known && understood.heard < HEARD_MIN {
            return "unknown: most of its words were in no message that was learned".to_owned();
        }
        if !understood.is_known && threshold > 1.0 {
            return format!(
                "unknown: {name} is the likeliest, but not known to be right often enough at any confidence"
            );
        }
        if !understood.is_known {
            return format!("unknown: {name} is the likeliest, at {confidence:.2} of {threshold:.2} needed");
        }
        let lessons = self.names.entries.get(&intent).map_or(0, |entry| entry.lessons);
        let told =
            format!("{name} at {confidence:.2}, {threshold:.2} needed, learned from {lessons} messages");
        let Some(reply) = reply else { return format!("{told}; no reply was sent for it yet") };
        let from: Vec<String> = reply.from.iter().map(|source| source.ticket.to_string()).collect();
        let uses = reply.accepted.saturating_add(reply.written);
        format!("{told}; its first reply was sent {uses} times, last in tickets {}", from.join(", "))
    }
}

fn filled(reply: &Reply, filling: &Filling) -> SuggestedReply {
    let (text, slots) = reply.template.fill(filling);
    SuggestedReply {
        id: reply.id,
        text,
        slots,
        accepted: reply.accepted,
        edited: reply.edited,
        rejected: reply.rejected,
        written: reply.written,
        from: reply.from.clone(),
    }
}
