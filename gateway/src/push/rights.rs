//! What sessions may see: looked at again whenever the directory has changed, before anything else is sent.

use std::rc::Rc;

use bytes::Bytes;
use rustc_hash::FxHashSet;
use smallvec::SmallVec;
use waggle_core::id::{TenantId, TicketId};
use waggle_core::json::JsonText;
use waggle_core::push::{CloseCode, Effects, View};
use waggle_core::right::QueueSet;
use waggle_core::ticket::Entry;

use super::shard::{Key, Sessions, Shard, Slot};
use crate::directory::Principal;

/// Tickets.
pub(super) type Shown = FxHashSet<TicketId>;

impl Slot {
    fn sees_all(&self) -> bool {
        matches!(self.session.sees(), Some(QueueSet::All))
    }

    /// Whether signals of the ticket are for this session, and from it. Signals do not tell the ticket's queue, as
    /// events do: whoever may not see all queues has to watch a ticket that was found to be in one that it may see.
    pub(super) fn may_signal(&self, ticket: TicketId) -> bool {
        self.sees_all() || self.shown.as_ref().is_some_and(|shown| shown.contains(&ticket))
    }
}

impl Shard {
    /// Ends what is not allowed any more, where the directory has changed since. A change is in the directory before
    /// anybody is told that it was made; so whatever is committed after that finds it heeded here.
    pub(super) fn heed_directory(self: &Rc<Self>, sessions: &mut Sessions) {
        let revision = self.access.revision_in_force();
        if self.heeded.replace(revision) == revision {
            return;
        }
        let now = self.clock.wall_now();
        let gone = sessions
            .keys(|slot| slot.principal.is_some_and(|principal| !self.access.still_valid(&principal, now)));
        for key in gone {
            let reason = "the token was revoked or has expired";
            self.drive_in(sessions, key, |session| session.close(CloseCode::Unauthorized, reason));
        }
        let changed = sessions.keys(|slot| {
            let sees = slot.principal.map(|principal| self.access.visible_queues(&principal));
            slot.session.is_open() && slot.session.sees() != sees.as_ref()
        });
        for key in changed {
            let Some(principal) = sessions.get(key).and_then(|slot| slot.principal) else { continue };
            let sees = self.access.visible_queues(&principal);
            self.drive_in(sessions, key, |session| session.rights_changed(sees));
            self.look_again(sessions, key);
            self.count_again(sessions, key);
        }
    }

    /// A session shows a new token.
    pub(super) fn refresh(
        self: &Rc<Self>,
        sessions: &mut Sessions,
        key: Key,
        token: JsonText<'_>,
    ) -> Effects<'static> {
        let Some(slot) = sessions.get(key) else { return Effects::new() };
        let fresh = match self.access.authenticate(&token.decode(), self.clock.wall_now()) {
            Ok(fresh) => fresh,
            Err(error) => return slot.session.close(CloseCode::Unauthorized, error.to_string()),
        };
        let is_same = |old: Principal| (old.tenant, old.agent) == (fresh.tenant, fresh.agent);
        if !slot.principal.is_some_and(is_same) {
            return slot.session.close(CloseCode::Unauthorized, "the new token is another agent's");
        }
        slot.principal = Some(fresh);
        // It may allow less.
        let mut effects = slot.session.rights_changed(self.access.visible_queues(&fresh));
        effects.extend(slot.session.refreshed(fresh.expires_at.map(|at| self.clock.tick_at(at))));
        self.count_again(sessions, key);
        effects
    }

    /// Finds out which of the tickets that a session has begun to watch it may see; those are shown then. Whoever sees
    /// all queues is not looked at.
    pub(super) fn look_at_tickets(
        self: &Rc<Self>,
        sessions: &mut Sessions,
        key: Key,
        watched: &mut SmallVec<[View; 2]>,
    ) {
        let Some(slot) = sessions.get(key).filter(|slot| slot.session.is_open() && !slot.sees_all()) else {
            return;
        };
        let Some(principal) = slot.principal else { return };
        let mut tickets = Vec::new();
        watched.retain(|view| match view {
            View::Ticket(ticket) => {
                tickets.push(*ticket);
                false
            }
            _ => true,
        });
        if !tickets.is_empty() {
            tokio::task::spawn_local(look(Rc::clone(self), key, principal.tenant, tickets));
        }
    }

    /// Looks at all tickets that a session watches, as if it had just begun to.
    pub(super) fn look_again(self: &Rc<Self>, sessions: &mut Sessions, key: Key) {
        let Some(slot) = sessions.get(key) else { return };
        slot.shown = None;
        let tickets = slot.session.views().iter().filter(|view| matches!(view, View::Ticket(_)));
        let mut watched: SmallVec<[View; 2]> = tickets.copied().collect();
        self.look_at_tickets(sessions, key, &mut watched);
    }

    /// An event has moved its ticket to another queue: whoever may not see that one has seen the last of it.
    pub(super) fn follow(
        sessions: &mut Sessions,
        id: TenantId,
        entry: &Entry,
        unsettled: &mut Vec<(Key, Effects<'static>)>,
    ) {
        let Sessions { slots, tenants, .. } = sessions;
        let Some(tenant) = tenants.get(&id) else { return };
        for number in tenant.interests.of_ticket(entry.ticket) {
            let Some(slot) = slots.get_mut(number as usize) else { continue };
            if slot.session.sees().is_some_and(|sees| !sees.contains(entry.route.queue)) {
                let key = Key { session: slot.session.id(), slot: number };
                unsettled.push((key, slot.session.may_not_see(&[entry.ticket])));
            }
        }
    }
}

/// Asks where the tickets are, ends the views of those that the session may not see, and shows what is on at the others.
async fn look(shard: Rc<Shard>, key: Key, tenant: TenantId, tickets: Vec<TicketId>) {
    for ticket in tickets {
        let queue = match shard.log.queue_of(tenant, ticket).await {
            Ok(queue) => queue,
            Err(error) => {
                tracing::warn!(%error, tenant = tenant.0, "a ticket that is watched could not be looked at");
                None
            }
        };
        let sessions = &mut *shard.sessions.borrow_mut();
        let Some(slot) = sessions.get(key) else { return };
        if !slot.session.views().contains(&View::Ticket(ticket)) {
            continue;
        }
        let sees = slot.session.sees().is_some_and(|sees| queue.is_some_and(|queue| sees.contains(queue)));
        if sees {
            slot.shown.get_or_insert_default().insert(ticket);
            shard.show_what_is_on(sessions, key, &[View::Ticket(ticket)]);
        } else {
            let effects = slot.session.may_not_see(&[ticket]);
            shard.carry_out(sessions, key, effects, &Bytes::new());
        }
    }
}
