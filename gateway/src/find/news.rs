//! Says that logs have grown. What is new is in the log: of each tenant only that there is something is kept.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use waggle_core::id::TenantId;

use crate::ledger::{PublishedBatch, Publisher};

/// Where the ledger publishes to, for finding. It is there before the ledger and the finder, which both need it.
/// Clones share it.
#[derive(Debug, Clone, Default)]
pub struct FindHub(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Tenants whose logs have grown.
    grown: Mutex<BTreeSet<TenantId>>,
    happened: Notify,
}

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
        self.0.grown.lock().insert(tenant);
        self.0.happened.notify_one();
    }

    /// Waits until a log has grown, and gives all that have.
    pub(super) async fn grown(&self) -> BTreeSet<TenantId> {
        loop {
            let grown = std::mem::take(&mut *self.0.grown.lock());
            if !grown.is_empty() {
                return grown;
            }
            self.0.happened.notified().await;
        }
    }
}

impl Publisher for FindHub {
    fn publish(&self, batch: &Arc<PublishedBatch>) {
        self.tell(batch.tenant);
    }
}
