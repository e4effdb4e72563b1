//! What the names in a query stand for.

use std::collections::BTreeSet;
use std::sync::Arc;

use waggle_core::find::{Names, Plan};
use waggle_core::id::{AgentId, QueueId};
use waggle_core::right::Right;
use waggle_core::ticket::{Category, Lifecycles, StatusSet};
use waggle_core::time::Timestamp;

use super::auth;
use crate::directory::{Directory, Principal};
use crate::store::QueueRow;

/// The names of whoever asks.
pub(super) struct TenantNames<'a> {
    directory: &'a Directory,
    principal: Principal,
    lifecycles: Arc<Lifecycles>,
    now: Timestamp,
}

impl<'a> TenantNames<'a> {
    pub(super) fn of(directory: &'a Directory, principal: Principal) -> Self {
        let lifecycles = directory.lifecycles(principal.tenant);
        Self { directory, principal, lifecycles, now: auth::now() }
    }

    /// Those that may be seen: others do not exist.
    fn queues(&self) -> Vec<QueueRow> {
        let sees = self.directory.visible_queues(&self.principal);
        let queues = self.directory.queues(self.principal.tenant);
        queues.into_iter().filter(|queue| sees.contains(queue.id)).collect()
    }

    /// What `plan` means, without the deleted tickets of queues where whoever asks may not delete.
    pub(super) fn without_hidden(&self, plan: Plan) -> Plan {
        let may_delete =
            |queue: &QueueRow| self.directory.rights(&self.principal, queue.id).has(Right::Delete);
        let queues = self.queues().into_iter().filter(may_delete).map(|queue| Plan::Queue(queue.id));
        let shown = [Plan::Not(Box::new(Plan::Deleted))].into_iter().chain(queues);
        Plan::And(vec![plan, Plan::Or(shown.collect())])
    }

    pub(super) fn lifecycles(&self) -> &Lifecycles {
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
        let agents = self.directory.agents(self.principal.tenant);
        let named = agents.iter().find(|agent| agent.name.eq_ignore_ascii_case(name)).map(|agent| agent.id);
        named.or_else(|| name.parse().ok().filter(|id| agents.iter().any(|agent| agent.id == *id)))
    }

    fn agent_names(&self) -> Vec<String> {
        self.directory.agents(self.principal.tenant).into_iter().map(|agent| agent.name).collect()
    }

    fn has_field(&self, name: &str) -> bool {
        self.directory.fields(self.principal.tenant).get(name).is_some()
    }

    fn field_names(&self) -> Vec<String> {
        let fields = self.directory.fields(self.principal.tenant);
        fields.all().iter().map(|field| field.key.clone()).collect()
    }

    fn me(&self) -> AgentId {
        self.principal.agent
    }

    fn now(&self) -> Timestamp {
        self.now
    }
}
