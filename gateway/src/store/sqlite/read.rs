//! Reading, on connections that cannot write.

use sqlx::sqlite::{SqlitePool, SqliteRow};
use waggle_core::id::{Cursor, Epoch, Offset, TenantId, TicketId, Version};
use waggle_core::ticket::{Actor, StoredEvent};

use super::row::{self, Columns, change_columns, event_columns};
use super::signed;
use super::state::Change;
use crate::store::{EventKinds, StoreError, TenantHead};

/// The heads of the logs, without the highest tickets.
pub(super) async fn log_heads(pool: &SqlitePool) -> Result<Vec<TenantHead>, StoreError> {
    const SQL: &str = "SELECT id, epoch, coalesce((SELECT max(offset) FROM event WHERE tenant = id), 0) \
                       FROM tenant ORDER BY id";
    collect(sqlx::query(SQL).fetch_all(pool).await, |columns| {
        let tenant = row::tenant(columns)?;
        let epoch = Epoch(columns.bits()?);
        let offset = Offset(columns.number("offset")?);
        Ok(TenantHead { tenant, cursor: Cursor { epoch, offset }, ticket: TicketId(0) })
    })
}

/// What the events with offsets above `after` change, in order, at most `limit`.
pub(super) async fn changes_after(
    pool: &SqlitePool,
    tenant: TenantId,
    after: Offset,
    limit: u32,
) -> Result<Vec<Change>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        change_columns!(),
        " FROM event WHERE tenant = ?1 AND offset > ?2 ORDER BY offset LIMIT ?3"
    );
    let query = sqlx::query(SQL).bind(tenant.0).bind(signed(after.0)).bind(limit);
    collect(query.fetch_all(pool).await, row::change)
}

pub(super) async fn ticket_events(
    pool: &SqlitePool,
    tenant: TenantId,
    newest: Offset,
    after: Version,
    limit: u32,
    kinds: EventKinds,
) -> Result<Vec<StoredEvent>, StoreError> {
    /// From the newest event back along the chain, as far as is asked for.
    macro_rules! history {
        ($filter:literal) => {
            concat!(
                "WITH RECURSIVE history AS (",
                " SELECT event.* FROM event WHERE tenant = ?1 AND offset = ?2 AND version > ?3",
                " UNION ALL SELECT event.* FROM history, event",
                " WHERE event.tenant = ?1 AND event.offset = history.previous AND history.version > ?3 + 1) SELECT ",
                event_columns!(),
                " FROM history",
                $filter,
                " ORDER BY version LIMIT ?4"
            )
        };
    }
    const ALL: &str = history!("");
    const TEXTS: &str = history!(" WHERE kind IN ('created', 'message', 'reply', 'note')");
    let sql = match kinds {
        EventKinds::All => ALL,
        EventKinds::Texts => TEXTS,
    };
    let query = sqlx::query(sql).bind(tenant.0).bind(signed(newest.0)).bind(after.0).bind(limit);
    collect(query.fetch_all(pool).await, row::event)
}

/// An event with what else its row has of its request.
pub(super) struct LoggedEvent {
    pub(super) event: StoredEvent,
    pub(super) patch: Option<String>,
    /// Whether it came with an Idempotency-Key.
    pub(super) has_key: bool,
}

/// A ticket's events with versions above `after`, oldest first, at most `limit`.
pub(super) async fn logged_events(
    pool: &SqlitePool,
    tenant: TenantId,
    newest: Offset,
    after: Version,
    limit: u32,
) -> Result<Vec<LoggedEvent>, StoreError> {
    const SQL: &str = concat!(
        "WITH RECURSIVE history AS (",
        " SELECT offset AS at_offset, version AS at_version, previous AS before FROM event",
        " WHERE tenant = ?1 AND offset = ?2 AND version > ?3",
        " UNION ALL SELECT event.offset, event.version, event.previous FROM history, event",
        " WHERE event.tenant = ?1 AND event.offset = history.before AND history.at_version > ?3 + 1) SELECT ",
        event_columns!(),
        ", patch, key IS NOT NULL FROM event WHERE tenant = ?1 AND offset IN (",
        " SELECT at_offset FROM history ORDER BY at_version LIMIT ?4) ORDER BY version"
    );
    let query = sqlx::query(SQL).bind(tenant.0).bind(signed(newest.0)).bind(after.0).bind(limit);
    collect(query.fetch_all(pool).await, |columns| {
        Ok(LoggedEvent {
            event: row::event(columns)?,
            patch: columns.optional_text()?,
            has_key: columns.number("key")? != 0,
        })
    })
}

pub(super) async fn events_after(
    pool: &SqlitePool,
    tenant: TenantId,
    after: Offset,
    limit: u32,
) -> Result<Vec<StoredEvent>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        event_columns!(),
        " FROM event WHERE tenant = ?1 AND offset > ?2 ORDER BY offset LIMIT ?3"
    );
    let query = sqlx::query(SQL).bind(tenant.0).bind(signed(after.0)).bind(limit);
    collect(query.fetch_all(pool).await, row::event)
}

pub(super) async fn event_by_key(
    pool: &SqlitePool,
    tenant: TenantId,
    caller: Actor,
    key: &str,
) -> Result<Option<(StoredEvent, u64)>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        event_columns!(),
        ", fingerprint FROM event WHERE tenant = ?1 AND key = ?2 AND caller = ?3"
    );
    let mut name = Vec::new();
    caller.write_to(&mut name);
    let name = String::from_utf8(name).unwrap_or_default();
    let query = sqlx::query(SQL).bind(tenant.0).bind(key).bind(name);
    let found = query.fetch_optional(pool).await.map_err(StoreError::from_sqlx)?;
    found
        .map(|found| {
            let mut columns = Columns::of(&found);
            Ok((row::event(&mut columns)?, columns.bits()?))
        })
        .transpose()
}

pub(super) fn collect<T>(
    rows: Result<Vec<SqliteRow>, sqlx::Error>,
    read: impl Fn(&mut Columns<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    rows.map_err(StoreError::from_sqlx)?.iter().map(|row| read(&mut Columns::of(row))).collect()
}
