//! What the parts count, as metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::ledger::{BATCH_SIZE_BOUNDS, Ledger, LedgerStats};
use crate::observe::{METRICS, Metric, MetricKind, Metrics, Value};
use crate::push::{PushEngine, PushStats};
use crate::tls::Tls;

/// One without labels.
pub(super) const fn metric(name: &'static str, kind: MetricKind, help: &'static str) -> Metric {
    Metric { name, kind, labels: &[], help }
}

/// A counter of the ledger, and where it is.
type LedgerCounter = (Metric, fn(&LedgerStats) -> &AtomicU64);

static LEDGER: [LedgerCounter; 6] = [
    (metric("waggle_ledger_commits", MetricKind::Counter, "Transactions committed"), |stats| &stats.commits),
    (metric("waggle_ledger_failed_commits", MetricKind::Counter, "Transactions that failed"), |stats| {
        &stats.failed_commits
    }),
    (metric("waggle_ledger_commands", MetricKind::Counter, "Commands committed"), |stats| &stats.commands),
    (metric("waggle_ledger_refused", MetricKind::Counter, "Commands that admission refused"), |stats| {
        &stats.refused
    }),
    (metric("waggle_ledger_overloaded", MetricKind::Counter, "Commands answered with overload"), |stats| {
        &stats.overloaded
    }),
    (
        metric("waggle_ledger_replayed", MetricKind::Counter, "Answers given again for an Idempotency-Key"),
        |stats| &stats.replayed,
    ),
];
static LEDGER_COMMIT_US: Metric = metric(
    "waggle_ledger_commit_microseconds",
    MetricKind::Counter,
    "Time spent in commits, in microseconds",
);
static LEDGER_IN_FLIGHT: Metric =
    metric("waggle_ledger_in_flight", MetricKind::Gauge, "Commands admitted and not yet answered");
static LEDGER_BATCH: Metric =
    metric("waggle_ledger_batch_commands", MetricKind::Histogram, "Commands per transaction");

static TASKS: Metric = metric(
    "waggle_runtime_tasks",
    MetricKind::Gauge,
    "Tasks of the main runtime: HTTP connections, and what the gateway does besides push",
);

static TLS_NOT_AFTER: Metric = metric(
    "waggle_tls_certificate_not_after_seconds",
    MetricKind::Gauge,
    "When the certificate that is served ends, in seconds since 1970; only under TLS",
);
static TLS_FAILURES: Metric = metric(
    "waggle_tls_reload_failures",
    MetricKind::Counter,
    "New certificates that could not be taken; only under TLS",
);

/// A count of the push engine, and where it is.
type PushCount = (Metric, fn(&PushStats) -> u64);

static PUSH: [PushCount; 18] = [
    (
        metric("waggle_push_connections", MetricKind::Gauge, "Push connections, those in handshake included"),
        |stats| stats.connections,
    ),
    (metric("waggle_push_sessions", MetricKind::Gauge, "Push sessions"), |stats| stats.sessions),
    (metric("waggle_push_lagging", MetricKind::Gauge, "Push sessions that wait for acks"), |stats| {
        stats.lagging
    }),
    (
        metric(
            "waggle_push_timers",
            MetricKind::Gauge,
            "Deadlines of push sessions, those of ended ones included until they pass",
        ),
        |stats| stats.timers,
    ),
    (metric("waggle_push_accepted", MetricKind::Counter, "Push connections accepted"), |stats| {
        stats.accepted
    }),
    (metric("waggle_push_refused", MetricKind::Counter, "Push connections turned away"), |stats| {
        stats.refused
    }),
    (metric("waggle_push_handshakes_failed", MetricKind::Counter, "Push handshakes that failed"), |stats| {
        stats.handshakes_failed
    }),
    (metric("waggle_push_events", MetricKind::Counter, "Events sent, once per session"), |stats| {
        stats.events_sent
    }),
    (metric("waggle_push_event_bytes", MetricKind::Counter, "Bytes of event frames sent"), |stats| {
        stats.event_bytes_sent
    }),
    (metric("waggle_push_signals", MetricKind::Counter, "Signals sent, once per session"), |stats| {
        stats.signals_sent
    }),
    (
        metric(
            "waggle_push_signals_dropped",
            MetricKind::Counter,
            "Signals lost: too many of a session's, or for a session that does not keep up",
        ),
        |stats| stats.signals_dropped,
    ),
    (metric("waggle_push_suggestions", MetricKind::Counter, "Suggestions sent, once per session"), |stats| {
        stats.suggestions_sent
    }),
    (metric("waggle_push_batches", MetricKind::Counter, "Batches of events that shards took"), |stats| {
        stats.batches
    }),
    (
        metric("waggle_push_gaps", MetricKind::Counter, "Times that a shard missed a batch and read the log"),
        |stats| stats.gaps,
    ),
    (metric("waggle_push_lags", MetricKind::Counter, "Times that a session began to lag"), |stats| {
        stats.lags
    }),
    (
        metric("waggle_push_replay_pages", MetricKind::Counter, "Pages of the log given to sessions"),
        |stats| stats.replay_pages,
    ),
    (
        metric(
            "waggle_push_replay_reads",
            MetricKind::Counter,
            "Reads of storage for replays; one serves all sessions that are at the same place",
        ),
        |stats| stats.replay_reads,
    ),
    (metric("waggle_push_closed", MetricKind::Counter, "Sessions that the server closed"), |stats| {
        stats.closed
    }),
];

/// Adds what the parts count.
pub(super) fn add_to(metrics: &Metrics, ledger: &Ledger, push: &Arc<PushEngine>, tls: Option<&Tls>) {
    if let Some(tls) = tls {
        let of = tls.clone();
        metrics.add(&TLS_NOT_AFTER, move || Value::Number(of.not_after_s()));
        let of = tls.clone();
        metrics.add(&TLS_FAILURES, move || Value::Number(of.failures()));
    }
    let runtime = tokio::runtime::Handle::current();
    metrics.add(&TASKS, move || Value::Number(runtime.metrics().num_alive_tasks() as u64));
    for (metric, count) in &PUSH {
        let push = Arc::clone(push);
        metrics.add(metric, move || Value::Number(count(&push.stats())));
    }
    for (metric, counter) in &LEDGER {
        let ledger = ledger.clone();
        metrics.add(metric, move || Value::Number(counter(ledger.stats()).load(Ordering::Relaxed)));
    }
    let of = ledger.clone();
    metrics.add(&LEDGER_COMMIT_US, move || Value::Number(of.stats().commit_us.load(Ordering::Relaxed)));
    let of = ledger.clone();
    metrics.add(&LEDGER_IN_FLIGHT, move || Value::Number(of.in_flight() as u64));
    let of = ledger.clone();
    metrics.add(&LEDGER_BATCH, move || batch_sizes(of.stats()));
}

fn batch_sizes(stats: &LedgerStats) -> Value {
    let bounds = BATCH_SIZE_BOUNDS.iter().map(|bound| *bound as f64).chain([f64::INFINITY]);
    let counts = stats.batch_sizes.iter().map(|count| count.load(Ordering::Relaxed));
    let commands = stats.commands.load(Ordering::Relaxed) as f64;
    let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
    Value::Histogram(commands, buckets.iter().map(|(_, count)| count).sum(), buckets)
}

/// Every metric, as `docs/METRICS.md` lists them.
#[must_use]
pub fn all_metrics() -> Vec<&'static Metric> {
    let mut all: Vec<&Metric> = METRICS.to_vec();
    all.extend(LEDGER.iter().map(|(metric, _)| metric));
    all.extend(PUSH.iter().map(|(metric, _)| metric));
    all.extend([&LEDGER_COMMIT_US, &LEDGER_IN_FLIGHT, &LEDGER_BATCH, &TASKS, &TLS_NOT_AFTER, &TLS_FAILURES]);
    all.extend(super::leg_stats::metrics());
    all.extend(super::redirect_stats::metrics());
    all.extend(super::guard_stats::metrics());
    all.extend(super::auth_stats::metrics());
    all.extend(super::attachment_stats::metrics());
    all.extend(super::count_stats::metrics());
    all.extend(super::find_stats::metrics());
    all.extend(super::learn_stats::metrics());
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_documented() {
        let wanted = crate::observe::reference(&all_metrics());
        crate::observe::assert_document("docs/METRICS.md", &wanted);
    }
}
