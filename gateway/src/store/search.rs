//! Full text beside the tickets: a projection of the log that can be made anew at any time.

use std::collections::BTreeSet;

use async_trait::async_trait;
use waggle_core::find::WordPhrase;
use waggle_core::id::{Cursor, TenantId, TicketId, Version};

use super::StoreError;

/// A text that is to be found: one message, or with version 0 what a ticket is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SearchText {
    /// Of which ticket.
    pub ticket: TicketId,
    /// The event that the text came with; 0 for the ticket's own, which replaces what was there.
    pub version: Version,
    /// Words with spaces between.
    pub words: String,
    /// Whose it is.
    pub part: SearchPart,
}

/// Which part of a ticket a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SearchPart {
    /// Subject, requester, tags and fields.
    About,
    /// A message that its requester may read.
    Message,
    /// A note among agents.
    Note,
}

/// Which texts are looked through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SearchScope {
    /// All.
    Everything,
    /// All but notes.
    Public,
}

/// Full text in a database.
#[async_trait]
pub trait SearchStore: Send + Sync + 'static {
    /// The event up to which texts of this log are in, where it is this log that is in.
    async fn search_progress(&self, tenant: TenantId) -> Result<Option<Cursor>, StoreError>;
    /// Begins a log anew: nothing of the tenant is in then.
    async fn search_reset(&self, tenant: TenantId, at: Cursor) -> Result<(), StoreError>;
    /// Adds texts, and remembers up to which event all are in.
    async fn search_add(
        &self,
        tenant: TenantId,
        texts: &[SearchText],
        up_to: Cursor,
    ) -> Result<(), StoreError>;
    /// Removes the texts of these tickets' events below these versions, and what the tickets are about.
    async fn search_remove(
        &self,
        tenant: TenantId,
        tickets: &[(TicketId, Version)],
    ) -> Result<(), StoreError>;
    /// Takes away what the database still has of what was removed of these tenants' texts.
    async fn search_scrub(&self, tenants: &BTreeSet<TenantId>) -> Result<(), StoreError>;
    /// Texts with all these words beside each other: highest ticket first, at most `limit`.
    async fn search(
        &self,
        tenant: TenantId,
        phrase: &WordPhrase,
        scope: SearchScope,
        limit: u32,
    ) -> Result<Vec<(TicketId, Version)>, StoreError>;
    /// Finishes, and closes the database.
    async fn search_close(&self);
}
