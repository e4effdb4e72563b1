//! The tickets that the log folds to.
//!
//! What changes all the time is in memory for every ticket ([`block`]): 48 bytes each, read without a query. The
//! texts are in a database beside the log's ([`text`], `file`). That database is written behind, by a task of
//! its own ([`projector`]): a command waits for its event's place in the log and for nothing else, and a
//! ticket that changes a hundred times between two writes is written once. Whatever is missing there at the
//! start (all of it, where the file is lost) is folded from the log again.

mod block;
mod cache;
mod change;
mod file;
mod find;
mod projector;
mod text;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};
use rustc_hash::FxHashMap;
use sqlx::sqlite::SqlitePool;
use tokio::sync::{Notify, oneshot};
use waggle_core::id::{Epoch, Offset, TenantId, TicketId, Version};
use waggle_core::limits::TICKETS_MAX;

use self::block::{Block, TicketState, place_of};
use self::cache::TextCache;
pub(super) use self::change::Change;
use self::file::StateFile;
pub(super) use self::projector::Projector;
use self::text::{PendingTexts, TicketText};
use super::read;
use crate::store::{CommitEvent, Standing, StoreError, TenantHead, TicketFilter, TicketRow};

/// Events that are read at once to be folded.
const FOLD_EVENTS: u32 = 4_096;
/// Blocks that a list looks at before it lets the writer in.
const LIST_BLOCKS: usize = 64;

/// The tickets of all tenants.
pub(super) struct State {
    tenants: RwLock<FxHashMap<TenantId, Arc<Tickets>>>,
    file: StateFile,
    shared: Arc<Shared>,
}

/// What the projector has, too.
struct Shared {
    /// There is a lot to write.
    hurry: Notify,
    /// It has been tried: there is room again, or there is a failure.
    written: Notify,
    cache: TextCache,
    /// Whoever waits for the file to have nothing left of what was deleted.
    scrub: Mutex<Vec<oneshot::Sender<Result<(), StoreError>>>>,
    /// Why the newest attempt failed.
    failure: Mutex<Option<String>>,
    is_closed: AtomicBool,
}

impl Shared {
    fn new() -> Self {
        Self {
            hurry: Notify::new(),
            written: Notify::new(),
            cache: TextCache::new(),
            scrub: Mutex::default(),
            failure: Mutex::default(),
            is_closed: AtomicBool::new(false),
        }
    }
}

/// One tenant's.
struct Tickets {
    epoch: Epoch,
    states: RwLock<States>,
    texts: Mutex<PendingTexts>,
}

#[derive(Default)]
struct States {
    /// The event up to which everything is folded in.
    applied: Offset,
    /// The highest ticket number that there is.
    highest: TicketId,
    blocks: Vec<Box<Block>>,
    /// Numbers of the blocks that storage has otherwise.
    dirty: Vec<usize>,
}

impl State {
    /// Reads the tickets that are stored at `path` and folds the rest from the log, which `log` reads.
    ///
    /// # Errors
    /// Where the file cannot be made or read, or the log cannot.
    pub(super) async fn open(path: &Path, log: &SqlitePool) -> Result<(Self, Projector), StoreError> {
        let heads = read::log_heads(log).await?;
        let (file, stored, writer) = StateFile::open(path, &heads).await?;
        let shared = Arc::new(Shared::new());
        let tenants = stored.into_iter().map(|(tenant, tickets)| (tenant, Arc::new(tickets))).collect();
        let state = Self { tenants: RwLock::new(tenants), file, shared: Arc::clone(&shared) };
        for head in heads {
            state.catch_up(log, head.tenant, head.cursor.epoch).await?;
        }
        Ok((state, Projector::new(writer, shared)))
    }

    /// The logs' heads, with everything up to them folded in.
    pub(super) async fn heads(&self, log: &SqlitePool) -> Result<Vec<TenantHead>, StoreError> {
        let mut heads = read::log_heads(log).await?;
        for head in &mut heads {
            head.ticket = self.catch_up(log, head.tenant, head.cursor.epoch).await?;
        }
        Ok(heads)
    }

    /// Folds what the log has beyond what is folded; returns the highest ticket number.
    async fn catch_up(
        &self,
        log: &SqlitePool,
        tenant: TenantId,
        epoch: Epoch,
    ) -> Result<TicketId, StoreError> {
        let tickets =
            Arc::clone(self.tenants.write().entry(tenant).or_insert_with(|| Arc::new(Tickets::new(epoch))));
        loop {
            let (applied, highest) = {
                let states = tickets.states.read();
                (states.applied, states.highest)
            };
            let changes = read::changes_after(log, tenant, applied, FOLD_EVENTS).await?;
            if changes.is_empty() {
                return Ok(highest);
            }
            tickets.apply(changes)?;
        }
    }

    /// Whether `batch` is what comes next, in every log and for every ticket. Waits while too much of
    /// earlier ones is not written.
    ///
    /// # Errors
    /// [`StoreError::VersionConflict`] where it is not; otherwise where the tickets cannot be written.
    pub(super) async fn check(&self, log: &SqlitePool, batch: &[CommitEvent]) -> Result<(), StoreError> {
        let mut next: FxHashMap<TenantId, Offset> = FxHashMap::default();
        let mut versions: FxHashMap<(TenantId, TicketId), Version> = FxHashMap::default();
        for events in batch.chunk_by(|one, other| one.tenant == other.tenant) {
            let Some(CommitEvent { tenant, .. }) = events.first() else { continue };
            let tickets = match self.tickets(*tenant) {
                Some(tickets) => tickets,
                None => {
                    // One that was made a moment ago.
                    self.heads(log).await?;
                    self.tickets(*tenant).ok_or_else(|| conflict("there is no such log"))?
                }
            };
            if !next.contains_key(tenant) {
                projector::room(&tickets.texts, &self.shared).await?;
            }
            let states = tickets.states.read();
            let head = next.entry(*tenant).or_insert(states.applied);
            for CommitEvent { offset, event, .. } in events {
                if *offset != head.next() {
                    return Err(conflict("the head of the log is elsewhere"));
                }
                *head = *offset;
                let version = versions
                    .entry((*tenant, event.ticket))
                    .or_insert_with(|| states.get(event.ticket).version);
                if event.version != version.next() {
                    return Err(conflict("a ticket is at another version"));
                }
                *version = event.version;
            }
        }
        Ok(())
    }

    /// Takes in what has been committed.
    ///
    /// # Errors
    /// Where it does not follow what was there: the log is damaged then.
    pub(super) fn committed(&self, batch: &[CommitEvent]) -> Result<(), StoreError> {
        for events in batch.chunk_by(|one, next| one.tenant == next.tenant) {
            let Some(tickets) = events.first().and_then(|event| self.tickets(event.tenant)) else { continue };
            tickets.apply(events.iter().map(Change::of))?;
        }
        Ok(())
    }

    /// One ticket; none for the tenant itself.
    pub(super) async fn ticket(
        &self,
        tenant: TenantId,
        ticket: TicketId,
    ) -> Result<Option<TicketRow>, StoreError> {
        let Some(tickets) = self.tickets(tenant).filter(|_| ticket != TicketId::TENANT) else {
            return Ok(None);
        };
        let state = tickets.states.read().get(ticket);
        let rows = self.rows(tenant, &tickets, vec![(ticket, state)]).await?;
        Ok(rows.into_iter().next())
    }

    /// What a command on a ticket is decided by. Its texts are read only where they may count.
    pub(super) async fn standing(
        &self,
        tenant: TenantId,
        ticket: TicketId,
    ) -> Result<Option<Standing>, StoreError> {
        let Some(tickets) = self.tickets(tenant) else { return Ok(None) };
        let state = tickets.states.read().get(ticket);
        if !state.exists() {
            return Ok(None);
        }
        if !state.concerns {
            return Ok(Some(standing(&state, "{}".to_owned())));
        }
        let rows = self.rows(tenant, &tickets, vec![(ticket, state)]).await?;
        Ok(rows.into_iter().next().map(|row| standing(&state, row.extra)))
    }

    /// Offset of a ticket's newest event.
    pub(super) fn newest(&self, tenant: TenantId, ticket: TicketId) -> Option<Offset> {
        let state = self.tickets(tenant)?.states.read().get(ticket);
        state.exists().then_some(state.newest)
    }

    /// Tickets with ids below `before`, newest first, at most `limit`.
    pub(super) async fn list(
        &self,
        tenant: TenantId,
        filter: &TicketFilter,
        before: Option<TicketId>,
        limit: u32,
    ) -> Result<Vec<TicketRow>, StoreError> {
        let Some(tickets) = self.tickets(tenant) else { return Ok(Vec::new()) };
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let found = tickets.list(filter, before.unwrap_or(TicketId(u64::MAX)), limit);
        self.rows(tenant, &tickets, found).await
    }

    async fn rows(
        &self,
        tenant: TenantId,
        tickets: &Tickets,
        found: Vec<(TicketId, TicketState)>,
    ) -> Result<Vec<TicketRow>, StoreError> {
        let found: Vec<_> = found.into_iter().filter(|(_, state)| state.exists()).collect();
        let changes: Vec<_> = {
            let texts = tickets.texts.lock();
            found.iter().map(|(ticket, _)| texts.of(*ticket)).collect()
        };
        // One that is new in memory has nothing in storage.
        let old = found.iter().zip(&changes).filter(|(_, change)| change.created.is_none());
        let mut stored = self.texts(tenant, old.map(|((ticket, _), _)| *ticket).collect()).await?;
        let rows = found.into_iter().zip(changes);
        rows.map(|((ticket, state), change)| {
            let text = change.apply(stored.remove(&ticket).map(Arc::unwrap_or_clone));
            text.map(|text| row(ticket, &state, text))
                .ok_or(StoreError::Unknown { what: "texts of ticket", value: ticket.to_string() })
        })
        .collect()
    }

    /// Texts as storage has them.
    async fn texts(
        &self,
        tenant: TenantId,
        tickets: Vec<TicketId>,
    ) -> Result<FxHashMap<TicketId, Arc<TicketText>>, StoreError> {
        let cache = &self.shared.cache;
        let began = cache.begin();
        let mut texts = FxHashMap::default();
        let mut missing = Vec::new();
        for ticket in tickets {
            match cache.get(tenant, ticket) {
                Some(text) => drop(texts.insert(ticket, text)),
                None => missing.push(ticket),
            }
        }
        for (ticket, text) in self.file.texts(tenant, &missing).await? {
            let text = Arc::new(text);
            cache.add(tenant, ticket, &text, began);
            texts.insert(ticket, text);
        }
        Ok(texts)
    }

    fn is_closed(&self) -> bool {
        self.shared.is_closed.load(Ordering::Acquire)
    }

    /// Writes everything, and overwrites what the file has left of what was before.
    pub(super) async fn scrub(&self) -> Result<(), StoreError> {
        let (tell, told) = oneshot::channel();
        self.shared.scrub.lock().push(tell);
        self.shared.hurry.notify_one();
        // The projector has ended: the store is being closed.
        told.await.map_err(|_| StoreError::Database(sqlx::Error::PoolClosed))?
    }

    /// Makes the projector write everything, and end.
    pub(super) fn stop(&self) {
        self.shared.is_closed.store(true, Ordering::Release);
        self.shared.hurry.notify_one();
    }

    /// Ends reading.
    pub(super) async fn close(&self) {
        self.file.close().await;
    }

    fn tickets(&self, tenant: TenantId) -> Option<Arc<Tickets>> {
        self.tenants.read().get(&tenant).cloned()
    }

    fn all(&self) -> Vec<(TenantId, Arc<Tickets>)> {
        let mut all: Vec<_> =
            self.tenants.read().iter().map(|(tenant, tickets)| (*tenant, Arc::clone(tickets))).collect();
        all.sort_by_key(|(tenant, _)| *tenant);
        all
    }
}

impl Tickets {
    fn new(epoch: Epoch) -> Self {
        Self { epoch, states: RwLock::default(), texts: Mutex::default() }
    }

    /// Folds changes in, in order. What has been folded in already is passed over.
    fn apply(&self, changes: impl IntoIterator<Item = Change>) -> Result<(), StoreError> {
        let mut states = self.states.write();
        for mut change in changes {
            if change.offset <= states.applied {
                continue;
            }
            if change.offset != states.applied.next() {
                return Err(conflict("an event is missing in the log"));
            }
            let text = std::mem::take(&mut change.text);
            states.apply(&change)?;
            states.applied = change.offset;
            if let Some(text) = text {
                self.texts.lock().add(change.ticket, text);
            }
        }
        Ok(())
    }

    fn list(&self, filter: &TicketFilter, before: TicketId, limit: usize) -> Vec<(TicketId, TicketState)> {
        let mut found = Vec::new();
        let mut upper = before;
        while found.len() < limit && upper.0 > 1 {
            let states = self.states.read();
            upper = upper.min(TicketId(states.highest.0.saturating_add(1)));
            let lower = TicketId(
                upper.0.saturating_sub(u64::try_from(LIST_BLOCKS * block::TICKETS).unwrap_or(1)).max(1),
            );
            for ticket in (lower.0..upper.0).rev().map(TicketId) {
                let state = states.get(ticket);
                if state.fits(filter) {
                    found.push((ticket, state));
                    if found.len() == limit {
                        break;
                    }
                }
            }
            upper = lower;
        }
        found
    }
}

impl States {
    fn get(&self, ticket: TicketId) -> TicketState {
        let found = place_of(ticket).and_then(|(block, place)| self.blocks.get(block)?.get(place));
        found.copied().unwrap_or_default()
    }

    /// These blocks are to be written after all.
    fn mark(&mut self, numbers: &[usize]) {
        for number in numbers {
            if let Some(block) = self.blocks.get_mut(*number) {
                block.mark(*number, &mut self.dirty);
            }
        }
    }

    fn apply(&mut self, change: &Change) -> Result<(), StoreError> {
        let (number, place) = place_of(change.ticket)
            .filter(|_| change.ticket.0 <= TICKETS_MAX)
            .ok_or_else(|| too_high(change.ticket))?;
        if number >= self.blocks.len() {
            self.blocks.resize_with(number + 1, Box::default);
        }
        let Some(block) = self.blocks.get_mut(number) else { return Err(too_high(change.ticket)) };
        let Some(state) = block.get_mut(place) else { return Err(too_high(change.ticket)) };
        if change.version <= state.version {
            // A block may be written with more in it than was folded when its writing began.
            return Ok(());
        }
        change.apply(state)?;
        self.highest = self.highest.max(change.ticket);
        block.mark(number, &mut self.dirty);
        Ok(())
    }
}

/// The ticket after these changes, which are all of it from its first on; `None` where there is none.
///
/// # Errors
/// Where one is missing.
pub(super) fn fold(changes: impl Iterator<Item = Change>) -> Result<Option<TicketRow>, StoreError> {
    let (mut id, mut state, mut text) = (TicketId(0), TicketState::default(), None);
    for mut change in changes {
        id = change.ticket;
        change.apply(&mut state)?;
        if let Some(change) = change.text.take() {
            text = change.apply(text);
        }
    }
    Ok(text.map(|text| row(id, &state, text)))
}

fn row(id: TicketId, state: &TicketState, text: TicketText) -> TicketRow {
    TicketRow {
        id,
        queue: state.queue,
        subject: text.subject,
        requester: text.requester,
        priority: state.priority(),
        status: state.status(),
        version: state.version,
        newest: state.newest,
        assignee: state.assignee(),
        fence: state.fence,
        follow_up_of: text.follow_up_of,
        created_at: state.created_at,
        updated_at: state.updated_at,
        extra: text.extra,
    }
}

fn standing(state: &TicketState, extra: String) -> Standing {
    Standing {
        version: state.version,
        newest: state.newest,
        queue: state.queue,
        status: state.status(),
        assignee: state.assignee(),
        fence: state.fence,
        extra,
    }
}

fn conflict(why: &'static str) -> StoreError {
    StoreError::VersionConflict(sqlx::Error::Protocol(format!("conflict: {why}")))
}

fn too_high(ticket: TicketId) -> StoreError {
    StoreError::Unknown { what: "ticket number", value: ticket.to_string() }
}
