//! What the engine needs of the ledger, of the directory and of those who count.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;
use waggle_core::id::{Cursor, Offset, QueueId, SavedViewId, TenantId, TicketId};
use waggle_core::right::QueueSet;
use waggle_core::ticket::Entry;
use waggle_core::time::Timestamp;

use crate::count::{CountBox, Counts, WatchId};
use crate::directory::{AuthError, Directory, Principal};
use crate::ledger::{Ledger, Outcome, Submission, SubmitError};
use crate::store::StoreError;

/// The log of all tenants, and the way into it. An event is in what `head`, `recent_after` and
/// `read_after` tell before it is published.
#[async_trait]
pub trait Log: Send + Sync + 'static {
    /// See [`Ledger::head`].
    fn head(&self, tenant: TenantId) -> Option<Cursor>;
    /// See [`Ledger::recent_after`].
    fn recent_after(&self, tenant: TenantId, after: Offset, limit: usize) -> Option<Vec<Arc<Entry>>>;
    /// See [`Ledger::read_after`].
    async fn read_after(
        &self,
        tenant: TenantId,
        after: Offset,
        limit: usize,
    ) -> Result<Vec<Arc<Entry>>, StoreError>;
    /// See [`Ledger::submit`].
    async fn submit(&self, submission: Submission<'_>) -> Result<Outcome, SubmitError>;
    /// See [`Ledger::queue_of`].
    async fn queue_of(&self, tenant: TenantId, ticket: TicketId) -> Result<Option<QueueId>, StoreError>;
}

#[async_trait]
impl Log for Ledger {
    fn head(&self, tenant: TenantId) -> Option<Cursor> {
        Ledger::head(self, tenant)
    }

    fn recent_after(&self, tenant: TenantId, after: Offset, limit: usize) -> Option<Vec<Arc<Entry>>> {
        Ledger::recent_after(self, tenant, after, limit)
    }

    async fn read_after(
        &self,
        tenant: TenantId,
        after: Offset,
        limit: usize,
    ) -> Result<Vec<Arc<Entry>>, StoreError> {
        Ledger::read_after(self, tenant, after, limit).await
    }

    async fn submit(&self, submission: Submission<'_>) -> Result<Outcome, SubmitError> {
        Ledger::submit(self, submission).await
    }

    async fn queue_of(&self, tenant: TenantId, ticket: TicketId) -> Result<Option<QueueId>, StoreError> {
        Ledger::queue_of(self, tenant, ticket).await
    }
}

/// Counts of saved views.
pub trait Counting: Send + Sync + 'static {
    /// See [`Counts::watch`].
    fn watch(&self, id: WatchId, principal: Principal, view: SavedViewId) -> bool;
    /// See [`Counts::unwatch`].
    fn unwatch(&self, id: WatchId);
    /// See [`Counts::mailbox`].
    fn mailbox(&self, place: usize) -> Option<Arc<CountBox>>;
}

impl Counting for Counts {
    fn watch(&self, id: WatchId, principal: Principal, view: SavedViewId) -> bool {
        Counts::watch(self, id, principal, view)
    }

    fn unwatch(&self, id: WatchId) {
        Counts::unwatch(self, id);
    }

    fn mailbox(&self, place: usize) -> Option<Arc<CountBox>> {
        Counts::mailbox(self, place)
    }
}

/// Who may connect.
pub trait Access: Send + Sync + 'static {
    /// See [`Directory::authenticate_push`].
    ///
    /// # Errors
    /// Where the token is not valid at `now`.
    fn authenticate(&self, token: &str, now: Timestamp) -> Result<Principal, AuthError>;
    /// See [`Directory::still_valid`].
    fn still_valid(&self, principal: &Principal, now: Timestamp) -> bool;
    /// See [`Directory::visible_queues`].
    fn visible_queues(&self, principal: &Principal) -> QueueSet;
    /// See [`Directory::revision_in_force`].
    fn revision_in_force(&self) -> u64;
    /// See [`Directory::revision`].
    fn revision(&self) -> watch::Receiver<u64>;
}

impl Access for Directory {
    fn authenticate(&self, token: &str, now: Timestamp) -> Result<Principal, AuthError> {
        Directory::authenticate_push(self, token, now)
    }

    fn still_valid(&self, principal: &Principal, now: Timestamp) -> bool {
        Directory::still_valid(self, principal, now)
    }

    fn visible_queues(&self, principal: &Principal) -> QueueSet {
        Directory::visible_queues(self, principal)
    }

    fn revision_in_force(&self) -> u64 {
        Directory::revision_in_force(self)
    }

    fn revision(&self) -> watch::Receiver<u64> {
        Directory::revision(self)
    }
}
