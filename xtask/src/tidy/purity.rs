//! Core decides and touches nothing: no sockets, threads, files, clock, randomness or chance order.
//!
//! `core/clippy.toml` says the same of single functions and types; this rule also sees whole modules,
//! and every target that clippy does not build.

use super::paths::{Named, named};
use super::source::without_tests;
use super::tree::Tree;
use super::{Violation, source};

const RULE: &str = "purity";

/// What core must not name, and what to do instead.
const BANNED: &[(&str, &str)] = &[
    ("getrandom", "take a seed or a generator as an argument"),
    ("rand", "take a seed or a generator as an argument"),
    (
        "std::collections::HashMap",
        "its order differs from run to run: use BTreeMap, or FxHashMap whose order is never seen",
    ),
    (
        "std::collections::HashSet",
        "its order differs from run to run: use BTreeSet, or FxHashSet whose order is never seen",
    ),
    ("std::collections::hash_map", "use BTreeMap, or FxHashMap whose order is never seen"),
    ("std::collections::hash_set", "use BTreeSet, or FxHashSet whose order is never seen"),
    ("std::env", "take the setting as an argument"),
    ("std::fs", "take bytes, return effects"),
    ("std::hash::RandomState", "use a fixed hasher"),
    ("std::io", "take bytes, return effects"),
    ("std::net", "take bytes, return effects; addresses are in `core::net`"),
    ("std::os", "what differs between systems belongs to the gateway"),
    ("std::process", "return the failure"),
    ("std::sync::mpsc", "return effects; the gateway queues them"),
    ("std::thread", "the gateway decides where work runs"),
    ("std::time::Instant", "take `now` as an argument"),
    ("std::time::SystemTime", "take `now` as an argument"),
    ("tokio", "the gateway and the client wait; core is told what happened"),
    ("tracing", "return what happened; the caller logs it"),
];

/// Macros that write to the outside.
const BANNED_MACROS: &[&str] = &["dbg", "eprint", "eprintln", "print", "println"];

/// Checks `core/src`, leaving out test modules.
pub(crate) fn check(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in tree.rust().filter(|f| f.path.starts_with("core/src/")) {
        let code = without_tests(&file.code);
        for name in named(&code) {
            for (banned, instead) in BANNED.iter().filter(|(banned, _)| reaches(&name, banned)) {
                violations.push(Violation {
                    rule: RULE,
                    path: file.path.clone(),
                    line: source::line_of(&code, name.at),
                    item: (*banned).to_owned(),
                    message: format!("core is pure and must not reach `{banned}`: {instead}"),
                });
            }
        }
        for (at, word) in source::words(&code) {
            let called = code[at + word.len()..].starts_with('!');
            if called && BANNED_MACROS.contains(&word) {
                violations.push(Violation {
                    rule: RULE,
                    path: file.path.clone(),
                    line: source::line_of(&code, at),
                    item: word.to_owned(),
                    message: format!("core is pure and must not write by `{word}!`: return what happened"),
                });
            }
        }
    }
    violations
}

/// Whether `name` is `banned`, lies in it, or is an import through which it can be named.
fn reaches(name: &Named, banned: &str) -> bool {
    let path = name.path.strip_suffix("::*").unwrap_or(&name.path);
    let within = |outer: &str, inner: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    // A lone word is a crate only in an import: `rand` may well be a variable.
    let qualified = name.import || path.contains("::");
    qualified && (within(banned, path) || (name.import && path.contains("std") && within(path, banned)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(text: &str) -> Vec<String> {
        check(&Tree::of(&[("core/src/a.rs", text)])).into_iter().map(|v| v.item).collect()
    }

    #[test]
    fn fires_on_each_way_to_the_outside() {
        let cases = [
            ("use std::net::TcpStream;", "std::net"),
            ("use std::{fmt, fs};", "std::fs"),
            ("use std::time::{Duration, Instant};", "std::time::Instant"),
            ("fn f() { std::time::SystemTime::now(); }", "std::time::SystemTime"),
            ("use std::time;", "std::time::Instant"),
            ("use std::collections::*;", "std::collections::HashMap"),
            ("use std::collections::{BTreeMap, HashMap};", "std::collections::HashMap"),
            ("fn f() { std::env::var(\"X\"); }", "std::env"),
            ("fn f() { std::thread::sleep(d); }", "std::thread"),
            ("use tokio::sync::mpsc;", "tokio"),
            ("fn f() { rand::random() }", "rand"),
            ("fn f() { println!(\"x\"); }", "println"),
        ];
        for (text, item) in cases {
            assert!(items(text).iter().any(|i| i == item), "{text}: {:?}", items(text));
        }
    }

    #[test]
    fn allows_what_is_pure() {
        for text in [
            "use std::time::Duration;",
            "use std::collections::BTreeMap;",
            "use std::collections::btree_map;",
            "use core::net::IpAddr;",
            "// std::fs is not for us",
            "const WHY: &str = \"std::fs\";",
            "fn f(rand: u64) -> u64 { rand }",
            "use rustc_hash::FxHashMap;",
            "#[cfg(test)]\nmod tests { use std::thread; }",
        ] {
            assert_eq!(items(text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn looks_at_core_only() {
        assert!(check(&Tree::of(&[("gateway/src/a.rs", "use std::net::TcpStream;")])).is_empty());
    }
}
