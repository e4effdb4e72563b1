//! How the assistant does: what an administrator reads.

use serde::Serialize;

use super::mode::Mode;
use super::suggestion::ModelVersion;
use crate::id::{AgentId, Offset, QueueId};

/// How the assistant does.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Which model.
    pub model: ModelVersion,
    /// The newest event that it has seen.
    pub position: Offset,
    /// Lessons since the log's start.
    pub lessons: u64,
    /// Lessons that said what a message wants: each was predicted before it was learned.
    pub labelled: u64,
    /// Bytes of memory of both learners.
    pub bytes: usize,
    /// The champion.
    pub champion: ContenderReport,
    /// The challenger, where there is one.
    pub challenger: Option<ContenderReport>,
    /// What the challenger has proved against the champion.
    pub trial: Option<TrialReport>,
    /// The newest changes of champions, the newest last.
    pub promotions: Vec<Promotion>,
    /// Recipes that are not promoted.
    pub barred: Vec<&'static str>,
    /// Intents with names, those with most lessons first, then those without.
    pub intents: Vec<IntentReport>,
    /// Pairs that the champion confuses, the most frequent first.
    pub confusions: Vec<Confusion>,
    /// Agents that teach, by their numbers.
    pub agents: Vec<AgentReport>,
    /// Queues whose mode was set.
    pub modes: Vec<QueueMode>,
    /// What a tag begins with that names an intent.
    pub tag_prefix: String,
    /// Replies that may be suggested.
    pub replies: usize,
}

/// How one recipe does.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ContenderReport {
    /// Its name.
    pub recipe: &'static str,
    /// Share of right predictions among the newest 100 lessons with a label; nothing before the first.
    pub accuracy_100: Option<f32>,
    /// The same of the newest 1,000.
    pub accuracy_1000: Option<f32>,
    /// Accuracy over the log, in equal stretches of lessons, the oldest first.
    pub curve: Vec<AccuracyPoint>,
    /// The confidence from which on it counts as known, where an intent has no threshold of its own.
    pub threshold: f32,
    /// Share of the newest predictions at or above it that were right.
    pub precision: Option<f32>,
    /// Share of the newest messages that it answers there.
    pub answered: Option<f32>,
    /// Confidence against truth, from 0 to 1 in equal steps.
    pub calibration: Vec<CalibrationBin>,
}

/// A stretch of the curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct AccuracyPoint {
    /// Lessons with a label up to its end.
    pub lessons: u64,
    /// Share of right predictions within it.
    pub accuracy: f32,
}

/// Predictions of nearly the same confidence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CalibrationBin {
    /// The middle of the bin.
    pub confidence: f32,
    /// The share that was right.
    pub right: f32,
    /// How many there are.
    pub predictions: u32,
}

/// What the challenger has proved.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TrialReport {
    /// Lessons that only the challenger had right.
    pub challenger_only: u64,
    /// Lessons that only the champion had right.
    pub champion_only: u64,
    /// The evidence: it is at most 1 on average where the challenger is not better.
    pub e_value: f64,
    /// The evidence at which the challenger is promoted.
    pub needed: f64,
}

/// A change of champions.
#[derive(Debug, Clone, PartialEq, Serialize, serde::Deserialize)]
pub struct Promotion {
    /// The event that brought it about.
    pub offset: Offset,
    /// The recipe that suggests since.
    pub recipe: String,
    /// Why.
    pub why: String,
}

/// How one intent does.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct IntentReport {
    /// Its name; `#17` where it has none yet.
    pub name: String,
    /// Lessons that taught it.
    pub lessons: u32,
    /// Share of its newest predictions that were right.
    pub precision: Option<f32>,
    /// Share of its newest messages that were found.
    pub recall: Option<f32>,
    /// Its newest messages with a label, that recall is of.
    pub support: u32,
    /// The confidence from which on it counts as known; more than 1: never.
    pub threshold: f32,
    /// Replies that may be suggested.
    pub replies: usize,
}

/// A pair of intents.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Confusion {
    /// What was taught.
    pub taught: String,
    /// What was predicted.
    pub predicted: String,
    /// How often.
    pub times: u32,
}

/// An agent as a teacher.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct AgentReport {
    /// Who.
    pub agent: AgentId,
    /// Lessons that told an intent.
    pub lessons: u32,
    /// Of those that others teach the like of, the share that agrees.
    pub agreement: Option<f32>,
    /// How much a lesson of theirs counts, from 0.05 to 1.
    pub weight: f32,
}

/// A queue's mode.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct QueueMode {
    /// Which queue.
    pub queue: QueueId,
    /// What the assistant may do there.
    #[serde(flatten)]
    pub mode: Mode,
}
