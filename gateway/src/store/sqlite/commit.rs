//! One batch as one statement.

use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Sqlite, SqliteConnection};
use waggle_core::ticket::{Actor, Kind, Priority, Status};

use super::{audit, signed};
use crate::store::{AuditActor, AuditEntry, CommitEvent, StoreError};

/// Events that one statement takes; a longer batch is several statements in one transaction.
const STATEMENT_EVENTS_MAX: usize = 128;
/// What an event has in storage.
const COLUMNS: [&str; 22] = [
    "tenant",
    "offset",
    "ticket",
    "version",
    "kind",
    "actor",
    "at",
    "queue",
    "queue_from",
    "agent",
    "agent_from",
    "previous",
    "data",
    "caller",
    "key",
    "fingerprint",
    "status",
    "status_from",
    "fence",
    "priority",
    "patch",
    "followers",
];

/// Writes `batch`; see [`crate::store::Store::commit`].
///
/// All work is done by the trigger of the view `batch`, so that a batch is one statement with bound
/// values, and needs no explicit transaction: every call goes to the connection's thread and back, which
/// takes longer than the statement itself. Measured against one array per table taken apart by
/// `json_each`: half the work per command, and a third of the calls.
pub(super) async fn commit(
    connection: &mut SqliteConnection,
    batch: &[CommitEvent],
) -> Result<(), StoreError> {
    let audited: Vec<AuditEntry> = batch.iter().filter_map(audited).collect();
    if batch.len() <= STATEMENT_EVENTS_MAX && audited.is_empty() {
        return insert(connection, batch).await;
    }
    run(connection, "BEGIN IMMEDIATE").await?;
    for events in batch.chunks(STATEMENT_EVENTS_MAX) {
        if let Err(error) = insert(connection, events).await {
            return Err(rolled_back(connection, error).await);
        }
    }
    for entry in &audited {
        if let Err(error) = audit::append(connection, entry).await {
            return Err(rolled_back(connection, error).await);
        }
    }
    match run(connection, "COMMIT").await {
        Ok(()) => Ok(()),
        Err(error) => Err(rolled_back(connection, error).await),
    }
}

/// What the audit log tells of an event; of most it tells nothing.
fn audited(commit: &CommitEvent) -> Option<AuditEntry> {
    let action = match commit.event.kind {
        Kind::Deleted => "ticket.deleted",
        Kind::Restored => "ticket.restored",
        Kind::Taught => "learn.taught",
        _ => return None,
    };
    let actor = match commit.event.actor {
        Actor::Agent(agent) => AuditActor::Agent(agent),
        Actor::Requester | Actor::System => AuditActor::System,
    };
    if commit.event.kind == Kind::Taught {
        // It was JSON when it was admitted.
        let teaching: serde_json::Value = serde_json::from_slice(&commit.event.data).unwrap_or_default();
        let entry = AuditEntry::new(commit.tenant, actor, action, "tenant");
        return Some(entry.with("version", commit.event.version.0).with("teaching", teaching));
    }
    let entry = AuditEntry::new(commit.tenant, actor, action, format!("ticket:{}", commit.event.ticket));
    Some(entry.with("version", commit.event.version.0))
}

async fn run(connection: &mut SqliteConnection, sql: &'static str) -> Result<(), StoreError> {
    sqlx::query(sql).execute(connection).await.map(|_| ()).map_err(StoreError::from_sqlx)
}

async fn rolled_back(connection: &mut SqliteConnection, error: StoreError) -> StoreError {
    // SQLite may have rolled back by itself (a full disk); then this says so, and no more.
    if let Err(no_transaction) = run(connection, "ROLLBACK").await {
        tracing::debug!(%no_transaction, "nothing to roll back");
    }
    error
}

async fn insert(connection: &mut SqliteConnection, events: &[CommitEvent]) -> Result<(), StoreError> {
    if events.is_empty() {
        return Ok(());
    }
    // Room for a power of two of rows, so that few texts are ever prepared; rows that are not there stay
    // NULL, and are passed over. The log's head needs no look: it is the primary key that refuses an event
    // where another writer has been.
    let row = format!("({})", ["?"; COLUMNS.len()].join(","));
    let rows = vec![row; events.len().next_power_of_two()].join(",");
    let columns = COLUMNS.join(",");
    let sql =
        format!("INSERT INTO event ({columns}) SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL");
    // Nothing in the text comes from outside.
    let mut query = sqlx::query(sqlx::AssertSqlSafe(sql));
    for event in events {
        query = bind(query, event);
    }
    query.execute(connection).await.map(|_| ()).map_err(StoreError::from_sqlx)
}

type Insert<'q> = Query<'q, Sqlite, SqliteArguments>;

fn bind<'q>(query: Insert<'q>, commit: &CommitEvent) -> Insert<'q> {
    let CommitEvent { tenant, offset, event, route, followers, previous, key, .. } = commit;
    // Put together as UTF-8, from texts that were.
    let data = String::from_utf8_lossy(&event.data).into_owned();
    query
        .bind(tenant.0)
        .bind(signed(offset.0))
        .bind(signed(event.ticket.0))
        .bind(event.version.0)
        .bind(event.kind.name())
        .bind(name(event.actor))
        .bind(signed(event.at.0))
        .bind(route.queue.0)
        .bind(route.queue_from.map(|queue| queue.0))
        .bind(route.agent.map(|agent| agent.0))
        .bind(route.agent_from.map(|agent| agent.0))
        .bind(previous.map(|previous| signed(previous.0)))
        .bind(data)
        .bind(key.as_ref().map(|key| name(key.caller)))
        .bind(key.as_ref().map(|key| key.key.clone()))
        .bind(key.as_ref().map(|key| key.fingerprint.cast_signed()))
        .bind(event.changed_status().map(Status::index))
        .bind(event.status_from.map(Status::index))
        .bind(event.changed_fence().map(|fence| fence.0))
        .bind(event.priority.map(Priority::name))
        .bind(event.patch.as_deref().map(|patch| String::from_utf8_lossy(patch).into_owned()))
        .bind((!followers.is_empty()).then(|| followers.to_string()))
}

fn name(actor: Actor) -> String {
    let mut name = Vec::with_capacity(16);
    actor.write_to(&mut name);
    String::from_utf8(name).unwrap_or_default()
}
