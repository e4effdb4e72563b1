//! Lifecycles in a database.

use async_trait::async_trait;
use waggle_core::id::{LifecycleId, QueueId, TenantId};
use waggle_core::ticket::{LifecycleRow, LifecycleSpec, Status, StatusPlan, StatusSet};

use super::{AuditEntry, StoreError};

/// A lifecycle with its tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantLifecycle {
    /// Whose.
    pub tenant: TenantId,
    /// What.
    pub row: LifecycleRow,
}

/// A lifecycle to be saved, as it was decided on a revision of the directory.
#[derive(Debug, Clone)]
pub struct SaveLifecycle {
    /// Whose.
    pub tenant: TenantId,
    /// The revision: where there is a newer one, nothing is saved.
    pub revision: u64,
    /// The number of the one that it replaces; a new one has none.
    pub id: Option<LifecycleId>,
    /// Its name.
    pub name: String,
    /// What it is.
    pub spec: LifecycleSpec,
    /// What becomes of statuses.
    pub plan: StatusPlan,
    /// Written in the same transaction.
    pub audit: AuditEntry,
}

/// A lifecycle to be deleted, as it was decided on a revision of the directory.
#[derive(Debug, Clone)]
pub struct DeleteLifecycle {
    /// Whose.
    pub tenant: TenantId,
    /// See [`SaveLifecycle::revision`].
    pub revision: u64,
    /// Which.
    pub id: LifecycleId,
    /// What a ticket gets that comes to one of its statuses at this very moment.
    pub retired: Vec<(Status, Status)>,
    /// Written in the same transaction.
    pub audit: AuditEntry,
}

/// Another lifecycle for a queue, as it was decided on a revision of the directory.
#[derive(Debug, Clone)]
pub struct GiveLifecycle {
    /// Whose.
    pub tenant: TenantId,
    /// See [`SaveLifecycle::revision`].
    pub revision: u64,
    /// Which queue.
    pub queue: QueueId,
    /// Which lifecycle.
    pub lifecycle: LifecycleId,
    /// What becomes of the old one's statuses.
    pub pairs: Vec<(Status, Status)>,
    /// Written in the same transaction.
    pub audit: AuditEntry,
}

/// A queue whose tickets are on their way to another lifecycle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueChangeRow {
    /// Whose.
    pub tenant: TenantId,
    /// Which queue.
    pub queue: QueueId,
    /// What becomes of statuses.
    pub pairs: Vec<(Status, Status)>,
}

/// Lifecycles in a database; reading them is a part of [`Store::directory`](super::Store::directory).
#[async_trait]
pub trait LifecycleStore {
    /// Saves a lifecycle with its statuses, and lets storage take the moves that it allows; gives its number.
    ///
    /// # Errors
    /// [`StoreError::Outdated`] where the directory has changed since the decision.
    async fn save_lifecycle(&self, save: SaveLifecycle) -> Result<LifecycleId, StoreError>;
    /// Deletes a lifecycle; its statuses keep their indexes, because old events have them.
    ///
    /// # Errors
    /// As [`LifecycleStore::save_lifecycle`].
    async fn delete_lifecycle(&self, delete: DeleteLifecycle) -> Result<(), StoreError>;
    /// Gives a queue another lifecycle, and notes what its tickets are to get.
    ///
    /// # Errors
    /// As [`LifecycleStore::save_lifecycle`].
    async fn give_lifecycle(&self, give: GiveLifecycle) -> Result<(), StoreError>;
    /// Queues of all tenants whose tickets are on their way to another lifecycle.
    async fn queue_changes(&self) -> Result<Vec<QueueChangeRow>, StoreError>;
    /// Notes that all of a queue's tickets have the queue's lifecycle.
    async fn finish_queue_change(&self, tenant: TenantId, queue: QueueId) -> Result<(), StoreError>;
    /// Notes that no ticket has these removed statuses.
    async fn settle_statuses(&self, tenant: TenantId, settled: &StatusSet) -> Result<(), StoreError>;
}
