//! The assistant: one model for each tenant, learned from its log.
//!
//! A thread of its own follows the logs and learns (`follower`). It gives way to everything else: what it has to do next
//! is in the log. Another one suggests (`suggester`), with the model as it is: a customer's message never waits for
//! lessons. A model is a fold of its log, so files of it only make the start faster (`snapshot`).

mod anew;
mod automatic;
mod check;
mod dialogues;
mod feedback;
mod fold;
mod follower;
mod hub;
mod port;
mod promotions;
mod seen;
mod snapshot;
mod state;
mod stats;
mod suggester;

use std::path::PathBuf;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use serde::Serialize;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Duration, Instant};
use waggle_core::id::{Offset, QueueId, TenantId, TicketId, Version};
use waggle_core::learn::{Mode, Model, Report, Suggestion};
use waggle_core::limits::LEARN_WAIT_MS_MAX;

use crate::find::{Log, Worker};
use crate::ledger::Ledger;
use crate::store::{Store, StoreError};

pub use check::{Checked, CheckedSnapshot, check};
pub use feedback::{FeedbackFault, Sayer};
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
    /// Models are copied for their digests one at a time.
    copies: Arc<Semaphore>,
}

/// The model may not know yet what it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the assistant has not read all of the log yet; ask again in a moment")]
pub struct NotReady;

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
    /// The log is not read yet.
    #[error(transparent)]
    NotReady(#[from] NotReady),
    /// Storage.
    #[error("storage is not available: {0}")]
    Storage(#[from] StoreError),
}

/// A tenant's model and how it stands, as `GET /v1/learn` shows it.
#[derive(Debug, Serialize)]
pub struct Overview {
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
    /// Whether it suggests: it has learned everything that was in the log when the gateway started.
    pub ready: bool,
    /// SHA-256 of the model at `position`, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Why the model is being folded from the log, where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folding: Option<&'static str>,
    /// The file beside the log.
    pub snapshot: SnapshotState,
    /// What the model tells of itself.
    pub report: Report,
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
        let copies = Arc::new(Semaphore::new(1));
        Ok(Self { folder, hub: hub.clone(), store, tenants, follower, suggester, copies })
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
        let known = self.ready(tenant, Instant::now() + WAIT).await?;
        let (dialogue, _) = dialogues::load(&*self.store, tenant, ticket).await?;
        let ask = match message {
            Some(message) => dialogue.ask_about(message).ok_or(NoSuggestion::NoMessage(message))?,
            None => dialogue.ask().ok_or(NoSuggestion::Answered)?,
        };
        let model = known.model.read();
        if matches!(model.mode(ask.queue()), Mode::Off) {
            return Err(NoSuggestion::Off(ask.queue()));
        }
        self.tenants.stats.suggestions.add(1);
        Ok(model.suggest(&ask))
    }

    /// How a tenant's model stands; a moment is waited for it to have learned everything up to `head`. `None` where the
    /// gateway stops.
    pub async fn overview(&self, tenant: TenantId, head: Offset, with_digest: bool) -> Option<Overview> {
        let until = Instant::now() + WAIT;
        let known = match self.ready(tenant, until).await {
            Ok(known) => {
                known.reached(head, until).await;
                known
            }
            Err(NotReady) => self.tenants.of(tenant),
        };
        let place = match with_digest {
            true => Some(Arc::clone(&self.copies).acquire_owned().await.ok()?),
            false => None,
        };
        let look = move || {
            let _place = place;
            overview(&known, head, with_digest)
        };
        tokio::task::spawn_blocking(look).await.ok()
    }

    /// A tenant's model as soon as it has learned what was in the log at the start; it is waited for `until` then.
    async fn ready(&self, tenant: TenantId, until: Instant) -> Result<Shared, NotReady> {
        let known = self.tenants.of(tenant);
        if !known.is_ready() {
            // The log of a new tenant, in which nothing has happened, is followed as soon as somebody asks.
            self.hub.grown().tell(tenant);
        }
        known.ready(until).await.then_some(known).ok_or(NotReady)
    }

    /// Looks at a tenant's model; `look` must be short.
    pub fn look<T>(&self, tenant: TenantId, look: impl FnOnce(&Model) -> T) -> T {
        look(&self.tenants.of(tenant).model.read())
    }

    /// Asks a tenant's model whether it takes something. One that has not learned everything up to `head` does not refuse:
    /// a moment is waited until it has.
    ///
    /// # Errors
    /// [`NotReady`] where it has not learned enough to say.
    pub async fn takes<E>(
        &self,
        tenant: TenantId,
        head: Offset,
        takes: impl Fn(&Model) -> Result<(), E>,
    ) -> Result<Result<(), E>, NotReady> {
        let until = Instant::now() + WAIT;
        let known = self.ready(tenant, until).await?;
        if takes(&known.model.read()).is_ok() {
            return Ok(Ok(()));
        }
        self.ask(tenant, head, until, takes).await
    }

    /// Asks a tenant's model whether it takes something, once it has learned everything up to `head`; a moment is waited
    /// for that.
    ///
    /// # Errors
    /// [`NotReady`] where it has not by then.
    pub async fn takes_at<E>(
        &self,
        tenant: TenantId,
        head: Offset,
        takes: impl Fn(&Model) -> Result<(), E>,
    ) -> Result<Result<(), E>, NotReady> {
        self.ask(tenant, head, Instant::now() + WAIT, takes).await
    }

    async fn ask<T>(
        &self,
        tenant: TenantId,
        head: Offset,
        until: Instant,
        ask: impl Fn(&Model) -> T,
    ) -> Result<T, NotReady> {
        let known = self.ready(tenant, until).await?;
        if !known.reached(head, until).await {
            return Err(NotReady);
        }
        let model = known.model.read();
        Ok(ask(&model))
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

/// How a model stands. Its digest is made of a copy: nobody who suggests waits for more than that. What is told beside the
/// model is read while nobody can change it, so both are of one moment.
fn overview(known: &TenantModel, head: Offset, with_digest: bool) -> Overview {
    let of = |model: &Model| (model.report(), model.version(), model.position());
    let model = known.model.read();
    let (ready, folding, snapshot) = (known.is_ready(), known.folding(), known.snapshot());
    let (digest, (report, version, position)) = if with_digest {
        let copy = model.clone();
        drop(model);
        (Some(digest_of(&copy.encode())), of(&copy))
    } else {
        (None, of(&model))
    };
    Overview {
        version: version.version,
        recipe: version.recipe.to_string(),
        position,
        head,
        behind: head.0.saturating_sub(position.0),
        ready,
        digest,
        folding,
        snapshot,
        report,
    }
}

/// How long whoever asks waits for a model.
const WAIT: Duration = Duration::from_millis(LEARN_WAIT_MS_MAX);

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

#[cfg(test)]
mod tests;
