//! What agents have begun to write, in a database.

use async_trait::async_trait;
use waggle_core::id::{AgentId, TenantId, TicketId};
use waggle_core::time::Timestamp;

use super::StoreError;

/// What an agent has begun to write to a ticket: one per agent and ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DraftRow {
    /// To which.
    pub ticket: TicketId,
    /// When it was kept.
    pub at: Timestamp,
    /// A JSON object.
    pub body: String,
}

/// Drafts. Nothing else changes them: whatever becomes of a ticket, what somebody has begun to write stays.
#[async_trait]
pub trait DraftStore {
    /// Keeps a draft in place of the one before.
    ///
    /// # Errors
    /// [`StoreError::TooMany`] where the agent has
    /// [`DRAFTS_PER_AGENT_MAX`](waggle_core::limits::DRAFTS_PER_AGENT_MAX) on other tickets.
    async fn keep_draft(&self, tenant: TenantId, agent: AgentId, draft: &DraftRow) -> Result<(), StoreError>;
    /// An agent's draft.
    async fn draft(
        &self,
        tenant: TenantId,
        agent: AgentId,
        ticket: TicketId,
    ) -> Result<Option<DraftRow>, StoreError>;
    /// All of an agent's, the newest first.
    async fn drafts(&self, tenant: TenantId, agent: AgentId) -> Result<Vec<DraftRow>, StoreError>;
    /// Deletes a draft; tells whether there was one.
    async fn delete_draft(
        &self,
        tenant: TenantId,
        agent: AgentId,
        ticket: TicketId,
    ) -> Result<bool, StoreError>;
}
