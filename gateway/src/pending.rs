//! Tenants for which there is something to do.

use std::collections::BTreeSet;

use parking_lot::Mutex;
use tokio::sync::Notify;
use waggle_core::id::TenantId;

/// What is to be done is in the log: of each tenant only that there is something is kept.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    tenants: Mutex<BTreeSet<TenantId>>,
    happened: Notify,
}

impl Pending {
    pub(crate) fn tell(&self, tenant: TenantId) {
        self.tenants.lock().insert(tenant);
        self.happened.notify_one();
    }

    /// Waits until there is something to do, and gives all for whom there is.
    pub(crate) async fn some(&self) -> BTreeSet<TenantId> {
        loop {
            let tenants = std::mem::take(&mut *self.tenants.lock());
            if !tenants.is_empty() {
                return tenants;
            }
            self.happened.notified().await;
        }
    }
}
