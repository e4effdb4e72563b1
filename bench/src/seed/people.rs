//! The tenant's queues, agents and tokens.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use serde_json::json;
use waggle_core::id::{AgentId, QueueId, TenantId};
use waggle_gateway::directory::Token;
use waggle_gateway::store::{Scope, Store};

use super::shape::Sizes;

/// The tenant of `waggle serve --demo`, so that this shows what was seeded.
const TENANT: &str = "demo";
/// The first two are those of `--demo`.
const QUEUES: [&str; 12] = [
    "support",
    "billing",
    "orders",
    "returns",
    "shipping",
    "accounts",
    "cards",
    "transfers",
    "technical",
    "partners",
    "privacy",
    "press",
];
/// As above.
const AGENTS: [&str; 8] = ["ana", "ben", "chloe", "dmitri", "esra", "farid", "grace", "hiro"];

struct Named<Id> {
    id: Id,
    name: String,
    token: String,
}

/// Who there is.
pub(super) struct People {
    tenant: TenantId,
    queues: Vec<Named<QueueId>>,
    agents: Vec<Named<AgentId>>,
    admin: String,
}

impl People {
    /// Makes them.
    pub(super) async fn make(store: &dyn Store, sizes: &Sizes) -> Result<Self> {
        let tenant = store.create_tenant(TENANT).await?.id;
        let mut people = Self { tenant, queues: Vec::new(), agents: Vec::new(), admin: String::new() };
        for index in 0..sizes.queues {
            let name = name(&QUEUES, index);
            let id = store.create_queue(tenant, &name).await?.id;
            people.queues.push(Named { id, name, token: String::new() });
        }
        for index in 0..sizes.agents {
            let name = name(&AGENTS, index);
            let id = store.create_agent(tenant, &name).await?.id;
            let token = make_token(store, tenant, id, Scope::Agent).await?;
            people.agents.push(Named { id, name, token });
        }
        let first = people.agents.first().map(|agent| agent.id).context("a desk without agents")?;
        people.admin = make_token(store, tenant, first, Scope::Admin).await?;
        Ok(people)
    }

    pub(super) fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// The `index`-th queue, from zero.
    pub(super) fn queue(&self, index: u32) -> QueueId {
        self.queues.get(index as usize).map_or(QueueId(1), |queue| queue.id)
    }

    /// The `index`-th agent, from zero.
    pub(super) fn agent(&self, index: u32) -> AgentId {
        self.agents.get(index as usize).map_or(AgentId(1), |agent| agent.id)
    }

    /// Writes what `waggle serve --demo` keeps in `path`: tokens' texts are stored nowhere else.
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let queues = self.queues.iter().map(|queue| json!({"id": queue.id, "name": queue.name}));
        let agents =
            self.agents.iter().map(|agent| json!({"id": agent.id, "name": agent.name, "token": agent.token}));
        let demo = json!({
            "tenant": {"id": self.tenant, "name": TENANT},
            "queues": queues.collect::<Vec<_>>(),
            "agents": agents.collect::<Vec<_>>(),
            "admin": {"token": self.admin},
        });
        let mut options = OpenOptions::new();
        let mut out = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)
            .with_context(|| format!("cannot write {}", path.display()))?;
        out.write_all(serde_json::to_string_pretty(&demo)?.as_bytes())?;
        Ok(out.sync_all()?)
    }
}

/// The `index`-th name; after the last of them, with a number.
fn name(names: &[&str], index: u32) -> String {
    let index = index as usize;
    match (names.get(index), names.get(index % names.len().max(1))) {
        (Some(name), _) => (*name).to_owned(),
        (None, name) => format!("{}-{}", name.copied().unwrap_or("more"), index / names.len().max(1) + 1),
    }
}

async fn make_token(store: &dyn Store, tenant: TenantId, agent: AgentId, scope: Scope) -> Result<String> {
    let token = Token::make().map_err(|error| anyhow!("no random bytes: {error}"))?;
    store.create_token(tenant, agent, scope, token.hash(), None).await?;
    Ok(token.reveal().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_end_and_do_not_repeat() {
        let mut names: Vec<_> = (0..100).map(|index| name(&AGENTS, index)).collect();
        assert_eq!((names[0].as_str(), names[8].as_str()), ("ana", "ana-2"));
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 100);
    }
}
