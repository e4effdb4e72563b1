//! `unsafe` lives with the BPF programs, their loader and the laboratory's devices, and nowhere else.

use super::Violation;
use super::source::{line_of, words};
use super::tree::Tree;

/// Where `unsafe` may stand.
const ALLOWED: &[&str] = &["gateway-ebpf/", "gateway/accel/src/", "bench/src/lab/"];

/// Checks every Rust source.
pub(crate) fn check(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in tree.rust().filter(|f| !ALLOWED.iter().any(|place| f.path.starts_with(place))) {
        for (at, _) in words(&file.code).filter(|(_, word)| *word == "unsafe") {
            violations.push(Violation {
                rule: "unsafe",
                path: file.path.clone(),
                line: line_of(&file.code, at),
                item: String::new(),
                message: format!(
                    "`unsafe` is only for {}: use a safe wrapper (rustix, socket2)",
                    ALLOWED.join(", ")
                ),
            });
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fires_outside_the_loader_only() {
        let text = "fn f() {\n    unsafe { g() }\n}";
        let found = check(&Tree::of(&[("bench/src/main.rs", text)]));
        assert_eq!((found.len(), found[0].line), (1, 2));
        for path in ["gateway-ebpf/src/bin/guard.rs", "gateway/accel/src/load.rs", "bench/src/lab/tun.rs"] {
            assert!(check(&Tree::of(&[(path, text)])).is_empty(), "{path}");
        }
        assert!(check(&Tree::of(&[("core/src/lib.rs", "#![forbid(unsafe_code)] // unsafe")])).is_empty());
    }
}
