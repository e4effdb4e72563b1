//! What the names in a query stand for.

use std::collections::BTreeSet;
use std::sync::Arc;

use waggle_core::find::{Names, Plan};
use waggle_core::id::{AgentId, QueueId, TenantId};
use waggle_core::right::{QueueSet, Right};
use waggle_core::ticket::{Category, Lifecycles, StatusSet};
use waggle_core::time::Timestamp;

use crate::directory::{Directory, Principal};
use crate::store::QueueRow;
use crate::wall_clock;

/// The names of a tenant, as somebody sees them, at an instant.
pub(crate) struct TenantNames<'a> {
    directory: &'a Directory,
    tenant: TenantId,
    me: AgentId,
    sees: QueueSet,
    deletes: Deletes,
    lifecycles: Arc<Lifecycles>,
    now: Timestamp,
}

/// The queues where whoever asks may delete tickets, and so sees those that are deleted.
enum Deletes {
    /// Found out where it matters.
    Of(Principal),
    These(QueueSet),
}

impl<'a> TenantNames<'a> {
    /// Of whoever asks, now.
    pub(crate) fn of(directory: &'a Directory, principal: Principal) -> Self {
        let sees = directory.visible_queues(&principal);
        Self::new(directory, (principal.tenant, principal.agent), sees, Deletes::Of(principal))
    }

    /// Of an agent who sees some queues and may delete in some, now.
    pub(crate) fn seen(
        directory: &'a Directory,
        who: (TenantId, AgentId),
        sees: QueueSet,
        deletes: QueueSet,
    ) -> Self {
        Self::new(directory, who, sees, Deletes::These(deletes))
    }

    fn new(
        directory: &'a Directory,
        (tenant, me): (TenantId, AgentId),
        sees: QueueSet,
        deletes: Deletes,
    ) -> Self {
        let lifecycles = directory.lifecycles(tenant);
        Self { directory, tenant, me, sees, deletes, lifecycles, now: wall_clock::now() }
    }

    /// As if it were this instant, where there is one.
    #[must_use]
    pub(crate) fn at_instant(self, at: Option<Timestamp>) -> Self {
        Self { now: at.unwrap_or(self.now), ..self }
    }

    /// Those that may be seen: others do not exist.
    fn queues(&self) -> Vec<QueueRow> {
        let queues = self.directory.queues(self.tenant);
        queues.into_iter().filter(|queue| self.sees.contains(queue.id)).collect()
    }

    /// What `plan` means, without the deleted tickets of queues where whoever asks may not delete.
    pub(crate) fn without_hidden(&self, plan: Plan) -> Plan {
        let deletes = match &self.deletes {
            Deletes::Of(principal) => self.directory.queues_where(principal, Right::Delete),
            Deletes::These(queues) => queues.clone(),
        };
        if deletes == QueueSet::All {
            return plan;
        }
        let queues = self.queues().into_iter().filter(|queue| deletes.contains(queue.id));
        let queues = queues.map(|queue| Plan::Queue(queue.id));
        let shown = [Plan::Not(Box::new(Plan::Deleted))].into_iter().chain(queues);
        Plan::And(vec![plan, Plan::Or(shown.collect())])
    }

    pub(crate) fn lifecycles(&self) -> &Lifecycles {
        &self.lifecycles
    }
}

impl Names for TenantNames<'_> {
    fn statuses(&self, name: &str) -> StatusSet {
        self.lifecycles.called(name)
    }

    fn status_names(&self) -> Vec<String> {
        let all = self.lifecycles.all().iter().flat_map(|lifecycle| lifecycle.statuses());
        let names: BTreeSet<&str> = all.map(|status| self.lifecycles.name(*status)).collect();
        names.into_iter().map(str::to_owned).collect()
    }

    fn category(&self, category: Category) -> StatusSet {
        self.lifecycles.known().filter(|status| self.lifecycles.category(*status) == category).collect()
    }

    fn queue(&self, name: &str) -> Option<QueueId> {
        let queues = self.queues();
        let named = queues.iter().find(|queue| queue.name.eq_ignore_ascii_case(name)).map(|queue| queue.id);
        named.or_else(|| name.parse().ok().filter(|id| queues.iter().any(|queue| queue.id == *id)))
    }

    fn queue_names(&self) -> Vec<String> {
        self.queues().into_iter().map(|queue| queue.name).collect()
    }

    fn agent(&self, name: &str) -> Option<AgentId> {
        let agents = self.directory.agents(self.tenant);
        let named = agents.iter().find(|agent| agent.name.eq_ignore_ascii_case(name)).map(|agent| agent.id);
        named.or_else(|| name.parse().ok().filter(|id| agents.iter().any(|agent| agent.id == *id)))
    }

    fn agent_names(&self) -> Vec<String> {
        self.directory.agents(self.tenant).into_iter().map(|agent| agent.name).collect()
    }

    fn has_field(&self, name: &str) -> bool {
        self.directory.fields(self.tenant).get(name).is_some()
    }

    fn field_names(&self) -> Vec<String> {
        let fields = self.directory.fields(self.tenant);
        fields.all().iter().map(|field| field.key.clone()).collect()
    }

    fn me(&self) -> AgentId {
        self.me
    }

    fn now(&self) -> Timestamp {
        self.now
    }
}
