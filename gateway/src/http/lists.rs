//! Lists of tickets, out of the index.

use http::request::Parts;
use serde::Serialize;
use waggle_core::find::{self, Names, Order, Plan, Position};
use waggle_core::id::{Cursor, QueueId};

use super::answer::{self, Response};
use super::names::TenantNames;
use super::query::{Query, bad};
use super::tickets::{TicketView, storage};
use super::{Api, auth, search};
use crate::directory::Principal;
use crate::find::FindError;
use crate::problem::Problem;

/// A page of tickets. `count` is how many there are on all pages. `cursor` was the log's head before the page was
/// read: a push session that resumes there misses nothing.
#[derive(Serialize)]
struct TicketPage<'a> {
    tickets: Vec<TicketView<'a>>,
    next: Option<String>,
    count: u64,
    cursor: Option<Cursor>,
}

/// What is asked for, and which part of it.
pub(super) struct ListRequest {
    pub(super) query: find::Query,
    /// Beyond the query: what parameters of their own ask for.
    pub(super) filters: Vec<Plan>,
    pub(super) order: Order,
    pub(super) after: Option<Position>,
    pub(super) limit: u32,
}

/// Parameters that every list takes.
pub(super) const PAGING: [&str; 3] = ["sort", "cursor", "limit"];

/// `GET /v1/tickets`: newest first where nothing else is said.
pub(super) async fn tickets(api: &Api, parts: &Parts) -> Result<Response, Problem> {
    let principal = auth::principal(&api.directory, &parts.headers)?;
    let known = ["query", "queue", "status", "assignee", PAGING[0], PAGING[1], PAGING[2]];
    let query = Query::parse(parts.uri.query(), &known)?;
    let names = TenantNames::of(&api.directory, principal);
    let asked = parse("query", query.text("query").unwrap_or_default())?;
    let filters = filters(&query, &names)?;
    let (order, after, limit) = paging(&query, Order::NEWEST)?;
    page(api, principal, &names, &ListRequest { query: asked, filters, order, after, limit }).await
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
    let plan = plan("query", names, &request.query, &request.filters)?;
    let visible = api.directory.visible_queues(&principal);
    let cursor = api.commands.head(principal.tenant);
    let head = cursor.unwrap_or_default().offset;
    let texts = search::all_texts(api, principal.tenant, &request.query, head).await?;
    let limit = usize::try_from(request.limit).unwrap_or(usize::MAX);
    let look = |index: &find::Index| {
        let found = index.find(&plan, &texts, &visible);
        let ids = index.page(&found, request.order, request.after, limit);
        let next = ids.last().filter(|_| ids.len() == limit);
        let next = next.map(|last| index.position(request.order, *last).to_string());
        (ids, next, found.len())
    };
    let (ids, next, count) = api.find.read(principal.tenant, head, look).await.map_err(behind)?;
    let rows = api.store.ticket_rows(principal.tenant, &ids).await.map_err(storage)?;
    let tickets = rows.iter().map(|row| TicketView::new(row, names.lifecycles())).collect();
    answer::value(&TicketPage { tickets, next, count, cursor })
}

/// Where the index is behind the log.
pub(super) fn behind(error: FindError) -> Problem {
    Problem::new("index_behind", error.to_string())
}
