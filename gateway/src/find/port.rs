//! What finding needs of the ledger.

use std::sync::Arc;

use async_trait::async_trait;
use waggle_core::id::{Offset, TenantId};
use waggle_core::ticket::Entry;

use crate::ledger::Ledger;
use crate::store::StoreError;

/// The logs of all tenants.
#[async_trait]
pub trait Log: Send + Sync + 'static {
    /// See [`Ledger::read_after`].
    async fn read_after(
        &self,
        tenant: TenantId,
        after: Offset,
        limit: usize,
    ) -> Result<Vec<Arc<Entry>>, StoreError>;
}

#[async_trait]
impl Log for Ledger {
    async fn read_after(
        &self,
        tenant: TenantId,
        after: Offset,
        limit: usize,
    ) -> Result<Vec<Arc<Entry>>, StoreError> {
        Ledger::read_after(self, tenant, after, limit).await
    }
}
