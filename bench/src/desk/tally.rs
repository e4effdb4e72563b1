//! What is written down of a load with several kinds of requests, in one process or in several.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::measure::{Latencies, STEP_NS, Window, latencies};
use crate::result::Run;

/// Steps of a tenth of a second that are kept.
const STEPS_MAX: usize = 36_000;

/// Latencies of one kind.
#[derive(Debug, Clone)]
pub struct Series {
    /// As figures begin.
    pub kind: String,
    /// From intended send to answer.
    pub latencies: Latencies,
}

/// Histograms and counts of one run.
#[derive(Debug, Clone)]
pub struct Tally {
    /// Samples that were meant to be sent in it count.
    pub window: Window,
    /// In the order of the kinds.
    pub series: Vec<Series>,
    /// Answers that arrived in the window.
    pub answers_in_window: u64,
    /// What went wrong, with counts; over the whole run, warm-up included.
    pub errors: BTreeMap<String, u64>,
    /// The first of them in full.
    pub first_error: Option<String>,
    /// By tenths of a second of the window: answers, and the longest latency in nanoseconds.
    pub steps: Vec<(u64, u64)>,
    /// Time on a CPU of the thread that drove the load within the window, in nanoseconds.
    pub generator_ns: u64,
}

/// A tally on its way from one process to another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WireTally {
    /// By kind: pairs of nanoseconds and how often.
    series: Vec<(String, Vec<(u64, u64)>)>,
    answers_in_window: u64,
    errors: BTreeMap<String, u64>,
    first_error: Option<String>,
    steps: Vec<(u64, u64)>,
    generator_ns: u64,
}

impl Tally {
    /// An empty one.
    #[must_use]
    pub fn new(kinds: &[&str], window: Window) -> Self {
        let series = kinds.iter().map(|kind| Series { kind: (*kind).to_owned(), latencies: latencies() });
        Self {
            window,
            series: series.collect(),
            answers_in_window: 0,
            errors: BTreeMap::new(),
            first_error: None,
            steps: Vec::new(),
            generator_ns: 0,
        }
    }

    /// An answer of this kind is here.
    pub fn answered(&mut self, kind: usize, intended_ns: u64, now_ns: u64) {
        let latency_ns = now_ns.saturating_sub(intended_ns);
        if self.window.holds(intended_ns)
            && let Some(series) = self.series.get_mut(kind)
        {
            series.latencies.saturating_record(latency_ns);
        }
        if !self.window.holds(now_ns) {
            return;
        }
        self.answers_in_window += 1;
        let step = usize::try_from((now_ns - self.window.start_ns) / STEP_NS).unwrap_or(STEPS_MAX);
        if step >= STEPS_MAX {
            return;
        }
        if step >= self.steps.len() {
            self.steps.resize(step + 1, (0, 0));
        }
        if let Some((answers, slowest_ns)) = self.steps.get_mut(step) {
            *answers += 1;
            *slowest_ns = latency_ns.max(*slowest_ns);
        }
    }

    /// Something went wrong, once; `detail` says more, for the first of all.
    pub fn error(&mut self, what: &str, detail: impl FnOnce() -> String) {
        match self.errors.get_mut(what) {
            Some(known) => *known += 1,
            None => {
                self.errors.insert(what.to_owned(), 1);
            }
        }
        self.first_error.get_or_insert_with(detail);
    }

    /// How much went wrong.
    #[must_use]
    pub fn error_count(&self) -> u64 {
        self.errors.values().sum()
    }

    /// Adds what another process has seen in the same window: kinds by their names.
    pub fn merge(&mut self, other: &WireTally) {
        for (kind, counts) in &other.series {
            let index = self.series.iter().position(|series| series.kind == *kind).unwrap_or_else(|| {
                self.series.push(Series { kind: kind.clone(), latencies: latencies() });
                self.series.len() - 1
            });
            let Some(series) = self.series.get_mut(index) else { continue };
            for (ns, count) in counts {
                series.latencies.saturating_record_n(*ns, *count);
            }
        }
        self.answers_in_window += other.answers_in_window;
        self.generator_ns += other.generator_ns;
        for (what, count) in &other.errors {
            *self.errors.entry(what.clone()).or_default() += count;
        }
        if self.first_error.is_none() {
            self.first_error.clone_from(&other.first_error);
        }
        if other.steps.len() > self.steps.len() {
            self.steps.resize(other.steps.len(), (0, 0));
        }
        for ((answers, slowest_ns), more) in self.steps.iter_mut().zip(&other.steps) {
            *answers += more.0;
            *slowest_ns = more.1.max(*slowest_ns);
        }
    }

    /// As it goes to another process.
    #[must_use]
    pub fn to_wire(&self) -> WireTally {
        let counts = |latencies: &Latencies| {
            let recorded = latencies.iter_recorded();
            recorded.map(|step| (step.value_iterated_to(), step.count_since_last_iteration())).collect()
        };
        WireTally {
            series: self.series.iter().map(|one| (one.kind.clone(), counts(&one.latencies))).collect(),
            answers_in_window: self.answers_in_window,
            errors: self.errors.clone(),
            first_error: self.first_error.clone(),
            steps: self.steps.clone(),
            generator_ns: self.generator_ns,
        }
    }

    /// Latencies of all kinds together.
    #[must_use]
    pub fn all(&self) -> Latencies {
        let mut all = latencies();
        for series in &self.series {
            // They have the same bounds, so everything fits.
            all += &series.latencies;
        }
        all
    }

    /// The figures: each kind's latencies, those of all (`request_…`, and `mean_us`), rates and errors.
    #[must_use]
    pub fn run(&self, seconds: f64, gateway_ns: Option<u64>) -> Run {
        let mut run = Run {
            errors: self.errors.clone(),
            first_error: self.first_error.clone(),
            steps: self.steps.iter().map(|(answers, slowest_ns)| (*answers, 0, slowest_ns / 1_000)).collect(),
            ..Run::default()
        };
        for series in &self.series {
            run.add_latencies(&series.kind, &series.latencies);
            let name = format!("{}_count", series.kind);
            run.add(&name, Some(series.latencies.len() as f64));
        }
        let all = self.all();
        run.add_latencies("request", &all);
        run.add("mean_us", Some(all.mean() / 1e3).filter(|_| !all.is_empty()));
        let answers = self.answers_in_window as f64;
        run.add("requests_per_second", Some(answers / seconds));
        run.add("errors", Some(self.error_count() as f64));
        let gateway_us = gateway_ns.map(|ns| ns as f64 / 1e3);
        let generator_us = self.generator_ns as f64 / 1e3;
        run.add("gateway_cpu_percent", gateway_us.map(|us| us / 1e4 / seconds));
        run.add("generator_cpu_percent", Some(generator_us / 1e4 / seconds));
        run.add("gateway_cpu_us_per_request", gateway_us.map(|us| us / answers));
        run.add("generator_cpu_us_per_request", Some(generator_us / answers));
        run
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Window = Window { start_ns: 1_000, end_ns: 1_000_000_000 };

    fn tally(samples: impl IntoIterator<Item = (usize, u64)>) -> Tally {
        let mut tally = Tally::new(&["answer", "read"], WINDOW);
        for (kind, latency_ns) in samples {
            tally.answered(kind, 1_000, 1_000 + latency_ns);
        }
        tally
    }

    #[test]
    fn merged_histograms_are_those_of_one_process() {
        let samples: Vec<_> = (1..=2_000_u64).map(|i| ((i % 2) as usize, i * i * 90)).collect();
        let whole = tally(samples.iter().copied());
        let mut merged = Tally::new(&["answer", "read"], WINDOW);
        for half in [&samples[..700], &samples[700..]] {
            let wire = serde_json::to_string(&tally(half.iter().copied()).to_wire()).unwrap();
            merged.merge(&serde_json::from_str(&wire).unwrap());
        }
        assert_eq!(merged.answers_in_window, whole.answers_in_window);
        assert_eq!(merged.steps, whole.steps);
        for (one, other) in merged.series.iter().zip(&whole.series) {
            assert_eq!(one.latencies, other.latencies);
        }
        let (merged, whole) = (merged.run(1.0, None), whole.run(1.0, None));
        assert_eq!(merged.figures, whole.figures);
        assert!(merged.figures["mean_us"] > 0.0 && merged.figures.contains_key("read_p999_us"));
    }

    #[test]
    fn errors_of_all_processes_count() {
        let mut first = tally([]);
        first.error("http 503", || "full".into());
        let mut second = tally([]);
        second.error("http 503", || "full as well".into());
        second.error("connection closed", || "gone".into());
        first.merge(&second.to_wire());
        assert_eq!((first.error_count(), first.errors["http 503"]), (3, 2));
        assert_eq!(first.first_error.as_deref(), Some("full"));
        assert_eq!(first.run(1.0, None).figures["errors"], 3.0);
    }

    #[test]
    fn only_what_was_due_in_the_window_has_a_latency() {
        let mut tally = tally([(0, 5_000)]);
        tally.answered(0, 999, 6_000);
        assert_eq!((tally.series[0].latencies.len(), tally.answers_in_window), (1, 2));
    }
}
