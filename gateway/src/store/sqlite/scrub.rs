//! Deleted is not gone: SQLite leaves bytes in free pages, in parts of pages that cells have moved out of, and in its
//! write-ahead log. Here they are taken away.
//!
//! `VACUUM` writes a database anew, and nothing else comes along; but whoever writes has to wait for it, about a second
//! for 100 MiB. Connections that write have `secure_delete=fast`, which overwrites what is deleted within a page at no
//! cost; where a database is too large to be written anew beside people's commands, its free pages are overwritten
//! besides.

use sqlx::{AssertSqlSafe, SqliteConnection};

use crate::store::StoreError;

/// The pragma for connections that write.
pub(super) const SECURE_DELETE: (&str, &str) = ("secure_delete", "fast");

/// Bytes of zeros that are written at a time.
const FILL_BYTES: i64 = 1024 * 1024;

/// Takes away what was deleted: writes the connection's database anew where it has at most `bytes_max`, overwrites its
/// free pages otherwise, and empties its write-ahead log. Tells whether it was written anew.
///
/// # Errors
/// Where others read for so long that the log cannot be emptied, or the disk has no room.
pub(super) async fn scrub(connection: &mut SqliteConnection, bytes_max: u64) -> Result<bool, StoreError> {
    let bytes =
        number(connection, "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size").await?;
    let is_small = u64::try_from(bytes).is_ok_and(|bytes| bytes <= bytes_max);
    let outcome = if is_small { vacuum(connection).await } else { fill_free_pages(connection).await };
    run(connection, "PRAGMA temp_store = memory").await?;
    run(connection, "PRAGMA secure_delete = fast").await?;
    outcome?;
    let (busy, _, _): (i64, i64, i64) = sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)")
        .fetch_one(&mut *connection)
        .await
        .map_err(StoreError::from_sqlx)?;
    match busy {
        0 => Ok(is_small),
        _ => Err(StoreError::Locked(sqlx::Error::Protocol("the write-ahead log is being read".to_owned()))),
    }
}

async fn vacuum(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    // A copy of all of it would not fit into memory.
    run(connection, "PRAGMA temp_store = file").await?;
    // Pages that are kept in memory are where old bytes come from.
    run(connection, "PRAGMA shrink_memory").await?;
    run(connection, "VACUUM").await
}

/// Lets a table take all pages that are free, and frees them again as zeros. The table stays: another one each time
/// would have every connection prepare its statements anew.
async fn fill_free_pages(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    run(connection, "PRAGMA secure_delete = on").await?;
    run(connection, "CREATE TABLE IF NOT EXISTS free_page (zeros BLOB)").await?;
    let insert = format!("INSERT INTO free_page VALUES (zeroblob({FILL_BYTES}))");
    while number(connection, "PRAGMA freelist_count").await? > 0 {
        // A number is the only thing in it that is not written here.
        sqlx::query(AssertSqlSafe(insert.clone()))
            .execute(&mut *connection)
            .await
            .map_err(StoreError::from_sqlx)?;
    }
    run(connection, "DELETE FROM free_page").await
}

async fn number(connection: &mut SqliteConnection, sql: &'static str) -> Result<i64, StoreError> {
    sqlx::query_scalar(sql).fetch_one(connection).await.map_err(StoreError::from_sqlx)
}

async fn run(connection: &mut SqliteConnection, sql: &'static str) -> Result<(), StoreError> {
    sqlx::query(sql).execute(connection).await.map(drop).map_err(StoreError::from_sqlx)
}

#[cfg(test)]
mod tests {
    use sqlx::ConnectOptions;

    use super::*;
    use crate::store::sqlite::remade;

    const SECRET: &[u8] = b"quagga";

    /// Rows of all lengths, in a table whose pages are split in the middle, each third of them secret.
    async fn furnished(path: &std::path::Path) -> SqliteConnection {
        let mut connection = remade::options(path).connect().await.unwrap();
        run(&mut connection, "PRAGMA wal_autocheckpoint = 0").await.unwrap();
        let table = "CREATE TABLE it (a INTEGER, b INTEGER, c TEXT, PRIMARY KEY (a, b)) WITHOUT ROWID";
        run(&mut connection, table).await.unwrap();
        for number in 0_i64..6_000 {
            let word = if number % 3 == 0 { "quagga " } else { "lemurs " };
            let length = [3, 8, 20, 80, 400, 900][usize::try_from(number / 3 % 6).unwrap()];
            sqlx::query("INSERT INTO it VALUES (?, ?, ?)")
                .bind(number * 5 % 2)
                .bind(number)
                .bind(word.repeat(length))
                .execute(&mut connection)
                .await
                .unwrap();
        }
        run(&mut connection, "UPDATE it SET c = 'x' WHERE b % 3 = 0").await.unwrap();
        connection
    }

    fn secrets(path: &std::path::Path) -> usize {
        let wal = std::fs::read(path.with_extension("db-wal")).unwrap();
        assert!(wal.is_empty(), "the write-ahead log is empty");
        std::fs::read(path).unwrap().windows(SECRET.len()).filter(|bytes| *bytes == SECRET).count()
    }

    #[tokio::test]
    async fn nothing_is_left_of_what_was_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("it.db");
        let mut connection = furnished(&path).await;
        assert!(scrub(&mut connection, u64::MAX).await.unwrap());
        assert_eq!(secrets(&path), 0);
        let left = number(&mut connection, "SELECT count(*) FROM it WHERE c LIKE 'lemurs%'").await.unwrap();
        assert_eq!(left, 4_000);
    }

    #[tokio::test]
    async fn free_pages_of_a_large_database_are_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("it.db");
        let mut connection = furnished(&path).await;
        assert!(number(&mut connection, "PRAGMA freelist_count").await.unwrap() > 0);
        assert!(!scrub(&mut connection, 0).await.unwrap());
        assert!(number(&mut connection, "PRAGMA freelist_count").await.unwrap() > 0);
        // Of some 470,000; the rest is in pages that rows have moved out of.
        assert!(secrets(&path) < 10_000, "{}", secrets(&path));
    }
}
