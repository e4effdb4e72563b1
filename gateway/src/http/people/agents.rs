//! Agents and queues: who works, and where tickets wait.

use http::StatusCode;
use serde::{Deserialize, Serialize};
use waggle_core::id::{AgentId, QueueId, RoleId};

use super::change::{Change, name, refused};
use crate::http::answer::Response;
use crate::http::endpoint::Parameters;
use crate::problem::Problem;
use crate::store::{AgentState, Named};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewAgent {
    name: String,
    role: Option<RoleId>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AgentChange {
    name: Option<String>,
    active: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OnlyName {
    name: String,
}

#[derive(Serialize)]
struct Agent<'a> {
    id: AgentId,
    name: &'a str,
    active: bool,
}

#[derive(Serialize)]
struct Queue<'a> {
    id: QueueId,
    name: &'a str,
}

/// `POST /v1/agents {name, role?}`: an agent, with the role in all queues where one is given, and otherwise without
/// any right.
pub(super) async fn create(change: Change<'_>) -> Result<Response, Problem> {
    let own = change.administers(None)?;
    let asked: NewAgent = change.shape()?;
    let name = name(&asked.name)?;
    if let Some(role) = asked.role {
        change.may_give(change.role(role)?.rights, own)?;
    }
    let (store, tenant) = (&change.api.store, change.principal.tenant);
    let added = store.add_agent(change.by(), tenant, &name, asked.role).await;
    let row = added.map_err(|error| refused(error, ""))?;
    change.made(StatusCode::CREATED, &Agent { id: row.id, name: &row.name, active: true }).await
}

/// `PATCH /v1/agents/{agent} {name?, active?}`.
pub(super) async fn update(change: Change<'_>, parameters: &Parameters<'_>) -> Result<Response, Problem> {
    change.needs_administrator()?;
    let agent: AgentId = parameters.parsed(0, "not_found")?;
    let asked: AgentChange = change.shape()?;
    if asked.name.is_none() && asked.active.is_none() {
        return Err(Problem::new("malformed", "give name or active, or both"));
    }
    let new_name = asked.name.as_deref().map(name).transpose()?;
    let state = |active| if active { AgentState::Active } else { AgentState::Deactivated };
    let (store, tenant, by) = (&change.api.store, change.principal.tenant, change.by());
    let changed = store.change_agent(by, tenant, agent, new_name.as_ref(), asked.active.map(state)).await;
    changed.map_err(|error| refused(error, "agent"))?;
    change.done().await
}

/// `POST /v1/queues {name}`.
pub(super) async fn create_queue(change: Change<'_>) -> Result<Response, Problem> {
    change.needs_administrator()?;
    let asked: OnlyName = change.shape()?;
    let added = change.api.store.add_queue(change.by(), change.principal.tenant, &name(&asked.name)?).await;
    let row = added.map_err(|error| refused(error, ""))?;
    change.made(StatusCode::CREATED, &Queue { id: row.id, name: &row.name }).await
}

/// `PATCH /v1/queues/{queue} {name}`: for whoever administers the queue.
pub(super) async fn rename_queue(
    change: Change<'_>,
    parameters: &Parameters<'_>,
) -> Result<Response, Problem> {
    let queue: QueueId = parameters.parsed(0, "not_found")?;
    change.administers(Some(queue)).map_err(|problem| match problem.code {
        "no_such_queue" => Problem::new("not_found", problem.detail),
        _ => problem,
    })?;
    let asked: OnlyName = change.shape()?;
    let (tenant, name) = (change.principal.tenant, name(&asked.name)?);
    let renamed = change.api.store.rename(change.by(), tenant, Named::Queue(queue), &name).await;
    renamed.map_err(|error| refused(error, "queue"))?;
    change.done().await
}
