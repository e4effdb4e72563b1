//! Reports of the accelerator, as tables or as JSON; `waggle accel status`.

use std::fmt;
use std::io::{self, Write};

use serde::Serialize;

use super::status::{FeatureStatus, LegStatus, ReadBack, Status};

/// How a report is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StatusFormat {
    /// A table for people.
    #[default]
    Text,
    /// One JSON object, as on the control socket.
    Json,
}

/// Prints a report.
///
/// # Errors
/// When `out` cannot be written to.
pub fn print_report(
    report: &(impl fmt::Display + Serialize),
    format: StatusFormat,
    out: &mut impl Write,
) -> io::Result<()> {
    match format {
        StatusFormat::Text => write!(out, "{report}"),
        StatusFormat::Json => {
            serde_json::to_writer_pretty(&mut *out, report)?;
            writeln!(out)
        }
    }
}

const HEADINGS: [&str; 9] =
    ["LEG", "FEATURE", "WANTED", "READ BACK", "RUNG", "APPLIED", "RAISED", "REFUSED", "REASON"];

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = match self.mode {
            super::Mode::Auto => "auto",
            super::Mode::Off => "off",
            super::Mode::Require => "require",
        };
        let cgroup = self.cgroup.as_ref();
        writeln!(f, "mode    {mode}")?;
        writeln!(f, "kernel  {}", self.kernel)?;
        writeln!(f, "object  {}", self.object.as_deref().unwrap_or("none"))?;
        match cgroup {
            Some(cgroup) => writeln!(f, "cgroup  {}", cgroup.display())?,
            None => writeln!(f, "cgroup  none")?,
        }
        writeln!(f, "pinning {}", self.pinning)?;
        for leg in &self.legs {
            let ports: Vec<_> = leg.ports.iter().map(u16::to_string).collect();
            let ports = if ports.is_empty() { "no port".to_owned() } else { ports.join(", ") };
            let networks: Vec<_> = leg.networks.iter().map(ToString::to_string).collect();
            let networks =
                if networks.is_empty() { String::new() } else { format!("; from {}", networks.join(", ")) };
            writeln!(f, "{:<7} {ports}{networks}; {} connections", leg.leg, leg.connections)?;
        }
        writeln!(f)?;
        self.table(f)
    }
}

impl Status {
    fn table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: Vec<[String; 9]> =
            self.legs.iter().flat_map(|leg| leg.features.iter().map(|feature| row(leg, feature))).collect();
        let mut widths = HEADINGS.map(str::len);
        for cells in &rows {
            for (width, cell) in widths.iter_mut().zip(cells) {
                *width = (*width).max(cell.len());
            }
        }
        line(f, &HEADINGS.map(str::to_owned), &widths)?;
        rows.iter().try_for_each(|cells| line(f, cells, &widths))
    }
}

fn row(leg: &LegStatus, feature: &FeatureStatus) -> [String; 9] {
    let read_back = match &feature.read_back {
        ReadBack::Value { value } => value.to_string(),
        ReadBack::Unreadable { unreadable } => format!("? ({unreadable})"),
    };
    [
        leg.leg.clone(),
        feature.feature.clone(),
        feature.wanted.to_string(),
        read_back,
        feature.rung.name().to_owned(),
        feature.applied.to_string(),
        feature.raised.to_string(),
        feature.refused.to_string(),
        feature.reason.clone(),
    ]
}

fn line(f: &mut fmt::Formatter<'_>, cells: &[String; 9], widths: &[usize; 9]) -> fmt::Result {
    let text: Vec<_> = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
    writeln!(f, "{}", text.join("  ").trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Mode, Rung};

    fn status() -> Status {
        let feature = |rung, read_back| FeatureStatus {
            feature: "rto_min_us".to_owned(),
            wanted: 50_000,
            rung,
            reason: "missing capability CAP_BPF".to_owned(),
            read_back,
            applied: 3,
            raised: 0,
            refused: 0,
        };
        Status {
            mode: Mode::Auto,
            kernel: "6.18.0".to_owned(),
            object: None,
            cgroup: None,
            pinning: "off: accel.pin_dir is not set".to_owned(),
            legs: vec![LegStatus {
                leg: "agent".to_owned(),
                ports: vec![7443],
                networks: Vec::new(),
                connections: 3,
                features: vec![
                    feature(Rung::Setsockopt, ReadBack::Value { value: 52_000 }),
                    feature(Rung::Off, ReadBack::Unreadable { unreadable: "too old".to_owned() }),
                ],
            }],
        }
    }

    #[test]
    fn the_table_lines_up_and_names_every_reason() {
        let text = status().to_string();
        let table: Vec<_> = text.lines().skip_while(|line| !line.is_empty()).skip(1).collect();
        let column = table[0].find("RUNG").expect("heading");
        assert_eq!(&table[1][column..column + 10], "setsockopt");
        assert_eq!(&table[2][column..column + 3], "off");
        assert!(table[1].contains("52000") && table[1].ends_with("missing capability CAP_BPF"));
        assert!(table[2].contains("? (too old)"));
    }

    #[test]
    fn json_reads_back_as_the_same_status() {
        let mut text = Vec::new();
        print_report(&status(), StatusFormat::Json, &mut text).expect("a vector takes all");
        let back: Status = serde_json::from_slice(&text).expect("our own JSON");
        assert_eq!(back, status());
        assert_eq!(back.lowest_rung(), Rung::Off);
    }
}
