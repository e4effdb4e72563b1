//! Models that are read by many and taught by one.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;
use waggle_core::id::{Epoch, Offset, TenantId};
use waggle_core::learn::Model;

use super::snapshot::{self, SnapshotState};
use super::stats::LearnStats;
use super::{ByTenant, Shared, digest_of};

/// By tenant.
#[derive(Default)]
pub(super) struct Tenants {
    known: RwLock<ByTenant<Shared>>,
    pub(super) stats: LearnStats,
}

/// A tenant's model.
pub(super) struct TenantModel {
    pub(super) model: RwLock<Model>,
    /// The event up to which everything is learned, while nothing is folded anew.
    reached: watch::Sender<Offset>,
    standing: Mutex<Standing>,
    /// The newest digest that was asked for.
    digest: Mutex<Option<(Offset, String)>>,
}

#[derive(Default)]
struct Standing {
    epoch: Epoch,
    snapshot: SnapshotState,
    folding: Option<&'static str>,
    /// Whether the model has what was erased or rolled back: no file is written of it.
    is_superseded: bool,
    is_open: bool,
}

impl Default for TenantModel {
    fn default() -> Self {
        Self {
            model: RwLock::new(Model::new()),
            reached: watch::Sender::new(Offset(0)),
            standing: Mutex::default(),
            digest: Mutex::default(),
        }
    }
}

impl Tenants {
    /// A tenant's model; one that knows nothing where it is new.
    pub(super) fn of(&self, tenant: TenantId) -> Shared {
        if let Some(known) = self.known.read().get(&tenant) {
            return Arc::clone(known);
        }
        Arc::clone(self.known.write().entry(tenant).or_default())
    }

    pub(super) fn all(&self) -> Vec<(TenantId, Shared)> {
        let known = self.known.read();
        let mut all: Vec<_> = known.iter().map(|(tenant, model)| (*tenant, Arc::clone(model))).collect();
        all.sort_by_key(|(tenant, _)| *tenant);
        all
    }
}

impl TenantModel {
    /// Its log is this one, and this is how its file was found.
    pub(super) fn open(&self, epoch: Epoch, snapshot: SnapshotState) {
        let mut standing = self.standing.lock();
        (standing.epoch, standing.snapshot, standing.is_open) = (epoch, snapshot, true);
    }

    pub(super) fn position(&self) -> Offset {
        self.model.read().position()
    }

    /// Everything up to here is learned.
    pub(super) fn reach(&self, offset: Offset) {
        self.reached.send_replace(offset);
    }

    /// Waits for everything up to `head` to be learned; whether it is.
    pub(super) async fn reached(&self, head: Offset, within: Duration) -> bool {
        let mut reached = self.reached.subscribe();
        let wait = reached.wait_for(|reached| *reached >= head);
        matches!(tokio::time::timeout(within, wait).await, Ok(Ok(_)))
    }

    /// Why the model is being folded from the log's start.
    pub(super) fn folding(&self) -> Option<&'static str> {
        self.standing.lock().folding
    }

    pub(super) fn set_folding(&self, why: &'static str) {
        self.standing.lock().folding = Some(why);
    }

    pub(super) fn snapshot(&self) -> SnapshotState {
        self.standing.lock().snapshot
    }

    /// The model has what is rolled back: it is folded anew.
    pub(super) fn supersede(&self, why: &'static str) {
        let mut standing = self.standing.lock();
        (standing.is_superseded, standing.folding) = (true, Some(why));
    }

    /// The model has what was erased, and its file is gone.
    pub(super) fn set_erased(&self) {
        let mut standing = self.standing.lock();
        (standing.is_superseded, standing.snapshot) = (true, SnapshotState::Erased);
    }

    /// The model is the fold of the log as it is now.
    pub(super) fn set_in_force(&self) {
        let mut standing = self.standing.lock();
        (standing.is_superseded, standing.folding) = (false, None);
        // What is written may be another model, though of the same event.
        if matches!(standing.snapshot, SnapshotState::Written { .. }) {
            standing.snapshot = SnapshotState::None;
        }
    }

    /// The digest of the model, which is this one's.
    pub(super) fn digest(&self, model: &Model) -> String {
        let mut known = self.digest.lock();
        match &*known {
            Some((offset, digest)) if *offset == model.position() => digest.clone(),
            _ => known.insert((model.position(), digest_of(&model.encode()))).1.clone(),
        }
    }

    /// The model is another one, though of the same event.
    pub(super) fn forget_digest(&self) {
        *self.digest.lock() = None;
    }

    /// Writes the model where storage has it otherwise; whether there was something to write.
    pub(super) fn save(&self, folder: &Path, tenant: TenantId) -> bool {
        let (epoch, before) = {
            let standing = self.standing.lock();
            if standing.is_superseded || !standing.is_open {
                return false;
            }
            (standing.epoch, standing.snapshot)
        };
        let (at, encoded) = {
            let model = self.model.read();
            let at = model.position();
            if (before == SnapshotState::Written { offset: at }) || at == Offset(0) {
                return false;
            }
            (at, model.encode())
        };
        match snapshot::write(folder, tenant, epoch, at, &encoded) {
            Ok(()) => self.standing.lock().snapshot = SnapshotState::Written { offset: at },
            Err(error) => {
                tracing::warn!(%error, tenant = tenant.0, "a model cannot be written; a start takes longer then");
                return false;
            }
        }
        true
    }
}
