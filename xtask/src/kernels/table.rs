//! The answers of all kernels as one page, and how they differ from the committed one.

use std::fmt::Write as _;

use super::answers::{Answers, Feature};

/// One kernel's answers.
#[derive(Debug)]
pub(crate) struct Column {
    /// `6.1` and the like: by this, columns of two runs are the same.
    pub(crate) series: String,
    /// What else the heading says of it.
    pub(crate) release: String,
    pub(crate) answers: Answers,
}

const PREFACE: &str = "\
# Kernels

Which features work on which kernel. Written by `cargo xtask kernels --update`, which boots Debian's kernels in an
emulated machine and runs there, and on its host: `waggle accel check`; the test that compares the guard's verdicts
with those of the same function on the host, packet by packet; and a gateway with a connection and a denied source.
`cargo xtask kernels` runs it all again and compares the words in bold.

";

const VERIFIER: &str = "
Instructions that the kernel's verifier looked at before it let the program in, of the million that it is willing to:

";

/// The page.
pub(crate) fn page(columns: &[Column]) -> String {
    let mut page = PREFACE.to_owned();
    row(&mut page, "feature", columns.iter().map(|c| format!("{} ({})", c.series, c.release)));
    row(&mut page, "---", columns.iter().map(|_| "---".to_owned()));
    for name in names(columns, |answers| answers.features.iter().map(|f| f.name.clone()).collect()) {
        row(&mut page, &format!("`{name}`"), columns.iter().map(|column| feature_cell(column, &name)));
    }
    page.push_str(VERIFIER);
    row(&mut page, "hook", columns.iter().map(|column| column.series.clone()));
    row(&mut page, "---", columns.iter().map(|_| "---:".to_owned()));
    for hook in names(columns, |answers| answers.programs.iter().map(|p| p.hook.clone()).collect()) {
        row(&mut page, &format!("`{hook}`"), columns.iter().map(|column| verified_cell(column, &hook)));
    }
    page
}

fn row(page: &mut String, first: &str, cells: impl Iterator<Item = String>) {
    let cells: String = cells.map(|cell| format!(" {cell} |")).collect();
    // Writing to a String does not fail.
    let _ = writeln!(page, "| {first} |{cells}");
}

/// Every name that a kernel has, in the order of their first being named.
fn names(columns: &[Column], of: impl Fn(&Answers) -> Vec<String>) -> Vec<String> {
    let mut names = Vec::new();
    for name in columns.iter().flat_map(|column| of(&column.answers)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn feature_cell(column: &Column, name: &str) -> String {
    match column.answers.features.iter().find(|feature| feature.name == name) {
        Some(Feature { rung, reason, .. }) => format!("**{rung}** {}", reason.replace('|', "\\|")),
        None => String::new(),
    }
}

fn verified_cell(column: &Column, hook: &str) -> String {
    match column.answers.programs.iter().find(|program| program.hook == hook) {
        Some(program) => program.instructions.to_string(),
        None => String::new(),
    }
}

/// Rungs that are others than on the committed page, a line each. A kernel that is on one side only is not
/// compared.
pub(crate) fn differences(committed: &str, columns: &[Column]) -> Vec<String> {
    let (before, after) = (rungs(committed), rungs(&page(columns)));
    let is_in = |kernel: &str, side: &[Rung]| side.iter().any(|rung| rung.kernel == kernel);
    let mut differences = Vec::new();
    for rung in before.iter().filter(|rung| is_in(&rung.kernel, &after)) {
        let now = after.iter().find(|now| (&now.kernel, &now.feature) == (&rung.kernel, &rung.feature));
        let now = now.map_or("not tried", |now| &now.word);
        if now != rung.word {
            differences.push(format!("{} on {}: {now}, was {}", rung.feature, rung.kernel, rung.word));
        }
    }
    for rung in after.iter().filter(|rung| is_in(&rung.kernel, &before)) {
        if !before.iter().any(|old| (&old.kernel, &old.feature) == (&rung.kernel, &rung.feature)) {
            differences.push(format!("{} on {}: {}, was not tried", rung.feature, rung.kernel, rung.word));
        }
    }
    differences
}

#[derive(Debug, PartialEq, Eq)]
struct Rung {
    kernel: String,
    feature: String,
    word: String,
}

/// The words in bold of the page's table, with their row and column.
fn rungs(page: &str) -> Vec<Rung> {
    let mut kernels: Vec<String> = Vec::new();
    let mut rungs = Vec::new();
    for line in page.lines().filter_map(|line| line.strip_prefix("| ")) {
        let mut cells = line.split(" |").map(str::trim);
        let first = cells.next().unwrap_or_default();
        if first == "feature" {
            kernels = cells.filter_map(|cell| cell.split(' ').next()).map(str::to_owned).collect();
            continue;
        }
        for (kernel, cell) in kernels.iter().zip(cells) {
            if let Some((word, _)) = cell.strip_prefix("**").and_then(|cell| cell.split_once("**")) {
                let (kernel, feature) = (kernel.clone(), first.trim_matches('`').to_owned());
                rungs.push(Rung { kernel, feature, word: word.to_owned() });
            }
        }
    }
    rungs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::answers::Verified;

    fn column(series: &str, features: &[(&str, &str)]) -> Column {
        let feature = |(name, rung): &(&str, &str)| Feature {
            name: (*name).to_owned(),
            rung: (*rung).to_owned(),
            reason: "a | b".to_owned(),
        };
        let programs = vec![Verified { hook: "xdp".to_owned(), instructions: 900 }];
        let answers = Answers { features: features.iter().map(feature).collect(), programs };
        Column { series: series.to_owned(), release: format!("{series}.0"), answers }
    }

    #[test]
    fn a_page_has_a_row_for_each_feature_and_a_column_for_each_kernel() {
        let page = page(&[column("6.1", &[("legs", "ebpf")]), column("6.12", &[("redirect", "on")])]);
        for line in [
            "| feature | 6.1 (6.1.0) | 6.12 (6.12.0) |",
            "| `legs` | **ebpf** a \\| b |  |",
            "| `redirect` |  | **on** a \\| b |",
            "| `xdp` | 900 | 900 |",
        ] {
            assert!(page.lines().any(|l| l == line), "{line} is not in\n{page}");
        }
    }

    #[test]
    fn only_changed_rungs_differ() {
        let old = page(&[column("6.1", &[("legs", "ebpf"), ("gone", "on")]), column("6.18", &[("x", "on")])]);
        let same = [column("6.1", &[("legs", "ebpf"), ("gone", "on")])];
        assert_eq!(differences(&old, &same), Vec::<String>::new());
        let new = [column("6.1", &[("legs", "off"), ("new", "on")]), column("6.19", &[("x", "off")])];
        assert_eq!(
            differences(&old, &new),
            ["legs on 6.1: off, was ebpf", "gone on 6.1: not tried, was on", "new on 6.1: on, was not tried"]
        );
    }
}
