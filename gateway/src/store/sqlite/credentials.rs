//! Passwords, sessions, devices, identities and tokens.

use async_trait::async_trait;
use sqlx::{Connection, Sqlite, SqliteConnection, Transaction};
use waggle_core::id::{AgentId, TenantId};
use waggle_core::limits::{LOGIN_DEVICES_MAX, LOGIN_SESSIONS_MAX};
use waggle_core::time::Timestamp;

use super::row::{self, Columns};
use super::{SqliteStore, audit, directory, signed};
use crate::store::{
    AuditEntry, CredentialStore, IdentityRow, Keep, Method, NewSession, NewToken, PasswordKind, PasswordRow,
    Seen, SessionRow, StoreError,
};

/// A transaction that holds the lock for writing from its beginning.
async fn begin(writer: &mut SqliteConnection) -> Result<Transaction<'_, Sqlite>, StoreError> {
    writer.begin_with("BEGIN IMMEDIATE").await.map_err(StoreError::from_sqlx)
}

async fn finish(writing: Transaction<'_, Sqlite>) -> Result<(), StoreError> {
    writing.commit().await.map_err(StoreError::from_sqlx)
}

#[async_trait]
impl CredentialStore for SqliteStore {
    async fn password(&self, tenant: TenantId, agent: AgentId) -> Result<Option<PasswordRow>, StoreError> {
        const SQL: &str = "SELECT hash, is_temporary FROM password WHERE tenant = ?1 AND agent = ?2";
        let query = sqlx::query(SQL).bind(tenant.0).bind(agent.0);
        let found = query.fetch_optional(&self.readers).await.map_err(StoreError::from_sqlx)?;
        found
            .map(|found| {
                let mut columns = Columns::of(&found);
                let hash = columns.text()?;
                let kind = match columns.number("is_temporary")? {
                    0 => PasswordKind::Own,
                    _ => PasswordKind::Temporary,
                };
                Ok(PasswordRow { hash, kind })
            })
            .transpose()
    }

    async fn set_password(
        &self,
        tenant: TenantId,
        agent: AgentId,
        password: PasswordRow,
        keep: Keep,
        audit: AuditEntry,
    ) -> Result<(), StoreError> {
        const SET: &str = "
            INSERT INTO password (tenant, agent, hash, changed_at, is_temporary) VALUES (?1, ?2, ?3, ?4, ?5)
            ON CONFLICT (tenant, agent) DO UPDATE SET
                hash = excluded.hash, changed_at = excluded.changed_at, is_temporary = excluded.is_temporary";
        let mut writer = self.writer.lock().await;
        let mut writing = begin(&mut writer).await?;
        let query = sqlx::query(SET)
            .bind(tenant.0)
            .bind(agent.0)
            .bind(password.hash)
            .bind(directory::now_ms())
            .bind(i64::from(password.kind == PasswordKind::Temporary));
        let missing = |error| directory::missing_parent(error, "agent", &agent.to_string());
        query.execute(&mut *writing).await.map_err(missing)?;
        end_sessions_but(&mut writing, tenant, agent, keep).await?;
        let query = sqlx::query("DELETE FROM device WHERE tenant = ?1 AND agent = ?2");
        let forgotten = query.bind(tenant.0).bind(agent.0).execute(&mut *writing).await;
        forgotten.map_err(StoreError::from_sqlx)?;
        audit::append(&mut writing, &audit).await?;
        finish(writing).await
    }

    async fn rehash_password(
        &self,
        tenant: TenantId,
        agent: AgentId,
        old: &str,
        new: &str,
    ) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE password SET hash = ?4 WHERE tenant = ?1 AND agent = ?2 AND hash = ?3";
        let query = sqlx::query(SQL).bind(tenant.0).bind(agent.0).bind(old.to_owned()).bind(new.to_owned());
        query.execute(&mut *self.writer.lock().await).await.map_err(StoreError::from_sqlx)?;
        Ok(())
    }

    async fn open_session(
        &self,
        session: NewSession,
        replaces: Option<u64>,
        audit: AuditEntry,
    ) -> Result<SessionRow, StoreError> {
        let mut writer = self.writer.lock().await;
        let mut writing = begin(&mut writer).await?;
        let (tenant, agent) = (session.tenant, session.agent);
        if let Some(replaced) = replaces {
            // Whosever it was in this browser: its secret is known there.
            let query = sqlx::query("DELETE FROM session WHERE tenant = ?1 AND id = ?2");
            let ended = query.bind(tenant.0).bind(signed(replaced)).execute(&mut *writing).await;
            ended.map_err(StoreError::from_sqlx)?;
        }
        if let Some(device) = session.device {
            remember_device(&mut writing, tenant, agent, device).await?;
        }
        let opened = insert_session(&mut writing, session).await?;
        end_oldest_sessions(&mut writing, tenant, agent).await?;
        audit::append(&mut writing, &audit.with("session", opened.id)).await?;
        finish(writing).await?;
        Ok(opened)
    }

    async fn end_session(
        &self,
        tenant: TenantId,
        agent: AgentId,
        session: u64,
        audit: AuditEntry,
    ) -> Result<bool, StoreError> {
        let mut writer = self.writer.lock().await;
        let mut writing = begin(&mut writer).await?;
        let query = sqlx::query("DELETE FROM session WHERE tenant = ?1 AND agent = ?2 AND id = ?3");
        let query = query.bind(tenant.0).bind(agent.0).bind(signed(session));
        let ended = query.execute(&mut *writing).await.map_err(StoreError::from_sqlx)?;
        if ended.rows_affected() == 0 {
            return Ok(false);
        }
        audit::append(&mut writing, &audit).await?;
        finish(writing).await?;
        Ok(true)
    }

    async fn end_old_sessions(&self, now: Timestamp) -> Result<u64, StoreError> {
        const ARE_OVER: &str = "expires_at <= ?1 OR seen_at + idle_ms <= ?1";
        // Looked for first: mostly there is nothing to write.
        let sql = format!("SELECT count(*) FROM session WHERE {ARE_OVER}");
        let count = sqlx::query_scalar::<_, i64>(sqlx::AssertSqlSafe(sql)).bind(signed(now.0));
        if count.fetch_one(&self.readers).await.map_err(StoreError::from_sqlx)? == 0 {
            return Ok(0);
        }
        let query = sqlx::query(sqlx::AssertSqlSafe(format!("DELETE FROM session WHERE {ARE_OVER}")));
        let query = query.bind(signed(now.0));
        let ended = query.execute(&mut *self.writer.lock().await).await.map_err(StoreError::from_sqlx)?;
        Ok(ended.rows_affected())
    }

    async fn knows_device(
        &self,
        tenant: TenantId,
        agent: AgentId,
        device: [u8; 32],
    ) -> Result<bool, StoreError> {
        const SQL: &str = "SELECT count(*) FROM device WHERE tenant = ?1 AND agent = ?2 AND hash = ?3";
        let query = sqlx::query_scalar::<_, i64>(SQL).bind(tenant.0).bind(agent.0).bind(device.to_vec());
        let found = query.fetch_one(&self.readers).await.map_err(StoreError::from_sqlx)?;
        Ok(found > 0)
    }

    async fn seen(&self, seen: &Seen) -> Result<(), StoreError> {
        const SESSION: &str = "UPDATE session SET seen_at = max(seen_at, ?2) WHERE id = ?1";
        const TOKEN: &str = "UPDATE token SET seen_at = max(coalesce(seen_at, 0), ?2) WHERE id = ?1";
        let mut writer = self.writer.lock().await;
        let mut writing = begin(&mut writer).await?;
        let of = |sql: &'static str| move |(id, at): &(u64, Timestamp)| (sql, *id, at.0);
        for (sql, id, at) in seen.sessions.iter().map(of(SESSION)).chain(seen.tokens.iter().map(of(TOKEN))) {
            let query = sqlx::query(sql).bind(signed(id)).bind(signed(at));
            query.execute(&mut *writing).await.map_err(StoreError::from_sqlx)?;
        }
        finish(writing).await
    }

    async fn link_identity(&self, identity: IdentityRow, audit: AuditEntry) -> Result<(), StoreError> {
        let mut writer = self.writer.lock().await;
        let mut writing = begin(&mut writer).await?;
        link(&mut writing, &identity).await?;
        audit::append(&mut writing, &audit).await?;
        finish(writing).await
    }

    async fn provision_agent(
        &self,
        tenant: TenantId,
        name: &str,
        issuer: &str,
        subject: &str,
        audit: AuditEntry,
    ) -> Result<AgentId, StoreError> {
        let mut writer = self.writer.lock().await;
        let mut writing = begin(&mut writer).await?;
        let agent = directory::insert_agent(&mut writing, tenant, name).await?.id;
        let identity = IdentityRow { tenant, issuer: issuer.to_owned(), subject: subject.to_owned(), agent };
        link(&mut writing, &identity).await?;
        audit::append(&mut writing, &audit.with("agent", agent.0)).await?;
        finish(writing).await?;
        Ok(agent)
    }

    async fn issue_token(&self, token: NewToken, audit: AuditEntry) -> Result<u64, StoreError> {
        let mut writer = self.writer.lock().await;
        let mut writing = begin(&mut writer).await?;
        let id = directory::insert_token(&mut writing, token).await?.id;
        audit::append(&mut writing, &audit.with("token", id)).await?;
        finish(writing).await?;
        Ok(id)
    }

    async fn end_token(&self, tenant: TenantId, token: u64, audit: AuditEntry) -> Result<(), StoreError> {
        let mut writer = self.writer.lock().await;
        let mut writing = begin(&mut writer).await?;
        directory::revoke_token(&mut writing, tenant, token).await?;
        audit::append(&mut writing, &audit).await?;
        finish(writing).await
    }
}

async fn insert_session(
    writing: &mut SqliteConnection,
    session: NewSession,
) -> Result<SessionRow, StoreError> {
    const SQL: &str = "
        INSERT INTO session (tenant, agent, hash, method, client, created_at, seen_at, idle_ms, expires_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7, ?8) RETURNING id";
    let now = directory::now_ms();
    let query = sqlx::query_scalar(SQL)
        .bind(session.tenant.0)
        .bind(session.agent.0)
        .bind(session.hash.to_vec())
        .bind(session.method.name())
        .bind(session.client.clone())
        .bind(now)
        .bind(signed(session.idle_ms))
        .bind(signed(session.expires_at.0));
    let missing = |error| directory::missing_parent(error, "agent", &session.agent.to_string());
    let id = directory::only(query.fetch_all(writing).await.map_err(missing)?)?;
    let at = Timestamp(now.cast_unsigned());
    Ok(SessionRow {
        id: id.cast_unsigned(),
        tenant: session.tenant,
        agent: session.agent,
        hash: session.hash,
        method: session.method,
        client: session.client,
        created_at: at,
        seen_at: at,
        idle_ms: session.idle_ms,
        expires_at: session.expires_at,
    })
}

async fn end_oldest_sessions(
    writing: &mut SqliteConnection,
    tenant: TenantId,
    agent: AgentId,
) -> Result<(), StoreError> {
    const SQL: &str = "
        DELETE FROM session WHERE id IN (
            SELECT id FROM session WHERE tenant = ?1 AND agent = ?2 ORDER BY id DESC LIMIT -1 OFFSET ?3
        )";
    let query = sqlx::query(SQL).bind(tenant.0).bind(agent.0).bind(LOGIN_SESSIONS_MAX);
    query.execute(writing).await.map_err(StoreError::from_sqlx)?;
    Ok(())
}

async fn end_sessions_but(
    writing: &mut SqliteConnection,
    tenant: TenantId,
    agent: AgentId,
    keep: Keep,
) -> Result<(), StoreError> {
    const SQL: &str = "DELETE FROM session WHERE tenant = ?1 AND agent = ?2 AND id <> ?3";
    // Sessions are numbered from 1.
    let kept = match keep {
        Keep::Nothing => 0,
        Keep::Session(session) => session,
    };
    let query = sqlx::query(SQL).bind(tenant.0).bind(agent.0).bind(signed(kept));
    query.execute(writing).await.map_err(StoreError::from_sqlx)?;
    Ok(())
}

async fn remember_device(
    writing: &mut SqliteConnection,
    tenant: TenantId,
    agent: AgentId,
    device: [u8; 32],
) -> Result<(), StoreError> {
    const MAKE: &str = "INSERT OR IGNORE INTO device (tenant, agent, hash, made_at) VALUES (?1, ?2, ?3, ?4)";
    const MAKE_ROOM: &str = "
        DELETE FROM device WHERE tenant = ?1 AND agent = ?2 AND hash IN (
            SELECT hash FROM device WHERE tenant = ?1 AND agent = ?2 ORDER BY made_at DESC, hash LIMIT -1 OFFSET ?3
        )";
    let query = sqlx::query(MAKE_ROOM).bind(tenant.0).bind(agent.0).bind(LOGIN_DEVICES_MAX - 1);
    query.execute(&mut *writing).await.map_err(StoreError::from_sqlx)?;
    let query =
        sqlx::query(MAKE).bind(tenant.0).bind(agent.0).bind(device.to_vec()).bind(directory::now_ms());
    query.execute(writing).await.map_err(StoreError::from_sqlx)?;
    Ok(())
}

async fn link(writing: &mut SqliteConnection, identity: &IdentityRow) -> Result<(), StoreError> {
    const SQL: &str = "
        INSERT INTO identity (tenant, issuer, subject, agent) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT (tenant, issuer, subject) DO UPDATE SET agent = excluded.agent";
    let query = sqlx::query(SQL)
        .bind(identity.tenant.0)
        .bind(identity.issuer.clone())
        .bind(identity.subject.clone())
        .bind(identity.agent.0);
    let missing = |error| directory::missing_parent(error, "agent", &identity.agent.to_string());
    query.execute(writing).await.map_err(missing)?;
    Ok(())
}

/// The columns of [`session`], in its order.
pub(super) const SESSION_COLUMNS: &str =
    "SELECT id, tenant, agent, hash, method, client, created_at, seen_at, idle_ms, expires_at FROM session";

/// Reads [`SESSION_COLUMNS`].
pub(super) fn session(columns: &mut Columns<'_>) -> Result<SessionRow, StoreError> {
    Ok(SessionRow {
        id: columns.number("session")?,
        tenant: row::tenant(columns)?,
        agent: AgentId(columns.small("agent")?),
        hash: columns.hash()?,
        method: columns.named("method", Method::from_name)?,
        client: columns.text()?,
        created_at: Timestamp(columns.number("time")?),
        seen_at: Timestamp(columns.number("time")?),
        idle_ms: columns.number("time")?,
        expires_at: Timestamp(columns.number("time")?),
    })
}
