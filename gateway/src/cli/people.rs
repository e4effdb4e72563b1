//! `waggle admin role`, `team`, `grant`, `requester`: who may do what, and who asks. Whoever has the gateway's machine may change it even where
//! nobody administers a tenant any more.

use clap::{Args, Subcommand};
use serde_json::json;
use waggle_core::id::{GrantId, QueueId, RequesterId, RoleId, TeamId, TenantId};
use waggle_core::name::Name;
use waggle_core::right::{Rights, UnknownRight};

use super::admin::{Admin, find_agent, find_tenant, name};
use super::output::{Output, print, print_json, print_table};
use crate::store::{AuditActor, DirectoryRows, ErasureState, GrantRow, Grantee, StoreError};

const BY: AuditActor = AuditActor::Operator;

/// Names for sets of rights.
#[derive(Subcommand)]
pub(super) enum RoleAction {
    /// Make one.
    Create {
        /// The tenant's name or number.
        #[arg(long)]
        tenant: String,
        /// What it allows, with commas: see, create, reply, note, claim, assign, edit, move_queue, close, merge, delete,
        /// export, administer.
        #[arg(long, value_parser = rights)]
        rights: Rights,
        /// Its name, unique within the tenant.
        #[arg(value_parser = name)]
        name: String,
    },
    /// List a tenant's.
    List {
        /// The tenant's name or number.
        #[arg(long)]
        tenant: String,
    },
}

/// Agents who have roles together.
#[derive(Subcommand)]
pub(super) enum TeamAction {
    /// Make one.
    Create {
        /// The tenant's name or number.
        #[arg(long)]
        tenant: String,
        /// Its name, unique within the tenant.
        #[arg(value_parser = name)]
        name: String,
    },
    /// List a tenant's, with their members' numbers.
    List {
        /// The tenant's name or number.
        #[arg(long)]
        tenant: String,
    },
    /// Take an agent in.
    Add(Membership),
    /// Take an agent out: what he might do by the team's roles ends within a second.
    Remove(Membership),
}

#[derive(Args)]
pub(super) struct Membership {
    /// The tenant's name or number.
    #[arg(long)]
    tenant: String,
    /// The agent's name or number.
    #[arg(long)]
    agent: String,
    /// The team's name or number.
    team: String,
}

/// Who has which role.
#[derive(Subcommand)]
pub(super) enum GrantAction {
    /// Give a role.
    Create {
        /// The tenant's name or number.
        #[arg(long)]
        tenant: String,
        /// The role's name or number.
        #[arg(long)]
        role: String,
        #[command(flatten)]
        to: To,
        /// In this queue alone, by name or number; in all where not given.
        #[arg(long)]
        queue: Option<String>,
    },
    /// List a tenant's.
    List {
        /// The tenant's name or number.
        #[arg(long)]
        tenant: String,
    },
    /// Take one away: what it allowed ends within a second.
    Withdraw {
        /// The tenant's name or number.
        #[arg(long)]
        tenant: String,
        /// Its number, as `list` shows it.
        grant: GrantId,
    },
}

/// Whom to.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub(super) struct To {
    /// An agent, by name or number.
    #[arg(long)]
    agent: Option<String>,
    /// A team, by name or number.
    #[arg(long)]
    team: Option<String>,
}

/// Whoever asks.
#[derive(Subcommand)]
pub(super) enum RequesterAction {
    /// Erase one: whatever it wrote and is named by goes. The gateway that serves the data directory does it, as soon
    /// as one does.
    Erase {
        /// The tenant's name or number.
        #[arg(long)]
        tenant: String,
        /// Its number.
        requester: RequesterId,
    },
}

pub(super) async fn requester(admin: &Admin, action: RequesterAction) -> anyhow::Result<()> {
    let RequesterAction::Erase { tenant, requester } = action;
    let tenant = find_tenant(&admin.store.directory().await?, &tenant)?;
    let state = admin.store.begin_erasure(BY, tenant, requester).await?;
    match (admin.output, state) {
        (Output::Json, _) => print_json(&json!({"requester": requester, "state": state})),
        (_, ErasureState::Erasing) => print(&format!("requester {requester} is being erased\n")),
        (_, ErasureState::Erased) => print(&format!("requester {requester} is erased\n")),
    }
}

pub(super) async fn role(admin: &Admin, action: RoleAction) -> anyhow::Result<()> {
    let rows = admin.store.directory().await?;
    match action {
        RoleAction::Create { tenant, rights, name } => {
            let tenant = find_tenant(&rows, &tenant)?;
            let row = admin.store.add_role(BY, tenant, &Name::parse(&name)?, rights).await?;
            admin.made("role", u64::from(row.id.0), &row.name)
        }
        RoleAction::List { tenant } => {
            let tenant = find_tenant(&rows, &tenant)?;
            let roles = rows.people.roles.iter().filter(|row| row.tenant == tenant);
            match admin.output {
                Output::Json => print_json(
                    &roles
                        .map(|row| {
                            json!({"id": row.id, "name": row.name, "rights": row.rights, "builtin": row.is_builtin})
                        })
                        .collect(),
                ),
                Output::Human => {
                    let lines: Vec<_> = roles
                        .map(|row| vec![row.id.to_string(), row.name.clone(), row.rights.to_string()])
                        .collect();
                    print_table(&["ID", "NAME", "RIGHTS"], &lines)
                }
            }
        }
    }
}

pub(super) async fn team(admin: &Admin, action: TeamAction) -> anyhow::Result<()> {
    let rows = admin.store.directory().await?;
    match action {
        TeamAction::Create { tenant, name } => {
            let tenant = find_tenant(&rows, &tenant)?;
            let row = admin.store.add_team(BY, tenant, &Name::parse(&name)?).await?;
            admin.made("team", u64::from(row.id.0), &row.name)
        }
        TeamAction::List { tenant } => list_teams(admin.output, &rows, find_tenant(&rows, &tenant)?),
        TeamAction::Add(Membership { tenant, agent, team }) => {
            let tenant = find_tenant(&rows, &tenant)?;
            let (team, agent) = (find_team(&rows, tenant, &team)?, find_agent(&rows, tenant, &agent)?);
            admin.store.add_member(BY, tenant, team, agent).await?;
            admin.made("team", u64::from(team.0), "with one more")
        }
        TeamAction::Remove(Membership { tenant, agent, team }) => {
            let tenant = find_tenant(&rows, &tenant)?;
            let (team, agent) = (find_team(&rows, tenant, &team)?, find_agent(&rows, tenant, &agent)?);
            admin.store.remove_member(BY, tenant, team, agent).await?;
            admin.made("team", u64::from(team.0), "with one less")
        }
    }
}

fn list_teams(output: Output, rows: &DirectoryRows, tenant: TenantId) -> anyhow::Result<()> {
    let members = |team: TeamId| -> Vec<String> {
        let own = rows.people.members.iter().filter(|row| (row.tenant, row.team) == (tenant, team));
        own.map(|row| row.agent.to_string()).collect()
    };
    let teams = rows.people.teams.iter().filter(|row| row.tenant == tenant);
    match output {
        Output::Json => print_json(
            &teams.map(|row| json!({"id": row.id, "name": row.name, "members": members(row.id)})).collect(),
        ),
        Output::Human => {
            let line = |row: &crate::store::TeamRow| {
                vec![row.id.to_string(), row.name.clone(), members(row.id).join(",")]
            };
            print_table(&["ID", "NAME", "MEMBERS"], &teams.map(line).collect::<Vec<_>>())
        }
    }
}

pub(super) async fn grant(admin: &Admin, action: GrantAction) -> anyhow::Result<()> {
    let rows = admin.store.directory().await?;
    match action {
        GrantAction::Create { tenant, role, to, queue } => {
            let tenant = find_tenant(&rows, &tenant)?;
            let role = find_role(&rows, tenant, &role)?;
            let to = match (&to.agent, &to.team) {
                (Some(agent), _) => Grantee::Agent(find_agent(&rows, tenant, agent)?),
                (None, team) => Grantee::Team(find_team(&rows, tenant, team.as_deref().unwrap_or_default())?),
            };
            let queue = queue.map(|queue| find_queue(&rows, tenant, &queue)).transpose()?;
            let row = admin.store.grant(BY, tenant, role, to, queue).await?;
            match admin.output {
                Output::Json => print_json(&shown(&row)),
                Output::Human => print(&format!("this is grant {}\n", row.id)),
            }
        }
        GrantAction::List { tenant } => {
            let tenant = find_tenant(&rows, &tenant)?;
            let grants = rows.people.grants.iter().filter(|row| row.tenant == tenant);
            match admin.output {
                Output::Json => print_json(&grants.map(shown).collect()),
                Output::Human => {
                    print_table(&["ID", "ROLE", "TO", "QUEUE"], &grants.map(line).collect::<Vec<_>>())
                }
            }
        }
        GrantAction::Withdraw { tenant, grant } => {
            admin.store.withdraw(BY, find_tenant(&rows, &tenant)?, grant).await?;
            match admin.output {
                Output::Json => print_json(&json!({"id": grant, "withdrawn": true})),
                Output::Human => print(&format!("grant {grant} is withdrawn\n")),
            }
        }
    }
}

fn shown(row: &GrantRow) -> serde_json::Value {
    json!({"id": row.id, "role": row.role, "to": row.to, "queue": row.queue})
}

fn line(row: &GrantRow) -> Vec<String> {
    let to = match row.to {
        Grantee::Agent(agent) => format!("agent {agent}"),
        Grantee::Team(team) => format!("team {team}"),
    };
    let queue = row.queue.map_or("all".to_owned(), |queue| queue.to_string());
    vec![row.id.to_string(), row.role.to_string(), to, queue]
}

fn rights(text: &str) -> Result<Rights, UnknownRight> {
    Rights::parse(&text.replace(',', " "))
}

/// By name, or else by number.
pub(super) fn find_role(rows: &DirectoryRows, tenant: TenantId, wanted: &str) -> Result<RoleId, StoreError> {
    let own = rows.people.roles.iter().filter(|row| row.tenant == tenant);
    find("role", wanted, own.map(|row| (row.id, row.name.as_str())))
}

fn find_team(rows: &DirectoryRows, tenant: TenantId, wanted: &str) -> Result<TeamId, StoreError> {
    let own = rows.people.teams.iter().filter(|row| row.tenant == tenant);
    find("team", wanted, own.map(|row| (row.id, row.name.as_str())))
}

fn find_queue(rows: &DirectoryRows, tenant: TenantId, wanted: &str) -> Result<QueueId, StoreError> {
    let own = rows.queues.iter().filter(|row| row.tenant == tenant);
    find("queue", wanted, own.map(|row| (row.id, row.name.as_str())))
}

fn find<'a, Id: Copy + ToString>(
    kind: &'static str,
    wanted: &str,
    rows: impl Iterator<Item = (Id, &'a str)>,
) -> Result<Id, StoreError> {
    let rows: Vec<_> = rows.collect();
    let by_name = rows.iter().find(|(_, name)| *name == wanted);
    let found = by_name.or_else(|| rows.iter().find(|(id, _)| id.to_string() == wanted));
    found.map(|(id, _)| *id).ok_or_else(|| StoreError::Missing { kind, name: wanted.to_owned() })
}
