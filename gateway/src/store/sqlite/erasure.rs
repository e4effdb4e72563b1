//! Erasing a person: the log is redacted in place, so that whatever is made of it is, too.

use async_trait::async_trait;
use sqlx::{Connection, SqliteConnection};
use waggle_core::id::{RequesterId, TenantId, TicketId, Version};
use waggle_core::limits::{ERASED_EVENTS_PER_TURN_MAX, RING_EVENTS_MAX};
use waggle_core::ticket::{StoredEvent, redact, redact_patch};

use super::people::Change;
use super::read::{self, LoggedEvent, collect};
use super::{SqliteStore, audit, directory, row, scrub, signed};
use crate::attachment::Hash;
use crate::learn::Forgotten;
use crate::store::{
    AuditActor, AuditEntry, ErasureRow, ErasureState, ErasureStore, PeopleError, Proof, StoreError,
};

#[async_trait]
impl ErasureStore for SqliteStore {
    async fn begin_erasure(
        &self,
        by: AuditActor,
        tenant: TenantId,
        requester: RequesterId,
    ) -> Result<ErasureState, PeopleError> {
        const BEGIN: &str = "INSERT INTO erasure (tenant, requester, actor, at) VALUES (?1, ?2, ?3, ?4)";
        let mut writer = self.writer.lock().await;
        let mut change = Change::begin(&mut writer, by, tenant).await?;
        let found = change.there(requester).await?;
        if let Some(state) = found.erasure {
            return Ok(state);
        }
        let query = sqlx::query(BEGIN).bind(tenant.0).bind(signed(found.id.0));
        let query = query.bind(by.to_string()).bind(directory::now_ms());
        query.execute(&mut *change.writing).await.map_err(StoreError::from_sqlx)?;
        change.commit("requester.erasing", format!("requester:{}", found.id), |entry| entry).await?;
        Ok(ErasureState::Erasing)
    }

    async fn erasures(&self) -> Result<Vec<ErasureRow>, StoreError> {
        const SQL: &str =
            "SELECT tenant, requester, after, batch FROM erasure ORDER BY at, tenant, requester";
        collect(sqlx::query(SQL).fetch_all(&self.browsers).await, |columns| {
            Ok(ErasureRow {
                tenant: row::tenant(columns)?,
                requester: RequesterId(columns.number("requester")?),
                after: TicketId(columns.number("ticket")?),
                batch: columns.named("batch", |json| serde_json::from_str(json).ok())?,
            })
        })
    }

    async fn note_erasure(&self, row: &ErasureRow) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE erasure SET after = ?3, batch = ?4, tickets = tickets + ?5 \
                           WHERE tenant = ?1 AND requester = ?2";
        let batch = serde_json::to_string(&row.batch).unwrap_or_default();
        let query = sqlx::query(SQL).bind(row.tenant.0).bind(signed(row.requester.0));
        let query = query.bind(signed(row.after.0)).bind(batch).bind(signed(row.batch.len() as u64));
        query.execute(&mut *self.writer.lock().await).await.map(drop).map_err(StoreError::from_sqlx)
    }

    async fn sole_files(&self, tenant: TenantId, ticket: TicketId) -> Result<Vec<Hash>, StoreError> {
        const SQL: &str = "
            SELECT hash FROM attachment AS own WHERE tenant = ?1 AND ticket = ?2 AND NOT EXISTS (
                SELECT 1 FROM attachment AS other
                WHERE other.hash = own.hash AND (other.tenant, other.ticket) <> (?1, ?2))";
        let query = sqlx::query(SQL).bind(tenant.0).bind(signed(ticket.0));
        // Where it is written, so that nothing is missed that was written before.
        let rows = query.fetch_all(&mut *self.writer.lock().await).await;
        collect(rows, |columns| columns.hash().map(Hash))
    }

    async fn erase_ticket(&self, row: &ErasureRow, ticket: TicketId) -> Result<Vec<StoredEvent>, StoreError> {
        let Some(newest) = self.state().await?.newest(row.tenant, ticket) else { return Ok(Vec::new()) };
        let (mut after, mut erased) = (Version(0), Vec::new());
        loop {
            let limit = ERASED_EVENTS_PER_TURN_MAX;
            let events = read::logged_events(&self.browsers, row.tenant, newest, after, limit).await?;
            let Some(last) = events.last() else { break };
            after = last.event.version;
            let mut writer = self.writer.lock().await;
            let mut writing = writer.begin_with("BEGIN IMMEDIATE").await.map_err(StoreError::from_sqlx)?;
            let before = erased.len();
            for logged in events {
                erased.extend(erase_event(&mut writing, row.tenant, logged).await?);
            }
            count(&mut writing, row, "events", (erased.len() - before) as u64).await?;
            writing.commit().await.map_err(StoreError::from_sqlx)?;
            // No more of them can be in memory.
            erased.drain(..erased.len().saturating_sub(RING_EVENTS_MAX));
        }
        let mut writer = self.writer.lock().await;
        let mut writing = writer.begin_with("BEGIN IMMEDIATE").await.map_err(StoreError::from_sqlx)?;
        delete(&mut writing, "DELETE FROM draft WHERE tenant = ?1 AND ticket = ?2", row.tenant, ticket)
            .await?;
        let files = "DELETE FROM attachment WHERE tenant = ?1 AND ticket = ?2";
        let files = delete(&mut writing, files, row.tenant, ticket).await?;
        count(&mut writing, row, "files", files).await?;
        writing.commit().await.map_err(StoreError::from_sqlx)?;
        Ok(erased)
    }

    async fn erase_requester(&self, row: &ErasureRow) -> Result<(), StoreError> {
        let mut writer = self.writer.lock().await;
        let mut writing = writer.begin_with("BEGIN IMMEDIATE").await.map_err(StoreError::from_sqlx)?;
        for sql in [
            "UPDATE requester SET name = '', erased_at = ?3 WHERE tenant = ?1 AND (id = ?2 OR merged_into = ?2)",
            "DELETE FROM requester_identity WHERE tenant = ?1 AND requester = ?2 AND ?3 > 0",
        ] {
            let query = sqlx::query(sql).bind(row.tenant.0).bind(signed(row.requester.0));
            let query = query.bind(directory::now_ms());
            query.execute(&mut *writing).await.map_err(StoreError::from_sqlx)?;
        }
        writing.commit().await.map_err(StoreError::from_sqlx)
    }

    async fn scrub(&self, bytes_max: u64) -> Result<bool, StoreError> {
        self.state().await?.scrub().await?;
        let mut writer = self.writer.lock().await;
        let is_anew = scrub::scrub(&mut writer, bytes_max).await?;
        // Commits are fast where the log's file has its length.
        let wal = super::wal_path(&self.path);
        match tokio::task::spawn_blocking(move || super::lengthen(&wal)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "the write-ahead log is not laid out ahead; commits take longer")
            }
            Err(error) => tracing::warn!(%error, "laying out the write-ahead log was cut short"),
        }
        Ok(is_anew)
    }

    async fn finish_erasure(&self, row: &ErasureRow, proof: Proof<'_>) -> Result<(), StoreError> {
        const DONE: &str = "DELETE FROM erasure WHERE tenant = ?1 AND requester = ?2 \
                            RETURNING actor, at, tickets, events, files";
        let mut writer = self.writer.lock().await;
        let mut writing = writer.begin_with("BEGIN IMMEDIATE").await.map_err(StoreError::from_sqlx)?;
        let query = sqlx::query_as(DONE).bind(row.tenant.0).bind(signed(row.requester.0));
        let done: Option<(String, i64, i64, i64, i64)> =
            query.fetch_optional(&mut *writing).await.map_err(StoreError::from_sqlx)?;
        // Another turn has finished it.
        let Some((actor, asked_at, tickets, events, files)) = done else { return Ok(()) };
        let object = format!("requester:{}", row.requester);
        let entry = AuditEntry::new(row.tenant, AuditActor::from_name(&actor), "requester.erased", object)
            .with("tickets", tickets)
            .with("events", events)
            .with("files", files)
            .with("compacted", proof.is_anew)
            .with("asked_at", asked_at)
            .with("finished_at", directory::now_ms());
        let entry = match proof.model {
            Some(Forgotten { before, after }) => {
                entry.with("model_before", before.clone()).with("model_after", after.as_str())
            }
            None => entry,
        };
        audit::append(&mut writing, &entry).await?;
        writing.commit().await.map_err(StoreError::from_sqlx)
    }
}

/// Redacts one event; gives it where that has changed it.
async fn erase_event(
    writing: &mut SqliteConnection,
    tenant: TenantId,
    LoggedEvent { mut event, patch, has_key }: LoggedEvent,
) -> Result<Option<StoredEvent>, StoreError> {
    // What was sent with a key may be told from the key and from the request's hash.
    const SQL: &str = "UPDATE event SET data = ?3, patch = ?4, caller = NULL, key = NULL, fingerprint = NULL \
                       WHERE tenant = ?1 AND offset = ?2";
    let data = redact(&event.data);
    let fresh = patch.as_deref().and_then(redact_patch);
    if data.is_none() && fresh.is_none() && !has_key {
        return Ok(None);
    }
    event.data = data.unwrap_or(event.data);
    let query = sqlx::query(SQL).bind(tenant.0).bind(signed(event.offset.0));
    let query = query.bind(&event.data).bind(fresh.or(patch));
    query.execute(writing).await.map_err(StoreError::from_sqlx)?;
    Ok(Some(event))
}

async fn delete(
    writing: &mut SqliteConnection,
    sql: &'static str,
    tenant: TenantId,
    ticket: TicketId,
) -> Result<u64, StoreError> {
    let query = sqlx::query(sql).bind(tenant.0).bind(signed(ticket.0));
    query.execute(writing).await.map(|done| done.rows_affected()).map_err(StoreError::from_sqlx)
}

/// Adds to what has been done, in the transaction that did it.
async fn count(
    writing: &mut SqliteConnection,
    row: &ErasureRow,
    what: &'static str,
    more: u64,
) -> Result<(), StoreError> {
    let sql = match what {
        "events" => "UPDATE erasure SET events = events + ?3 WHERE tenant = ?1 AND requester = ?2",
        _ => "UPDATE erasure SET files = files + ?3 WHERE tenant = ?1 AND requester = ?2",
    };
    let query = sqlx::query(sql).bind(row.tenant.0).bind(signed(row.requester.0)).bind(signed(more));
    query.execute(writing).await.map(drop).map_err(StoreError::from_sqlx)
}
