//! Counts that follow a tenant's index.

use std::collections::BTreeSet;

use waggle_core::id::TenantId;

use super::Finder;
use super::tally::{CountId, Counted};

impl Finder {
    /// Counts tickets from now on, in the place of what `id` counted before, and gives the count. Until the end is said
    /// each change of it is told.
    pub fn count(&self, tenant: TenantId, id: CountId, what: Counted) -> u64 {
        let known = self.tenants.of(tenant);
        // The feeder waits, so that no change falls between the count and what follows.
        let mut tally = known.tally.lock();
        let index = known.index.read();
        tally.begin(&index, id, what)
    }

    /// Counts no longer.
    pub fn end_count(&self, tenant: TenantId, id: CountId) {
        self.tenants.of(tenant).tally.lock().end(id);
    }

    /// Waits until counts may have changed, and tells whose.
    pub async fn counts_changed(&self) -> BTreeSet<TenantId> {
        self.tenants.counted.grown().await
    }

    /// A tenant's counts that have changed since this was asked before; `None` in the place of one that has to be begun
    /// anew.
    #[must_use]
    pub fn changed_counts(&self, tenant: TenantId) -> Vec<(CountId, Option<u64>)> {
        self.tenants.of(tenant).tally.lock().take_changed()
    }
}
