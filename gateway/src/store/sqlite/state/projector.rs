//! Writes what has changed of the tickets, behind the commands.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sqlx::SqliteConnection;
use tokio::sync::oneshot;
use tokio::time::timeout;
use waggle_core::id::{Offset, TenantId, TicketId};
use waggle_core::limits::{PENDING_TEXT_BYTES_MAX, PENDING_TEXT_BYTES_WANTED};

use super::super::{BUSY_MS_MAX, scrub, signed};
use super::file::read_text;
use super::text::{PendingTexts, TextChange, TicketText};
use super::{Shared, State, Tickets};
use crate::store::StoreError;

/// What is folded from the log after a crash is about as much as this.
const EVERY: Duration = Duration::from_secs(5);
/// Writing takes at most one part in so many of the time.
const PAUSES: u32 = 10;
/// Blocks in one statement: 128 KiB.
const STATEMENT_BLOCKS: usize = 32;

/// The one that writes.
pub(in crate::store::sqlite) struct Projector {
    connection: SqliteConnection,
    shared: Arc<Shared>,
}

/// What one write takes from a tenant.
struct Taken {
    tenant: TenantId,
    tickets: Arc<Tickets>,
    applied: Offset,
    blocks: Vec<usize>,
    texts: Vec<(TicketId, TextChange)>,
}

impl Projector {
    pub(super) fn new(connection: SqliteConnection, shared: Arc<Shared>) -> Self {
        Self { connection, shared }
    }

    /// Writes every now and then, until `state` is closed.
    pub(in crate::store::sqlite) async fn run(mut self, state: Arc<State>) {
        // At once what the start has folded: a gateway that is killed again and again folds it once.
        let mut pause = Duration::ZERO;
        let mut is_failing = false;
        loop {
            // Both are reasons to write: the time, and that there is a lot.
            let _ = timeout(pause, self.shared.hurry.notified()).await;
            let is_last = state.is_closed();
            let started = Instant::now();
            let scrubs = std::mem::take(&mut *self.shared.scrub.lock());
            let written = self.write(&state).await;
            if written.is_ok() && !scrubs.is_empty() {
                self.scrub(scrubs).await;
            }
            match written {
                Ok(()) => is_failing = false,
                Err(error) => {
                    // Once, not every time: the disk that is full may hold the log files, too.
                    if !is_failing {
                        tracing::warn!(%error, "the tickets cannot be written; what is missing stays in memory");
                    }
                    is_failing = true;
                    *self.shared.failure.lock() = Some(error.to_string());
                }
            }
            self.shared.written.notify_waiters();
            if is_last {
                return;
            }
            pause = EVERY.max(started.elapsed() * (PAUSES - 1));
        }
    }

    /// Answers those who wait for it; whoever goes unanswered asks again.
    async fn scrub(&mut self, asked: Vec<oneshot::Sender<Result<(), StoreError>>>) {
        for tell in asked {
            // Nobody may be waiting any more.
            let _ = tell.send(scrub::scrub(&mut self.connection, u64::MAX).await.map(drop));
        }
    }

    /// Writes all that has changed.
    pub(super) async fn write(&mut self, state: &State) -> Result<(), StoreError> {
        let taken: Vec<Taken> =
            state.all().into_iter().filter_map(|(tenant, tickets)| take(tenant, tickets)).collect();
        if taken.is_empty() {
            return Ok(());
        }
        self.shared.cache.begin_write();
        let outcome = write(&mut self.connection, &taken).await;
        let written =
            taken.iter().flat_map(|taken| taken.texts.iter().map(|(ticket, _)| (taken.tenant, *ticket)));
        self.shared.cache.end_write(written);
        // Their changes are pending no more in a moment, and storage would be asked for all of them at once.
        let began = self.shared.cache.begin();
        for (tenant, ticket, text) in outcome.iter().flatten() {
            self.shared.cache.add(*tenant, *ticket, text, began);
        }
        let outcome = outcome.map(drop);
        for Taken { tickets, blocks, .. } in &taken {
            match &outcome {
                Ok(()) => tickets.texts.lock().finish(),
                Err(_) => {
                    tickets.texts.lock().give_back();
                    tickets.states.write().mark(blocks);
                }
            }
        }
        if outcome.is_ok() {
            *self.shared.failure.lock() = None;
        }
        outcome
    }
}

fn take(tenant: TenantId, tickets: Arc<Tickets>) -> Option<Taken> {
    let mut states = tickets.states.write();
    if states.dirty.is_empty() {
        // Every event changes its ticket's state.
        return None;
    }
    let mut blocks = std::mem::take(&mut states.dirty);
    blocks.sort_unstable();
    for number in &blocks {
        if let Some(block) = states.blocks.get_mut(*number) {
            block.is_dirty = false;
        }
    }
    // Under the states' lock, as when a change is folded in: the texts are those of the events up to here.
    let pending = tickets.texts.lock().begin();
    let applied = states.applied;
    drop(states);
    let mut texts: Vec<_> = pending.iter().map(|(ticket, change)| (*ticket, change.clone())).collect();
    texts.sort_unstable_by_key(|(ticket, _)| *ticket);
    Some(Taken { tenant, tickets, applied, blocks, texts })
}

/// Writes, and returns the texts as they are then.
async fn write(
    connection: &mut SqliteConnection,
    taken: &[Taken],
) -> Result<Vec<(TenantId, TicketId, Arc<TicketText>)>, StoreError> {
    let mut written = Vec::new();
    let mut transaction = sqlx::Connection::begin(connection).await.map_err(StoreError::from_sqlx)?;
    for taken in taken {
        write_blocks(&mut transaction, taken).await?;
        for (ticket, change) in &taken.texts {
            let text = write_text(&mut transaction, taken.tenant, *ticket, change).await?;
            written.extend(text.map(|text| (taken.tenant, *ticket, Arc::new(text))));
        }
        sqlx::query("INSERT OR REPLACE INTO projected (tenant, epoch, offset) VALUES (?, ?, ?)")
            .bind(taken.tenant.0)
            .bind(taken.tickets.epoch.0.cast_signed())
            .bind(signed(taken.applied.0))
            .execute(&mut *transaction)
            .await
            .map_err(StoreError::from_sqlx)?;
    }
    transaction.commit().await.map_err(StoreError::from_sqlx)?;
    Ok(written)
}

async fn write_blocks(connection: &mut SqliteConnection, taken: &Taken) -> Result<(), StoreError> {
    for numbers in taken.blocks.chunks(STATEMENT_BLOCKS) {
        let rows = vec!["(?,?)"; numbers.len()].join(",");
        // Nothing in the statement comes from outside.
        let sql = sqlx::AssertSqlSafe(format!("INSERT OR REPLACE INTO block (id, tickets) VALUES {rows}"));
        let mut query = sqlx::query(sql);
        for number in numbers {
            let encoded = taken.tickets.states.read().blocks.get(*number).map(|block| block.encode());
            query = query.bind(Tickets::block_id(taken.tenant, *number)).bind(encoded.unwrap_or_default());
        }
        query.execute(&mut *connection).await.map_err(StoreError::from_sqlx)?;
    }
    Ok(())
}

async fn write_text(
    connection: &mut SqliteConnection,
    tenant: TenantId,
    ticket: TicketId,
    change: &TextChange,
) -> Result<Option<TicketText>, StoreError> {
    let stored = match change.created {
        Some(_) => None,
        None => read_text(connection, tenant, ticket).await?,
    };
    let Some(text) = change.clone().apply(stored) else { return Ok(None) };
    sqlx::query("INSERT OR REPLACE INTO text VALUES (?, ?, ?, ?, ?, ?, ?)")
        .bind(tenant.0)
        .bind(signed(ticket.0))
        .bind(signed(text.newest.0))
        .bind(text.subject.as_str())
        .bind(text.requester.as_str())
        .bind(text.follow_up_of.map(|closed| signed(closed.0)))
        .bind(text.extra.as_str())
        .execute(&mut *connection)
        .await
        .map_err(StoreError::from_sqlx)?;
    Ok(Some(text))
}

/// Waits while too many texts of these tickets are not written.
///
/// # Errors
/// Where they cannot be written.
pub(super) async fn room(texts: &Mutex<PendingTexts>, shared: &Shared) -> Result<(), StoreError> {
    loop {
        let written = shared.written.notified();
        let bytes = texts.lock().bytes();
        if bytes >= PENDING_TEXT_BYTES_WANTED {
            shared.hurry.notify_one();
        }
        if bytes < PENDING_TEXT_BYTES_MAX {
            return Ok(());
        }
        if timeout(Duration::from_millis(BUSY_MS_MAX), written).await.is_err()
            || shared.failure.lock().is_some()
        {
            let why = shared.failure.lock().clone().unwrap_or_else(|| "it takes too long".to_owned());
            let why = format!("too much of the tickets is not written: {why}");
            return Err(StoreError::Database(sqlx::Error::Protocol(why)));
        }
    }
}
