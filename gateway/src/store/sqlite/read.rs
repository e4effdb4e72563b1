//! Reading, on connections that cannot write.

use sqlx::sqlite::{SqlitePool, SqliteRow};
use waggle_core::id::{Cursor, Epoch, Offset, TenantId, TicketId, Version};
use waggle_core::ticket::{Actor, StoredEvent};

use super::row::{self, Columns, event_columns, ticket_columns};
use crate::store::{EventKinds, StoreError, TenantHead, TicketFilter, TicketRow};

pub(super) async fn heads(pool: &SqlitePool) -> Result<Vec<TenantHead>, StoreError> {
    let query = sqlx::query("SELECT id, epoch, offset, ticket FROM tenant ORDER BY id");
    collect(query.fetch_all(pool).await, |columns| {
        let tenant = row::tenant(columns)?;
        let epoch = Epoch(columns.bits()?);
        let offset = Offset(columns.number("offset")?);
        let ticket = TicketId(columns.number("ticket")?);
        Ok(TenantHead { tenant, cursor: Cursor { epoch, offset }, ticket })
    })
}

pub(super) async fn ticket(
    pool: &SqlitePool,
    tenant: TenantId,
    ticket: TicketId,
) -> Result<Option<TicketRow>, StoreError> {
    const SQL: &str = concat!("SELECT ", ticket_columns!(), " FROM ticket WHERE tenant = ?1 AND id = ?2");
    let query = sqlx::query(SQL).bind(tenant.0).bind(signed(ticket.0));
    let found = query.fetch_optional(pool).await.map_err(StoreError::from_sqlx)?;
    found.map(|found| row::ticket(&mut Columns::of(&found))).transpose()
}

pub(super) async fn tickets(
    pool: &SqlitePool,
    tenant: TenantId,
    filter: &TicketFilter,
    before: Option<TicketId>,
    limit: u32,
) -> Result<Vec<TicketRow>, StoreError> {
    let mut sql =
        sqlx::QueryBuilder::new(concat!("SELECT ", ticket_columns!(), " FROM ticket WHERE tenant = "));
    sql.push_bind(tenant.0);
    if let Some(queue) = filter.queue {
        sql.push(" AND queue = ").push_bind(queue.0);
    }
    if let Some(status) = filter.status {
        sql.push(" AND status = ").push_bind(status.index());
    }
    match filter.assignee {
        Some(Some(agent)) => {
            sql.push(" AND assignee = ").push_bind(agent.0);
        }
        Some(None) => {
            sql.push(" AND assignee IS NULL");
        }
        None => {}
    }
    if let Some(before) = before {
        sql.push(" AND id < ").push_bind(signed(before.0));
    }
    sql.push(" ORDER BY id DESC LIMIT ").push_bind(limit);
    collect(sql.build().fetch_all(pool).await, row::ticket)
}

pub(super) async fn ticket_events(
    pool: &SqlitePool,
    tenant: TenantId,
    ticket: TicketId,
    after: Version,
    limit: u32,
    kinds: EventKinds,
) -> Result<Vec<StoredEvent>, StoreError> {
    /// From the newest event back along the chain, as far as is asked for.
    macro_rules! history {
        ($filter:literal) => {
            concat!(
                "WITH RECURSIVE history AS (",
                " SELECT event.* FROM event, ticket WHERE ticket.tenant = ?1 AND ticket.id = ?2",
                " AND event.tenant = ?1 AND event.offset = ticket.newest AND event.version > ?3",
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
    let query = sqlx::query(sql).bind(tenant.0).bind(signed(ticket.0)).bind(after.0).bind(limit);
    collect(query.fetch_all(pool).await, row::event)
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

/// Numbers above what SQLite holds are above every number that it has.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn collect<T>(
    rows: Result<Vec<SqliteRow>, sqlx::Error>,
    read: impl Fn(&mut Columns<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    rows.map_err(StoreError::from_sqlx)?.iter().map(|row| read(&mut Columns::of(row))).collect()
}
