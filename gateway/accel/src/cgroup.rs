//! The cgroup v2 folder that the program is attached to, and the process's way into it and back.
//!
//! A `sock_ops` program sees the sockets of one cgroup, so the gateway lives in a cgroup of its own.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process;

use tracing::warn;

use super::mounts::{MOUNTS, mounts_of, parse};

const OWN: &str = "/proc/self/cgroup";
const MEMBERS: &str = "cgroup.procs";
/// Every cgroup but the root of the machine has this file.
const NOT_IN_ROOT: &str = "cgroup.type";
/// Followed by the process id of the gateway that made the folder.
const CHILD_PREFIX: &str = "waggle-";
/// Followed by the identity of the gateway's data: of a folder that is kept from one gateway to the next.
const KEPT_PREFIX: &str = "waggle-kept-";

/// Cgroups in which leftovers are looked for.
const FOLDERS_MAX: usize = 100_000;

#[derive(Debug, thiserror::Error)]
pub(super) enum CgroupError {
    #[error("cgroup v2 is not mounted")]
    NotMounted,
    #[error("this process is in no cgroup v2")]
    NoMembership,
    #[error("{} is not a cgroup v2 folder", .0.display())]
    NotACgroup(PathBuf),
    #[error("cannot {action} {}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
}

/// A cgroup to attach to; the process is not moved yet.
#[derive(Debug)]
pub(super) struct Prepared {
    dir: PathBuf,
    handle: File,
    /// Where the process lives now.
    from: PathBuf,
    made: Option<MadeFolder>,
}

/// The process lives in the cgroup until this is dropped; then it goes back.
#[derive(Debug)]
pub(super) struct Membership {
    /// Set if the process was moved.
    back_to: Option<PathBuf>,
    // After `back_to` in reading and in dropping: a folder with members cannot be removed.
    made: Option<MadeFolder>,
}

/// A cgroup folder of ours, removed on drop.
#[derive(Debug)]
struct MadeFolder(PathBuf);

/// Finds the folder asked for, or makes one below the process's own.
pub(super) fn prepare(explicit: Option<&Path>) -> Result<Prepared, CgroupError> {
    let from = own_dir()?;
    if let Some(dir) = explicit {
        if !dir.join(MEMBERS).exists() {
            return Err(CgroupError::NotACgroup(dir.to_owned()));
        }
        return Prepared::new(dir.to_owned(), from, None);
    }
    remove_leftovers(&from);
    let child = from.join(format!("{CHILD_PREFIX}{}", process::id()));
    match fs::create_dir(&child) {
        Ok(()) => Prepared::new(child.clone(), from, Some(MadeFolder(child))),
        Err(source) => own_in_place_of(child, from, source),
    }
}

/// The same, but the folder is the same for each gateway with this identity, and is kept at the end: a pinned
/// link hangs on it. Also gives whether it is such a folder.
pub(super) fn prepare_kept(explicit: Option<&Path>, id: &str) -> Result<(Prepared, bool), CgroupError> {
    if explicit.is_some() {
        return Ok((prepare(explicit)?, false));
    }
    let from = own_dir()?;
    remove_leftovers(&from);
    let name = format!("{KEPT_PREFIX}{id}");
    if from.ends_with(&name) {
        return Ok((Prepared::new(from.clone(), from, None)?, true));
    }
    let child = from.join(name);
    match fs::create_dir(&child) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Ok((own_in_place_of(child, from, error)?, false))
        }
        _ => Ok((Prepared::new(child, from, None)?, true)),
    }
}

/// A container often has its cgroup mounted read-only. Its own cgroup holds nothing but the gateway, so that
/// one serves; the machine's root would put the program on everyone.
fn own_in_place_of(child: PathBuf, own: PathBuf, why: io::Error) -> Result<Prepared, CgroupError> {
    if own.join(NOT_IN_ROOT).exists() {
        return Prepared::new(own.clone(), own, None);
    }
    Err(CgroupError::io("make", &child)(why))
}

impl Prepared {
    fn new(dir: PathBuf, from: PathBuf, made: Option<MadeFolder>) -> Result<Self, CgroupError> {
        Ok(Self { handle: File::open(&dir).map_err(CgroupError::io("open", &dir))?, dir, from, made })
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn handle(&self) -> &File {
        &self.handle
    }

    /// The cgroup's number, by which the kernel names it.
    pub(super) fn id(&self) -> io::Result<u64> {
        Ok(self.handle.metadata()?.ino())
    }

    /// Moves the process into the cgroup, unless it is in it or below it.
    pub(super) fn enter(self) -> Result<Membership, CgroupError> {
        let inside = self.from.starts_with(&self.dir);
        if !inside {
            move_to(&self.dir)?;
        }
        Ok(Membership { back_to: (!inside).then_some(self.from), made: self.made })
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        if let Some(dir) = &self.back_to
            && let Err(error) = move_to(dir)
        {
            warn!(error = %super::error::chain(&error), "the process stays in the accelerator's cgroup");
        }
        drop(self.made.take());
    }
}

impl Drop for MadeFolder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.0) {
            warn!(dir = %self.0.display(), %error, "the accelerator's cgroup stays behind");
        }
    }
}

impl CgroupError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// Moves all threads of this process.
fn move_to(dir: &Path) -> Result<(), CgroupError> {
    // 0 is the writer itself, whatever pid namespace it is in.
    fs::write(dir.join(MEMBERS), "0").map_err(CgroupError::io("move into", dir))
}

/// Removes what a gateway that was killed left here. Its program is gone already: the kernel detaches it
/// with the process.
///
/// Gives what was removed.
pub(super) fn remove_leftovers(parent: &Path) -> Vec<PathBuf> {
    let mut removed = Vec::new();
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.strip_prefix(CHILD_PREFIX)) else {
            continue;
        };
        let gone = pid.parse::<u32>().is_ok() && !Path::new("/proc").join(pid).exists();
        // The kernel refuses this for a cgroup with members, which is what we want.
        if gone && fs::remove_dir(entry.path()).is_ok() {
            removed.push(entry.path());
        }
    }
    removed
}

/// The same for every folder below `dir`, or of the whole machine's cgroups; breadth first, and not without
/// end.
pub(super) fn remove_all_leftovers(dir: Option<&Path>) -> Vec<PathBuf> {
    let mount = || mounts_of("cgroup2").into_iter().next().map(|mount| mount.dir);
    let mut waiting: VecDeque<_> = dir.map(Path::to_owned).or_else(mount).into_iter().collect();
    let mut removed = Vec::new();
    for _ in 0..FOLDERS_MAX {
        let Some(parent) = waiting.pop_front() else { return removed };
        removed.extend(remove_leftovers(&parent));
        let entries = fs::read_dir(parent).into_iter().flatten().flatten();
        let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        waiting.extend(folders.map(|entry| entry.path()).take(FOLDERS_MAX.saturating_sub(waiting.len())));
    }
    if !waiting.is_empty() {
        warn!(looked_at = FOLDERS_MAX, "there are more cgroups than are looked at");
    }
    removed
}

/// Removes a folder that [`prepare_kept`] has made; gone is as good.
pub(super) fn remove_kept(dir: &Path) -> io::Result<()> {
    let is_ours = dir.file_name().is_some_and(|name| name.to_string_lossy().starts_with(KEPT_PREFIX));
    if !is_ours {
        return Err(io::Error::other("it is no cgroup of a gateway"));
    }
    match fs::remove_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

/// The cgroup v2 folder that this process lives in.
pub(super) fn own_dir() -> Result<PathBuf, CgroupError> {
    let read = |path: &str| fs::read_to_string(path).map_err(CgroupError::io("read", Path::new(path)));
    let mount = mount_point(&read(MOUNTS)?).ok_or(CgroupError::NotMounted)?;
    let own = own_path(&read(OWN)?).ok_or(CgroupError::NoMembership)?;
    let dir = mount.join(own);
    if dir.join(MEMBERS).exists() {
        Ok(dir)
    } else {
        // The mount shows another part of the tree than the process lives in.
        Err(CgroupError::NotACgroup(dir))
    }
}

/// The first cgroup v2 mount in the format of `/proc/self/mounts`.
fn mount_point(mounts: &str) -> Option<PathBuf> {
    parse(mounts).into_iter().find(|mount| mount.kind == "cgroup2").map(|mount| mount.dir)
}

/// This process's place in cgroup v2, relative to the mount, in the format of `/proc/self/cgroup`.
fn own_path(memberships: &str) -> Option<PathBuf> {
    memberships.lines().find_map(|line| line.strip_prefix("0::/")).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_point_is_found_beside_version_1_and_under_odd_names() {
        let vectors = [
            (
                "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n\
                 cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
                 cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n",
                Some("/sys/fs/cgroup/unified"),
            ),
            ("cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n", Some("/sys/fs/cgroup")),
            ("none /mnt/my\\040cgroup\\134v2 cgroup2 rw 0 0\n", Some("/mnt/my cgroup\\v2")),
            ("cgroup /sys/fs/cgroup/cpu cgroup rw 0 0\n", None),
            ("", None),
        ];
        for (mounts, expected) in vectors {
            assert_eq!(mount_point(mounts), expected.map(PathBuf::from), "{mounts}");
        }
    }

    #[test]
    fn the_own_path_is_relative_to_the_mount() {
        let vectors = [
            ("3:cpuset:/a\n0::/\n", Some("")),
            ("0::/system.slice/waggle.service\n", Some("system.slice/waggle.service")),
            ("3:cpuset:/a\n", None),
        ];
        for (memberships, expected) in vectors {
            assert_eq!(own_path(memberships), expected.map(PathBuf::from));
        }
    }

    #[test]
    fn leftovers_are_found_at_any_depth_and_by_the_dead_alone() {
        let dir = tempfile::tempdir().expect("temporary directory");
        // No process has this number: it is above what any kernel gives out.
        let (dead, living) = ("waggle-4194305".to_owned(), format!("waggle-{}", process::id()));
        let at = |parts: &[&str]| parts.iter().fold(dir.path().to_owned(), |path, part| path.join(part));
        let (shallow, deep) = (at(&[&dead]), at(&["a.slice", "b.service", &dead]));
        let spared = [at(&["a.slice", &living]), at(&["waggle-kept-1-2"]), at(&["c", "waggle-x"])];
        for folder in [&shallow, &deep].into_iter().chain(&spared) {
            fs::create_dir_all(folder).expect("temporary directory");
        }
        let removed = remove_all_leftovers(Some(dir.path()));
        assert_eq!(removed, [shallow, deep]);
        assert!(removed.iter().all(|folder| !folder.exists()) && spared.iter().all(|folder| folder.exists()));
    }

    #[test]
    fn a_folder_that_is_no_cgroup_is_refused() {
        let dir = tempfile::tempdir().expect("temporary directory");
        // Where there is no cgroup v2 at all, that is the error, and as good.
        let error = prepare(Some(dir.path())).expect_err("no cgroup");
        assert!(!error.to_string().is_empty());
    }
}
