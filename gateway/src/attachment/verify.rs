//! Whether what tickets have and what is kept are the same.

use serde::Serialize;
use waggle_core::limits::{ATTACHMENT_FINDINGS_MAX, ATTACHMENT_PAGE_MAX};
use waggle_core::time::Timestamp;

use super::{AttachmentError, Attachments, Hash, Kept};
use crate::store::{Store, StoreError};

/// How to verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Whether files are read.
    pub contents: Contents,
    /// What to do with files that no ticket has.
    pub unreferenced: Unreferenced,
    /// Only files from before this may be such: a ticket gets a file only after it was put there.
    pub before: Timestamp,
}

/// See [`Plan::contents`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contents {
    /// All of it.
    Read,
    /// Only whether they are there.
    Skip,
}

/// See [`Plan::unreferenced`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreferenced {
    /// Tell.
    Report,
    /// Remove, while no other process takes files in.
    Remove,
}

/// What is wrong with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// A ticket has it, and it is not there.
    Missing,
    /// It is not what its name says.
    Damaged,
    /// No ticket has it.
    Unreferenced,
    /// No ticket had it, and it is removed.
    Removed,
}

/// A file with which something is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding {
    /// Which.
    pub hash: Hash,
    /// What.
    pub fault: Fault,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// Files that tickets have.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Those of them that are lost.
    pub missing: u64,
    /// Those that are not what they were.
    pub damaged: u64,
    /// Files that no ticket has.
    pub unreferenced: u64,
    /// Those of them that were removed.
    pub removed: u64,
    /// The first of all that is wrong, at most [`ATTACHMENT_FINDINGS_MAX`].
    pub findings: Vec<Finding>,
}

/// Why it cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The files.
    #[error(transparent)]
    Files(#[from] AttachmentError),
    /// What tickets have.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Verified {
    fn note(&mut self, hash: Hash, fault: Fault) {
        match fault {
            Fault::Missing => self.missing += 1,
            Fault::Damaged => self.damaged += 1,
            Fault::Unreferenced => self.unreferenced += 1,
            Fault::Removed => {
                self.unreferenced += 1;
                self.removed += 1;
            }
        }
        if self.findings.len() < ATTACHMENT_FINDINGS_MAX {
            self.findings.push(Finding { hash, fault });
        }
    }
}

/// Compares what tickets of all tenants have with what is kept. A gateway may run beside it, unless files are removed.
///
/// # Errors
/// Where the one or the other cannot be read.
pub async fn verify(
    attachments: &Attachments,
    store: &dyn Store,
    plan: Plan,
) -> Result<Verified, VerifyError> {
    let mut verified = Verified::default();
    let (mut known, mut kept) = (Pages::default(), Pages::default());
    loop {
        if known.is_used_up() {
            let page = store.attachment_hashes(known.last, ATTACHMENT_PAGE_MAX).await?;
            known.turn(page, |(hash, _)| *hash);
        }
        if kept.is_used_up() {
            kept.turn(attachments.page(kept.last).await?, |kept| kept.hash);
        }
        match (known.next(), kept.next()) {
            (None, None) => return Ok(verified),
            (Some((hash, bytes)), there) if there.is_none_or(|there| there.hash >= hash) => {
                verified.files += 1;
                verified.bytes += bytes;
                // One that came after the page was listed is there all the same.
                let is_listed = there.is_some_and(|there| (there.hash, there.bytes) == (hash, bytes));
                if (plan.contents == Contents::Read || !is_listed)
                    && let Some(fault) = fault_of(attachments, hash, bytes, plan.contents).await?
                {
                    verified.note(hash, fault);
                }
                known.take();
                if there.is_some_and(|there| there.hash == hash) {
                    kept.take();
                }
            }
            (_, Some(Kept { hash, changed_at, .. })) => {
                kept.take();
                if changed_at >= plan.before {
                    continue;
                }
                if plan.unreferenced == Unreferenced::Remove {
                    attachments.alone().await.remove(hash).await?;
                    verified.note(hash, Fault::Removed);
                } else {
                    verified.note(hash, Fault::Unreferenced);
                }
            }
            // The guard of the second arm holds where nothing is kept.
            (Some(_), None) => return Ok(verified),
        }
    }
}

async fn fault_of(
    attachments: &Attachments,
    hash: Hash,
    bytes: u64,
    contents: Contents,
) -> Result<Option<Fault>, AttachmentError> {
    let read = match attachments.read(hash, bytes).await {
        Ok(reading) if contents == Contents::Read => reading.prove_whole().await,
        Ok(_) => Ok(()),
        Err(error) => Err(error),
    };
    match read {
        Ok(()) => Ok(None),
        Err(AttachmentError::Missing(_)) => Ok(Some(Fault::Missing)),
        Err(AttachmentError::Damaged(_)) => Ok(Some(Fault::Damaged)),
        Err(error) => Err(error),
    }
}

/// A long list, of which one page is in memory.
struct Pages<Row> {
    rows: std::vec::IntoIter<Row>,
    last: Option<Hash>,
    is_end: bool,
}

impl<Row> Default for Pages<Row> {
    fn default() -> Self {
        Self { rows: Vec::new().into_iter(), last: None, is_end: false }
    }
}

impl<Row: Copy> Pages<Row> {
    fn is_used_up(&self) -> bool {
        self.rows.len() == 0 && !self.is_end
    }

    fn turn(&mut self, page: Vec<Row>, hash: impl Fn(&Row) -> Hash) {
        self.is_end = page.is_empty();
        self.last = page.last().map(hash).or(self.last);
        self.rows = page.into_iter();
    }

    fn next(&self) -> Option<Row> {
        self.rows.as_slice().first().copied()
    }

    fn take(&mut self) {
        self.rows.next();
    }
}
