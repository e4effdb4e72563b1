//! Models that are read by many and taught by one: the follower's thread alone writes, so nobody waits for what it reads.

use std::path::Path;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use waggle_core::id::{Epoch, Offset, TenantId};
use waggle_core::learn::Model;

use super::snapshot::{self, SnapshotState};
use super::stats::LearnStats;
use super::{ByTenant, Shared, digest_of};
use crate::store::Hex;

/// Why a model is no fold of its log yet.
const STARTING: &str = "the start of the gateway";

/// By tenant.
#[derive(Default)]
pub(super) struct Tenants {
    known: RwLock<ByTenant<Shared>>,
    pub(super) stats: LearnStats,
}

/// A tenant's model.
pub(super) struct TenantModel {
    pub(super) model: RwLock<Model>,
    /// The event up to which everything is learned.
    reached: watch::Sender<Offset>,
    /// Whether everything is learned that was in the log at the start. Before that the model decides nothing: it may not
    /// know yet what it must not do.
    ready: watch::Sender<bool>,
    standing: Mutex<Standing>,
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
            ready: watch::Sender::new(false),
            standing: Mutex::default(),
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
    pub(super) async fn reached(&self, head: Offset, until: Instant) -> bool {
        let mut reached = self.reached.subscribe();
        let wait = reached.wait_for(|reached| *reached >= head);
        matches!(timeout_at(until, wait).await, Ok(Ok(_)))
    }

    /// Everything is learned that was in the log at the start.
    pub(super) fn set_ready(&self) {
        self.ready.send_if_modified(|ready| !std::mem::replace(ready, true));
    }

    pub(super) fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }

    /// Waits for everything to be learned that was in the log at the start; whether it is.
    pub(super) async fn ready(&self, until: Instant) -> bool {
        let mut ready = self.ready.subscribe();
        matches!(timeout_at(until, ready.wait_for(|ready| *ready)).await, Ok(Ok(_)))
    }

    /// Why the model is being folded from the log's start, or is not all of its log yet.
    pub(super) fn folding(&self) -> Option<&'static str> {
        self.standing.lock().folding.or_else(|| (!self.is_ready()).then_some(STARTING))
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

    /// The model is the fold of the log as it is now. To be called with the model's lock held, which comes before this one.
    pub(super) fn set_in_force(&self) {
        let mut standing = self.standing.lock();
        (standing.is_superseded, standing.folding) = (false, None);
        // What is written may be another model, though of the same event.
        if matches!(standing.snapshot, SnapshotState::Written { .. }) {
            standing.snapshot = SnapshotState::None;
        }
    }

    /// The model's digest. For the follower's thread, which holds nobody up with it.
    pub(super) fn digest(&self) -> String {
        let encoded = self.model.read().encode();
        digest_of(&encoded)
    }

    /// The same, where the model is the fold of its log: one that has read a part of it proves nothing.
    pub(super) fn digest_when_ready(&self) -> Option<String> {
        self.is_ready().then(|| self.digest())
    }

    /// Whether the model has what was erased or rolled back.
    pub(super) fn is_superseded(&self) -> bool {
        self.standing.lock().is_superseded
    }

    /// Writes the model where storage has it otherwise; the digest of what was written.
    pub(super) fn save(&self, folder: &Path, tenant: TenantId) -> Option<String> {
        let (epoch, before) = {
            let standing = self.standing.lock();
            if standing.is_superseded || !standing.is_open {
                return None;
            }
            (standing.epoch, standing.snapshot)
        };
        let (at, encoded) = {
            let model = self.model.read();
            let at = model.position();
            if (before == SnapshotState::Written { offset: at }) || at == Offset(0) {
                return None;
            }
            (at, model.encode())
        };
        match snapshot::write(folder, tenant, epoch, at, &encoded) {
            Ok(digest) => {
                self.standing.lock().snapshot = SnapshotState::Written { offset: at };
                Some(Hex(&digest).to_string())
            }
            Err(error) => {
                tracing::warn!(%error, tenant = tenant.0, "a model cannot be written; a start takes longer then");
                None
            }
        }
    }
}
