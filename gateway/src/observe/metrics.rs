//! Metrics: counted by atomics on the way, put into Prometheus' text only when somebody asks.

use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, MetricEncoder, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::Histogram;

/// What a metric's number means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows; its name on the page ends in `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Seconds, in buckets.
    Histogram,
}

/// A metric as `docs/METRICS.md` shows it.
#[derive(Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name, without `_total`.
    pub name: &'static str,
    /// What its number means.
    pub kind: MetricKind,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What it tells.
    pub help: &'static str,
}

/// A metric's value, as a part of the gateway gives it when asked.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Of a counter or gauge.
    Number(u64),
    /// Of a histogram: sum, count, and counts per bucket by upper bound (the last is infinite).
    Histogram(f64, u64, Vec<(f64, u64)>),
    /// One for each value of the metric's label.
    Labelled(Vec<(&'static str, Value)>),
}

const HTTP_REQUESTS: Metric = Metric {
    name: "waggle_http_requests",
    kind: MetricKind::Counter,
    labels: &["route", "status"],
    help: "Answered HTTP requests, by class of route and of status",
};
const HTTP_SECONDS: Metric = Metric {
    name: "waggle_http_request_seconds",
    kind: MetricKind::Histogram,
    labels: &["route"],
    help: "Time from a request's header to its answer, by class of route",
};
const HTTP_CONNECTIONS: Metric = Metric {
    name: "waggle_http_connections",
    kind: MetricKind::Gauge,
    labels: &[],
    help: "Open HTTP connections",
};
const HTTP_REFUSED: Metric = Metric {
    name: "waggle_http_connections_refused",
    kind: MetricKind::Counter,
    labels: &[],
    help: "HTTP connections refused because too many were open",
};

/// The HTTP server's own metrics. Other parts describe theirs beside what they count.
pub const METRICS: &[&Metric] = &[&HTTP_REQUESTS, &HTTP_SECONDS, &HTTP_CONNECTIONS, &HTTP_REFUSED];

/// What kinds of work routes are: labels must stay few.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteClass {
    /// Commands on tickets.
    Command,
    /// New tickets.
    Create,
    /// All that only reads.
    Read,
    /// Files in and out.
    File,
    /// Handshakes of push connections.
    Push,
    /// Health and metrics.
    Ops,
    /// Paths that do not exist.
    Other,
    /// Logins, sessions, passwords and tokens.
    Account,
    /// Changes of people, rights and queues.
    Setting,
    /// What agents have begun to write.
    Draft,
}

const CLASSES: [(RouteClass, &str); 10] = [
    (RouteClass::Command, "command"),
    (RouteClass::Create, "create"),
    (RouteClass::Read, "read"),
    (RouteClass::File, "file"),
    (RouteClass::Push, "push"),
    (RouteClass::Ops, "ops"),
    (RouteClass::Other, "other"),
    (RouteClass::Account, "account"),
    (RouteClass::Setting, "setting"),
    (RouteClass::Draft, "draft"),
];
const STATUSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

#[derive(Debug, Default)]
struct PerRoute {
    by_status: [AtomicU64; STATUSES.len()],
    seconds: Histogram,
}

/// The counters of one gateway.
#[derive(Debug, Default)]
pub struct Metrics {
    routes: [PerRoute; CLASSES.len()],
    connections: AtomicI64,
    refused: AtomicU64,
    sources: parking_lot::RwLock<Vec<Source>>,
}

struct Source {
    metric: &'static Metric,
    read: Box<dyn Fn() -> Value + Send + Sync>,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.metric.name)
    }
}

impl Metrics {
    /// Counts an answered request.
    pub fn answered(&self, class: RouteClass, status: u16, took: Duration) {
        // The discriminant is the index in `CLASSES`: a test holds it there.
        let Some(route) = self.routes.get(class as usize) else { return };
        if let Some(counter) = route.by_status.get(usize::from(status / 100).saturating_sub(1)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        route.seconds.observe(took);
    }

    /// Counts a connection in.
    pub fn connection_opened(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a connection out.
    pub fn connection_closed(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts a connection that was one too many.
    pub fn connection_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Adds a metric of another part of the gateway; `read` is called when somebody asks.
    pub fn add(&self, metric: &'static Metric, read: impl Fn() -> Value + Send + Sync + 'static) {
        self.sources.write().push(Source { metric, read: Box::new(read) });
    }

    /// All metrics as OpenMetrics text.
    ///
    /// # Errors
    /// None that this data can cause; as the encoder tells them.
    pub fn page(self: &std::sync::Arc<Self>) -> Result<String, fmt::Error> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Page(std::sync::Arc::clone(self))));
        let mut out = String::with_capacity(8 * 1024);
        text::encode(&mut out, &registry)?;
        Ok(out)
    }
}

#[derive(Debug)]
struct Page(std::sync::Arc<Metrics>);

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let metrics = self.0.as_ref();
        let mut page = describe(&mut encoder, &HTTP_REQUESTS)?;
        for (route, (_, name)) in metrics.routes.iter().zip(CLASSES) {
            for (counter, status) in route.by_status.iter().zip(STATUSES) {
                let value = Value::Number(counter.load(Ordering::Relaxed));
                let labels = [("route", name), ("status", status)];
                put(page.encode_family(&labels)?, &HTTP_REQUESTS, &value)?;
            }
        }
        let mut page = describe(&mut encoder, &HTTP_SECONDS)?;
        for (route, (_, name)) in metrics.routes.iter().zip(CLASSES) {
            let (sum, count, buckets) = route.seconds.read();
            let labels = [("route", name)];
            put(page.encode_family(&labels)?, &HTTP_SECONDS, &Value::Histogram(sum, count, buckets))?;
        }
        let open = metrics.connections.load(Ordering::Relaxed);
        let open = Value::Number(u64::try_from(open).unwrap_or_default());
        put(describe(&mut encoder, &HTTP_CONNECTIONS)?, &HTTP_CONNECTIONS, &open)?;
        let refused = Value::Number(metrics.refused.load(Ordering::Relaxed));
        put(describe(&mut encoder, &HTTP_REFUSED)?, &HTTP_REFUSED, &refused)?;
        for source in metrics.sources.read().iter() {
            put(describe(&mut encoder, source.metric)?, source.metric, &(source.read)())?;
        }
        Ok(())
    }
}

fn describe<'e>(
    encoder: &'e mut DescriptorEncoder,
    metric: &Metric,
) -> Result<MetricEncoder<'e>, fmt::Error> {
    let kind = match metric.kind {
        MetricKind::Counter => MetricType::Counter,
        MetricKind::Gauge => MetricType::Gauge,
        MetricKind::Histogram => MetricType::Histogram,
    };
    encoder.encode_descriptor(metric.name, metric.help, None, kind)
}

fn put(mut page: MetricEncoder<'_>, metric: &Metric, value: &Value) -> Result<(), fmt::Error> {
    match value {
        Value::Number(number) if metric.kind == MetricKind::Counter => {
            page.encode_counter::<NoLabels, u64, u64>(number, None)
        }
        Value::Number(number) => page.encode_gauge(number),
        Value::Histogram(sum, count, buckets) => {
            page.encode_histogram::<NoLabels>(*sum, *count, buckets, None)
        }
        Value::Labelled(values) => values.iter().try_for_each(|(name, value)| {
            let labels: Vec<_> = metric.labels.iter().map(|label| (*label, *name)).collect();
            put(page.encode_family(&labels.as_slice())?, metric, value)
        }),
    }
}

struct NoLabels;

impl EncodeLabelSet for NoLabels {
    fn encode(&self, _: &mut prometheus_client::encoding::LabelSetEncoder<'_>) -> Result<(), fmt::Error> {
        Ok(())
    }
}

/// The text of `docs/METRICS.md` for these metrics.
#[must_use]
pub fn reference(metrics: &[&Metric]) -> String {
    let mut out = String::from(
        "# Metrics\n\n\
         `GET /metrics` answers in OpenMetrics text, which Prometheus reads. \
         Names and labels are only ever added.\n\n\
         This file is made from the code; a test compares the two.\n\n\
         | Name | Kind | Labels | Meaning |\n|---|---|---|---|\n",
    );
    for metric in metrics {
        let (kind, suffix) = match metric.kind {
            MetricKind::Counter => ("counter", "_total"),
            MetricKind::Gauge => ("gauge", ""),
            MetricKind::Histogram => ("histogram", ""),
        };
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let labels = labels.join(", ");
        out.push_str(&format!("| `{}{suffix}` | {kind} | {labels} | {} |\n", metric.name, metric.help));
    }
    out
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn classes_are_in_the_order_of_their_discriminants() {
        for (index, (class, _)) in CLASSES.iter().enumerate() {
            assert_eq!(*class as usize, index);
        }
    }

    #[test]
    fn the_page_shows_what_was_counted() {
        static QUEUED: Metric =
            Metric { name: "waggle_test_queued", kind: MetricKind::Gauge, labels: &[], help: "A test" };
        let metrics = Arc::new(Metrics::default());
        metrics.add(&QUEUED, || Value::Number(7));
        static LEGS: Metric =
            Metric { name: "waggle_test_legs", kind: MetricKind::Counter, labels: &["leg"], help: "A test" };
        let legs = || Value::Labelled(vec![("agent", Value::Number(1)), ("mesh", Value::Number(2))]);
        metrics.add(&LEGS, legs);
        metrics.answered(RouteClass::Command, 200, Duration::from_micros(300));
        metrics.answered(RouteClass::Command, 412, Duration::from_micros(30));
        metrics.connection_opened();
        metrics.connection_refused();
        let page = metrics.page().unwrap();
        for line in [
            r#"waggle_http_requests_total{route="command",status="2xx"} 1"#,
            r#"waggle_http_requests_total{route="command",status="4xx"} 1"#,
            r#"waggle_http_request_seconds_bucket{le="0.00025",route="command"} 1"#,
            r#"waggle_http_request_seconds_bucket{le="0.0005",route="command"} 2"#,
            r#"waggle_http_request_seconds_bucket{le="+Inf",route="command"} 2"#,
            "waggle_http_connections 1",
            "waggle_http_connections_refused_total 1",
            "waggle_test_queued 7",
            r#"waggle_test_legs_total{leg="agent"} 1"#,
            r#"waggle_test_legs_total{leg="mesh"} 2"#,
            "# EOF",
        ] {
            assert!(page.lines().any(|found| found == line), "{line} is not in\n{page}");
        }
    }
}
