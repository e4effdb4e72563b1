//! Databases beside the log's that are made of it, and made anew where they are missing, damaged or of another
//! version.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, SqliteConnection};

use super::BUSY_MS_MAX;
use super::scrub::SECURE_DELETE;
use crate::store::StoreError;

/// How such a file at `path` is opened for writing.
pub(super) fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // What is lost with the machine's power is read from the log again.
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(Duration::from_millis(BUSY_MS_MAX))
        .pragma("temp_store", "memory")
        .pragma(SECURE_DELETE.0, SECURE_DELETE.1)
        .disable_statement_logging()
}

/// Opens the file at `path`; `None` where there is none, or one of another `version`.
///
/// # Errors
/// Where it cannot be read.
pub(super) async fn open_existing(
    path: &Path,
    options: &SqliteConnectOptions,
    version: i64,
) -> Result<Option<SqliteConnection>, StoreError> {
    let exists = path.try_exists().map_err(|error| StoreError::Database(sqlx::Error::Io(error)))?;
    if !exists {
        return Ok(None);
    }
    let mut writer = options.connect().await.map_err(StoreError::from_sqlx)?;
    let found: i64 = sqlx::query_scalar("PRAGMA user_version")
        .fetch_one(&mut writer)
        .await
        .map_err(StoreError::from_sqlx)?;
    Ok((found == version).then_some(writer))
}

/// Makes the file at `path` anew, with `tables`, which set its version.
///
/// # Errors
/// Where it cannot be made.
pub(super) async fn make(
    path: &Path,
    options: &SqliteConnectOptions,
    tables: &'static str,
) -> Result<SqliteConnection, StoreError> {
    remove(path)?;
    let mut writer = options.connect().await.map_err(StoreError::from_sqlx)?;
    sqlx::raw_sql(tables).execute(&mut writer).await.map_err(StoreError::from_sqlx)?;
    Ok(writer)
}

/// Takes SQLite's files at `path` away.
///
/// # Errors
/// As the file system tells them.
pub(super) fn remove(path: &Path) -> Result<(), StoreError> {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match std::fs::remove_file(&name) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(StoreError::Database(sqlx::Error::Io(error)));
            }
            _ => {}
        }
    }
    Ok(())
}
