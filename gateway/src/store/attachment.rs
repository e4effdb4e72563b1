//! Which files tickets have.

use async_trait::async_trait;
use waggle_core::id::{TenantId, TicketId};
use waggle_core::time::Timestamp;

use super::StoreError;
use crate::attachment::Hash;

/// A ticket's file, without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachmentRow {
    /// Which bytes.
    pub hash: Hash,
    /// As whoever sent it calls it.
    pub name: String,
    /// What it is.
    pub media_type: String,
    /// How long it is.
    pub bytes: u64,
    /// When it came.
    pub at: Timestamp,
}

/// Storage of what is known of tickets' files.
#[async_trait]
pub trait AttachmentStore {
    /// Adds a file to a ticket; `false` where the ticket has it already: then it keeps its first name.
    async fn add_attachment(
        &self,
        tenant: TenantId,
        ticket: TicketId,
        row: &AttachmentRow,
    ) -> Result<bool, StoreError>;
    /// Takes one back, which no event tells of.
    async fn remove_attachment(
        &self,
        tenant: TenantId,
        ticket: TicketId,
        hash: Hash,
    ) -> Result<(), StoreError>;
    /// One of a ticket's files.
    async fn attachment(
        &self,
        tenant: TenantId,
        ticket: TicketId,
        hash: Hash,
    ) -> Result<Option<AttachmentRow>, StoreError>;
    /// All of a ticket's files, oldest first.
    async fn attachments(&self, tenant: TenantId, ticket: TicketId)
    -> Result<Vec<AttachmentRow>, StoreError>;
    /// Files that tickets of any tenant have, with hashes above `after`, in order, at most `limit`: each with its
    /// length in bytes.
    async fn attachment_hashes(
        &self,
        after: Option<Hash>,
        limit: usize,
    ) -> Result<Vec<(Hash, u64)>, StoreError>;
}
