//! Dialogues that are in memory; the others are made of their tickets' events when they are needed.

use quick_cache::unsync::Cache;
use waggle_core::id::{TenantId, TicketId, Version};
use waggle_core::learn::{Dialogue, Happening, Lesson};
use waggle_core::limits::{LEARN_DIALOGUES_MAX, LEARN_EVENTS_PER_READ};
use waggle_core::ticket::Kind;

use super::seen::may_teach;
use crate::store::{EventKinds, Store, StoreError};

/// Goes on with a ticket's dialogue, which is at version `at`, to the newest of its events.
pub(super) async fn go_on(
    store: &dyn Store,
    tenant: TenantId,
    ticket: TicketId,
    (mut dialogue, mut at): (Dialogue, Version),
) -> Result<(Dialogue, Version), StoreError> {
    loop {
        let events = store.ticket_events(tenant, ticket, at, LEARN_EVENTS_PER_READ, EventKinds::All).await?;
        let Some(last) = events.last() else { return Ok((dialogue, at)) };
        at = last.version;
        for event in &events {
            // What there was to learn of it is learned by the follower.
            let _ = dialogue.apply(&Happening::of(event));
        }
    }
}

/// A ticket's dialogue.
pub(super) async fn load(
    store: &dyn Store,
    tenant: TenantId,
    ticket: TicketId,
) -> Result<(Dialogue, Version), StoreError> {
    go_on(store, tenant, ticket, (Dialogue::default(), Version(0))).await
}

/// A ticket's dialogue as it was before an event of it.
async fn before(store: &dyn Store, tenant: TenantId, event: &Happening<'_>) -> Result<Dialogue, StoreError> {
    let (mut dialogue, mut at) = (Dialogue::default(), Version(0));
    while at.next() < event.version {
        let events = store.events_up_to(tenant, event.offset, at, LEARN_EVENTS_PER_READ).await?;
        let Some(last) = events.last() else { break };
        at = last.version;
        for event in events.iter().filter(|earlier| earlier.version < event.version) {
            // What there was to learn of it was learned when it came.
            let _ = dialogue.apply(&Happening::of(event));
        }
    }
    Ok(dialogue)
}

/// One tenant's, followed event by event in the order of its log.
pub(super) struct Dialogues {
    known: Cache<TicketId, Dialogue>,
}

impl Default for Dialogues {
    fn default() -> Self {
        Self { known: Cache::new(LEARN_DIALOGUES_MAX) }
    }
}

impl Dialogues {
    /// What is to be learned of the next event.
    pub(super) async fn follow(
        &mut self,
        store: &dyn Store,
        tenant: TenantId,
        event: &Happening<'_>,
    ) -> Result<Option<Lesson>, StoreError> {
        if event.kind == Kind::Taught {
            return Ok(Dialogue::default().apply(event));
        }
        if event.kind == Kind::Erased {
            // It is made of what is left when it is needed.
            self.known.remove(&event.ticket);
            return Ok(None);
        }
        if let Some(mut dialogue) = self.known.get_mut(&event.ticket) {
            return Ok(dialogue.apply(event));
        }
        if !may_teach(event.kind) {
            return Ok(None);
        }
        let mut dialogue = before(store, tenant, event).await?;
        let lesson = dialogue.apply(event);
        self.known.insert(event.ticket, dialogue);
        Ok(lesson)
    }
}
