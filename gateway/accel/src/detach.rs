//! `waggle accel detach`: takes away what gateways have left in the kernel.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::chain;
use super::pin::{self, CGROUP, DATA_DIR, PinError, PinFolder};

/// What was taken away, and what was not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DetachReport {
    /// By gateway.
    pub detached: Vec<Detached>,
    /// Cgroups of gateways that were killed and had pinned nothing.
    pub cgroups: Vec<PathBuf>,
    /// What stays.
    pub left: Vec<Left>,
}

/// What one gateway had left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detached {
    /// Its data directory.
    pub data_dir: String,
    /// Its folder of pins.
    pub pins: PathBuf,
    /// Names of links, maps, programs and notes in it.
    pub objects: Vec<String>,
    /// The cgroup that was made for it; none where it had none of its own.
    pub cgroup: Option<PathBuf>,
}

/// What was not taken away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// A folder of pins, or a cgroup.
    pub path: PathBuf,
    /// Why not.
    pub reason: String,
}

/// Whether gateways that live lose what they have pinned, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Living {
    /// They keep it.
    Spared,
    /// They lose it, and go on without.
    Detached,
}

/// Takes away links, pins and cgroups of all gateways that have pinned something below `pin_dir`, and cgroups
/// of those that were killed and had pinned nothing, below `cgroup` or wherever cgroups are.
#[must_use]
pub fn detach(pin_dir: &Path, cgroup: Option<&Path>, living: Living) -> DetachReport {
    let mut report = DetachReport::default();
    match pin::check_place(pin_dir) {
        Ok(()) => {
            for folder in PinFolder::all(pin_dir) {
                detach_one(&folder, living, &mut report);
            }
            // It stays where something is left in it.
            let _ = std::fs::remove_dir(pin_dir);
        }
        // Nothing can be there.
        Err(PinError::NotMounted(_)) => {}
        Err(error) => report.left.push(Left { path: pin_dir.to_owned(), reason: chain(&error) }),
    }
    report.cgroups = leftover_cgroups(cgroup);
    report
}

/// Takes away what gateways have left below `pin_dir` whose data is gone, so that no successor comes for it:
/// it would be in the way for ever. Folder `own` is spared.
pub(crate) fn forget_orphans(pin_dir: &Path, own: &PinFolder) {
    for folder in PinFolder::all(pin_dir) {
        if folder.dir() == own.dir() || !folder.is_orphan() {
            continue;
        }
        let mut report = DetachReport::default();
        detach_one(&folder, Living::Spared, &mut report);
        for one in report.detached {
            tracing::info!(
                data_dir = one.data_dir,
                "what a gateway had pinned whose data is gone is taken off"
            );
        }
    }
}

fn detach_one(folder: &PinFolder, living: Living, report: &mut DetachReport) {
    // Held to the end, so that no gateway starts on half of it.
    let lock = folder.lock();
    if let (Err(error), Living::Spared) = (&lock, living) {
        return report.left.push(Left { path: folder.dir().to_owned(), reason: chain(error) });
    }
    let data_dir = folder.note(DATA_DIR).unwrap_or_else(|| "unknown".to_owned());
    let cgroup = folder.note(CGROUP).map(PathBuf::from);
    let objects = folder.names("");
    for name in &objects {
        // A living gateway holds its links by descriptors as well.
        take_off(&folder.path(name));
    }
    folder.clear("");
    let mut left = |path: &Path, error: std::io::Error| {
        report.left.push(Left { path: path.to_owned(), reason: error.to_string() });
    };
    let cgroup = cgroup.filter(|cgroup| match remove_cgroup(cgroup) {
        Ok(()) => true,
        Err(error) => {
            left(cgroup, error);
            false
        }
    });
    if let Err(error) = folder.remove() {
        left(folder.dir(), error);
    }
    report.detached.push(Detached { data_dir, pins: folder.dir().to_owned(), objects, cgroup });
}

#[cfg(target_os = "linux")]
fn take_off(path: &Path) {
    // A symbolic link might lead to somebody else's.
    if !std::fs::symlink_metadata(path).is_ok_and(|found| found.is_file()) {
        return;
    }
    // Maps and programs are no links; a link whose cgroup or interface is gone is off already.
    let _ = super::pin::link::PinnedLink::open(path).and_then(|link| link.detach());
}

#[cfg(not(target_os = "linux"))]
fn take_off(_path: &Path) {}

#[cfg(target_os = "linux")]
fn remove_cgroup(cgroup: &Path) -> std::io::Result<()> {
    super::cgroup::remove_kept(cgroup)
}

#[cfg(not(target_os = "linux"))]
fn remove_cgroup(_cgroup: &Path) -> std::io::Result<()> {
    Ok(())
}

#[cfg(target_os = "linux")]
fn leftover_cgroups(below: Option<&Path>) -> Vec<PathBuf> {
    super::cgroup::remove_all_leftovers(below)
}

#[cfg(not(target_os = "linux"))]
fn leftover_cgroups(_below: Option<&Path>) -> Vec<PathBuf> {
    Vec::new()
}

impl fmt::Display for DetachReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for one in &self.detached {
            writeln!(f, "detached  {} ({})", one.data_dir, one.pins.display())?;
            for object in &one.objects {
                writeln!(f, "          {object}")?;
            }
            if let Some(cgroup) = &one.cgroup {
                writeln!(f, "          cgroup {}", cgroup.display())?;
            }
        }
        for cgroup in &self.cgroups {
            writeln!(f, "removed   cgroup {}", cgroup.display())?;
        }
        for one in &self.left {
            writeln!(f, "left      {}: {}", one.path.display(), one.reason)?;
        }
        if *self == Self::default() {
            writeln!(f, "there was nothing to detach")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_nothing_is_pinned_there_is_nothing_to_detach() {
        let dir = tempfile::tempdir().expect("temporary directory");
        std::fs::create_dir(dir.path().join("not-ours")).expect("temporary directory");
        let report = detach(dir.path(), Some(dir.path()), Living::Detached);
        assert!(report.detached.is_empty() && report.left.is_empty(), "{report}");
        assert!(dir.path().join("not-ours").exists(), "it is no bpf file system");
        assert_eq!(DetachReport::default().to_string(), "there was nothing to detach\n");
    }

    #[test]
    fn the_report_names_what_was_taken_away_and_what_stays() {
        let report = DetachReport {
            detached: vec![Detached {
                data_dir: "/var/lib/waggle".to_owned(),
                pins: "/sys/fs/bpf/waggle/1-2".into(),
                objects: vec!["guard_link_2_native".to_owned()],
                cgroup: Some("/sys/fs/cgroup/waggle-kept-1-2".into()),
            }],
            cgroups: vec!["/sys/fs/cgroup/waggle-7".into()],
            left: vec![Left { path: "/sys/fs/bpf/waggle/1-3".into(), reason: "in use".to_owned() }],
        };
        let lines = [
            "detached  /var/lib/waggle (/sys/fs/bpf/waggle/1-2)",
            "          guard_link_2_native",
            "          cgroup /sys/fs/cgroup/waggle-kept-1-2",
            "removed   cgroup /sys/fs/cgroup/waggle-7",
            "left      /sys/fs/bpf/waggle/1-3: in use",
            "",
        ];
        assert_eq!(report.to_string(), lines.join("\n"));
    }
}
