//! Definitions of custom fields.

use async_trait::async_trait;
use sqlx::{Connection, SqliteConnection};
use waggle_core::id::TenantId;
use waggle_core::limits::FIELDS_MAX;
use waggle_core::ticket::FieldDef;

use super::read::collect;
use super::{SqliteStore, audit, directory, row};
use crate::store::{AuditEntry, FieldStore, StoreError, TenantField};

#[async_trait]
impl FieldStore for SqliteStore {
    async fn create_field(
        &self,
        tenant: TenantId,
        field: &FieldDef,
        audit: AuditEntry,
    ) -> Result<(), StoreError> {
        const COUNT: &str = "SELECT count(*) FROM field WHERE tenant = ?1";
        const INSERT: &str = "INSERT INTO field (tenant, key, spec) VALUES (?1, ?2, ?3)";
        let spec = spec(field)?;
        let mut writer = self.writer.lock().await;
        let mut writing = writer.begin_with("BEGIN IMMEDIATE").await.map_err(StoreError::from_sqlx)?;
        let count: i64 = sqlx::query_scalar(COUNT)
            .bind(tenant.0)
            .fetch_one(&mut *writing)
            .await
            .map_err(StoreError::from_sqlx)?;
        if usize::try_from(count).unwrap_or(usize::MAX) >= FIELDS_MAX {
            return Err(StoreError::TooMany { kind: "fields", limit: FIELDS_MAX });
        }
        let query = sqlx::query(INSERT).bind(tenant.0).bind(&field.key).bind(spec);
        query
            .execute(&mut *writing)
            .await
            .map_err(|error| directory::name_taken(error, "field", &field.key))?;
        audit::append(&mut writing, &audit).await?;
        writing.commit().await.map_err(StoreError::from_sqlx)
    }

    async fn change_field(
        &self,
        tenant: TenantId,
        field: &FieldDef,
        audit: AuditEntry,
    ) -> Result<(), StoreError> {
        const UPDATE: &str = "UPDATE field SET spec = ?3 WHERE tenant = ?1 AND key = ?2";
        let spec = spec(field)?;
        let mut writer = self.writer.lock().await;
        let mut writing = writer.begin_with("BEGIN IMMEDIATE").await.map_err(StoreError::from_sqlx)?;
        let query = sqlx::query(UPDATE).bind(tenant.0).bind(&field.key).bind(spec);
        let done = query.execute(&mut *writing).await.map_err(StoreError::from_sqlx)?;
        there(done.rows_affected(), &field.key)?;
        audit::append(&mut writing, &audit).await?;
        writing.commit().await.map_err(StoreError::from_sqlx)
    }

    async fn delete_field(&self, tenant: TenantId, key: &str, audit: AuditEntry) -> Result<(), StoreError> {
        const DELETE: &str = "DELETE FROM field WHERE tenant = ?1 AND key = ?2";
        let mut writer = self.writer.lock().await;
        let mut writing = writer.begin_with("BEGIN IMMEDIATE").await.map_err(StoreError::from_sqlx)?;
        let query = sqlx::query(DELETE).bind(tenant.0).bind(key);
        let done = query.execute(&mut *writing).await.map_err(StoreError::from_sqlx)?;
        there(done.rows_affected(), key)?;
        audit::append(&mut writing, &audit).await?;
        writing.commit().await.map_err(StoreError::from_sqlx)
    }
}

/// The fields of all tenants.
pub(super) async fn read(connection: &mut SqliteConnection) -> Result<Vec<TenantField>, StoreError> {
    let found =
        sqlx::query("SELECT tenant, spec FROM field ORDER BY tenant, key").fetch_all(connection).await;
    collect(found, |columns| {
        let (tenant, spec) = (row::tenant(columns)?, columns.text()?);
        let field = serde_json::from_str(&spec)
            .map_err(|error| StoreError::Unknown { what: "field", value: error.to_string() })?;
        Ok(TenantField { tenant, field })
    })
}

fn spec(field: &FieldDef) -> Result<String, StoreError> {
    serde_json::to_string(field)
        .map_err(|error| StoreError::Unknown { what: "field", value: error.to_string() })
}

fn there(rows: u64, key: &str) -> Result<(), StoreError> {
    match rows {
        0 => Err(StoreError::Missing { kind: "field", name: key.to_owned() }),
        _ => Ok(()),
    }
}
