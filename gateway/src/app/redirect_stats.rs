//! Metrics of redirection past TCP.

use std::sync::Arc;

use crate::accel::Redirect;
use crate::observe::{Metric, MetricKind, Metrics, Value};

static ON: Metric = Metric {
    name: "waggle_redirect_on",
    kind: MetricKind::Gauge,
    labels: &[],
    help: "Whether connections of this machine are redirected past TCP: 1, or 0 where it is off or refused",
};

static CONNECTIONS: Metric = Metric {
    name: "waggle_redirect_connections",
    kind: MetricKind::Counter,
    labels: &["outcome"],
    help: "Connections to the push address: redirected; missed where the other end had left by the first message; \
           elsewhere where it was not in the map, as all of other machines; full where the map had no room for a socket",
};

/// Outcomes, by the program's own words.
const OUTCOMES: [&str; 4] = ["redirected", "missed", "elsewhere", "full"];

/// A count of the programs, and its word there.
static COUNTS: [(Metric, &str); 3] = [
    (count("waggle_redirect_messages", "Messages that were redirected"), "messages"),
    (count("waggle_redirect_bytes", "Bytes of messages that were redirected"), "bytes"),
    (count("waggle_redirect_gone", "Messages that were not sent, for the other end had gone"), "gone"),
];

const fn count(name: &'static str, help: &'static str) -> Metric {
    Metric { name, kind: MetricKind::Counter, labels: &[], help }
}

/// Adds what the programs count.
pub(super) fn add_to(metrics: &Metrics, redirect: &Arc<Redirect>) {
    let of = Arc::clone(redirect);
    metrics.add(&ON, move || Value::Number(of.is_on().into()));
    let of = Arc::clone(redirect);
    metrics.add(&CONNECTIONS, move || {
        Value::Labelled(OUTCOMES.map(|word| (word, Value::Number(of.count(word)))).into())
    });
    for (metric, word) in &COUNTS {
        let of = Arc::clone(redirect);
        metrics.add(metric, move || Value::Number(of.count(word)));
    }
}

/// All of them.
pub(super) fn metrics() -> impl Iterator<Item = &'static Metric> {
    COUNTS.iter().map(|(metric, _)| metric).chain([&ON, &CONNECTIONS])
}
