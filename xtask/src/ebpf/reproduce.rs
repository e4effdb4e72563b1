//! Whether the same sources give the same objects wherever they lie.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use xshell::Shell;

use super::{Built, build_from};
use crate::process;
use crate::tidy::tree::Tree;
use crate::toolchain::Toolchain;

/// The copy's folder below the target folder: deeper than the sources, so that no path has the same length.
const COPY: &str = "ebpf-copy/of/the/sources";

/// Builds the sources once more, from a copy of them in another folder, and compares the bytes with those of
/// `here`. Only what runs on the host while building, and does not go into the objects, is shared.
///
/// # Errors
/// Where a build fails, or an object differs.
pub(crate) fn check(sh: &Shell, toolchain: &Toolchain, here: &[Built]) -> Result<()> {
    let target = process::target_dir()?;
    let copy = Copy::make(&target)?;
    let there = build_from(sh, toolchain, &copy.root, &target.join("ebpf-build"))?;
    let differing = differing(here, &there);
    if !differing.is_empty() {
        let kept = target.join("ebpf-differing");
        keep(&kept, here, &there)?;
        bail!(
            "built from another folder, these objects are not the same bytes: {}; both are in {}",
            differing.join(", "),
            kept.display()
        );
    }
    println!("built from two folders, {} objects are the same bytes", here.len());
    Ok(())
}

/// Objects that are not on both sides with the same bytes.
fn differing<'a>(here: &'a [Built], there: &'a [Built]) -> Vec<&'a str> {
    let only = |of: &'a [Built], other: &'a [Built]| of.iter().filter(|built| !other.contains(built));
    let mut names: Vec<&str> =
        only(here, there).chain(only(there, here)).map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Leaves both builds behind to be looked at.
fn keep(folder: &Path, here: &[Built], there: &[Built]) -> Result<()> {
    for (side, objects) in [("here", here), ("there", there)] {
        let folder = folder.join(side);
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        for (name, bytes) in objects {
            let path = folder.join(name);
            fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    Ok(())
}

/// The sources in another folder, removed on drop.
struct Copy {
    top: PathBuf,
    root: PathBuf,
}

impl Copy {
    fn make(target: &Path) -> Result<Copy> {
        let root = target.join(COPY);
        let copy = Copy { top: target.join(COPY.split('/').next().unwrap_or(COPY)), root };
        copy.remove()?;
        for file in Tree::load(&crate::root())?.files {
            let (from, to) = (crate::root().join(&file.path), copy.root.join(&file.path));
            let folder = to.parent().unwrap_or(&copy.root);
            fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
            fs::copy(&from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
        }
        Ok(copy)
    }

    fn remove(&self) -> Result<()> {
        match fs::remove_dir_all(&self.top) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", self.top.display()))
            }
            _ => Ok(()),
        }
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            eprintln!("{error:#}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_byte_or_a_lost_object_differs() {
        let built = |name: &str, bytes: &[u8]| (name.to_owned(), bytes.to_vec());
        let here = [built("a", b"1"), built("b", b"2")];
        assert_eq!(differing(&here, &here), Vec::<&str>::new());
        assert_eq!(differing(&here, &[built("a", b"1"), built("b", b"3")]), ["b"]);
        assert_eq!(differing(&here, &here[..1]), ["b"]);
        assert_eq!(differing(&here[..1], &here), ["b"]);
    }
}
