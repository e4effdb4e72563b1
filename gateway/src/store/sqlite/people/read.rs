//! The people of all tenants, for the directory.

use sqlx::SqliteConnection;
use waggle_core::id::{AgentId, GrantId, QueueId, RoleId, TeamId};
use waggle_core::right::Rights;

use crate::store::sqlite::read::collect;
use crate::store::sqlite::row::{self, Columns};
use crate::store::{GrantRow, Grantee, MemberRow, PeopleRows, RoleRow, StoreError, TeamRow};

pub(super) const GRANT: &str =
    "SELECT tenant, id, role, agent, team, queue FROM role_grant WHERE tenant = ?1 AND id = ?2";

/// Within the transaction that the rest of the directory is read in.
pub(in crate::store::sqlite) async fn people(
    reading: &mut SqliteConnection,
) -> Result<PeopleRows, StoreError> {
    let teams =
        sqlx::query("SELECT tenant, id, name FROM team ORDER BY tenant, id").fetch_all(&mut *reading).await;
    let members = sqlx::query("SELECT tenant, team, agent FROM team_member ORDER BY tenant, team, agent")
        .fetch_all(&mut *reading)
        .await;
    let roles = sqlx::query("SELECT tenant, id, name, rights, is_builtin FROM role ORDER BY tenant, id")
        .fetch_all(&mut *reading)
        .await;
    let grants =
        sqlx::query("SELECT tenant, id, role, agent, team, queue FROM role_grant ORDER BY tenant, id")
            .fetch_all(&mut *reading)
            .await;
    Ok(PeopleRows {
        teams: collect(teams, |columns| {
            Ok(TeamRow {
                tenant: row::tenant(columns)?,
                id: TeamId(columns.small("team")?),
                name: columns.text()?,
            })
        })?,
        members: collect(members, |columns| {
            Ok(MemberRow {
                tenant: row::tenant(columns)?,
                team: TeamId(columns.small("team")?),
                agent: AgentId(columns.small("agent")?),
            })
        })?,
        roles: collect(roles, |columns| {
            Ok(RoleRow {
                tenant: row::tenant(columns)?,
                id: RoleId(columns.small("role")?),
                name: columns.text()?,
                rights: rights(&columns.text()?)?,
                is_builtin: columns.number("role")? != 0,
            })
        })?,
        grants: collect(grants, grant)?,
    })
}

/// Reads the columns of [`GRANT`].
pub(super) fn grant(columns: &mut Columns<'_>) -> Result<GrantRow, StoreError> {
    let tenant = row::tenant(columns)?;
    let (id, role) = (GrantId(columns.small("grant")?), RoleId(columns.small("role")?));
    let (agent, team) = (columns.optional_small("agent")?, columns.optional_small("team")?);
    let to = match (agent, team) {
        (Some(agent), None) => Grantee::Agent(AgentId(agent)),
        (None, Some(team)) => Grantee::Team(TeamId(team)),
        _ => return Err(StoreError::Unknown { what: "grant", value: id.to_string() }),
    };
    Ok(GrantRow { tenant, id, role, to, queue: columns.optional_small("queue")?.map(QueueId) })
}

/// The rights of a role as they are stored.
pub(super) fn rights(text: &str) -> Result<Rights, StoreError> {
    if text == "*" {
        return Ok(Rights::ALL);
    }
    Rights::parse(text).map_err(|_| StoreError::Unknown { what: "rights", value: text.to_owned() })
}
