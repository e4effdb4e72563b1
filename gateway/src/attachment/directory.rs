//! Files in a directory, `ab/cdef…` after their hashes.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};
use tokio::fs::{self, File};
use tokio::io::AsyncWriteExt;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use waggle_core::limits::ATTACHMENT_DISK_FREE_BYTES;

use super::kind::LOOK_BYTES;
use super::{AttachmentError, Hash, Kind};

/// A directory of files.
#[derive(Debug)]
pub struct Directory {
    root: PathBuf,
    bytes_max: u64,
    uploads: AtomicU64,
    /// Taken by whoever puts a file in, until its ticket has it; alone by whoever deletes files that no ticket has.
    places: RwLock<()>,
}

/// A file that is on its way in; dropping it leaves nothing.
#[derive(Debug)]
pub struct Upload<'a> {
    directory: &'a Directory,
    path: PathBuf,
    file: File,
    hasher: Sha256,
    bytes: u64,
    first: Vec<u8>,
}

impl Directory {
    /// The directory at `root`, made where it is missing, for files of at most `bytes_max`. What was on its way
    /// in when the process ended goes.
    ///
    /// # Errors
    /// As the file system tells them.
    pub fn open(root: &Path, bytes_max: u64) -> io::Result<Self> {
        let incoming = root.join("incoming");
        match std::fs::remove_dir_all(&incoming) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => std::fs::create_dir_all(&incoming)?,
        }
        Ok(Self { root: root.to_owned(), bytes_max, uploads: AtomicU64::new(0), places: RwLock::default() })
    }

    /// The longest file that is taken, in bytes.
    #[must_use]
    pub fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// Begins to take a file in.
    ///
    /// # Errors
    /// Where the disk has no room, or does not do it.
    pub async fn begin(&self) -> Result<Upload<'_>, AttachmentError> {
        let disk = rustix::fs::statvfs(&self.root).map_err(io::Error::from)?;
        // The ledger needs room, too, and is worth more.
        if disk.f_bavail.saturating_mul(disk.f_frsize) < ATTACHMENT_DISK_FREE_BYTES {
            return Err(AttachmentError::NoRoom);
        }
        let number = self.uploads.fetch_add(1, Ordering::Relaxed);
        let path = self.root.join("incoming").join(number.to_string());
        let file = File::create(&path).await?;
        Ok(Upload { directory: self, path, file, hasher: Sha256::new(), bytes: 0, first: Vec::new() })
    }

    /// Opens a file.
    ///
    /// # Errors
    /// Where it is not there, or cannot be read.
    pub async fn file(&self, hash: Hash) -> io::Result<File> {
        File::open(self.path(hash)).await
    }

    /// While this is held no file is deleted: take it before [`Upload::finish`], and drop it when a ticket is known to
    /// have the file.
    pub async fn keep(&self) -> RwLockReadGuard<'_, ()> {
        self.places.read().await
    }

    /// While this is held no file gets its place.
    pub async fn alone(&self) -> RwLockWriteGuard<'_, ()> {
        self.places.write().await
    }

    /// Deletes a file; one that is not there is deleted already.
    ///
    /// # Errors
    /// As the file system tells them.
    pub async fn delete(&self, hash: Hash) -> io::Result<()> {
        let path = self.path(hash);
        match fs::remove_file(&path).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        }
        match path.parent() {
            Some(folder) => File::open(folder).await?.sync_all().await,
            None => Ok(()),
        }
    }

    fn path(&self, hash: Hash) -> PathBuf {
        let name = hash.to_string();
        let (folder, rest) = name.split_at(2);
        self.root.join(folder).join(rest)
    }
}

impl Upload<'_> {
    /// Takes some bytes.
    ///
    /// # Errors
    /// Where that makes it too long, or the disk does not take them.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), AttachmentError> {
        let max = self.directory.bytes_max;
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        if self.bytes > max {
            return Err(AttachmentError::TooLong { max });
        }
        let room = LOOK_BYTES.saturating_sub(self.first.len()).min(bytes.len());
        self.first.extend_from_slice(bytes.get(..room).unwrap_or_default());
        self.hasher.update(bytes);
        self.file.write_all(bytes).await?;
        Ok(())
    }

    /// Puts it into its place, synced to disk: its name, what it is, and its length.
    ///
    /// # Errors
    /// Where it is empty, of a kind that is not taken, or the disk does not do it.
    pub async fn finish(mut self) -> Result<(Hash, Kind, u64), AttachmentError> {
        if self.bytes == 0 {
            return Err(AttachmentError::Empty);
        }
        let kind = Kind::of(&self.first).map_err(AttachmentError::NotTaken)?;
        let hash = Hash(std::mem::take(&mut self.hasher).finalize().into());
        let path = self.directory.path(hash);
        if !fs::try_exists(&path).await? {
            self.file.flush().await?;
            self.file.sync_all().await?;
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder).await?;
                fs::rename(&self.path, &path).await?;
                // The name is as durable as the bytes.
                File::open(folder).await?.sync_all().await?;
            }
        }
        Ok((hash, kind, self.bytes))
    }
}

impl Drop for Upload<'_> {
    fn drop(&mut self) {
        // It is not there where it has got its place.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(root: &Path) -> Vec<String> {
        let mut names = Vec::new();
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => names.push(path.strip_prefix(root).unwrap().display().to_string()),
                }
            }
        }
        names
    }

    #[tokio::test]
    async fn the_same_file_twice_is_stored_once_and_what_fails_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let directory = Directory::open(folder.path(), 10).unwrap();
        for pieces in [&["hel", "lo"][..], &["hello"]] {
            let mut upload = directory.begin().await.unwrap();
            for piece in pieces {
                upload.write(piece.as_bytes()).await.unwrap();
            }
            let (hash, kind, bytes) = upload.finish().await.unwrap();
            assert_eq!((kind.media_type(), bytes), ("text/plain", 5));
            // `printf hello | sha256sum`
            let name = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
            assert_eq!(hash.to_string(), name);
            assert_eq!(files(folder.path()), [format!("{}/{}", &name[..2], &name[2..])]);
        }
        let mut long = directory.begin().await.unwrap();
        long.write(b"0123456789").await.unwrap();
        assert!(matches!(long.write(b"0").await, Err(AttachmentError::TooLong { max: 10 })));
        drop(long);
        assert!(matches!(directory.begin().await.unwrap().finish().await, Err(AttachmentError::Empty)));
        let mut script = directory.begin().await.unwrap();
        script.write(b"#!/bin/sh").await.unwrap();
        assert!(matches!(script.finish().await, Err(AttachmentError::NotTaken("a script"))));
        assert_eq!(files(folder.path()).len(), 1);
    }

    #[tokio::test]
    async fn what_was_on_its_way_in_goes_with_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let directory = Directory::open(folder.path(), 10).unwrap();
        let mut upload = directory.begin().await.unwrap();
        upload.write(b"half").await.unwrap();
        upload.file.flush().await.unwrap();
        std::mem::forget(upload);
        assert_eq!(files(folder.path()), ["incoming/0"]);
        Directory::open(folder.path(), 10).unwrap();
        assert!(files(folder.path()).is_empty());
    }
}
