//! What the sources say of the ABI: every layout, constant and numbering that programs and gateway share.
//!
//! Taken from the text, so that nothing that is added can be left out of a list: types with a `repr`,
//! public constants, and the functions of `abi.rs`, which are what its numbers mean.

use std::path::Path;

use anyhow::{Context, Result};

use crate::tidy::source::{item_end, mask, without_comments, without_tests, words};
use crate::tidy::tree::Tree;

/// The library that both sides use.
const FOLDER: &str = "gateway-ebpf/src/";

/// The programs themselves are not part of the ABI.
const PROGRAMS: &str = "gateway-ebpf/src/bin/";

/// Where the version and the layouts are.
const ABI_FILE: &str = "gateway-ebpf/src/abi.rs";

/// The constant with the version, which is no part of what it versions.
const VERSION: &str = "ABI_VERSION";

/// The ABI as the sources have it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Sources {
    pub(crate) version: u32,
    /// One line for each item, by file.
    pub(crate) items: Vec<String>,
}

/// Reads the sources of the repository at `root`.
pub(crate) fn read(root: &Path) -> Result<Sources> {
    of(&Tree::load(root)?)
}

fn of(tree: &Tree) -> Result<Sources> {
    let files = tree.rust().filter(|f| f.path.starts_with(FOLDER) && !f.path.starts_with(PROGRAMS));
    let mut items: Vec<String> = files
        .flat_map(|file| {
            let name = file.path.trim_start_matches(FOLDER).to_owned();
            let of_file = items(&file.text, file.path == ABI_FILE);
            of_file.into_iter().map(move |item| format!("{name}: {item}"))
        })
        .collect();
    let is_version = |item: &String| item.contains(&format!(" const {VERSION}:"));
    let version = items
        .iter()
        .find(|item| is_version(item))
        .and_then(|item| item.rsplit_once("= ")?.1.trim_end_matches(';').parse().ok())
        .with_context(|| format!("{ABI_FILE} has no constant {VERSION} with a number"))?;
    items.retain(|item| !is_version(item));
    Ok(Sources { version, items })
}

/// The items of one file in their order, each as one line without comments.
fn items(text: &str, with_functions: bool) -> Vec<String> {
    let code = without_tests(&mask(text));
    let shown = without_comments(text);
    let found: Vec<(usize, &str)> = words(&code).collect();
    let mut items = Vec::new();
    for window in found.windows(3) {
        let [(start, first), (second_start, second), (_, third)] = window else { continue };
        let is_item = match (*first, *second) {
            ("repr", _) => true,
            ("pub", "const") => *third != "fn" || with_functions,
            ("pub", "fn") => with_functions,
            _ => false,
        };
        // Attributes stand between a type and its `repr`; the type's own text begins after them.
        let from = if *first == "repr" { item_start(&code, *second_start) } else { *start };
        if is_item {
            let item = shown.get(from..item_end(&code, from)).unwrap_or_default();
            let repr = if *first == "repr" { format!("repr({second}) ") } else { String::new() };
            items.push(format!("{repr}{}", one_line(item)));
        }
    }
    items
}

/// Where the item behind the attributes at `from` begins.
fn item_start(code: &str, from: usize) -> usize {
    words(code)
        .map(|(at, _)| at)
        .find(|at| {
            *at > from
                && ["pub ", "struct ", "enum ", "union "].iter().any(|word| code[*at..].starts_with(word))
        })
        .unwrap_or(code.len())
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABI: &str = r#"
/// The version.
pub const ABI_VERSION: u32 = 7;
pub const MAP: &str = "MAP"; // its name
const PRIVATE: u32 = 1;

/// Documented.
#[derive(Clone)]
#[repr(C)]
pub struct Key {
    /// A port; not { this }.
    pub port: [u8; 2],
}

impl Key {
    pub const fn new() -> Self { Self { port: [0; 2] } }
}

#[cfg(test)]
mod tests {
    #[repr(C)]
    pub struct Unseen;
}
"#;

    #[test]
    fn every_layout_and_constant_is_a_line() {
        let guard = "#[repr(u32)]\n#[derive(Debug)]\npub enum Verdict { A = 0 }\npub fn decide() {}\n";
        let tree = Tree::of(&[
            (ABI_FILE, ABI),
            ("gateway-ebpf/src/guard.rs", guard),
            ("gateway-ebpf/src/bin/x/main.rs", "pub const UNSEEN: u32 = 1;"),
        ]);
        let sources = of(&tree).unwrap();
        assert_eq!(sources.version, 7);
        assert_eq!(
            sources.items,
            [
                r#"abi.rs: pub const MAP: &str = "MAP";"#,
                "abi.rs: repr(C) pub struct Key { pub port: [u8; 2], }",
                "abi.rs: pub const fn new() -> Self { Self { port: [0; 2] } }",
                "guard.rs: repr(u32) pub enum Verdict { A = 0 }",
            ]
        );
    }

    #[test]
    fn a_file_without_a_version_is_an_error() {
        assert!(of(&Tree::of(&[(ABI_FILE, "pub const X: u32 = 1;")])).is_err());
    }
}
