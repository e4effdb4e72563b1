//! Saved views: queries with a name, for oneself, a team or everybody.

use bytes::Bytes;
use http::StatusCode;
use http::request::Parts;
use serde::{Deserialize, Serialize};
use waggle_core::find::{Order, Plan, Texts};
use waggle_core::id::{AgentId, Cursor, SavedViewId};
use waggle_core::name::Name;

use super::answer::{self, Response};
use super::endpoint::{Operation, Parameters};
use super::lists::{self, ListRequest};
use super::query::{Query, bad};
use super::tickets::storage;
use super::{Api, auth, body, past};
use crate::directory::Principal;
use crate::find::{QueryKey, TenantNames};
use crate::problem::Problem;
use crate::store::{Audience, AuditActor, AuditEntry, SavedViewRow, StoreError};

#[derive(Serialize)]
struct ViewView<'a> {
    id: SavedViewId,
    name: &'a str,
    owner: AgentId,
    audience: String,
    query: &'a str,
    sort: &'a str,
}

#[derive(Serialize)]
struct ViewList<'a> {
    views: Vec<ViewView<'a>>,
}

/// How many tickets a view shows. `cursor` was the log's head before they were counted.
#[derive(Serialize)]
struct Count {
    id: SavedViewId,
    count: u64,
    cursor: Option<Cursor>,
}

/// A view as it is given: all of it where it is new, what changes where it is there.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    name: Option<String>,
    query: Option<String>,
    sort: Option<String>,
    audience: Option<String>,
}

impl<'a> From<&'a SavedViewRow> for ViewView<'a> {
    fn from(row: &'a SavedViewRow) -> Self {
        let SavedViewRow { id, name, owner, audience, query, sort } = row;
        Self { id: *id, name, owner: *owner, audience: audience.to_string(), query, sort }
    }
}

/// What reads a view.
pub(super) async fn read(
    api: &Api,
    operation: Operation,
    parts: &Parts,
    parameters: &Parameters<'_>,
) -> Result<Response, Problem> {
    let principal = auth::principal(&api.directory, &parts.headers)?;
    if operation == Operation::ListViews {
        Query::parse(parts.uri.query(), &[])?;
        let rows = api.store.saved_views(principal.tenant).await.map_err(storage)?;
        let views =
            rows.iter().filter(|row| api.directory.sees_view(&principal, row)).map(ViewView::from).collect();
        return answer::value(&ViewList { views });
    }
    let view = visible(api, &principal, parameters).await?;
    match operation {
        Operation::ListViewTickets => tickets(api, parts, principal, &view).await,
        Operation::CountView => {
            Query::parse(parts.uri.query(), &[])?;
            count(api, principal, &view).await
        }
        _ => {
            Query::parse(parts.uri.query(), &[])?;
            answer::value(&ViewView::from(&view))
        }
    }
}

/// What changes views.
pub(super) async fn change(
    api: &Api,
    operation: Operation,
    parts: &Parts,
    parameters: &Parameters<'_>,
    body: Bytes,
) -> Result<Response, Problem> {
    let principal = auth::principal(&api.directory, &parts.headers)?;
    Query::parse(parts.uri.query(), &[])?;
    match operation {
        Operation::CreateView => create(api, &principal, &given(parts, &body)?).await,
        Operation::ChangeView => {
            let view = visible(api, &principal, parameters).await?;
            change_one(api, &principal, view, &given(parts, &body)?).await
        }
        _ => delete(api, &principal, &visible(api, &principal, parameters).await?).await,
    }
}

fn given(parts: &Parts, body: &[u8]) -> Result<Given, Problem> {
    body::check_type(&parts.headers)?;
    serde_json::from_slice(body).map_err(|error| Problem::new("malformed", error.to_string()))
}

/// `GET /v1/views/{view}/tickets`: in the view's order where no other is asked for.
async fn tickets(
    api: &Api,
    parts: &Parts,
    principal: Principal,
    view: &SavedViewRow,
) -> Result<Response, Problem> {
    let query = Query::parse(parts.uri.query(), &lists::PAGING)?;
    let at = past::instant(&query)?;
    let names = TenantNames::of(&api.directory, principal).at_instant(at);
    let (order, after, limit) = lists::paging(&query, view.sort.parse().unwrap_or(Order::NEWEST))?;
    let asked = lists::parse("query", &view.query)?;
    let request = ListRequest { query: asked, filters: Vec::new(), order, after, limit, at };
    lists::page(api, principal, &names, &request).await
}

/// `GET /v1/views/{view}/count`.
async fn count(api: &Api, principal: Principal, view: &SavedViewRow) -> Result<Response, Problem> {
    let names = TenantNames::of(&api.directory, principal);
    let asked = lists::parse("query", &view.query)?;
    let plan = lists::plan("query", &names, &asked, &[])?;
    let cursor = api.commands.head(principal.tenant);
    let head = cursor.unwrap_or_default().offset;
    let visible = api.directory.visible_queues(&principal);
    let key = QueryKey::of(principal.tenant, &asked, Order::NEWEST);
    let look = move |index: &waggle_core::find::Index| index.find(&plan, &Texts::default(), &visible).len();
    let count = api.find.ask(principal.tenant, head, key, look).await.map_err(lists::behind)?;
    answer::value(&Count { id: view.id, count, cursor })
}

/// `POST /v1/views`.
async fn create(api: &Api, principal: &Principal, given: &Given) -> Result<Response, Problem> {
    let missing = |field: &str| Problem::new("missing_field", format!("a view needs {field:?}"));
    let mut view = SavedViewRow {
        id: SavedViewId(0),
        name: String::new(),
        owner: principal.agent,
        audience: Audience::Private,
        query: String::new(),
        sort: Order::NEWEST.to_string(),
    };
    given.name.as_ref().ok_or_else(|| missing("name"))?;
    given.query.as_ref().ok_or_else(|| missing("query"))?;
    apply(api, principal, given, &mut view)?;
    let audit = entry(principal, "view.created", &view);
    view.id = api.store.create_saved_view(principal.tenant, &view, audit).await.map_err(refused)?;
    let mut response = answer::value(&ViewView::from(&view))?;
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

/// `PATCH /v1/views/{view}`.
async fn change_one(
    api: &Api,
    principal: &Principal,
    mut view: SavedViewRow,
    given: &Given,
) -> Result<Response, Problem> {
    may_change(api, principal, &view)?;
    apply(api, principal, given, &mut view)?;
    let audit = entry(principal, "view.changed", &view);
    api.store.change_saved_view(principal.tenant, &view, audit).await.map_err(refused)?;
    (api.view_changed)(principal.tenant, view.id);
    answer::value(&ViewView::from(&view))
}

/// `DELETE /v1/views/{view}`.
async fn delete(api: &Api, principal: &Principal, view: &SavedViewRow) -> Result<Response, Problem> {
    may_change(api, principal, view)?;
    let audit = entry(principal, "view.deleted", view);
    api.store.delete_saved_view(principal.tenant, view.id, audit).await.map_err(refused)?;
    (api.view_changed)(principal.tenant, view.id);
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

/// Takes what is given into `view`, checked.
fn apply(api: &Api, principal: &Principal, given: &Given, view: &mut SavedViewRow) -> Result<(), Problem> {
    if let Some(name) = &given.name {
        let name = Name::parse(name).map_err(|error| Problem::new("bad_name", error.to_string()))?;
        view.name = name.as_str().to_owned();
    }
    if let Some(text) = &given.query {
        let query = lists::parse("query", text)?;
        if query.has_texts() {
            return Err(bad(
                "query: a view takes no words, for it counts all that it shows; search for them",
            ));
        }
        Plan::of(&query, &TenantNames::of(&api.directory, *principal))
            .map_err(|unknown| bad(&format!("query: {unknown}")))?;
        view.query = query.to_string();
    }
    if let Some(text) = &given.sort {
        let order: Order = text.parse().map_err(|error| bad(&format!("sort: {error}")))?;
        view.sort = order.to_string();
    }
    if let Some(text) = &given.audience {
        view.audience = text.parse().map_err(|error| bad(&format!("audience: {error}")))?;
        may_share(api, principal, view.audience)?;
    }
    Ok(())
}

/// For everybody is for administrators to say; for a team, for its members.
fn may_share(api: &Api, principal: &Principal, audience: Audience) -> Result<(), Problem> {
    if api.directory.administers(principal) {
        return Ok(());
    }
    match audience {
        Audience::Private => Ok(()),
        Audience::Tenant => Err(Problem::lacking(
            waggle_core::right::Right::Administer,
            "views for all of the tenant are for administrators to make",
        )),
        Audience::Team(team) => {
            let people = api.directory.people(principal.tenant);
            let is_member = |it: &crate::store::MemberRow| (it.team, it.agent) == (team, principal.agent);
            match people.members.iter().any(is_member) {
                true => Ok(()),
                false => Err(Problem::new("no_such_team", format!("you are in no team {team}"))),
            }
        }
    }
}

/// Its owner may, while he may share it so; administrators may.
fn may_change(api: &Api, principal: &Principal, view: &SavedViewRow) -> Result<(), Problem> {
    if view.owner != principal.agent && !api.directory.administers(principal) {
        let detail = "only a view's owner and administrators change it";
        return Err(Problem::lacking(waggle_core::right::Right::Administer, detail));
    }
    may_share(api, principal, view.audience)
}

async fn visible(
    api: &Api,
    principal: &Principal,
    parameters: &Parameters<'_>,
) -> Result<SavedViewRow, Problem> {
    let id: SavedViewId = parameters.parsed(0, "no_such_view")?;
    let view = api.store.saved_view(principal.tenant, id).await.map_err(storage)?;
    view.filter(|view| api.directory.sees_view(principal, view))
        .ok_or_else(|| Problem::new("no_such_view", format!("there is no view {id}")))
}

/// What others see is told of in the audit log.
fn entry(principal: &Principal, action: &'static str, view: &SavedViewRow) -> Option<AuditEntry> {
    let actor = AuditActor::Agent(principal.agent);
    let entry = AuditEntry::new(principal.tenant, actor, action, format_args!("view:{}", view.id));
    let entry = entry.with("name", view.name.clone()).with("query", view.query.clone());
    (view.audience != Audience::Private).then(|| entry.with("audience", view.audience.to_string()))
}

fn refused(error: StoreError) -> Problem {
    match error {
        StoreError::TooMany { limit, .. } => {
            Problem::new("limit_reached", error.to_string()).with("limit", limit)
        }
        StoreError::Missing { .. } => Problem::new("no_such_view", error.to_string()),
        other => storage(other),
    }
}
