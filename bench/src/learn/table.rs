//! Results for a terminal and for a page.

use std::fmt::Write as _;

use super::document::{Document, Row};

/// A column: its head, its figure and digits behind the point.
type Column = (&'static str, &'static str, usize);

const COLUMNS: [Column; 17] = [
    ("one pass %", "one_accuracy_percent", 2),
    ("all passes %", "accuracy_percent", 2),
    ("first three %", "in_three_percent", 2),
    ("AUROC", "auroc", 3),
    ("after all passes", "all_auroc", 3),
    ("recall at 90 % precision", "recall_at_90_percent", 1),
    ("at 95 %", "recall_at_95_percent", 1),
    ("at 98 %", "recall_at_98_percent", 1),
    ("ECE %", "ece_percent", 1),
    ("answer p50 µs", "answer_p50_us", 1),
    ("p99 µs", "answer_p99_us", 1),
    ("learn p50 µs", "learn_p50_us", 1),
    ("p99 µs", "learn_p99_us", 1),
    ("training s", "train_s", 2),
    ("memory MiB", "memory_mib", 1),
    ("resident MiB", "resident_mib", 1),
    ("snapshot MiB", "snapshot_mib", 2),
];

/// The page of a result.
#[must_use]
pub(super) fn page(document: &Document) -> String {
    let (name, data, settings, facts) = (&document.name, &document.data, &document.settings, &document.facts);
    let oos = if data.oos.is_empty() { String::new() } else { format!(", `{}`", data.oos) };
    let dirty = if facts.git_dirty { " with changes" } else { "" };
    let mut page = format!(
        "# Learning: {name}\n\nMade by `waggle-bench learn`; do not edit. \
         How it is measured: [docs/BENCHMARKS.md](../../../docs/BENCHMARKS.md).\n\n\
         `{}`, `{}`{oos}: {} intents, {} texts to learn from, {} asked in scope and {} out of scope; {} passes, \
         {} orders, seed {}. Means, ± is the standard deviation over the orders.\n\n\
         {}; {} × {}, {} MiB, Linux {}, {}, {} build; commit {}{dirty}; load average before: {:.2}.\n\n",
        data.train,
        data.test,
        data.intents,
        data.train_texts,
        data.test_texts,
        data.oos_texts,
        settings.passes,
        settings.shuffles,
        settings.seed,
        facts.date,
        facts.cores,
        facts.cpu,
        facts.memory_mib,
        facts.kernel,
        facts.rustc,
        facts.generator_build,
        facts.git_revision,
        facts.load_average[0],
    );
    page.push_str(&tables(document));
    // Writing to a String cannot fail.
    let _ = write!(
        page,
        "\n![Accuracy while learning]({name}-curves.svg)\n\n![Calibration]({name}-calibration.svg)\n\n\
         ![All learners side by side]({name}-learners.svg)\n"
    );
    for row in &document.rows {
        if !row.about.is_empty() {
            let _ = writeln!(page, "\n- `{}`: {}", row.name, row.about);
        }
    }
    page
}

/// Figures of all learners, and those of few examples.
#[must_use]
pub(super) fn tables(document: &Document) -> String {
    let mut text =
        table(document, &COLUMNS.map(|(head, figure, digits)| (head.to_owned(), figure.to_owned(), digits)));
    let shots = &document.settings.shots;
    let column = |head: String, figure: String| (head, figure, 1);
    let mut few = Vec::new();
    for shots in shots {
        few.push(column(format!("{shots} of each, first %"), format!("few_{shots}_first_percent")));
        few.push(column("in three %".to_owned(), format!("few_{shots}_three_percent")));
    }
    text.push_str("\nAfter few examples of every intent, each seen once:\n\n");
    text.push_str(&table(document, &few));
    let mut new = vec![column("the others before, first %".to_owned(), "new_0_others_percent".to_owned())];
    for shots in shots {
        new.push(column(format!("{shots} of a new one, first %"), format!("new_{shots}_first_percent")));
        new.push(column("in three %".to_owned(), format!("new_{shots}_three_percent")));
        new.push(column("the others, first %".to_owned(), format!("new_{shots}_others_percent")));
    }
    text.push_str("\nA new intent for a model that knows the others, and what becomes of those:\n\n");
    text.push_str(&table(document, &new));
    for row in &document.rows {
        if let Some(cut) = &row.cut {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "\n† `{}` was {cut}", row.name);
        }
        if let Some(problem) = &row.problem {
            let _ = writeln!(text, "\n`{}` was not measured: {problem}", row.name);
        }
    }
    text
}

fn table(document: &Document, columns: &[(String, String, usize)]) -> String {
    let rows: Vec<&Row> = document.rows.iter().filter(|row| row.problem.is_none()).collect();
    let shown = columns.iter().filter(|column| rows.iter().any(|row| row.mean.contains_key(&column.1)));
    let columns: Vec<_> = shown.collect();
    let heads: Vec<_> = columns.iter().map(|column| column.0.as_str()).collect();
    let mut text = format!("| learner | {} |\n|---|{}\n", heads.join(" | "), "---:|".repeat(heads.len()));
    let has_any = |row: &&Row| columns.iter().any(|column| row.mean.contains_key(&column.1));
    for row in rows.into_iter().filter(has_any) {
        let cells: Vec<_> = columns.iter().map(|column| cell(row, &column.1, column.2)).collect();
        let mark = if row.cut.is_some() { " †" } else { "" };
        let _ = writeln!(text, "| {}{mark} | {} |", row.name, cells.join(" | "));
    }
    text
}

fn cell(row: &Row, figure: &str, digits: usize) -> String {
    let Some(value) = row.mean.get(figure) else { return "–".to_owned() };
    // How times and memory differ between orders says nothing.
    let has_spread = figure.ends_with("percent") || figure.ends_with("auroc");
    match row.spread.get(figure).filter(|_| has_spread) {
        Some(spread) => format!("{value:.digits$} ± {spread:.digits$}"),
        None => format!("{value:.digits$}"),
    }
}
