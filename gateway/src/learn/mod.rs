//! The assistant: one model for each tenant, learned from its log.
//!
//! A thread of its own follows the logs and learns (`follower`). It gives way to everything else: what it has to do next
//! is in the log. Another one suggests (`suggester`), with the model as it is: a customer's message never waits for
//! lessons. A model is a fold of its log, so files of it only make the start faster (`snapshot`).

mod automatic;
mod check;
mod dialogues;
mod follower;
mod hub;
mod port;
mod seen;
mod snapshot;
mod state;
mod stats;
mod suggester;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;
use serde::Serialize;
use tokio::sync::oneshot;
use waggle_core::id::{Offset, QueueId, TenantId, TicketId, Version};
use waggle_core::learn::{Mode, Suggestion};
use waggle_core::limits::LEARN_WAIT_MS_MAX;

use crate::find::{Log, Worker};
use crate::ledger::Ledger;
use crate::store::{Store, StoreError};

pub use check::{Checked, CheckedSnapshot, check};
use follower::Follower;
pub use hub::LearnHub;
pub use port::{NoScreens, Screens};
pub use snapshot::SnapshotState;
use state::{TenantModel, Tenants};
pub use stats::{Count as LearnCount, LearnStats};
use suggester::Suggester;

/// What the assistant stands on.
pub struct LearnParts {
    /// Where files of models are.
    pub folder: PathBuf,
    /// For reading tickets' events.
    pub store: Arc<dyn Store>,
    /// The log, and the way into it for automatic replies.
    pub ledger: Ledger,
    /// Who is shown suggestions.
    pub screens: Arc<dyn Screens>,
}

/// The assistants of all tenants. Clones share them.
#[derive(Clone)]
pub struct Learner {
    folder: PathBuf,
    hub: LearnHub,
    store: Arc<dyn Store>,
    tenants: Arc<Tenants>,
    follower: Worker,
    suggester: Worker,
}

/// Why there is no suggestion.
#[derive(Debug, thiserror::Error)]
pub enum NoSuggestion {
    /// The queue's mode is off.
    #[error("the assistant is off in queue {0}")]
    Off(QueueId),
    /// Nothing waits for an answer.
    #[error("no message of the customer's waits for an answer; give the version of one as `message`")]
    Answered,
    /// Not a customer's message, or too old a one.
    #[error("the event with version {0} is none of the customer's newest messages")]
    NoMessage(Version),
    /// Storage.
    #[error("storage is not available: {0}")]
    Storage(#[from] StoreError),
}

/// A tenant's model and how it stands, as `GET /v1/learn` shows it.
#[derive(Debug, Serialize)]
pub struct Overview<R> {
    /// Offset of the newest event that taught it something.
    pub version: Offset,
    /// How it learns.
    pub recipe: String,
    /// Everything up to this event is learned.
    pub position: Offset,
    /// The log's newest event.
    pub head: Offset,
    /// Events that are not learned yet.
    pub behind: u64,
    /// SHA-256 of the model at `position`, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Why the model is being folded from the log's start, where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folding: Option<&'static str>,
    /// The file beside the log.
    pub snapshot: SnapshotState,
    /// What the model tells of itself.
    pub report: R,
}

/// Digests of a model before and after somebody was forgotten; none before where none was known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Forgotten {
    /// Before.
    pub before: Option<String>,
    /// After.
    pub after: String,
}

impl Learner {
    /// Follows the log of `parts.ledger`, whose publisher must be that of `hub`. To be called where there is a runtime.
    ///
    /// # Errors
    /// Where a thread cannot be started.
    pub fn start(hub: &LearnHub, parts: LearnParts) -> Result<Self, StoreError> {
        let LearnParts { folder, store, ledger, screens } = parts;
        let tenants = Arc::<Tenants>::default();
        let log: Arc<dyn Log> = Arc::new(ledger.clone());
        let following =
            Follower::new(hub.clone(), folder.clone(), Arc::clone(&store), log, Arc::clone(&tenants));
        let follower = Worker::spawn("waggle-learn", move || following.run())?;
        let suggesting =
            Suggester::new(hub.clone(), Arc::clone(&store), ledger, screens, Arc::clone(&tenants));
        let suggester = Worker::spawn("waggle-suggest", move || suggesting.run())?;
        Ok(Self { folder, hub: hub.clone(), store, tenants, follower, suggester })
    }

    /// What to answer a customer's message: the newest one, where `message` names none.
    ///
    /// # Errors
    /// [`NoSuggestion`].
    pub async fn suggest(
        &self,
        tenant: TenantId,
        ticket: TicketId,
        message: Option<Version>,
    ) -> Result<Suggestion, NoSuggestion> {
        let (dialogue, _) = dialogues::load(&*self.store, tenant, ticket).await?;
        let ask = match message {
            Some(message) => dialogue.ask_about(message).ok_or(NoSuggestion::NoMessage(message))?,
            None => dialogue.ask().ok_or(NoSuggestion::Answered)?,
        };
        let known = self.tenants.of(tenant);
        let model = known.model.read();
        if matches!(model.mode(ask.queue()), Mode::Off) {
            return Err(NoSuggestion::Off(ask.queue()));
        }
        self.tenants.stats.suggestions.add(1);
        Ok(model.suggest(&ask))
    }

    /// How a tenant's model stands; a moment is waited for it to have learned everything up to `head`.
    pub async fn overview(
        &self,
        tenant: TenantId,
        head: Offset,
        with_digest: bool,
    ) -> Overview<impl Serialize + use<>> {
        let known = self.tenants.of(tenant);
        known.reached(head, Duration::from_millis(LEARN_WAIT_MS_MAX)).await;
        let (report, version, position, digest) = {
            let model = known.model.read();
            let digest = with_digest.then(|| known.digest(&model));
            (model.report(), model.version(), model.position(), digest)
        };
        Overview {
            version: version.version,
            recipe: version.recipe.to_string(),
            position,
            head,
            behind: head.0.saturating_sub(position.0),
            digest,
            folding: known.folding(),
            snapshot: known.snapshot(),
            report,
        }
    }

    /// Looks at a tenant's model; `look` must be short.
    pub fn look<T>(&self, tenant: TenantId, look: impl FnOnce(&waggle_core::learn::Model) -> T) -> T {
        look(&self.tenants.of(tenant).model.read())
    }

    /// Waits a moment for a tenant's model to have learned everything up to `head`; whether it has.
    pub async fn reached(&self, tenant: TenantId, head: Offset) -> bool {
        self.tenants.of(tenant).reached(head, Duration::from_millis(LEARN_WAIT_MS_MAX)).await
    }

    /// Folds a tenant's model from the log's start as it is now, and writes it in place of the file before. `None` where
    /// the gateway stops.
    pub async fn forget(&self, tenant: TenantId) -> Option<Forgotten> {
        let (tell, told) = oneshot::channel();
        self.hub.fold_anew(tenant, tell);
        told.await.ok()
    }

    /// Of each tenant, the event up to which its model has learned.
    #[must_use]
    pub fn positions(&self) -> Vec<(TenantId, Offset)> {
        self.tenants.all().into_iter().map(|(tenant, known)| (tenant, known.position())).collect()
    }

    /// What has been done.
    #[must_use]
    pub fn stats(&self) -> &LearnStats {
        &self.tenants.stats
    }

    /// Ends both threads, and writes what the models have learned.
    pub async fn stop(&self) {
        self.suggester.stop().await;
        self.follower.stop().await;
        let (tenants, folder) = (Arc::clone(&self.tenants), self.folder.clone());
        let writing = tokio::task::spawn_blocking(move || {
            for (tenant, known) in tenants.all() {
                known.save(&folder, tenant);
            }
        });
        if let Err(error) = writing.await {
            tracing::warn!(%error, "writing the models was cut short; they are folded from the log");
        }
    }
}

/// By tenant.
type ByTenant<T> = FxHashMap<TenantId, T>;

/// A model's digest in hexadecimal digits.
fn digest_of(encoded: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    let hash: [u8; 32] = Sha256::digest(encoded).into();
    crate::store::Hex(&hash).to_string()
}

/// A model that anybody may read while it learns.
type Shared = Arc<TenantModel>;
