//! Erasing a person: what is under way, and the parts of it that storage does.

use async_trait::async_trait;
use serde::Serialize;
use waggle_core::id::{RequesterId, TenantId, TicketId};
use waggle_core::ticket::StoredEvent;

use super::{AuditActor, PeopleError, StoreError};
use crate::attachment::Hash;
use crate::learn::Forgotten;

/// How far a requester is erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErasureState {
    /// It has been asked for, and goes on.
    Erasing,
    /// Nothing is left.
    Erased,
}

/// An erasure that is not finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErasureRow {
    /// Whose.
    pub tenant: TenantId,
    /// Who is erased: never a number that was merged into another.
    pub requester: RequesterId,
    /// Tickets up to here have been looked at in this pass.
    pub after: TicketId,
    /// Tickets that were found, and are not known to be done.
    pub batch: Vec<TicketId>,
}

/// What the audit log has of a finished erasure.
#[derive(Debug, Clone, Copy, Default)]
pub struct Proof<'a> {
    /// Whether the log's database was written anew.
    pub is_anew: bool,
    /// The tenant's model before and after it was folded from what is left.
    pub model: Option<&'a Forgotten>,
}

/// Erasing in a database. Each step may be done again: a gateway that was killed goes on with what is noted.
#[async_trait]
pub trait ErasureStore {
    /// Notes that a requester is to be erased, and tells the audit log who wants it. One that is erased already, or is
    /// just being erased, stays so.
    async fn begin_erasure(
        &self,
        by: AuditActor,
        tenant: TenantId,
        requester: RequesterId,
    ) -> Result<ErasureState, PeopleError>;
    /// All that are not finished.
    async fn erasures(&self) -> Result<Vec<ErasureRow>, StoreError>;
    /// Notes which tickets are next, and up to where all have been looked at. The ones before are done.
    async fn note_erasure(&self, row: &ErasureRow) -> Result<(), StoreError>;
    /// The files of a ticket that no other ticket has.
    async fn sole_files(&self, tenant: TenantId, ticket: TicketId) -> Result<Vec<Hash>, StoreError>;
    /// Takes out of a ticket's events what people wrote and who they are, and deletes its drafts and what is known of
    /// its files. Gives the events that it has changed, as they are now, of very
    /// many the newest.
    async fn erase_ticket(&self, row: &ErasureRow, ticket: TicketId) -> Result<Vec<StoredEvent>, StoreError>;
    /// Takes a requester's names and identities away.
    async fn erase_requester(&self, row: &ErasureRow) -> Result<(), StoreError>;
    /// Takes away what the database's files still have of what was deleted. The log's is written anew where it has at
    /// most `bytes_max`, which tells whether it was; of a larger one only free pages are overwritten.
    async fn scrub(&self, bytes_max: u64) -> Result<bool, StoreError>;
    /// Writes the proof to the audit log: it is done.
    async fn finish_erasure(&self, row: &ErasureRow, proof: Proof<'_>) -> Result<(), StoreError>;
}
