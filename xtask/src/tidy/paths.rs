//! Every path that masked code names, with `use` groups written out in full.

use super::source::words;

/// One path, such as `std::time::Instant`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// The path without a leading `::` or a rename; a glob keeps its `::*`.
    pub(crate) path: String,
    /// The offset of the path, or of the `use` that it stands in.
    pub(crate) at: usize,
    /// Whether a `use` brings it in.
    pub(crate) import: bool,
}

/// Lists the paths in `code`.
pub(crate) fn named(code: &str) -> Vec<Named> {
    let mut found = Vec::new();
    let mut done = 0;
    for (at, word) in words(code) {
        if at < done {
            continue;
        }
        if word == "use" {
            let tree = code[at + word.len()..].split(';').next().unwrap_or_default();
            done = at + word.len() + tree.len();
            // `use<'a>` in a return type captures lifetimes and imports nothing.
            if !tree.trim_start().starts_with('<') {
                let mut expanded = Vec::new();
                expand("", tree, &mut expanded);
                found.extend(expanded.into_iter().map(|path| Named { path, at, import: true }));
            } else {
                done = at + word.len();
            }
        } else {
            let path = inline(&code[at..]);
            done = at + path.len();
            found.push(Named { path: path.to_owned(), at, import: false });
        }
    }
    found
}

/// The longest `a::b::c` that `code` starts with.
fn inline(code: &str) -> &str {
    let mut end = 0;
    for (at, word) in words(code) {
        if at == end || (at == end + 2 && &code[end..at] == "::") {
            end = at + word.len();
        } else {
            break;
        }
    }
    &code[..end]
}

/// Writes a `use` tree out as full paths.
fn expand(prefix: &str, tree: &str, out: &mut Vec<String>) {
    let tree = tree.trim().trim_start_matches("::");
    let join = |tail: &str| match (prefix, tail) {
        ("", tail) => tail.to_owned(),
        (prefix, "" | "self") => prefix.to_owned(),
        (prefix, tail) => format!("{prefix}::{tail}"),
    };
    match tree.split_once('{') {
        Some((head, group)) => {
            let prefix = join(head.trim().trim_end_matches("::"));
            let group = group.trim_end().strip_suffix('}').unwrap_or(group);
            for branch in branches(group) {
                expand(&prefix, branch, out);
            }
        }
        None => {
            let path = tree.split(" as ").next().unwrap_or(tree).trim();
            if !path.is_empty() {
                out.push(join(path));
            }
        }
    }
}

/// Splits a `use` group at the commas that are not inside an inner group.
fn branches(group: &str) -> Vec<&str> {
    let (mut depth, mut start, mut out) = (0_i32, 0, Vec::new());
    for (at, byte) in group.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            b',' if depth == 0 => {
                out.push(&group[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    out.push(&group[start..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(code: &str) -> Vec<String> {
        named(code).into_iter().map(|n| n.path).collect()
    }

    #[test]
    fn writes_use_groups_out() {
        assert_eq!(
            paths("use std::{fs, io::{self, Read}, time::*};\nuse ::a::b as c;"),
            ["std::fs", "std::io", "std::io::Read", "std::time::*", "a::b"]
        );
    }

    #[test]
    fn finds_inline_paths() {
        assert_eq!(paths("let x = std::env::var(y);"), ["let", "x", "std::env::var", "y"]);
        assert_eq!(
            paths("fn f() -> impl Iterator + use<'a, T> { std::fs::read() }").last().unwrap(),
            "std::fs::read"
        );
    }

    #[test]
    fn says_what_is_an_import() {
        let all = named("use a::b;\n\nc::d();");
        let shape: Vec<_> = all.iter().map(|n| (n.at, n.import)).collect();
        assert_eq!(shape, [(0, true), (11, false)]);
    }
}
