//! Whatever learns intents one example at a time, by name.

use waggle_core::learn::intent::{Baseline, Features, IntentId, Intents, Method, Ranking, Recipe};

/// Answers that are looked at.
const BEST: usize = 3;

/// What a learner says of a text.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Answer {
    /// Numbers of intents, the best first, three at most.
    pub best: Vec<u32>,
    /// How sure it is.
    pub confidence: f64,
}

/// A learner that is told one example at a time.
pub(super) trait Learner {
    /// Learns one example.
    fn learn(&mut self, features: &Features, intent: u32);

    /// Answers.
    fn answer(&self, features: &Features) -> Answer;

    /// Memory in bytes, by its own count.
    fn bytes(&self) -> usize;

    /// Bytes of its snapshot, where it can make one.
    fn snapshot_bytes(&self) -> Option<usize>;

    /// Another one that knows the same.
    fn copied(&self) -> Box<dyn Learner>;
}

/// What a row of the table is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind {
    /// As in tables and pictures.
    pub name: &'static str,
    /// Whether it is what Waggle uses, and not a baseline in the same harness.
    pub is_ours: bool,
    /// Whether its confidence is meant to be a probability.
    pub is_probability: bool,
    make: Make,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Make {
    Intents(Recipe),
    Baseline(Method),
}

/// All of them, Waggle's own first.
pub(super) const KINDS: [Kind; 7] = [
    ours("waggle", Recipe::Replay),
    ours("waggle one pass", Recipe::OnePass),
    // Adaptive regularisation alone is a baseline, too.
    Kind { name: "AROW", is_ours: false, is_probability: true, make: Make::Intents(Recipe::Weights) },
    baseline(Method::PassiveAggressive, "passive-aggressive"),
    baseline(Method::AveragedPerceptron, "averaged perceptron"),
    baseline(Method::NaiveBayes, "naive Bayes"),
    baseline(Method::Centroid, "centroid"),
];

const fn ours(name: &'static str, recipe: Recipe) -> Kind {
    Kind { name, is_ours: true, is_probability: true, make: Make::Intents(recipe) }
}

const fn baseline(method: Method, name: &'static str) -> Kind {
    Kind { name, is_ours: false, is_probability: false, make: Make::Baseline(method) }
}

impl Kind {
    /// One that knows nothing.
    #[must_use]
    pub(super) fn make(self) -> Box<dyn Learner> {
        match self.make {
            Make::Intents(recipe) => Box::new(Ours(Intents::new(recipe))),
            Make::Baseline(method) => Box::new(Other(Baseline::new(method))),
        }
    }
}

struct Ours(Intents);

impl Learner for Ours {
    fn learn(&mut self, features: &Features, intent: u32) {
        self.0.learn(features, IntentId(intent), 1.0);
    }

    fn answer(&self, features: &Features) -> Answer {
        answer(&self.0.rank(features, BEST))
    }

    fn bytes(&self) -> usize {
        self.0.bytes()
    }

    fn snapshot_bytes(&self) -> Option<usize> {
        let mut bytes = Vec::new();
        self.0.encode(&mut bytes);
        Some(bytes.len())
    }

    fn copied(&self) -> Box<dyn Learner> {
        Box::new(Self(self.0.clone()))
    }
}

struct Other(Baseline);

impl Learner for Other {
    fn learn(&mut self, features: &Features, intent: u32) {
        self.0.learn(features, IntentId(intent));
    }

    fn answer(&self, features: &Features) -> Answer {
        answer(&self.0.rank(features, BEST))
    }

    fn bytes(&self) -> usize {
        self.0.bytes()
    }

    fn snapshot_bytes(&self) -> Option<usize> {
        None
    }

    fn copied(&self) -> Box<dyn Learner> {
        Box::new(Self(self.0.clone()))
    }
}

fn answer(ranking: &Ranking) -> Answer {
    let best = ranking.intents.iter().map(|(intent, _)| intent.0).collect();
    Answer { best, confidence: f64::from(ranking.confidence) }
}
