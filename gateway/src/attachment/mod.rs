//! Files of tickets: named by what they contain, so that the same file twice is stored once, and no name that
//! somebody gives ever becomes a path.

mod directory;
mod kind;
mod reading;
mod s3;
mod spool;
#[cfg(test)]
pub(crate) mod tests;
mod verify;

use std::path::Path;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{fmt, io};

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use waggle_core::time::Timestamp;

use directory::Directory;
pub use kind::{Kind, NOT_TAKEN};
pub use reading::Reading;
use s3::S3;
pub use s3::{S3Error, S3Settings, SettingsError, Timeouts, check_bucket, check_endpoint, check_prefix};
use spool::{Incoming, Spool, Whole};
pub use verify::{Contents, Fault, Finding, Plan, Unreferenced, Verified, VerifyError, verify};

use crate::store::Hex;

/// SHA-256 of a file's bytes; as text, 64 hexadecimal digits in lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hash(pub [u8; 32]);

/// Text that is no [`struct@Hash`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an attachment is named by the SHA-256 of its bytes: 64 hexadecimal digits in lower case")]
pub struct NoHash;

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(&self.0).fmt(f)
    }
}

impl FromStr for Hash {
    type Err = NoHash;

    fn from_str(text: &str) -> Result<Self, NoHash> {
        let digit = |digit: u8| match digit {
            b'0'..=b'9' => Ok(digit - b'0'),
            b'a'..=b'f' => Ok(digit - b'a' + 10),
            _ => Err(NoHash),
        };
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != 32 || !rest.is_empty() {
            return Err(NoHash);
        }
        let mut hash = [0; 32];
        for (byte, [high, low]) in hash.iter_mut().zip(pairs) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Ok(Self(hash))
    }
}

/// Why a file is not stored, or not given out.
#[derive(Debug, thiserror::Error)]
pub enum AttachmentError {
    /// Longer than is taken.
    #[error("the file is longer than {max} bytes")]
    TooLong {
        /// The most.
        max: u64,
    },
    /// Of no byte.
    #[error("the file is empty")]
    Empty,
    /// Of a kind that is not taken.
    #[error("the file is {0}, which is not taken; put it into an archive if it must be sent")]
    NotTaken(&'static str),
    /// The disk has not enough room left.
    #[error("the disk has no room left for files")]
    NoRoom,
    /// The disk does not do it.
    #[error("the file could not be stored or read")]
    Io(#[from] io::Error),
    /// It is not where files are kept.
    #[error("the file {0} is lost; restore it from a backup")]
    Missing(Hash),
    /// It is not what its name says.
    #[error("the file {0} is damaged; restore it from a backup")]
    Damaged(Hash),
    /// The store of files does not do it.
    #[error("the store of files does not do it")]
    Store(#[from] S3Error),
}

impl AttachmentError {
    /// Why, all the way down.
    #[must_use]
    pub fn causes(&self) -> String {
        let causes = std::iter::successors(std::error::Error::source(self), |cause| cause.source());
        causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
    }
}

/// A file as it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// Which.
    pub hash: Hash,
    /// How long it is.
    pub bytes: u64,
    /// When it was put there.
    pub changed_at: Timestamp,
}

/// All files of all tickets.
#[derive(Debug)]
pub struct Attachments {
    spool: Spool,
    keeper: Keeper,
    /// Held by whoever puts a file in, until its ticket has it; alone by whoever removes files that no ticket has.
    places: RwLock<()>,
    /// How many were removed.
    removals: AtomicU64,
    stats: Stats,
}

/// What is counted.
#[derive(Debug, Default)]
pub struct Stats {
    /// Files that were kept.
    pub kept: AtomicU64,
    /// Files that came whole, and could not be kept.
    pub failed: AtomicU64,
    /// Files that could not be opened.
    pub unread: AtomicU64,
}

/// A file that is in its place. While this is held it is not removed: drop it when a ticket is known to have the file.
#[derive(Debug)]
pub struct Placed<'a> {
    /// Which.
    pub hash: Hash,
    /// What it is.
    pub kind: Kind,
    /// How long it is.
    pub bytes: u64,
    _stays: RwLockReadGuard<'a, ()>,
}

/// The right to remove files: while this is held none gets its place, so that what no ticket has stays so.
#[derive(Debug)]
pub struct Alone<'a> {
    attachments: &'a Attachments,
    _guard: RwLockWriteGuard<'a, ()>,
}

#[derive(Debug)]
enum Keeper {
    Directory(Directory),
    S3(Box<S3>),
}

/// What else goes on in the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// This process is the one that takes files in: what an earlier one has left goes.
    None,
    /// A gateway may run.
    Gateway,
}

impl Attachments {
    /// Files in the directory `root`, made where it is missing, or where `s3` says: then only those on their way in
    /// are there. Files have at most `bytes_max` bytes.
    ///
    /// # Errors
    /// As the file system tells them, and where the settings are wrong.
    pub fn open(
        root: &Path,
        bytes_max: u64,
        s3: Option<S3Settings>,
        others: Others,
    ) -> Result<Self, SettingsError> {
        let spool = match others {
            Others::None => Spool::open(root, bytes_max),
            Others::Gateway => Spool::beside(root, bytes_max),
        };
        let spool = spool.map_err(|source| SettingsError::Unreadable { path: root.to_owned(), source })?;
        let keeper = match s3 {
            None => Keeper::Directory(Directory::new(root)),
            Some(settings) => Keeper::S3(Box::new(S3::new(settings)?)),
        };
        Ok(Self {
            spool,
            keeper,
            places: RwLock::default(),
            removals: AtomicU64::new(0),
            stats: Stats::default(),
        })
    }

    /// The longest file that is taken, in bytes.
    #[must_use]
    pub fn bytes_max(&self) -> u64 {
        self.spool.bytes_max()
    }

    /// Whether files are kept by somebody else, who may be away.
    #[must_use]
    pub fn is_elsewhere(&self) -> bool {
        matches!(self.keeper, Keeper::S3(_))
    }

    /// What is counted.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Requests that a store was sent once more.
    #[must_use]
    pub fn repeated(&self) -> u64 {
        match &self.keeper {
            Keeper::Directory(_) => 0,
            Keeper::S3(s3) => s3.repeated(),
        }
    }

    /// Begins to take a file in.
    ///
    /// # Errors
    /// Where the disk has no room, or does not do it.
    pub async fn begin(&self) -> Result<Upload<'_>, AttachmentError> {
        Ok(Upload { attachments: self, incoming: self.spool.begin().await? })
    }

    /// A file of this length.
    ///
    /// # Errors
    /// Where it is not there, is of another length, or cannot be read.
    pub async fn read(&self, hash: Hash, bytes: u64) -> Result<Reading, AttachmentError> {
        let reading = match &self.keeper {
            Keeper::Directory(directory) => directory.read(hash, bytes).await,
            Keeper::S3(s3) => s3.read(hash, bytes).await,
        };
        if reading.is_err() {
            self.stats.unread.fetch_add(1, Ordering::Relaxed);
        }
        reading
    }

    /// Waits until nobody puts a file in. It is this process alone that is kept from it.
    pub async fn alone(&self) -> Alone<'_> {
        Alone { attachments: self, _guard: self.places.write().await }
    }

    /// Files with hashes above `after`, in order, at most
    /// [`ATTACHMENT_PAGE_MAX`](waggle_core::limits::ATTACHMENT_PAGE_MAX); none at the end.
    ///
    /// # Errors
    /// Where they cannot be listed.
    pub async fn page(&self, after: Option<Hash>) -> Result<Vec<Kept>, AttachmentError> {
        match &self.keeper {
            Keeper::Directory(directory) => directory.page(after).await,
            Keeper::S3(s3) => s3.page(after).await,
        }
    }

    /// Proves that files can be kept: puts a small one there, reads it, lists it and removes it.
    ///
    /// # Errors
    /// Says what cannot be done.
    pub async fn check(&self) -> Result<(), AttachmentError> {
        let mut upload = self.begin().await?;
        // No other file has these bytes.
        let text = format!("waggle check {} {:?}\n", std::process::id(), std::time::SystemTime::now());
        upload.write(text.as_bytes()).await?;
        let Placed { hash, bytes, .. } = upload.finish().await?;
        self.read(hash, bytes).await?.prove_whole().await?;
        self.page(None).await?;
        self.alone().await.remove(hash).await
    }
}

impl Alone<'_> {
    /// Removes a file, for good; one that is not there is removed already.
    ///
    /// # Errors
    /// Where it may still be there.
    pub async fn remove(&self, hash: Hash) -> Result<(), AttachmentError> {
        self.attachments.removals.fetch_add(1, Ordering::Relaxed);
        match &self.attachments.keeper {
            Keeper::Directory(directory) => directory.remove(hash).await,
            Keeper::S3(s3) => s3.remove(hash).await,
        }
    }
}

/// A file that is on its way in; dropping it leaves nothing.
#[derive(Debug)]
pub struct Upload<'a> {
    attachments: &'a Attachments,
    incoming: Incoming,
}

impl<'a> Upload<'a> {
    /// Takes some bytes.
    ///
    /// # Errors
    /// Where that makes it too long, or the disk does not take them.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), AttachmentError> {
        self.incoming.write(bytes).await
    }

    /// Puts it into its place, durably. One that is there already stays.
    ///
    /// # Errors
    /// Where it is empty, of a kind that is not taken, or cannot be kept.
    pub async fn finish(mut self) -> Result<Placed<'a>, AttachmentError> {
        let whole = self.incoming.whole().await?;
        let kept = self.keep(&whole).await;
        let Stats { kept: done, failed, .. } = &self.attachments.stats;
        let counter = if kept.is_ok() { done } else { failed };
        counter.fetch_add(1, Ordering::Relaxed);
        Ok(Placed { hash: whole.hash, kind: whole.kind, bytes: whole.bytes, _stays: kept? })
    }

    async fn keep(&self, whole: &Whole) -> Result<RwLockReadGuard<'a, ()>, AttachmentError> {
        let Attachments { keeper, places, removals, .. } = self.attachments;
        match keeper {
            Keeper::Directory(directory) => {
                let stays = places.read().await;
                directory.keep(&self.incoming, whole).await?;
                Ok(stays)
            }
            // Nobody waits for a store that is slow.
            Keeper::S3(s3) => {
                let before = removals.load(Ordering::Relaxed);
                s3.keep(&self.incoming.path, whole).await?;
                let stays = places.read().await;
                if removals.load(Ordering::Relaxed) != before {
                    s3.keep(&self.incoming.path, whole).await?;
                }
                Ok(stays)
            }
        }
    }
}
