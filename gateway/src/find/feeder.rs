//! Keeps the indexes up to date, on a thread of its own.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use waggle_core::find::{Facets, Filling, Index, TicketColumns};
use waggle_core::id::{Offset, TenantId, TicketId};
use waggle_core::limits::{INDEX_EVENTS_PER_TURN_MAX, INDEX_TICKETS_PER_READ};
use waggle_core::ticket::{Entry, Kind};

use super::port::Log;
use super::{FindHub, TenantIndex, Tenants};
use crate::store::{Store, StoreError};

/// Pause after storage could not be read.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

pub(super) struct Feeder {
    hub: FindHub,
    store: Arc<dyn Store>,
    log: Arc<dyn Log>,
    tenants: Arc<Tenants>,
    /// Where tickets are read at the start, beside the thread that takes them.
    reader: Handle,
}

/// Tickets that are read at once.
struct Span {
    columns: Vec<(TicketId, TicketColumns)>,
    facets: Vec<(TicketId, Facets)>,
}

/// The tickets behind `after`; `None` where there are none.
async fn read_span(
    store: Arc<dyn Store>,
    tenant: TenantId,
    after: TicketId,
) -> Result<Option<Span>, StoreError> {
    let Some(columns) = store.columns_after(tenant, after, INDEX_TICKETS_PER_READ).await? else {
        return Ok(None);
    };
    let described = store.descriptions_after(tenant, after, INDEX_TICKETS_PER_READ).await?;
    let facets = described
        .into_iter()
        .filter_map(|it| facets(it.ticket, &it.requester, &it.extra).map(|facets| (it.ticket, facets)));
    Ok(Some(Span { columns, facets: facets.collect() }))
}

impl Feeder {
    /// To be made where there is a runtime.
    pub(super) fn new(hub: FindHub, store: Arc<dyn Store>, log: Arc<dyn Log>, tenants: Arc<Tenants>) -> Self {
        Self { hub, store, log, tenants, reader: Handle::current() }
    }

    /// Reads all tickets, says so, and follows the log.
    pub(super) async fn run(self, tell: oneshot::Sender<Result<(), StoreError>>) {
        // Whoever waits for it may be gone.
        let _ = tell.send(self.load().await);
        self.follow().await;
    }

    async fn load(&self) -> Result<(), StoreError> {
        for head in self.store.heads().await? {
            let began = Instant::now();
            let index = self.read_all(head.tenant).await?;
            let tickets = index.len();
            let known = self.tenants.of(head.tenant);
            *known.index.write() = index;
            known.applied.send_replace(head.cursor.offset);
            if tickets > 0 {
                let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
                tracing::info!(tenant = head.tenant.0, tickets, ms, "the index of tickets is filled");
            }
        }
        Ok(())
    }

    /// All tickets as they are now; they may be newer than the head that was read before. The next ones are read
    /// while those before are taken.
    async fn read_all(&self, tenant: TenantId) -> Result<Index, StoreError> {
        let (mut filling, mut after) = (Filling::new(), TicketId(0));
        let read = |after| self.reader.spawn(read_span(Arc::clone(&self.store), tenant, after));
        let mut next = read(after);
        // The task ends early only where it panics, which has been said.
        while let Some(span) = next.await.map_err(|_| StoreError::Database(sqlx::Error::WorkerCrashed))?? {
            after = TicketId(after.0.saturating_add(u64::from(INDEX_TICKETS_PER_READ)));
            next = read(after);
            span.columns.iter().for_each(|(ticket, columns)| filling.put(*ticket, columns));
            span.facets.into_iter().for_each(|(ticket, facets)| filling.describe(ticket, facets));
        }
        let mut index = filling.finish();
        self.store.tickets_with_files(tenant).await?.into_iter().for_each(|ticket| index.attach(ticket));
        Ok(index)
    }

    async fn follow(&self) {
        loop {
            for tenant in self.hub.grown().await {
                if let Err(error) = self.catch_up(tenant).await {
                    tracing::warn!(%error, "the index of tickets cannot follow the log; it tries again");
                    tokio::time::sleep(RETRY_PAUSE).await;
                    self.hub.tell(tenant);
                }
            }
        }
    }

    async fn catch_up(&self, tenant: TenantId) -> Result<(), StoreError> {
        let known = self.tenants.of(tenant);
        loop {
            let applied = *known.applied.borrow();
            let entries = self.log.read_after(tenant, applied, INDEX_EVENTS_PER_TURN_MAX).await?;
            let Some(last) = entries.last() else { return Ok(()) };
            self.apply(tenant, &known, &entries).await?;
            known.applied.send_replace(Offset(last.offset.0));
        }
    }

    /// Takes the tickets of these events as they are now.
    async fn apply(
        &self,
        tenant: TenantId,
        known: &TenantIndex,
        entries: &[Arc<Entry>],
    ) -> Result<(), StoreError> {
        let kinds: Vec<(TicketId, Option<Kind>)> =
            entries.iter().map(|entry| (entry.ticket, entry.kind())).collect();
        let tickets: BTreeSet<TicketId> = kinds.iter().map(|(ticket, _)| *ticket).collect();
        // Whoever is named in a text follows the ticket.
        let followed = entries.iter().filter(|entry| !entry.followers.is_empty()).map(|entry| entry.ticket);
        let described = kinds.iter().filter(|(_, kind)| may_describe(*kind)).map(|(ticket, _)| *ticket);
        let described: BTreeSet<TicketId> = described.chain(followed).collect();
        let described: Vec<TicketId> = described.into_iter().collect();
        let tickets: Vec<_> = tickets.into_iter().collect();
        let columns = self.store.columns(tenant, &tickets).await?;
        let rows = self.store.ticket_rows(tenant, &described).await?;
        let mut tally = known.tally.lock();
        let before = tally.look(&known.index.read(), &tickets);
        let mut index = known.index.write();
        columns.iter().for_each(|(ticket, columns)| index.put(*ticket, columns));
        for row in rows {
            describe(&mut index, row.id, &row.requester, &row.extra);
        }
        for (ticket, kind) in kinds {
            match kind {
                Some(Kind::Attached) => index.attach(ticket),
                Some(Kind::Erased) => index.detach(ticket),
                _ => {}
            }
        }
        drop(index);
        if tally.follow(&known.index.read(), &tickets, before) {
            self.tenants.counted.tell(tenant);
        }
        Ok(())
    }
}

/// Whether an event of this kind may change more than a ticket's columns.
fn may_describe(kind: Option<Kind>) -> bool {
    !matches!(
        kind,
        Some(
            Kind::Message
                | Kind::Reply
                | Kind::Note
                | Kind::Moved
                | Kind::Claimed
                | Kind::Released
                | Kind::Assigned
                | Kind::Attached
                | Kind::Feedback
                | Kind::Labelled
                | Kind::Taught,
        )
    )
}

fn describe(index: &mut Index, ticket: TicketId, requester: &str, extra: &str) {
    if let Some(facets) = facets(ticket, requester, extra) {
        index.describe(ticket, facets);
    }
}

fn facets(ticket: TicketId, requester: &str, extra: &str) -> Option<Facets> {
    let facets = Facets::read(requester, extra);
    facets
        .inspect_err(|error| {
            tracing::error!(%ticket, %error, "a ticket's object cannot be read; it is not found by it");
        })
        .ok()
}
