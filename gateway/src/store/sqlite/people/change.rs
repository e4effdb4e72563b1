//! One change of people and rights: a transaction with its entry in the audit log.

use sqlx::{Connection, Sqlite, SqliteConnection, Transaction};
use waggle_core::id::{AgentId, RoleId, TenantId};
use waggle_core::right::{Right, Rights};

use super::read;
use crate::store::sqlite::{audit, directory};
use crate::store::{AgentState, AuditActor, AuditEntry, PeopleError, PeopleRefusal, StoreError};

/// A change under way; dropped before [`Change::commit`], it has not been.
pub(in crate::store::sqlite) struct Change<'a> {
    pub(in crate::store::sqlite) writing: Transaction<'a, Sqlite>,
    pub(super) tenant: TenantId,
    by: AuditActor,
}

impl<'a> Change<'a> {
    pub(in crate::store::sqlite) async fn begin(
        writer: &'a mut SqliteConnection,
        by: AuditActor,
        tenant: TenantId,
    ) -> Result<Self, StoreError> {
        let writing = writer.begin_with("BEGIN IMMEDIATE").await.map_err(StoreError::from_sqlx)?;
        Ok(Self { writing, tenant, by })
    }

    /// Writes the audit entry and makes all of it durable.
    pub(in crate::store::sqlite) async fn commit(
        mut self,
        action: &'static str,
        object: String,
        detail: impl FnOnce(AuditEntry) -> AuditEntry,
    ) -> Result<(), PeopleError> {
        let entry = detail(AuditEntry::new(self.tenant, self.by, action, object));
        audit::append(&mut self.writing, &entry).await?;
        self.writing.commit().await.map_err(StoreError::from_sqlx)?;
        Ok(())
    }

    /// The same for a change that takes rights away, where somebody is left who can give them back. The operator of the
    /// gateway's machine always can.
    pub(super) async fn commit_where_administered(
        mut self,
        action: &'static str,
        object: String,
        detail: impl FnOnce(AuditEntry) -> AuditEntry,
    ) -> Result<(), PeopleError> {
        if self.by != AuditActor::Operator && !self.is_administered().await? {
            return Err(PeopleRefusal::LastAdministrator.into());
        }
        self.commit(action, object, detail).await
    }

    /// Whether an active agent administers all queues, himself or by a team.
    async fn is_administered(&mut self) -> Result<bool, StoreError> {
        const HOLDERS: &str = "
            SELECT role.rights FROM role_grant
            JOIN role ON role.tenant = role_grant.tenant AND role.id = role_grant.role
            WHERE role_grant.tenant = ?1 AND role_grant.queue IS NULL AND EXISTS (
                SELECT 1 FROM agent WHERE agent.tenant = ?1 AND agent.deactivated_at IS NULL AND (
                    agent.id = role_grant.agent OR EXISTS (
                        SELECT 1 FROM team_member
                        WHERE team_member.tenant = ?1 AND team_member.team = role_grant.team
                          AND team_member.agent = agent.id)))";
        let held = sqlx::query_scalar::<_, String>(HOLDERS).bind(self.tenant.0);
        let held = held.fetch_all(&mut *self.writing).await.map_err(StoreError::from_sqlx)?;
        for rights in held {
            if read::rights(&rights)?.has(Right::Administer) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) async fn set_state(&mut self, agent: AgentId, state: AgentState) -> Result<(), PeopleError> {
        const SQL: &str = "UPDATE agent SET deactivated_at = ?3 WHERE tenant = ?1 AND id = ?2";
        let at = match state {
            AgentState::Active => None,
            AgentState::Deactivated => Some(directory::now_ms()),
        };
        let query = sqlx::query(SQL).bind(self.tenant.0).bind(agent.0).bind(at);
        let done = query.execute(&mut *self.writing).await.map_err(StoreError::from_sqlx)?;
        found(done.rows_affected(), "agent", agent.0.into())
    }

    /// Refuses a role that is built in, or none at all.
    pub(super) async fn check_is_own(&mut self, role: RoleId) -> Result<(), PeopleError> {
        const SQL: &str = "SELECT name, is_builtin FROM role WHERE tenant = ?1 AND id = ?2";
        let query = sqlx::query_as::<_, (String, i64)>(SQL).bind(self.tenant.0).bind(role.0);
        match query.fetch_optional(&mut *self.writing).await.map_err(StoreError::from_sqlx)? {
            Some((_, 0)) => Ok(()),
            Some((name, _)) => Err(PeopleRefusal::Builtin(name).into()),
            None => Err(PeopleRefusal::Missing { kind: "role", id: role.0.into() }.into()),
        }
    }

    pub(super) async fn write_rights(&mut self, role: RoleId, rights: Rights) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE role SET rights = ?3 WHERE tenant = ?1 AND id = ?2";
        let query = sqlx::query(SQL).bind(self.tenant.0).bind(role.0).bind(rights.to_string());
        query.execute(&mut *self.writing).await.map(drop).map_err(StoreError::from_sqlx)
    }
}

/// Whether a statement has met its row.
pub(super) fn found(rows: u64, kind: &'static str, id: u64) -> Result<(), PeopleError> {
    match rows {
        0 => Err(PeopleRefusal::Missing { kind, id }.into()),
        _ => Ok(()),
    }
}
