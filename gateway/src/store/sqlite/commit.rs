//! One batch as one transaction, in a handful of many-row statements.

use std::collections::BTreeMap;

use sqlx::SqliteConnection;
use waggle_core::id::{AgentId, QueueId, TenantId, TicketId, Version};
use waggle_core::json::{push_literal, push_number};
use waggle_core::ticket::{Actor, Kind, Lifecycle, Priority};

use crate::store::{CommitEvent, StoreError};

/// What a batch makes of one ticket, all its events in the batch taken together.
struct Change<'a> {
    first: Version,
    last: &'a CommitEvent,
    created: Option<&'a CommitEvent>,
    holder: Option<Option<AgentId>>,
    queue: Option<QueueId>,
    priority: Option<Priority>,
    subject: Option<&'a str>,
}

const INSERT_EVENTS: &str = "
    INSERT INTO event (tenant, offset, ticket, version, kind, actor, at,
                       queue, queue_from, agent, agent_from, data, caller, key, fingerprint)
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
           value ->> 7, value ->> 8, value ->> 9, value ->> 10, value ->> 11, value ->> 12, value ->> 13,
           value ->> 14
    FROM json_each(?1)";

const INSERT_TICKETS: &str = "
    INSERT INTO ticket (tenant, id, version, status, fence, assignee, queue, priority,
                        subject, requester, follow_up_of, created_at, updated_at)
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
           value ->> 7, value ->> 8, value ->> 9, value ->> 10, value ->> 11, value ->> 12
    FROM json_each(?1)";

/// For tickets whose indexed columns stay: SQLite rewrites an index entry for every column that is
/// named in SET, changed or not.
const UPDATE_STATUS: &str = "
    UPDATE ticket SET version = value ->> 3, status = value ->> 4, updated_at = value ->> 5
    FROM json_each(?1)
    WHERE tenant = value ->> 0 AND ticket.id = value ->> 1 AND version = value ->> 2";

const UPDATE_ALL: &str = "
    UPDATE ticket SET
        version = value ->> 3, status = value ->> 4, updated_at = value ->> 5, fence = value ->> 6,
        assignee = CASE WHEN value ->> 7 THEN value ->> 8 ELSE assignee END,
        queue = coalesce(value ->> 9, queue),
        priority = coalesce(value ->> 10, priority),
        subject = coalesce(value ->> 11, subject)
    FROM json_each(?1)
    WHERE tenant = value ->> 0 AND ticket.id = value ->> 1 AND version = value ->> 2";

/// Heads move only from where the batch's first event follows: a second writer would find no row.
const RAISE_HEADS: &str = "
    UPDATE tenant SET offset = value ->> 2, ticket = max(ticket, value ->> 3)
    FROM json_each(?1)
    WHERE tenant.id = value ->> 0 AND offset = value ->> 1";

/// Writes `batch`; see [`crate::store::Store::commit`].
pub(super) async fn commit(
    connection: &mut SqliteConnection,
    batch: &[CommitEvent],
) -> Result<(), StoreError> {
    if batch.is_empty() {
        return Ok(());
    }
    let written = match write(connection, batch).await {
        Ok(()) => {
            sqlx::query("COMMIT").execute(&mut *connection).await.map(|_| ()).map_err(StoreError::from_sqlx)
        }
        Err(error) => Err(error),
    };
    if written.is_err() {
        // SQLite may have rolled back by itself (a full disk); then this says so, and no more.
        let rolled_back = sqlx::query("ROLLBACK").execute(&mut *connection).await;
        tracing::debug!(?rolled_back, "rolled a batch back");
    }
    written
}

async fn write(connection: &mut SqliteConnection, batch: &[CommitEvent]) -> Result<(), StoreError> {
    let changes = changes(batch);
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await.map_err(StoreError::from_sqlx)?;
    run(connection, RAISE_HEADS, heads(batch)).await?;
    run(connection, INSERT_TICKETS, new_tickets(&changes)).await?;
    run(connection, UPDATE_STATUS, moved_tickets(&changes)).await?;
    run(connection, UPDATE_ALL, changed_tickets(&changes)).await?;
    run(connection, INSERT_EVENTS, events(batch)).await
}

async fn run(connection: &mut SqliteConnection, sql: &'static str, rows: Rows) -> Result<(), StoreError> {
    if rows.count == 0 {
        return Ok(());
    }
    let expected = rows.count;
    let done = sqlx::query(sql)
        .bind(rows.finish())
        .execute(&mut *connection)
        .await
        .map_err(StoreError::from_sqlx)?;
    match done.rows_affected() {
        found if found == expected => Ok(()),
        found => Err(StoreError::VersionConflict { expected, found }),
    }
}

fn changes(batch: &[CommitEvent]) -> BTreeMap<(TenantId, TicketId), Change<'_>> {
    let mut changes: BTreeMap<(TenantId, TicketId), Change<'_>> = BTreeMap::new();
    for event in batch {
        let change = changes.entry((event.tenant, event.event.ticket)).or_insert_with(|| Change {
            first: event.event.version,
            last: event,
            created: (event.event.kind == Kind::Created).then_some(event),
            holder: None,
            queue: None,
            priority: None,
            subject: None,
        });
        change.last = event;
        change.holder = event.event.holder.or(change.holder);
        change.queue = event.event.queue.or(change.queue);
        change.priority = event.event.priority.or(change.priority);
        change.subject = event.subject.as_deref().or(change.subject);
    }
    changes
}

impl Change<'_> {
    fn keeps_indexed_columns(&self) -> bool {
        self.holder.is_none() && self.queue.is_none() && self.priority.is_none() && self.subject.is_none()
    }
}

type Changes<'a> = BTreeMap<(TenantId, TicketId), Change<'a>>;

fn new_tickets(changes: &Changes<'_>) -> Rows {
    let mut rows = Rows::default();
    for ((tenant, ticket), change) in changes {
        let Some(created) = change.created else { continue };
        rows.start();
        rows.number(u64::from(tenant.0));
        rows.number(ticket.0);
        rows.number(u64::from(change.last.event.version.0));
        rows.text(Lifecycle::default_table().name(change.last.event.status));
        rows.number(u64::from(change.last.event.fence.0));
        rows.optional(change.holder.flatten().map(|agent| u64::from(agent.0)));
        rows.number(u64::from(change.queue.unwrap_or_default().0));
        rows.text(change.priority.unwrap_or_default().name());
        rows.text(change.subject.unwrap_or_default());
        rows.text(created.requester.as_deref().unwrap_or_default());
        rows.optional(created.follow_up_of.map(|closed| closed.0));
        rows.number(created.event.at.0);
        rows.number(change.last.event.at.0);
        rows.end();
    }
    rows
}

fn moved_tickets(changes: &Changes<'_>) -> Rows {
    let mut rows = Rows::default();
    let moved = |change: &Change<'_>| change.created.is_none() && change.keeps_indexed_columns();
    for (key, change) in changes.iter().filter(|(_, change)| moved(change)) {
        rows.start();
        rows.change(*key, change);
        rows.end();
    }
    rows
}

fn changed_tickets(changes: &Changes<'_>) -> Rows {
    let mut rows = Rows::default();
    let changed = |change: &Change<'_>| change.created.is_none() && !change.keeps_indexed_columns();
    for (key, change) in changes.iter().filter(|(_, change)| changed(change)) {
        rows.start();
        rows.change(*key, change);
        rows.number(u64::from(change.last.event.fence.0));
        rows.number(u64::from(change.holder.is_some()));
        rows.optional(change.holder.flatten().map(|agent| u64::from(agent.0)));
        rows.optional(change.queue.map(|queue| u64::from(queue.0)));
        rows.optional_text(change.priority.map(Priority::name));
        rows.optional_text(change.subject);
        rows.end();
    }
    rows
}

fn heads(batch: &[CommitEvent]) -> Rows {
    let mut heads: BTreeMap<TenantId, (u64, u64, u64)> = BTreeMap::new();
    for event in batch {
        let before = event.offset.0.saturating_sub(1);
        let head = heads.entry(event.tenant).or_insert((before, 0, 0));
        head.1 = event.offset.0;
        head.2 = head.2.max(event.event.ticket.0);
    }
    let mut rows = Rows::default();
    for (tenant, (before, after, ticket)) in heads {
        rows.start();
        rows.number(u64::from(tenant.0));
        rows.number(before);
        rows.number(after);
        rows.number(ticket);
        rows.end();
    }
    rows
}

fn events(batch: &[CommitEvent]) -> Rows {
    let mut rows = Rows::default();
    for CommitEvent { tenant, offset, event, route, key, .. } in batch {
        rows.start();
        rows.number(u64::from(tenant.0));
        rows.number(offset.0);
        rows.number(event.ticket.0);
        rows.number(u64::from(event.version.0));
        rows.text(event.kind.name());
        rows.actor(event.actor);
        rows.number(event.at.0);
        rows.number(u64::from(route.queue.0));
        rows.optional(route.queue_from.map(|queue| u64::from(queue.0)));
        rows.optional(route.agent.map(|agent| u64::from(agent.0)));
        rows.optional(route.agent_from.map(|agent| u64::from(agent.0)));
        rows.document(&event.data);
        match key {
            Some(key) => {
                rows.actor(key.caller);
                rows.text(&key.key);
                rows.signed(key.fingerprint.cast_signed());
            }
            None => (0..3).for_each(|_| rows.optional(None)),
        }
        rows.end();
    }
    rows
}

/// Rows as one JSON array of arrays: a single bound value, whatever their number.
#[derive(Default)]
struct Rows {
    out: Vec<u8>,
    count: u64,
}

impl Rows {
    fn start(&mut self) {
        self.out.push(if self.count == 0 { b'[' } else { b',' });
        self.out.push(b'[');
        self.count += 1;
    }

    fn end(&mut self) {
        // The comma after the last value becomes the bracket.
        if let Some(last) = self.out.last_mut() {
            *last = b']';
        }
    }

    fn number(&mut self, number: u64) {
        push_number(&mut self.out, number);
        self.out.push(b',');
    }

    fn signed(&mut self, number: i64) {
        if number < 0 {
            self.out.push(b'-');
        }
        self.number(number.unsigned_abs());
    }

    fn optional(&mut self, number: Option<u64>) {
        match number {
            Some(number) => self.number(number),
            None => self.out.extend_from_slice(b"null,"),
        }
    }

    fn text(&mut self, text: &str) {
        push_literal(&mut self.out, text);
        self.out.push(b',');
    }

    fn optional_text(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.text(text),
            None => self.out.extend_from_slice(b"null,"),
        }
    }

    fn actor(&mut self, actor: Actor) {
        self.out.push(b'"');
        actor.write_to(&mut self.out);
        self.out.extend_from_slice(b"\",");
    }

    /// A JSON document as a text value, so that it comes back byte for byte.
    fn document(&mut self, document: &[u8]) {
        self.text(std::str::from_utf8(document).unwrap_or("{}"));
    }

    fn change(&mut self, (tenant, ticket): (TenantId, TicketId), change: &Change<'_>) {
        self.number(u64::from(tenant.0));
        self.number(ticket.0);
        self.number(u64::from(change.first.0.saturating_sub(1)));
        self.number(u64::from(change.last.event.version.0));
        self.text(Lifecycle::default_table().name(change.last.event.status));
        self.number(change.last.event.at.0);
    }

    /// The array as text. The buffer holds what `push_literal` and `push_number` wrote: UTF-8.
    fn finish(mut self) -> String {
        self.out.push(b']');
        String::from_utf8(self.out).unwrap_or_default()
    }
}
