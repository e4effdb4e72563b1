//! Counts of saved views that sessions watch: each different one is counted once, however many watch it, and follows the
//! index of tickets from then on (`find::tally`).
//!
//! A thread of its own has the list of who watches what. It finds out which query a view stands for, for whom, and puts
//! what has changed into the mailboxes of those who tell the sessions, at most twice a second for each count.

mod desk;
mod mailbox;
mod watch;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};
use waggle_core::id::{SavedViewId, TenantId};
use waggle_core::limits::COUNTS_WATCHED_MAX;

use crate::directory::{Directory, Principal};
use crate::find::{Finder, Worker};
use crate::store::{Store, StoreError};

use desk::Desk;
pub use mailbox::{CountBox, CountMail, CountNews};

/// One session's watch of one count: unique as long as the gateway runs, and never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatchId {
    /// Whose mailbox is told.
    pub place: usize,
    /// Its number there.
    pub number: u64,
}

/// What counting has counted of itself.
#[derive(Debug, Default)]
pub struct CountStats {
    /// Watches of sessions.
    pub watches: AtomicUsize,
    /// Different counts.
    pub counts: AtomicUsize,
    /// Times that tickets were counted anew, instead of following their changes.
    pub recounts: AtomicU64,
    /// Changes of counts that were told, once however many sessions watch.
    pub told: AtomicU64,
}

/// The way to the counts. Clones share it.
#[derive(Clone)]
pub struct Counts {
    shared: Arc<Shared>,
    worker: Worker,
}

struct Shared {
    /// It has room for all watches there may be and for their ends.
    orders: mpsc::Sender<Order>,
    boxes: Vec<Arc<CountBox>>,
    views: ChangedViews,
    stats: CountStats,
}

enum Order {
    Watch { id: WatchId, principal: Principal, view: SavedViewId },
    Unwatch { id: WatchId },
}

/// Saved views that were changed or deleted, each once.
#[derive(Default)]
struct ChangedViews {
    views: Mutex<BTreeSet<(TenantId, SavedViewId)>>,
    happened: Notify,
}

impl Counts {
    /// Begins, for so many places that tell sessions.
    ///
    /// # Errors
    /// Where the thread cannot be started.
    pub fn start(
        places: usize,
        finder: Finder,
        store: Arc<dyn Store>,
        directory: Directory,
    ) -> Result<Self, StoreError> {
        let (orders, inbox) = mpsc::channel(2 * COUNTS_WATCHED_MAX);
        let boxes = std::iter::repeat_with(Arc::default).take(places).collect();
        let (views, stats) = (ChangedViews::default(), CountStats::default());
        let shared = Arc::new(Shared { orders, boxes, views, stats });
        let desk = Desk::new(Arc::clone(&shared), finder, store, directory);
        let worker = Worker::spawn("waggle-count", move || desk.run(inbox))?;
        Ok(Self { shared, worker })
    }

    /// Watches a count: what comes of it is told to the mailbox of the watch's place. False where there are too many.
    #[must_use]
    pub fn watch(&self, id: WatchId, principal: Principal, view: SavedViewId) -> bool {
        let watches = &self.shared.stats.watches;
        if watches.fetch_add(1, Ordering::Relaxed) >= COUNTS_WATCHED_MAX {
            watches.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        let is_sent = self.shared.orders.try_send(Order::Watch { id, principal, view }).is_ok();
        if !is_sent {
            watches.fetch_sub(1, Ordering::Relaxed);
        }
        is_sent
    }

    /// Watches it no longer.
    pub fn unwatch(&self, id: WatchId) {
        // There is room for it; an error means that the thread has ended.
        let _ = self.shared.orders.try_send(Order::Unwatch { id });
    }

    /// What is told to a place.
    #[must_use]
    pub fn mailbox(&self, place: usize) -> Option<Arc<CountBox>> {
        self.shared.boxes.get(place).map(Arc::clone)
    }

    /// Says that a saved view was changed or deleted.
    pub fn view_changed(&self, tenant: TenantId, view: SavedViewId) {
        self.shared.views.views.lock().insert((tenant, view));
        self.shared.views.happened.notify_one();
    }

    /// What it has counted of itself.
    #[must_use]
    pub fn stats(&self) -> &CountStats {
        &self.shared.stats
    }

    /// Ends the thread.
    pub async fn stop(&self) {
        self.worker.stop().await;
    }
}

impl ChangedViews {
    fn take(&self) -> BTreeSet<(TenantId, SavedViewId)> {
        std::mem::take(&mut *self.views.lock())
    }
}
