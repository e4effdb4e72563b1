//! Teams: agents who have roles together.

use http::StatusCode;
use http::request::Parts;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use waggle_core::id::{AgentId, TeamId};
use waggle_core::right::Right;

use super::asker;
use super::change::{Change, name, refused};
use crate::http::answer::{self, Response};
use crate::http::endpoint::Parameters;
use crate::http::{Api, rights};
use crate::problem::Problem;
use crate::store::{Grantee, Named, PeopleError, PeopleRefusal};

#[derive(Serialize)]
struct Team {
    id: TeamId,
    name: String,
    members: Vec<AgentId>,
}

#[derive(Serialize)]
struct Teams {
    teams: Vec<Team>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OnlyName {
    name: String,
}

/// `GET /v1/teams`: with their members, by number.
pub(super) fn list(api: &Api, parts: &Parts) -> Result<Response, Problem> {
    let principal = asker(api, parts)?;
    rights::needs_somewhere(api, &principal, Right::See)?;
    let people = api.directory.people(principal.tenant);
    let mut members: FxHashMap<TeamId, Vec<AgentId>> = FxHashMap::default();
    for member in people.members {
        members.entry(member.team).or_default().push(member.agent);
    }
    let team = |row: crate::store::TeamRow| Team {
        members: members.remove(&row.id).unwrap_or_default(),
        id: row.id,
        name: row.name,
    };
    answer::value(&Teams { teams: people.teams.into_iter().map(team).collect() })
}

/// `POST /v1/teams {name}`.
pub(super) async fn create(change: Change<'_>) -> Result<Response, Problem> {
    change.needs_administrator()?;
    let asked: OnlyName = change.shape()?;
    let added = change.api.store.add_team(change.by(), change.principal.tenant, &name(&asked.name)?).await;
    let row = added.map_err(|error| refused(error, ""))?;
    change.made(StatusCode::CREATED, &Team { id: row.id, name: row.name, members: Vec::new() }).await
}

/// `PATCH /v1/teams/{team} {name}`.
pub(super) async fn rename(change: Change<'_>, parameters: &Parameters<'_>) -> Result<Response, Problem> {
    change.needs_administrator()?;
    let team: TeamId = parameters.parsed(0, "not_found")?;
    let asked: OnlyName = change.shape()?;
    let (tenant, name) = (change.principal.tenant, name(&asked.name)?);
    let renamed = change.api.store.rename(change.by(), tenant, Named::Team(team), &name).await;
    renamed.map_err(|error| refused(error, "team"))?;
    change.done().await
}

/// `DELETE /v1/teams/{team}`: one without members and roles.
pub(super) async fn delete(change: Change<'_>, parameters: &Parameters<'_>) -> Result<Response, Problem> {
    change.needs_administrator()?;
    let team: TeamId = parameters.parsed(0, "not_found")?;
    let deleted = change.api.store.delete_team(change.by(), change.principal.tenant, team).await;
    deleted.map_err(|error| refused(error, "team"))?;
    change.done().await
}

/// `PUT /v1/teams/{team}/members/{agent}`: the agent has the team's roles from now on.
pub(super) async fn add_member(change: Change<'_>, parameters: &Parameters<'_>) -> Result<Response, Problem> {
    change.needs_administrator()?;
    let (team, agent) = member(parameters)?;
    let tenant = change.principal.tenant;
    let grants = change.api.directory.people(tenant).grants;
    for grant in grants.into_iter().filter(|grant| grant.to == Grantee::Team(team)) {
        change.may_give(change.role(grant.role)?.rights, change.administers(grant.queue)?)?;
    }
    match change.api.store.add_member(change.by(), tenant, team, agent).await {
        // PUT twice is PUT once.
        Ok(()) | Err(PeopleError::Refused(PeopleRefusal::Member { .. })) => change.done().await,
        Err(error) => Err(of_member(error)),
    }
}

/// `DELETE /v1/teams/{team}/members/{agent}`: the agent has the team's roles no more.
pub(super) async fn remove_member(
    change: Change<'_>,
    parameters: &Parameters<'_>,
) -> Result<Response, Problem> {
    change.needs_administrator()?;
    let (team, agent) = member(parameters)?;
    let removed = change.api.store.remove_member(change.by(), change.principal.tenant, team, agent).await;
    removed.map_err(of_member)?;
    change.done().await
}

fn member(parameters: &Parameters<'_>) -> Result<(TeamId, AgentId), Problem> {
    Ok((parameters.parsed(0, "not_found")?, parameters.parsed(1, "not_found")?))
}

/// Both are in the path.
fn of_member(error: PeopleError) -> Problem {
    match error {
        PeopleError::Refused(missing @ PeopleRefusal::Missing { .. }) => {
            Problem::new("not_found", missing.to_string())
        }
        other => refused(other, "team"),
    }
}
