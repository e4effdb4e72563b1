//! The repository's files, held in memory so that rules can be tested on made-up ones.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::source;

/// The files that are, or would be, committed.
pub(crate) struct Tree {
    /// Sorted by path.
    pub(crate) files: Vec<File>,
}

/// One file.
pub(crate) struct File {
    /// Relative to the repository's root, with `/` between parts.
    pub(crate) path: String,
    /// Its text; empty where it is not UTF-8.
    pub(crate) text: String,
    /// For Rust sources the text with comments and literals blanked (see [`source::mask`]), else empty.
    pub(crate) code: String,
}

impl Tree {
    /// Reads the repository at `root`.
    pub(crate) fn load(root: &Path) -> Result<Tree> {
        let paths = match listed_by_git(root) {
            Some(paths) => paths,
            None => {
                let mut paths = Vec::new();
                walk(root, "", &mut paths)?;
                paths
            }
        };
        let mut files = Vec::with_capacity(paths.len());
        for path in paths {
            let full = root.join(&path);
            // What git lists may have been deleted or be a link; neither has a text of its own.
            if full.symlink_metadata().is_ok_and(|m| m.is_file()) {
                let bytes = fs::read(&full).with_context(|| format!("cannot read {}", full.display()))?;
                files.push(File::new(path, String::from_utf8(bytes).unwrap_or_default()));
            }
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Tree { files })
    }

    /// Whether the tree has this file, or (with or without a closing `/`) this folder.
    pub(crate) fn contains(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        self.files
            .iter()
            .any(|f| f.path == path || f.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('/')))
    }

    /// The file at `path`.
    pub(crate) fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|f| f.path == path)
    }

    /// The Rust sources.
    pub(crate) fn rust(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|f| f.path.ends_with(".rs"))
    }

    /// A made-up tree of paths and texts.
    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Tree {
        Tree {
            files: files
                .iter()
                .map(|(path, text)| File::new((*path).to_owned(), (*text).to_owned()))
                .collect(),
        }
    }
}

impl File {
    fn new(path: String, text: String) -> File {
        let code = if path.ends_with(".rs") { source::mask(&text) } else { String::new() };
        File { path, text, code }
    }
}

/// Tracked and new files but not ignored ones; `None` without git or outside a clone.
fn listed_by_git(root: &Path) -> Option<Vec<String>> {
    let output = Command::new("git")
        .current_dir(root)
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let list = String::from_utf8(output.stdout).ok()?;
    let mut paths: Vec<String> = list.split_terminator('\0').map(str::to_owned).collect();
    paths.sort();
    paths.dedup();
    (output.status.success() && !paths.is_empty()).then_some(paths)
}

/// Every file under `root/folder` except git's own and build output.
fn walk(root: &Path, folder: &str, paths: &mut Vec<String>) -> Result<()> {
    let full = root.join(folder);
    for entry in fs::read_dir(&full).with_context(|| format!("cannot list {}", full.display()))? {
        let entry = entry.with_context(|| format!("cannot list {}", full.display()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
        let kind = entry.file_type().with_context(|| format!("cannot inspect {path}"))?;
        if kind.is_dir() && name != ".git" && name != "target" {
            walk(root, &path, paths)?;
        } else if kind.is_file() {
            paths.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contains_files_and_folders() {
        let tree = Tree::of(&[("core/src/lib.rs", "")]);
        for path in ["core/src/lib.rs", "core/src", "core/src/", "core"] {
            assert!(tree.contains(path), "{path}");
        }
        for path in ["core/sr", "core/src/lib", "src"] {
            assert!(!tree.contains(path), "{path}");
        }
    }

    #[test]
    fn walking_and_git_agree_on_the_sources() {
        let root = crate::root();
        let mut walked = Vec::new();
        walk(&root, "", &mut walked).unwrap();
        let tree = Tree::load(&root).unwrap();
        assert!(tree.rust().count() > 10);
        for file in tree.rust() {
            assert!(walked.contains(&file.path), "{}", file.path);
        }
    }
}
