//! Lifecycles: saved whole, with what storage itself lets tickets go between.

use std::collections::BTreeSet;

use async_trait::async_trait;
use sqlx::{Connection, QueryBuilder, Sqlite, SqliteConnection};
use waggle_core::id::{LifecycleId, QueueId, TenantId};
use waggle_core::limits::LIFECYCLE_GRACE_MS;
use waggle_core::ticket::{Category, LifecycleRow, Lifecycles, Status, StatusRow, StatusSet};

use super::read::collect;
use super::row::{self, Columns};
use super::{SqliteStore, audit, directory};
use crate::store::{
    DeleteLifecycle, GiveLifecycle, LifecycleStore, QueueChangeRow, SaveLifecycle, StoreError,
    TenantLifecycle,
};

#[async_trait]
impl LifecycleStore for SqliteStore {
    async fn save_lifecycle(&self, save: SaveLifecycle) -> Result<LifecycleId, StoreError> {
        const NEXT: &str = "SELECT 1 + coalesce(max(id), 0) FROM lifecycle WHERE tenant = ?1";
        const SAVE: &str = "
            INSERT INTO lifecycle (tenant, id, name, spec) VALUES (?1, ?2, ?3, ?4)
            ON CONFLICT (tenant, id) DO UPDATE SET name = excluded.name, spec = excluded.spec";
        const STATUS: &str = "
            INSERT INTO status (tenant, number, lifecycle, name, category) VALUES (?1, ?2, ?3, ?4, ?5)
            ON CONFLICT (tenant, number) DO UPDATE SET lifecycle = excluded.lifecycle, name = excluded.name,
                category = excluded.category, successor = NULL, settled = 0";
        let mut writer = self.writer.lock().await;
        let mut writing = writer.begin_with("BEGIN IMMEDIATE").await.map_err(StoreError::from_sqlx)?;
        check_revision(&mut writing, save.revision).await?;
        let id = match save.id {
            Some(id) => id.0,
            None => one(&mut writing, NEXT, save.tenant).await?,
        };
        let spec = serde_json::to_string(&save.spec)
            .map_err(|error| StoreError::Unknown { what: "lifecycle", value: error.to_string() })?;
        let query = sqlx::query(SAVE).bind(save.tenant.0).bind(id).bind(&save.name).bind(spec);
        query
            .execute(&mut *writing)
            .await
            .map_err(|error| directory::name_taken(error, "lifecycle", &save.name))?;
        retire(&mut writing, save.tenant, &save.plan.retired).await?;
        for (status, name, category) in &save.plan.statuses {
            let query = sqlx::query(STATUS)
                .bind(save.tenant.0)
                .bind(status.index())
                .bind(id)
                .bind(name)
                .bind(category.name());
            query.execute(&mut *writing).await.map_err(StoreError::from_sqlx)?;
        }
        write_edges(&mut writing, save.tenant).await?;
        audit::append(&mut writing, &save.audit).await?;
        writing.commit().await.map_err(StoreError::from_sqlx)?;
        Ok(LifecycleId(id))
    }

    async fn delete_lifecycle(&self, delete: DeleteLifecycle) -> Result<(), StoreError> {
        const DELETE: &str = "UPDATE lifecycle SET name = NULL WHERE tenant = ?1 AND id = ?2";
        let mut writer = self.writer.lock().await;
        let mut writing = writer.begin_with("BEGIN IMMEDIATE").await.map_err(StoreError::from_sqlx)?;
        check_revision(&mut writing, delete.revision).await?;
        let query = sqlx::query(DELETE).bind(delete.tenant.0).bind(delete.id.0);
        query.execute(&mut *writing).await.map_err(StoreError::from_sqlx)?;
        retire(&mut writing, delete.tenant, &delete.retired).await?;
        write_edges(&mut writing, delete.tenant).await?;
        audit::append(&mut writing, &delete.audit).await?;
        writing.commit().await.map_err(StoreError::from_sqlx)
    }

    async fn give_lifecycle(&self, give: GiveLifecycle) -> Result<(), StoreError> {
        const GIVE: &str = "UPDATE queue SET lifecycle = ?3 WHERE tenant = ?1 AND id = ?2";
        const PAIR: &str = "
            INSERT INTO queue_change (tenant, queue, status_from, status_to) VALUES (?1, ?2, ?3, ?4)";
        let mut writer = self.writer.lock().await;
        let mut writing = writer.begin_with("BEGIN IMMEDIATE").await.map_err(StoreError::from_sqlx)?;
        check_revision(&mut writing, give.revision).await?;
        let query = sqlx::query(GIVE).bind(give.tenant.0).bind(give.queue.0).bind(give.lifecycle.0);
        query.execute(&mut *writing).await.map_err(StoreError::from_sqlx)?;
        for (from, to) in &give.pairs {
            let query = sqlx::query(PAIR).bind(give.tenant.0).bind(give.queue.0);
            let query = query.bind(from.index()).bind(to.index());
            query.execute(&mut *writing).await.map_err(StoreError::from_sqlx)?;
        }
        write_edges(&mut writing, give.tenant).await?;
        audit::append(&mut writing, &give.audit).await?;
        writing.commit().await.map_err(StoreError::from_sqlx)
    }

    async fn queue_changes(&self) -> Result<Vec<QueueChangeRow>, StoreError> {
        const SQL: &str =
            "SELECT tenant, queue, status_from, status_to FROM queue_change ORDER BY tenant, queue";
        let pairs = collect(sqlx::query(SQL).fetch_all(&self.readers).await, |columns| {
            let (tenant, queue) = (row::tenant(columns)?, QueueId(columns.small("queue")?));
            Ok((tenant, queue, (status(columns)?, status(columns)?)))
        })?;
        let mut changes: Vec<QueueChangeRow> = Vec::new();
        for (tenant, queue, pair) in pairs {
            match changes.last_mut().filter(|last| (last.tenant, last.queue) == (tenant, queue)) {
                Some(change) => change.pairs.push(pair),
                None => changes.push(QueueChangeRow { tenant, queue, pairs: vec![pair] }),
            }
        }
        Ok(changes)
    }

    async fn finish_queue_change(&self, tenant: TenantId, queue: QueueId) -> Result<(), StoreError> {
        const SQL: &str = "DELETE FROM queue_change WHERE tenant = ?1 AND queue = ?2";
        let mut writer = self.writer.lock().await;
        let mut writing = writer.begin_with("BEGIN IMMEDIATE").await.map_err(StoreError::from_sqlx)?;
        let query = sqlx::query(SQL).bind(tenant.0).bind(queue.0);
        query.execute(&mut *writing).await.map_err(StoreError::from_sqlx)?;
        write_edges(&mut writing, tenant).await?;
        writing.commit().await.map_err(StoreError::from_sqlx)
    }

    async fn settle_statuses(&self, tenant: TenantId, settled: &StatusSet) -> Result<(), StoreError> {
        const SQL: &str =
            "UPDATE status SET settled = 1 WHERE tenant = ?1 AND number = ?2 AND successor IS NOT NULL";
        let mut writer = self.writer.lock().await;
        let mut writing = writer.begin_with("BEGIN IMMEDIATE").await.map_err(StoreError::from_sqlx)?;
        for status in settled.iter() {
            let query = sqlx::query(SQL).bind(tenant.0).bind(status.index());
            query.execute(&mut *writing).await.map_err(StoreError::from_sqlx)?;
        }
        write_edges(&mut writing, tenant).await?;
        writing.commit().await.map_err(StoreError::from_sqlx)
    }
}

/// All lifecycles, of one tenant or of all, with their statuses.
pub(super) async fn read(
    connection: &mut SqliteConnection,
    tenant: Option<TenantId>,
) -> Result<Vec<TenantLifecycle>, StoreError> {
    const LIFECYCLES: &str = "
        SELECT tenant, id, name, spec FROM lifecycle WHERE ?1 IS NULL OR tenant = ?1 ORDER BY tenant, id";
    const STATUSES: &str = "
        SELECT tenant, lifecycle, number, name, category, successor, settled FROM status
        WHERE ?1 IS NULL OR tenant = ?1 ORDER BY tenant, number";
    let only = tenant.map(|tenant| tenant.0);
    let found = sqlx::query(LIFECYCLES).bind(only).fetch_all(&mut *connection).await;
    let mut lifecycles = collect(found, |columns| {
        let (tenant, id) = (row::tenant(columns)?, LifecycleId(columns.small("lifecycle")?));
        let (name, spec) = (columns.optional_text()?, columns.text()?);
        let spec = serde_json::from_str(&spec)
            .map_err(|error| StoreError::Unknown { what: "lifecycle", value: error.to_string() })?;
        Ok(TenantLifecycle { tenant, row: LifecycleRow { id, name, spec, statuses: Vec::new() } })
    })?;
    let found = sqlx::query(STATUSES).bind(only).fetch_all(connection).await;
    let statuses = collect(found, |columns| {
        let (tenant, lifecycle) = (row::tenant(columns)?, LifecycleId(columns.small("lifecycle")?));
        let row = StatusRow {
            status: status(columns)?,
            name: columns.text()?,
            category: columns.named("category", Category::from_name)?,
            successor: columns.optional_status()?,
            is_settled: columns.number("settled")? != 0,
        };
        Ok((tenant, lifecycle, row))
    })?;
    for (tenant, lifecycle, row) in statuses {
        let of = lifecycles.iter_mut().find(|of| (of.tenant, of.row.id) == (tenant, lifecycle));
        if let Some(of) = of {
            of.row.statuses.push(row);
        }
    }
    Ok(lifecycles)
}

fn status(columns: &mut Columns<'_>) -> Result<Status, StoreError> {
    let unknown = || StoreError::Unknown { what: "status", value: "NULL".to_owned() };
    columns.optional_status()?.ok_or_else(unknown)
}

async fn check_revision(writing: &mut SqliteConnection, decided: u64) -> Result<(), StoreError> {
    let revision: i64 = sqlx::query_scalar("SELECT revision FROM directory")
        .fetch_one(writing)
        .await
        .map_err(StoreError::from_sqlx)?;
    if revision.cast_unsigned() == decided { Ok(()) } else { Err(StoreError::Outdated) }
}

async fn one(writing: &mut SqliteConnection, sql: &'static str, tenant: TenantId) -> Result<u32, StoreError> {
    let number: i64 =
        sqlx::query_scalar(sql).bind(tenant.0).fetch_one(writing).await.map_err(StoreError::from_sqlx)?;
    u32::try_from(number).map_err(|_| StoreError::Unknown { what: "lifecycle", value: number.to_string() })
}

async fn retire(
    writing: &mut SqliteConnection,
    tenant: TenantId,
    retired: &[(Status, Status)],
) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE status SET successor = ?3, settled = 0 WHERE tenant = ?1 AND number = ?2";
    for (status, successor) in retired {
        let query = sqlx::query(SQL).bind(tenant.0).bind(status.index()).bind(successor.index());
        query.execute(&mut *writing).await.map_err(StoreError::from_sqlx)?;
    }
    Ok(())
}

/// Makes the table `edge` what the tenant's lifecycles are now. What is no edge any more stays one for commands
/// that were admitted before, for a while.
async fn write_edges(writing: &mut SqliteConnection, tenant: TenantId) -> Result<(), StoreError> {
    const CHANGES: &str = "SELECT status_from, status_to FROM queue_change WHERE tenant = ?1";
    const KNOWN: &str = "SELECT status_from, status_to FROM edge WHERE tenant = ?1 AND until IS NULL";
    const OVER: &str = "DELETE FROM edge WHERE tenant = ?1 AND until < ?2";
    const END: &str = "UPDATE edge SET until = ?4 WHERE tenant = ?1 AND status_from = ?2 AND status_to = ?3";
    let rows: Vec<LifecycleRow> =
        read(writing, Some(tenant)).await?.into_iter().map(|lifecycle| lifecycle.row).collect();
    let lifecycles = Lifecycles::new(&rows, []);
    let mut wanted = lifecycles.steps();
    for (from, to) in pairs(writing, CHANGES, tenant).await? {
        wanted.extend([(from, to), (from, lifecycles.current(to))]);
    }
    let known: BTreeSet<(Status, Status)> = pairs(writing, KNOWN, tenant).await?.into_iter().collect();
    let now = directory::now_ms();
    let query = sqlx::query(OVER).bind(tenant.0).bind(now);
    query.execute(&mut *writing).await.map_err(StoreError::from_sqlx)?;
    let end = now.saturating_add(i64::try_from(LIFECYCLE_GRACE_MS).unwrap_or(i64::MAX));
    for (from, to) in known.difference(&wanted) {
        let query = sqlx::query(END).bind(tenant.0).bind(from.index()).bind(to.index()).bind(end);
        query.execute(&mut *writing).await.map_err(StoreError::from_sqlx)?;
    }
    let missing: Vec<_> = wanted.difference(&known).copied().collect();
    for some in missing.chunks(256) {
        let mut query = QueryBuilder::<Sqlite>::new("INSERT INTO edge (tenant, status_from, status_to) ");
        query.push_values(some, |mut row, (from, to)| {
            row.push_bind(tenant.0).push_bind(from.index()).push_bind(to.index());
        });
        query.push(" ON CONFLICT (tenant, status_from, status_to) DO UPDATE SET until = NULL");
        query.build().execute(&mut *writing).await.map_err(StoreError::from_sqlx)?;
    }
    Ok(())
}

async fn pairs(
    connection: &mut SqliteConnection,
    sql: &'static str,
    tenant: TenantId,
) -> Result<Vec<(Status, Status)>, StoreError> {
    collect(sqlx::query(sql).bind(tenant.0).fetch_all(connection).await, |columns| {
        Ok((status(columns)?, status(columns)?))
    })
}
