//! Lists of tickets, out of the index.

use http::request::Parts;
use serde::Serialize;
use waggle_core::find::{self, Names, Order, Plan, Position};
use waggle_core::id::{Cursor, QueueId};
use waggle_core::time::Timestamp;

use super::answer::{self, Response};
use super::query::{Query, bad};
use super::tickets::{TicketView, storage};
use super::{Api, auth, past, search};
use crate::directory::Principal;
use crate::find::{FindError, QueryKey, TenantNames};
use crate::problem::Problem;

/// A page of tickets. `count` is how many there are on all pages. `cursor` was the log's head before the page was
/// read: a push session that resumes there misses nothing.
#[derive(Serialize)]
struct TicketPage<'a> {
    tickets: Vec<TicketView<'a>>,
    next: Option<String>,
    count: u64,
    cursor: Option<Cursor>,
    /// The instant that is shown, where it is not now.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Timestamp>,
}

/// What is asked for, and which part of it.
pub(super) struct ListRequest {
    pub(super) query: find::Query,
    /// Beyond the query: what parameters of their own ask for.
    pub(super) filters: Vec<Plan>,
    pub(super) order: Order,
    pub(super) after: Option<Position>,
    pub(super) limit: u32,
    /// The instant to show, where it is not now.
    pub(super) at: Option<Timestamp>,
}

/// Parameters that every list takes.
pub(super) const PAGING: [&str; 4] = ["sort", "cursor", "limit", "at"];

/// `GET /v1/tickets`: newest first where nothing else is said.
pub(super) async fn tickets(api: &Api, parts: &Parts) -> Result<Response, Problem> {
    let principal = auth::principal(&api.directory, &parts.headers)?;
    let known = ["query", "queue", "status", "assignee", "sort", "cursor", "limit", "at"];
    let query = Query::parse(parts.uri.query(), &known)?;
    let at = past::instant(&query)?;
    let names = TenantNames::of(&api.directory, principal).at_instant(at);
    let asked = parse("query", query.text("query").unwrap_or_default())?;
    let filters = filters(&query, &names)?;
    let (order, after, limit) = paging(&query, Order::NEWEST)?;
    page(api, principal, &names, &ListRequest { query: asked, filters, order, after, limit, at }).await
}

/// Reads a query.
pub(super) fn parse(parameter: &str, text: &str) -> Result<find::Query, Problem> {
    find::Query::parse(text).map_err(|error| {
        bad(&format!("{parameter}: {error}"))
            .with("position", u64::try_from(error.position).unwrap_or(u64::MAX))
    })
}

/// Order, place and length of a page.
pub(super) fn paging(query: &Query<'_>, default: Order) -> Result<(Order, Option<Position>, u32), Problem> {
    let order = query.parsed("sort")?.unwrap_or(default);
    let after = query.text("cursor").map(|text| position(text, order)).transpose()?;
    Ok((order, after, query.limit()?))
}

fn position(text: &str, order: Order) -> Result<Position, Problem> {
    let position: Position =
        text.parse().map_err(|error: find::BadPosition| Problem::new("bad_cursor", error.to_string()))?;
    if position.order == order {
        return Ok(position);
    }
    let detail = format!("the cursor is of a list sorted by {}, this one is by {order}", position.order);
    Err(Problem::new("bad_cursor", detail))
}

fn filters(query: &Query<'_>, names: &TenantNames<'_>) -> Result<Vec<Plan>, Problem> {
    let mut filters = Vec::new();
    if let Some(name) = query.text("status") {
        let statuses = names.statuses(name);
        if statuses.is_empty() {
            let known = names.status_names().join(", ");
            return Err(bad(&format!("status is {name:?}; expected one of {known}")));
        }
        filters.push(Plan::Status(statuses));
    }
    filters.extend(query.parsed::<QueueId>("queue")?.map(Plan::Queue));
    filters.extend(match query.text("assignee") {
        None => None,
        Some("none") => Some(Plan::Assignee(None)),
        Some("me") => Some(Plan::Assignee(Some(names.me()))),
        Some(_) => query.parsed("assignee")?.map(|agent| Plan::Assignee(Some(agent))),
    });
    Ok(filters)
}

/// The plan of a query that `parameter` gave, and of filters.
pub(super) fn plan(
    parameter: &str,
    names: &TenantNames<'_>,
    query: &find::Query,
    filters: &[Plan],
) -> Result<Plan, Problem> {
    let plan = Plan::of(query, names).map_err(|unknown| bad(&format!("{parameter}: {unknown}")))?;
    let plan = if plan.shows_deleted() { names.without_hidden(plan) } else { plan };
    if filters.is_empty() {
        return Ok(plan);
    }
    Ok(Plan::And(filters.iter().cloned().chain([plan]).collect()))
}

/// One page.
pub(super) async fn page(
    api: &Api,
    principal: Principal,
    names: &TenantNames<'_>,
    request: &ListRequest,
) -> Result<Response, Problem> {
    if let Some(at) = request.at {
        return past_page(api, principal, names, request, at).await;
    }
    let plan = plan("query", names, &request.query, &request.filters)?;
    let visible = api.directory.visible_queues(&principal);
    let cursor = api.commands.head(principal.tenant);
    let head = cursor.unwrap_or_default().offset;
    let texts = search::all_texts(api, principal.tenant, &request.query, head).await?;
    let limit = usize::try_from(request.limit).unwrap_or(usize::MAX);
    let key = QueryKey::of(principal.tenant, &request.query, request.order);
    let (order, after) = (request.order, request.after);
    let look = move |index: &find::Index| {
        let found = index.find(&plan, &texts, &visible);
        let ids = index.page(&found, order, after, limit);
        let next = ids.last().filter(|_| ids.len() == limit);
        let next = next.map(|last| index.position(order, *last).to_string());
        (ids, next, found.len())
    };
    let (ids, next, count) = api.find.ask(principal.tenant, head, key, look).await.map_err(behind)?;
    let rows = api.store.ticket_rows(principal.tenant, &ids).await.map_err(storage)?;
    let tickets = rows.iter().map(|row| TicketView::new(row, names.lifecycles())).collect();
    answer::value(&TicketPage { tickets, next, count, cursor, at: None })
}

async fn past_page(
    api: &Api,
    principal: Principal,
    names: &TenantNames<'_>,
    request: &ListRequest,
    at: Timestamp,
) -> Result<Response, Problem> {
    let cursor = api.commands.head(principal.tenant);
    let past::PastList { rows, next, count } =
        Box::pin(past::list(api, principal, names, request, (at, cursor))).await?;
    let tickets = rows.iter().map(|row| TicketView::new(row, names.lifecycles())).collect();
    answer::value(&TicketPage { tickets, next, count, cursor, at: Some(at) })
}

/// Where the index is behind the log, or too many ask it.
pub(super) fn behind(error: FindError) -> Problem {
    let code = match error {
        FindError::Behind { .. } => "index_behind",
        FindError::Busy => "overload",
    };
    Problem::new(code, error.to_string())
}
