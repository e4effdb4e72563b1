//! What the assistant has done, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets, in microseconds: lessons and suggestions take tens of them.
const BOUNDS_US: [u64; 12] = [5, 10, 20, 40, 80, 160, 320, 640, 1_280, 5_000, 20_000, 100_000];

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

/// Durations, counted in fixed buckets.
#[derive(Debug, Default)]
pub struct Durations {
    /// One more than the bounds: the last is all above.
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    sum_ns: AtomicU64,
}

impl Durations {
    pub(super) fn observe(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        if let Some(bucket) = self.buckets.get(BOUNDS_US.partition_point(|bound| *bound < us)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.sum_ns.fetch_add(ns, Ordering::Relaxed);
    }

    /// Sum in seconds, count, and counts per bucket by upper bound in seconds (the last is infinite).
    #[must_use]
    pub fn read(&self) -> (f64, u64, Vec<(f64, u64)>) {
        let bounds = BOUNDS_US.iter().map(|us| *us as f64 / 1e6).chain([f64::INFINITY]);
        let counts = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        (self.sum_ns.load(Ordering::Relaxed) as f64 / 1e9, count, buckets)
    }
}

/// Of all tenants together.
#[derive(Debug, Default)]
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
    /// Times that a challenger became the champion.
    pub promotions: Count,
    /// Times that a model was folded from the log's start.
    pub folds: Count,
    /// Files of models that were damaged, of another log or of another version.
    pub bad_snapshots: Count,
    /// Files of models written.
    pub snapshots: Count,
    /// Time for one lesson.
    pub lesson_time: Durations,
    /// Time for one suggestion.
    pub suggestion_time: Durations,
}
