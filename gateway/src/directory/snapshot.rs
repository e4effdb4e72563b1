//! One consistent state of the directory, arranged for looking up.

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};
use waggle_core::id::{AgentId, QueueId, TenantId};
use waggle_core::ticket::{LifecycleRow, Lifecycles};

use super::Principal;
use crate::store::{AgentRow, DirectoryRows, QueueRow, TenantRow};

/// A snapshot: never changed, replaced whole.
#[derive(Default)]
pub(super) struct Snapshot {
    /// The store's revision that this is.
    pub(super) revision: u64,
    /// By SHA-256 of the token's text: uniform already, so that a simple hasher does.
    by_hash: FxHashMap<[u8; 32], Principal>,
    by_token: FxHashMap<u64, Principal>,
    revoked: FxHashSet<[u8; 32]>,
    tenants: FxHashMap<TenantId, Tenant>,
}

/// A tenant with its people and queues, by number.
pub(super) struct Tenant {
    pub(super) row: TenantRow,
    pub(super) queues: Vec<QueueRow>,
    pub(super) agents: Vec<AgentRow>,
    pub(super) lifecycles: Arc<Lifecycles>,
    queue_ids: FxHashSet<QueueId>,
    agent_ids: FxHashSet<AgentId>,
}

impl Snapshot {
    /// Arranges rows; those of a tenant that is not there are left out.
    pub(super) fn new(rows: DirectoryRows) -> Self {
        let revoked = rows.revoked.into_iter().collect();
        let mut snapshot = Self { revision: rows.revision, revoked, ..Self::default() };
        for row in rows.tenants {
            snapshot.tenants.insert(row.id, Tenant::new(row));
        }
        for queue in rows.queues {
            if let Some(tenant) = snapshot.tenants.get_mut(&queue.tenant) {
                tenant.queue_ids.insert(queue.id);
                tenant.queues.push(queue);
            }
        }
        for agent in rows.agents {
            if let Some(tenant) = snapshot.tenants.get_mut(&agent.tenant) {
                tenant.agent_ids.insert(agent.id);
                tenant.agents.push(agent);
            }
        }
        for tenant in snapshot.tenants.values_mut() {
            tenant.queues.sort_by_key(|queue| queue.id);
            tenant.agents.sort_by_key(|agent| agent.id);
            let own = rows.lifecycles.iter().filter(|lifecycle| lifecycle.tenant == tenant.row.id);
            let own: Vec<LifecycleRow> = own.map(|lifecycle| lifecycle.row.clone()).collect();
            let queues = tenant.queues.iter().map(|queue| (queue.id, queue.lifecycle));
            tenant.lifecycles = Arc::new(Lifecycles::new(&own, queues));
        }
        for token in rows.tokens {
            if !snapshot.has_agent(token.tenant, token.agent) {
                continue;
            }
            let principal = Principal {
                tenant: token.tenant,
                agent: token.agent,
                scope: token.scope,
                token: token.id,
                expires_at: token.expires_at,
            };
            snapshot.by_hash.insert(token.hash, principal);
            snapshot.by_token.insert(token.id, principal);
        }
        snapshot
    }

    pub(super) fn by_hash(&self, hash: &[u8; 32]) -> Option<&Principal> {
        self.by_hash.get(hash)
    }

    pub(super) fn is_revoked(&self, hash: &[u8; 32]) -> bool {
        self.revoked.contains(hash)
    }

    pub(super) fn by_token(&self, token: u64) -> Option<&Principal> {
        self.by_token.get(&token)
    }

    pub(super) fn tenant(&self, tenant: TenantId) -> Option<&Tenant> {
        self.tenants.get(&tenant)
    }

    pub(super) fn tenants(&self) -> impl Iterator<Item = TenantId> {
        self.tenants.keys().copied()
    }

    pub(super) fn has_queue(&self, tenant: TenantId, queue: QueueId) -> bool {
        self.tenant(tenant).is_some_and(|tenant| tenant.queue_ids.contains(&queue))
    }

    pub(super) fn has_agent(&self, tenant: TenantId, agent: AgentId) -> bool {
        self.tenant(tenant).is_some_and(|tenant| tenant.agent_ids.contains(&agent))
    }
}

impl Tenant {
    fn new(row: TenantRow) -> Self {
        Self {
            row,
            queues: Vec::new(),
            agents: Vec::new(),
            lifecycles: Lifecycles::built_in(),
            queue_ids: FxHashSet::default(),
            agent_ids: FxHashSet::default(),
        }
    }
}
