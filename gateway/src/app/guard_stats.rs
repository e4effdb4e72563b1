//! Metrics of the guard.

use std::sync::Arc;

use crate::accel::{Guard, GuardAction, GuardVerdict};
use crate::observe::{Metric, MetricKind, Metrics, Value};

static PACKETS: Metric = Metric {
    name: "waggle_guard_packets",
    kind: MetricKind::Counter,
    labels: &["verdict"],
    help: "Packets that the guard has looked at; those denied, bad and limited were dropped",
};

static RULES: Metric = Metric {
    name: "waggle_guard_rules",
    kind: MetricKind::Gauge,
    labels: &["action"],
    help: "Rules of the guard that are in force",
};

/// Adds what the guard counts; there are no verdicts where there is no guard.
pub(super) fn add_to(metrics: &Metrics, guard: &Arc<Guard>) {
    let of = Arc::clone(guard);
    metrics.add(&PACKETS, move || {
        let counted = of.status().verdicts;
        let named = |verdict: GuardVerdict| {
            let (_, packets) = counted.iter().find(|(name, _)| name == verdict.name())?;
            Some((verdict.name(), Value::Number(*packets)))
        };
        Value::Labelled(GuardVerdict::ALL.into_iter().filter_map(named).collect())
    });
    let of = Arc::clone(guard);
    metrics.add(&RULES, move || {
        let rules = of.status().rules;
        let count = |action| rules.iter().filter(|rule| rule.action == action).count() as u64;
        let actions = [("allow", GuardAction::Allow), ("deny", GuardAction::Deny)];
        Value::Labelled(actions.map(|(name, action)| (name, Value::Number(count(action)))).to_vec())
    });
}

/// All of them.
pub(super) fn metrics() -> [&'static Metric; 2] {
    [&PACKETS, &RULES]
}
