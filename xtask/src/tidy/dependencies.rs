//! Dependencies point one way.

use std::path::Path;

use anyhow::{Context, Result};
use cargo_metadata::{DependencyKind, MetadataCommand};

use super::Violation;
use super::tree::Tree;

/// What each of our packages may depend on among our own: always, and in its tests.
const DIRECTION: &[(&str, &[&str], &[&str])] = &[
    ("waggle-accel", &["waggle-ebpf"], &[]),
    ("waggle-bench", &["waggle-accel", "waggle-client", "waggle-core", "waggle-gateway"], &[]),
    ("waggle-client", &["waggle-core"], &[]),
    ("waggle-core", &[], &[]),
    ("waggle-ebpf", &[], &[]),
    ("waggle-gateway", &["waggle-accel", "waggle-core"], &["waggle-client"]),
    ("xtask", &[], &[]),
];

/// What core must not depend on outside its tests, for these reach sockets, clocks or chance.
const NOT_IN_CORE: &[&str] = &[
    "axum",
    "getrandom",
    "hyper",
    "libc",
    "mio",
    "parking_lot",
    "rand",
    "rustix",
    "socket2",
    "sqlx",
    "tokio",
    "tracing",
];

/// The one registry that packages may come from, as Cargo.lock names it.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// One package of the workspace.
#[derive(Debug)]
pub(crate) struct Package {
    name: String,
    /// Its manifest, relative to the repository's root.
    manifest: String,
    /// Names, and whether only tests use them.
    dependencies: Vec<(String, Use)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Always,
    TestsOnly,
}

/// Asks cargo for the workspace's packages.
pub(crate) fn load(root: &Path) -> Result<Vec<Package>> {
    let metadata = MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .no_deps()
        .exec()
        .context("`cargo metadata` failed: is Cargo.toml valid?")?;
    let packages = metadata.packages.iter().map(|package| Package {
        name: package.name.to_string(),
        manifest: package
            .manifest_path
            .strip_prefix(&metadata.workspace_root)
            .unwrap_or(&package.manifest_path)
            .to_string(),
        dependencies: package
            .dependencies
            .iter()
            .map(|d| {
                let tests_only = d.kind == DependencyKind::Development;
                (d.name.clone(), if tests_only { Use::TestsOnly } else { Use::Always })
            })
            .collect(),
    });
    Ok(packages.collect())
}

/// Checks the direction of every dependency between our packages, and what core takes from outside.
pub(crate) fn check(packages: &[Package]) -> Vec<Violation> {
    let mut violations = Vec::new();
    let ours = |name: &str| packages.iter().any(|p| p.name == name);
    for package in packages {
        let Some((_, always, in_tests)) = DIRECTION.iter().find(|(name, ..)| *name == package.name) else {
            let message = format!(
                "add `{}` to the table of directions in xtask/src/tidy/dependencies.rs",
                package.name
            );
            violations.push(violation(package, &package.name, message));
            continue;
        };
        for (name, used) in package.dependencies.iter().filter(|(name, _)| ours(name)) {
            let allowed = always.contains(&name.as_str())
                || (*used == Use::TestsOnly && in_tests.contains(&name.as_str()));
            if !allowed {
                let message =
                    format!("{} must not depend on {name}: dependencies point one way", package.name);
                violations.push(violation(package, name, message));
            }
        }
        for (name, used) in &package.dependencies {
            let impure = NOT_IN_CORE.contains(&name.as_str()) && *used == Use::Always;
            if package.name == "waggle-core" && impure {
                let message = format!("core is pure and must not depend on {name}");
                violations.push(violation(package, name, message));
            }
        }
    }
    for (name, ..) in DIRECTION.iter().filter(|(name, ..)| !ours(name)) {
        violations.push(Violation {
            rule: "dependencies",
            path: "Cargo.toml".to_owned(),
            line: 0,
            item: (*name).to_owned(),
            message: format!("the table of directions names {name}, which is not in the workspace"),
        });
    }
    violations
}

fn violation(package: &Package, item: &str, message: String) -> Violation {
    Violation {
        rule: "dependencies",
        path: package.manifest.clone(),
        line: 0,
        item: item.to_owned(),
        message,
    }
}

/// Checks that every locked package comes from the public registry.
pub(crate) fn check_lockfile(tree: &Tree) -> Vec<Violation> {
    let lock = tree.file("Cargo.lock").map(|f| f.text.as_str()).unwrap_or_default();
    let mut violations = Vec::new();
    for (index, line) in lock.lines().enumerate() {
        let Some(source) = line.strip_prefix("source = ") else {
            continue;
        };
        let source = source.trim_matches('"');
        if source != REGISTRY {
            violations.push(Violation {
                rule: "lockfile",
                path: "Cargo.lock".to_owned(),
                line: index + 1,
                item: source.to_owned(),
                message: format!("a package comes from {source}, where only {REGISTRY} is public to all"),
            });
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The workspace as it should be, with one more dependency.
    fn packages(from: &str, to: &str, used: Use) -> Vec<Package> {
        DIRECTION
            .iter()
            .map(|(name, always, _)| Package {
                name: (*name).to_owned(),
                manifest: "Cargo.toml".to_owned(),
                dependencies: always
                    .iter()
                    .map(|d| ((*d).to_owned(), Use::Always))
                    .chain((*name == from).then(|| (to.to_owned(), used)))
                    .collect(),
            })
            .collect()
    }

    #[test]
    fn fires_against_the_direction() {
        for (from, to, used, count) in [
            ("waggle-core", "waggle-gateway", Use::Always, 1),
            ("waggle-core", "waggle-client", Use::TestsOnly, 1),
            ("waggle-client", "waggle-gateway", Use::Always, 1),
            ("waggle-gateway", "waggle-bench", Use::Always, 1),
            ("waggle-gateway", "waggle-client", Use::Always, 1),
            ("waggle-gateway", "waggle-client", Use::TestsOnly, 0),
            ("xtask", "waggle-ebpf", Use::Always, 1),
            ("waggle-core", "tokio", Use::Always, 1),
            ("waggle-core", "tokio", Use::TestsOnly, 0),
            ("waggle-gateway", "tokio", Use::Always, 0),
        ] {
            let found = check(&packages(from, to, used));
            assert_eq!(found.len(), count, "{from} to {to}: {found:?}");
        }
    }

    #[test]
    fn fires_on_packages_missing_from_the_table_or_the_workspace() {
        let mut all = packages("", "", Use::Always);
        all[0].name = "waggle-extra".to_owned();
        let found: Vec<_> = check(&all).into_iter().map(|v| v.item).collect();
        assert_eq!(found, ["waggle-extra", "waggle-accel"]);
    }

    #[test]
    fn fires_on_foreign_sources() {
        let lock = format!(
            "[[package]]\nsource = \"{REGISTRY}\"\n[[package]]\nsource = \"git+https://example.com/x\"\n"
        );
        let found = check_lockfile(&Tree::of(&[("Cargo.lock", &lock)]));
        assert_eq!((found.len(), found[0].line), (1, 4));
    }
}
