//! The ledger: admission, group commit, publish.

mod admission;
mod careful;
mod cells;
mod fingerprint;
mod keys;
mod log;
mod pair;
mod stats;
mod suggested;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use parking_lot::{Mutex, RwLock};
use rustc_hash::FxHashMap;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use waggle_core::id::{AgentId, Cursor, Offset, QueueId, RequesterId, TenantId, TicketId, Version};
use waggle_core::limits::COMMANDS_IN_FLIGHT_MAX;
use waggle_core::right::Right;
use waggle_core::ticket::{
    Authority, DetailsError, Entry, FieldConflict, Refusal, Request, StoredEvent, UnknownStatus,
};

use crate::directory::Directory;
use crate::store::{Store, StoreError};

pub use careful::{Holder, NewerMessage};
use cells::Generation;
pub use fingerprint::fingerprint;
use keys::Keys;
use log::TenantLog;
pub use stats::{BATCH_SIZE_BOUNDS, LedgerStats};
use writer::{Item, Writer};

/// The ledger of one gateway. Clones share it.
#[derive(Clone)]
pub struct Ledger {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn Store>,
    directory: Directory,
    publisher: Arc<dyn Publisher>,
    /// Replaced whole when a commit has failed: reservations made in an older one are void.
    generation: ArcSwap<Generation>,
    tenants: RwLock<FxHashMap<TenantId, Arc<TenantLog>>>,
    keys: Keys,
    permits: Arc<Semaphore>,
    /// Told after each batch, whatever became of it.
    finished: Notify,
    items: mpsc::Sender<Item>,
    stopping: AtomicBool,
    /// The writer's thread, until somebody waits for its end.
    writer: Mutex<Option<oneshot::Receiver<()>>>,
    stop: Mutex<Option<oneshot::Sender<()>>>,
    stats: LedgerStats,
}

/// A command with everything that admission needs to know.
#[derive(Debug, Clone, Copy)]
pub struct Submission<'a> {
    /// Whose ticket.
    pub tenant: TenantId,
    /// Who asks, and with which rights at most: those that count are an agent's in the ticket's queue.
    pub authority: Authority,
    /// Which ticket; none for create.
    pub ticket: Option<TicketId>,
    /// What.
    pub request: Request<'a>,
    /// The caller's Idempotency-Key, and the [`fingerprint`] of the request that it came with.
    pub key: Option<(&'a str, u64)>,
}

/// What became of a command.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The event: durable.
    pub entry: Arc<Entry>,
    /// Whether it was there already, from an earlier request with the same key.
    pub replayed: bool,
}

/// Why a command has had no effect.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// Admission said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The ticket's lifecycle has no such edge.
    #[error("a ticket cannot go from {from} to {to}")]
    NoEdge {
        /// The status that it has.
        from: String,
        /// Where it was to go.
        to: String,
        /// Where it can go.
        allowed: Vec<String>,
    },
    /// The ticket's lifecycle has no such status.
    #[error(transparent)]
    UnknownStatus(#[from] UnknownStatus),
    /// The ticket's new queue has another lifecycle.
    #[error(
        "the queue has the lifecycle {lifecycle:?}, which says nothing of tickets in {from:?}; give the status that the ticket gets, one of {}",
        allowed.join(", ")
    )]
    StatusRequired {
        /// The status that it has.
        from: String,
        /// The queue's lifecycle.
        lifecycle: String,
        /// Its statuses.
        allowed: Vec<String>,
    },
    /// A claim of a ticket that is held.
    #[error("{}; its release, or a claim that names its fence, frees it", held_by(.0))]
    Claimed(Box<Holder>),
    /// Somebody has changed the same field since the command's author looked; the ticket is at this version now.
    #[error(
        "{} is {} now, not what you saw; you want {}: decide anew, and give expect {}",
        .0.field, .0.theirs, .0.yours, .1
    )]
    FieldConflict(Box<FieldConflict>, Version),
    /// Something was said since the reply's author looked.
    #[error(
        "a {} came with version {}, after the version {} that you saw; read it, then send with seen {}, or with force",
        .0.kind.name(), .0.version, .0.seen, .0.current
    )]
    StaleReply(Box<NewerMessage>),
    /// The ticket was closed for another one.
    #[error("ticket {0} was merged into ticket {1}, which goes on in its place")]
    Merged(TicketId, TicketId),
    /// A ticket and itself.
    #[error("a ticket cannot be tied to itself or merged into itself")]
    SameTicket,
    /// A merge into a ticket that is closed.
    #[error("ticket {0} is closed; merge into one that is open")]
    TargetClosed(TicketId),
    /// A part that would be a part of itself, or of two tickets.
    #[error("{0}")]
    BadParent(String),
    /// A split at an event that people do not read.
    #[error("the event with version {0} is no message; give the version of one of the ticket's messages")]
    NoSuchMessage(Version),
    /// Feedback or a label to what no customer said.
    #[error("the event with version {0} is no message of the customer's; give the version of one that is")]
    NotAsked(Version),
    /// A suggestion of a model that there is not yet.
    #[error(
        "there is no model of version {given} yet; the newest event is {newest}: give the version that came with the suggestion"
    )]
    FutureModel {
        /// As given.
        given: Offset,
        /// The head of the log.
        newest: Offset,
    },
    /// Tags, custom fields and the like that are not taken.
    #[error(transparent)]
    Details(#[from] DetailsError),
    /// No such ticket in this tenant.
    #[error("there is no ticket {0}")]
    NoSuchTicket(TicketId),
    /// No such queue in this tenant.
    #[error("there is no queue {0}")]
    NoSuchQueue(QueueId),
    /// No such agent in this tenant.
    #[error("there is no agent {0}")]
    NoSuchAgent(AgentId),
    /// No such requester in this tenant.
    #[error("there is no requester {0}; make one by POST /v1/requesters, or leave requester_id out")]
    NoSuchRequester(RequesterId),
    /// What one may see and may not do.
    #[error("this needs the right {right} in queue {queue}")]
    Lacking {
        /// Which right.
        right: Right,
        /// Where.
        queue: QueueId,
    },
    /// Assigned to whoever does not see it.
    #[error("agent {agent} may not see queue {queue}, where the ticket is; give it a role there first")]
    AgentCannotSee {
        /// Whom it was to be assigned to.
        agent: AgentId,
        /// The ticket's queue.
        queue: QueueId,
    },
    /// A create with a ticket, or another command without.
    #[error("a create command names no ticket; every other command names one")]
    WrongTarget,
    /// A follow-up of a ticket that is not closed.
    #[error("ticket {0} is not closed; write to it instead of creating a follow-up")]
    NotClosed(TicketId),
    /// The key came before with another request.
    #[error("this Idempotency-Key came with another request before; use a new key for a new request")]
    KeyReused,
    /// Too much is under way.
    #[error("too many commands are under way; try again in a moment")]
    Overload,
    /// Storage does not work at the moment; nothing was acknowledged.
    #[error("storage is not available: {0}")]
    Storage(Arc<StoreError>),
    /// The gateway is going down.
    #[error("the gateway is stopping")]
    Stopping,
}

fn held_by(holder: &Holder) -> String {
    match (holder.agent, &holder.name) {
        (Some(agent), Some(name)) => format!("the ticket is claimed by {name} (agent {agent})"),
        (Some(agent), None) => format!("the ticket is claimed by agent {agent}"),
        (None, _) => "the ticket is being claimed by another agent at this moment".to_owned(),
    }
}

/// Committed events of one tenant, in order, without gaps.
#[derive(Debug, Clone)]
pub struct PublishedBatch {
    /// Whose.
    pub tenant: TenantId,
    /// At least one.
    pub entries: Vec<Arc<Entry>>,
}

/// Where committed events go. Called by the one writer, in commit order; must not block.
pub trait Publisher: Send + Sync + 'static {
    /// Takes a batch.
    fn publish(&self, batch: &Arc<PublishedBatch>);
}

impl Ledger {
    /// Opens the ledger on a store: heads and recent events are read, the writer starts. All else is
    /// read when it is asked for; nothing but the store is needed to recover.
    ///
    /// # Errors
    /// As storage tells them.
    pub async fn open(
        store: Arc<dyn Store>,
        directory: Directory,
        publisher: Arc<dyn Publisher>,
    ) -> Result<Self, StoreError> {
        let mut tenants = FxHashMap::default();
        for head in store.heads().await? {
            tenants.insert(head.tenant, Arc::new(TenantLog::open(&*store, head).await?));
        }
        // The permits bound what is under way; the channel has room for all of it.
        let (items, received) = mpsc::channel(COMMANDS_IN_FLIGHT_MAX);
        let (stop, stopped) = oneshot::channel();
        let (ended, writer_ended) = oneshot::channel();
        let inner = Arc::new(Inner {
            store,
            directory,
            publisher,
            generation: ArcSwap::from_pointee(Generation::first()),
            tenants: RwLock::new(tenants),
            keys: Keys::default(),
            permits: Arc::new(Semaphore::new(COMMANDS_IN_FLIGHT_MAX)),
            finished: Notify::new(),
            items,
            stopping: AtomicBool::new(false),
            writer: Mutex::new(Some(writer_ended)),
            stop: Mutex::new(Some(stop)),
            stats: LedgerStats::default(),
        });
        Writer::spawn(Arc::clone(&inner), received, stopped, ended)?;
        Ok(Self { inner })
    }

    /// Carries a command out; returns when it is durable and published, or has failed. A caller that
    /// goes away does not take a command back that was admitted.
    ///
    /// # Errors
    /// See [`SubmitError`]; the command has had no effect then, except that after
    /// [`SubmitError::Storage`] its author should ask again with the same key.
    pub async fn submit(&self, submission: Submission<'_>) -> Result<Outcome, SubmitError> {
        self.inner.submit(submission).await
    }

    /// The log's epoch and newest offset; `None` for an unknown tenant.
    #[must_use]
    pub fn head(&self, tenant: TenantId) -> Option<Cursor> {
        self.inner.tenants.read().get(&tenant).map(|log| log.cursor())
    }

    /// Events after `after` from memory, in order, at most `limit`; `None` where memory does not reach
    /// back so far, an empty list where there are none.
    #[must_use]
    pub fn recent_after(&self, tenant: TenantId, after: Offset, limit: usize) -> Option<Vec<Arc<Entry>>> {
        let log = self.inner.tenants.read().get(&tenant).cloned()?;
        log.recent_after(after, limit)
    }

    /// Puts events into memory as they are in storage now, where those with their offsets are in memory.
    pub(crate) fn replace(&self, tenant: TenantId, events: &[StoredEvent]) {
        let log = self.inner.tenants.read().get(&tenant).cloned();
        if let Some(log) = log {
            log.replace(events.iter().map(|event| Arc::new(Entry::from_stored(event))));
        }
    }

    /// Events after `after`, in order, at most `limit`, from memory or else from storage.
    ///
    /// # Errors
    /// As storage tells them.
    pub async fn read_after(
        &self,
        tenant: TenantId,
        after: Offset,
        limit: usize,
    ) -> Result<Vec<Arc<Entry>>, StoreError> {
        if let Some(found) = self.recent_after(tenant, after, limit) {
            return Ok(found);
        }
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let mut stored = self.inner.store.events_after(tenant, after, limit).await?;
        // What is committed but not yet published will come by itself: do not overtake it.
        let head = self.head(tenant).unwrap_or_default().offset;
        stored.retain(|event| event.offset <= head);
        Ok(stored.iter().map(|event| Arc::new(Entry::from_stored(event))).collect())
    }

    /// The queue that a ticket is in, where there is one that is not deleted.
    ///
    /// # Errors
    /// As storage tells them.
    pub async fn queue_of(&self, tenant: TenantId, ticket: TicketId) -> Result<Option<QueueId>, StoreError> {
        if ticket == TicketId::TENANT {
            return Ok(None);
        }
        if let Some(slot) = self.inner.generation.load().get(tenant, ticket) {
            return Ok((!slot.cell.load().is_deleted()).then(|| slot.queue()));
        }
        let standing = self.inner.store.standing(tenant, ticket).await?;
        Ok(standing.filter(|standing| !standing.is_deleted()).map(|standing| standing.queue))
    }

    /// Learns of tenants that were made since the start.
    ///
    /// # Errors
    /// As storage tells them.
    pub async fn refresh_tenants(&self) -> Result<(), StoreError> {
        self.inner.refresh_tenants().await
    }

    /// Storage, for reading.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.inner.store
    }

    /// What it has done so far, and what is under way.
    #[must_use]
    pub fn stats(&self) -> &LedgerStats {
        &self.inner.stats
    }

    /// Whether the writer lives. Without it every command is refused.
    #[must_use]
    pub fn is_running(&self) -> bool {
        !self.inner.items.is_closed()
    }

    /// Commands admitted and not yet answered.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        COMMANDS_IN_FLIGHT_MAX.saturating_sub(self.inner.permits.available_permits())
    }

    /// Takes no more commands, finishes those that are under way, and ends the writer.
    pub async fn stop(&self) {
        self.inner.stopping.store(true, Ordering::Release);
        let stop = self.inner.stop.lock().take();
        drop(stop);
        let writer = self.inner.writer.lock().take();
        if let Some(writer) = writer {
            // An error means that the writer is gone: what was to be waited for.
            let _ = writer.await;
        }
    }
}
