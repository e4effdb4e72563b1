//! People, their rights, and requesters.

mod change;
mod grant;
mod named;
mod read;
mod requester;

use async_trait::async_trait;
use waggle_core::id::{AgentId, GrantId, LifecycleId, QueueId, RequesterId, RoleId, TeamId, TenantId};
use waggle_core::name::Name;
use waggle_core::requester::Identity;
use waggle_core::right::Rights;

use super::SqliteStore;
use crate::store::{
    AgentRow, AgentState, AuditActor, AuditEntry, GrantRow, Grantee, Named, PeopleError, PeopleStore,
    QueueRow, Requester, RoleRow, StoreError, TeamRow,
};
pub(super) use change::Change;
pub(super) use named::fill_skeletons;
pub(super) use read::people;

#[async_trait]
impl PeopleStore for SqliteStore {
    async fn add_queue(
        &self,
        by: AuditActor,
        tenant: TenantId,
        name: &Name,
    ) -> Result<QueueRow, PeopleError> {
        let mut writer = self.writer.lock().await;
        let mut change = Change::begin(&mut writer, by, tenant).await?;
        let id = QueueId(change.add(&named::QUEUES, name).await?);
        change
            .commit("queue.created", format!("queue:{id}"), |entry| entry.with("name", name.as_str()))
            .await?;
        Ok(QueueRow { tenant, id, name: name.to_string(), lifecycle: LifecycleId(1) })
    }

    async fn add_agent(
        &self,
        by: AuditActor,
        tenant: TenantId,
        name: &Name,
        role: Option<RoleId>,
    ) -> Result<AgentRow, PeopleError> {
        let mut writer = self.writer.lock().await;
        let mut change = Change::begin(&mut writer, by, tenant).await?;
        let id = AgentId(change.add(&named::AGENTS, name).await?);
        if let Some(role) = role {
            change.grant(role, Grantee::Agent(id), None).await?;
        }
        let detail = |entry: AuditEntry| {
            let entry = entry.with("name", name.as_str());
            role.into_iter().fold(entry, |entry, role| entry.with("role", role.0))
        };
        change.commit("agent.created", format!("agent:{id}"), detail).await?;
        Ok(AgentRow { tenant, id, name: name.to_string(), deactivated_at: None })
    }

    async fn add_team(&self, by: AuditActor, tenant: TenantId, name: &Name) -> Result<TeamRow, PeopleError> {
        let mut writer = self.writer.lock().await;
        let mut change = Change::begin(&mut writer, by, tenant).await?;
        let id = TeamId(change.add(&named::TEAMS, name).await?);
        change
            .commit("team.created", format!("team:{id}"), |entry| entry.with("name", name.as_str()))
            .await?;
        Ok(TeamRow { tenant, id, name: name.to_string() })
    }

    async fn add_role(
        &self,
        by: AuditActor,
        tenant: TenantId,
        name: &Name,
        rights: Rights,
    ) -> Result<RoleRow, PeopleError> {
        let mut writer = self.writer.lock().await;
        let mut change = Change::begin(&mut writer, by, tenant).await?;
        let id = RoleId(change.add(&named::ROLES, name).await?);
        change.write_rights(id, rights).await?;
        change
            .commit("role.created", format!("role:{id}"), |entry| {
                entry.with("name", name.as_str()).with("rights", rights.to_string())
            })
            .await?;
        Ok(RoleRow { tenant, id, name: name.to_string(), rights, is_builtin: false })
    }

    async fn rename(
        &self,
        by: AuditActor,
        tenant: TenantId,
        what: Named,
        name: &Name,
    ) -> Result<(), PeopleError> {
        let mut writer = self.writer.lock().await;
        let mut change = Change::begin(&mut writer, by, tenant).await?;
        let (table, id, action) = match what {
            Named::Queue(id) => (&named::QUEUES, id.0, "queue.renamed"),
            Named::Team(id) => (&named::TEAMS, id.0, "team.renamed"),
        };
        let before = change.rename(table, id, name).await?;
        let object = format!("{}:{id}", table.kind);
        change.commit(action, object, |entry| entry.with("from", before).with("name", name.as_str())).await
    }

    async fn change_agent(
        &self,
        by: AuditActor,
        tenant: TenantId,
        agent: AgentId,
        name: Option<&Name>,
        state: Option<AgentState>,
    ) -> Result<(), PeopleError> {
        let mut writer = self.writer.lock().await;
        let mut change = Change::begin(&mut writer, by, tenant).await?;
        if let Some(name) = name {
            change.rename(&named::AGENTS, agent.0, name).await?;
        }
        if let Some(state) = state {
            change.set_state(agent, state).await?;
        }
        let detail = |entry: AuditEntry| {
            let entry = name.into_iter().fold(entry, |entry, name| entry.with("name", name.as_str()));
            state.into_iter().fold(entry, |entry, state| entry.with("active", state == AgentState::Active))
        };
        change.commit_where_administered("agent.changed", format!("agent:{agent}"), detail).await
    }

    async fn change_role(
        &self,
        by: AuditActor,
        tenant: TenantId,
        role: RoleId,
        name: Option<&Name>,
        rights: Option<Rights>,
    ) -> Result<(), PeopleError> {
        let mut writer = self.writer.lock().await;
        let mut change = Change::begin(&mut writer, by, tenant).await?;
        change.check_is_own(role).await?;
        if let Some(name) = name {
            change.rename(&named::ROLES, role.0, name).await?;
        }
        if let Some(rights) = rights {
            change.write_rights(role, rights).await?;
        }
        let detail = |entry: AuditEntry| {
            let entry = name.into_iter().fold(entry, |entry, name| entry.with("name", name.as_str()));
            rights.into_iter().fold(entry, |entry, rights| entry.with("rights", rights.to_string()))
        };
        change.commit_where_administered("role.changed", format!("role:{role}"), detail).await
    }

    async fn delete_role(&self, by: AuditActor, tenant: TenantId, role: RoleId) -> Result<(), PeopleError> {
        let mut writer = self.writer.lock().await;
        let mut change = Change::begin(&mut writer, by, tenant).await?;
        change.check_is_own(role).await?;
        change.delete_role(role).await?;
        change.commit("role.deleted", format!("role:{role}"), |entry| entry).await
    }

    async fn delete_team(&self, by: AuditActor, tenant: TenantId, team: TeamId) -> Result<(), PeopleError> {
        let mut writer = self.writer.lock().await;
        let mut change = Change::begin(&mut writer, by, tenant).await?;
        change.delete_team(team).await?;
        change.commit("team.deleted", format!("team:{team}"), |entry| entry).await
    }

    async fn add_member(
        &self,
        by: AuditActor,
        tenant: TenantId,
        team: TeamId,
        agent: AgentId,
    ) -> Result<(), PeopleError> {
        let mut writer = self.writer.lock().await;
        let mut change = Change::begin(&mut writer, by, tenant).await?;
        change.add_member(team, agent).await?;
        change.commit("team.joined", format!("team:{team}"), |entry| entry.with("agent", agent.0)).await
    }

    async fn remove_member(
        &self,
        by: AuditActor,
        tenant: TenantId,
        team: TeamId,
        agent: AgentId,
    ) -> Result<(), PeopleError> {
        let mut writer = self.writer.lock().await;
        let mut change = Change::begin(&mut writer, by, tenant).await?;
        change.remove_member(team, agent).await?;
        let object = format!("team:{team}");
        change.commit_where_administered("team.left", object, |entry| entry.with("agent", agent.0)).await
    }

    async fn grant(
        &self,
        by: AuditActor,
        tenant: TenantId,
        role: RoleId,
        to: Grantee,
        queue: Option<QueueId>,
    ) -> Result<GrantRow, PeopleError> {
        let mut writer = self.writer.lock().await;
        let mut change = Change::begin(&mut writer, by, tenant).await?;
        let row = change.grant(role, to, queue).await?;
        change.commit("role.granted", format!("grant:{}", row.id), |entry| grant::told(entry, &row)).await?;
        Ok(row)
    }

    async fn withdraw(&self, by: AuditActor, tenant: TenantId, id: GrantId) -> Result<(), PeopleError> {
        let mut writer = self.writer.lock().await;
        let mut change = Change::begin(&mut writer, by, tenant).await?;
        let row = change.withdraw(id).await?;
        let object = format!("grant:{id}");
        change.commit_where_administered("role.withdrawn", object, |entry| grant::told(entry, &row)).await
    }

    async fn create_requester(
        &self,
        by: AuditActor,
        tenant: TenantId,
        name: &Name,
        identities: &[Identity],
    ) -> Result<Requester, PeopleError> {
        let mut writer = self.writer.lock().await;
        let mut change = Change::begin(&mut writer, by, tenant).await?;
        let requester = change.create_requester(name, identities).await?;
        // The audit log outlives the person: it holds no name and no address.
        change.commit("requester.created", format!("requester:{}", requester.id), |entry| entry).await?;
        Ok(requester)
    }

    async fn requester(&self, tenant: TenantId, id: RequesterId) -> Result<Option<Requester>, StoreError> {
        let mut reading = self.readers.begin().await.map_err(StoreError::from_sqlx)?;
        requester::find(&mut reading, tenant, id).await
    }

    async fn requester_by_identity(
        &self,
        tenant: TenantId,
        identity: &Identity,
    ) -> Result<Option<Requester>, StoreError> {
        let mut reading = self.readers.begin().await.map_err(StoreError::from_sqlx)?;
        match requester::owner(&mut reading, tenant, identity).await? {
            Some(id) => requester::find(&mut reading, tenant, id).await,
            None => Ok(None),
        }
    }

    async fn merge_requesters(
        &self,
        by: AuditActor,
        tenant: TenantId,
        from: RequesterId,
        into: RequesterId,
    ) -> Result<Requester, PeopleError> {
        let mut writer = self.writer.lock().await;
        let mut change = Change::begin(&mut writer, by, tenant).await?;
        let (from, merged) = change.merge_requesters(from, into).await?;
        let object = format!("requester:{}", merged.id);
        change.commit("requester.merged", object, |entry| entry.with("from", from.0)).await?;
        Ok(merged)
    }
}
