//! Opens what data is in: the database, and files of tickets.

use std::sync::Arc;

use super::StartError;
use crate::attachment::{Attachments, Others, SettingsError};
use crate::config::AttachmentsConfig;
use crate::data_dir::DataDir;
use crate::store::{SqliteStore, Store};

/// Opens the database and brings it to this version's shape.
///
/// # Errors
/// As storage tells them.
pub async fn open_store(dir: &DataDir) -> Result<Arc<dyn Store>, StartError> {
    let path = dir.database();
    match SqliteStore::open(&path).await {
        Ok(store) => Ok(Arc::new(store)),
        Err(source) => Err(StartError::Store { path, source }),
    }
}

/// Opens a database that is there, of this version, beside a gateway that may run on it.
///
/// # Errors
/// As storage tells them.
pub async fn open_store_beside(dir: &DataDir) -> Result<Arc<dyn Store>, StartError> {
    let path = dir.database();
    match SqliteStore::open_beside(&path).await {
        Ok(store) => Ok(Arc::new(store)),
        Err(source) => Err(StartError::Store { path, source }),
    }
}

/// Opens the place that files are kept in. A store is not asked: the gateway starts without it, too.
///
/// # Errors
/// Where the directory cannot be used, or keys cannot be read.
pub fn open_attachments(
    dir: &DataDir,
    config: &AttachmentsConfig,
    others: Others,
) -> Result<Attachments, SettingsError> {
    Attachments::open(&dir.attachments(), config.bytes_max, config.s3.settings()?, others)
}

/// Says in the log whether a store of files does what is needed of it, beside the start: tickets need no files.
pub(super) fn look_at(attachments: &Arc<Attachments>) {
    if !attachments.is_elsewhere() {
        return;
    }
    let attachments = Arc::clone(attachments);
    tokio::spawn(async move {
        match attachments.check().await {
            Ok(()) => tracing::info!("attachments are kept in a store, which takes them"),
            Err(error) => {
                let causes = error.causes();
                tracing::error!(%error, causes, "attachments cannot be kept; `waggle admin attachment check` tries again");
            }
        }
    });
}
