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
    /// An event of another ticket: the two are in one transaction.
    pub with: Option<Box<Admitted<T>>>,
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
///
/// Two events that belong together are placed together, when both are due. They must have been admitted so that of any
/// two pairs one has taken both its versions before the other took its first: then no pairs wait for each other.
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
        let mut more = Vec::new();
        while let Some(mut admitted) = next.take().or_else(|| more.pop()) {
            let with = admitted.with.take();
            if let Some(other) = with.as_ref().filter(|other| !other.slot.is_due(&other.event)) {
                let key = key(other);
                admitted.with = with;
                self.early.insert(key, admitted);
                continue;
            }
            match self.place(admitted) {
                Ok(after) => next = after,
                Err(mut early) => {
                    early.with = with;
                    self.early.insert(key(&early), early);
                    continue;
                }
            }
            if let Some(other) = with {
                // It is due: nothing has been placed since it was asked for but an event of another ticket.
                match self.place(*other) {
                    Ok(after) => more.extend(after),
                    Err(early) => drop(self.early.insert(key(&early), early)),
                }
            }
        }
    }

    /// Puts a command at the end of the batch where it is due, and gives what has waited for it.
    fn place(&mut self, admitted: Admitted<T>) -> Result<Option<Admitted<T>>, Admitted<T>> {
        let (tenant, ticket, version) = key(&admitted);
        let head = self.heads.entry(tenant).or_default();
        let Some((route, followers, previous)) = admitted.slot.write(&admitted.event, head.next()) else {
            return Err(admitted);
        };
        *head = head.next();
        let entry = Arc::new(Entry::encode(*head, &admitted.event, route, followers));
        self.batch_bytes += entry.frame.len();
        self.batch.push(Placed { admitted, entry, previous });
        match self.early.is_empty() {
            true => Ok(None),
            false => Ok(self.early.remove(&(tenant, ticket, version.next()))),
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

fn key<T>(admitted: &Admitted<T>) -> (TenantId, TicketId, Version) {
    (admitted.tenant, admitted.event.ticket, admitted.event.version)
}

#[cfg(test)]
mod tests {
    use super::super::Written;
    use super::*;
    use crate::id::Fence;
    use crate::ticket::{Actor, Cell, Kind, Status};
    use crate::time::Timestamp;

    struct Desk {
        assembler: Assembler<&'static str>,
        slots: [Arc<Slot>; 2],
    }

    impl Desk {
        fn new() -> Self {
            let slot = || {
                let cell = Cell::new(Version(1), Status::from_index(1), Fence(0), None);
                Arc::new(Slot::new(cell, Written { version: Version(1), ..Written::default() }))
            };
            Self { assembler: Assembler::new([(TenantId(1), Offset(9))]), slots: [slot(), slot()] }
        }

        fn event(&self, ticket: usize, version: u32, caller: &'static str) -> Admitted<&'static str> {
            let event = NewEvent {
                ticket: TicketId(ticket as u64),
                version: Version(version),
                kind: Kind::Note,
                actor: Actor::System,
                at: Timestamp(0),
                status: Status::from_index(1),
                status_from: None,
                fence: Fence(0),
                holder: None,
                queue: None,
                priority: None,
                patch: None,
                concerns: None,
                data: b"{}".to_vec(),
            };
            Admitted { tenant: TenantId(1), slot: Arc::clone(&self.slots[ticket]), event, caller, with: None }
        }

        fn offer(&mut self, event: Admitted<&'static str>) -> Vec<&'static str> {
            self.assembler.offer(event);
            self.assembler.take().iter().map(|placed| placed.admitted.caller).collect()
        }
    }

    #[test]
    fn two_that_belong_together_are_placed_when_both_are_due() {
        for order in [["a2", "b2", "pair"], ["a2", "pair", "b2"], ["pair", "b2", "a2"], ["pair", "a2", "b2"]]
        {
            let mut desk = Desk::new();
            let mut batches = Vec::new();
            for name in order {
                let mut event = match name {
                    "a2" => desk.event(0, 2, "a2"),
                    "b2" => desk.event(1, 2, "b2"),
                    _ => desk.event(0, 3, "a3"),
                };
                if name == "pair" {
                    event.with = Some(Box::new(desk.event(1, 3, "b3")));
                }
                batches.push(desk.offer(event));
            }
            assert_eq!(desk.assembler.early(), 0, "{order:?}");
            let together = |batch: &Vec<&str>| batch.ends_with(&["a3", "b3"]);
            assert!(batches.last().is_some_and(together), "{order:?}: {batches:?}");
            assert_eq!(batches.concat().len(), 4);
        }
    }

    #[test]
    fn what_waits_for_either_of_two_follows() {
        let mut desk = Desk::new();
        assert!(desk.offer(desk.event(0, 3, "a3")).is_empty());
        assert!(desk.offer(desk.event(1, 3, "b3")).is_empty());
        let mut pair = desk.event(0, 2, "a2");
        pair.with = Some(Box::new(desk.event(1, 2, "b2")));
        assert_eq!(desk.offer(pair), ["a2", "b2", "a3", "b3"]);
        let mut pair = desk.event(0, 5, "a5");
        pair.with = Some(Box::new(desk.event(1, 5, "b5")));
        assert!(desk.offer(pair).is_empty());
        let back = desk.assembler.reset([(TenantId(1), Offset(13))]);
        assert_eq!(back.len(), 1);
        assert_eq!(back[0].with.as_ref().map(|with| with.caller), Some("b5"));
    }
}
