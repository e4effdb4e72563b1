//! Names that say nothing about what is inside.

use super::Violation;
use super::source::{line_of, words};
use super::tree::Tree;

/// No file, folder or module has one of these words in its name.
const BANNED: &[&str] =
    &["common", "helper", "helpers", "manager", "managers", "misc", "util", "utilities", "utils"];

/// Checks paths and inline modules.
pub(crate) fn check(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut report = |path: &str, line: usize, word: &str| {
        violations.push(Violation {
            rule: "names",
            path: path.to_owned(),
            line,
            item: word.to_owned(),
            message: format!("`{word}` says nothing of what is inside: name the idea"),
        });
    };
    for file in &tree.files {
        for part in file.path.split('/') {
            if let Some(word) = banned(part) {
                report(&file.path, 0, word);
            }
        }
        let mut after_mod = false;
        for (at, word) in words(&file.code) {
            if after_mod && let Some(word) = banned(word) {
                report(&file.path, line_of(&file.code, at), word);
            }
            after_mod = word == "mod";
        }
    }
    violations
}

/// The banned word in `name`, which may be joined to others by `_`, `-` or `.`.
fn banned(name: &str) -> Option<&'static str> {
    name.split(['_', '-', '.']).find_map(|part| BANNED.iter().copied().find(|word| *word == part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fires_on_files_folders_and_modules() {
        for (path, text, line) in [
            ("core/src/utils.rs", "", 0),
            ("gateway/tests/common/mod.rs", "", 0),
            ("docs/misc/a.md", "", 0),
            ("core/src/session_manager.rs", "", 0),
            ("core/src/a.rs", "\nmod helpers {}", 2),
        ] {
            let found = check(&Tree::of(&[(path, text)]));
            assert_eq!((found.len(), found[0].line), (1, line), "{path}");
        }
    }

    #[test]
    fn allows_words_that_only_contain_one() {
        for (path, text) in [("core/src/commons.rs", ""), ("core/src/a.rs", "// mod utils\nmod uncommon;")] {
            assert!(check(&Tree::of(&[(path, text)])).is_empty(), "{path}");
        }
    }
}
