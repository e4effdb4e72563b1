//! How much an agent's lessons count: as far as they agree with what others teach of like messages.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::id::AgentId;
use crate::learn::intent::IntentId;
use crate::limits::{AGENTS_MAX, INTENT_TEACHERS_MAX};

/// What a lesson counts at least: whoever taught at random may do better later.
pub(super) const WEIGHT_MIN: f32 = 0.05;
/// The weight of an agent who teaches most of an intent's lessons, where others contradict.
const WEIGHT_CONTESTED: f32 = 0.3;
/// Agreement at and below which a lesson counts least, and from which on it counts in full: of messages that the model
/// knows surely, careful agents agree with nine in ten and chance with few.
const AGREEMENT: (f32, f32) = (0.3, 0.6);
/// What is assumed of a new agent: so many agreements in so many lessons.
const PRIOR: (f32, f32) = (4.0, 5.0);
/// What one lesson before counts: the last hundred tell.
const DECAY: f32 = 0.99;
/// Lessons of others that an intent has before disagreement with it tells anything.
const OTHERS_MIN: usize = 3;

/// What is known of an agent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Teacher {
    pub(super) lessons: u32,
    agreed: f32,
    disagreed: f32,
}

/// An agent's lesson about an intent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Word {
    agent: AgentId,
    /// Whether the message was taught to be of another one, though it is like those of this one.
    is_against: bool,
}

/// All agents that teach.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Teachers {
    pub(super) agents: BTreeMap<AgentId, Teacher>,
    recent: BTreeMap<IntentId, VecDeque<Word>>,
}

impl Teacher {
    /// The share of agreement, where there is any evidence.
    pub(super) fn agreement(&self) -> Option<f32> {
        let all = self.agreed + self.disagreed;
        (all > 0.0).then(|| self.agreed / all)
    }

    fn weight(&self) -> f32 {
        let agreement = (self.agreed + PRIOR.0) / (self.agreed + self.disagreed + PRIOR.1);
        ((agreement - AGREEMENT.0) / (AGREEMENT.1 - AGREEMENT.0)).clamp(WEIGHT_MIN, 1.0)
    }
}

impl Teachers {
    /// Takes note of a lesson; `expected` is the intent that the message surely had by what was learned before.
    pub(super) fn note(&mut self, agent: AgentId, taught: IntentId, expected: Option<IntentId>) {
        let is_room = self.agents.len() < AGENTS_MAX || self.agents.contains_key(&agent);
        let expected = expected.filter(|expected| self.others_teach(*expected, agent));
        if is_room {
            let teacher = self.agents.entry(agent).or_default();
            teacher.lessons = teacher.lessons.saturating_add(1);
            if let Some(expected) = expected {
                let agrees = f32::from(u8::from(expected == taught));
                teacher.agreed = teacher.agreed * DECAY + agrees;
                teacher.disagreed = teacher.disagreed * DECAY + (1.0 - agrees);
            }
        }
        self.push(taught, Word { agent, is_against: false });
        if let Some(expected) = expected.filter(|expected| *expected != taught) {
            self.push(expected, Word { agent, is_against: true });
        }
    }

    /// What a lesson of this agent about this intent counts, from [`WEIGHT_MIN`] to 1.
    pub(super) fn weight(&self, agent: AgentId, intent: IntentId) -> f32 {
        let weight = self.general_weight(agent);
        let Some(recent) = self.recent.get(&intent).filter(|recent| recent.len() >= 8) else { return weight };
        let taught = recent.iter().filter(|word| !word.is_against).count();
        let own = recent.iter().filter(|word| !word.is_against && word.agent == agent).count();
        let against = recent.iter().filter(|word| word.is_against && word.agent != agent).count();
        let is_contested = own * 2 > taught && against * 4 >= recent.len();
        if is_contested { weight.min(WEIGHT_CONTESTED) } else { weight }
    }

    /// The same whatever the intent.
    pub(super) fn general_weight(&self, agent: AgentId) -> f32 {
        self.agents.get(&agent).map_or(1.0, Teacher::weight)
    }

    pub(super) fn forget(&mut self, intent: IntentId) {
        self.recent.remove(&intent);
    }

    pub(super) fn merge(&mut self, from: IntentId, into: IntentId) {
        for word in self.recent.remove(&from).unwrap_or_default() {
            self.push(into, word);
        }
    }

    fn others_teach(&self, intent: IntentId, agent: AgentId) -> bool {
        let words = self.recent.get(&intent).into_iter().flatten().filter(|word| !word.is_against);
        let (own, others) = words.fold((0, 0), |(own, others), word| match word.agent == agent {
            true => (own + 1, others),
            false => (own, others + 1),
        });
        others >= OTHERS_MIN && others >= own
    }

    fn push(&mut self, intent: IntentId, word: Word) {
        let recent = self.recent.entry(intent).or_default();
        if recent.len() >= INTENT_TEACHERS_MAX {
            recent.pop_front();
        }
        recent.push_back(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_teaches_at_random_counts_least_and_who_agrees_in_full() {
        let mut teachers = Teachers::default();
        let (good, random, alone) = (AgentId(1), AgentId(2), AgentId(3));
        for round in 0..60_u32 {
            let intent = IntentId(1 + round % 5);
            teachers.note(good, intent, Some(intent));
            teachers.note(AgentId(9), intent, Some(intent));
            teachers.note(random, IntentId(1 + (round * 7 + 3) % 5), Some(intent));
            // Nobody else teaches what this one does.
            teachers.note(alone, IntentId(50), Some(IntentId(50 + round % 3)));
        }
        assert_eq!((teachers.general_weight(good), teachers.general_weight(alone)), (1.0, 1.0));
        assert!(teachers.general_weight(random) <= 0.1, "{:?}", teachers.agents.get(&random));
        assert_eq!(teachers.general_weight(AgentId(77)), 1.0);
    }

    #[test]
    fn one_agent_does_not_take_over_an_intent_that_others_contest() {
        let mut teachers = Teachers::default();
        let (pusher, intent) = (AgentId(1), IntentId(1));
        (0..4).for_each(|_| teachers.note(AgentId(2), intent, None));
        (0..20).for_each(|_| teachers.note(pusher, intent, None));
        assert_eq!(teachers.weight(pusher, intent), 1.0, "nobody contradicts");
        for agent in 3..12 {
            teachers.push(intent, Word { agent: AgentId(agent), is_against: true });
        }
        assert_eq!(teachers.weight(pusher, intent), WEIGHT_CONTESTED);
    }
}
