//! Changes of lifecycles: decided by core on one state of the directory, saved only while that is the newest.

mod settle;
#[cfg(test)]
mod settle_tests;

use std::collections::BTreeMap;

use waggle_core::id::{QueueId, TenantId};
use waggle_core::ticket::{
    Change, Fault, Lifecycle, LifecycleSpec, Lifecycles, QueueChange, Status, StatusSet,
};

pub use settle::keep_settled;

use crate::directory::Directory;
use crate::store::{
    AuditActor, AuditEntry, DeleteLifecycle, GiveLifecycle, SaveLifecycle, Store, StoreError, TicketFilter,
};

/// How often a change is decided anew because others have changed the directory meanwhile.
const ATTEMPTS_MAX: usize = 8;

/// Names of statuses to names of statuses.
pub type StatusMap = BTreeMap<String, String>;

/// How it is known which statuses tickets have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InUse {
    /// Storage is asked.
    Asked,
    /// Another process knows: every status counts as in use.
    Assumed,
}

/// Why lifecycles stay as they are.
#[derive(Debug, thiserror::Error)]
pub enum LifecycleError {
    /// What was asked for is not sound.
    #[error("the lifecycle has {} faults: {}", .0.len(), told(.0))]
    Faulty(Vec<Fault>),
    /// No such lifecycle.
    #[error("there is no lifecycle {0:?}; the tenant has {1}")]
    Missing(String, String),
    /// No such queue.
    #[error("there is no queue {0}")]
    NoSuchQueue(QueueId),
    /// Something else needs it as it is.
    #[error("{0}")]
    InUse(String),
    /// Storage does not work at the moment, or the directory does not stop changing.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn told(faults: &[Fault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// One who changes a tenant's lifecycles.
pub struct LifecycleAdmin<'a> {
    /// Where they are.
    pub store: &'a dyn Store,
    /// As this process knows them; it learns of changes at once.
    pub directory: &'a Directory,
    /// Whose.
    pub tenant: TenantId,
    /// Who.
    pub actor: AuditActor,
    /// See there.
    pub in_use: InUse,
}

/// What a change was decided on.
struct State {
    revision: u64,
    lifecycles: std::sync::Arc<Lifecycles>,
}

impl LifecycleAdmin<'_> {
    /// Everything that saving would find wrong; nothing is saved.
    ///
    /// # Errors
    /// As storage tells them.
    pub async fn check(
        &self,
        name: &str,
        spec: &LifecycleSpec,
        map: &StatusMap,
    ) -> Result<Vec<Fault>, LifecycleError> {
        let state = self.state();
        let change = Change { name, spec, map };
        let in_use = self.used(&change.removed(&state.lifecycles), None).await?;
        Ok(change.plan(&state.lifecycles, &in_use).err().unwrap_or_default())
    }

    /// Saves a lifecycle, new or in place of the one that has its name; tells whether it is new. Tickets whose status
    /// it removes follow by and by.
    ///
    /// # Errors
    /// See [`LifecycleError`]; nothing is saved then.
    pub async fn save(
        &self,
        name: &str,
        spec: &LifecycleSpec,
        map: &StatusMap,
    ) -> Result<bool, LifecycleError> {
        for _ in 0..ATTEMPTS_MAX {
            let State { revision, lifecycles } = self.state();
            let change = Change { name, spec, map };
            let in_use = self.used(&change.removed(&lifecycles), None).await?;
            let plan = change.plan(&lifecycles, &in_use).map_err(LifecycleError::Faulty)?;
            let old = lifecycles.named(name);
            if let Some(old) = old {
                self.check_settled(&lifecycles, old).await?;
            }
            let retired: Vec<&str> =
                plan.retired.iter().map(|(status, _)| lifecycles.name(*status)).collect();
            let audit = self.audit("lifecycle.saved", name).with("removed", retired);
            let save = SaveLifecycle {
                tenant: self.tenant,
                revision,
                id: old.map(Lifecycle::id),
                name: name.to_owned(),
                spec: spec.clone(),
                plan,
                audit,
            };
            let is_new = old.is_none();
            if self.is_done(self.store.save_lifecycle(save).await.map(drop)).await? {
                return Ok(is_new);
            }
        }
        Err(StoreError::Outdated.into())
    }

    /// Deletes a lifecycle that neither queues nor tickets have.
    ///
    /// # Errors
    /// See [`LifecycleError`]; nothing is deleted then.
    pub async fn delete(&self, name: &str) -> Result<(), LifecycleError> {
        for _ in 0..ATTEMPTS_MAX {
            let State { revision, lifecycles } = self.state();
            let old = named(&lifecycles, name)?;
            let first = lifecycles.of_queue(QueueId(0));
            if old.id() == first.id() {
                let text = format!("new queues get the lifecycle {name:?}; it can be changed, not deleted");
                return Err(LifecycleError::InUse(text));
            }
            let queues = self.directory.queues(self.tenant);
            let having: Vec<&str> = queues
                .iter()
                .filter(|queue| queue.lifecycle == old.id())
                .map(|queue| queue.name.as_str())
                .collect();
            if !having.is_empty() {
                let text =
                    format!("queues have it: {}; give them another lifecycle first", having.join(", "));
                return Err(LifecycleError::InUse(text));
            }
            self.check_settled(&lifecycles, old).await?;
            let statuses: StatusSet = old.statuses().iter().copied().collect();
            if self.in_use == InUse::Asked && !self.used(&statuses, None).await?.is_empty() {
                let text = "tickets have its statuses: move them to queues of another lifecycle first";
                return Err(LifecycleError::InUse(text.to_owned()));
            }
            let map = StatusMap::new();
            let change = QueueChange { from: old, to: first, map: &map };
            let retired = change.plan(&lifecycles, &StatusSet::default()).map_err(LifecycleError::Faulty)?;
            let audit = self.audit("lifecycle.deleted", name);
            let delete = DeleteLifecycle { tenant: self.tenant, revision, id: old.id(), retired, audit };
            if self.is_done(self.store.delete_lifecycle(delete).await).await? {
                return Ok(());
            }
        }
        Err(StoreError::Outdated.into())
    }

    /// Gives a queue another lifecycle. Its tickets follow by and by, as `map` says, and where it says nothing, as
    /// was saved with the lifecycle.
    ///
    /// # Errors
    /// See [`LifecycleError`]; nothing changes then.
    pub async fn give(&self, queue: QueueId, name: &str, map: &StatusMap) -> Result<(), LifecycleError> {
        for _ in 0..ATTEMPTS_MAX {
            let State { revision, lifecycles } = self.state();
            if !self.directory.has_queue(self.tenant, queue) {
                return Err(LifecycleError::NoSuchQueue(queue));
            }
            let (from, to) = (lifecycles.of_queue(queue), named(&lifecycles, name)?);
            if from.id() == to.id() {
                return Ok(());
            }
            self.check_settled(&lifecycles, from).await?;
            self.check_settled(&lifecycles, to).await?;
            let statuses: StatusSet = from.statuses().iter().copied().collect();
            let in_use = self.used(&statuses, Some(queue)).await?;
            let pairs = QueueChange { from, to, map }.plan(&lifecycles, &in_use);
            let pairs = pairs.map_err(LifecycleError::Faulty)?;
            let audit = self.audit("queue.lifecycle", name).with("queue", queue.0).with("from", from.name());
            let give =
                GiveLifecycle { tenant: self.tenant, revision, queue, lifecycle: to.id(), pairs, audit };
            if self.is_done(self.store.give_lifecycle(give).await).await? {
                return Ok(());
            }
        }
        Err(StoreError::Outdated.into())
    }

    fn state(&self) -> State {
        let (revision, lifecycles) = self.directory.lifecycles_at(self.tenant);
        State { revision, lifecycles }
    }

    fn audit(&self, action: &'static str, name: &str) -> AuditEntry {
        AuditEntry::new(self.tenant, self.actor, action, format!("lifecycle:{name}"))
    }

    /// Whether a change is saved, or must be decided anew. Either way this process knows the newest state then.
    async fn is_done(&self, saved: Result<(), StoreError>) -> Result<bool, LifecycleError> {
        let is_saved = match saved {
            Ok(()) => true,
            Err(StoreError::Outdated) => false,
            Err(error) => return Err(error.into()),
        };
        self.directory.refresh(self.store).await?;
        Ok(is_saved)
    }

    /// Those of `statuses` that tickets have: in `queue`, or anywhere.
    async fn used(&self, statuses: &StatusSet, queue: Option<QueueId>) -> Result<StatusSet, StoreError> {
        if self.in_use == InUse::Assumed {
            return Ok(*statuses);
        }
        let mut used = StatusSet::default();
        for status in statuses.iter() {
            let filter = TicketFilter { queue, status: Some(status.into()), assignee: None };
            if !self.store.tickets(self.tenant, &filter, None, 1).await?.is_empty() {
                used.insert(status);
            }
        }
        Ok(used)
    }

    /// While a queue's tickets are on their way from one lifecycle to another, both stay as they are.
    async fn check_settled(
        &self,
        lifecycles: &Lifecycles,
        lifecycle: &Lifecycle,
    ) -> Result<(), LifecycleError> {
        let is_of = |status: Status| lifecycles.is_of(lifecycles.current(status), lifecycle.id());
        let changes = self.store.queue_changes().await?;
        let changing = changes.iter().find(|change| {
            change.tenant == self.tenant && change.pairs.iter().any(|(from, to)| is_of(*from) || is_of(*to))
        });
        match changing {
            None => Ok(()),
            Some(change) => Err(LifecycleError::InUse(format!(
                "tickets of queue {} are on their way to another lifecycle; try again in some minutes",
                change.queue
            ))),
        }
    }
}

fn named<'a>(lifecycles: &'a Lifecycles, name: &str) -> Result<&'a Lifecycle, LifecycleError> {
    lifecycles.named(name).ok_or_else(|| {
        let names = lifecycles.all().iter().map(Lifecycle::name).collect::<Vec<_>>().join(", ");
        LifecycleError::Missing(name.chars().take(40).collect(), names)
    })
}
