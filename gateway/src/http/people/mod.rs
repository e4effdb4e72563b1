//! Who one is, the names behind numbers, and who may do what.

mod agents;
mod change;
mod requesters;
mod roles;
mod teams;

use bytes::Bytes;
use http::request::Parts;
use serde::Serialize;
use waggle_core::id::{AgentId, Cursor, QueueId, TenantId};
use waggle_core::right::{Right, Rights};
use waggle_core::time::Timestamp;

use super::answer::{self, Response};
use super::endpoint::{Operation, Parameters};
use super::query::Query;
use super::{Api, auth, rights};
use crate::directory::Principal;
use crate::problem::Problem;
use crate::store::{AgentRow, QueueRow, Scope};
use change::Change;

#[derive(Serialize)]
struct Named<Id> {
    id: Id,
    name: String,
}

#[derive(Serialize)]
struct Me {
    tenant: Named<TenantId>,
    agent: Named<AgentId>,
    scope: Scope,
    /// What one may do in all queues.
    rights: Rights,
    expires_at: Option<Timestamp>,
    cursor: Option<Cursor>,
}

#[derive(Serialize)]
struct Queue {
    id: QueueId,
    name: String,
    /// What one may do there.
    rights: Rights,
}

#[derive(Serialize)]
struct Queues {
    queues: Vec<Queue>,
}

#[derive(Serialize)]
struct Agent {
    id: AgentId,
    name: String,
    active: bool,
}

#[derive(Serialize)]
struct Agents {
    agents: Vec<Agent>,
}

/// `GET /v1/me`: as whom the token acts, and the log's head.
pub(super) fn me(api: &Api, parts: &Parts) -> Result<Response, Problem> {
    let principal = asker(api, parts)?;
    let tenant = api.directory.tenant(principal.tenant).map(|row| row.name).unwrap_or_default();
    let agents = api.directory.agents(principal.tenant);
    let agent = agents.into_iter().find(|row| row.id == principal.agent).map(|row| row.name);
    answer::value(&Me {
        tenant: Named { id: principal.tenant, name: tenant },
        agent: Named { id: principal.agent, name: agent.unwrap_or_default() },
        scope: principal.scope,
        rights: api.directory.rights_everywhere(&principal),
        expires_at: principal.expires_at,
        cursor: api.commands.head(principal.tenant),
    })
}

/// `GET /v1/queues`: those that one may do something in, by number.
pub(super) fn queues(api: &Api, parts: &Parts) -> Result<Response, Problem> {
    let principal = asker(api, parts)?;
    let queue = |row: QueueRow| {
        let rights = api.directory.rights(&principal, row.id);
        (!rights.is_empty()).then_some(Queue { id: row.id, name: row.name, rights })
    };
    let queues = api.directory.queues(principal.tenant).into_iter().filter_map(queue).collect();
    answer::value(&Queues { queues })
}

/// `GET /v1/agents`: the tenant's, by number.
pub(super) fn agents(api: &Api, parts: &Parts) -> Result<Response, Problem> {
    let principal = asker(api, parts)?;
    rights::needs_somewhere(api, &principal, Right::See)?;
    let agent = |row: AgentRow| Agent { id: row.id, name: row.name, active: row.deactivated_at.is_none() };
    let agents = api.directory.agents(principal.tenant).into_iter().map(agent).collect();
    answer::value(&Agents { agents })
}

#[derive(Serialize)]
struct There {
    agent: AgentId,
    state: &'static str,
}

#[derive(Serialize)]
struct AllThere {
    agents: Vec<There>,
}

/// `GET /v1/presence`: the agents who are there, by number.
pub(super) async fn presence(api: &Api, parts: &Parts) -> Result<Response, Problem> {
    let principal = asker(api, parts)?;
    rights::needs_somewhere(api, &principal, Right::See)?;
    let tenant = principal.tenant;
    let there = api.push.presence(tenant).await;
    let there = there.ok_or_else(|| Problem::new("stopping", "the push engine has stopped"))?;
    let agents = there.into_iter().map(|agent| There { agent, state: "online" }).collect();
    answer::value(&AllThere { agents })
}

/// What one may read of teams, roles and requesters.
pub(super) async fn read(
    api: &Api,
    operation: Operation,
    parts: &Parts,
    parameters: &Parameters<'_>,
) -> Result<Response, Problem> {
    match operation {
        Operation::ListTeams => teams::list(api, parts),
        Operation::ListRoles => roles::list(api, parts),
        Operation::ListGrants => roles::grants(api, parts),
        Operation::FindRequester => requesters::find(api, parts).await,
        Operation::GetRequester => requesters::one(api, parts, parameters).await,
        _ => Err(Problem::new("not_found", "this is not for reading")),
    }
}

/// Everything that changes people, rights and queues.
pub(super) async fn change(
    api: &Api,
    operation: Operation,
    parts: &Parts,
    parameters: &Parameters<'_>,
    body: Bytes,
) -> Result<Response, Problem> {
    let change = Change::new(api, parts, body)?;
    match operation {
        Operation::CreateQueue => agents::create_queue(change).await,
        Operation::RenameQueue => agents::rename_queue(change, parameters).await,
        Operation::CreateAgent => agents::create(change).await,
        Operation::ChangeAgent => agents::update(change, parameters).await,
        Operation::CreateTeam => teams::create(change).await,
        Operation::RenameTeam => teams::rename(change, parameters).await,
        Operation::DeleteTeam => teams::delete(change, parameters).await,
        Operation::AddMember => teams::add_member(change, parameters).await,
        Operation::RemoveMember => teams::remove_member(change, parameters).await,
        Operation::CreateRole => roles::create(change).await,
        Operation::ChangeRole => roles::update(change, parameters).await,
        Operation::DeleteRole => roles::delete(change, parameters).await,
        Operation::CreateGrant => roles::grant(change).await,
        Operation::WithdrawGrant => roles::withdraw(change, parameters).await,
        Operation::CreateRequester => requesters::create(change).await,
        Operation::MergeRequesters => requesters::merge(change, parameters).await,
        Operation::EraseRequester => requesters::erase(change, parameters).await,
        _ => Err(Problem::new("not_found", "this changes nothing")),
    }
}

fn asker(api: &Api, parts: &Parts) -> Result<Principal, Problem> {
    let principal = auth::principal(&api.directory, &parts.headers)?;
    Query::parse(parts.uri.query(), &[])?;
    Ok(principal)
}
