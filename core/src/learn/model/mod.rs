//! A tenant's model: the fold of all lessons.

use super::ask::Ask;
use super::automatic::Automatic;
use super::intent::Recipe;
use super::lesson::Lesson;
use super::mode::Mode;
use super::notice::Notice;
use super::report::{ContenderReport, Report};
use super::snapshot::SnapshotError;
use super::suggestion::{Answer, ModelVersion, Suggestion};
use crate::id::{Offset, QueueId};
use crate::time::Timestamp;

/// A tenant's model.
#[derive(Debug, Clone, Default)]
pub struct Model {
    position: Offset,
    version: Offset,
}

impl Model {
    /// One that knows nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Learns what the event at `offset` teaches.
    pub fn learn(&mut self, offset: Offset, lesson: &Lesson) -> Vec<Notice> {
        let _ = &lesson.what;
        self.position = self.position.max(offset);
        self.version = self.version.max(offset);
        Vec::new()
    }

    /// Goes on over an event that teaches nothing.
    pub fn pass(&mut self, offset: Offset) {
        self.position = self.position.max(offset);
    }

    /// The newest event that it has seen.
    #[must_use]
    pub fn position(&self) -> Offset {
        self.position
    }

    /// Which model it is.
    #[must_use]
    pub fn version(&self) -> ModelVersion {
        ModelVersion { version: self.version, recipe: Recipe::default().name() }
    }

    /// What fits a customer's message.
    #[must_use]
    pub fn suggest(&self, ask: &Ask) -> Suggestion {
        Suggestion {
            ticket: ask.ticket(),
            message: ask.message(),
            model: self.version(),
            language: ask.asked.context.language.code(),
            answer: Answer::Unknown,
            intent: None,
            candidates: Vec::new(),
            replies: Vec::new(),
            why: "nothing was learned yet".to_owned(),
        }
    }

    /// Whether to reply without a human, and what; `now` is the clock's time.
    #[must_use]
    pub fn automatic(&self, ask: &Ask, now: Timestamp) -> Automatic {
        let _ = (ask, now);
        Automatic::No { why: "the queue's mode is not auto" }
    }

    /// What it may do in a queue.
    #[must_use]
    pub fn mode(&self, queue: QueueId) -> Mode {
        let _ = queue;
        Mode::default()
    }

    /// How it does.
    #[must_use]
    pub fn report(&self) -> Report {
        let champion = ContenderReport {
            recipe: Recipe::default().name(),
            accuracy_100: None,
            accuracy_1000: None,
            curve: Vec::new(),
            threshold: 1.0,
            precision: None,
            answered: None,
            calibration: Vec::new(),
        };
        Report {
            model: self.version(),
            position: self.position,
            lessons: 0,
            labelled: 0,
            bytes: 0,
            champion,
            challenger: None,
            trial: None,
            promotions: Vec::new(),
            barred: Vec::new(),
            intents: Vec::new(),
            confusions: Vec::new(),
            agents: Vec::new(),
            modes: Vec::new(),
            tag_prefix: String::new(),
            replies: 0,
        }
    }

    /// The model as bytes, with a checksum: the same lessons give the same bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        Vec::new()
    }

    /// What [`Model::encode`] has written.
    ///
    /// # Errors
    /// Where the bytes are not all of that, or are of another version of Waggle.
    pub fn decode(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let _ = bytes;
        Err(SnapshotError::Short { what: "everything" })
    }
}
