//! Full text: texts of the log's events, made searchable by a thread of its own, a moment after they are committed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use rustc_hash::FxHashMap;
use serde::Deserialize;
use tokio::sync::watch;
use waggle_core::find::{self, WordPhrase};
use waggle_core::id::{Cursor, Epoch, Offset, TenantId, TicketId, Version};
use waggle_core::limits::{SEARCH_EVENTS_PER_TURN_MAX, SEARCH_ROWS_MAX, SEARCH_WAIT_MS_MAX};
use waggle_core::ticket::{Entry, Kind};

use super::FindHub;
use super::port::Log;
use super::thread::Worker;
use crate::priority::background_priority;
use crate::store::{SearchPart, SearchScope, SearchStore, SearchText, Store, StoreError};

/// Pause after storage could not be read or written.
const RETRY_PAUSE: Duration = Duration::from_millis(200);
/// Events without texts after which the place in the log is written all the same.
const SILENT_EVENTS_MAX: u64 = 65_536;

/// Finds texts. Clones share it.
#[derive(Clone)]
pub struct Searcher {
    texts: Arc<dyn SearchStore>,
    progress: Arc<Progress>,
    worker: Worker,
}

/// How far each tenant's log is searchable.
#[derive(Default)]
struct Progress(RwLock<FxHashMap<TenantId, watch::Sender<Offset>>>);

impl Progress {
    fn set(&self, tenant: TenantId, offset: Offset) {
        if let Some(known) = self.0.read().get(&tenant) {
            known.send_replace(offset);
            return;
        }
        self.0.write().entry(tenant).or_insert_with(|| watch::Sender::new(offset)).send_replace(offset);
    }

    fn of(&self, tenant: TenantId) -> watch::Receiver<Offset> {
        if let Some(known) = self.0.read().get(&tenant) {
            return known.subscribe();
        }
        self.0.write().entry(tenant).or_insert_with(|| watch::Sender::new(Offset(0))).subscribe()
    }
}

/// Texts with a phrase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// By ticket and event, highest ticket first.
    pub rows: Vec<(TicketId, Version)>,
    /// Whether there may be more, of lower tickets.
    pub is_partial: bool,
}

impl Searcher {
    /// Follows `log`, whose publisher must be that of `hub`. What is not searchable yet becomes so in the background.
    ///
    /// # Errors
    /// Where the thread cannot be started.
    pub fn start(
        hub: &FindHub,
        texts: Arc<dyn SearchStore>,
        store: Arc<dyn Store>,
        log: Arc<dyn Log>,
    ) -> Result<Self, StoreError> {
        let progress = Arc::<Progress>::default();
        let indexer = Indexer {
            hub: hub.clone(),
            texts: Arc::clone(&texts),
            store,
            log,
            progress: Arc::clone(&progress),
            tenants: BTreeMap::new(),
        };
        let worker = Worker::spawn("waggle-search", move || indexer.run())?;
        Ok(Self { texts, progress, worker })
    }

    /// Waits a moment for everything up to `head`; how many events are missing after it.
    pub async fn caught_up(&self, tenant: TenantId, head: Offset) -> u64 {
        let mut progress = self.progress.of(tenant);
        let reached = progress.wait_for(|offset| *offset >= head);
        // However it ends, what counts is where it is then.
        let _ = tokio::time::timeout(Duration::from_millis(SEARCH_WAIT_MS_MAX), reached).await;
        head.0.saturating_sub(progress.borrow().0)
    }

    /// Texts with a phrase.
    ///
    /// # Errors
    /// As storage tells them.
    pub async fn find(
        &self,
        tenant: TenantId,
        phrase: &WordPhrase,
        scope: SearchScope,
    ) -> Result<Found, StoreError> {
        // Before its first text a tenant has nothing to look through.
        if self.texts.search_progress(tenant).await?.is_none() {
            return Ok(Found { rows: Vec::new(), is_partial: false });
        }
        let rows = self.texts.search(tenant, phrase, scope, SEARCH_ROWS_MAX).await?;
        let is_partial = u32::try_from(rows.len()).is_ok_and(|rows| rows >= SEARCH_ROWS_MAX);
        Ok(Found { rows, is_partial })
    }

    /// Of each tenant, the event up to which its texts are searchable.
    #[must_use]
    pub fn progress(&self) -> Vec<(TenantId, Offset)> {
        let known = self.progress.0.read();
        known.iter().map(|(tenant, offset)| (*tenant, *offset.borrow())).collect()
    }

    /// Takes away what is left in the file of texts of these tenants' erased tickets.
    ///
    /// # Errors
    /// As storage tells them.
    pub async fn scrub(&self, tenants: &BTreeSet<TenantId>) -> Result<(), StoreError> {
        self.texts.search_scrub(tenants).await
    }

    /// Ends the thread, and closes the texts.
    pub async fn stop(&self) {
        self.worker.stop().await;
        self.texts.search_close().await;
    }
}

struct Indexer {
    hub: FindHub,
    texts: Arc<dyn SearchStore>,
    store: Arc<dyn Store>,
    log: Arc<dyn Log>,
    progress: Arc<Progress>,
    tenants: BTreeMap<TenantId, Place>,
}

/// Where a tenant's log is read on.
struct Place {
    epoch: Epoch,
    next: Offset,
    written: Offset,
}

impl Indexer {
    async fn run(mut self) {
        background_priority();
        let mut behind = self.all().await;
        loop {
            for tenant in std::mem::take(&mut behind) {
                if let Err(error) = self.catch_up(tenant).await {
                    tracing::warn!(%error, "texts cannot be made searchable; it is tried again");
                    tokio::time::sleep(RETRY_PAUSE).await;
                    self.tenants.remove(&tenant);
                    self.hub.tell(tenant);
                }
            }
            behind = self.hub.grown().await;
        }
    }

    /// All tenants, as soon as storage tells them.
    async fn all(&self) -> BTreeSet<TenantId> {
        loop {
            match self.store.heads().await {
                Ok(heads) => return heads.into_iter().map(|head| head.tenant).collect(),
                Err(error) => tracing::warn!(%error, "tenants cannot be read"),
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    async fn catch_up(&mut self, tenant: TenantId) -> Result<(), StoreError> {
        if !self.tenants.contains_key(&tenant) {
            let Some(place) = self.place(tenant).await? else { return Ok(()) };
            self.progress.set(tenant, place.next);
            self.tenants.insert(tenant, place);
        }
        let Some(place) = self.tenants.get_mut(&tenant) else { return Ok(()) };
        loop {
            let entries = self.log.read_after(tenant, place.next, SEARCH_EVENTS_PER_TURN_MAX).await?;
            let Some(last) = entries.last() else { return Ok(()) };
            let erased = erased(&entries);
            if !erased.is_empty() {
                self.texts.search_remove(tenant, &erased).await?;
            }
            let mut texts = texts_of(&*self.store, tenant, &entries).await?;
            // They may have been read before they were erased.
            texts.retain(|text| text.version == Version(0) || !is_erased(&erased, text));
            let up_to = Cursor { epoch: place.epoch, offset: last.offset };
            if !texts.is_empty() || last.offset.0 - place.written.0 > SILENT_EVENTS_MAX {
                self.texts.search_add(tenant, &texts, up_to).await?;
                place.written = last.offset;
            }
            place.next = last.offset;
            self.progress.set(tenant, last.offset);
        }
    }

    /// Where to read on: at the beginning where what is searchable is of another log.
    async fn place(&self, tenant: TenantId) -> Result<Option<Place>, StoreError> {
        let heads = self.store.heads().await?;
        let Some(head) = heads.into_iter().find(|head| head.tenant == tenant).map(|head| head.cursor) else {
            return Ok(None);
        };
        let known = self.texts.search_progress(tenant).await?;
        let is_its_log = |known: &Cursor| known.epoch == head.epoch && known.offset <= head.offset;
        let offset = match known.filter(is_its_log) {
            Some(known) => known.offset,
            None => {
                self.texts.search_reset(tenant, Cursor { epoch: head.epoch, offset: Offset(0) }).await?;
                Offset(0)
            }
        };
        Ok(Some(Place { epoch: head.epoch, next: offset, written: offset }))
    }
}

/// Tickets whose texts were erased, and by which event.
fn erased(entries: &[Arc<Entry>]) -> Vec<(TicketId, Version)> {
    let erased = entries.iter().filter(|entry| entry.kind() == Some(Kind::Erased));
    erased.map(|entry| (entry.ticket, entry.version)).collect()
}

fn is_erased(erased: &[(TicketId, Version)], text: &SearchText) -> bool {
    erased.iter().any(|(ticket, version)| *ticket == text.ticket && text.version < *version)
}

#[derive(Deserialize)]
struct Pushed {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    text: Option<String>,
}

/// What these events have to be found by.
async fn texts_of(
    store: &dyn Store,
    tenant: TenantId,
    entries: &[Arc<Entry>],
) -> Result<Vec<SearchText>, StoreError> {
    let mut texts = Vec::new();
    let mut about = BTreeSet::new();
    for entry in entries {
        let part = match entry.kind() {
            Some(Kind::Created) => {
                about.insert(entry.ticket);
                SearchPart::Message
            }
            Some(Kind::Message | Kind::Reply) => SearchPart::Message,
            Some(Kind::Note) => SearchPart::Note,
            Some(Kind::Moved | Kind::Claimed | Kind::Released | Kind::Assigned | Kind::Attached) => continue,
            Some(Kind::Feedback | Kind::Labelled | Kind::Taught) => continue,
            _ => {
                about.insert(entry.ticket);
                continue;
            }
        };
        // It was written as JSON of this shape.
        let pushed: Option<Pushed> = serde_json::from_slice(&entry.json()).ok();
        if let Some(text) = pushed.and_then(|pushed| pushed.data.text) {
            let words = joined(&text);
            texts.push(SearchText { ticket: entry.ticket, version: entry.version, words, part });
        }
    }
    let about: Vec<TicketId> = about.into_iter().collect();
    for row in store.ticket_rows(tenant, &about).await? {
        let words = joined(&find::about(&row.subject, &row.requester, &row.extra));
        texts.push(SearchText { ticket: row.id, version: Version(0), words, part: SearchPart::About });
    }
    Ok(texts)
}

fn joined(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in waggle_core::text::words(text) {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(&word.text);
    }
    out
}
