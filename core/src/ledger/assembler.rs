//! Puts admitted commands into the order of the log.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Slot;
use crate::id::{Offset, TenantId, TicketId, Version};
use crate::ticket::{Entry, NewEvent};

/// An admitted command on its way to a batch. `T` is whatever its caller wants back with it.
#[derive(Debug)]
pub struct Admitted<T> {
    /// Whose.
    pub tenant: TenantId,
    /// The ticket.
    pub slot: Arc<Slot>,
    /// The event that it becomes.
    pub event: NewEvent,
    /// The caller's.
    pub caller: T,
}

/// A command that has its place in the log: encoded, not yet durable.
#[derive(Debug)]
pub struct Placed<T> {
    /// The command.
    pub admitted: Admitted<T>,
    /// Its event.
    pub entry: Arc<Entry>,
    /// Offset of the ticket's event before it.
    pub previous: Option<Offset>,
}

/// Collects a batch: gives out offsets, per ticket in the order of versions.
///
/// A thread may take version 5 and be overtaken by the one that took 6 before it could hand its
/// command over. The later one waits here; the missing one has been admitted, so it comes.
#[derive(Debug)]
pub struct Assembler<T> {
    heads: BTreeMap<TenantId, Offset>,
    early: BTreeMap<(TenantId, TicketId, Version), Admitted<T>>,
    batch: Vec<Placed<T>>,
    batch_bytes: usize,
}

impl<T> Assembler<T> {
    /// An assembler for logs that end at `heads`.
    #[must_use]
    pub fn new(heads: impl IntoIterator<Item = (TenantId, Offset)>) -> Self {
        Self { heads: heads.into_iter().collect(), early: BTreeMap::new(), batch: Vec::new(), batch_bytes: 0 }
    }

    /// Whether it has the log of `tenant`.
    #[must_use]
    pub fn knows(&self, tenant: TenantId) -> bool {
        self.heads.contains_key(&tenant)
    }

    /// Adds the log of a new tenant; one that is known stays as it is.
    pub fn add_tenant(&mut self, tenant: TenantId, head: Offset) {
        self.heads.entry(tenant).or_insert(head);
    }

    /// Takes a command: it joins the batch, or waits for its predecessor.
    pub fn offer(&mut self, admitted: Admitted<T>) {
        let mut next = Some(admitted);
        while let Some(admitted) = next.take() {
            let key = (admitted.tenant, admitted.event.ticket, admitted.event.version);
            let head = self.heads.entry(admitted.tenant).or_default();
            let Some((route, previous)) = admitted.slot.write(&admitted.event, head.next()) else {
                self.early.insert(key, admitted);
                return;
            };
            *head = head.next();
            let entry = Arc::new(Entry::encode(*head, &admitted.event, route));
            self.batch_bytes += entry.frame.len();
            self.batch.push(Placed { admitted, entry, previous });
            if !self.early.is_empty() {
                next = self.early.remove(&(key.0, key.1, key.2.next()));
            }
        }
    }

    /// Commands in the batch so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.batch.len()
    }

    /// Whether the batch has no command yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    /// Bytes of frames in the batch so far.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.batch_bytes
    }

    /// Commands that wait for a predecessor.
    #[must_use]
    pub fn early(&self) -> usize {
        self.early.len()
    }

    /// Takes the batch: to be written as one transaction.
    pub fn take(&mut self) -> Vec<Placed<T>> {
        self.batch_bytes = 0;
        std::mem::take(&mut self.batch)
    }

    /// After a failed commit: the logs end at `heads`, and what waited is given back, to be refused.
    pub fn reset(&mut self, heads: impl IntoIterator<Item = (TenantId, Offset)>) -> Vec<Admitted<T>> {
        self.heads = heads.into_iter().collect();
        self.batch_bytes = 0;
        let placed = std::mem::take(&mut self.batch).into_iter().map(|placed| placed.admitted);
        placed.chain(std::mem::take(&mut self.early).into_values()).collect()
    }
}
