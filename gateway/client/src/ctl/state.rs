//! The state file of `watch`: one cursor, replaced as a whole.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use waggle_client::Cursor;

use super::failure::{Exit, Failure};
use super::output::FileMark;

/// How long the lock of a run that is just ending is waited for.
const LOCK_MS_MAX: u64 = 10_000;
/// Between two looks at it.
const LOCK_PAUSE_MS: u64 = 20;

/// What a run leaves to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// All up to here was printed.
    pub(crate) cursor: Cursor,
    /// The output's length then, where it is a regular file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) output: Option<FileMark>,
}

/// The file, for this process alone.
#[derive(Debug)]
pub(crate) struct StateFile {
    path: PathBuf,
    next: PathBuf,
    saved: Option<State>,
    /// Held until the process ends, however it ends. A file of its own, since the state is replaced.
    _lock: File,
}

impl StateFile {
    /// Takes the file, and reads what the last run left.
    ///
    /// # Errors
    /// Where another run has it, or it holds no state.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let lock_path = beside(path, ".lock");
        let lock = OpenOptions::new().create(true).append(true).open(&lock_path);
        let lock =
            lock.map_err(|error| Failure::local(format_args!("cannot open {}", lock_path.display()), error))?;
        take_lock(&lock, path)?;
        let saved = match std::fs::read(path) {
            Ok(bytes) => Some(read(&bytes, path)?),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(Failure::local(format_args!("cannot read {}", path.display()), error)),
        };
        Ok(Self { path: path.to_owned(), next: beside(path, ".next"), saved, _lock: lock })
    }

    pub(crate) fn saved(&self) -> Option<State> {
        self.saved
    }

    /// Puts `state` in the place of the last, so that a reader finds the one or the other.
    ///
    /// # Errors
    /// Where the folder or the disk does not let it.
    pub(crate) fn save(&mut self, state: State) -> Result<(), Failure> {
        if self.saved == Some(state) {
            return Ok(());
        }
        // Numbers and texts always have a JSON text.
        let mut bytes = serde_json::to_vec(&state).unwrap_or_default();
        bytes.push(b'\n');
        let replaced =
            std::fs::write(&self.next, bytes).and_then(|()| std::fs::rename(&self.next, &self.path));
        replaced
            .map_err(|error| Failure::local(format_args!("cannot save {}", self.path.display()), error))?;
        self.saved = Some(state);
        Ok(())
    }
}

fn read(bytes: &[u8], path: &Path) -> Result<State, Failure> {
    serde_json::from_slice(bytes).map_err(|error| {
        let doing = format!(
            "{} is no state of wagglectl watch (remove it to begin anew; events since are not shown then)",
            path.display()
        );
        Failure::local(doing, error)
    })
}

/// A run that was killed may still be ending; one that lives is not waited for long.
fn take_lock(lock: &File, path: &Path) -> Result<(), Failure> {
    let started = Instant::now();
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if started.elapsed() < Duration::from_millis(LOCK_MS_MAX) => {
                std::thread::sleep(Duration::from_millis(LOCK_PAUSE_MS));
            }
            Err(TryLockError::WouldBlock) => {
                let message = format!("another wagglectl watch uses {}", path.display());
                return Err(Failure::new(Exit::Failure, message));
            }
            Err(TryLockError::Error(error)) => {
                return Err(Failure::local(format_args!("cannot lock {}", path.display()), error));
            }
        }
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}

#[cfg(test)]
mod tests {
    use waggle_client::{Epoch, Offset};

    use super::*;

    #[test]
    fn a_state_comes_back_and_rubbish_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let state = State { cursor: Cursor { epoch: Epoch(3), offset: Offset(9) }, output: None };
        {
            let mut file = StateFile::open(&path).unwrap();
            assert_eq!(file.saved(), None);
            file.save(state).unwrap();
        }
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "{\"cursor\":{\"epoch\":\"0000000000000003\",\"offset\":9}}\n"
        );
        assert_eq!(StateFile::open(&path).unwrap().saved(), Some(state));
        std::fs::write(&path, "").unwrap();
        assert!(StateFile::open(&path).unwrap_err().to_string().contains("is no state"));
    }
}
