//! Metrics of files.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::attachment::Attachments;
use crate::observe::{Metric, MetricKind, Metrics, Value};

static FILES: Metric = Metric {
    name: "waggle_attachment_uploads",
    kind: MetricKind::Counter,
    labels: &["outcome"],
    help: "Files that came whole: kept, or failed where the disk or the store did not take them",
};

static REPEATED: Metric = Metric {
    name: "waggle_attachment_store_attempts_repeated",
    kind: MetricKind::Counter,
    labels: &[],
    help: "Requests that the store of files was sent once more",
};

static BROKEN: Metric = Metric {
    name: "waggle_attachment_reads_failed",
    kind: MetricKind::Counter,
    labels: &[],
    help: "Files that were not found, or could not be opened, when somebody asked for them",
};

/// Adds what is counted.
pub(super) fn add_to(metrics: &Metrics, attachments: &Arc<Attachments>) {
    let of = Arc::clone(attachments);
    metrics.add(&FILES, move || {
        let stats = of.stats();
        let read = |counter: &std::sync::atomic::AtomicU64| Value::Number(counter.load(Ordering::Relaxed));
        Value::Labelled(vec![("kept", read(&stats.kept)), ("failed", read(&stats.failed))])
    });
    let of = Arc::clone(attachments);
    metrics.add(&REPEATED, move || Value::Number(of.repeated()));
    let of = Arc::clone(attachments);
    metrics.add(&BROKEN, move || Value::Number(of.stats().unread.load(Ordering::Relaxed)));
}

/// All of them.
pub(super) fn metrics() -> [&'static Metric; 3] {
    [&FILES, &REPEATED, &BROKEN]
}
