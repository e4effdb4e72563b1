//! What a bench writes down: one JSON document per name.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::facts::Facts;
use crate::measure::Latencies;
use crate::scenario::Settings;

/// The shape of documents that this code writes and reads.
pub const SCHEMA: u32 = 1;

/// Figures by name; the name ends in the unit.
pub type Figures = BTreeMap<String, f64>;

/// A result with all that it belongs to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The file's name, without its end.
    pub name: String,
    /// The scenario's name.
    pub scenario: String,
    /// How it was run.
    pub settings: Settings,
    /// Where it was run.
    pub facts: Facts,
    /// Each figure's median over the runs.
    pub median: Figures,
    /// One after the other.
    pub runs: Vec<Run>,
}

/// One run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// What was measured.
    pub figures: Figures,
    /// What went wrong, with counts; warm-up included.
    pub errors: BTreeMap<String, u64>,
    /// The first error in full.
    pub first_error: Option<String>,
    /// Latencies: pairs of quantile (0 to 1) and microseconds, by what was measured.
    pub curves: BTreeMap<String, Vec<(f64, f64)>>,
    /// Per tenth of a second of the window: answers, deliveries, slowest latency in microseconds.
    pub steps: Vec<(u64, u64, u64)>,
    /// Seconds since the start and resident MiB of the gateway, where that was watched.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub memory: Vec<(f64, f64)>,
    /// How far the gateway's own counters went, warm-up included.
    pub counters: BTreeMap<String, f64>,
}

/// Quantiles that figures have, and how their names end.
const QUANTILES: [(f64, &str); 6] = [
    (0.5, "p50_us"),
    (0.9, "p90_us"),
    (0.99, "p99_us"),
    (0.999, "p999_us"),
    (0.9999, "p9999_us"),
    (1.0, "max_us"),
];

impl Run {
    /// Adds figures and a curve of `latencies`, called `what`; nothing where there are none.
    pub fn add_latencies(&mut self, what: &str, latencies: &Latencies) {
        if latencies.is_empty() {
            return;
        }
        let at = |quantile| round(latencies.value_at_quantile(quantile) as f64 / 1e3);
        for (quantile, end) in QUANTILES {
            self.figures.insert(format!("{what}_{end}"), at(quantile));
        }
        self.figures.insert(format!("{what}_mean_us"), round(latencies.mean() / 1e3));
        // Ten points for each further nine, as far as there are samples for it.
        let nines = (latencies.len() as f64).log10().min(6.0);
        let points = (0..=(nines * 10.0) as u32).map(|tenth| 1.0 - 10_f64.powf(-f64::from(tenth) / 10.0));
        let curve = points.map(|quantile| (quantile, at(quantile))).collect();
        self.curves.insert(what.to_owned(), curve);
    }

    /// Adds a figure where it is known.
    pub fn add(&mut self, name: &str, value: Option<f64>) {
        if let Some(value) = value.filter(|value| value.is_finite()) {
            self.figures.insert(name.to_owned(), round(value));
        }
    }
}

/// Three decimals are more than any figure is sure of.
fn round(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

/// Each figure's median over the runs that have it; of an even count, the lower of the middle two.
#[must_use]
pub fn medians(runs: &[Run]) -> Figures {
    let mut values: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for (name, value) in runs.iter().flat_map(|run| &run.figures) {
        values.entry(name).or_default().push(*value);
    }
    let median = |(name, mut values): (&str, Vec<f64>)| {
        values.sort_by(f64::total_cmp);
        values.get((values.len() - 1) / 2).map(|median| (name.to_owned(), *median))
    };
    values.into_iter().filter_map(median).collect()
}

impl Document {
    /// The run whose `headline` is the median: the one that is plotted.
    #[must_use]
    pub fn median_run(&self, headline: &str) -> Option<&Run> {
        let median = self.median.get(headline);
        self.runs.iter().find(|run| run.figures.get(headline) == median).or_else(|| self.runs.first())
    }

    /// Writes it to `path`, a line per field and per run.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let runs = self.runs.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
        let text = format!(
            "{{\n\"schema\": {},\n\"name\": {},\n\"scenario\": {},\n\"settings\": {},\n\"facts\": {},\n\"median\": {},\n\"runs\": [\n{}\n]\n}}\n",
            self.schema,
            serde_json::to_string(&self.name)?,
            serde_json::to_string(&self.scenario)?,
            serde_json::to_string(&self.settings)?,
            serde_json::to_string(&self.facts)?,
            serde_json::to_string(&self.median)?,
            runs.join(",\n"),
        );
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Reads one.
    ///
    /// # Errors
    /// Where the file is no such document.
    pub fn load(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is no result of this bench", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_of_the_runs_that_have_a_figure() {
        let run = |figures: &[(&str, f64)]| Run {
            figures: figures.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
            ..Run::default()
        };
        let runs = [run(&[("a", 3.0), ("b", 1.0)]), run(&[("a", 1.0)]), run(&[("a", 2.0), ("b", 5.0)])];
        let medians = medians(&runs);
        assert_eq!((medians["a"], medians["b"]), (2.0, 1.0));
    }

    #[test]
    fn a_curve_has_points_for_its_samples_only() {
        let mut latencies = crate::measure::latencies();
        (1..=1000_u64).for_each(|us| latencies.saturating_record(us * 1_000));
        let mut run = Run::default();
        run.add_latencies("answer", &latencies);
        run.add_latencies("delivery", &crate::measure::latencies());
        let curve = &run.curves["answer"];
        assert!(curve.len() >= 30 && curve.last().unwrap().0 <= 0.9991, "{curve:?}");
        assert!((run.figures["answer_p50_us"] - 500.0).abs() < 2.0);
        assert!(!run.curves.contains_key("delivery"));
    }
}
