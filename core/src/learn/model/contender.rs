//! One recipe as it learns, and how it does.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::scores::Scores;
use crate::learn::intent::{Features, IntentId, Intents, Recipe};
use crate::learn::report::ContenderReport;

/// One recipe.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Contender {
    #[serde(serialize_with = "encode", deserialize_with = "decode")]
    pub(super) learner: Intents,
    pub(super) scores: Scores,
}

impl Contender {
    pub(super) fn new(recipe: Recipe) -> Self {
        Self { learner: Intents::new(recipe), scores: Scores::default() }
    }

    pub(super) fn recipe(&self) -> Recipe {
        self.learner.recipe()
    }

    /// The likeliest intent, and how sure that is.
    pub(super) fn predict(&self, features: &Features) -> Option<(IntentId, f32)> {
        let ranking = self.learner.rank(features, 1);
        let confidence =
            if ranking.confidence.is_finite() { ranking.confidence.clamp(0.0, 1.0) } else { 0.0 };
        ranking.best().map(|best| (best, confidence))
    }

    pub(super) fn merge(&mut self, from: IntentId, into: IntentId) {
        self.learner.merge(from, into);
        self.scores.forget(from);
    }

    pub(super) fn remove(&mut self, intent: IntentId) {
        self.learner.remove(intent);
        self.scores.forget(intent);
    }

    pub(super) fn report(&self, precision: f32) -> ContenderReport {
        let threshold = self.scores.general(precision);
        let (right, answered) = self.scores.at(threshold);
        ContenderReport {
            recipe: self.recipe().name(),
            accuracy_100: self.scores.accuracy(100),
            accuracy_1000: self.scores.accuracy(1_000),
            curve: self.scores.curve(),
            threshold,
            precision: right,
            answered,
            calibration: self.scores.calibration(),
        }
    }
}

fn encode<S: Serializer>(learner: &Intents, serializer: S) -> Result<S::Ok, S::Error> {
    let mut bytes = Vec::new();
    learner.encode(&mut bytes);
    serializer.serialize_bytes(&bytes)
}

fn decode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Intents, D::Error> {
    let bytes: &'de [u8] = Deserialize::deserialize(deserializer)?;
    let mut rest = bytes;
    let learner = Intents::decode(&mut rest).map_err(D::Error::custom)?;
    if rest.is_empty() { Ok(learner) } else { Err(D::Error::custom("a learner with more bytes than it has")) }
}
