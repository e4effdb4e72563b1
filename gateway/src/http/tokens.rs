//! API tokens: one's own, and for administrators the tenant's.

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use hyper::body::Body;
use serde::{Deserialize, Serialize};
use waggle_core::id::AgentId;
use waggle_core::limits::{NAME_BYTES_MAX, TOKENS_PER_AGENT_MAX};
use waggle_core::time::Timestamp;

use super::answer::{self, Response};
use super::login::storage;
use super::query::Query;
use super::{Api, auth, body};
use crate::directory::{Principal, Token};
use crate::problem::Problem;
use crate::store::{AuditActor, AuditEntry, NewToken, Scope, Scopes, StoreError, TokenRow};

#[derive(Serialize)]
struct View<'a> {
    id: u64,
    agent: AgentId,
    name: &'a str,
    scopes: Scopes,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
    /// To the nearest minute.
    seen_at: Option<Timestamp>,
}

#[derive(Serialize)]
struct List<'a> {
    tokens: Vec<View<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    #[serde(default)]
    name: String,
    scopes: Scopes,
    #[serde(default)]
    agent: Option<AgentId>,
    #[serde(default)]
    expires_at: Option<Timestamp>,
}

#[derive(Serialize)]
struct Created<'a> {
    id: u64,
    /// Shown once.
    token: &'a str,
    agent: AgentId,
    scopes: Scopes,
    expires_at: Option<Timestamp>,
}

/// `GET /v1/tokens`: those in force, oldest first; administrators see all of their tenant.
pub(super) fn list(api: &Api, parts: &Parts) -> Result<Response, Problem> {
    let principal = auth::principal(&api.directory, &parts.headers)?;
    Query::parse(parts.uri.query(), &[])?;
    let rows = api.directory.tokens(principal.tenant);
    let seen = rows.iter().filter(|(row, _)| may_see(api, &principal, row));
    let tokens = seen.map(|(row, seen_at)| View {
        id: row.id,
        agent: row.agent,
        name: &row.name,
        scopes: row.scopes,
        created_at: row.created_at,
        expires_at: row.expires_at,
        seen_at: *seen_at,
    });
    answer::value(&List { tokens: tokens.collect() })
}

fn may_see(api: &Api, principal: &Principal, row: &TokenRow) -> bool {
    api.directory.administers(principal) || row.agent == principal.agent
}

/// `POST /v1/tokens`: makes one that allows no more than what it is asked with; an administrator also one that acts as
/// another agent.
pub(super) async fn create<B>(api: &Api, parts: &Parts, body: B) -> Result<Response, Problem>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let principal = auth::principal(&api.directory, &parts.headers)?;
    let wanted: Create = body::json(parts, body).await?;
    let agent = check(api, &principal, &wanted)?;
    let token = Token::make().map_err(|error| Problem::new("internal", error.to_string()))?;
    let audit = AuditEntry::new(
        principal.tenant,
        AuditActor::Agent(principal.agent),
        "token.created",
        format!("agent:{agent}"),
    )
    .with("name", wanted.name.as_str())
    .with("scopes", wanted.scopes.to_string())
    .with("expires_at", wanted.expires_at.map(|at| at.0));
    let Create { name, scopes, expires_at, .. } = wanted;
    let new = NewToken { tenant: principal.tenant, agent, name, scopes, hash: token.hash(), expires_at };
    let id = api.store.issue_token(new, audit).await.map_err(storage)?;
    api.directory.refresh(api.store.as_ref()).await.map_err(storage)?;
    let mut response = answer::value(&Created { id, token: token.reveal(), agent, scopes, expires_at })?;
    *response.status_mut() = StatusCode::CREATED;
    if let Ok(location) = HeaderValue::try_from(format!("/v1/tokens/{id}")) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// The agent as whom the token shall act, where the principal may make it.
fn check(api: &Api, principal: &Principal, wanted: &Create) -> Result<AgentId, Problem> {
    let agent = wanted.agent.unwrap_or(principal.agent);
    let is_admin = api.directory.administers(principal);
    if agent != principal.agent && !is_admin {
        return Err(Problem::new("needs_admin", "only administrators make tokens for other agents"));
    }
    if wanted.scopes.has(Scope::Admin) && !is_admin {
        return Err(Problem::new("needs_admin", "only administrators make tokens of scope admin"));
    }
    if !api.directory.has_agent(principal.tenant, agent) {
        return Err(Problem::new("no_such_agent", format!("there is no agent {agent}")));
    }
    if wanted.name.len() > NAME_BYTES_MAX || wanted.name.chars().any(char::is_control) {
        let wanted = format!("expected at most {NAME_BYTES_MAX} bytes without control characters");
        return Err(Problem::new("bad_value", format!("name is not taken; {wanted}")));
    }
    let now = auth::now();
    if wanted.expires_at.is_some_and(|end| end <= now) {
        let detail = format!("expires_at is over; expected more than {} (milliseconds since 1970)", now.0);
        return Err(Problem::new("bad_value", detail));
    }
    // Nothing outlives what it was made with but by an administrator's will.
    let ends_later = |end: Timestamp| wanted.expires_at.is_none_or(|wanted| wanted > end);
    if !is_admin && is_token(principal) && principal.expires_at.is_some_and(ends_later) {
        let detail = "expires_at is later than that of the token which asks; log in, or ask for less";
        return Err(Problem::new("bad_value", detail));
    }
    let rows = api.directory.tokens(principal.tenant);
    if rows.iter().filter(|(row, _)| row.agent == agent).count() >= TOKENS_PER_AGENT_MAX {
        let detail =
            format!("agent {agent} has {TOKENS_PER_AGENT_MAX} tokens in force, the most there may be");
        return Err(Problem::new("too_many_tokens", detail));
    }
    Ok(agent)
}

fn is_token(principal: &Principal) -> bool {
    !matches!(principal.credential, crate::directory::Credential::Session(_))
}

/// `DELETE /v1/tokens/{token}`: revokes one; push sessions that it opened are closed.
pub(super) async fn revoke(api: &Api, parts: &Parts, token: u64) -> Result<Response, Problem> {
    let principal = auth::principal(&api.directory, &parts.headers)?;
    let rows = api.directory.tokens(principal.tenant);
    let missing = || Problem::new("no_such_token", format!("there is no token {token} in force"));
    let mut seen = rows.iter().filter(|(row, _)| may_see(api, &principal, row));
    let (row, _) = seen.find(|(row, _)| row.id == token).ok_or_else(missing)?;
    let actor = AuditActor::Agent(principal.agent);
    let audit = AuditEntry::new(principal.tenant, actor, "token.revoked", format!("token:{token}"))
        .with("agent", row.agent.0);
    match api.store.end_token(principal.tenant, token, audit).await {
        Ok(()) => {}
        Err(StoreError::Missing { .. }) => return Err(missing()),
        Err(error) => return Err(storage(error)),
    }
    api.directory.refresh(api.store.as_ref()).await.map_err(storage)?;
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}
