//! Which cgroups the program is put on.

use std::path::{Path, PathBuf};

/// The gateway's own and those that are named, without those that lie in another of them: a program that is
/// on a cgroup and on one above it would be called twice for each connection.
pub(super) fn places(own: &Path, named: &[PathBuf]) -> Vec<PathBuf> {
    let all: Vec<&Path> = std::iter::once(own).chain(named.iter().map(PathBuf::as_path)).collect();
    let mut chosen: Vec<PathBuf> = Vec::new();
    for place in &all {
        let is_covered = all.iter().any(|other| place != other && place.starts_with(other));
        if !is_covered && !chosen.iter().any(|one| one == place) {
            chosen.push(place.to_path_buf());
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cgroup_is_taken_twice() {
        let paths = |texts: &[&str]| texts.iter().map(PathBuf::from).collect::<Vec<_>>();
        for (named, expected) in [
            (vec![], vec!["/cg/a/waggle"]),
            (vec!["/cg/proxy"], vec!["/cg/a/waggle", "/cg/proxy"]),
            (vec!["/cg/a"], vec!["/cg/a"]),
            (vec!["/cg/a/waggle"], vec!["/cg/a/waggle"]),
            (vec!["/cg/a/waggle/below"], vec!["/cg/a/waggle"]),
            (vec!["/cg/a/waggle-2"], vec!["/cg/a/waggle", "/cg/a/waggle-2"]),
            (vec!["/cg/b/c", "/cg/b", "/cg/b"], vec!["/cg/a/waggle", "/cg/b"]),
            (vec!["/cg"], vec!["/cg"]),
        ] {
            assert_eq!(places(Path::new("/cg/a/waggle"), &paths(&named)), paths(&expected), "{named:?}");
        }
    }
}
