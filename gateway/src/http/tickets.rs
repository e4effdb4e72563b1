//! Tickets and their events, for reading.

use bytes::Bytes;
use http::header::CACHE_CONTROL;
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value};
use waggle_core::id::{AgentId, Fence, QueueId, TicketId, Version};
use waggle_core::right::Right;
use waggle_core::ticket::{Category, Lifecycles, Priority};
use waggle_core::time::Timestamp;

use super::answer::{self, Response};
use super::query::Query;
use super::{Api, auth, past, preconditions, render};
use crate::directory::Principal;
use crate::ledger::SubmitError;
use crate::problem::Problem;
use crate::store::{EventKinds, StoreError, TicketRow};

/// A ticket as callers see it.
#[derive(Serialize)]
pub(super) struct TicketView<'a> {
    id: TicketId,
    queue: QueueId,
    subject: &'a str,
    requester: &'a str,
    priority: Priority,
    status: &'a str,
    category: Category,
    version: Version,
    assignee: Option<AgentId>,
    fence: Fence,
    #[serde(skip_serializing_if = "Option::is_none")]
    follow_up_of: Option<TicketId>,
    created_at: Timestamp,
    updated_at: Timestamp,
    /// Tags, custom fields and the like, each where there are some.
    #[serde(flatten)]
    details: Map<String, Value>,
}

impl<'a> TicketView<'a> {
    pub(super) fn new(row: &'a TicketRow, lifecycles: &'a Lifecycles) -> Self {
        Self {
            id: row.id,
            queue: row.queue,
            subject: &row.subject,
            requester: &row.requester,
            priority: row.priority,
            status: lifecycles.name(row.status),
            category: lifecycles.category(row.status),
            version: row.version,
            assignee: row.assignee,
            fence: row.fence,
            follow_up_of: row.follow_up_of,
            created_at: row.created_at,
            updated_at: row.updated_at,
            details: details(row),
        }
    }
}

/// What the ticket has beyond its row's columns, in the shape of the patches that events tell of.
fn details(row: &TicketRow) -> Map<String, Value> {
    if row.extra == "{}" {
        return Map::new();
    }
    // It was JSON when it was written. A set of nothing is left where its last member was taken out.
    let mut details: Map<String, Value> = serde_json::from_str(&row.extra).unwrap_or_default();
    details.retain(|_, value| value.as_object().is_none_or(|set| !set.is_empty()));
    details
}

/// `GET /v1/tickets/{id}`.
pub(super) async fn one(api: &Api, parts: &Parts, ticket: TicketId) -> Result<Response, Problem> {
    let principal = auth::principal(&api.directory, &parts.headers)?;
    let query = Query::parse(parts.uri.query(), &["at"])?;
    let row = visible(api, &principal, ticket).await?;
    if let Some(at) = past::instant(&query)? {
        return one_at(api, &principal, ticket, at).await;
    }
    let mut response = if preconditions::has_already(&parts.headers, row.version) {
        let mut response = Response::default();
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        answer::value(&TicketView::new(&row, &api.directory.lifecycles(principal.tenant)))?
    };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    Ok(answer::with_version(response, row.version))
}

/// The same as it was: whoever sees the ticket now sees all that it was.
async fn one_at(
    api: &Api,
    principal: &Principal,
    ticket: TicketId,
    at: Timestamp,
) -> Result<Response, Problem> {
    let row = Box::pin(past::ticket(api, principal.tenant, ticket, at)).await?;
    let mut response = answer::value(&TicketView::new(&row, &api.directory.lifecycles(principal.tenant)))?;
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    Ok(response)
}

/// `GET /v1/tickets/{id}/messages`: the events that people read.
pub(super) async fn messages(api: &Api, parts: &Parts, ticket: TicketId) -> Result<Response, Problem> {
    events_of(api, parts, ticket, EventKinds::Texts, "messages").await
}

/// `GET /v1/tickets/{id}/events`: all of them.
pub(super) async fn events(api: &Api, parts: &Parts, ticket: TicketId) -> Result<Response, Problem> {
    events_of(api, parts, ticket, EventKinds::All, "events").await
}

/// A page of a ticket's events, oldest first, each as it was pushed.
async fn events_of(
    api: &Api,
    parts: &Parts,
    ticket: TicketId,
    kinds: EventKinds,
    member: &'static str,
) -> Result<Response, Problem> {
    let principal = auth::principal(&api.directory, &parts.headers)?;
    let query = match kinds {
        EventKinds::All => Query::parse(parts.uri.query(), &["cursor", "limit"])?,
        EventKinds::Texts => Query::parse(parts.uri.query(), &["cursor", "limit", "render"])?,
    };
    let render = render::Render::parse(&query)?;
    let after = query.cursor("after-")?.unwrap_or_default();
    let limit = query.limit()?;
    let store = &api.store;
    visible(api, &principal, ticket).await?;
    let events = store.ticket_events(principal.tenant, ticket, after, limit, kinds).await.map_err(storage)?;
    let next = events.last().filter(|_| is_full(events.len(), limit)).map(|event| event.version);
    let events = render.all(events).await?;
    Ok(answer::json(StatusCode::OK, event_page(member, &events, next)))
}

/// Events are put in as they are.
fn event_page(member: &str, events: &[Bytes], next: Option<Version>) -> Bytes {
    let mut out = Vec::with_capacity(64 + events.iter().map(|event| 1 + event.len()).sum::<usize>());
    out.extend_from_slice(b"{\"");
    out.extend_from_slice(member.as_bytes());
    out.extend_from_slice(b"\":[");
    for (index, event) in events.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(event);
    }
    out.extend_from_slice(b"],\"next\":");
    match next {
        Some(version) => out.extend_from_slice(format!("\"after-{version}\"").as_bytes()),
        None => out.extend_from_slice(b"null"),
    }
    out.push(b'}');
    Bytes::from(out)
}

/// The ticket, where there is one for whoever asks. A deleted one is there for whoever may delete.
pub(super) async fn visible(
    api: &Api,
    principal: &Principal,
    ticket: TicketId,
) -> Result<TicketRow, Problem> {
    let sees = api.directory.visible_queues(principal);
    let row = api.store.ticket(principal.tenant, ticket).await.map_err(storage)?;
    let shows = |row: &TicketRow| {
        sees.contains(row.queue)
            && (!row.is_deleted() || api.directory.rights(principal, row.queue).has(Right::Delete))
    };
    row.filter(shows).ok_or_else(|| missing(ticket))
}

/// A full page may have another one after it; that one may turn out empty.
pub(super) fn is_full(rows: usize, limit: u32) -> bool {
    u32::try_from(rows).is_ok_and(|rows| rows >= limit)
}

fn missing(ticket: TicketId) -> Problem {
    Problem::from_submit(&SubmitError::NoSuchTicket(ticket))
}

/// Storage's own words are for the log, not for callers, where they may name files.
pub(super) fn storage(error: StoreError) -> Problem {
    let source = std::error::Error::source(&error).map(ToString::to_string);
    tracing::warn!(%error, source, "storage failed");
    Problem::new("storage_unavailable", format!("storage is not available: {error}"))
}
