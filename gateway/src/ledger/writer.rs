//! The one writer: takes what has queued, commits it, publishes it, answers.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, mpsc, oneshot};
use waggle_core::id::{Offset, TenantId, TicketId};
use waggle_core::ledger::{Admitted, Assembler, Placed};
use waggle_core::limits::{BATCH_BYTES_MAX, BATCH_COMMANDS_MAX, REPLAY_EVENTS_MAX};
use waggle_core::ticket::Entry;

use super::keys::KeyLease;
use super::{Inner, PublishedBatch, SubmitError};
use crate::store::{CommitEvent, KeyRecord, StoreError};

/// Pause between attempts to read the heads after a failed commit.
const RECOVERY_PAUSE: Duration = Duration::from_millis(200);

pub(super) type Answer = Result<Arc<Entry>, SubmitError>;

/// What travels with a command to its answer.
pub(super) struct Caller {
    pub(super) generation: u64,
    pub(super) subject: Option<String>,
    pub(super) requester: Option<String>,
    pub(super) follow_up_of: Option<TicketId>,
    pub(super) key: Option<KeyRecord>,
    pub(super) answer: oneshot::Sender<Answer>,
    /// Of a command on two tickets: the next one looks when this one is written.
    pub(super) pair: Option<OwnedMutexGuard<()>>,
    pub(super) _lease: Option<KeyLease>,
    pub(super) _permit: OwnedSemaphorePermit,
}

pub(super) type Item = Admitted<Caller>;

/// A batch that is committed, and neither published nor answered.
type Done = Vec<Placed<Caller>>;

pub(super) struct Writer {
    inner: Arc<Inner>,
    items: mpsc::Receiver<Item>,
    assembler: Assembler<Caller>,
    generation: u64,
    /// Why the newest failed commit failed.
    failure: Option<Arc<StoreError>>,
}

impl Writer {
    /// Starts the writer on a thread of its own. It ends when `stop` is dropped and nothing is left,
    /// and says so by `ended`.
    pub(super) fn spawn(
        inner: Arc<Inner>,
        items: mpsc::Receiver<Item>,
        stop: oneshot::Receiver<()>,
        ended: oneshot::Sender<()>,
    ) -> Result<(), StoreError> {
        let failed = |error: std::io::Error| StoreError::Database(sqlx::Error::Io(error));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let heads =
            inner.tenants.read().values().map(|log| (log.tenant, log.cursor().offset)).collect::<Vec<_>>();
        let generation = inner.generation.load().number;
        let writer = Self { inner, items, assembler: Assembler::new(heads), generation, failure: None };
        let run = move || {
            runtime.block_on(writer.run(stop));
            // Nobody may be waiting for it.
            let _ = ended.send(());
        };
        std::thread::Builder::new().name("waggle-ledger".into()).spawn(run).map_err(failed)?;
        Ok(())
    }

    async fn run(mut self, mut stop: oneshot::Receiver<()>) {
        loop {
            tokio::select! {
                biased;
                item = self.items.recv() => match item {
                    Some(item) => self.take(item),
                    None => return,
                },
                // No more comes in after this; what is in the channel still does.
                _ = &mut stop, if !self.items.is_closed() => self.items.close(),
            }
            self.take_queued();
            let mut done = None;
            while !self.assembler.is_empty() {
                done = self.commit(done).await;
                // Not one by one while storage works: every command would wake this thread.
                self.take_queued();
            }
            self.finish(done);
        }
    }

    fn take_queued(&mut self) {
        while self.has_room() {
            let Ok(item) = self.items.try_recv() else { break };
            self.take(item);
        }
    }

    fn has_room(&self) -> bool {
        self.assembler.len() < BATCH_COMMANDS_MAX && self.assembler.bytes() < BATCH_BYTES_MAX
    }

    fn take(&mut self, item: Item) {
        if item.caller.generation != self.generation {
            // Reserved on cells that a failed commit has made void.
            answer(item.caller, Err(self.void()));
            return;
        }
        if !self.assembler.knows(item.tenant)
            && let Some(log) = self.inner.tenants.read().get(&item.tenant)
        {
            self.assembler.add_tenant(item.tenant, log.cursor().offset);
        }
        self.assembler.offer(item);
    }

    /// Why a command that was reserved before a failed commit is refused.
    fn void(&self) -> SubmitError {
        self.failure.as_ref().map_or(SubmitError::Overload, |error| SubmitError::Storage(Arc::clone(error)))
    }

    fn refuse_queued(&mut self) {
        while let Ok(item) = self.items.try_recv() {
            answer(item.caller, Err(self.void()));
        }
    }

    /// Commits what is assembled. While storage works, the batch before it, `done`, is published and
    /// answered. Returns the batch where it is committed: the next to be published.
    async fn commit(&mut self, done: Option<Done>) -> Option<Done> {
        let mut placed = self.assembler.take();
        let batch: Vec<CommitEvent> = placed.iter_mut().map(commit_event).collect();
        let store = Arc::clone(&self.inner.store);
        let started = Instant::now();
        let committed = {
            let mut commit = std::pin::pin!(store.commit(&batch));
            // Storage's thread begins with this; what is done here meanwhile costs nobody time.
            let first = poll_fn(|context| Poll::Ready(commit.as_mut().poll(context))).await;
            self.finish(done);
            match first {
                Poll::Ready(committed) => committed,
                Poll::Pending => commit.await,
            }
        };
        match committed {
            Ok(()) => {
                let commit_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
                self.inner.stats.committed(batch.len(), commit_us);
                Some(placed)
            }
            Err(error) => {
                self.recover(error, placed).await;
                None
            }
        }
    }

    /// Publishes a committed batch, then answers its callers.
    fn finish(&self, done: Option<Done>) {
        let Some(placed) = done else { return };
        self.publish(&placed);
        for Placed { admitted, entry, .. } in placed {
            answer(admitted.caller, Ok(entry));
        }
        self.inner.finished.notify_waiters();
    }

    fn publish(&self, placed: &[Placed<Caller>]) {
        let mut by_tenant: BTreeMap<TenantId, Vec<Arc<Entry>>> = BTreeMap::new();
        for Placed { admitted, entry, .. } in placed {
            by_tenant.entry(admitted.tenant).or_default().push(Arc::clone(entry));
        }
        for (tenant, entries) in by_tenant {
            self.publish_entries(tenant, entries);
        }
    }

    fn publish_entries(&self, tenant: TenantId, entries: Vec<Arc<Entry>>) {
        let log = self.inner.tenants.read().get(&tenant).cloned();
        if let Some(log) = log {
            log.append(&entries);
            self.inner.publisher.publish(&Arc::new(PublishedBatch { tenant, entries }));
        }
    }

    /// After a failed commit: every reservation that is not in storage is void, its caller is told,
    /// and admission goes on with cells read anew. If the batch is in storage after all (only the
    /// answer to COMMIT was lost), it is published like any other.
    async fn recover(&mut self, error: StoreError, placed: Vec<Placed<Caller>>) {
        tracing::error!(error = &error as &dyn std::error::Error, commands = placed.len(), "a commit failed");
        self.inner.stats.failed_commits.fetch_add(1, Ordering::Relaxed);
        let error = Arc::new(error);
        self.failure = Some(Arc::clone(&error));
        // From here on commands of the old generation are refused. Admission gets the new one only
        // when the heads are known: a command refused after it had reserved on a new cell would
        // leave that cell with a version that never comes.
        let next = self.inner.generation.load().next();
        self.generation = next.number;
        for Placed { admitted, .. } in placed {
            answer(admitted.caller, Err(SubmitError::Storage(Arc::clone(&error))));
        }
        let heads = self.read_heads().await;
        for admitted in self.assembler.reset(heads.iter().copied()) {
            answer(admitted.caller, Err(SubmitError::Storage(Arc::clone(&error))));
        }
        for (tenant, head) in heads {
            self.catch_up(tenant, head).await;
        }
        self.inner.generation.store(Arc::new(next));
        self.inner.finished.notify_waiters();
    }

    /// Reads the heads, for as long as it takes; commands that arrive meanwhile are refused.
    async fn read_heads(&mut self) -> Vec<(TenantId, Offset)> {
        loop {
            match self.inner.store.heads().await {
                Ok(heads) => {
                    return heads.into_iter().map(|head| (head.tenant, head.cursor.offset)).collect();
                }
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "storage cannot be read");
                    self.refuse_queued();
                    tokio::time::sleep(RECOVERY_PAUSE).await;
                }
            }
        }
    }

    /// Publishes what storage has beyond what was published.
    async fn catch_up(&mut self, tenant: TenantId, head: Offset) {
        loop {
            let published = self.inner.tenants.read().get(&tenant).map(|log| log.cursor().offset);
            let Some(published) = published.filter(|published| *published < head) else { return };
            let limit = u32::try_from(REPLAY_EVENTS_MAX).unwrap_or(u32::MAX);
            match self.inner.store.events_after(tenant, published, limit).await {
                Ok(events) if events.is_empty() => return,
                Ok(events) => {
                    let entries = events.iter().map(|event| Arc::new(Entry::from_stored(event))).collect();
                    self.publish_entries(tenant, entries);
                }
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "storage cannot be read");
                    self.refuse_queued();
                    tokio::time::sleep(RECOVERY_PAUSE).await;
                }
            }
        }
    }
}

fn commit_event(placed: &mut Placed<Caller>) -> CommitEvent {
    let Placed { admitted, entry, previous } = placed;
    let caller = &mut admitted.caller;
    CommitEvent {
        tenant: admitted.tenant,
        offset: entry.offset,
        event: admitted.event.clone(),
        route: entry.route,
        followers: entry.followers.clone(),
        previous: *previous,
        subject: caller.subject.take(),
        requester: caller.requester.take(),
        follow_up_of: caller.follow_up_of,
        key: caller.key.take(),
    }
}

fn answer(caller: Caller, answer: Answer) {
    // The caller may have gone away: the command counts all the same.
    let _ = caller.answer.send(answer);
}
