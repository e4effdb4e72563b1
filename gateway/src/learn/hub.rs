//! Where the ledger publishes to, for the assistant.

use std::collections::BTreeMap;
use std::sync::Arc;

use crossbeam_queue::ArrayQueue;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use waggle_core::id::{QueueId, TenantId};
use waggle_core::limits::LEARN_ASKS_MAX;
use waggle_core::ticket::{Entry, Kind};

use super::Forgotten;
use crate::ledger::{PublishedBatch, Publisher};
use crate::pending::Pending;

/// A customer's message that has just been committed, or that a ticket was erased.
pub(super) struct Asked {
    pub(super) tenant: TenantId,
    pub(super) entry: Arc<Entry>,
}

/// Somebody who waits for a model to be folded anew.
pub(super) type Waiting = (TenantId, oneshot::Sender<Forgotten>);

/// How many customers' messages of each queue have found no room.
pub(super) type Lost = BTreeMap<(TenantId, QueueId), u64>;

/// Says that logs have grown, and what customers have written. It is there before the ledger and the assistant, which
/// both need it. Clones share it.
#[derive(Clone)]
pub struct LearnHub(Arc<Inner>);

struct Inner {
    grown: Pending,
    /// Bounded: what finds no room is asked for by whoever wants it.
    asked: ArrayQueue<Asked>,
    happened: Notify,
    /// What has found no room; a ticket that was erased is no message, and has its queue here all the same.
    lost: Mutex<Lost>,
    waiting: Mutex<Vec<Waiting>>,
}

impl Default for LearnHub {
    fn default() -> Self {
        Self(Arc::new(Inner {
            grown: Pending::default(),
            asked: ArrayQueue::new(LEARN_ASKS_MAX),
            happened: Notify::new(),
            lost: Mutex::default(),
            waiting: Mutex::default(),
        }))
    }
}

impl LearnHub {
    /// One that knows of nothing new.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Where the ledger publishes to.
    #[must_use]
    pub fn publisher(&self) -> Arc<dyn Publisher> {
        Arc::new(self.clone())
    }

    pub(super) fn grown(&self) -> &Pending {
        &self.0.grown
    }

    /// The oldest message that was not looked at.
    pub(super) async fn asked(&self) -> Asked {
        loop {
            if let Some(asked) = self.0.asked.pop() {
                return asked;
            }
            self.0.happened.notified().await;
        }
    }

    /// What has found no room since this was asked the last time.
    pub(super) fn lost(&self) -> Lost {
        std::mem::take(&mut self.0.lost.lock())
    }

    pub(super) fn fold_anew(&self, tenant: TenantId, tell: oneshot::Sender<Forgotten>) {
        self.0.waiting.lock().push((tenant, tell));
        self.0.grown.tell(tenant);
    }

    pub(super) fn is_waited_for(&self, tenant: TenantId) -> bool {
        self.0.waiting.lock().iter().any(|(whose, _)| *whose == tenant)
    }

    /// Takes those who wait for a tenant's model.
    pub(super) fn waiting(&self, tenant: TenantId) -> Vec<oneshot::Sender<Forgotten>> {
        let mut waiting = self.0.waiting.lock();
        let (of, others) = std::mem::take(&mut *waiting).into_iter().partition(|(whose, _)| *whose == tenant);
        *waiting = others;
        let of: Vec<Waiting> = of;
        of.into_iter().map(|(_, tell)| tell).collect()
    }
}

impl Publisher for LearnHub {
    fn publish(&self, batch: &Arc<PublishedBatch>) {
        self.0.grown.tell(batch.tenant);
        let asks = |kind| matches!(kind, Some(Kind::Created | Kind::Message | Kind::Erased));
        for entry in batch.entries.iter().filter(|entry| asks(entry.kind())) {
            let asked = Asked { tenant: batch.tenant, entry: Arc::clone(entry) };
            if self.0.asked.push(asked).is_err() {
                let mut lost = self.0.lost.lock();
                let messages = lost.entry((batch.tenant, entry.route.queue)).or_default();
                *messages += u64::from(entry.kind() != Some(Kind::Erased));
            }
            self.0.happened.notify_one();
        }
    }
}
