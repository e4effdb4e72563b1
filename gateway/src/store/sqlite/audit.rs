//! The audit log.

use async_trait::async_trait;
use sqlx::sqlite::SqlitePool;
use sqlx::{Connection, QueryBuilder, Sqlite, SqliteConnection};
use waggle_core::id::TenantId;
use waggle_core::time::Timestamp;

use super::read::collect;
use super::row::{self, Columns};
use super::{SqliteStore, directory, signed};
use crate::store::{AuditEntry, AuditFilter, AuditRow, AuditStore, StoreError};

const SELECT: &str = "SELECT tenant, id, at, actor, action, object, detail, hash FROM audit WHERE tenant = ";

#[async_trait]
impl AuditStore for SqliteStore {
    async fn audit(&self, entry: AuditEntry) -> Result<u64, StoreError> {
        let mut writer = self.writer.lock().await;
        let mut writing = writer.begin_with("BEGIN IMMEDIATE").await.map_err(StoreError::from_sqlx)?;
        let id = append(&mut writing, &entry).await?;
        writing.commit().await.map_err(StoreError::from_sqlx)?;
        Ok(id)
    }

    async fn audit_rows(
        &self,
        tenant: TenantId,
        filter: &AuditFilter,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<AuditRow>, StoreError> {
        list(&self.browsers, tenant, filter, before, limit).await
    }

    async fn audit_rows_after(
        &self,
        tenant: TenantId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<AuditRow>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new(SELECT);
        query.push_bind(tenant.0).push(" AND id > ").push_bind(signed(after));
        query.push(" ORDER BY id LIMIT ").push_bind(limit);
        collect(query.build().fetch_all(&self.browsers).await, audit_row)
    }
}

/// Adds an entry within the transaction that `writing` is in, which holds the lock for writing: begun by
/// `BEGIN IMMEDIATE`, or after its first write. Gives the row's number.
pub(super) async fn append(writing: &mut SqliteConnection, entry: &AuditEntry) -> Result<u64, StoreError> {
    const NEWEST: &str = "SELECT id, at, hash FROM audit WHERE tenant = ?1 ORDER BY id DESC LIMIT 1";
    const INSERT: &str = "
        INSERT INTO audit (tenant, id, at, actor, action, object, detail, hash)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let newest = sqlx::query(NEWEST).bind(entry.tenant.0).fetch_optional(&mut *writing).await;
    let newest = match newest.map_err(StoreError::from_sqlx)? {
        Some(found) => {
            let mut columns = Columns::of(&found);
            (columns.number("audit row")?, columns.number("time")?, columns.hash()?)
        }
        None => (0, 0, [0; 32]),
    };
    let mut row = AuditRow {
        tenant: entry.tenant,
        id: newest.0 + 1,
        // A clock that was set back does not put rows out of order.
        at: Timestamp(directory::now_ms().cast_unsigned().max(newest.1)),
        actor: entry.actor.to_string(),
        action: entry.action.to_owned(),
        object: entry.object.clone(),
        detail: entry.detail_json(),
        hash: [0; 32],
    };
    row.hash = row.chained(&newest.2);
    let query = sqlx::query(INSERT)
        .bind(row.tenant.0)
        .bind(signed(row.id))
        .bind(signed(row.at.0))
        .bind(row.actor)
        .bind(row.action)
        .bind(row.object)
        .bind(row.detail)
        .bind(row.hash.to_vec());
    let missing = |error| directory::missing_parent(error, "tenant", &row.tenant.to_string());
    query.execute(writing).await.map_err(missing)?;
    Ok(row.id)
}

async fn list(
    pool: &SqlitePool,
    tenant: TenantId,
    filter: &AuditFilter,
    before: Option<u64>,
    limit: u32,
) -> Result<Vec<AuditRow>, StoreError> {
    let mut query = QueryBuilder::<Sqlite>::new(SELECT);
    query.push_bind(tenant.0);
    if let Some(actor) = &filter.actor {
        query.push(" AND actor = ").push_bind(actor);
    }
    match filter.action.as_deref() {
        Some(action) if action.ends_with('.') => {
            query.push(" AND substr(action, 1, length(").push_bind(action);
            query.push(")) = ").push_bind(action);
        }
        Some(action) => {
            query.push(" AND action = ").push_bind(action);
        }
        None => {}
    }
    if let Some(object) = &filter.object {
        query.push(" AND object = ").push_bind(object);
    }
    if let Some(from) = filter.from {
        query.push(" AND at >= ").push_bind(signed(from.0));
    }
    if let Some(until) = filter.until {
        query.push(" AND at < ").push_bind(signed(until.0));
    }
    if let Some(before) = before {
        query.push(" AND id < ").push_bind(signed(before));
    }
    query.push(" ORDER BY id DESC LIMIT ").push_bind(limit);
    collect(query.build().fetch_all(pool).await, audit_row)
}

fn audit_row(columns: &mut Columns<'_>) -> Result<AuditRow, StoreError> {
    Ok(AuditRow {
        tenant: row::tenant(columns)?,
        id: columns.number("audit row")?,
        at: Timestamp(columns.number("time")?),
        actor: columns.text()?,
        action: columns.text()?,
        object: columns.text()?,
        detail: columns.text()?,
        hash: columns.hash()?,
    })
}
