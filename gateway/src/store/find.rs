//! What finding needs to read of a database: tickets many at a time, in the order of their numbers.

use async_trait::async_trait;
use waggle_core::find::TicketColumns;
use waggle_core::id::{TenantId, TicketId};
use waggle_core::time::Timestamp;

use super::{StoreError, TicketRow};

/// What a ticket has beyond its columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Which.
    pub ticket: TicketId,
    /// Who asked.
    pub requester: String,
    /// A JSON object.
    pub extra: String,
}

/// A ticket as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastTicket {
    /// The ticket.
    pub row: TicketRow,
    /// Whether it had a file.
    pub has_file: bool,
}

/// Reading for finding.
#[async_trait]
pub trait FindStore {
    /// Columns of these tickets, of those that there are, as they are now.
    async fn columns(
        &self,
        tenant: TenantId,
        tickets: &[TicketId],
    ) -> Result<Vec<(TicketId, TicketColumns)>, StoreError>;
    /// Columns of tickets with numbers in `(after, after + span]`, in order; `None` where there is none above
    /// `after`.
    async fn columns_after(
        &self,
        tenant: TenantId,
        after: TicketId,
        span: u32,
    ) -> Result<Option<Vec<(TicketId, TicketColumns)>>, StoreError>;
    /// Descriptions of tickets with numbers in `(after, after + span]`, in order.
    async fn descriptions_after(
        &self,
        tenant: TenantId,
        after: TicketId,
        span: u32,
    ) -> Result<Vec<Description>, StoreError>;
    /// Whole tickets, of those that there are, in the order that they are asked for.
    async fn ticket_rows(&self, tenant: TenantId, tickets: &[TicketId])
    -> Result<Vec<TicketRow>, StoreError>;
    /// Tickets as they were before the first of their events that is later than `at`, of those that there were then, in
    /// the order of their numbers.
    async fn tickets_at(
        &self,
        tenant: TenantId,
        tickets: &[TicketId],
        at: Timestamp,
    ) -> Result<Vec<PastTicket>, StoreError>;
    /// Tickets that have files, in order.
    async fn tickets_with_files(&self, tenant: TenantId) -> Result<Vec<TicketId>, StoreError>;
}
