//! Teams, and who has which role.

use waggle_core::id::{AgentId, GrantId, QueueId, RoleId, TeamId};
use waggle_core::limits::{GRANTS_MAX, TEAM_MEMBERS_MAX};

use super::change::{Change, found};
use super::read;
use crate::store::{AuditEntry, GrantRow, Grantee, PeopleError, PeopleRefusal, StoreError};

impl Change<'_> {
    pub(super) async fn delete_role(&mut self, role: RoleId) -> Result<(), PeopleError> {
        const USES: &str = "SELECT count(*) FROM role_grant WHERE tenant = ?1 AND role = ?2";
        let grants = self.count(USES, role.0).await?;
        if grants > 0 {
            let uses = format!("it is granted {grants} times");
            return Err(PeopleRefusal::InUse { kind: "role", id: role.0.into(), uses }.into());
        }
        let rows = self.run("DELETE FROM role WHERE tenant = ?1 AND id = ?2", role.0).await?;
        found(rows, "role", role.0.into())
    }

    pub(super) async fn delete_team(&mut self, team: TeamId) -> Result<(), PeopleError> {
        const MEMBERS: &str = "SELECT count(*) FROM team_member WHERE tenant = ?1 AND team = ?2";
        const GRANTS: &str = "SELECT count(*) FROM role_grant WHERE tenant = ?1 AND team = ?2";
        let (members, grants) = (self.count(MEMBERS, team.0).await?, self.count(GRANTS, team.0).await?);
        if members + grants > 0 {
            let uses = format!("it has {members} members and {grants} roles");
            return Err(PeopleRefusal::InUse { kind: "team", id: team.0.into(), uses }.into());
        }
        let rows = self.run("DELETE FROM team WHERE tenant = ?1 AND id = ?2", team.0).await?;
        found(rows, "team", team.0.into())
    }

    pub(super) async fn add_member(&mut self, team: TeamId, agent: AgentId) -> Result<(), PeopleError> {
        const MEMBERS: &str = "SELECT count(*) FROM team_member WHERE tenant = ?1 AND team = ?2";
        const ADD: &str = "INSERT OR IGNORE INTO team_member (tenant, team, agent) VALUES (?1, ?2, ?3)";
        self.check_there("team", team.0).await?;
        self.check_there("agent", agent.0).await?;
        if self.count(MEMBERS, team.0).await? >= TEAM_MEMBERS_MAX as u64 {
            return Err(PeopleRefusal::TooMany { kind: "members", limit: TEAM_MEMBERS_MAX }.into());
        }
        let query = sqlx::query(ADD).bind(self.tenant.0).bind(team.0).bind(agent.0);
        let done = query.execute(&mut *self.writing).await.map_err(StoreError::from_sqlx)?;
        match done.rows_affected() {
            0 => Err(PeopleRefusal::Member { team, agent }.into()),
            _ => Ok(()),
        }
    }

    pub(super) async fn remove_member(&mut self, team: TeamId, agent: AgentId) -> Result<(), PeopleError> {
        const SQL: &str = "DELETE FROM team_member WHERE tenant = ?1 AND team = ?2 AND agent = ?3";
        self.check_there("team", team.0).await?;
        let query = sqlx::query(SQL).bind(self.tenant.0).bind(team.0).bind(agent.0);
        let done = query.execute(&mut *self.writing).await.map_err(StoreError::from_sqlx)?;
        found(done.rows_affected(), "member", agent.0.into())
    }

    pub(super) async fn grant(
        &mut self,
        role: RoleId,
        to: Grantee,
        queue: Option<QueueId>,
    ) -> Result<GrantRow, PeopleError> {
        const SAME: &str = "SELECT id FROM role_grant WHERE tenant = ?1 AND role = ?2 \
                            AND agent IS ?3 AND team IS ?4 AND queue IS ?5";
        const INSERT: &str = "
            INSERT INTO role_grant (tenant, id, role, agent, team, queue)
            SELECT ?1, 1 + coalesce(max(id), 0), ?2, ?3, ?4, ?5 FROM role_grant
            WHERE tenant = ?1 HAVING count(*) < ?6 RETURNING id";
        let (agent, team) = match to {
            Grantee::Agent(agent) => (Some(agent), None),
            Grantee::Team(team) => (None, Some(team)),
        };
        self.check_there("role", role.0).await?;
        match to {
            Grantee::Agent(agent) => self.check_there("agent", agent.0).await?,
            Grantee::Team(team) => self.check_there("team", team.0).await?,
        }
        if let Some(queue) = queue {
            self.check_there("queue", queue.0).await?;
        }
        let (agent, team) = (agent.map(|agent| agent.0), team.map(|team| team.0));
        let queue_id = queue.map(|queue| queue.0);
        let same = sqlx::query_scalar::<_, u32>(SAME).bind(self.tenant.0).bind(role.0);
        let same = same.bind(agent).bind(team).bind(queue_id).fetch_optional(&mut *self.writing).await;
        if let Some(id) = same.map_err(StoreError::from_sqlx)? {
            return Err(PeopleRefusal::Granted(GrantId(id)).into());
        }
        let query = sqlx::query_scalar::<_, u32>(INSERT).bind(self.tenant.0).bind(role.0);
        let query = query.bind(agent).bind(team).bind(queue_id).bind(GRANTS_MAX as i64);
        let ids = query.fetch_all(&mut *self.writing).await.map_err(StoreError::from_sqlx)?;
        match ids.first() {
            Some(id) => Ok(GrantRow { tenant: self.tenant, id: GrantId(*id), role, to, queue }),
            None => Err(PeopleRefusal::TooMany { kind: "grants", limit: GRANTS_MAX }.into()),
        }
    }

    /// Takes a role away; tells which it was.
    pub(super) async fn withdraw(&mut self, id: GrantId) -> Result<GrantRow, PeopleError> {
        let query = sqlx::query(read::GRANT).bind(self.tenant.0).bind(id.0);
        let rows = query.fetch_all(&mut *self.writing).await;
        let row = crate::store::sqlite::read::collect(rows, read::grant)?.first().copied();
        let row = row.ok_or(PeopleRefusal::Missing { kind: "grant", id: id.0.into() })?;
        self.run("DELETE FROM role_grant WHERE tenant = ?1 AND id = ?2", id.0).await?;
        Ok(row)
    }

    /// Whether the tenant has one of this kind and number.
    async fn check_there(&mut self, kind: &'static str, id: u32) -> Result<(), PeopleError> {
        let sql = match kind {
            "role" => "SELECT count(*) FROM role WHERE tenant = ?1 AND id = ?2",
            "team" => "SELECT count(*) FROM team WHERE tenant = ?1 AND id = ?2",
            "queue" => "SELECT count(*) FROM queue WHERE tenant = ?1 AND id = ?2",
            _ => "SELECT count(*) FROM agent WHERE tenant = ?1 AND id = ?2",
        };
        let rows = self.count(sql, id).await?;
        found(rows, kind, id.into())
    }

    async fn count(&mut self, sql: &'static str, id: u32) -> Result<u64, StoreError> {
        let query = sqlx::query_scalar::<_, i64>(sql).bind(self.tenant.0).bind(id);
        let count = query.fetch_one(&mut *self.writing).await.map_err(StoreError::from_sqlx)?;
        Ok(count.cast_unsigned())
    }

    async fn run(&mut self, sql: &'static str, id: u32) -> Result<u64, StoreError> {
        let query = sqlx::query(sql).bind(self.tenant.0).bind(id);
        let done = query.execute(&mut *self.writing).await.map_err(StoreError::from_sqlx)?;
        Ok(done.rows_affected())
    }
}

/// What the audit log says of a grant.
pub(super) fn told(entry: AuditEntry, row: &GrantRow) -> AuditEntry {
    let entry = entry.with("role", row.role.0);
    let entry = match row.to {
        Grantee::Agent(agent) => entry.with("agent", agent.0),
        Grantee::Team(team) => entry.with("team", team.0),
    };
    match row.queue {
        Some(queue) => entry.with("queue", queue.0),
        None => entry,
    }
}
