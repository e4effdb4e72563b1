//! One tenant's log in memory: its head and its newest events.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;
use tokio::sync::Mutex;
use waggle_core::id::{Cursor, Epoch, Offset, TenantId, TicketId};
use waggle_core::ledger::Ring;
use waggle_core::limits::{RING_BYTES_MAX, RING_EVENTS_MAX};
use waggle_core::ticket::Entry;

use crate::store::{Store, StoreError, TenantHead};

/// Events read back into memory at the start.
const WARM_EVENTS: u32 = 4_096;

pub(super) struct TenantLog {
    pub(super) tenant: TenantId,
    epoch: Epoch,
    ring: RwLock<Ring>,
    /// The highest ticket number given out.
    ticket: AtomicU64,
    /// Held by a command on two tickets from its look at them until it is written.
    pub(super) pairs: Arc<Mutex<()>>,
}

impl TenantLog {
    pub(super) async fn open(store: &dyn Store, head: TenantHead) -> Result<Self, StoreError> {
        let start = Offset(head.cursor.offset.0.saturating_sub(u64::from(WARM_EVENTS)));
        let mut ring = Ring::new(start, RING_BYTES_MAX, RING_EVENTS_MAX);
        for event in store.events_after(head.tenant, start, WARM_EVENTS).await? {
            ring.push(Arc::new(Entry::from_stored(&event)));
        }
        Ok(Self {
            tenant: head.tenant,
            epoch: head.cursor.epoch,
            ring: RwLock::new(ring),
            ticket: AtomicU64::new(head.ticket.0),
            pairs: Arc::default(),
        })
    }

    pub(super) fn cursor(&self) -> Cursor {
        Cursor { epoch: self.epoch, offset: self.ring.read().head() }
    }

    pub(super) fn recent_after(&self, after: Offset, limit: usize) -> Option<Vec<Arc<Entry>>> {
        self.ring.read().after(after, limit)
    }

    pub(super) fn append(&self, entries: &[Arc<Entry>]) {
        let mut ring = self.ring.write();
        for entry in entries {
            ring.push(Arc::clone(entry));
        }
    }

    /// Puts events in the place of those with their offsets, where they are in memory.
    pub(super) fn replace(&self, entries: impl Iterator<Item = Arc<Entry>>) {
        let mut ring = self.ring.write();
        entries.for_each(|entry| ring.replace(entry));
    }

    /// A ticket number that was not given out before. One whose ticket is not committed after all
    /// stays unused.
    pub(super) fn next_ticket(&self) -> TicketId {
        TicketId(self.ticket.fetch_add(1, Ordering::Relaxed) + 1)
    }
}
