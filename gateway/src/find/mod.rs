//! Finding tickets: an index per tenant in memory, kept up to date with the log by a thread of its own.
//!
//! The index is read from storage at the start. Then the thread is told that there is something new, reads from the
//! log which tickets have changed, and takes them as storage has them now. So nothing queues up for it: however far it
//! falls behind, what it has to do next is in the log. Whoever reads waits until it has reached the head of the log
//! that they saw.

mod aside;
mod counting;
mod feeder;
mod names;
mod news;
mod port;
mod search;
mod tally;
mod thread;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RecursiveRwLock, RwLock};
use rustc_hash::FxHashMap;
use tokio::sync::{oneshot, watch};
use waggle_core::find::Index;
use waggle_core::id::{Offset, TenantId};
use waggle_core::limits::{INDEX_WAIT_MS_MAX, QUERIES_ASIDE_MAX};

use crate::ledger::Publisher;
use crate::store::{Store, StoreError};

use aside::Asides;
pub use aside::{QueryKey, QueryStats};
use feeder::Feeder;
pub(crate) use names::TenantNames;
pub use news::FindHub;
pub use port::Log;
pub use search::{Found, Searcher};
use tally::Tally;
pub use tally::{CountId, Counted};
pub(crate) use thread::Worker;

/// Why tickets are not found.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// The index has not reached the head of the log in time.
    #[error(
        "the index is at event {applied} and has not reached {wanted} within {INDEX_WAIT_MS_MAX} milliseconds"
    )]
    Behind {
        /// Where it is.
        applied: Offset,
        /// Where it should be.
        wanted: Offset,
    },
    /// It takes long, and so do too many others.
    #[error("{QUERIES_ASIDE_MAX} queries that take long are under way; try again, or ask for less at once")]
    Busy,
}

/// The indexes of all tenants. Clones share them.
#[derive(Clone)]
pub struct Finder {
    tenants: Arc<Tenants>,
    asides: Arc<Asides>,
    worker: Worker,
}

/// Indexes by tenant.
#[derive(Default)]
struct Tenants {
    known: RwLock<FxHashMap<TenantId, Arc<TenantIndex>>>,
    /// Says which tenants' counts have changed.
    counted: FindHub,
}

/// A tenant's index.
struct TenantIndex {
    /// Who reads for a moment does not wait behind the feeder, which waits for who reads for long. Nobody keeps it waiting
    /// for ever: once something is committed, a reader waits for the feeder before it looks.
    index: RecursiveRwLock<Index>,
    /// Locked before the index.
    tally: Mutex<Tally>,
    /// The event up to which everything is in the index.
    applied: watch::Sender<Offset>,
}

impl Default for TenantIndex {
    fn default() -> Self {
        Self {
            index: RecursiveRwLock::default(),
            tally: Mutex::default(),
            applied: watch::Sender::new(Offset(0)),
        }
    }
}

impl Tenants {
    /// A tenant's index; an empty one where it is new.
    fn of(&self, tenant: TenantId) -> Arc<TenantIndex> {
        if let Some(known) = self.known.read().get(&tenant) {
            return Arc::clone(known);
        }
        Arc::clone(self.known.write().entry(tenant).or_default())
    }
}

impl Finder {
    /// Reads the tickets of all tenants, and then follows `log`, whose publisher must be that of `hub`.
    ///
    /// # Errors
    /// As storage tells them.
    pub async fn start(hub: &FindHub, store: Arc<dyn Store>, log: Arc<dyn Log>) -> Result<Self, StoreError> {
        let tenants = Arc::<Tenants>::default();
        let feeder = Feeder::new(hub.clone(), store, log, Arc::clone(&tenants));
        let (tell, loaded) = oneshot::channel();
        let worker = Worker::spawn("waggle-find", move || feeder.run(tell))?;
        // It is dropped only by a thread that panicked, which has said so.
        loaded.await.map_err(|_| StoreError::Database(sqlx::Error::WorkerCrashed))??;
        Ok(Self { tenants, asides: Arc::default(), worker })
    }

    /// Looks at a tenant's index once it has everything up to `head`; `look` must be short, and waits for nothing.
    ///
    /// # Errors
    /// [`FindError::Behind`].
    pub async fn read<T>(
        &self,
        tenant: TenantId,
        head: Offset,
        look: impl FnOnce(&Index) -> T,
    ) -> Result<T, FindError> {
        let known = self.reached(tenant, head).await?;
        let index = known.index.read();
        Ok(look(&index))
    }

    /// A tenant's index once it has everything up to `head`.
    async fn reached(&self, tenant: TenantId, head: Offset) -> Result<Arc<TenantIndex>, FindError> {
        let known = self.tenants.of(tenant);
        if *known.applied.borrow() >= head {
            return Ok(known);
        }
        let mut applied = known.applied.subscribe();
        let reached = applied.wait_for(|applied| *applied >= head);
        let limit = Duration::from_millis(INDEX_WAIT_MS_MAX);
        if !matches!(tokio::time::timeout(limit, reached).await, Ok(Ok(_))) {
            return Err(FindError::Behind { applied: *known.applied.borrow(), wanted: head });
        }
        Ok(known)
    }

    /// Ends the thread; indexes stay as they are.
    pub async fn stop(&self) {
        self.worker.stop().await;
    }
}

/// Several publishers as one, in order.
pub struct Publishers(pub Vec<Arc<dyn Publisher>>);

impl Publisher for Publishers {
    fn publish(&self, batch: &Arc<crate::ledger::PublishedBatch>) {
        self.0.iter().for_each(|publisher| publisher.publish(batch));
    }
}
