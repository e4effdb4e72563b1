//! Metrics of counts that sessions watch.

use std::sync::atomic::Ordering;

use super::stats::metric;
use crate::count::{CountStats, Counts};
use crate::observe::{Metric, MetricKind, Metrics, Value};

/// A count, and where it is.
type Figure = (Metric, fn(&CountStats) -> u64);

static FIGURES: [Figure; 4] = [
    (
        metric("waggle_count_watches", MetricKind::Gauge, "Counts of saved views that push sessions watch"),
        |stats| stats.watches.load(Ordering::Relaxed) as u64,
    ),
    (metric("waggle_count_kept", MetricKind::Gauge, "Different counts that are kept for them"), |stats| {
        stats.counts.load(Ordering::Relaxed) as u64
    }),
    (
        metric(
            "waggle_count_recounts",
            MetricKind::Counter,
            "Times that tickets were counted anew, instead of a count's following their changes",
        ),
        |stats| stats.recounts.load(Ordering::Relaxed),
    ),
    (
        metric(
            "waggle_count_changes",
            MetricKind::Counter,
            "Changes of counts that were told, once however many sessions watch",
        ),
        |stats| stats.told.load(Ordering::Relaxed),
    ),
];

/// Adds what is counted.
pub(super) fn add_to(metrics: &Metrics, counts: &Counts) {
    for (metric, figure) in &FIGURES {
        let of = counts.clone();
        metrics.add(metric, move || Value::Number(figure(of.stats())));
    }
}

/// All of them.
pub(super) fn metrics() -> impl Iterator<Item = &'static Metric> {
    FIGURES.iter().map(|(metric, _)| metric)
}
