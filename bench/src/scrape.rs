//! The gateways' own counters, read from `/metrics` before and after a run.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::fetch;
use crate::target::Target;

/// Values by name, summed over labels and gateways.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Counters(BTreeMap<String, f64>);

impl Counters {
    /// Reads all targets; one that has no metrics adds none.
    #[must_use]
    pub fn read(targets: &[Target]) -> Self {
        let mut counters = Self::default();
        for target in targets {
            if let Ok(text) = get(target) {
                counters.add(&text);
            }
        }
        counters
    }

    /// As [`Self::read`], of values that go up and down.
    #[must_use]
    pub fn gauges(targets: &[Target]) -> Self {
        let mut gauges = Self::default();
        for text in targets.iter().filter_map(|target| get(target).ok()) {
            gauges.add_all(&text, |name| !is_counter(name));
        }
        gauges
    }

    /// What was added since `before`, without what did not change.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let changed = self.0.iter().filter_map(|(name, value)| {
            let change = value - before.0.get(name).copied().unwrap_or(0.0);
            (change != 0.0).then(|| (name.clone(), change))
        });
        Self(changed.collect())
    }

    /// The value called `name`, if there is one.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.get(name).copied()
    }

    /// Transactions.
    #[must_use]
    pub fn commits(&self) -> Option<f64> {
        self.get("waggle_ledger_commits_total").filter(|commits| *commits > 0.0)
    }

    /// All of them.
    #[must_use]
    pub fn into_map(self) -> BTreeMap<String, f64> {
        self.0
    }

    fn add(&mut self, text: &str) {
        self.add_all(text, is_counter);
    }

    fn add_all(&mut self, text: &str, takes: fn(&str) -> bool) {
        for line in text.lines().filter(|line| line.starts_with("waggle_")) {
            let Some((series, value)) = line.rsplit_once(' ') else { continue };
            let name = series.split('{').next().unwrap_or(series).trim_end();
            if let (true, Ok(value)) = (takes(name), value.parse::<f64>()) {
                *self.0.entry(name.to_owned()).or_default() += value;
            }
        }
    }
}

fn is_counter(name: &str) -> bool {
    ["_total", "_sum", "_count"].iter().any(|end| name.ends_with(end))
}

/// The text of a target's metrics.
///
/// # Errors
/// Where it does not answer.
pub fn get(target: &Target) -> Result<String> {
    Ok(fetch::get(target, "/metrics")?.text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_summed_over_labels() {
        let mut before = Counters::default();
        before.add("waggle_ledger_commits_total 10\n");
        let mut after = before.clone();
        after.add("# HELP waggle_x\nwaggle_a_total{k=\"1\"} 2\nwaggle_a_total{k=\"2 x\"} 3\nwaggle_g 4\nother_total 5\n");
        let change = after.since(&before);
        assert_eq!(change.into_map().into_iter().collect::<Vec<_>>(), [("waggle_a_total".to_owned(), 5.0)]);
        assert_eq!(after.commits(), Some(10.0));
    }
}
