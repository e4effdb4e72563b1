//! What a learner answers.

use serde::{Deserialize, Serialize};

/// An intent, by the number that its tenant's model gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IntentId(pub u32);

/// The intents of a text.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ranking {
    /// The best first, with scores that compare within this ranking. Equal ones by their ids.
    pub intents: Vec<(IntentId, f32)>,
    /// How likely it is, from 0 to 1, that the first one is right: that the text is of a known intent, and of this one.
    pub confidence: f32,
}

impl Ranking {
    /// The first one.
    #[must_use]
    pub fn best(&self) -> Option<IntentId> {
        self.intents.first().map(|(intent, _)| *intent)
    }
}
