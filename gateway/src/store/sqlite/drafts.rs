//! What agents have begun to write.

use async_trait::async_trait;
use sqlx::Connection;
use waggle_core::id::{AgentId, TenantId, TicketId};
use waggle_core::limits::DRAFTS_PER_AGENT_MAX;
use waggle_core::time::Timestamp;

use super::read::collect;
use super::row::Columns;
use super::{SqliteStore, signed};
use crate::store::{DraftRow, DraftStore, StoreError};

#[async_trait]
impl DraftStore for SqliteStore {
    async fn keep_draft(&self, tenant: TenantId, agent: AgentId, draft: &DraftRow) -> Result<(), StoreError> {
        const OTHERS: &str = "SELECT count(*) FROM draft WHERE tenant = ?1 AND agent = ?2 AND ticket <> ?3";
        const KEEP: &str = "
            INSERT INTO draft (tenant, agent, ticket, at, body) VALUES (?1, ?2, ?3, ?4, ?5)
            ON CONFLICT (tenant, agent, ticket) DO UPDATE SET at = excluded.at, body = excluded.body";
        let mut writer = self.writer.lock().await;
        let mut writing = writer.begin_with("BEGIN IMMEDIATE").await.map_err(StoreError::from_sqlx)?;
        let others: i64 = sqlx::query_scalar(OTHERS)
            .bind(tenant.0)
            .bind(agent.0)
            .bind(signed(draft.ticket.0))
            .fetch_one(&mut *writing)
            .await
            .map_err(StoreError::from_sqlx)?;
        if usize::try_from(others).unwrap_or(usize::MAX) >= DRAFTS_PER_AGENT_MAX {
            return Err(StoreError::TooMany { kind: "drafts", limit: DRAFTS_PER_AGENT_MAX });
        }
        let query = sqlx::query(KEEP)
            .bind(tenant.0)
            .bind(agent.0)
            .bind(signed(draft.ticket.0))
            .bind(signed(draft.at.0))
            .bind(&draft.body);
        query.execute(&mut *writing).await.map_err(StoreError::from_sqlx)?;
        writing.commit().await.map_err(StoreError::from_sqlx)
    }

    async fn draft(
        &self,
        tenant: TenantId,
        agent: AgentId,
        ticket: TicketId,
    ) -> Result<Option<DraftRow>, StoreError> {
        const SQL: &str =
            "SELECT ticket, at, body FROM draft WHERE tenant = ?1 AND agent = ?2 AND ticket = ?3";
        let query = sqlx::query(SQL).bind(tenant.0).bind(agent.0).bind(signed(ticket.0));
        Ok(collect(query.fetch_all(&self.readers).await, draft)?.into_iter().next())
    }

    async fn drafts(&self, tenant: TenantId, agent: AgentId) -> Result<Vec<DraftRow>, StoreError> {
        const SQL: &str = "SELECT ticket, at, body FROM draft WHERE tenant = ?1 AND agent = ?2 ORDER BY at DESC, ticket DESC";
        collect(sqlx::query(SQL).bind(tenant.0).bind(agent.0).fetch_all(&self.browsers).await, draft)
    }

    async fn delete_draft(
        &self,
        tenant: TenantId,
        agent: AgentId,
        ticket: TicketId,
    ) -> Result<bool, StoreError> {
        const SQL: &str = "DELETE FROM draft WHERE tenant = ?1 AND agent = ?2 AND ticket = ?3";
        let mut writer = self.writer.lock().await;
        let query = sqlx::query(SQL).bind(tenant.0).bind(agent.0).bind(signed(ticket.0));
        let done = query.execute(&mut *writer).await.map_err(StoreError::from_sqlx)?;
        Ok(done.rows_affected() > 0)
    }
}

fn draft(columns: &mut Columns<'_>) -> Result<DraftRow, StoreError> {
    Ok(DraftRow {
        ticket: TicketId(columns.number("ticket")?),
        at: Timestamp(columns.number("time")?),
        body: columns.text()?,
    })
}
