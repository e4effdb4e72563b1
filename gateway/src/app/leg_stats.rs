//! Metrics of the accelerator and of the legs that it measures.

use std::sync::Arc;

use crate::accel::{Accel, Leg, LegPath, Rung, by_doubling};
use crate::observe::{Metric, MetricKind, Metrics, Value};

static RUNG: Metric = Metric {
    name: "waggle_accel_rung",
    kind: MetricKind::Gauge,
    labels: &[],
    help: "The lowest rung that a feature of acceleration stands on: 0 off, 1 setsockopt, 2 eBPF",
};

static ROUND_TRIPS: Metric = Metric {
    name: "waggle_leg_rtt_seconds",
    kind: MetricKind::Histogram,
    labels: &["leg"],
    help: "Round trips that the kernel measured, by leg; the sum is of the middles of finer buckets",
};

/// A count of a leg, and where it is.
type LegCount = (Metric, fn(&LegPath) -> u64);

static COUNTS: [LegCount; 4] = [
    (count("waggle_leg_connections", "TCP connections of a leg"), |path| path.connections),
    (count("waggle_leg_retransmits", "Segments sent again"), |path| path.retransmits),
    (count("waggle_leg_timeouts", "Retransmission timers that fired"), |path| path.timeouts),
    (count("waggle_leg_dead_peers", "Peers that the kernel gave up"), |path| path.dead),
];

const fn count(name: &'static str, help: &'static str) -> Metric {
    Metric { name, kind: MetricKind::Counter, labels: &["leg"], help }
}

/// Adds what the accelerator counts; there are no legs where eBPF does not measure them.
pub(super) fn add_to(metrics: &Metrics, accel: &Arc<Accel>) {
    let of = Arc::clone(accel);
    metrics.add(&RUNG, move || {
        Value::Number(match of.lowest_rung() {
            Rung::Off => 0,
            Rung::Setsockopt => 1,
            Rung::Ebpf => 2,
        })
    });
    for (metric, count) in &COUNTS {
        let of = Arc::clone(accel);
        metrics.add(metric, move || labelled(&of, |path| Value::Number(count(path))));
    }
    let of = Arc::clone(accel);
    metrics.add(&ROUND_TRIPS, move || labelled(&of, round_trips));
}

fn labelled(accel: &Accel, value: impl Fn(&LegPath) -> Value) -> Value {
    let report = accel.legs();
    let named = |path: &LegPath| Some((Leg::from_name(&path.leg)?.name(), value(path)));
    Value::Labelled(report.legs.iter().filter_map(named).collect())
}

fn round_trips(path: &LegPath) -> Value {
    let mut buckets: Vec<(f64, u64)> =
        by_doubling(&path.round_trips).into_iter().map(|(us, count)| (f64::from(us) / 1e6, count)).collect();
    if let Some((edge, _)) = buckets.last_mut() {
        *edge = f64::INFINITY;
    }
    Value::Histogram(path.sum_us() / 1e6, path.samples(), buckets)
}

/// All of them.
pub(super) fn metrics() -> impl Iterator<Item = &'static Metric> {
    COUNTS.iter().map(|(metric, _)| metric).chain([&ROUND_TRIPS, &RUNG])
}
