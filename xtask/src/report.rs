//! Runs steps one after the other, times each, and sums up at the end.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It ran and was well.
    Passed,
    /// It ran and was not well.
    Failed(String),
    /// This machine cannot run it; counted, and never looks green.
    Skipped(String),
    /// An earlier step's failure made it pointless.
    NotRun(String),
}

/// The steps so far.
#[derive(Default)]
pub(crate) struct Report {
    rows: Vec<(&'static str, Duration, Outcome)>,
    /// Checks that tests skipped, one line each.
    skips: Vec<String>,
}

impl Report {
    /// Runs one step; its failure is shown at once, kept, and does not end the run.
    pub(crate) fn step(&mut self, name: &'static str, body: impl FnOnce() -> Result<Outcome>) -> Outcome {
        eprintln!("\n==> {name}");
        let start = Instant::now();
        let outcome = body().unwrap_or_else(|error| Outcome::Failed(format!("{error:#}")));
        match &outcome {
            Outcome::Passed => {}
            Outcome::Failed(why) => eprintln!("FAILED {name}: {why}"),
            Outcome::Skipped(why) => eprintln!("SKIPPED {name}: {why}"),
            Outcome::NotRun(why) => eprintln!("NOT RUN {name}: {why}"),
        }
        self.rows.push((name, start.elapsed(), outcome.clone()));
        outcome
    }

    /// Adds checks that tests skipped.
    pub(crate) fn add_skips(&mut self, skips: &[String]) {
        for skip in skips {
            eprintln!("SKIPPED {skip}");
        }
        self.skips.extend_from_slice(skips);
    }

    /// Prints the table; fails if a step failed or could not run.
    pub(crate) fn finish(self) -> Result<()> {
        println!("\n{self}");
        let failed: Vec<_> = self
            .rows
            .iter()
            .filter(|(.., outcome)| matches!(outcome, Outcome::Failed(_) | Outcome::NotRun(_)))
            .map(|(name, ..)| *name)
            .collect();
        if !failed.is_empty() {
            bail!("these steps did not pass: {}", failed.join(", "));
        }
        Ok(())
    }

    fn skipped_count(&self) -> usize {
        let steps = self.rows.iter().filter(|(.., outcome)| matches!(outcome, Outcome::Skipped(_)));
        steps.count() + self.skips.len()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<18} {:>9}  result", "step", "time")?;
        for (name, time, outcome) in &self.rows {
            let result = match outcome {
                Outcome::Passed => "ok".to_owned(),
                Outcome::Failed(why) => format!("FAILED: {why}"),
                Outcome::Skipped(why) => format!("SKIPPED: {why}"),
                Outcome::NotRun(why) => format!("NOT RUN: {why}"),
            };
            writeln!(f, "{name:<18} {:>7.1} s  {result}", time.as_secs_f64())?;
        }
        let total: Duration = self.rows.iter().map(|(_, time, _)| *time).sum();
        writeln!(f, "{:<18} {:>7.1} s", "total", total.as_secs_f64())?;
        for skip in &self.skips {
            writeln!(f, "skipped: {skip}")?;
        }
        write!(f, "skipped checks: {}", self.skipped_count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_on_after_a_failure_and_fails_at_the_end() {
        let mut report = Report::default();
        report.step("first", || bail!("broken"));
        assert_eq!(report.step("second", || Ok(Outcome::Passed)), Outcome::Passed);
        let shown = report.to_string();
        assert!(shown.contains("FAILED: broken") && shown.contains("second"), "{shown}");
        assert_eq!(report.finish().unwrap_err().to_string(), "these steps did not pass: first");
    }

    #[test]
    fn a_step_that_could_not_run_fails_the_run() {
        let mut report = Report::default();
        report.step("tests", || Ok(Outcome::NotRun("nothing was built".to_owned())));
        assert!(report.finish().is_err());
    }

    #[test]
    fn counts_skipped_steps_and_tests() {
        let mut report = Report::default();
        report.step("ebpf", || Ok(Outcome::Skipped("no toolchain".to_owned())));
        report.add_skips(&["netns: no ip".to_owned()]);
        let shown = report.to_string();
        assert!(shown.ends_with("skipped checks: 2"), "{shown}");
        assert!(shown.contains("skipped: netns: no ip"), "{shown}");
        assert!(report.finish().is_ok());
    }
}
