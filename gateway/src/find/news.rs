//! Says that logs have grown.

use std::collections::BTreeSet;
use std::sync::Arc;

use waggle_core::id::TenantId;

use crate::ledger::{PublishedBatch, Publisher};
use crate::pending::Pending;

/// Where the ledger publishes to, for finding. It is there before the ledger and the finder, which both need it.
/// Clones share it.
#[derive(Debug, Clone, Default)]
pub struct FindHub(Arc<Pending>);

impl FindHub {
    /// One that knows of nothing new.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Where the ledger publishes to.
    #[must_use]
    pub fn publisher(&self) -> Arc<dyn Publisher> {
        Arc::new(self.clone())
    }

    pub(super) fn tell(&self, tenant: TenantId) {
        self.0.tell(tenant);
    }

    /// Waits until a log has grown, and gives all that have.
    pub(super) async fn grown(&self) -> BTreeSet<TenantId> {
        self.0.some().await
    }
}

impl Publisher for FindHub {
    fn publish(&self, batch: &Arc<PublishedBatch>) {
        self.tell(batch.tenant);
    }
}
