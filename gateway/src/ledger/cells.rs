//! The cells of all tickets that are in use.

use std::hash::{BuildHasher, BuildHasherDefault};
use std::sync::Arc;

use parking_lot::RwLock;
use rustc_hash::{FxHashMap, FxHasher};
use waggle_core::id::{TenantId, TicketId};
use waggle_core::ledger::Slot;
use waggle_core::limits::CELLS_MAX;

/// Locks, so that admissions of different tickets do not wait for each other.
const SHARDS: usize = 64;

type Key = (TenantId, TicketId);

/// The cells as admission has known them since the last failed commit.
pub(super) struct Generation {
    pub(super) number: u64,
    shards: [RwLock<FxHashMap<Key, Arc<Slot>>>; SHARDS],
}

impl Generation {
    pub(super) fn first() -> Self {
        Self::numbered(1)
    }

    pub(super) fn next(&self) -> Self {
        Self::numbered(self.number + 1)
    }

    fn numbered(number: u64) -> Self {
        Self { number, shards: std::array::from_fn(|_| RwLock::default()) }
    }

    pub(super) fn get(&self, tenant: TenantId, ticket: TicketId) -> Option<Arc<Slot>> {
        self.shard(&(tenant, ticket)).read().get(&(tenant, ticket)).cloned()
    }

    /// Adds a slot, unless another is there: then that one is in force.
    pub(super) fn insert(&self, tenant: TenantId, ticket: TicketId, slot: Slot) -> Arc<Slot> {
        let mut shard = self.shard(&(tenant, ticket)).write();
        if shard.len() >= CELLS_MAX / SHARDS {
            // Nobody but the map has these: no command of theirs is under way, and storage has all
            // that they know.
            shard.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        Arc::clone(shard.entry((tenant, ticket)).or_insert_with(|| Arc::new(slot)))
    }

    fn shard(&self, key: &Key) -> &RwLock<FxHashMap<Key, Arc<Slot>>> {
        let hash = BuildHasherDefault::<FxHasher>::default().hash_one(key);
        // The upper bits: the map itself uses the lower ones. Modulo the number of shards.
        &self.shards[(hash >> 32) as usize % SHARDS]
    }
}
