//! Tenants, queues, agents and tokens.

use sqlx::sqlite::SqlitePool;
use sqlx::{Connection, SqliteConnection};
use waggle_core::id::{AgentId, Epoch, LifecycleId, QueueId, TenantId};
use waggle_core::limits::REVOKED_TOKENS_MAX;
use waggle_core::name::skeleton_of;
use waggle_core::time::Timestamp;

use super::credentials::{SESSION_COLUMNS, session};
use super::read::collect;
use super::{audit, fields, lifecycles, people, row};
use crate::store::{
    AGENT_ROLE, AgentRow, AuditEntry, DirectoryRows, IdentityRow, NewToken, QueueRow, Scope, StoreError,
    TenantRow, TokenRow,
};

pub(super) async fn revision(pool: &SqlitePool) -> Result<u64, StoreError> {
    let revision: i64 = sqlx::query_scalar("SELECT revision FROM directory")
        .fetch_one(pool)
        .await
        .map_err(StoreError::from_sqlx)?;
    Ok(revision.cast_unsigned())
}

pub(super) async fn read(pool: &SqlitePool) -> Result<DirectoryRows, StoreError> {
    // One transaction: one state.
    let mut reading = pool.begin().await.map_err(StoreError::from_sqlx)?;
    let revision: i64 = sqlx::query_scalar("SELECT revision FROM directory")
        .fetch_one(&mut *reading)
        .await
        .map_err(StoreError::from_sqlx)?;
    let tenants =
        sqlx::query("SELECT id, name, epoch FROM tenant ORDER BY id").fetch_all(&mut *reading).await;
    let lifecycles = lifecycles::read(&mut reading, None).await?;
    let fields = fields::read(&mut reading).await?;
    let queues = sqlx::query("SELECT tenant, id, name, lifecycle FROM queue ORDER BY tenant, id")
        .fetch_all(&mut *reading)
        .await;
    let agents = sqlx::query("SELECT tenant, id, name, deactivated_at FROM agent ORDER BY tenant, id")
        .fetch_all(&mut *reading)
        .await;
    let tokens = sqlx::query(
        "SELECT id, tenant, agent, name, scope, hash, created_at, expires_at, seen_at FROM token \
         WHERE revoked_at IS NULL ORDER BY id",
    )
    .fetch_all(&mut *reading)
    .await;
    let revoked =
        sqlx::query("SELECT hash FROM token WHERE revoked_at IS NOT NULL ORDER BY id DESC LIMIT ?1")
            .bind(REVOKED_TOKENS_MAX as i64)
            .fetch_all(&mut *reading)
            .await;
    let sessions = sqlx::query(SESSION_COLUMNS).fetch_all(&mut *reading).await;
    let identities =
        sqlx::query("SELECT tenant, issuer, subject, agent FROM identity").fetch_all(&mut *reading).await;
    let people = people::people(&mut reading).await?;
    Ok(DirectoryRows {
        revision: revision.cast_unsigned(),
        tenants: collect(tenants, |columns| {
            Ok(TenantRow { id: row::tenant(columns)?, name: columns.text()?, epoch: Epoch(columns.bits()?) })
        })?,
        lifecycles,
        fields,
        queues: collect(queues, |columns| {
            Ok(QueueRow {
                tenant: row::tenant(columns)?,
                id: QueueId(columns.small("queue")?),
                name: columns.text()?,
                lifecycle: LifecycleId(columns.small("lifecycle")?),
            })
        })?,
        agents: collect(agents, |columns| {
            Ok(AgentRow {
                tenant: row::tenant(columns)?,
                id: AgentId(columns.small("agent")?),
                name: columns.text()?,
                deactivated_at: columns.optional("time")?.map(Timestamp),
            })
        })?,
        tokens: collect(tokens, |columns| {
            Ok(TokenRow {
                id: columns.number("token")?,
                tenant: row::tenant(columns)?,
                agent: AgentId(columns.small("agent")?),
                name: columns.text()?,
                scopes: columns.named("scope", |names| names.parse().ok())?,
                hash: columns.hash()?,
                created_at: Timestamp(columns.number("time")?),
                expires_at: columns.optional("time")?.map(Timestamp),
                seen_at: columns.optional("time")?.map(Timestamp),
            })
        })?,
        revoked: collect(revoked, |columns| columns.hash())?,
        sessions: collect(sessions, session)?,
        identities: collect(identities, |columns| {
            Ok(IdentityRow {
                tenant: row::tenant(columns)?,
                issuer: columns.text()?,
                subject: columns.text()?,
                agent: AgentId(columns.small("agent")?),
            })
        })?,
        people,
    })
}

pub(super) async fn create_tenant(
    writer: &mut SqliteConnection,
    name: &str,
) -> Result<TenantRow, StoreError> {
    let epoch = new_epoch()?;
    let query = sqlx::query_scalar("INSERT INTO tenant (name, epoch) VALUES (?1, ?2) RETURNING id");
    let id: i64 = query
        .bind(name)
        .bind(epoch.0.cast_signed())
        .fetch_all(&mut *writer)
        .await
        .map_err(|error| name_taken(error, "tenant", name))
        .and_then(only)?;
    // Of the roles that it has from the start.
    people::fill_skeletons(writer).await?;
    Ok(TenantRow { id: TenantId(narrow("tenant", id)?), name: name.to_owned(), epoch })
}

fn new_epoch() -> Result<Epoch, StoreError> {
    getrandom::u64().map(Epoch).map_err(|error| StoreError::Random(error.to_string()))
}

pub(super) async fn renew_epoch(
    writer: &mut SqliteConnection,
    tenant: TenantId,
    audit: AuditEntry,
) -> Result<Epoch, StoreError> {
    const UPDATE: &str = "UPDATE tenant SET epoch = ?2 WHERE id = ?1";
    let epoch = new_epoch()?;
    let mut writing = writer.begin_with("BEGIN IMMEDIATE").await.map_err(StoreError::from_sqlx)?;
    let query = sqlx::query(UPDATE).bind(tenant.0).bind(epoch.0.cast_signed());
    let done = query.execute(&mut *writing).await.map_err(StoreError::from_sqlx)?;
    if done.rows_affected() == 0 {
        return Err(StoreError::Missing { kind: "tenant", name: tenant.to_string() });
    }
    audit::append(&mut writing, &audit).await?;
    writing.commit().await.map_err(StoreError::from_sqlx)?;
    Ok(epoch)
}

pub(super) async fn create_queue(
    writer: &mut SqliteConnection,
    tenant: TenantId,
    name: &str,
) -> Result<QueueRow, StoreError> {
    const SQL: &str = "
        INSERT INTO queue (tenant, id, name, skeleton)
        SELECT ?1, 1 + coalesce(max(id), 0), ?2, ?3 FROM queue WHERE tenant = ?1 RETURNING id";
    let id = insert_named(writer, SQL, tenant, "queue", name).await?;
    // As the column has it by default: the built-in one.
    Ok(QueueRow { tenant, id: QueueId(id), name: name.to_owned(), lifecycle: LifecycleId(1) })
}

pub(super) async fn create_agent(
    writer: &mut SqliteConnection,
    tenant: TenantId,
    name: &str,
) -> Result<AgentRow, StoreError> {
    let mut writing = writer.begin_with("BEGIN IMMEDIATE").await.map_err(StoreError::from_sqlx)?;
    let row = insert_agent(&mut writing, tenant, name).await?;
    writing.commit().await.map_err(StoreError::from_sqlx)?;
    Ok(row)
}

/// The same, within the transaction that `writing` is in.
pub(super) async fn insert_agent(
    writing: &mut SqliteConnection,
    tenant: TenantId,
    name: &str,
) -> Result<AgentRow, StoreError> {
    const SQL: &str = "
        INSERT INTO agent (tenant, id, name, skeleton)
        SELECT ?1, 1 + coalesce(max(id), 0), ?2, ?3 FROM agent WHERE tenant = ?1 RETURNING id";
    const GRANT: &str = "
        INSERT INTO role_grant (tenant, id, role, agent)
        SELECT ?1, 1 + coalesce(max(id), 0), ?2, ?3 FROM role_grant WHERE tenant = ?1";
    let id = insert_named(&mut *writing, SQL, tenant, "agent", name).await?;
    let grant = sqlx::query(GRANT).bind(tenant.0).bind(AGENT_ROLE.0).bind(id);
    grant.execute(writing).await.map_err(StoreError::from_sqlx)?;
    Ok(AgentRow { tenant, id: AgentId(id), name: name.to_owned(), deactivated_at: None })
}

async fn insert_named(
    writer: &mut SqliteConnection,
    sql: &'static str,
    tenant: TenantId,
    kind: &'static str,
    name: &str,
) -> Result<u32, StoreError> {
    let query = sqlx::query_scalar(sql).bind(tenant.0).bind(name).bind(skeleton_of(name));
    let ids = query.fetch_all(writer).await.map_err(|error| match violation(&error) {
        Some(sqlx::error::ErrorKind::ForeignKeyViolation) => {
            StoreError::Missing { kind: "tenant", name: tenant.to_string() }
        }
        _ => name_taken(error, kind, name),
    })?;
    let id = only(ids)?;
    narrow(kind, id)
}

pub(super) async fn create_token(
    writer: &mut SqliteConnection,
    tenant: TenantId,
    agent: AgentId,
    scope: Scope,
    hash: [u8; 32],
    expires_at: Option<Timestamp>,
) -> Result<TokenRow, StoreError> {
    let token = NewToken { tenant, agent, name: String::new(), scopes: scope.into(), hash, expires_at };
    insert_token(writer, token).await
}

pub(super) async fn insert_token(
    writer: &mut SqliteConnection,
    token: NewToken,
) -> Result<TokenRow, StoreError> {
    const SQL: &str = "
        INSERT INTO token (tenant, agent, name, scope, hash, created_at, expires_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) RETURNING id";
    let now = now_ms();
    let query = sqlx::query_scalar(SQL)
        .bind(token.tenant.0)
        .bind(token.agent.0)
        .bind(token.name.clone())
        .bind(token.scopes.to_string())
        .bind(token.hash.to_vec())
        .bind(now)
        .bind(token.expires_at.map(|at| i64::try_from(at.0).unwrap_or(i64::MAX)));
    let missing = |error| missing_parent(error, "agent", &token.agent.to_string());
    let ids = query.fetch_all(writer).await.map_err(missing)?;
    Ok(TokenRow {
        id: only(ids)?.cast_unsigned(),
        tenant: token.tenant,
        agent: token.agent,
        name: token.name,
        scopes: token.scopes,
        hash: token.hash,
        created_at: Timestamp(now.cast_unsigned()),
        expires_at: token.expires_at,
        seen_at: None,
    })
}

pub(super) async fn revoke_token(
    writer: &mut SqliteConnection,
    tenant: TenantId,
    token: u64,
) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE token SET revoked_at = ?3 WHERE tenant = ?1 AND id = ?2 AND revoked_at IS NULL";
    let id = i64::try_from(token).unwrap_or(i64::MAX);
    let query = sqlx::query(SQL).bind(tenant.0).bind(id).bind(now_ms());
    let done = query.execute(writer).await.map_err(StoreError::from_sqlx)?;
    match done.rows_affected() {
        0 => Err(StoreError::Missing { kind: "token in force with number", name: token.to_string() }),
        _ => Ok(()),
    }
}

/// The one id of `INSERT … RETURNING`. All rows are asked for, not the first: the statement commits when
/// it has given its last, and only then can it fail on a full disk.
pub(super) fn only(ids: Vec<i64>) -> Result<i64, StoreError> {
    ids.first().copied().ok_or(StoreError::Database(sqlx::Error::RowNotFound))
}

fn violation(error: &sqlx::Error) -> Option<sqlx::error::ErrorKind> {
    error.as_database_error().map(sqlx::error::DatabaseError::kind)
}

/// Where a row's parent is not there, says so.
pub(super) fn missing_parent(error: sqlx::Error, kind: &'static str, name: &str) -> StoreError {
    match violation(&error) {
        Some(sqlx::error::ErrorKind::ForeignKeyViolation) => {
            StoreError::Missing { kind, name: name.to_owned() }
        }
        _ => StoreError::from_sqlx(error),
    }
}

pub(super) fn name_taken(error: sqlx::Error, kind: &'static str, name: &str) -> StoreError {
    match violation(&error) {
        Some(sqlx::error::ErrorKind::UniqueViolation) => {
            StoreError::NameTaken { kind, name: name.to_owned() }
        }
        _ => StoreError::from_sqlx(error),
    }
}

fn narrow(what: &'static str, id: i64) -> Result<u32, StoreError> {
    u32::try_from(id).map_err(|_| StoreError::Unknown { what, value: id.to_string() })
}

pub(super) fn now_ms() -> i64 {
    i64::try_from(crate::wall_clock::now().0).unwrap_or(i64::MAX)
}
