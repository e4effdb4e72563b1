//! Files of models: what was learned up to an event, so that a start does not fold the whole log.
//!
//! A file is a head and the encoded model. It is only ever replaced whole. One that cannot be used costs time, and nothing
//! else: the model is folded from the log.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest, Sha256};
use waggle_core::id::{Cursor, Epoch, Offset, TenantId};
use waggle_core::learn::Model;
use waggle_core::limits::LEARN_SNAPSHOT_BYTES_MAX;

/// The first bytes of a file, with the number of its layout.
const MAGIC: [u8; 8] = *b"WGLMOD01";
/// Magic, epoch, offset, SHA-256 of what follows.
const HEAD_BYTES: usize = 8 + 8 + 8 + 32;

/// How a tenant's file stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum SnapshotState {
    /// There was none: the model was folded from the log's start.
    #[default]
    None,
    /// It has everything up to this event.
    Written {
        /// The event.
        offset: Offset,
    },
    /// It was damaged: the model was folded from the log's start.
    Damaged,
    /// It was of another log.
    Foreign,
    /// It was of another version of Waggle.
    Outdated,
    /// Somebody was forgotten: it is gone, and written again when the model has been folded anew.
    Erased,
}

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum SnapshotFault {
    #[error("it is damaged: {0}")]
    Damaged(String),
    #[error("it is of another log")]
    Foreign,
    #[error("it is of another version: {0}")]
    Outdated(String),
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl SnapshotFault {
    pub(super) fn state(&self) -> SnapshotState {
        match self {
            Self::Foreign => SnapshotState::Foreign,
            Self::Outdated(_) => SnapshotState::Outdated,
            Self::Damaged(_) | Self::Io(_) => SnapshotState::Damaged,
        }
    }
}

pub(super) fn path(folder: &Path, tenant: TenantId) -> PathBuf {
    folder.join(format!("{tenant}.model"))
}

/// Reads a tenant's model; `None` where there is no file.
///
/// # Errors
/// Where the file is not one of this log, whose head is `head`.
pub(super) fn read(folder: &Path, tenant: TenantId, head: Cursor) -> Result<Option<Model>, SnapshotFault> {
    let file = match File::open(path(folder, tenant)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut bytes = Vec::new();
    file.take(LEARN_SNAPSHOT_BYTES_MAX).read_to_end(&mut bytes)?;
    let damaged = |why: &str| SnapshotFault::Damaged(why.to_owned());
    let (start, encoded) = bytes.split_at_checked(HEAD_BYTES).ok_or_else(|| damaged("it is cut short"))?;
    let (magic, rest) = start.split_at(MAGIC.len());
    if magic != MAGIC {
        return Err(SnapshotFault::Outdated("its first bytes are not those of this version".to_owned()));
    }
    let (numbers, hash) = rest.split_at(16);
    let number = |bytes: &[u8]| bytes.first_chunk().copied().map(u64::from_le_bytes).unwrap_or_default();
    let (epoch, offset) = (Epoch(number(numbers)), Offset(number(numbers.get(8..).unwrap_or_default())));
    if Sha256::digest(encoded).as_slice() != hash {
        return Err(damaged("its digest is not that of its content"));
    }
    if epoch != head.epoch || offset > head.offset {
        return Err(SnapshotFault::Foreign);
    }
    let model = Model::decode(encoded).map_err(|error| SnapshotFault::Outdated(error.to_string()))?;
    if model.position() != offset {
        return Err(damaged("its model is of another event than it says"));
    }
    Ok(Some(model))
}

/// Puts a model in place of the one before, durably; gives its SHA-256.
///
/// # Errors
/// As the file system tells them; the one before is there then.
pub(super) fn write(
    folder: &Path,
    tenant: TenantId,
    epoch: Epoch,
    at: Offset,
    encoded: &[u8],
) -> io::Result<[u8; 32]> {
    let digest = Sha256::digest(encoded);
    fs::create_dir_all(folder)?;
    let target = path(folder, tenant);
    let fresh = target.with_extension("fresh");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&fresh)?;
    file.write_all(&MAGIC)?;
    file.write_all(&epoch.0.to_le_bytes())?;
    file.write_all(&at.0.to_le_bytes())?;
    file.write_all(&digest)?;
    file.write_all(encoded)?;
    file.sync_all()?;
    let before = OpenOptions::new().write(true).open(&target);
    fs::rename(&fresh, &target)?;
    File::open(folder)?.sync_all()?;
    match before {
        Ok(mut before) => overwrite(&mut before)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(digest.into())
}

/// Leaves nothing of what is in a file: it may have texts of somebody who is erased later.
fn overwrite(file: &mut File) -> io::Result<()> {
    let bytes = file.metadata()?.len();
    io::copy(&mut io::repeat(0).take(bytes), file)?;
    file.sync_all()
}

/// Takes a tenant's file away, and overwrites what was in it.
///
/// # Errors
/// As the file system tells them.
pub(super) fn erase(folder: &Path, tenant: TenantId) -> io::Result<()> {
    let path = path(folder, tenant);
    for path in [path.with_extension("fresh"), path] {
        let mut file = match OpenOptions::new().write(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        overwrite(&mut file)?;
        fs::remove_file(&path)?;
    }
    match File::open(folder) {
        Ok(folder) => folder.sync_all(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
