//! Full text by FTS5, in a database of its own: writing it never waits for the log's writer, nor the log for it.
//!
//! Words come cut and folded already; FTS5 keeps which text has which word where, and not the texts. A row's number is
//! its ticket's and its event's, so that texts of the highest tickets come first without sorting.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};
use tokio::sync::Mutex;
use waggle_core::find::{PatternEnd, WordPhrase};
use waggle_core::id::{Cursor, Epoch, Offset, TenantId, TicketId, Version};

use super::row::Columns;
use super::{pool, remade, scrub, signed};
use crate::priority::Priority;
use crate::store::{SearchPart, SearchScope, SearchStore, SearchText, StoreError};

/// Of the tables, and of how texts are cut into words. A file of another version is made anew.
const VERSION: i64 = 1;
const READERS: u32 = 4;
const CACHE_KIB: u32 = 16 * 1024;
const ROWS_PER_STATEMENT: usize = 64;
/// Pages of the index that are merged at a time when it is made one.
const MERGED_PAGES: i64 = 1_024;

const TABLES: &str = "
    CREATE TABLE searchable (
        tenant INTEGER PRIMARY KEY,
        epoch  INTEGER NOT NULL,
        -- The event up to which all texts are in.
        offset INTEGER NOT NULL
    ) STRICT;";

/// The file.
pub struct SearchFile {
    path: PathBuf,
    writer: Mutex<SqliteConnection>,
    readers: SqlitePool,
}

impl SearchFile {
    /// Opens the file at `path`; one that is missing, damaged or of another version is made anew, and filled from
    /// the log then.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        match Self::open_existing(path).await {
            Ok(Some(file)) => return Ok(file),
            Ok(None) => tracing::info!("texts are made searchable anew from the log"),
            Err(error @ (StoreError::Damaged(_) | StoreError::Database(_))) => {
                tracing::warn!(%error, "searchable texts cannot be read; they are made anew from the log");
            }
            Err(error) => return Err(error),
        }
        let writer = remade::make(path, &options(path), TABLES, VERSION, Priority::Background).await?;
        Self::reading(path, writer).await
    }

    async fn open_existing(path: &Path) -> Result<Option<Self>, StoreError> {
        // Reads a page of each table's structure.
        let read = async |writer: &mut SqliteConnection| {
            let found = sqlx::query("SELECT count(*) FROM searchable").fetch_one(writer).await;
            found.map(|_| Some(())).map_err(StoreError::from_sqlx)
        };
        let opened = remade::open_existing(path, &options(path), VERSION, Priority::Background, read).await?;
        let Some((writer, ())) = opened else { return Ok(None) };
        Self::reading(path, writer).await.map(Some)
    }

    async fn reading(path: &Path, writer: SqliteConnection) -> Result<Self, StoreError> {
        let readers = pool(READERS, options(path).create_if_missing(false).read_only(true)).await?;
        Ok(Self { path: path.to_owned(), writer: Mutex::new(writer), readers })
    }

    /// Makes all segments of a tenant's index one, some pages at a time: what was removed is marked, and goes when its
    /// segment is merged with others (<https://www.sqlite.org/fts5.html#the_merge_command>).
    async fn merge_all(&self, tenant: TenantId) -> Result<(), StoreError> {
        let merge =
            |pages: i64| format!("INSERT INTO text_{tenant} (text_{tenant}, rank) VALUES ('merge', {pages})");
        let mut pages = -MERGED_PAGES;
        loop {
            let mut writer = self.writer.lock().await;
            let before = self.checked(changes(&mut writer).await)?;
            let merged = sqlx::query(AssertSqlSafe(merge(pages))).execute(&mut *writer).await;
            self.checked(merged)?;
            let done = self.checked(changes(&mut writer).await)? - before;
            if pages > 0 && done < 2 {
                return Ok(());
            }
            pages = MERGED_PAGES;
        }
    }

    /// Takes a damaged file away, so that the next start makes it anew.
    fn checked<T>(&self, outcome: Result<T, sqlx::Error>) -> Result<T, StoreError> {
        outcome.map_err(|error| {
            let error = StoreError::from_sqlx(error);
            if matches!(error, StoreError::Damaged(_)) {
                tracing::error!(%error, "searchable texts are damaged; they are made anew at the next start");
                if let Err(kept) = remade::remove(&self.path) {
                    tracing::error!(%kept, "the damaged file cannot be taken away; remove it");
                }
            }
            error
        })
    }
}

fn options(path: &Path) -> SqliteConnectOptions {
    remade::options(path).pragma("cache_size", format!("-{CACHE_KIB}"))
}

/// A row's number: texts of one ticket are beside each other.
fn row_number(ticket: TicketId, version: Version) -> i64 {
    signed(ticket.0.saturating_mul(1 << 32).saturating_add(u64::from(version.0)))
}

fn text_of(number: u64) -> (TicketId, Version) {
    // The lower half is a version's 32 bits.
    (TicketId(number >> 32), Version((number & u64::from(u32::MAX)) as u32))
}

/// Many rows at once: each call goes to the connection's thread and back.
async fn insert(
    connection: &mut SqliteConnection,
    tenant: TenantId,
    texts: &[&SearchText],
) -> Result<(), sqlx::Error> {
    // Room for a power of two of rows, so that few texts are ever prepared; rows that are not there stay NULL.
    let rows = vec!["(?,?,?,?)"; texts.len().next_power_of_two()].join(",");
    let sql = format!(
        "INSERT OR REPLACE INTO text_{tenant} (rowid, about, message, note) \
         SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL"
    );
    // Nothing in it comes from outside.
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for text in texts {
        query = query.bind(row_number(text.ticket, text.version));
        for part in [SearchPart::About, SearchPart::Message, SearchPart::Note] {
            query = query.bind((part == text.part).then_some(text.words.as_str()));
        }
    }
    query.execute(connection).await.map(|_| ())
}

/// Rows that the connection has changed since it was opened.
async fn changes(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT total_changes()").fetch_one(connection).await
}

/// FTS5's own language, in which words in quotes are words and nothing else.
fn expression(phrase: &WordPhrase, scope: SearchScope) -> String {
    let words = phrase.words.join(" ").replace('"', "\"\"");
    let star = if phrase.ends == PatternEnd::Anywhere { " *" } else { "" };
    let columns = match scope {
        SearchScope::Everything => "",
        SearchScope::Public => "{about message} : ",
    };
    format!("{columns}\"{words}\"{star}")
}

#[async_trait]
impl SearchStore for SearchFile {
    async fn search_progress(&self, tenant: TenantId) -> Result<Option<Cursor>, StoreError> {
        const SQL: &str = "SELECT epoch, offset FROM searchable WHERE tenant = ?";
        let found = sqlx::query(SQL).bind(tenant.0).fetch_optional(&self.readers).await;
        let Some(found) = self.checked(found)? else { return Ok(None) };
        let mut columns = Columns::of(&found);
        Ok(Some(Cursor { epoch: Epoch(columns.bits()?), offset: Offset(columns.number("offset")?) }))
    }

    async fn search_reset(&self, tenant: TenantId, at: Cursor) -> Result<(), StoreError> {
        let sql = format!(
            "DROP TABLE IF EXISTS text_{tenant};
             CREATE VIRTUAL TABLE text_{tenant} USING fts5(
                 about, message, note, content='', contentless_delete=1,
                 tokenize='unicode61 remove_diacritics 0'
             );"
        );
        let mut writer = self.writer.lock().await;
        let outcome = async {
            let mut transaction = writer.begin().await?;
            // A number is the only thing in it that is not written here.
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *transaction).await?;
            sqlx::query("INSERT OR REPLACE INTO searchable (tenant, epoch, offset) VALUES (?, ?, ?)")
                .bind(tenant.0)
                .bind(at.epoch.0.cast_signed())
                .bind(signed(at.offset.0))
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await
        };
        self.checked(outcome.await)
    }

    async fn search_add(
        &self,
        tenant: TenantId,
        texts: &[SearchText],
        up_to: Cursor,
    ) -> Result<(), StoreError> {
        // In the order of their numbers FTS5 keeps them in memory until the end.
        let mut ordered: Vec<&SearchText> = texts.iter().collect();
        ordered.sort_by_key(|text| (text.ticket, text.version));
        let mut writer = self.writer.lock().await;
        let outcome = async {
            let mut transaction = writer.begin().await?;
            for texts in ordered.chunks(ROWS_PER_STATEMENT) {
                insert(&mut transaction, tenant, texts).await?;
            }
            sqlx::query("UPDATE searchable SET offset = ? WHERE tenant = ?")
                .bind(signed(up_to.offset.0))
                .bind(tenant.0)
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await
        };
        self.checked(outcome.await)
    }

    async fn search_remove(
        &self,
        tenant: TenantId,
        tickets: &[(TicketId, Version)],
    ) -> Result<(), StoreError> {
        let sql = format!("DELETE FROM text_{tenant} WHERE rowid BETWEEN ? AND ?");
        let mut writer = self.writer.lock().await;
        let outcome = async {
            let mut transaction = writer.begin().await?;
            for (ticket, version) in tickets {
                sqlx::query(AssertSqlSafe(sql.clone()))
                    .bind(row_number(*ticket, Version(0)))
                    .bind(row_number(*ticket, *version))
                    .execute(&mut *transaction)
                    .await?;
            }
            transaction.commit().await
        };
        self.checked(outcome.await)
    }

    async fn search_scrub(&self, tenants: &BTreeSet<TenantId>) -> Result<(), StoreError> {
        for tenant in tenants {
            // Before its first text a tenant has no index.
            if self.search_progress(*tenant).await?.is_some() {
                self.merge_all(*tenant).await?;
            }
        }
        // Indexing waits for it, and nobody else.
        scrub::scrub(&mut *self.writer.lock().await, u64::MAX).await.map(drop)
    }

    async fn search(
        &self,
        tenant: TenantId,
        phrase: &WordPhrase,
        scope: SearchScope,
        limit: u32,
    ) -> Result<Vec<(TicketId, Version)>, StoreError> {
        // One row with all numbers: a row each would take most of the time on its way through the driver.
        let sql = format!(
            "SELECT group_concat(rowid, ' ') FROM (
                 SELECT rowid FROM text_{tenant} WHERE text_{tenant} MATCH ? ORDER BY rowid DESC LIMIT ?
             )"
        );
        let query = sqlx::query_scalar(AssertSqlSafe(sql)).bind(expression(phrase, scope)).bind(limit);
        let numbers: Option<String> = self.checked(query.fetch_one(&self.readers).await)?;
        let numbers = numbers.unwrap_or_default();
        Ok(numbers.split(' ').filter_map(|number| number.parse().ok()).map(text_of).collect())
    }

    async fn search_close(&self) {
        self.readers.close().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(ticket: u64, version: u32, words: &str, part: SearchPart) -> SearchText {
        SearchText { ticket: TicketId(ticket), version: Version(version), words: words.to_owned(), part }
    }

    fn at(offset: u64) -> Cursor {
        Cursor { epoch: Epoch(9), offset: Offset(offset) }
    }

    async fn found(file: &SearchFile, words: &str, scope: SearchScope) -> Vec<(u64, u32)> {
        let phrase = waggle_core::find::phrase(words).unwrap();
        let rows = file.search(TenantId(1), &phrase, scope, 100).await.unwrap();
        rows.into_iter().map(|(ticket, version)| (ticket.0, version.0)).collect()
    }

    #[tokio::test]
    async fn texts_are_found_and_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("search.db");
        let file = SearchFile::open(&path).await.unwrap();
        assert_eq!(file.search_progress(TenantId(1)).await.unwrap(), None);
        file.search_reset(TenantId(1), at(0)).await.unwrap();
        let texts = [
            text(7, 2, "my card is lost", SearchPart::Message),
            text(3, 0, "lost card", SearchPart::About),
            text(3, 4, "he lost it before", SearchPart::Note),
        ];
        file.search_add(TenantId(1), &texts, at(9)).await.unwrap();
        let everything = SearchScope::Everything;
        assert_eq!(found(&file, "lost", everything).await, [(7, 2), (3, 4), (3, 0)]);
        assert_eq!(found(&file, "lost", SearchScope::Public).await, [(7, 2), (3, 0)]);
        assert_eq!(found(&file, "lost card", everything).await, [(3, 0)]);
        assert_eq!(found(&file, "car*", everything).await, [(7, 2), (3, 0)]);
        file.search_add(TenantId(1), &[text(3, 0, "found card", SearchPart::About)], at(10)).await.unwrap();
        assert_eq!(found(&file, "lost", SearchScope::Public).await, [(7, 2)]);
        file.search_close().await;
        drop(file);
        let file = SearchFile::open(&path).await.unwrap();
        assert_eq!(file.search_progress(TenantId(1)).await.unwrap(), Some(at(10)));
        assert_eq!(found(&file, "card", everything).await, [(7, 2), (3, 0)]);
        file.search_close().await;
    }

    #[tokio::test]
    async fn a_damaged_file_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("search.db");
        std::fs::write(&path, "no database at all".repeat(1_000)).unwrap();
        let file = SearchFile::open(&path).await.unwrap();
        assert_eq!(file.search_progress(TenantId(1)).await.unwrap(), None);
    }

    #[test]
    fn nothing_is_an_operator() {
        let phrase = |words: &[&str]| WordPhrase {
            words: words.iter().map(|word| (*word).to_owned()).collect(),
            ends: PatternEnd::Here,
        };
        assert_eq!(expression(&phrase(&["a\"b", "OR"]), SearchScope::Everything), "\"a\"\"b OR\"");
        assert_eq!(expression(&phrase(&["x"]), SearchScope::Public), "{about message} : \"x\"");
    }
}
