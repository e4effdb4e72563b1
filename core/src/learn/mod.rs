//! What customers want and what a team answers, learned from each dialogue.
//!
//! No clock, no chance, no threads: the same lessons in the same order give the same model, bit for bit, on every
//! machine.

mod ask;
mod automatic;
mod dialogue;
mod happening;
pub mod intent;
mod language;
mod lesson;
mod mode;
mod model;
mod notice;
mod report;
mod skips;
mod snapshot;
mod suggestion;

pub use ask::Ask;
pub use automatic::{Automatic, HANDED_OVER_TAG};
pub use dialogue::Dialogue;
pub use happening::Happening;
pub use language::Language;
pub use lesson::Lesson;
pub use mode::{Mode, ModeError, PRECISION_WANTED};
pub use model::Model;
pub use notice::Notice;
pub use report::{
    AccuracyPoint, AgentReport, CalibrationBin, Confusion, ContenderReport, IntentReport, Promotion,
    QueueMode, Report, TrialReport,
};
pub use skips::Skips;
pub use snapshot::SnapshotError;
pub use suggestion::{Answer, Candidate, Filled, Meant, ModelVersion, Source, SuggestedReply, Suggestion};
