//! Tickets many at a time, for an index of them.

use waggle_core::find::TicketColumns;
use waggle_core::id::{TenantId, TicketId};

use super::block::TicketState;
use super::{State, Tickets};
use crate::store::{Description, StoreError, TicketRow};

impl State {
    /// Columns of these tickets, of those that there are.
    pub(in crate::store::sqlite) fn columns(
        &self,
        tenant: TenantId,
        tickets: impl Iterator<Item = TicketId>,
    ) -> Vec<(TicketId, TicketColumns)> {
        let Some(known) = self.tickets(tenant) else { return Vec::new() };
        let states = known.states.read();
        let all = tickets.filter(is_ticket).map(|ticket| (ticket, states.get(ticket)));
        all.filter(|(_, state)| state.exists()).map(|(ticket, state)| (ticket, columns(&state))).collect()
    }

    /// Columns of the tickets with numbers in `(after, after + span]`; `None` where all have lower ones.
    pub(in crate::store::sqlite) fn columns_after(
        &self,
        tenant: TenantId,
        after: TicketId,
        span: u32,
    ) -> Option<Vec<(TicketId, TicketColumns)>> {
        let highest = self.tickets(tenant)?.states.read().highest;
        (after < highest).then(|| self.columns(tenant, numbers(after, span)))
    }

    /// What the tickets with these numbers have beyond their columns.
    pub(in crate::store::sqlite) async fn descriptions_after(
        &self,
        tenant: TenantId,
        after: TicketId,
        span: u32,
    ) -> Result<Vec<Description>, StoreError> {
        let Some(known) = self.tickets(tenant) else { return Ok(Vec::new()) };
        let changes: Vec<_> = {
            let texts = known.texts.lock();
            numbers(after, span).map(|ticket| (ticket, texts.of(ticket))).collect()
        };
        let mut stored = self.file.described_between(tenant, after, span).await?;
        let described = changes.into_iter().filter_map(|(ticket, change)| {
            let text = change.apply(stored.remove(&ticket))?;
            Some(Description { ticket, requester: text.requester, extra: text.extra })
        });
        Ok(described.collect())
    }

    /// Whole tickets.
    pub(in crate::store::sqlite) async fn ticket_rows(
        &self,
        tenant: TenantId,
        tickets: &[TicketId],
    ) -> Result<Vec<TicketRow>, StoreError> {
        let Some(known) = self.tickets(tenant) else { return Ok(Vec::new()) };
        let found = known.found(tickets);
        self.rows(tenant, &known, found).await
    }
}

impl Tickets {
    fn found(&self, tickets: &[TicketId]) -> Vec<(TicketId, TicketState)> {
        let states = self.states.read();
        tickets.iter().copied().filter(is_ticket).map(|ticket| (ticket, states.get(ticket))).collect()
    }
}

/// The tenant itself has a state, and is found nowhere.
fn is_ticket(ticket: &TicketId) -> bool {
    *ticket != TicketId::TENANT
}

fn numbers(after: TicketId, span: u32) -> impl Iterator<Item = TicketId> {
    (after.0.saturating_add(1)..=after.0.saturating_add(u64::from(span))).map(TicketId)
}

fn columns(state: &TicketState) -> TicketColumns {
    TicketColumns {
        status: state.status(),
        queue: state.queue,
        assignee: state.assignee(),
        priority: state.priority(),
        created_at: state.created_at,
        updated_at: state.updated_at,
    }
}
