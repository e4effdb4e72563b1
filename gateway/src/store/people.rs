//! People and their rights in a database: teams, roles, who has which, and requesters.

use async_trait::async_trait;
use serde::Serialize;
use waggle_core::id::{AgentId, GrantId, QueueId, RequesterId, RoleId, TeamId, TenantId};
use waggle_core::name::Name;
use waggle_core::requester::Identity;
use waggle_core::right::{Right, Rights};
use waggle_core::time::Timestamp;

use super::{AgentRow, AuditActor, ErasureState, QueueRow, StoreError};

/// The role that every tenant has for those who administer it.
pub const ADMIN_ROLE: RoleId = RoleId(1);
/// The role that every tenant has for those who work on tickets.
pub const AGENT_ROLE: RoleId = RoleId(2);
/// The role that every tenant has for those who only look.
pub const VIEWER_ROLE: RoleId = RoleId(3);

/// The part of the directory that says who may do what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PeopleRows {
    /// Teams.
    pub teams: Vec<TeamRow>,
    /// Who is in which.
    pub members: Vec<MemberRow>,
    /// Roles.
    pub roles: Vec<RoleRow>,
    /// Who has which.
    pub grants: Vec<GrantRow>,
}

/// A team.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TeamRow {
    /// Whose.
    pub tenant: TenantId,
    /// Its number within the tenant.
    pub id: TeamId,
    /// Its name, unique within the tenant.
    pub name: String,
}

/// An agent in a team.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemberRow {
    /// Whose.
    pub tenant: TenantId,
    /// The team.
    pub team: TeamId,
    /// The agent.
    pub agent: AgentId,
}

/// A role: a name for a set of rights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleRow {
    /// Whose.
    pub tenant: TenantId,
    /// Its number within the tenant.
    pub id: RoleId,
    /// Its name, unique within the tenant.
    pub name: String,
    /// What it allows.
    pub rights: Rights,
    /// Every tenant has it, and it stays as it is.
    pub is_builtin: bool,
}

/// Who has a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Grantee {
    /// An agent.
    Agent(AgentId),
    /// Whoever is in a team.
    Team(TeamId),
}

/// A role that an agent or a team has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GrantRow {
    /// Whose.
    pub tenant: TenantId,
    /// Its number within the tenant.
    pub id: GrantId,
    /// The role.
    pub role: RoleId,
    /// Who has it.
    pub to: Grantee,
    /// Where; `None` is in all queues, those made later included.
    pub queue: Option<QueueId>,
}

/// Something of a tenant's that is nothing but its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// A queue.
    Queue(QueueId),
    /// A team.
    Team(TeamId),
}

/// Whether an agent is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentState {
    /// Yes.
    Active,
    /// No: its tokens do not work, and nobody assigns tickets to it. Its name stays with what it has done.
    Deactivated,
}

/// Whoever asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Requester {
    /// Its number within the tenant: never that of one that was merged into another.
    pub id: RequesterId,
    /// As it is called.
    pub name: String,
    /// When it was first known.
    pub created_at: Timestamp,
    /// By what it is known.
    pub identities: Vec<Identity>,
    /// Numbers that it has had besides: of requesters that were merged into it. Tickets bear any of them.
    pub merged: Vec<RequesterId>,
    /// Whether it is erased, or is just being.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub erasure: Option<ErasureState>,
}

/// Why a change of people and rights was not made.
#[derive(Debug, thiserror::Error)]
pub enum PeopleError {
    /// A rule of people and rights.
    #[error(transparent)]
    Refused(#[from] PeopleRefusal),
    /// Storage.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Which rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeopleRefusal {
    /// There is none with this number.
    #[error("there is no {kind} {id}")]
    Missing {
        /// Agent, queue, team, role, grant, member or requester.
        kind: &'static str,
        /// As given.
        id: u64,
    },
    /// The tenant has another with the name, or with one that looks the same.
    #[error("the name {name:?} is taken, or looks like that of {kind} {id}, {other:?}; choose another")]
    NameTaken {
        /// Agent, queue, team or role.
        kind: &'static str,
        /// As given.
        name: String,
        /// Whose it looks like.
        id: u64,
        /// That one's name.
        other: String,
    },
    /// No room.
    #[error("there are {limit} {kind} already, which is the limit")]
    TooMany {
        /// Agents, queues, teams, roles, grants, members or identities.
        kind: &'static str,
        /// How many there may be.
        limit: usize,
    },
    /// The role is one of those that every tenant has.
    #[error("the role {0:?} is built in and stays as it is; make a role of your own")]
    Builtin(String),
    /// Somebody has the role or is in the team, or it has a role.
    #[error("{kind} {id} is in use: {uses}; withdraw that first")]
    InUse {
        /// Role or team.
        kind: &'static str,
        /// Which.
        id: u64,
        /// By what.
        uses: String,
    },
    /// The agent or team has the role there already.
    #[error("that is grant {0} already")]
    Granted(GrantId),
    /// The agent is in the team already.
    #[error("agent {agent} is in team {team} already")]
    Member {
        /// The team.
        team: TeamId,
        /// The agent.
        agent: AgentId,
    },
    /// Nobody could change who may do what any more.
    #[error(
        "nobody would be left who administers the tenant; give an active agent a role with {} in all queues first",
        Right::Administer
    )]
    LastAdministrator,
    /// The identity is another requester's.
    #[error("{} {:?} is requester {owner}; merge the two, or leave it out", .identity.kind(), .identity.value())]
    IdentityTaken {
        /// Which.
        identity: Identity,
        /// Whose.
        owner: RequesterId,
    },
    /// Nothing is left of one, or soon nothing is.
    #[error("requester {0} is erased, or is just being erased")]
    Erased(RequesterId),
    /// The two are one already.
    #[error("requesters {from} and {into} are the same one already: {is}")]
    SameRequester {
        /// As given.
        from: RequesterId,
        /// As given.
        into: RequesterId,
        /// Who both are.
        is: RequesterId,
    },
}

/// People and rights in a database. Every change is one transaction, durable on return, with its entry in the audit
/// log: `by` is who makes it. Whether he may is decided before.
#[async_trait]
pub trait PeopleStore {
    /// Makes a queue.
    async fn add_queue(&self, by: AuditActor, tenant: TenantId, name: &Name)
    -> Result<QueueRow, PeopleError>;
    /// Makes an agent, with a role in all queues or without any.
    async fn add_agent(
        &self,
        by: AuditActor,
        tenant: TenantId,
        name: &Name,
        role: Option<RoleId>,
    ) -> Result<AgentRow, PeopleError>;
    /// Makes a team.
    async fn add_team(&self, by: AuditActor, tenant: TenantId, name: &Name) -> Result<TeamRow, PeopleError>;
    /// Makes a role.
    async fn add_role(
        &self,
        by: AuditActor,
        tenant: TenantId,
        name: &Name,
        rights: Rights,
    ) -> Result<RoleRow, PeopleError>;
    /// Gives a queue or a team another name.
    async fn rename(
        &self,
        by: AuditActor,
        tenant: TenantId,
        what: Named,
        name: &Name,
    ) -> Result<(), PeopleError>;
    /// Gives an agent another name, lets it in, or lets it in no more.
    async fn change_agent(
        &self,
        by: AuditActor,
        tenant: TenantId,
        agent: AgentId,
        name: Option<&Name>,
        state: Option<AgentState>,
    ) -> Result<(), PeopleError>;
    /// Gives a role another name, or changes what it allows.
    async fn change_role(
        &self,
        by: AuditActor,
        tenant: TenantId,
        role: RoleId,
        name: Option<&Name>,
        rights: Option<Rights>,
    ) -> Result<(), PeopleError>;
    /// Deletes a role that nobody has.
    async fn delete_role(&self, by: AuditActor, tenant: TenantId, role: RoleId) -> Result<(), PeopleError>;
    /// Deletes a team without members and roles.
    async fn delete_team(&self, by: AuditActor, tenant: TenantId, team: TeamId) -> Result<(), PeopleError>;
    /// Takes an agent into a team.
    async fn add_member(
        &self,
        by: AuditActor,
        tenant: TenantId,
        team: TeamId,
        agent: AgentId,
    ) -> Result<(), PeopleError>;
    /// Takes an agent out of a team.
    async fn remove_member(
        &self,
        by: AuditActor,
        tenant: TenantId,
        team: TeamId,
        agent: AgentId,
    ) -> Result<(), PeopleError>;
    /// Gives somebody a role, in one queue or (`None`) in all.
    async fn grant(
        &self,
        by: AuditActor,
        tenant: TenantId,
        role: RoleId,
        to: Grantee,
        queue: Option<QueueId>,
    ) -> Result<GrantRow, PeopleError>;
    /// Takes a role away.
    async fn withdraw(&self, by: AuditActor, tenant: TenantId, grant: GrantId) -> Result<(), PeopleError>;

    /// Makes a requester; its identities are nobody's yet.
    async fn create_requester(
        &self,
        by: AuditActor,
        tenant: TenantId,
        name: &Name,
        identities: &[Identity],
    ) -> Result<Requester, PeopleError>;
    /// A requester, by its number or that of one that was merged into it.
    async fn requester(&self, tenant: TenantId, id: RequesterId) -> Result<Option<Requester>, StoreError>;
    /// A requester, by what it is known by.
    async fn requester_by_identity(
        &self,
        tenant: TenantId,
        identity: &Identity,
    ) -> Result<Option<Requester>, StoreError>;
    /// Makes two requesters one: `into` gets the identities and the tickets of `from`. Either may be given by the
    /// number of one that was merged into it.
    async fn merge_requesters(
        &self,
        by: AuditActor,
        tenant: TenantId,
        from: RequesterId,
        into: RequesterId,
    ) -> Result<Requester, PeopleError>;
}
