//! Saved views.

use async_trait::async_trait;
use sqlx::{Connection, SqliteConnection};
use waggle_core::id::{AgentId, SavedViewId, TenantId};
use waggle_core::limits::SAVED_VIEWS_MAX;

use super::read::collect;
use super::row::Columns;
use super::{SqliteStore, audit};
use crate::store::{AuditEntry, SavedViewRow, SavedViewStore, StoreError};

macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT id, name, owner, audience, query, sort FROM saved_view WHERE tenant = ?1", $rest)
    };
}

#[async_trait]
impl SavedViewStore for SqliteStore {
    async fn saved_views(&self, tenant: TenantId) -> Result<Vec<SavedViewRow>, StoreError> {
        const SQL: &str = select!(" ORDER BY id");
        collect(sqlx::query(SQL).bind(tenant.0).fetch_all(&self.readers).await, view)
    }

    async fn saved_view(
        &self,
        tenant: TenantId,
        id: SavedViewId,
    ) -> Result<Option<SavedViewRow>, StoreError> {
        const SQL: &str = select!(" AND id = ?2");
        let found = sqlx::query(SQL).bind(tenant.0).bind(id.0).fetch_optional(&self.readers).await;
        found.map_err(StoreError::from_sqlx)?.map(|found| view(&mut Columns::of(&found))).transpose()
    }

    async fn create_saved_view(
        &self,
        tenant: TenantId,
        view: &SavedViewRow,
        audit: Option<AuditEntry>,
    ) -> Result<SavedViewId, StoreError> {
        const COUNT: &str = "SELECT count(*) FROM saved_view WHERE tenant = ?1";
        const NUMBER: &str = "INSERT INTO saved_view_number (tenant, id) VALUES (?1, 1) \
                              ON CONFLICT (tenant) DO UPDATE SET id = id + 1 RETURNING id";
        const INSERT: &str = "INSERT INTO saved_view (tenant, id, name, owner, audience, query, sort) \
                              VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let mut writer = self.writer.lock().await;
        let mut writing = writer.begin_with("BEGIN IMMEDIATE").await.map_err(StoreError::from_sqlx)?;
        let count: i64 = scalar(&mut writing, COUNT, tenant).await?;
        if usize::try_from(count).unwrap_or(usize::MAX) >= SAVED_VIEWS_MAX {
            return Err(StoreError::TooMany { kind: "views", limit: SAVED_VIEWS_MAX });
        }
        let number = scalar(&mut writing, NUMBER, tenant).await?;
        let id = SavedViewId(u32::try_from(number).unwrap_or(u32::MAX));
        let query = sqlx::query(INSERT)
            .bind(tenant.0)
            .bind(id.0)
            .bind(&view.name)
            .bind(view.owner.0)
            .bind(view.audience.to_string())
            .bind(&view.query)
            .bind(&view.sort);
        query.execute(&mut *writing).await.map_err(StoreError::from_sqlx)?;
        if let Some(entry) = audit {
            audit::append(&mut writing, &entry.with("view", id.0)).await?;
        }
        writing.commit().await.map_err(StoreError::from_sqlx)?;
        Ok(id)
    }

    async fn change_saved_view(
        &self,
        tenant: TenantId,
        view: &SavedViewRow,
        audit: Option<AuditEntry>,
    ) -> Result<(), StoreError> {
        const UPDATE: &str = "UPDATE saved_view SET name = ?3, audience = ?4, query = ?5, sort = ?6 \
                              WHERE tenant = ?1 AND id = ?2";
        let mut writer = self.writer.lock().await;
        let mut writing = writer.begin_with("BEGIN IMMEDIATE").await.map_err(StoreError::from_sqlx)?;
        let query = sqlx::query(UPDATE)
            .bind(tenant.0)
            .bind(view.id.0)
            .bind(&view.name)
            .bind(view.audience.to_string())
            .bind(&view.query)
            .bind(&view.sort);
        let done = query.execute(&mut *writing).await.map_err(StoreError::from_sqlx)?;
        there(done.rows_affected(), view.id)?;
        if let Some(entry) = audit {
            audit::append(&mut writing, &entry).await?;
        }
        writing.commit().await.map_err(StoreError::from_sqlx)
    }

    async fn delete_saved_view(
        &self,
        tenant: TenantId,
        id: SavedViewId,
        audit: Option<AuditEntry>,
    ) -> Result<(), StoreError> {
        const DELETE: &str = "DELETE FROM saved_view WHERE tenant = ?1 AND id = ?2";
        let mut writer = self.writer.lock().await;
        let mut writing = writer.begin_with("BEGIN IMMEDIATE").await.map_err(StoreError::from_sqlx)?;
        let done = sqlx::query(DELETE).bind(tenant.0).bind(id.0).execute(&mut *writing).await;
        there(done.map_err(StoreError::from_sqlx)?.rows_affected(), id)?;
        if let Some(entry) = audit {
            audit::append(&mut writing, &entry).await?;
        }
        writing.commit().await.map_err(StoreError::from_sqlx)
    }
}

async fn scalar(
    connection: &mut SqliteConnection,
    sql: &'static str,
    tenant: TenantId,
) -> Result<i64, StoreError> {
    sqlx::query_scalar(sql).bind(tenant.0).fetch_one(connection).await.map_err(StoreError::from_sqlx)
}

fn view(columns: &mut Columns<'_>) -> Result<SavedViewRow, StoreError> {
    Ok(SavedViewRow {
        id: SavedViewId(columns.small("view")?),
        name: columns.text()?,
        owner: AgentId(columns.small("agent")?),
        audience: columns.named("audience", |text| text.parse().ok())?,
        query: columns.text()?,
        sort: columns.text()?,
    })
}

fn there(rows: u64, id: SavedViewId) -> Result<(), StoreError> {
    match rows {
        0 => Err(StoreError::Missing { kind: "view", name: id.to_string() }),
        _ => Ok(()),
    }
}
