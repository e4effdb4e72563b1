//! One fold of a log: what each of its events teaches, in their order.

use waggle_core::id::{Offset, TenantId, TicketId, Version};
use waggle_core::learn::{Happening, Lesson, Skips};
use waggle_core::limits::LEARN_EVENTS_PER_READ;

use super::dialogues::Dialogues;
use crate::store::{EventKinds, Store, StoreError};

/// One fold of a log.
pub(super) struct Fold {
    pub(super) dialogues: Dialogues,
    pub(super) skips: Skips,
    /// Rollbacks and erasures up to this event are in what it was made of.
    pub(super) covered: Offset,
}

impl Fold {
    /// One that begins at the log's start, when its head is `head`.
    pub(super) async fn begin(store: &dyn Store, tenant: TenantId, head: Offset) -> Result<Self, StoreError> {
        let skips = skips(store, tenant, head).await?;
        Ok(Self { dialogues: Dialogues::default(), skips, covered: head })
    }

    /// What is to be learned of the next event.
    pub(super) async fn lesson(
        &mut self,
        store: &dyn Store,
        tenant: TenantId,
        event: &Happening<'_>,
    ) -> Result<Option<Lesson>, StoreError> {
        let lesson = self.dialogues.follow(store, tenant, event).await?;
        Ok(lesson.filter(|lesson| !self.skips.leaves_out(event.offset, lesson)))
    }
}

/// What rollbacks up to `head` leave out.
async fn skips(store: &dyn Store, tenant: TenantId, head: Offset) -> Result<Skips, StoreError> {
    let (mut skips, mut after) = (Skips::default(), Version(0));
    loop {
        let tenant_itself = TicketId::TENANT;
        let events =
            store.ticket_events(tenant, tenant_itself, after, LEARN_EVENTS_PER_READ, EventKinds::All).await?;
        let Some(last) = events.last() else { return Ok(skips) };
        events.iter().filter(|it| it.offset <= head).for_each(|it| skips.note(&Happening::of(it)));
        after = last.version;
    }
}

/// Whether a rollback is taught.
pub(super) fn is_rollback(event: &Happening<'_>) -> bool {
    Skips::rolled_back_to(event).is_some()
}
