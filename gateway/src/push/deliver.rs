//! From a committed batch to the sockets of all who watch.

use std::rc::Rc;

use bytes::Bytes;
use smallvec::SmallVec;
use waggle_core::id::{Offset, TenantId};
use waggle_core::limits::WRITE_SLICES_MAX;
use waggle_core::push::{Effects, Offer};
use waggle_core::ticket::Entry;

use super::shard::{Key, Sessions, Shard};
use crate::ledger::PublishedBatch;

/// Sessions whose frames are sent after all were asked.
const GROUP: usize = 32;

impl Shard {
    /// Offers a batch to the sessions that watch, and writes to their sockets: for a single event straight
    /// away, for several after all are queued, so that each socket is written to once. Returns how many
    /// were sent, once per session.
    pub(super) fn deliver(self: &Rc<Self>, batch: &PublishedBatch) -> u64 {
        self.stats.batches.add(1);
        let sessions = &mut *self.sessions.borrow_mut();
        self.heed_directory(sessions);
        let Some(tenant) = sessions.tenants.get(&batch.tenant) else { return 0 };
        let Some(first) = batch.entries.first() else { return 0 };
        let mut unsettled = Vec::new();
        if first.offset > tenant.feed.next() {
            // Offsets start at 1.
            unsettled = self.miss(sessions, batch.tenant, Offset(first.offset.0 - 1));
        }
        let writing = if batch.entries.len() == 1 { Writing::AtOnce } else { Writing::Later };
        let mut sent = 0;
        // As many as one system call takes: of a large batch no session holds more than that back.
        for some in batch.entries.chunks(WRITE_SLICES_MAX) {
            for entry in some {
                sent += self.fan_out(sessions, batch.tenant, entry, writing, &mut unsettled);
                if entry.route.queue_from.is_some() {
                    Self::follow(sessions, batch.tenant, entry, &mut unsettled);
                }
            }
            for (key, effects) in unsettled.drain(..) {
                self.carry_out(sessions, key, effects, &Bytes::new());
            }
        }
        sent
    }

    /// Batches of these tenants, up to these offsets, found no room in the shard's inbox.
    pub(super) fn lose(self: &Rc<Self>, lost: impl IntoIterator<Item = (TenantId, Offset)>) {
        let sessions = &mut *self.sessions.borrow_mut();
        for (tenant, newest) in lost {
            if newest > sessions.feed(Some(tenant)) && sessions.tenants.contains_key(&tenant) {
                for (key, effects) in self.miss(sessions, tenant, newest) {
                    self.carry_out(sessions, key, effects, &Bytes::new());
                }
            }
        }
    }

    /// Moves a tenant's feed over events that nobody was offered: its sessions read them from the log.
    fn miss(
        self: &Rc<Self>,
        sessions: &mut Sessions,
        id: TenantId,
        newest: Offset,
    ) -> Vec<(Key, Effects<'static>)> {
        self.stats.gaps.add(1);
        let feed = sessions.feed(Some(id));
        let mut unsettled = Vec::new();
        for key in sessions.keys(|slot| slot.tenant() == Some(id)) {
            if let Some(slot) = sessions.get(key) {
                unsettled.push((key, slot.session.missed(feed)));
            }
        }
        if let Some(tenant) = sessions.tenants.get_mut(&id) {
            tenant.feed = newest;
        }
        // A ticket may have been moved where it is not to be seen.
        for (key, _) in &unsettled {
            self.look_again(sessions, *key);
        }
        unsettled
    }

    /// Offers one event to those who may want it; returns how many took it.
    fn fan_out(
        &self,
        sessions: &mut Sessions,
        id: TenantId,
        entry: &Entry,
        writing: Writing,
        unsettled: &mut Vec<(Key, Effects<'static>)>,
    ) -> u64 {
        let Sessions { slots, tenants, .. } = sessions;
        let Some(tenant) = tenants.get_mut(&id) else { return 0 };
        if entry.offset <= tenant.feed {
            return 0;
        }
        let mut sent = 0;
        // Sends come in groups: between system calls a session's memory is far away, and asking a whole
        // group first lets the processor fetch one session's while it waits for another's.
        let mut group = SmallVec::<[u32; GROUP]>::new();
        let mut numbers = tenant.interests.of(entry);
        loop {
            group.clear();
            let is_last = loop {
                let Some(number) = numbers.next() else { break true };
                let Some(slot) = slots.get_mut(number as usize) else { continue };
                let key = Key { session: slot.session.id(), slot: number };
                match slot.session.offer(entry) {
                    Offer::Pass => {}
                    Offer::Send if writing == Writing::AtOnce && slot.link.takes_at_once() => {
                        group.push(number);
                        if group.len() == GROUP {
                            break false;
                        }
                    }
                    Offer::Send => match slot.link.queue_event(entry.frame.clone()) {
                        Ok(needs_flush) => {
                            sent += 1;
                            if needs_flush {
                                unsettled.push((key, Effects::new()));
                            }
                        }
                        Err(overflow) => unsettled.push((key, slot.overflow(overflow))),
                    },
                    Offer::Lag(mark) => {
                        slot.note_lagging(&self.stats);
                        let queued = slot.link.queue_control(mark);
                        let effects =
                            queued.map_or_else(|overflow| slot.overflow(overflow), |()| Effects::new());
                        unsettled.push((key, effects));
                    }
                }
            };
            for number in &group {
                let Some(slot) = slots.get_mut(*number as usize) else { continue };
                match slot.link.send_event(&entry.frame) {
                    Ok(()) => sent += 1,
                    Err(overflow) => {
                        let key = Key { session: slot.session.id(), slot: *number };
                        unsettled.push((key, slot.overflow(overflow)));
                    }
                }
            }
            if is_last {
                break;
            }
        }
        tenant.feed = entry.offset;
        self.count_sent(sent, entry.frame.len() * sent as usize);
        sent
    }
}

/// When a frame goes to the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writing {
    AtOnce,
    Later,
}
