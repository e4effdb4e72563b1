//! The ledger's state in memory, as the gateway has it; gone with a crash.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use waggle_core::id::{Cursor, Epoch, Offset, TenantId, TicketId};
use waggle_core::ledger::{Admitted, Assembler, Placed, Ring, Slot};
use waggle_core::ticket::{Authority, Entry};

use crate::model::Terms;
use crate::network::ConnId;
use crate::plan::Plan;
use crate::store::{CommitEvent, Key, Row, Store};

/// Why a command has had no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Admission said no: for good.
    Refused,
    /// Overload, storage or a gateway that is away: ask again with the same key.
    Again,
}

pub(crate) type Answer = Result<Arc<Entry>, Failure>;

pub(crate) type RequestId = u64;

/// Where an answer goes.
#[derive(Debug, Clone)]
pub(crate) enum Origin {
    Author { author: usize, attempt: u32 },
    Session { conn: ConnId, id: Rc<str> },
}

/// A command on its way through the ledger.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) origin: Origin,
    pub(crate) tenant: TenantId,
    pub(crate) authority: Authority,
    pub(crate) ticket: Option<TicketId>,
    pub(crate) body: Rc<str>,
    pub(crate) key: Option<Key>,
    pub(crate) has_lease: bool,
}

/// What travels with a command to its answer.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) generation: u64,
    pub(crate) request: RequestId,
    pub(crate) key: Option<Key>,
    pub(crate) terms: Terms,
}

pub(crate) type Item = Admitted<Caller>;

/// A step that something in the ledger waits for: reads are carried out at one time, and their results
/// known at a later one.
pub(crate) enum LedgerStep {
    TakeKey(RequestId),
    ReadKey(RequestId),
    KeyKnown(RequestId, Result<Option<Arc<Entry>>, Failure>),
    ReadTicket(RequestId, Rc<Generation>),
    TicketKnown(RequestId, Rc<Generation>, Result<Option<Row>, Failure>),
    Send(Box<Item>),
    CommitLands,
    CommitAnswers,
    ReadHeads,
    HeadsKnown(Vec<(TenantId, Offset)>),
    ReadUnpublished(Vec<(TenantId, Offset)>),
    UnpublishedKnown(Vec<(TenantId, Offset)>, Vec<Arc<Entry>>),
}

/// The cells as admission has known them since the last failed commit.
pub(crate) struct Generation {
    pub(crate) number: u64,
    cells: RefCell<BTreeMap<(TenantId, TicketId), Arc<Slot>>>,
}

impl Generation {
    pub(crate) fn numbered(number: u64) -> Rc<Self> {
        Rc::new(Self { number, cells: RefCell::default() })
    }

    pub(crate) fn get(&self, tenant: TenantId, ticket: TicketId) -> Option<Arc<Slot>> {
        self.cells.borrow().get(&(tenant, ticket)).cloned()
    }

    pub(crate) fn insert(
        &self,
        tenant: TenantId,
        ticket: TicketId,
        slot: Slot,
        cells_max: usize,
    ) -> Arc<Slot> {
        let mut cells = self.cells.borrow_mut();
        if cells.len() >= cells_max {
            cells.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        Arc::clone(cells.entry((tenant, ticket)).or_insert_with(|| Arc::new(slot)))
    }
}

/// One tenant's log in memory.
pub(crate) struct TenantLog {
    epoch: Epoch,
    pub(crate) ring: Ring,
    pub(crate) ticket: u64,
}

impl TenantLog {
    pub(crate) fn cursor(&self) -> Cursor {
        Cursor { epoch: self.epoch, offset: self.ring.head() }
    }
}

/// How a commit will go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Succeeds,
    Fails,
    AnswerLost,
}

/// A transaction under way.
pub(crate) struct Commit {
    pub(crate) placed: Vec<Placed<Caller>>,
    pub(crate) batch: Vec<CommitEvent>,
    pub(crate) fate: Fate,
    pub(crate) is_landed: bool,
}

pub(crate) enum WriterState {
    Idle,
    Committing(Commit),
    Recovering { next: u64 },
}

pub(crate) struct Ledger {
    pub(crate) generation: Rc<Generation>,
    pub(crate) logs: BTreeMap<TenantId, TenantLog>,
    /// Keys whose first request is under way, and who waits for its end.
    pub(crate) keys: BTreeMap<Key, Vec<RequestId>>,
    pub(crate) requests: BTreeMap<RequestId, Request>,
    pub(crate) channel: VecDeque<Item>,
    pub(crate) assembler: Assembler<Caller>,
    pub(crate) writer: WriterState,
    pub(crate) writer_generation: u64,
    /// Tickets whose cell may have been made of a row that was no longer the newest: the cell that had
    /// been in use meanwhile was dropped between the read and its result.
    pub(crate) outdated: BTreeSet<(TenantId, TicketId)>,
}

impl Ledger {
    pub(crate) fn open(store: &Store, plan: &Plan) -> Self {
        let mut logs = BTreeMap::new();
        for (tenant, head, ticket) in store.heads() {
            let start = Offset(head.offset.0.saturating_sub(plan.warm_events));
            let mut ring = Ring::new(start, plan.ring_bytes_max, plan.ring_events_max);
            for entry in store.events_after(tenant, start, plan.warm_events as usize) {
                ring.push(entry);
            }
            logs.insert(tenant, TenantLog { epoch: head.epoch, ring, ticket: ticket.0 });
        }
        let heads: Vec<_> = logs.iter().map(|(tenant, log)| (*tenant, log.cursor().offset)).collect();
        Self {
            generation: Generation::numbered(1),
            logs,
            keys: BTreeMap::new(),
            requests: BTreeMap::new(),
            channel: VecDeque::new(),
            assembler: Assembler::new(heads),
            writer: WriterState::Idle,
            writer_generation: 1,
            outdated: BTreeSet::new(),
        }
    }

    pub(crate) fn head(&self, tenant: TenantId) -> Cursor {
        self.logs[&tenant].cursor()
    }

    /// Events after `after`, from memory or else from storage, up to what is published.
    pub(crate) fn read_after(
        &self,
        store: &Store,
        tenant: TenantId,
        after: Offset,
        limit: usize,
    ) -> Vec<Arc<Entry>> {
        let log = &self.logs[&tenant];
        if let Some(found) = log.ring.after(after, limit) {
            return found;
        }
        let mut found = store.events_after(tenant, after, limit);
        found.retain(|entry| entry.offset <= log.ring.head());
        found
    }

    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.writer, WriterState::Idle) && self.channel.is_empty() && self.requests.is_empty()
    }
}
