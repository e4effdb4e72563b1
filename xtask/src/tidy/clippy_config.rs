//! Unbounded channels stay banned in every package.
//!
//! Clippy reads only the `clippy.toml` nearest to a package, so each must repeat what the root's says.

use super::Violation;
use super::tree::{File, Tree};

/// Functions that make a queue without a limit.
const UNBOUNDED: &[&str] =
    &["futures_channel::mpsc::unbounded", "std::sync::mpsc::channel", "tokio::sync::mpsc::unbounded_channel"];

/// Checks every `clippy.toml`.
pub(crate) fn check(tree: &Tree) -> Vec<Violation> {
    let root = tree.file("clippy.toml").map(|f| f.text.as_str()).unwrap_or_default();
    let mut violations = Vec::new();
    for function in UNBOUNDED.iter().filter(|f| !bans(root, f)) {
        let message = format!("must disallow `{function}`: every queue has a limit");
        violations.push(violation("clippy.toml", function, message));
    }
    for file in tree.files.iter().filter(|f| f.path.ends_with("/clippy.toml")) {
        for missing in root.lines().filter(|line| !repeats(file, line)) {
            let message = format!("replaces the root's clippy.toml, so it must repeat `{}`", missing.trim());
            violations.push(violation(&file.path, missing.trim(), message));
        }
    }
    violations
}

fn violation(path: &str, item: &str, message: String) -> Violation {
    Violation { rule: "clippy-config", path: path.to_owned(), line: 0, item: item.to_owned(), message }
}

/// Whether `file` repeats one line of the root's settings; brackets and comments need no repeating.
fn repeats(file: &File, line: &str) -> bool {
    if let Some(path) = banned_path(line) {
        return bans(&file.text, path);
    }
    let line = line.trim();
    let setting = line.contains('=') && !line.starts_with('#') && !line.ends_with('[');
    !setting || file.text.lines().any(|other| other.trim() == line)
}

fn bans(config: &str, function: &str) -> bool {
    config.lines().any(|line| banned_path(line) == Some(function))
}

/// The path in a line such as `{ path = "std::sync::mpsc::channel", reason = "…" },`.
fn banned_path(line: &str) -> Option<&str> {
    line.trim().strip_prefix("{ path = \"")?.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(functions: &[&str]) -> String {
        let bans: String =
            functions.iter().map(|f| format!("    {{ path = \"{f}\", reason = \"x\" }},\n")).collect();
        format!("allow-unwrap-in-tests = true\ndisallowed-methods = [\n{bans}]\n")
    }

    #[test]
    fn fires_when_the_root_forgets_a_ban() {
        assert!(check(&Tree::of(&[("clippy.toml", &config(UNBOUNDED))])).is_empty());
        let found = check(&Tree::of(&[("clippy.toml", &config(&UNBOUNDED[1..]))]));
        assert_eq!((found.len(), found[0].item.as_str()), (1, UNBOUNDED[0]));
        assert_eq!(check(&Tree::of(&[])).len(), UNBOUNDED.len());
    }

    #[test]
    fn fires_when_a_package_forgets_a_setting_of_the_root() {
        let root = config(UNBOUNDED);
        let nested = config(&UNBOUNDED[..2]).replace("allow-unwrap-in-tests = true\n", "");
        let found = check(&Tree::of(&[("clippy.toml", &root), ("core/clippy.toml", &nested)]));
        let items: Vec<_> = found.iter().map(|v| v.item.as_str()).collect();
        assert_eq!(items.len(), 2, "{items:?}");
        assert_eq!(items[0], "allow-unwrap-in-tests = true");
        assert!(items[1].contains(UNBOUNDED[2]));
        assert!(check(&Tree::of(&[("clippy.toml", &root), ("core/clippy.toml", &root)])).is_empty());
    }
}
