//! The data directory: made for its owner alone, and used by one gateway at a time.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use tokio::time::{Duration, Instant};
use waggle_core::limits::TAKEOVER_POLL_MS;

use rustix::fs::{FlockOperation, flock};

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// It cannot be made, or its lock cannot be opened.
    #[error("the data directory {} cannot be used", path.display())]
    Unusable {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Nothing is in it that a gateway has made.
    #[error(
        "there is no Waggle database in {}; is that the gateway's --data-dir? `waggle serve` makes one",
        path.display()
    )]
    NoDatabase {
        /// Which.
        path: PathBuf,
    },
    /// Another gateway holds it.
    #[error("the data directory {} is in use by the gateway with process id {pid}", path.display())]
    InUse {
        /// Which.
        path: PathBuf,
        /// Whose; "unknown" where the holder has not said.
        pid: String,
    },
}

/// A data directory.
#[derive(Debug, Clone)]
pub struct DataDir(PathBuf);

/// The right to be the one gateway of a data directory; it ends with the process.
#[derive(Debug)]
pub struct DataDirLock {
    _file: File,
}

impl DataDir {
    /// Makes the directory where it is missing, with mode 0700. Whatever this process writes from now on
    /// is for its own user alone, in a directory that others may enter, too.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.map_err(|source| DataDirError::Unusable { path: path.to_owned(), source })?;
        Ok(Self(path.to_owned()))
    }

    /// A directory in which a gateway has made a database. What this process writes is for its own user alone.
    ///
    /// # Errors
    /// Where there is none: nothing is made.
    pub fn existing(path: &Path) -> Result<Self, DataDirError> {
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
        let dir = Self(path.to_owned());
        match dir.database().metadata() {
            Ok(found) if found.is_file() => Ok(dir),
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(DataDirError::Unusable { path: path.to_owned(), source })
            }
            _ => Err(DataDirError::NoDatabase { path: path.to_owned() }),
        }
    }

    /// A directory that another process has made, or not.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// The database.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.0.join("waggle.db")
    }

    /// Files of tickets.
    #[must_use]
    pub fn attachments(&self) -> PathBuf {
        self.0.join("attachments")
    }

    /// Searchable texts: made anew from the database where they are missing.
    #[must_use]
    pub fn search(&self) -> PathBuf {
        self.0.join("search.db")
    }

    /// Models of the assistant: folded from the log anew where they are missing.
    #[must_use]
    pub fn learn(&self) -> PathBuf {
        self.0.join("learn")
    }

    /// The control socket.
    #[must_use]
    pub fn control_socket(&self) -> PathBuf {
        self.0.join("control.sock")
    }

    /// What `--demo` made.
    #[must_use]
    pub fn demo(&self) -> PathBuf {
        self.0.join("demo.json")
    }

    /// Becomes its one gateway. The lock is the kernel's: a killed process leaves none behind.
    ///
    /// # Errors
    /// Where another process is that already, or the lock cannot be opened.
    pub fn lock(&self) -> Result<DataDirLock, DataDirError> {
        let unusable = |source| DataDirError::Unusable { path: self.0.clone(), source };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(self.0.join("lock")).map_err(unusable)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(DataDirError::InUse { path: self.0.clone(), pid: holder(&mut file) });
            }
            Err(error) => return Err(unusable(error.into())),
        }
        let note = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())
        };
        note(&mut file).map_err(unusable)?;
        Ok(DataDirLock { _file: file })
    }
}

impl DataDir {
    /// The same, and waits at most `within` for the gateway that has it to let go.
    ///
    /// # Errors
    /// As [`DataDir::lock`].
    pub async fn lock_within(&self, within: Duration) -> Result<DataDirLock, DataDirError> {
        let deadline = Instant::now() + within;
        let mut is_told = false;
        loop {
            match self.lock() {
                Err(DataDirError::InUse { pid, .. }) if Instant::now() < deadline => {
                    if !is_told {
                        tracing::info!(pid, "waiting for the running gateway to let go; send it SIGTERM");
                        is_told = true;
                    }
                    tokio::time::sleep(Duration::from_millis(TAKEOVER_POLL_MS)).await;
                }
                outcome => return outcome,
            }
        }
    }
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    // A process id has at most ten digits.
    match file.take(20).read_to_string(&mut text) {
        Ok(1..) => text.trim().to_owned(),
        _ => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn one_gateway_at_a_time() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        let dir = DataDir::open(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        let lock = dir.lock().unwrap();
        let error = dir.lock().unwrap_err().to_string();
        assert!(error.contains(&format!("process id {}", std::process::id())), "{error}");
        drop(lock);
        dir.lock().unwrap();
    }

    #[test]
    fn nothing_is_made_where_nothing_is() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("mistyped");
        assert!(matches!(DataDir::existing(&path), Err(DataDirError::NoDatabase { .. })));
        assert!(matches!(DataDir::existing(parent.path()), Err(DataDirError::NoDatabase { .. })));
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_is_no_directory() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(matches!(DataDir::open(file.path()), Err(DataDirError::Unusable { .. })));
    }
}
