//! Metrics of the assistant.

use super::stats::metric;
use crate::learn::{LearnCount, LearnStats, Learner};
use crate::ledger::Ledger;
use crate::observe::{Histogram, Metric, MetricKind, Metrics, Value};

static BEHIND: Metric = metric(
    "waggle_learn_behind_events",
    MetricKind::Gauge,
    "Events that are in the logs and that the assistant has not learned from yet",
);
static VERSION: Metric = metric(
    "waggle_learn_version",
    MetricKind::Gauge,
    "Offset of the newest event that taught something, the highest of all tenants",
);

static ACCURACY: Metric = metric(
    "waggle_learn_accuracy_thousandths",
    MetricKind::Gauge,
    "Of the newest 1,000 predictions, how many of a thousand were right: of the tenant with the fewest",
);

/// A counter, and where it is.
type Counter = (Metric, fn(&LearnStats) -> &LearnCount);

const fn counter(name: &'static str, help: &'static str, of: fn(&LearnStats) -> &LearnCount) -> Counter {
    (metric(name, MetricKind::Counter, help), of)
}

static COUNTERS: [Counter; 13] = [
    counter("waggle_learn_lessons", "Events that have taught the assistant something", |it| &it.lessons),
    counter("waggle_learn_suggestions", "Suggestions made, pushed or asked for", |it| &it.suggestions),
    counter("waggle_learn_suggested_replies", "Replies that agents made of suggestions", |it| {
        &it.suggested_replies
    }),
    counter("waggle_learn_accepted", "Suggestions that agents told to have sent as they were", |it| {
        &it.accepted
    }),
    counter("waggle_learn_edited", "Suggestions that agents told to have sent with changes", |it| &it.edited),
    counter("waggle_learn_rejected", "Suggestions that agents turned down", |it| &it.rejected),
    counter("waggle_learn_automatic_replies", "Replies that the assistant sent by itself", |it| {
        &it.automatic
    }),
    counter("waggle_learn_handed_over", "Tickets that it gave back to people", |it| &it.handed_over),
    counter(
        "waggle_learn_left_to_people",
        "Messages in queues of the mode auto that were left to people: the assistant was too far behind, was being folded anew, had no room or failed",
        |it| &it.left,
    ),
    counter("waggle_learn_promotions", "Times that a challenger became the champion", |it| &it.promotions),
    counter("waggle_learn_folds", "Times that a model was folded from the log's start", |it| &it.folds),
    counter("waggle_learn_snapshots", "Files of models written", |it| &it.snapshots),
    counter(
        "waggle_learn_bad_snapshots",
        "Files of models that were damaged, or of another log or version",
        |it| &it.bad_snapshots,
    ),
];

/// A histogram, and where it is.
type Times = (Metric, fn(&LearnStats) -> &Histogram);

static TIMES: [Times; 2] = [
    (
        metric("waggle_learn_lesson_seconds", MetricKind::Histogram, "Time to learn what one event teaches"),
        |it| &it.lesson_time,
    ),
    (metric("waggle_learn_suggestion_seconds", MetricKind::Histogram, "Time to make one suggestion"), |it| {
        &it.suggestion_time
    }),
];

/// Adds what is counted.
pub(super) fn add_to(metrics: &Metrics, learn: &Learner, ledger: &Ledger) {
    let (log, of) = (ledger.clone(), learn.clone());
    metrics.add(&BEHIND, move || {
        let behind = of.positions().into_iter().map(|(tenant, position)| {
            log.head(tenant).map_or(0, |head| head.offset.0.saturating_sub(position.0))
        });
        Value::Number(behind.sum())
    });
    let of = learn.clone();
    metrics.add(&VERSION, move || {
        let versions = of.positions().into_iter().map(|(tenant, _)| of.look(tenant, |model| model.version()));
        Value::Number(versions.map(|model| model.version.0).max().unwrap_or_default())
    });
    let of = learn.clone();
    metrics.add(&ACCURACY, move || {
        let tenants = of.positions().into_iter().map(|(tenant, _)| tenant);
        let known = tenants.filter_map(|tenant| of.look(tenant, |model| model.accuracy()));
        // A share of one: it fits.
        let thousandths = known.map(|share| (share * 1_000.0).round() as u64).min();
        Value::Number(thousandths.unwrap_or_default())
    });
    for (metric, counter) in &COUNTERS {
        let of = learn.clone();
        metrics.add(metric, move || Value::Number(counter(of.stats()).get()));
    }
    for (metric, times) in &TIMES {
        let of = learn.clone();
        metrics.add(metric, move || {
            let (sum, count, buckets) = times(of.stats()).read();
            Value::Histogram(sum, count, buckets)
        });
    }
}

/// All of them.
pub(super) fn metrics() -> impl Iterator<Item = &'static Metric> {
    let counters = COUNTERS.iter().map(|(metric, _)| metric);
    [&BEHIND, &VERSION, &ACCURACY].into_iter().chain(counters).chain(TIMES.iter().map(|(metric, _)| metric))
}
