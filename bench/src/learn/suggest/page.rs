//! The result as a summary, a page and pictures.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;

use super::pairs;
use crate::learn::picture::{Axis, COLORS, Line, Lines, Stroke};
use crate::report;
use crate::result::{Document, Run};
use crate::scenario::Column;

pub(super) const COLUMNS: [Column; 9] = [
    Column { head: "suggestion p50 ms", figure: "suggestion_p50_us", per: 1e3 },
    Column { head: "suggestion p99 ms", figure: "suggestion_p99_us", per: 1e3 },
    Column { head: "from send p50 ms", figure: "from_send_p50_us", per: 1e3 },
    Column { head: "from send p99 ms", figure: "from_send_p99_us", per: 1e3 },
    Column { head: "others' push p99 on ms", figure: "others_on_p99_us", per: 1e3 },
    Column { head: "others' push p99 off ms", figure: "others_off_p99_us", per: 1e3 },
    Column { head: "on less off ms", figure: "others_p99_difference_us", per: 1e3 },
    Column { head: "known %", figure: "known_percent", per: 1.0 },
    Column { head: "errors", figure: "errors", per: 1.0 },
];

/// Columns of the page's table of pairs: head, figure, what it is divided by, digits behind the point.
const PAIR: [(&str, &str, f64, usize); 11] = [
    ("suggestion p50 ms", "suggestion_p50_us", 1e3, 2),
    ("p99 ms", "suggestion_p99_us", 1e3, 2),
    ("known %", "known_percent", 1.0, 1),
    ("others' push p50 on ms", "others_on_p50_us", 1e3, 2),
    ("off ms", "others_off_p50_us", 1e3, 2),
    ("others' push p99 on ms", "others_on_p99_us", 1e3, 2),
    ("off ms", "others_off_p99_us", 1e3, 2),
    ("on less off ms", "others_p99_difference_us", 1e3, 2),
    ("gateway CPU on %", "gateway_cpu_on_percent", 1.0, 0),
    ("off %", "gateway_cpu_off_percent", 1.0, 0),
    ("errors", "errors", 1.0, 0),
];

/// For a terminal.
pub(super) fn summary(document: &Document) -> String {
    report::summary(document, &COLUMNS) + &pairs::verdict(&document.median, document.runs.len())
}

pub(super) fn save(document: &Document, results_dir: &Path) -> Result<()> {
    let dir = crate::learn::folder(&document.name, results_dir)?;
    document.save(&dir.join(format!("{}.json", document.name)))?;
    pages(document, &dir)
}

/// Makes the page and the pictures of a result anew.
pub(in crate::learn) fn redraw(value: serde_json::Value, dir: &Path) -> Result<()> {
    pages(&serde_json::from_value(value)?, dir)
}

fn pages(document: &Document, dir: &Path) -> Result<()> {
    let name = &document.name;
    std::fs::write(dir.join(format!("{name}.md")), page(document))?;
    picture(document).draw(&dir.join(format!("{name}-pairs.svg")))?;
    report::draw(document, "suggestion_p99_us", &dir.join(format!("{name}.svg")))
}

fn page(document: &Document) -> String {
    let (name, facts, settings) = (&document.name, &document.facts, &document.settings);
    let dirty = if facts.git_dirty { " with changes" } else { "" };
    let verdict: String = pairs::verdict(&document.median, document.runs.len())
        .lines()
        .map(|line| format!("- {line}\n"))
        .collect();
    format!(
        "# From a customer's message to the suggestion: {name}\n\nMade by `waggle-bench suggest`; do not edit. \
         What it means: [docs/BENCHMARKS.md](../../../docs/BENCHMARKS.md).\n\n\
         {} pairs of windows of {} s, after {} s each that do not count; which window is first changes from pair to pair; \
         seed {}.\n\n\
         {}; {} × {}, {} MiB, Linux {}, data on {}, {}, {} build; commit {}{dirty}; load average before: {:.2}.\n\n\
         {verdict}\n{}\n![All pairs]({name}-pairs.svg)\n\n![Latencies of the median pair]({name}.svg)\n\n```\n{}```\n",
        settings.repeat,
        settings.duration_s,
        settings.warm_up_s,
        settings.seed,
        facts.date,
        facts.cores,
        facts.cpu,
        facts.memory_mib,
        facts.kernel,
        facts.file_system,
        facts.rustc,
        facts.generator_build,
        facts.git_revision,
        facts.load_average[0],
        table(document),
        report::summary(document, &COLUMNS)
    )
}

/// A row for each pair, and their medians.
fn table(document: &Document) -> String {
    let heads: Vec<_> = PAIR.iter().map(|column| column.0).collect();
    let mut text =
        format!("| pair | first | {} |\n|---:|---|{}\n", heads.join(" | "), "---:|".repeat(PAIR.len()));
    let cells = |figures: &crate::result::Figures| {
        let cell = |(_, figure, per, digits): &(&str, &str, f64, usize)| {
            figures.get(*figure).map_or("–".to_owned(), |value| format!("{:.*}", *digits, value / per))
        };
        PAIR.iter().map(cell).collect::<Vec<_>>().join(" | ")
    };
    for (number, Run { figures, .. }) in (1..).zip(&document.runs) {
        let first = if number % 2 == 1 { "on" } else { "off" };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "| {number} | {first} | {} |", cells(figures));
    }
    let _ = writeln!(text, "| median | | {} |", cells(&document.median));
    text
}

/// The p99 of both windows of each pair.
fn picture(document: &Document) -> Lines {
    let line = |name: &str, figure: &str, color| {
        let points = (1..).zip(&document.runs);
        let points =
            points.filter_map(|(number, run)| Some((f64::from(number), run.figures.get(figure)? / 1e3)));
        let median = document.median.get(figure).map_or(0.0, |us| us / 1e3);
        Line {
            name: format!("{name}: median {median:.2} ms"),
            points: points.collect(),
            band: Vec::new(),
            stroke: Stroke::Bold,
            color,
        }
    };
    let lines = vec![
        line("with suggestions", "others_on_p99_us", COLORS[0]),
        line("without", "others_off_p99_us", COLORS[1]),
    ];
    let top = lines.iter().flat_map(|line| &line.points).map(|point| point.1).fold(0.1, f64::max);
    let pairs = document.runs.len();
    Lines {
        title: format!("{}: push p99 of other traffic, window by window", document.name),
        note: "two windows under the same load in each pair".to_owned(),
        x: Axis {
            name: "pair".into(),
            low: 1.0,
            high: (pairs as f64).max(2.0),
            is_logarithmic: false,
            ticks: pairs.clamp(2, 20),
        },
        y: Axis {
            name: "p99 from intended send to frame, ms".into(),
            low: 0.0,
            high: top * 1.15,
            is_logarithmic: false,
            ticks: 8,
        },
        lines,
    }
}
