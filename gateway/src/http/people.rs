//! Who one is, and the names behind numbers.

use http::request::Parts;
use serde::Serialize;
use waggle_core::id::{AgentId, Cursor, QueueId, TenantId};
use waggle_core::time::Timestamp;

use super::answer::{self, Response};
use super::query::Query;
use super::{Api, auth};
use crate::directory::Principal;
use crate::problem::Problem;
use crate::store::Scope;

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
    expires_at: Option<Timestamp>,
    cursor: Option<Cursor>,
}

#[derive(Serialize)]
struct Queues {
    queues: Vec<Named<QueueId>>,
}

#[derive(Serialize)]
struct Agents {
    agents: Vec<Named<AgentId>>,
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
        expires_at: principal.expires_at,
        cursor: api.commands.head(principal.tenant),
    })
}

/// `GET /v1/queues`: the tenant's, by number.
pub(super) fn queues(api: &Api, parts: &Parts) -> Result<Response, Problem> {
    let rows = api.directory.queues(asker(api, parts)?.tenant);
    let queues = rows.into_iter().map(|row| Named { id: row.id, name: row.name }).collect();
    answer::value(&Queues { queues })
}

/// `GET /v1/agents`: the tenant's, by number.
pub(super) fn agents(api: &Api, parts: &Parts) -> Result<Response, Problem> {
    let rows = api.directory.agents(asker(api, parts)?.tenant);
    let agents = rows.into_iter().map(|row| Named { id: row.id, name: row.name }).collect();
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
    let tenant = asker(api, parts)?.tenant;
    let there = api.push.presence(tenant).await;
    let there = there.ok_or_else(|| Problem::new("stopping", "the push engine has stopped"))?;
    let agents = there.into_iter().map(|agent| There { agent, state: "online" }).collect();
    answer::value(&AllThere { agents })
}

fn asker(api: &Api, parts: &Parts) -> Result<Principal, Problem> {
    let principal = auth::principal(&api.directory, &parts.headers)?;
    Query::parse(parts.uri.query(), &[])?;
    Ok(principal)
}
