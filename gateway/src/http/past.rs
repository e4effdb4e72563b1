//! Tickets and lists as they were at an instant. What has not changed since is in the index; the rest is folded from
//! the log, for a bounded number of tickets and a bounded time, one list at a time.

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use waggle_core::find::{Facets, Plan, Position, TicketColumns};
use waggle_core::id::{Cursor, TenantId, TicketId};
use waggle_core::limits::{PAST_LISTS_MAX, PAST_MS_MAX, PAST_TICKETS_MAX, PAST_TICKETS_PER_READ};
use waggle_core::time::Timestamp;

use super::lists::{self, ListRequest};
use super::query::{Query, bad};
use super::tickets::storage;
use super::{Api, auth};
use crate::directory::Principal;
use crate::find::TenantNames;
use crate::problem::Problem;
use crate::store::{PastTicket, TicketRow};

/// Places of requests about the past.
#[derive(Debug)]
pub struct PastPlaces {
    /// Those under way, and those that wait.
    places: Semaphore,
    turn: Semaphore,
}

impl Default for PastPlaces {
    fn default() -> Self {
        Self { places: Semaphore::new(PAST_LISTS_MAX), turn: Semaphore::new(1) }
    }
}

impl PastPlaces {
    fn enter(&self) -> Result<SemaphorePermit<'_>, Problem> {
        self.places.try_acquire().map_err(|_| {
            Problem::new("overload", format!("{PAST_LISTS_MAX} requests about the past are under way"))
        })
    }
}

/// A page of a list as it was.
pub(super) struct PastList {
    pub(super) rows: Vec<TicketRow>,
    pub(super) next: Option<String>,
    pub(super) count: u64,
}

/// The instant that a request asks for.
pub(super) fn instant(query: &Query<'_>) -> Result<Option<Timestamp>, Problem> {
    let at: Option<Timestamp> = query.parsed("at")?;
    match at {
        Some(at) if at > auth::now() => Err(bad("at is in the future; what will be is not known")),
        at => Ok(at),
    }
}

/// One ticket as it was.
pub(super) async fn ticket(
    api: &Api,
    tenant: TenantId,
    ticket: TicketId,
    at: Timestamp,
) -> Result<TicketRow, Problem> {
    let _place = api.past.enter()?;
    let found = within_time(async { read(api, tenant, &[ticket], at).await }).await?;
    let missing =
        || Problem::new("no_such_ticket", format!("there was no ticket {ticket} yet at that instant"));
    found.into_iter().next().map(|past| past.row).ok_or_else(missing)
}

/// A page of a list as it was: of tickets in the queues that may be seen now.
pub(super) async fn list(
    api: &Api,
    principal: Principal,
    names: &TenantNames<'_>,
    request: &ListRequest,
    (at, cursor): (Timestamp, Option<Cursor>),
) -> Result<PastList, Problem> {
    if request.query.has_texts() {
        return Err(bad("query: words are found as they are now; leave out the words, or `at`"));
    }
    let plan = lists::plan("query", names, &request.query, &request.filters)?;
    let _place = api.past.enter()?;
    within_time(async {
        // It is never closed.
        let _turn = api.past.turn.acquire().await;
        unfold(api, principal, &plan, request, (at, cursor)).await
    })
    .await
}

async fn unfold(
    api: &Api,
    principal: Principal,
    plan: &Plan,
    request: &ListRequest,
    (at, cursor): (Timestamp, Option<Cursor>),
) -> Result<PastList, Problem> {
    let tenant = principal.tenant;
    let visible = api.directory.visible_queues(&principal);
    let limit = usize::try_from(request.limit).unwrap_or(usize::MAX);
    let head = cursor.unwrap_or_default().offset;
    let look = |index: &waggle_core::find::Index| {
        let past = index.past(plan, &visible, at);
        let page = index.past_page(&past, request.order, request.after, limit);
        (past.changed, page)
    };
    let (changed, mut page) = api.find.read(tenant, head, look).await.map_err(lists::behind)?;
    if changed.len() > PAST_TICKETS_MAX {
        let detail = format!(
            "{} tickets have changed since; at most {PAST_TICKETS_MAX} are looked at: give a later instant",
            changed.len()
        );
        return Err(Problem::new("too_much_history", detail));
    }
    for some in changed.chunks(PAST_TICKETS_PER_READ) {
        for PastTicket { row, has_file } in read(api, tenant, some, at).await? {
            // It was JSON when it was written.
            let facets = Facets::read(&row.requester, &row.extra).unwrap_or_default();
            page.add(plan, row.id, &columns(&row), &facets, has_file);
        }
    }
    let (count, found) = page.finish();
    let next = found.last().filter(|_| found.len() == limit).map(Position::to_string);
    let ids: Vec<_> = found.iter().map(|position| position.ticket).collect();
    let mut rows = read(api, tenant, &ids, at).await?;
    let place = |row: &TicketRow| ids.iter().position(|id| *id == row.id);
    rows.sort_by_key(|past| place(&past.row));
    Ok(PastList { rows: rows.into_iter().map(|past| past.row).collect(), next, count })
}

async fn read(
    api: &Api,
    tenant: TenantId,
    tickets: &[TicketId],
    at: Timestamp,
) -> Result<Vec<PastTicket>, Problem> {
    api.store.tickets_at(tenant, tickets, at).await.map_err(storage)
}

async fn within_time<T>(work: impl Future<Output = Result<T, Problem>>) -> Result<T, Problem> {
    match tokio::time::timeout(Duration::from_millis(PAST_MS_MAX), work).await {
        Ok(done) => done,
        Err(_) => {
            let detail =
                format!("it was not found out within {PAST_MS_MAX} milliseconds: give a later instant");
            Err(Problem::new("too_much_history", detail))
        }
    }
}

fn columns(row: &TicketRow) -> TicketColumns {
    TicketColumns {
        status: row.status,
        queue: row.queue,
        assignee: row.assignee,
        priority: row.priority,
        created_at: row.created_at,
        updated_at: row.updated_at,
    }
}
