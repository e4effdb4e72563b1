//! Metrics of finding.

use std::sync::atomic::{AtomicU64, Ordering};

use waggle_core::id::{Offset, TenantId};

use super::find::Find;
use super::stats::metric;
use crate::find::QueryStats;
use crate::ledger::Ledger;
use crate::observe::{Metric, MetricKind, Metrics, Value};

static INDEX_BEHIND: Metric = metric(
    "waggle_find_index_behind_events",
    MetricKind::Gauge,
    "Events that are in the logs and not in the index of tickets yet",
);
static SEARCH_BEHIND: Metric = metric(
    "waggle_find_search_behind_events",
    MetricKind::Gauge,
    "Events that are in the logs and whose texts are not searchable yet",
);

/// A counter, and where it is.
type Counter = (Metric, fn(&QueryStats) -> &AtomicU64);

static COUNTERS: [Counter; 3] = [
    (
        metric(
            "waggle_find_slow_queries",
            MetricKind::Counter,
            "Lists and counts that took longer than 20 ms",
        ),
        |stats| &stats.slow,
    ),
    (
        metric(
            "waggle_find_aside_queries",
            MetricKind::Counter,
            "Lists and counts that were expected to take long, and were answered beside the HTTP threads",
        ),
        |stats| &stats.aside,
    ),
    (
        metric(
            "waggle_find_overloaded_queries",
            MetricKind::Counter,
            "Lists and counts that were answered overload because too many of the kind were under way",
        ),
        |stats| &stats.overloaded,
    ),
];

/// Adds what is counted.
pub(super) fn add_to(metrics: &Metrics, find: &Find, ledger: &Ledger) {
    let (log, tickets) = (ledger.clone(), find.tickets.clone());
    metrics.add(&INDEX_BEHIND, move || Value::Number(behind(&log, tickets.applied())));
    let (log, texts) = (ledger.clone(), find.texts.clone());
    metrics.add(&SEARCH_BEHIND, move || Value::Number(behind(&log, texts.progress())));
    for (metric, counter) in &COUNTERS {
        let of = find.tickets.clone();
        metrics.add(metric, move || Value::Number(counter(of.query_stats()).load(Ordering::Relaxed)));
    }
}

/// Events after these, of all tenants.
fn behind(log: &Ledger, reached: Vec<(TenantId, Offset)>) -> u64 {
    let of = |(tenant, reached): (TenantId, Offset)| {
        log.head(tenant).map_or(0, |head| head.offset.0.saturating_sub(reached.0))
    };
    reached.into_iter().map(of).sum()
}

/// All of them.
pub(super) fn metrics() -> impl Iterator<Item = &'static Metric> {
    [&INDEX_BEHIND, &SEARCH_BEHIND].into_iter().chain(COUNTERS.iter().map(|(metric, _)| metric))
}
