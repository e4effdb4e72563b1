//! The project's own rules, checked over its files and its dependency graph.
//!
//! A rule is a function from what the repository holds to the violations in it, so each is tested on a
//! small made-up tree. A violation may be allowed by an [`exceptions::Exception`] with a reason; an
//! exception that allows nothing any more is itself a violation, so the list only shrinks.
//! (The idea of rules as a test is rust-analyzer's and TigerBeetle's.)

mod clippy_config;
mod dependencies;
mod documents;
mod exceptions;
mod names;
mod paths;
mod purity;
mod size;
pub(crate) mod source;
mod text;
pub(crate) mod tree;
mod unsafety;

use std::fmt;
use std::path::Path;

use anyhow::Result;

use exceptions::{EXCEPTIONS, Exception};
use tree::Tree;

/// Checks the repository at `root` against every rule.
pub(crate) fn check(root: &Path) -> Result<Vec<Violation>> {
    let tree = Tree::load(root)?;
    let mut violations = dependencies::check(&dependencies::load(root)?);
    for rule in RULES {
        violations.extend(rule(&tree));
    }
    Ok(except(violations, EXCEPTIONS))
}

/// Every rule that needs only the files.
const RULES: &[fn(&Tree) -> Vec<Violation>] = &[
    clippy_config::check,
    dependencies::check_lockfile,
    documents::check,
    names::check,
    purity::check,
    size::check_files,
    size::check_functions,
    text::check,
    unsafety::check,
];

/// One place that breaks one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    /// The rule's name, as exceptions give it.
    rule: &'static str,
    /// The file, relative to the repository's root, with `/` between parts.
    path: String,
    /// Line, from 1; 0 where the whole file is meant.
    line: usize,
    /// What an exception must name besides the file: a function, a path, a package; empty for a whole file.
    item: String,
    /// What is wrong and what would be right.
    message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        write!(f, ": {} [{}]", self.message, self.rule)
    }
}

/// Drops the violations that an exception allows, and adds one for each exception that allows none.
fn except(violations: Vec<Violation>, exceptions: &[Exception]) -> Vec<Violation> {
    let mut kept: Vec<Violation> =
        violations.iter().filter(|v| !exceptions.iter().any(|e| e.allows(v))).cloned().collect();
    for exception in exceptions {
        let problem = if exception.reason.is_empty() {
            "has no reason: say why it must stand"
        } else if !violations.iter().any(|v| exception.allows(v)) {
            "is needed no longer: remove it"
        } else {
            continue;
        };
        kept.push(Violation {
            rule: "exceptions",
            path: "xtask/src/tidy/exceptions.rs".to_owned(),
            line: 0,
            item: exception.path.to_owned(),
            message: format!(
                "the exception from `{}` for `{}` {} {problem}",
                exception.rule, exception.path, exception.item
            ),
        });
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tidy() {
        let violations = check(&crate::root()).unwrap();
        let list: String = violations.iter().map(|v| format!("\n  {v}")).collect();
        assert!(violations.is_empty(), "the repository breaks its own rules:{list}");
    }

    fn violation(rule: &'static str, path: &str, item: &str) -> Violation {
        Violation { rule, path: path.to_owned(), line: 3, item: item.to_owned(), message: "wrong".to_owned() }
    }

    #[test]
    fn an_exception_allows_exactly_what_it_names() {
        let exceptions = [Exception { rule: "size", path: "a.rs", item: "f", reason: "a table" }];
        let left = except(vec![violation("size", "a.rs", "f"), violation("size", "a.rs", "g")], &exceptions);
        assert_eq!(left, vec![violation("size", "a.rs", "g")]);
    }

    #[test]
    fn an_exception_without_use_or_reason_is_a_violation() {
        let unused = [Exception { rule: "size", path: "a.rs", item: "", reason: "a table" }];
        assert!(except(vec![], &unused)[0].message.contains("needed no longer"));
        let mute = [Exception { rule: "size", path: "a.rs", item: "", reason: "" }];
        assert!(except(vec![violation("size", "a.rs", "")], &mute)[0].message.contains("no reason"));
    }

    #[test]
    fn a_violation_shows_where_it_is() {
        assert_eq!(violation("size", "a.rs", "").to_string(), "a.rs:3: wrong [size]");
    }
}
