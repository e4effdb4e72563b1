//! ARCHITECTURE.md stays short and true.

use super::Violation;
use super::tree::Tree;

const ARCHITECTURE: &str = "ARCHITECTURE.md";

/// Most lines in ARCHITECTURE.md, so that it is read whole.
const LINES_MAX: usize = 300;

/// A word in backticks with one of these endings is a file's name.
const EXTENSIONS: &[&str] = &["md", "rs", "sh", "sql", "toml", "yaml", "yml"];

/// Checks its length and every path that it names in backticks.
///
/// It must exist once there is a README, which sends readers to it.
pub(crate) fn check(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut report = |line: usize, item: &str, message: String| {
        violations.push(Violation {
            rule: "architecture",
            path: ARCHITECTURE.to_owned(),
            line,
            item: item.to_owned(),
            message,
        });
    };
    let Some(file) = tree.file(ARCHITECTURE) else {
        if tree.contains("README.md") {
            report(0, "", "does not exist, and README.md's readers need it".to_owned());
        }
        return violations;
    };
    let lines = file.text.lines().count();
    if lines >= LINES_MAX {
        report(0, "", format!("{lines} lines, and it must stay under {LINES_MAX}"));
    }
    let mut fenced = false;
    for (index, line) in file.text.lines().enumerate() {
        fenced ^= line.trim_start().starts_with("```");
        for quoted in line.split('`').skip(1).step_by(2).filter(|_| !fenced) {
            for path in alternatives(quoted) {
                if looks_like_path(tree, &path) && !exists(tree, &path) {
                    report(index + 1, &path, format!("names `{path}`, which does not exist"));
                }
            }
        }
    }
    violations
}

/// Writes `a/{b,c}.rs` out as `a/b.rs` and `a/c.rs`.
fn alternatives(quoted: &str) -> Vec<String> {
    let parts = quoted.split_once('{').and_then(|(head, rest)| Some((head, rest.split_once('}')?)));
    match parts {
        Some((head, (group, tail))) => group
            .split(',')
            .flat_map(|choice| alternatives(&format!("{head}{}{tail}", choice.trim())))
            .collect(),
        None => vec![quoted.to_owned()],
    }
}

/// A path starts at the repository's root or ends like a file or folder; a URL's path or a media type does neither.
fn looks_like_path(tree: &Tree, quoted: &str) -> bool {
    let path_bytes = quoted.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-*".contains(&b));
    if !path_bytes || quoted.starts_with('/') || quoted.starts_with("target/") {
        return false;
    }
    let has_extension =
        quoted.rsplit_once('.').is_some_and(|(stem, end)| !stem.is_empty() && EXTENSIONS.contains(&end));
    match quoted.split_once('/') {
        Some((top, _)) => has_extension || quoted.ends_with('/') || tree.contains(top),
        None => has_extension,
    }
}

/// Whether the tree has `path`; a name without a folder may be anywhere, a `*` stands for anything.
fn exists(tree: &Tree, path: &str) -> bool {
    if let Some((folder, _)) = path.split_once('*') {
        return tree.files.iter().any(|f| f.path.starts_with(folder));
    }
    tree.contains(path)
        || (!path.contains('/') && tree.files.iter().any(|f| f.path.rsplit('/').next() == Some(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(architecture: &str) -> Vec<String> {
        let tree = Tree::of(&[
            (ARCHITECTURE, architecture),
            ("core/src/id.rs", ""),
            ("core/src/time.rs", ""),
            (".ci/run", ""),
        ]);
        check(&tree).into_iter().map(|v| v.item).collect()
    }

    #[test]
    fn fires_on_paths_that_do_not_exist() {
        for (text, missing) in [
            ("see `core/src/gone.rs`", "core/src/gone.rs"),
            ("see `core/src/{id,gone}.rs`", "core/src/gone.rs"),
            ("see `docs/`", "docs/"),
            ("see `core/gone`", "core/gone"),
            ("see `gone.rs` in `core/`", "gone.rs"),
            ("see `docs/*.md`", "docs/*.md"),
        ] {
            assert_eq!(items(text), [missing], "{text}");
        }
    }

    #[test]
    fn allows_what_exists_and_what_is_no_path() {
        for text in [
            "`core/`, `core/src`, `core/src/{id,time}.rs`, `id.rs`, `.ci/run`, `core/src/*.rs`",
            "`application/json`, `/v1/push`, `GET /v1/x`, `queue:<id>`, `and/or`, `target/release/waggle`",
            "```\ncat `gone.rs`\n```",
            "plain gone.rs",
        ] {
            assert_eq!(items(text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn fires_at_the_limit_of_lines() {
        assert!(items(&"x\n".repeat(LINES_MAX - 1)).is_empty());
        assert_eq!(items(&"x\n".repeat(LINES_MAX)).len(), 1);
    }

    #[test]
    fn fires_when_the_readme_points_to_nothing() {
        assert_eq!(check(&Tree::of(&[("README.md", "")])).len(), 1);
        assert!(check(&Tree::of(&[])).is_empty());
    }
}
