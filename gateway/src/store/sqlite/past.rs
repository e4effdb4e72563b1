//! Tickets as they were, folded from the log.

use sqlx::sqlite::SqlitePool;
use waggle_core::id::{Offset, TenantId};
use waggle_core::time::Timestamp;

use super::read::collect;
use super::row::{self, change_columns};
use super::signed;
use super::state::{Change, fold};
use crate::store::{PastTicket, StoreError};

/// What an event has changed, and whether it is that of a file that is still there.
struct Step {
    change: Change,
    is_file: bool,
}

/// The tickets whose newest events these are, as they were at `at`; without those that there were not yet.
pub(super) async fn tickets_at(
    pool: &SqlitePool,
    tenant: TenantId,
    newest: &[Offset],
    at: Timestamp,
) -> Result<Vec<PastTicket>, StoreError> {
    let steps = histories(pool, tenant, newest).await?;
    let mut tickets = Vec::with_capacity(newest.len());
    for history in steps.chunk_by(|one, next| one.change.ticket == next.change.ticket) {
        // Clocks may go back: what counts is the first event that is later.
        let then = || history.iter().take_while(|step| step.change.at <= at);
        if let Some(row) = fold(then().map(|step| step.change.clone()))? {
            tickets.push(PastTicket { row, has_file: then().any(|step| step.is_file) });
        }
    }
    Ok(tickets)
}

/// All that these tickets have become by, by ticket and version: from their newest events back along the chains.
async fn histories(pool: &SqlitePool, tenant: TenantId, newest: &[Offset]) -> Result<Vec<Step>, StoreError> {
    const SQL: &str = concat!(
        "WITH RECURSIVE history AS (",
        " SELECT event.* FROM json_each(?2) AS wanted CROSS JOIN event",
        " ON event.tenant = ?1 AND event.offset = wanted.value",
        " UNION ALL SELECT event.* FROM history CROSS JOIN event",
        " ON event.tenant = ?1 AND event.offset = history.previous) SELECT ",
        change_columns!(),
        // What is erased has taken its files along.
        ", kind = 'attached' AND data ->> 'erased' IS NULL FROM history ORDER BY ticket, version"
    );
    let offsets: Vec<i64> = newest.iter().map(|offset| signed(offset.0)).collect();
    let offsets = serde_json::Value::from(offsets).to_string();
    let rows = sqlx::query(SQL).bind(tenant.0).bind(offsets).fetch_all(pool).await;
    collect(rows, |columns| {
        let change = row::change(columns)?;
        Ok(Step { change, is_file: columns.small("kind")? != 0 })
    })
}
