//! The check as tables for people.

use std::fmt;

use super::CheckReport;

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fact in &self.host {
            writeln!(f, "{:<20} {}", fact.name, fact.found)?;
            advise(f, fact.change.as_deref())?;
        }
        let width = self.features.iter().map(|row| row.feature.len()).max().unwrap_or(0).max("FEATURE".len());
        writeln!(f, "\n{:<width$}  {:<10}  {:<7}  REASON", "FEATURE", "RUNG", "BEST")?;
        for (at, row) in self.features.iter().enumerate() {
            writeln!(f, "{:<width$}  {:<10}  {:<7}  {}", row.feature, row.rung, row.best, row.reason)?;
            // Said once for all that it would change.
            if self.features.get(at + 1).is_none_or(|next| next.change != row.change) {
                advise(f, row.change.as_deref())?;
            }
        }
        let lower = self.features.iter().filter(|row| !row.is_best()).count();
        match lower {
            0 => writeln!(f, "\nall stand on their best rung"),
            lower => writeln!(f, "\n{lower} of {} stand below their best rung", self.features.len()),
        }
    }
}

fn advise(f: &mut fmt::Formatter<'_>, change: Option<&str>) -> fmt::Result {
    change.map_or(Ok(()), |change| writeln!(f, "    to change it: {change}"))
}

#[cfg(test)]
mod tests {
    use super::super::{FeatureCheck, HostFact};
    use super::*;

    #[test]
    fn the_table_says_what_stands_lower_and_what_to_change() {
        let feature = |name: &str, rung: &str, change: Option<&str>| FeatureCheck {
            feature: name.to_owned(),
            rung: rung.to_owned(),
            best: "ebpf".to_owned(),
            reason: "for a reason".to_owned(),
            change: change.map(str::to_owned),
        };
        let fact = HostFact { name: "kernel".to_owned(), found: "Linux 6.1".to_owned(), change: None };
        let features = vec![feature("legs", "ebpf", None), feature("guard", "off", Some("do this"))];
        let report = CheckReport::new(vec![fact], features);
        assert!(!report.best);
        let text = report.to_string();
        for line in [
            "kernel               Linux 6.1\n",
            "legs     ebpf        ebpf     for a reason\n",
            "guard    off         ebpf     for a reason\n    to change it: do this\n",
            "\n1 of 2 stand below their best rung\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }
}
