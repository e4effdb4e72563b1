//! Roles, and who has which.

use http::StatusCode;
use http::request::Parts;
use serde::{Deserialize, Serialize};
use waggle_core::id::{AgentId, GrantId, QueueId, RoleId, TeamId};
use waggle_core::right::{Right, Rights};

use super::asker;
use super::change::{Change, name, refused};
use crate::http::answer::{self, Response};
use crate::http::endpoint::Parameters;
use crate::http::query::Query;
use crate::http::{Api, auth, rights};
use crate::problem::Problem;
use crate::store::{GrantRow, Grantee, RoleRow};

#[derive(Serialize)]
struct Role {
    id: RoleId,
    name: String,
    rights: Rights,
    builtin: bool,
}

#[derive(Serialize)]
struct Roles {
    roles: Vec<Role>,
}

impl From<RoleRow> for Role {
    fn from(row: RoleRow) -> Self {
        Self { id: row.id, name: row.name, rights: row.rights, builtin: row.is_builtin }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewRole {
    name: String,
    rights: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RoleChange {
    name: Option<String>,
    rights: Option<Vec<String>>,
}

/// `GET /v1/roles`: for whoever may give some.
pub(super) fn list(api: &Api, parts: &Parts) -> Result<Response, Problem> {
    let principal = asker(api, parts)?;
    rights::needs_somewhere(api, &principal, Right::Administer)?;
    let roles = api.directory.people(principal.tenant).roles;
    answer::value(&Roles { roles: roles.into_iter().map(Role::from).collect() })
}

/// `POST /v1/roles {name, rights}`.
pub(super) async fn create(change: Change<'_>) -> Result<Response, Problem> {
    let own = change.administers(None)?;
    let asked: NewRole = change.shape()?;
    let (name, rights) = (name(&asked.name)?, named_rights(&asked.rights)?);
    change.may_give(rights, own)?;
    let added = change.api.store.add_role(change.by(), change.principal.tenant, &name, rights).await;
    let row = added.map_err(|error| refused(error, ""))?;
    change.made(StatusCode::CREATED, &Role::from(row)).await
}

/// `PATCH /v1/roles/{role} {name?, rights?}`: whoever has it may do that from now on.
pub(super) async fn update(change: Change<'_>, parameters: &Parameters<'_>) -> Result<Response, Problem> {
    let own = change.administers(None)?;
    let role: RoleId = parameters.parsed(0, "not_found")?;
    let asked: RoleChange = change.shape()?;
    if asked.name.is_none() && asked.rights.is_none() {
        return Err(Problem::new("malformed", "give name or rights, or both"));
    }
    let new_name = asked.name.as_deref().map(name).transpose()?;
    let new_rights = asked.rights.as_deref().map(named_rights).transpose()?;
    change.may_give(new_rights.unwrap_or_default(), own)?;
    let (store, tenant, by) = (&change.api.store, change.principal.tenant, change.by());
    let changed = store.change_role(by, tenant, role, new_name.as_ref(), new_rights).await;
    changed.map_err(|error| refused(error, "role"))?;
    change.done().await
}

/// `DELETE /v1/roles/{role}`: one that nobody has.
pub(super) async fn delete(change: Change<'_>, parameters: &Parameters<'_>) -> Result<Response, Problem> {
    change.needs_administrator()?;
    let role: RoleId = parameters.parsed(0, "not_found")?;
    let deleted = change.api.store.delete_role(change.by(), change.principal.tenant, role).await;
    deleted.map_err(|error| refused(error, "role"))?;
    change.done().await
}

fn named_rights(names: &[String]) -> Result<Rights, Problem> {
    let right = |name: &String| {
        Right::from_name(name).ok_or_else(|| {
            let shown: String = name.chars().take(40).collect();
            let detail = format!("there is no right {shown:?}; expected some of {}", Rights::ALL);
            Problem::new("unknown_right", detail)
        })
    };
    names.iter().map(right).collect()
}

#[derive(Serialize)]
struct Grant {
    id: GrantId,
    role: RoleId,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<AgentId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    team: Option<TeamId>,
    /// Null: in all.
    queue: Option<QueueId>,
}

#[derive(Serialize)]
struct Grants {
    grants: Vec<Grant>,
    next: Option<String>,
}

impl From<GrantRow> for Grant {
    fn from(row: GrantRow) -> Self {
        let (agent, team) = match row.to {
            Grantee::Agent(agent) => (Some(agent), None),
            Grantee::Team(team) => (None, Some(team)),
        };
        Self { id: row.id, role: row.role, agent, team, queue: row.queue }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewGrant {
    role: RoleId,
    agent: Option<AgentId>,
    team: Option<TeamId>,
    queue: Option<QueueId>,
}

/// `GET /v1/grants`: those that one may withdraw, by number; of an `agent`, a `team`, or in a `queue`.
pub(super) fn grants(api: &Api, parts: &Parts) -> Result<Response, Problem> {
    let principal = auth::principal(&api.directory, &parts.headers)?;
    let query = Query::parse(parts.uri.query(), &["agent", "team", "queue", "cursor", "limit"])?;
    rights::needs_somewhere(api, &principal, Right::Administer)?;
    let agent = query.parsed("agent")?.map(Grantee::Agent);
    let team = query.parsed("team")?.map(Grantee::Team);
    let queue: Option<QueueId> = query.parsed("queue")?;
    let after: GrantId = query.cursor("after-")?.unwrap_or_default();
    let limit = query.limit()? as usize;
    let everywhere = api.directory.rights_everywhere(&principal).has(Right::Administer);
    let administers = |queue: Option<QueueId>| {
        everywhere
            || queue.is_some_and(|queue| api.directory.rights(&principal, queue).has(Right::Administer))
    };
    let rows = api.directory.people(principal.tenant).grants.into_iter().filter(|row| {
        row.id > after
            && agent.is_none_or(|agent| row.to == agent)
            && team.is_none_or(|team| row.to == team)
            && queue.is_none_or(|queue| row.queue == Some(queue))
            && administers(row.queue)
    });
    let grants: Vec<Grant> = rows.take(limit).map(Grant::from).collect();
    let next = grants.last().filter(|_| grants.len() == limit).map(|grant| format!("after-{}", grant.id));
    answer::value(&Grants { grants, next })
}

/// `POST /v1/grants {role, agent | team, queue?}`: for whoever administers the queue; without one, the tenant.
pub(super) async fn grant(change: Change<'_>) -> Result<Response, Problem> {
    rights::needs_somewhere(change.api, &change.principal, Right::Administer)?;
    let asked: NewGrant = change.shape()?;
    let to = match (asked.agent, asked.team) {
        (Some(agent), None) => Grantee::Agent(agent),
        (None, Some(team)) => Grantee::Team(team),
        _ => return Err(Problem::new("malformed", "give either agent or team")),
    };
    let own = change.administers(asked.queue)?;
    change.may_give(change.role(asked.role)?.rights, own)?;
    let (tenant, by) = (change.principal.tenant, change.by());
    let granted = change.api.store.grant(by, tenant, asked.role, to, asked.queue).await;
    let row = granted.map_err(|error| refused(error, ""))?;
    change.made(StatusCode::CREATED, &Grant::from(row)).await
}

/// `DELETE /v1/grants/{grant}`: what it allowed ends at once.
pub(super) async fn withdraw(change: Change<'_>, parameters: &Parameters<'_>) -> Result<Response, Problem> {
    rights::needs_somewhere(change.api, &change.principal, Right::Administer)?;
    let id: GrantId = parameters.parsed(0, "not_found")?;
    let tenant = change.principal.tenant;
    let missing = || Problem::new("not_found", format!("there is no grant {id}"));
    let grants = change.api.directory.people(tenant).grants;
    let row = grants.into_iter().find(|row| row.id == id).ok_or_else(missing)?;
    // Grants that one may not withdraw are in no list of one's.
    change.administers(row.queue).map_err(|_| missing())?;
    let withdrawn = change.api.store.withdraw(change.by(), tenant, id).await;
    withdrawn.map_err(|error| refused(error, "grant"))?;
    change.done().await
}
