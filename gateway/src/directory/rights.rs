//! Questions of rights. All answers are of the newest snapshot.

use waggle_core::id::{AgentId, QueueId, TenantId};
use waggle_core::right::{QueueSet, Right, Rights};
use waggle_core::ticket::{Actor, Authority, mentions};

use super::{Credential, Directory, Principal};
use crate::store::{Audience, MemberRow, PeopleRows, SavedViewRow, Scope};

impl Principal {
    /// What it was let in with allows at most, whatever the agent's roles give: a token what its scope says. Whoever has
    /// logged in himself may all that his roles say.
    #[must_use]
    pub fn cap(&self) -> Rights {
        match (self.credential, self.scope) {
            (Credential::Session(_) | Credential::Provider, _) | (_, Scope::Admin) => Rights::ALL,
            (_, Scope::Agent) => Rights::AGENT,
            (_, Scope::Read) => Rights::VIEWER,
        }
    }

    /// As the ledger wants it, which knows the ticket's queue and takes away what the agent may not do there.
    #[must_use]
    pub fn authority(&self) -> Authority {
        Authority { actor: Actor::Agent(self.agent), rights: self.cap() }
    }
}

impl Directory {
    /// What a principal may do in a queue; nothing in one that its tenant has not.
    #[must_use]
    pub fn rights(&self, principal: &Principal, queue: QueueId) -> Rights {
        self.narrowed(principal.tenant, principal.authority(), queue).rights
    }

    /// What it may do in all queues, those made later included: what settings of the tenant ask for.
    #[must_use]
    pub fn rights_everywhere(&self, principal: &Principal) -> Rights {
        let snapshot = self.inner.snapshot.load();
        let standing = snapshot.standing(principal.tenant, principal.agent);
        standing.map(|standing| standing.everywhere.and(principal.cap())).unwrap_or_default()
    }

    /// Whether it administers its tenant.
    #[must_use]
    pub fn administers(&self, principal: &Principal) -> bool {
        self.rights_everywhere(principal).has(Right::Administer)
    }

    /// What it may do in at least one queue, or in all.
    #[must_use]
    pub fn rights_somewhere(&self, principal: &Principal) -> Rights {
        let snapshot = self.inner.snapshot.load();
        let standing = snapshot.standing(principal.tenant, principal.agent);
        standing.map(|standing| standing.somewhere.and(principal.cap())).unwrap_or_default()
    }

    /// The queues whose tickets it may see. What is in no such queue does not exist for it.
    #[must_use]
    pub fn visible_queues(&self, principal: &Principal) -> QueueSet {
        let snapshot = self.inner.snapshot.load();
        match snapshot.standing(principal.tenant, principal.agent) {
            Some(standing) if principal.cap().has(Right::See) => standing.sees.clone(),
            _ => QueueSet::none(),
        }
    }

    /// The queues where it has a right; all, those made later included, where it has it everywhere.
    #[must_use]
    pub fn queues_where(&self, principal: &Principal, right: Right) -> QueueSet {
        if self.rights_everywhere(principal).has(right) {
            return QueueSet::All;
        }
        let queues = self.queues(principal.tenant).into_iter().map(|queue| queue.id);
        QueueSet::of(queues.filter(|queue| self.rights(principal, *queue).has(right)))
    }

    /// `authority` with the rights that its agent has in a queue, and no others. Requesters and Waggle itself have no
    /// roles: theirs stay.
    #[must_use]
    pub fn narrowed(&self, tenant: TenantId, authority: Authority, queue: QueueId) -> Authority {
        let Actor::Agent(agent) = authority.actor else { return authority };
        let snapshot = self.inner.snapshot.load();
        let roles =
            snapshot.standing(tenant, agent).map(|standing| standing.in_queue(queue)).unwrap_or_default();
        Authority { rights: authority.rights.and(roles), ..authority }
    }

    /// `authority` with the rights that its agent has in all queues, and no others: what changes the tenant asks for.
    #[must_use]
    pub fn narrowed_everywhere(&self, tenant: TenantId, authority: Authority) -> Authority {
        let Actor::Agent(agent) = authority.actor else { return authority };
        let snapshot = self.inner.snapshot.load();
        let roles = snapshot.standing(tenant, agent).map(|standing| standing.everywhere).unwrap_or_default();
        Authority { rights: authority.rights.and(roles), ..authority }
    }

    /// Whether an agent may see a queue's tickets, by its roles.
    #[must_use]
    pub fn agent_sees(&self, tenant: TenantId, agent: AgentId, queue: QueueId) -> bool {
        let snapshot = self.inner.snapshot.load();
        snapshot.standing(tenant, agent).is_some_and(|standing| standing.in_queue(queue).has(Right::See))
    }

    /// Whether somebody sees a saved view: its owner and its audience do.
    #[must_use]
    pub fn sees_view(&self, principal: &Principal, view: &SavedViewRow) -> bool {
        let is_owner = view.owner == principal.agent;
        match view.audience {
            Audience::Private => is_owner,
            Audience::Tenant => true,
            Audience::Team(team) => {
                let snapshot = self.inner.snapshot.load();
                let members = snapshot.tenant(principal.tenant).map(|tenant| &tenant.people.members);
                let is_member = |it: &MemberRow| (it.team, it.agent) == (team, principal.agent);
                is_owner || members.is_some_and(|members| members.iter().any(is_member))
            }
        }
    }

    /// The agents whom a text names, of those who are let in and may see a queue's tickets.
    #[must_use]
    pub fn mentioned(&self, tenant: TenantId, queue: QueueId, text: &str) -> Vec<AgentId> {
        let snapshot = self.inner.snapshot.load();
        let Some(known) = snapshot.tenant(tenant) else { return Vec::new() };
        let active = known.agents.iter().filter(|agent| agent.deactivated_at.is_none());
        let mut named = mentions(text, active.map(|agent| (agent.id, agent.name.as_str())));
        named.retain(|agent| {
            let standing = snapshot.standing(tenant, *agent);
            standing.is_some_and(|standing| standing.in_queue(queue).has(Right::See))
        });
        named
    }

    /// The tenant's teams, roles, and who has which.
    #[must_use]
    pub fn people(&self, tenant: TenantId) -> PeopleRows {
        self.inner.snapshot.load().tenant(tenant).map(|tenant| tenant.people.clone()).unwrap_or_default()
    }
}
