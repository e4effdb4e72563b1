//! Deleted is not gone: SQLite leaves bytes in free pages and in its write-ahead log. Here they are overwritten.
//!
//! Connections that write have `secure_delete=fast`: what is deleted within a page is overwritten with it, at no cost.
//! Whole pages that became free keep their bytes until they are used again; that is what is left to do here.

use sqlx::{AssertSqlSafe, SqliteConnection};

use crate::store::StoreError;

/// The pragma for connections that write.
pub(super) const SECURE_DELETE: (&str, &str) = ("secure_delete", "fast");

/// Bytes of zeros that are written at a time.
const FILL_BYTES: i64 = 1024 * 1024;

/// Overwrites the free pages of the connection's database, and empties its write-ahead log.
///
/// # Errors
/// Where others read for so long that the log cannot be emptied, or the disk does not do it.
pub(super) async fn scrub(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let outcome = fill_free_pages(connection).await;
    run(connection, "PRAGMA secure_delete = fast").await?;
    outcome?;
    let (busy, _, _): (i64, i64, i64) = sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)")
        .fetch_one(&mut *connection)
        .await
        .map_err(StoreError::from_sqlx)?;
    match busy {
        0 => Ok(()),
        _ => Err(StoreError::Locked(sqlx::Error::Protocol("the write-ahead log is being read".to_owned()))),
    }
}

/// Lets a table take all pages that are free, and frees them again as zeros. The table stays: another one each time
/// would have every connection prepare its statements anew.
async fn fill_free_pages(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    run(connection, "PRAGMA secure_delete = on").await?;
    run(connection, "CREATE TABLE IF NOT EXISTS free_page (zeros BLOB)").await?;
    let insert = format!("INSERT INTO free_page VALUES (zeroblob({FILL_BYTES}))");
    while free_pages(connection).await? > 0 {
        // A number is the only thing in it that is not written here.
        sqlx::query(AssertSqlSafe(insert.clone()))
            .execute(&mut *connection)
            .await
            .map_err(StoreError::from_sqlx)?;
    }
    run(connection, "DELETE FROM free_page").await
}

async fn free_pages(connection: &mut SqliteConnection) -> Result<i64, StoreError> {
    let query = sqlx::query_scalar("PRAGMA freelist_count");
    query.fetch_one(connection).await.map_err(StoreError::from_sqlx)
}

async fn run(connection: &mut SqliteConnection, sql: &'static str) -> Result<(), StoreError> {
    sqlx::query(sql).execute(connection).await.map(drop).map_err(StoreError::from_sqlx)
}
