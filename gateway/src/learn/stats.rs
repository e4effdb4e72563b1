//! What the assistant has done, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::observe::Histogram;

/// Upper bounds of the buckets, in microseconds: lessons and suggestions take tens of them.
static BOUNDS_US: [u64; 12] = [5, 10, 20, 40, 80, 160, 320, 640, 1_280, 5_000, 20_000, 100_000];

/// A counter.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// Its value.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Of all tenants together.
#[derive(Debug)]
pub struct LearnStats {
    /// Events that have taught something.
    pub lessons: Count,
    /// Suggestions made.
    pub suggestions: Count,
    /// Replies that agents made of suggestions.
    pub suggested_replies: Count,
    /// Suggestions that agents said to have sent as they were.
    pub accepted: Count,
    /// The same, with changes.
    pub edited: Count,
    /// The same, turned down.
    pub rejected: Count,
    /// Replies sent by the gateway itself.
    pub automatic: Count,
    /// Tickets that it gave back to people.
    pub handed_over: Count,
    /// Messages in queues of the mode auto at which it has not looked, or for which it could not reply.
    pub left: Count,
    /// Times that a challenger became the champion.
    pub promotions: Count,
    /// Times that a model was folded from the log's start.
    pub folds: Count,
    /// Files of models that were damaged, of another log or of another version.
    pub bad_snapshots: Count,
    /// Files of models written.
    pub snapshots: Count,
    /// Time for one lesson.
    pub lesson_time: Histogram,
    /// Time for one suggestion.
    pub suggestion_time: Histogram,
}

impl Default for LearnStats {
    fn default() -> Self {
        Self {
            lessons: Count::default(),
            suggestions: Count::default(),
            suggested_replies: Count::default(),
            accepted: Count::default(),
            edited: Count::default(),
            rejected: Count::default(),
            automatic: Count::default(),
            handed_over: Count::default(),
            left: Count::default(),
            promotions: Count::default(),
            folds: Count::default(),
            bad_snapshots: Count::default(),
            snapshots: Count::default(),
            lesson_time: Histogram::new(&BOUNDS_US),
            suggestion_time: Histogram::new(&BOUNDS_US),
        }
    }
}
