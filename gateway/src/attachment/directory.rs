//! Files in a directory, `ab/cdef…` after their hashes.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use tokio::fs::{self, File};
use waggle_core::limits::ATTACHMENT_PAGE_MAX;
use waggle_core::time::Timestamp;

use super::spool::{Incoming, Whole};
use super::{AttachmentError, Hash, Kept, Reading};

/// A directory of files.
#[derive(Debug)]
pub(super) struct Directory {
    root: PathBuf,
}

impl Directory {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Puts a file into its place, synced to disk. One that is there already, of the same length, is left alone.
    pub(super) async fn keep(&self, incoming: &Incoming, whole: &Whole) -> Result<(), AttachmentError> {
        let path = self.path(whole.hash);
        match fs::metadata(&path).await {
            Ok(there) if there.len() == whole.bytes => return Ok(()),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        incoming.file.sync_all().await?;
        let folder = self.folder(whole.hash);
        fs::create_dir_all(&folder).await?;
        fs::rename(&incoming.path, &path).await?;
        sync_folder(&folder).await?;
        Ok(())
    }

    pub(super) async fn read(&self, hash: Hash, bytes: u64) -> Result<Reading, AttachmentError> {
        match File::open(self.path(hash)).await {
            Ok(file) if file.metadata().await?.len() != bytes => Err(AttachmentError::Damaged(hash)),
            Ok(file) => Ok(Reading::of_file(file, hash, bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(AttachmentError::Missing(hash)),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn remove(&self, hash: Hash) -> Result<(), AttachmentError> {
        match fs::remove_file(self.path(hash)).await {
            Ok(()) => Ok(sync_folder(&self.folder(hash)).await?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Files with hashes above `after`, in order, as many as a page has; none at the end.
    pub(super) async fn page(&self, after: Option<Hash>) -> Result<Vec<Kept>, AttachmentError> {
        let first = after.map_or(0, |Hash([first, ..])| first);
        for folder in first..=u8::MAX {
            let page = page_of(&self.root.join(format!("{folder:02x}")), folder, after).await?;
            if !page.is_empty() {
                return Ok(page.into_values().collect());
            }
        }
        Ok(Vec::new())
    }

    fn folder(&self, hash: Hash) -> PathBuf {
        let Hash([first, ..]) = hash;
        self.root.join(format!("{first:02x}"))
    }

    fn path(&self, hash: Hash) -> PathBuf {
        let name = hash.to_string();
        let (folder, rest) = name.split_at(2);
        self.root.join(folder).join(rest)
    }
}

/// The least of a folder's hashes above `after`, as many as a page has.
async fn page_of(path: &Path, folder: u8, after: Option<Hash>) -> io::Result<BTreeMap<Hash, Kept>> {
    let mut page = BTreeMap::new();
    let mut entries = match fs::read_dir(path).await {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(page),
        Err(error) => return Err(error),
    };
    while let Some(entry) = entries.next_entry().await? {
        // What has another name is not Waggle's.
        let name = entry.file_name().to_str().map(|rest| format!("{folder:02x}{rest}"));
        let Some(hash) = name.and_then(|name| name.parse::<Hash>().ok()) else { continue };
        if after.is_some_and(|after| hash <= after) {
            continue;
        }
        let found = entry.metadata().await?;
        let since = found.modified()?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let changed_at = Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
        page.insert(hash, Kept { hash, bytes: found.len(), changed_at });
        if page.len() > ATTACHMENT_PAGE_MAX {
            page.pop_last();
        }
    }
    Ok(page)
}

/// A name is as durable as the bytes.
async fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder).await?.sync_all().await
}
