//! Clean text, and nothing that is true on one machine only.

use super::Violation;
use super::tree::Tree;

/// Files with these endings are written by programs or hold data, so their spaces are not ours to judge.
const DATA: &[&str] = &[".bin", ".csv", ".jsonl", ".lock", ".svg", ".txt"];

/// Homes and workplaces; absolute, so `docs/work/` is fine. Split, so that this file does not name them.
const MACHINE_PATHS: &[&str] =
    &[concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/Us", "ers/")];

/// Registries are the reader's choice: their addresses belong in the reader's own configuration.
const REGISTRY_HOSTS: &[&str] = &[
    concat!("index.crates", ".io"),
    concat!("static.crates", ".io"),
    concat!("registry.npmjs", ".org"),
    concat!("pypi", ".org"),
    concat!("files.pythonhosted", ".org"),
    concat!("deb.debian", ".org"),
    concat!("archive.ubuntu", ".com"),
    concat!("proxy.golang", ".org"),
];

/// Checks every text but Cargo.lock, which names the public registry and is checked on its own.
pub(crate) fn check(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in tree.files.iter().filter(|f| f.path != "Cargo.lock") {
        let mut report = |line: usize, item: &str, message: &str| {
            violations.push(Violation {
                rule: "text",
                path: file.path.clone(),
                line,
                item: item.to_owned(),
                message: message.to_owned(),
            });
        };
        let ours = !DATA.iter().any(|end| file.path.ends_with(end));
        if ours && !file.text.is_empty() && !file.text.ends_with('\n') {
            report(0, "newline", "the last line must end with a newline");
        }
        for (index, line) in file.text.split('\n').enumerate() {
            if ours && line.ends_with([' ', '\t', '\r']) {
                report(index + 1, "space", "space at the end of the line");
            }
            if file.path.ends_with(".rs") && line.contains('\t') {
                report(index + 1, "tab", "a tab: indent with spaces, write \\t in literals");
            }
            for place in MACHINE_PATHS.iter().filter(|place| names_absolute(line, place)) {
                report(index + 1, place, "a path of one machine: make it relative or configurable");
            }
            for host in REGISTRY_HOSTS.iter().filter(|host| line.contains(**host)) {
                report(index + 1, host, "a registry's address: leave it to the reader's own configuration");
            }
        }
    }
    violations
}

/// Whether `place` begins a path in `line`, and is not the tail of a longer one.
fn names_absolute(line: &str, place: &str) -> bool {
    line.match_indices(place).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "._-~*}>)/".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(path: &str, text: &str) -> Vec<String> {
        check(&Tree::of(&[(path, text)])).into_iter().map(|v| v.item).collect()
    }

    #[test]
    fn fires_on_untidy_text() {
        for (path, text, item) in [
            ("a.md", "x", "newline"),
            ("a.md", "x \n", "space"),
            ("a.md", "x\r\n", "space"),
            ("a.rs", "\tx\n", "tab"),
        ] {
            assert_eq!(items(path, text), [item], "{text:?}");
        }
    }

    #[test]
    fn fires_on_what_is_true_on_one_machine_only() {
        for place in MACHINE_PATHS {
            assert_eq!(items("a.md", &format!("see {place}x\n")), [*place]);
            assert_eq!(items("a.toml", &format!("path = \"{place}x\"\n")), [*place]);
        }
        for host in REGISTRY_HOSTS {
            assert_eq!(items("a.md", &format!("https://{host}/x\n")), [*host]);
        }
    }

    #[test]
    fn allows_relative_paths_and_data() {
        assert!(items("a.md", concat!("see docs/wo", "rk/x and target/ro", "ot/\n")).is_empty());
        assert!(items("a.svg", "<svg/> ").is_empty());
        assert!(items("Cargo.lock", REGISTRY_HOSTS[0]).is_empty());
        assert!(items("Makefile", "\tx\n").is_empty());
    }
}
