//! Metrics of letting people in.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::auth::{Auth, AuthStats};
use crate::observe::{Metric, MetricKind, Metrics, Value};

static LOGINS: Metric = Metric {
    name: "waggle_auth_logins",
    kind: MetricKind::Counter,
    labels: &["outcome"],
    help: "Logins: ok, failed, throttled for those that failed before, busy where too many were under way",
};

static COMPARED: Metric = Metric {
    name: "waggle_auth_passwords_compared",
    kind: MetricKind::Counter,
    labels: &[],
    help: "Passwords compared with a hash: each takes a processor for tens of milliseconds",
};

static AUDIT_LOST: Metric = Metric {
    name: "waggle_auth_audit_lost",
    kind: MetricKind::Counter,
    labels: &[],
    help: "Failed logins that did not find room to be written to the audit log",
};

/// A counter and the outcome that it counts.
type Outcome = (&'static str, fn(&AuthStats) -> &AtomicU64);

const OUTCOMES: [Outcome; 4] = [
    ("ok", |stats| &stats.logins),
    ("failed", |stats| &stats.failed),
    ("throttled", |stats| &stats.throttled),
    ("busy", |stats| &stats.busy),
];

/// Adds what is counted.
pub(super) fn add_to(metrics: &Metrics, auth: &Arc<Auth>) {
    let of = Arc::clone(auth);
    metrics.add(&LOGINS, move || {
        let read =
            |(name, counter): Outcome| (name, Value::Number(counter(of.stats()).load(Ordering::Relaxed)));
        Value::Labelled(OUTCOMES.map(read).to_vec())
    });
    let of = Arc::clone(auth);
    metrics.add(&COMPARED, move || Value::Number(of.stats().compared.load(Ordering::Relaxed)));
    let of = Arc::clone(auth);
    metrics.add(&AUDIT_LOST, move || Value::Number(of.stats().audit_lost.load(Ordering::Relaxed)));
}

/// All of them.
pub(super) fn metrics() -> [&'static Metric; 3] {
    [&LOGINS, &COMPARED, &AUDIT_LOST]
}
