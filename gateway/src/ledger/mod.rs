//! The ledger: admission, group commit, publish.

use std::sync::Arc;

use waggle_core::id::{AgentId, Cursor, Offset, QueueId, TenantId, TicketId};
use waggle_core::ticket::{Authority, Entry, Refusal, Request};

use crate::store::{Store, StoreError};

/// The ledger of one gateway. Clones share it.
#[derive(Clone)]
pub struct Ledger {
    store: Arc<dyn Store>,
}

/// A command with everything that admission needs to know.
#[derive(Debug, Clone, Copy)]
pub struct Submission<'a> {
    /// Whose ticket.
    pub tenant: TenantId,
    /// Who asks, and with which right.
    pub authority: Authority,
    /// Which ticket; none for create.
    pub ticket: Option<TicketId>,
    /// What.
    pub request: Request<'a>,
    /// The caller's Idempotency-Key, and a hash of the request that it came with.
    pub key: Option<(&'a str, u64)>,
}

/// What became of a command.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The event: durable.
    pub entry: Arc<Entry>,
    /// Whether it was there already, from an earlier request with the same key.
    pub replayed: bool,
}

/// Why a command has had no effect.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// Admission said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// No such ticket in this tenant.
    #[error("there is no ticket {0}")]
    NoSuchTicket(TicketId),
    /// No such queue in this tenant.
    #[error("there is no queue {0}")]
    NoSuchQueue(QueueId),
    /// No such agent in this tenant.
    #[error("there is no agent {0}")]
    NoSuchAgent(AgentId),
    /// A create with a ticket, or another command without.
    #[error("a create command names no ticket; every other command names one")]
    WrongTarget,
    /// A follow-up of a ticket that is not closed.
    #[error("ticket {0} is not closed; write to it instead of creating a follow-up")]
    NotClosed(TicketId),
    /// The key came before with another request.
    #[error("this Idempotency-Key came with another request before; use a new key for a new request")]
    KeyReused,
    /// Too much is under way.
    #[error("too many commands are under way; try again in a moment")]
    Overload,
    /// Storage does not work at the moment; nothing was acknowledged.
    #[error("storage is not available: {0}")]
    Storage(Arc<StoreError>),
    /// The gateway is going down.
    #[error("the gateway is stopping")]
    Stopping,
}

/// Committed events of one tenant, in order, without gaps.
#[derive(Debug, Clone)]
pub struct PublishedBatch {
    /// Whose.
    pub tenant: TenantId,
    /// At least one.
    pub entries: Vec<Arc<Entry>>,
}

/// Where committed events go. Called by the one writer, in commit order; must not block.
pub trait Publisher: Send + Sync + 'static {
    /// Takes a batch.
    fn publish(&self, batch: &Arc<PublishedBatch>);
}

impl Ledger {
    /// Carries a command out; returns when it is durable and published, or has failed.
    ///
    /// # Errors
    /// See [`SubmitError`]; the command has had no effect then, except that after
    /// [`SubmitError::Storage`] its author should ask again with the same key.
    pub async fn submit(&self, submission: Submission<'_>) -> Result<Outcome, SubmitError> {
        let _ = submission;
        Err(SubmitError::Stopping)
    }

    /// The log's epoch and newest offset; `None` for an unknown tenant.
    pub fn head(&self, tenant: TenantId) -> Option<Cursor> {
        let _ = tenant;
        None
    }

    /// Events after `after` from memory, in order, at most `limit`; `None` where memory does not reach
    /// back so far, an empty list where there are none.
    pub fn recent_after(&self, tenant: TenantId, after: Offset, limit: usize) -> Option<Vec<Arc<Entry>>> {
        let _ = (tenant, after, limit);
        None
    }

    /// Events after `after`, in order, at most `limit`, from memory or else from storage.
    ///
    /// # Errors
    /// As storage tells them.
    pub async fn read_after(
        &self,
        tenant: TenantId,
        after: Offset,
        limit: usize,
    ) -> Result<Vec<Arc<Entry>>, StoreError> {
        let _ = (tenant, after, limit);
        Ok(Vec::new())
    }

    /// Storage, for reading.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }
}
