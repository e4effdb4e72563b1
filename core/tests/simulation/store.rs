//! A database of one file: batches land whole or not at all, and a crash leaves what has landed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use waggle_core::id::{AgentId, Cursor, Epoch, Fence, Offset, QueueId, TenantId, TicketId, Version};
use waggle_core::ticket::{Actor, Entry, Followers, NewEvent, Route, Status, StoredEvent};

/// A ticket's row: the fold of its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) version: Version,
    pub(crate) newest: Offset,
    pub(crate) status: Status,
    pub(crate) fence: Fence,
    pub(crate) assignee: Option<AgentId>,
    pub(crate) queue: QueueId,
}

/// An author's key, where it has one.
pub(crate) type Key = (TenantId, String, String);

/// Callers do not share keys.
pub(crate) fn key_of(tenant: TenantId, caller: Actor, key: &str) -> Key {
    let mut name = Vec::new();
    caller.write_to(&mut name);
    (tenant, String::from_utf8(name).expect("names are text"), key.to_owned())
}

/// One event of a batch.
#[derive(Debug, Clone)]
pub(crate) struct CommitEvent {
    pub(crate) tenant: TenantId,
    pub(crate) offset: Offset,
    pub(crate) event: NewEvent,
    pub(crate) route: Route,
    pub(crate) followers: Followers,
    pub(crate) key: Option<Key>,
}

/// An event in the log.
#[derive(Debug)]
pub(crate) struct Logged {
    pub(crate) stored: StoredEvent,
    pub(crate) entry: Arc<Entry>,
    commit: CommitEvent,
}

pub(crate) struct TenantTable {
    pub(crate) epoch: Epoch,
    pub(crate) log: Vec<Arc<Logged>>,
    pub(crate) rows: BTreeMap<TicketId, Row>,
    ticket: TicketId,
}

/// A row was not as the batch had it: the ledger decided on something else than what is stored.
#[derive(Debug)]
pub(crate) struct Conflict;

pub(crate) struct Store {
    pub(crate) tenants: BTreeMap<TenantId, TenantTable>,
    keys: BTreeMap<Key, Offset>,
    /// Texts, which are made to be unique: finds a command that landed twice, key or not.
    texts: BTreeSet<(TenantId, String)>,
}

impl Store {
    pub(crate) fn new(tenants: u32) -> Self {
        let table = |tenant: u32| TenantTable {
            epoch: Epoch(u64::from(tenant) << 32 | 1),
            log: Vec::new(),
            rows: BTreeMap::new(),
            ticket: TicketId(0),
        };
        let tenants = (1..=tenants).map(|tenant| (TenantId(tenant), table(tenant))).collect();
        Self { tenants, keys: BTreeMap::new(), texts: BTreeSet::new() }
    }

    /// Where each log ends, and the highest ticket number in it.
    pub(crate) fn heads(&self) -> Vec<(TenantId, Cursor, TicketId)> {
        let head = |(tenant, table): (&TenantId, &TenantTable)| {
            let offset = Offset(table.log.len() as u64);
            (*tenant, Cursor { epoch: table.epoch, offset }, table.ticket)
        };
        self.tenants.iter().map(head).collect()
    }

    pub(crate) fn row(&self, tenant: TenantId, ticket: TicketId) -> Option<Row> {
        self.tenants[&tenant].rows.get(&ticket).copied()
    }

    pub(crate) fn events_after(&self, tenant: TenantId, after: Offset, limit: usize) -> Vec<Arc<Entry>> {
        let log = &self.tenants[&tenant].log;
        let found = log.iter().skip(after.0 as usize).take(limit);
        found.map(|logged| Arc::new(Entry::from_stored(&logged.stored))).collect()
    }

    pub(crate) fn event_by_key(&self, key: &Key) -> Option<Arc<Entry>> {
        let offset = self.keys.get(key)?;
        let logged = &self.tenants[&key.0].log[offset.0 as usize - 1];
        Some(Arc::new(Entry::from_stored(&logged.stored)))
    }

    /// Lands a batch whole, or refuses it whole: heads must follow, and tickets be at the version before.
    /// `check` sees each write with its row as it is right before.
    pub(crate) fn land(
        &mut self,
        batch: &[CommitEvent],
        mut check: impl FnMut(usize, Option<&Row>, &CommitEvent),
    ) -> Result<(), Conflict> {
        let mut heads: BTreeMap<TenantId, u64> = BTreeMap::new();
        let mut versions: BTreeMap<(TenantId, TicketId), Version> = BTreeMap::new();
        for commit in batch {
            let table = &self.tenants[&commit.tenant];
            let head = heads.entry(commit.tenant).or_insert(table.log.len() as u64);
            *head += 1;
            let row = table.rows.get(&commit.event.ticket);
            let version = versions
                .entry((commit.tenant, commit.event.ticket))
                .or_insert(row.map_or(Version(0), |row| row.version));
            if commit.offset.0 != *head || commit.event.version != version.next() {
                return Err(Conflict);
            }
            *version = version.next();
        }
        for (index, commit) in batch.iter().enumerate() {
            check(index, self.tenants[&commit.tenant].rows.get(&commit.event.ticket), commit);
            self.append(commit.clone());
        }
        Ok(())
    }

    fn append(&mut self, commit: CommitEvent) {
        let event = &commit.event;
        let data = String::from_utf8(event.data.clone()).expect("data is text");
        if let Some(key) = &commit.key {
            let first = self.keys.insert(key.clone(), commit.offset);
            assert!(first.is_none(), "two effects of the key {key:?}: at {first:?} and {}", commit.offset);
        }
        if event.kind.has_text() {
            let text = data[data.find("\"text\":").expect("a text")..].to_owned();
            assert!(
                self.texts.insert((commit.tenant, text)),
                "a command landed twice: {:?} {:.60}",
                commit.key,
                data
            );
        }
        let stored = StoredEvent {
            offset: commit.offset,
            ticket: event.ticket,
            version: event.version,
            kind: event.kind,
            actor: event.actor,
            at: event.at,
            route: commit.route,
            followers: commit.followers.clone(),
            data,
        };
        let table = self.tenants.get_mut(&commit.tenant).expect("a known tenant");
        table.fold(commit.offset, event);
        let entry = Arc::new(Entry::from_stored(&stored));
        table.log.push(Arc::new(Logged { stored, entry, commit }));
    }

    /// Puts an older copy in place: the first `keep` events, in a new epoch.
    pub(crate) fn restore(&mut self, tenant: TenantId, keep: usize) {
        let table = self.tenants.get_mut(&tenant).expect("a known tenant");
        table.epoch = Epoch(table.epoch.0 + 1);
        table.rows.clear();
        table.ticket = TicketId(0);
        let kept: Vec<CommitEvent> = table.log.drain(..).take(keep).map(|old| old.commit.clone()).collect();
        self.keys.retain(|key, _| key.0 != tenant);
        self.texts.retain(|text| text.0 != tenant);
        for commit in kept {
            self.append(commit);
        }
    }
}

impl TenantTable {
    fn fold(&mut self, offset: Offset, event: &NewEvent) {
        let before = self.rows.get(&event.ticket);
        let row = Row {
            version: event.version,
            newest: offset,
            status: event.status,
            fence: event.fence,
            assignee: event.holder.unwrap_or(before.and_then(|row| row.assignee)),
            queue: event.queue.or(before.map(|row| row.queue)).unwrap_or_default(),
        };
        self.rows.insert(event.ticket, row);
        self.ticket = self.ticket.max(event.ticket);
    }
}
