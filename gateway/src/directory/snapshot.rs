//! One consistent state of the directory, arranged for looking up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustc_hash::{FxHashMap, FxHashSet};
use waggle_core::id::{AgentId, QueueId, TenantId};
use waggle_core::limits::SEEN_STEP_MS;
use waggle_core::right::Rights;
use waggle_core::ticket::{FieldSet, LifecycleRow, Lifecycles};
use waggle_core::time::Timestamp;

use super::standing::{self, Standing};
use super::{Credential, Principal};
use crate::store::{AgentRow, DirectoryRows, PeopleRows, QueueRow, Scope, SessionRow, TenantRow, TokenRow};

/// A snapshot: never changed, replaced whole. Only when a credential was last used changes, which snapshots share.
#[derive(Default)]
pub(super) struct Snapshot {
    /// The store's revision that this is.
    pub(super) revision: u64,
    /// By SHA-256 of the secret's text: uniform already, so that a simple hasher does.
    by_hash: FxHashMap<[u8; 32], Arc<Known>>,
    by_credential: FxHashMap<Credential, Arc<Known>>,
    revoked: FxHashSet<[u8; 32]>,
    tenants: FxHashMap<TenantId, Tenant>,
    by_tenant_name: FxHashMap<String, TenantId>,
    /// Which agent an identity is: by tenant, issuer and subject.
    identities: FxHashMap<(TenantId, String), FxHashMap<String, AgentId>>,
    pub(super) sessions: Vec<SessionRow>,
    pub(super) tokens: Vec<TokenRow>,
}

/// Whoever has a credential, and when it was last used.
pub(super) struct Known {
    pub(super) principal: Principal,
    idle_ms: u64,
    last_use: Arc<LastUse>,
}

/// When a credential was last used: as it is, and as far as it is written.
#[derive(Default)]
struct LastUse {
    at: AtomicU64,
    written_at: AtomicU64,
}

impl Known {
    /// Whether it has not been used for too long.
    pub(super) fn is_idle(&self, now: Timestamp) -> bool {
        now.0.saturating_sub(self.last_use.at.load(Ordering::Relaxed)) >= self.idle_ms
    }

    /// It is used now. Once a minute this writes; else it only reads.
    pub(super) fn touch(&self, now: Timestamp) {
        if now.0.saturating_sub(self.last_use.at.load(Ordering::Relaxed)) >= SEEN_STEP_MS {
            self.last_use.at.fetch_max(now.0, Ordering::Relaxed);
        }
    }

    pub(super) fn seen_at(&self) -> Timestamp {
        Timestamp(self.last_use.at.load(Ordering::Relaxed))
    }

    /// When it was last used, where that is later than is written.
    pub(super) fn unwritten(&self) -> Option<Timestamp> {
        Some(self.seen_at()).filter(|at| at.0 > self.last_use.written_at.load(Ordering::Relaxed))
    }

    /// Its last use up to `at` is written.
    pub(super) fn written(&self, at: Timestamp) {
        self.last_use.written_at.fetch_max(at.0, Ordering::Relaxed);
    }
}

/// A tenant with its people and queues, by number.
pub(super) struct Tenant {
    pub(super) row: TenantRow,
    pub(super) queues: Vec<QueueRow>,
    pub(super) agents: Vec<AgentRow>,
    pub(super) lifecycles: Arc<Lifecycles>,
    pub(super) people: PeopleRows,
    pub(super) fields: Arc<FieldSet>,
    queue_ids: FxHashSet<QueueId>,
    /// Of those that are let in.
    agent_ids: FxHashSet<AgentId>,
    standings: FxHashMap<AgentId, Arc<Standing>>,
}

impl Snapshot {
    /// Arranges rows; those of a tenant that is not there are left out. What was used after it was written is
    /// known from the snapshot `before`.
    pub(super) fn new(rows: DirectoryRows, before: &Self) -> Self {
        let revoked = rows.revoked.into_iter().collect();
        let mut snapshot = Self { revision: rows.revision, revoked, ..Self::default() };
        for row in rows.tenants {
            snapshot.by_tenant_name.insert(row.name.clone(), row.id);
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
                if agent.deactivated_at.is_none() {
                    tenant.agent_ids.insert(agent.id);
                }
                tenant.agents.push(agent);
            }
        }
        snapshot.add_people(rows.people);
        for tenant in snapshot.tenants.values_mut() {
            tenant.queues.sort_by_key(|queue| queue.id);
            tenant.agents.sort_by_key(|agent| agent.id);
            let own = rows.lifecycles.iter().filter(|lifecycle| lifecycle.tenant == tenant.row.id);
            let own: Vec<LifecycleRow> = own.map(|lifecycle| lifecycle.row.clone()).collect();
            let queues = tenant.queues.iter().map(|queue| (queue.id, queue.lifecycle));
            tenant.lifecycles = Arc::new(Lifecycles::new(&own, queues));
            tenant.standings = standing::of_tenant(&tenant.people, &tenant.queues);
            let own = rows.fields.iter().filter(|field| field.tenant == tenant.row.id);
            tenant.fields = Arc::new(FieldSet::new(own.map(|field| field.field.clone()).collect()));
        }
        for token in rows.tokens {
            snapshot.add_token(token, before);
        }
        for session in rows.sessions {
            snapshot.add_session(session, before);
        }
        for row in rows.identities {
            if snapshot.has_agent(row.tenant, row.agent) {
                let of_issuer = snapshot.identities.entry((row.tenant, row.issuer)).or_default();
                of_issuer.insert(row.subject, row.agent);
            }
        }
        snapshot
    }

    fn add_people(&mut self, people: PeopleRows) {
        for team in people.teams {
            if let Some(tenant) = self.tenants.get_mut(&team.tenant) {
                tenant.people.teams.push(team);
            }
        }
        for member in people.members {
            if let Some(tenant) = self.tenants.get_mut(&member.tenant) {
                tenant.people.members.push(member);
            }
        }
        for role in people.roles {
            if let Some(tenant) = self.tenants.get_mut(&role.tenant) {
                tenant.people.roles.push(role);
            }
        }
        for grant in people.grants {
            if let Some(tenant) = self.tenants.get_mut(&grant.tenant) {
                tenant.people.grants.push(grant);
            }
        }
    }

    /// What an agent may do; none for one without any role.
    pub(super) fn standing(&self, tenant: TenantId, agent: AgentId) -> Option<&Standing> {
        self.tenant(tenant)?.standings.get(&agent).map(|standing| &**standing)
    }

    fn add_token(&mut self, row: TokenRow, before: &Self) {
        if !self.has_agent(row.tenant, row.agent) {
            return;
        }
        let principal = Principal {
            tenant: row.tenant,
            agent: row.agent,
            scope: row.scopes.widest(),
            credential: Credential::Token(row.id),
            expires_at: row.expires_at,
        };
        let written_at = row.seen_at.map_or(0, |at| at.0);
        self.add(row.hash, principal, u64::MAX, written_at, before);
        self.tokens.push(row);
    }

    fn add_session(&mut self, row: SessionRow, before: &Self) {
        if !self.has_agent(row.tenant, row.agent) {
            return;
        }
        let principal = Principal {
            tenant: row.tenant,
            agent: row.agent,
            scope: self.scope_of(row.tenant, row.agent),
            credential: Credential::Session(row.id),
            expires_at: Some(row.expires_at),
        };
        self.add(row.hash, principal, row.idle_ms, row.seen_at.0, before);
        self.sessions.push(row);
    }

    fn add(&mut self, hash: [u8; 32], principal: Principal, idle_ms: u64, written_at: u64, before: &Self) {
        let credential = principal.credential;
        let earlier = before.by_credential.get(&credential);
        let last_use = earlier.map_or_else(Arc::default, |earlier| Arc::clone(&earlier.last_use));
        last_use.at.fetch_max(written_at, Ordering::Relaxed);
        last_use.written_at.fetch_max(written_at, Ordering::Relaxed);
        let known = Arc::new(Known { principal, idle_ms, last_use });
        self.by_hash.insert(hash, Arc::clone(&known));
        self.by_credential.insert(credential, known);
    }

    /// The scope of an agent who is let in by something else than a token: the least that takes away nothing of what
    /// its roles allow.
    pub(super) fn scope_of(&self, tenant: TenantId, agent: AgentId) -> Scope {
        let allowed = self.standing(tenant, agent).map(|standing| standing.somewhere).unwrap_or_default();
        if allowed.without(Rights::AGENT).is_empty() { Scope::Agent } else { Scope::Admin }
    }

    pub(super) fn by_hash(&self, hash: &[u8; 32]) -> Option<&Known> {
        self.by_hash.get(hash).map(Arc::as_ref)
    }

    pub(super) fn is_revoked(&self, hash: &[u8; 32]) -> bool {
        self.revoked.contains(hash)
    }

    pub(super) fn by_credential(&self, credential: Credential) -> Option<&Known> {
        self.by_credential.get(&credential).map(Arc::as_ref)
    }

    /// All that has a credential in storage.
    pub(super) fn known(&self) -> impl Iterator<Item = &Known> {
        self.by_credential.values().map(Arc::as_ref)
    }

    pub(super) fn tenant(&self, tenant: TenantId) -> Option<&Tenant> {
        self.tenants.get(&tenant)
    }

    pub(super) fn tenants(&self) -> impl Iterator<Item = TenantId> {
        self.tenants.keys().copied()
    }

    pub(super) fn tenant_named(&self, name: &str) -> Option<TenantId> {
        self.by_tenant_name.get(name).copied()
    }

    pub(super) fn identity(&self, tenant: TenantId, issuer: &str, subject: &str) -> Option<AgentId> {
        self.identities.get(&(tenant, issuer.to_owned()))?.get(subject).copied()
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
            people: PeopleRows::default(),
            standings: FxHashMap::default(),
            fields: Arc::default(),
            queue_ids: FxHashSet::default(),
            agent_ids: FxHashSet::default(),
        }
    }
}
