//! Markdown tables of all results.

use std::fmt::Write as _;

use super::peers::{file_name, groups};
use crate::pace::Rate;
use crate::result::{Document, Figures};
use crate::scenario::{Column, SCENARIOS};

/// A page with a table per scenario and what each row was measured on.
#[must_use]
pub fn markdown(documents: &[Document]) -> String {
    let mut page = String::from(
        "# Results\n\nMade by `waggle-bench report` from the JSON files beside it; do not edit.\n\
         How they are measured: [docs/BENCHMARKS.md](../../docs/BENCHMARKS.md). \
         Figures are medians over the runs; latencies run from the intended send time.\n",
    );
    for scenario in SCENARIOS {
        let rows: Vec<_> = documents.iter().filter(|document| document.scenario == scenario.name()).collect();
        if rows.is_empty() {
            continue;
        }
        // Writing to a String cannot fail.
        let _ = write!(page, "\n## {}\n\n{}\n\n", scenario.name(), capital(scenario.about()));
        let heads: Vec<_> = scenario.columns().iter().map(|column| column.head).collect();
        let _ = writeln!(page, "| Result | Load | {} |", heads.join(" | "));
        let _ = writeln!(page, "|---|---|{}", "---:|".repeat(heads.len()));
        for document in &rows {
            let cells: Vec<_> =
                scenario.columns().iter().map(|column| cell(&document.median, column)).collect();
            let name = &document.name;
            let has_picture = document.runs.iter().any(|run| !run.curves.is_empty());
            let shown = if has_picture { format!("[{name}]({name}.svg)") } else { name.clone() };
            let _ = writeln!(page, "| {shown} | {} | {} |", load(document), cells.join(" | "));
        }
        page.push('\n');
        for group in groups(documents, scenario) {
            if let Some((name, _)) = group.first().and_then(|document| document.name.rsplit_once('-')) {
                let _ = writeln!(page, "Side by side: [{name}]({})\n", file_name(name));
            }
        }
        for document in rows {
            let _ = writeln!(page, "- `{}`: {}", document.name, machine(document));
        }
    }
    page
}

/// The same figures for a terminal, one a line.
#[must_use]
pub fn summary(document: &Document, columns: &[Column]) -> String {
    let mut text = format!("{}: {}\n", document.scenario, load(document));
    for column in columns {
        let _ = writeln!(text, "  {:<28}{:>14}", column.head, cell(&document.median, column));
    }
    const BESIDE: [(&str, &str); 4] = [
        ("generator_cpu_percent", "generator CPU %"),
        ("gateway_cpu_percent", "gateway CPU %"),
        ("ready_ms", "start to ready ms"),
        ("gateway_resident_mib", "gateway MiB"),
    ];
    for (name, head) in BESIDE {
        let is_shown = columns.iter().any(|column| column.figure == name);
        if is_shown || !document.median.contains_key(name) {
            continue;
        }
        let column = Column { head, figure: name, per: 1.0 };
        let _ = writeln!(text, "  {:<28}{:>14}", head, cell(&document.median, &column));
    }
    for (number, run) in document.runs.iter().enumerate() {
        for (error, count) in &run.errors {
            let _ = writeln!(text, "  run {}: {count} × {error}", number + 1);
        }
        if let Some(error) = &run.first_error {
            let _ = writeln!(text, "  run {}: the first error: {error}", number + 1);
        }
    }
    text
}

/// The same figures on one line, those that are known.
#[must_use]
pub fn line(figures: &Figures, columns: &[Column]) -> String {
    let known = columns.iter().filter(|column| figures.contains_key(column.figure));
    known.map(|column| format!("  {} {}", column.head, cell(figures, column))).collect()
}

fn cell(figures: &Figures, column: &Column) -> String {
    match figures.get(column.figure).map(|figure| figure / column.per) {
        None => "–".into(),
        Some(value) if value == 0.0 || value.abs() >= 1_000.0 => thousands(value),
        Some(value) if value.abs() >= 100.0 => format!("{value:.0}"),
        Some(value) if value.abs() >= 10.0 => format!("{value:.1}"),
        Some(value) if value.abs() >= 1.0 => format!("{value:.2}"),
        Some(value) => format!("{value:.3}"),
    }
}

fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0.0 { format!("-{text}") } else { text }
}

/// The load in words.
pub(super) fn load(document: &Document) -> String {
    let settings = &document.settings;
    let rate = match settings.rate {
        Rate::Max => "closed loop".to_owned(),
        Rate::PerSecond(rate) => format!("{rate}/s open loop"),
    };
    let sessions = match settings.sessions {
        0 => String::new(),
        count => format!(", {} sessions", thousands(count as f64)),
    };
    let load = match settings.connections {
        // Nothing is sent.
        0 => sessions.trim_start_matches(", ").to_owned(),
        count => format!("{rate}, {count} connections{sessions}"),
    };
    let load = match settings.seeded {
        0 => load,
        count => format!("{load}, {} tickets before", thousands(count as f64)),
    };
    format!("{load}, {} × {} s", settings.repeat, settings.duration_s)
}

fn machine(document: &Document) -> String {
    let facts = &document.facts;
    let dirty = if facts.git_dirty { " with changes" } else { "" };
    format!(
        "{}; {} × {}, {} MiB, Linux {}, data on {}, {}; commit {}{dirty}; load average before: {:.2}",
        facts.date,
        facts.cores,
        facts.cpu,
        facts.memory_mib,
        facts.kernel,
        facts.file_system,
        facts.rustc,
        facts.git_revision,
        facts.load_average[0],
    )
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), letters.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_have_three_digits_or_thousands() {
        let figures = Figures::from([("x".to_owned(), 15_432.1), ("y".to_owned(), 512.0)]);
        let column = |figure, per| Column { head: "", figure, per };
        assert_eq!(cell(&figures, &column("x", 1.0)), "15,432");
        assert_eq!(cell(&figures, &column("y", 1e3)), "0.512");
        assert_eq!(cell(&figures, &column("x", 1e3)), "15.4");
        assert_eq!(cell(&figures, &column("z", 1.0)), "–");
    }
}
