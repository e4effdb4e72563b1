//! What finding reads.

use async_trait::async_trait;
use waggle_core::find::TicketColumns;
use waggle_core::id::{TenantId, TicketId};
use waggle_core::time::Timestamp;

use super::read::collect;
use super::{SqliteStore, past};
use crate::store::{Description, FindStore, PastTicket, StoreError, TicketRow};

#[async_trait]
impl FindStore for SqliteStore {
    async fn columns(
        &self,
        tenant: TenantId,
        tickets: &[TicketId],
    ) -> Result<Vec<(TicketId, TicketColumns)>, StoreError> {
        Ok(self.state().await?.columns(tenant, tickets.iter().copied()))
    }

    async fn columns_after(
        &self,
        tenant: TenantId,
        after: TicketId,
        span: u32,
    ) -> Result<Option<Vec<(TicketId, TicketColumns)>>, StoreError> {
        Ok(self.state().await?.columns_after(tenant, after, span))
    }

    async fn descriptions_after(
        &self,
        tenant: TenantId,
        after: TicketId,
        span: u32,
    ) -> Result<Vec<Description>, StoreError> {
        self.state().await?.descriptions_after(tenant, after, span).await
    }

    async fn ticket_rows(
        &self,
        tenant: TenantId,
        tickets: &[TicketId],
    ) -> Result<Vec<TicketRow>, StoreError> {
        self.state().await?.ticket_rows(tenant, tickets).await
    }

    async fn tickets_at(
        &self,
        tenant: TenantId,
        tickets: &[TicketId],
        at: Timestamp,
    ) -> Result<Vec<PastTicket>, StoreError> {
        let state = self.state().await?;
        let newest: Vec<_> = tickets.iter().filter_map(|ticket| state.newest(tenant, *ticket)).collect();
        past::tickets_at(&self.browsers, tenant, &newest, at).await
    }

    async fn tickets_with_files(&self, tenant: TenantId) -> Result<Vec<TicketId>, StoreError> {
        const SQL: &str = "SELECT DISTINCT ticket FROM attachment WHERE tenant = ? ORDER BY ticket";
        let rows = sqlx::query(SQL).bind(tenant.0).fetch_all(&self.browsers).await;
        collect(rows, |columns| columns.number("ticket").map(TicketId))
    }
}
