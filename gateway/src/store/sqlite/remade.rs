//! Databases beside the log's that are made of it, and made anew where they are missing, damaged or of another
//! version.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection as _, SqliteConnection};
use tokio::sync::oneshot;

use super::BUSY_MS_MAX;
use super::scrub::SECURE_DELETE;
use crate::priority::{Priority, background_priority};
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

/// Connects; the connection's own thread has its priority of the one that it is connected from.
async fn connect(options: &SqliteConnectOptions, priority: Priority) -> Result<SqliteConnection, StoreError> {
    if priority == Priority::Normal {
        return options.connect().await.map_err(StoreError::from_sqlx);
    }
    let failed = |error: std::io::Error| StoreError::Database(sqlx::Error::Io(error));
    let (options, (tell, connected)) = (options.clone(), oneshot::channel());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let run = move || {
        background_priority();
        // Whoever wanted it may be gone.
        let _ = tell.send(runtime.block_on(options.connect()));
    };
    std::thread::Builder::new().name("waggle-connect".to_owned()).spawn(run).map_err(failed)?;
    let outcome = connected.await.map_err(|_| StoreError::Database(sqlx::Error::WorkerCrashed))?;
    outcome.map_err(StoreError::from_sqlx)
}

/// Opens the file at `path`, with what `read` reads of it; `None` where there is none, one of another `version`, or
/// `read` says so. Nobody has it open any more then, so it can be made anew: SQLite takes files away by their names
/// when the last connection is closed.
///
/// # Errors
/// Where it cannot be read.
pub(super) async fn open_existing<T>(
    path: &Path,
    options: &SqliteConnectOptions,
    version: i64,
    priority: Priority,
    read: impl AsyncFnOnce(&mut SqliteConnection) -> Result<Option<T>, StoreError>,
) -> Result<Option<(SqliteConnection, T)>, StoreError> {
    let exists = path.try_exists().map_err(|error| StoreError::Database(sqlx::Error::Io(error)))?;
    if !exists {
        return Ok(None);
    }
    let mut writer = connect(options, priority).await?;
    let found = async {
        let found = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut writer).await;
        let found: i64 = found.map_err(StoreError::from_sqlx)?;
        if found == version { read(&mut writer).await } else { Ok(None) }
    };
    match found.await {
        Ok(Some(read)) => Ok(Some((writer, read))),
        other => {
            if let Err(error) = writer.close().await {
                tracing::debug!(%error, "a file that is made anew was not closed well");
            }
            other.map(|_| None)
        }
    }
}

/// Makes the file at `path` anew, with `tables`, as one of this `version`.
///
/// # Errors
/// Where it cannot be made.
pub(super) async fn make(
    path: &Path,
    options: &SqliteConnectOptions,
    tables: &'static str,
    version: i64,
    priority: Priority,
) -> Result<SqliteConnection, StoreError> {
    remove(path)?;
    let mut writer = connect(options, priority).await?;
    let sql = format!("{tables} PRAGMA user_version = {version};");
    // Nothing in it comes from outside.
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut writer).await.map_err(StoreError::from_sqlx)?;
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
