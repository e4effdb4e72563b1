//! Files on their way in: each in a file of its own, so that its hash is known before it gets its name.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use waggle_core::limits::{ATTACHMENT_DISK_FREE_BYTES, ATTACHMENT_SPOOL_LOOK_BYTES};

use super::kind::LOOK_BYTES;
use super::{AttachmentError, Hash, Kind};

/// The folder of files on their way in.
#[derive(Debug)]
pub(super) struct Spool {
    folder: PathBuf,
    bytes_max: u64,
    uploads: AtomicU64,
}

/// A file that is on its way in; dropping it leaves nothing.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) path: PathBuf,
    pub(super) file: File,
    bytes_max: u64,
    hasher: Sha256,
    bytes: u64,
    first: Vec<u8>,
}

/// All of a file, and what it is.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) hash: Hash,
    pub(super) kind: Kind,
    pub(super) bytes: u64,
}

impl Spool {
    /// The folder below `root`, made where it is missing, for files of at most `bytes_max`. What was on its way in
    /// when the process ended goes.
    pub(super) fn open(root: &Path, bytes_max: u64) -> io::Result<Self> {
        let folder = root.join("incoming");
        match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => std::fs::create_dir_all(&folder)?,
        }
        Ok(Self { folder, bytes_max, uploads: AtomicU64::new(0) })
    }

    /// The same folder, beside the gateway that has it: what is there stays.
    pub(super) fn beside(root: &Path, bytes_max: u64) -> io::Result<Self> {
        let folder = root.join("incoming");
        std::fs::create_dir_all(&folder)?;
        Ok(Self { folder, bytes_max, uploads: AtomicU64::new(0) })
    }

    pub(super) fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    pub(super) async fn begin(&self) -> Result<Incoming, AttachmentError> {
        has_room(&self.folder)?;
        let number = self.uploads.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.join(format!("{}-{number}", std::process::id()));
        let file = File::create(&path).await?;
        let bytes_max = self.bytes_max;
        Ok(Incoming { path, file, bytes_max, hasher: Sha256::new(), bytes: 0, first: Vec::new() })
    }
}

impl Incoming {
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), AttachmentError> {
        let before = self.bytes / ATTACHMENT_SPOOL_LOOK_BYTES;
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        if self.bytes > self.bytes_max {
            return Err(AttachmentError::TooLong { max: self.bytes_max });
        }
        // Others are on their way in, too.
        if self.bytes / ATTACHMENT_SPOOL_LOOK_BYTES > before {
            has_room(&self.path)?;
        }
        let room = LOOK_BYTES.saturating_sub(self.first.len()).min(bytes.len());
        self.first.extend_from_slice(bytes.get(..room).unwrap_or_default());
        self.hasher.update(bytes);
        self.file.write_all(bytes).await?;
        Ok(())
    }

    /// What has come, once all of it has.
    pub(super) async fn whole(&mut self) -> Result<Whole, AttachmentError> {
        if self.bytes == 0 {
            return Err(AttachmentError::Empty);
        }
        let kind = Kind::of(&self.first).map_err(AttachmentError::NotTaken)?;
        self.file.flush().await?;
        let hash = Hash(std::mem::take(&mut self.hasher).finalize().into());
        Ok(Whole { hash, kind, bytes: self.bytes })
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // It is not there where it has got its place.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The ledger needs room, too, and is worth more.
fn has_room(path: &Path) -> Result<(), AttachmentError> {
    let disk = rustix::fs::statvfs(path).map_err(io::Error::from)?;
    if disk.f_bavail.saturating_mul(disk.f_frsize) < ATTACHMENT_DISK_FREE_BYTES {
        return Err(AttachmentError::NoRoom);
    }
    Ok(())
}
