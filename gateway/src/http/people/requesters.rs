//! Requesters: whoever asks.

use http::StatusCode;
use http::request::Parts;
use serde::{Deserialize, Serialize};
use waggle_core::id::RequesterId;
use waggle_core::requester::{Identity, IdentityKind};
use waggle_core::right::Right;

use super::asker;
use super::change::{Change, name, refused};
use crate::http::answer::{self, Response};
use crate::http::endpoint::Parameters;
use crate::http::query::{Query, bad};
use crate::http::tickets::storage;
use crate::http::{Api, auth, rights};
use crate::problem::Problem;
use crate::store::ErasureState;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewRequester {
    name: String,
    #[serde(default)]
    identities: Vec<Given>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    kind: IdentityKind,
    value: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Merge {
    into: RequesterId,
}

/// `GET /v1/requesters?email=…` (or `phone`, `external`): the one who is known by it.
pub(super) async fn find(api: &Api, parts: &Parts) -> Result<Response, Problem> {
    let principal = auth::principal(&api.directory, &parts.headers)?;
    let query = Query::parse(parts.uri.query(), &IdentityKind::ALL.map(IdentityKind::name))?;
    rights::needs_somewhere(api, &principal, Right::See)?;
    let mut given = IdentityKind::ALL.into_iter().filter_map(|kind| Some((kind, query.text(kind.name())?)));
    let (Some((kind, value)), None) = (given.next(), given.next()) else {
        return Err(bad("give one of email, phone and external"));
    };
    let identity = identity(kind, value)?;
    let found = api.store.requester_by_identity(principal.tenant, &identity).await.map_err(storage)?;
    let missing = || Problem::new("not_found", format!("nobody is known by {kind} {:?}", identity.value()));
    answer::value(&found.ok_or_else(missing)?)
}

/// `GET /v1/requesters/{requester}`; the number of one that was merged into another gives that one.
pub(super) async fn one(api: &Api, parts: &Parts, parameters: &Parameters<'_>) -> Result<Response, Problem> {
    let principal = asker(api, parts)?;
    rights::needs_somewhere(api, &principal, Right::See)?;
    let id: RequesterId = parameters.parsed(0, "not_found")?;
    let found = api.store.requester(principal.tenant, id).await.map_err(storage)?;
    answer::value(&found.ok_or_else(|| Problem::new("not_found", format!("there is no requester {id}")))?)
}

/// `POST /v1/requesters {name, identities?: [{kind, value}]}`.
pub(super) async fn create(change: Change<'_>) -> Result<Response, Problem> {
    rights::needs_somewhere(change.api, &change.principal, Right::Create)?;
    let asked: NewRequester = change.shape()?;
    let name = name(&asked.name)?;
    let identities = asked.identities.iter().map(|given| identity(given.kind, &given.value));
    let identities = identities.collect::<Result<Vec<_>, _>>()?;
    let (store, tenant) = (&change.api.store, change.principal.tenant);
    let created = store.create_requester(change.by(), tenant, &name, &identities).await;
    change.made(StatusCode::CREATED, &created.map_err(|error| refused(error, ""))?).await
}

/// `POST /v1/requesters/{requester}/merge {into}`: the one in the path becomes the other one, whose tickets may be
/// in any queue.
pub(super) async fn merge(change: Change<'_>, parameters: &Parameters<'_>) -> Result<Response, Problem> {
    rights::needs_everywhere(change.api, &change.principal, Right::Merge)?;
    let from: RequesterId = parameters.parsed(0, "not_found")?;
    let Merge { into } = change.shape()?;
    let (store, tenant) = (&change.api.store, change.principal.tenant);
    // Which of the two is missing decides the answer.
    if store.requester(tenant, from).await.map_err(storage)?.is_none() {
        return Err(Problem::new("not_found", format!("there is no requester {from}")));
    }
    let merged = store.merge_requesters(change.by(), tenant, from, into).await;
    change.made(StatusCode::OK, &merged.map_err(|error| refused(error, ""))?).await
}

#[derive(Serialize)]
struct Erasure {
    requester: RequesterId,
    state: ErasureState,
}

/// `POST /v1/requesters/{requester}/erase`: whatever the one in the path wrote and is named by goes, in any queue. It
/// takes a while; asked again, it tells whether it is done.
pub(super) async fn erase(change: Change<'_>, parameters: &Parameters<'_>) -> Result<Response, Problem> {
    change.needs_administrator()?;
    let requester: RequesterId = parameters.parsed(0, "not_found")?;
    let begun = change.api.store.begin_erasure(change.by(), change.principal.tenant, requester).await;
    let state = begun.map_err(|error| refused(error, "requester"))?;
    let status = match state {
        ErasureState::Erasing => StatusCode::ACCEPTED,
        ErasureState::Erased => StatusCode::OK,
    };
    change.made(status, &Erasure { requester, state }).await
}

fn identity(kind: IdentityKind, value: &str) -> Result<Identity, Problem> {
    Identity::parse(kind, value).map_err(|error| Problem::new("bad_identity", error.to_string()))
}
