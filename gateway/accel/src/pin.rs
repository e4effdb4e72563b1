//! Objects that outlive their gateway, in the kernel's bpf file system.
//!
//! Each gateway has a folder of its own there, named by the identity of its data directory, so that no two of
//! them meet, and a successor on the same data finds what is its own. The folder is locked while a gateway
//! lives; the lock is the kernel's, so that a killed gateway leaves none. Besides pinned objects it holds
//! notes, as symbolic links: the file system knows no other text.

#[cfg(target_os = "linux")]
pub(crate) mod link;

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, symlink};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use rustix::fs::{FlockOperation, flock};

/// Where they are, unless the configuration says otherwise.
pub const PIN_DIR_DEFAULT: &str = "/sys/fs/bpf/waggle";

/// The note that names the data directory.
pub(crate) const DATA_DIR: &str = "data_dir";
/// The note that names the cgroup that was made for the gateway.
pub(crate) const CGROUP: &str = "cgroup";
/// The note of the network namespace in which the guard's links are; the guard writes it.
const NAMESPACE: &str = "guard_namespace";

/// A gateway's right to its folder.
#[derive(Debug)]
pub struct Pins(Mutex<State>);

#[derive(Debug)]
enum State {
    /// Nothing is pinned; why.
    Off(String),
    Held {
        folder: PinFolder,
        _lock: File,
    },
}

impl Default for Pins {
    /// Nothing is pinned.
    fn default() -> Self {
        Self(Mutex::new(State::Off("accel.pin_dir is not set".to_owned())))
    }
}

impl Pins {
    /// Takes the folder of the gateway on `data_dir`, which must be there, below `dir`. Where it cannot be had,
    /// nothing is pinned, and [`Pins::off`] says why.
    #[must_use]
    pub fn open(dir: &Path, data_dir: &Path) -> Self {
        let state = match PinFolder::make(dir, data_dir)
            .and_then(|folder| folder.lock().map(|lock| (folder, lock)))
        {
            Ok((folder, lock)) => {
                super::detach::forget_orphans(dir, &folder);
                State::Held { folder, _lock: lock }
            }
            Err(error) => {
                let reason = super::error::chain(&error);
                tracing::warn!(reason, "nothing is pinned");
                State::Off(reason)
            }
        };
        Self(Mutex::new(state))
    }

    /// Why nothing is pinned.
    #[must_use]
    pub fn off(&self) -> Option<String> {
        match &*self.0.lock() {
            State::Off(reason) => Some(reason.clone()),
            State::Held { .. } => None,
        }
    }

    /// Lets a successor have the folder. What is pinned stays; this gateway must not change it any more.
    pub fn release(&self) {
        *self.0.lock() = State::Off("a successor has it".to_owned());
    }

    /// The folder; `None` where nothing is pinned.
    pub(crate) fn folder(&self) -> Option<PinFolder> {
        match &*self.0.lock() {
            State::Off(_) => None,
            State::Held { folder, .. } => Some(folder.clone()),
        }
    }
}

/// Why there is no folder.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PinError {
    #[error("no bpf file system is mounted at or above {}", .0.display())]
    NotMounted(PathBuf),
    #[error(
        "{} is the whole bpf file system, which others use as well; name a folder below it, such as {}",
        .0.display(),
        .0.join("waggle").display()
    )]
    Shared(PathBuf),
    #[error("{} is no folder that this user alone may write to", .0.display())]
    Foreign(PathBuf),
    #[error("{} is used by the running gateway on {data_dir}", dir.display())]
    InUse { dir: PathBuf, data_dir: String },
    #[error("cannot {action} {}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
}

impl PinError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// One gateway's folder.
#[derive(Clone, Debug)]
pub(crate) struct PinFolder(PathBuf);

impl PinFolder {
    fn make(dir: &Path, data_dir: &Path) -> Result<Self, PinError> {
        check_place(dir)?;
        let whole = fs::canonicalize(data_dir).map_err(PinError::io("find", data_dir))?;
        let identity = fs::metadata(&whole).map_err(PinError::io("read", &whole))?;
        make_folder(dir)?;
        let folder = Self(dir.join(format!("{:x}-{:x}", identity.dev(), identity.ino())));
        make_folder(&folder.0)?;
        let noted = folder.set_note(DATA_DIR, &whole.to_string_lossy());
        noted.map_err(PinError::io("write to", &folder.0))?;
        Ok(folder)
    }

    /// Those of all gateways below `dir`, by name. What has no name of ours, or does not say whose it is, is
    /// somebody else's.
    pub(crate) fn all(dir: &Path) -> Vec<Self> {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        // Not by a symbolic link: it may lead to somebody else's.
        let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        let named = folders.filter(|entry| entry.file_name().to_str().is_some_and(is_identity));
        let mut folders: Vec<_> = named.map(|entry| Self(entry.path())).collect();
        folders.retain(|folder| folder.note(DATA_DIR).is_some());
        folders.sort_by(|one, other| one.0.cmp(&other.0));
        folders
    }

    /// Whether its data directory is gone for good, as that of a container without a volume is: nobody will
    /// come for it. Of a gateway in another network namespace, nothing is in anybody's way here, and its data
    /// may be where this one cannot see.
    pub(crate) fn is_orphan(&self) -> bool {
        let own = network_namespace();
        let is_elsewhere = self.note(NAMESPACE).is_some_and(|noted| Some(noted) != own);
        let is_gone = |data_dir: String| {
            fs::symlink_metadata(data_dir).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
        };
        !is_elsewhere && self.note(DATA_DIR).is_some_and(is_gone)
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.0
    }

    /// Its name, which is the gateway's identity.
    pub(crate) fn id(&self) -> String {
        self.0.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// For as long as the file is open.
    pub(crate) fn lock(&self) -> Result<File, PinError> {
        let file = File::open(&self.0).map_err(PinError::io("open", &self.0))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let data_dir = self.note(DATA_DIR).unwrap_or_else(|| "another data directory".to_owned());
                Err(PinError::InUse { dir: self.0.clone(), data_dir })
            }
            Err(error) => Err(PinError::io("lock", &self.0)(error.into())),
        }
    }

    /// Where an object of this name is, or would be.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Names that start with `prefix`, in order.
    pub(crate) fn names(&self, prefix: &str) -> Vec<String> {
        let entries = fs::read_dir(&self.0).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.retain(|name| name.starts_with(prefix));
        names.sort();
        names
    }

    /// Lets go of every object and note whose name starts with `prefix`.
    pub(crate) fn clear(&self, prefix: &str) {
        for name in self.names(prefix) {
            // What stays is seen by whoever lists the folder.
            let _ = fs::remove_file(self.path(&name));
        }
    }

    /// What was noted under `name`.
    pub(crate) fn note(&self, name: &str) -> Option<String> {
        fs::read_link(self.path(name)).ok().map(|text| text.to_string_lossy().into_owned())
    }

    /// Notes something, in place of what was noted before.
    pub(crate) fn set_note(&self, name: &str, text: &str) -> io::Result<()> {
        let new = self.path(&format!("{name}_new"));
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => symlink(text, &new)?,
        }
        fs::rename(&new, self.path(name))
    }

    /// Removes the folder, which must be empty.
    pub(crate) fn remove(&self) -> io::Result<()> {
        fs::remove_dir(&self.0)
    }
}

/// Device and inode of a data directory, as [`PinFolder::make`] writes them.
fn is_identity(name: &str) -> bool {
    let is_number = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'))
    };
    name.split_once('-').is_some_and(|(device, inode)| is_number(device) && is_number(inode))
}

/// The inode of this process's.
fn network_namespace() -> Option<String> {
    fs::metadata("/proc/self/ns/net").ok().map(|found| found.ino().to_string())
}

/// Whether gateways may have their folders in `dir`.
pub(crate) fn check_place(dir: &Path) -> Result<(), PinError> {
    let whole = fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
    match bpf_file_system(&whole) {
        None => Err(PinError::NotMounted(dir.to_owned())),
        Some(mount) if mount == whole => Err(PinError::Shared(dir.to_owned())),
        Some(_) => Ok(()),
    }
}

/// Where the bpf file system is mounted that holds `dir`.
#[cfg(target_os = "linux")]
fn bpf_file_system(dir: &Path) -> Option<PathBuf> {
    // The longest mount that holds it decides.
    let mounts = super::mounts::mounts().unwrap_or_default();
    let holding = mounts.into_iter().filter(|mount| dir.starts_with(&mount.dir));
    // Of equal ones the later hides the earlier.
    let mount = holding.max_by_key(|mount| mount.dir.as_os_str().len());
    mount.filter(|mount| mount.kind == "bpf").map(|mount| mount.dir)
}

#[cfg(not(target_os = "linux"))]
fn bpf_file_system(_dir: &Path) -> Option<PathBuf> {
    None
}

/// Anybody may make folders in a bpf file system, and whoever may write to one takes off what is pinned there.
fn make_folder(dir: &Path) -> Result<(), PinError> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(PinError::io("make", dir)(error));
        }
        _ => {}
    }
    let found = fs::symlink_metadata(dir).map_err(PinError::io("read", dir))?;
    let is_own = found.is_dir() && found.uid() == rustix::process::geteuid().as_raw();
    if is_own && found.mode() & 0o022 == 0 { Ok(()) } else { Err(PinError::Foreign(dir.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_bpf_file_system_nothing_is_pinned() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let pins = Pins::open(&dir.path().join("pins"), dir.path());
        let reason = pins.off().expect("not a bpf file system");
        assert!(reason.starts_with("no bpf file system is mounted at or above "), "{reason}");
        assert!(pins.folder().is_none() && !dir.path().join("pins").exists());
        assert_eq!(Pins::default().off().as_deref(), Some("accel.pin_dir is not set"));
    }

    #[test]
    fn notes_are_replaced_and_cleared() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let folder = PinFolder(dir.path().to_owned());
        assert_eq!(folder.note("abi"), None);
        for text in ["2", "3"] {
            folder.set_note("abi", text).expect("a folder");
            assert_eq!(folder.note("abi").as_deref(), Some(text));
        }
        folder.set_note("cgroup", "/sys/fs/cgroup/waggle").expect("a folder");
        assert_eq!(folder.names(""), ["abi", "cgroup"]);
        folder.clear("abi");
        assert_eq!(folder.names(""), ["cgroup"]);
    }

    #[test]
    fn a_folder_that_others_may_write_to_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().expect("temporary directory");
        let (own, open, link) = (dir.path().join("own"), dir.path().join("open"), dir.path().join("link"));
        make_folder(&own).expect("new");
        make_folder(&own).expect("there already");
        fs::create_dir(&open).expect("temporary directory");
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).expect("our own");
        symlink(&own, &link).expect("temporary directory");
        for foreign in [open, link] {
            let error = make_folder(&foreign).expect_err("others may write there").to_string();
            assert!(error.ends_with("is no folder that this user alone may write to"), "{error}");
        }
    }

    #[test]
    fn folders_of_others_are_not_ours() {
        let dir = tempfile::tempdir().expect("temporary directory");
        for name in ["10-2f", "10-30", "11-1", "tc", "cilium-1", "1-", "-1", "1-2-3", "AB-1"] {
            fs::create_dir(dir.path().join(name)).expect("temporary directory");
        }
        for name in ["10-2f", "tc", "cilium-1", "1-2-3"] {
            symlink("/var/lib/waggle", dir.path().join(name).join(DATA_DIR)).expect("a folder");
        }
        symlink(dir.path().join("10-2f"), dir.path().join("12-1")).expect("temporary directory");
        fs::write(dir.path().join("13-1"), "").expect("temporary directory");
        let ours: Vec<_> = PinFolder::all(dir.path()).iter().map(PinFolder::id).collect();
        assert_eq!(ours, ["10-2f"]);
    }

    #[test]
    fn a_folder_is_an_orphan_when_its_data_is_gone_and_nobody_elsewhere_has_it() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let folder = PinFolder(dir.path().to_owned());
        assert!(!folder.is_orphan(), "it does not say whose it is");
        folder.set_note(DATA_DIR, &dir.path().to_string_lossy()).expect("a folder");
        assert!(!folder.is_orphan(), "its data is there");
        folder.set_note(DATA_DIR, &dir.path().join("gone").to_string_lossy()).expect("a folder");
        assert!(folder.is_orphan());
        folder.set_note(NAMESPACE, "1").expect("a folder");
        assert!(!folder.is_orphan(), "it is of another network");
    }

    #[test]
    fn one_gateway_at_a_time() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let folder = PinFolder(dir.path().to_owned());
        folder.set_note(DATA_DIR, "/var/lib/waggle").expect("a folder");
        let lock = folder.lock().expect("free");
        let error = folder.lock().expect_err("locked").to_string();
        assert!(error.ends_with("is used by the running gateway on /var/lib/waggle"), "{error}");
        drop(lock);
        folder.lock().expect("free again");
    }
}
