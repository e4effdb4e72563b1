//! Who may: tenants, queues, agents and tokens, in memory.

mod refresh;
mod snapshot;
mod token;

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::watch;
use waggle_core::id::{AgentId, QueueId, TenantId};
use waggle_core::right::Rights;
use waggle_core::ticket::{Actor, Authority, Lifecycles};
use waggle_core::time::Timestamp;

pub use refresh::keep_fresh;
pub use token::{PREFIX, TOKEN_CHARS, Token};

use crate::store::{AgentRow, DirectoryRows, QueueRow, Scope, Store, StoreError, TenantRow};
use snapshot::Snapshot;

/// Whoever shows a valid token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Principal {
    /// Whose data it may see.
    pub tenant: TenantId,
    /// As whom it acts.
    pub agent: AgentId,
    /// What it may do.
    pub scope: Scope,
    /// The token's number.
    pub token: u64,
    /// When the token ends.
    pub expires_at: Option<Timestamp>,
}

impl Principal {
    /// As admission wants it.
    #[must_use]
    pub fn authority(&self) -> Authority {
        let rights = match self.scope {
            Scope::Agent => Rights::AGENT,
            Scope::Admin => Rights::ALL,
        };
        Authority { actor: Actor::Agent(self.agent), rights }
    }

    fn is_over(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| now >= end)
    }
}

/// Why a token is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// It is none at all.
    #[error("that is no token; expected wgl_…")]
    Malformed,
    /// No such token.
    #[error("the token is unknown or revoked")]
    Unknown,
    /// It was one.
    #[error("the token is unknown or revoked")]
    Revoked,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
}

impl AuthError {
    /// Whether somebody tries to guess a token: what was one, or has no token's form, is a mistake.
    #[must_use]
    pub fn is_guess(self) -> bool {
        self == Self::Unknown
    }
}

/// The directory of one gateway: a snapshot that is swapped whole when something changes. Clones share it.
#[derive(Clone)]
pub struct Directory {
    inner: Arc<Inner>,
}

struct Inner {
    snapshot: ArcSwap<Snapshot>,
    revision: watch::Sender<u64>,
}

impl Directory {
    /// A directory of these rows.
    #[must_use]
    pub fn new(rows: DirectoryRows) -> Self {
        let snapshot = Snapshot::new(rows);
        let revision = watch::Sender::new(snapshot.revision);
        Self { inner: Arc::new(Inner { snapshot: ArcSwap::from_pointee(snapshot), revision }) }
    }

    /// Reads the directory from storage.
    ///
    /// # Errors
    /// As storage tells them.
    pub async fn open(store: &dyn Store) -> Result<Self, StoreError> {
        Ok(Self::new(store.directory().await?))
    }

    /// Takes what storage has, where its revision is newer; tells whether it was.
    ///
    /// # Errors
    /// As storage tells them; the directory stays as it was.
    pub async fn refresh(&self, store: &dyn Store) -> Result<bool, StoreError> {
        if store.directory_revision().await? <= self.inner.snapshot.load().revision {
            return Ok(false);
        }
        Ok(self.replace(store.directory().await?))
    }

    /// Swaps the snapshot for a newer one and tells all who watch. Of two that read storage at the same time
    /// the one that read it earlier may come later: what it has is old, and is not taken.
    fn replace(&self, rows: DirectoryRows) -> bool {
        let fresh = Arc::new(Snapshot::new(rows));
        let newer =
            |known: &Arc<Snapshot>| Arc::clone(if known.revision < fresh.revision { &fresh } else { known });
        self.inner.snapshot.rcu(newer);
        self.inner.revision.send_if_modified(|told| {
            let is_newer = *told < fresh.revision;
            *told = fresh.revision.max(*told);
            is_newer
        })
    }

    /// Checks a token without touching storage.
    ///
    /// # Errors
    /// Where it is not valid at `now`.
    pub fn authenticate(&self, token: &str, now: Timestamp) -> Result<Principal, AuthError> {
        if !token::is_token_shaped(token) {
            return Err(AuthError::Malformed);
        }
        let snapshot = self.inner.snapshot.load();
        let hash = token::hash(token);
        let principal = snapshot.by_hash(&hash).ok_or_else(|| {
            if snapshot.is_revoked(&hash) { AuthError::Revoked } else { AuthError::Unknown }
        })?;
        if principal.is_over(now) {
            return Err(AuthError::Expired);
        }
        Ok(*principal)
    }

    /// Whether a principal's token is still good: sessions ask after every change.
    pub fn still_valid(&self, principal: &Principal, now: Timestamp) -> bool {
        !principal.is_over(now) && self.inner.snapshot.load().by_token(principal.token) == Some(principal)
    }

    /// Whether the tenant has this queue.
    pub fn has_queue(&self, tenant: TenantId, queue: QueueId) -> bool {
        self.inner.snapshot.load().has_queue(tenant, queue)
    }

    /// Whether the tenant has this agent.
    pub fn has_agent(&self, tenant: TenantId, agent: AgentId) -> bool {
        self.inner.snapshot.load().has_agent(tenant, agent)
    }

    /// The tenant.
    pub fn tenant(&self, tenant: TenantId) -> Option<TenantRow> {
        self.inner.snapshot.load().tenant(tenant).map(|tenant| tenant.row.clone())
    }

    /// The tenant's queues, by number.
    pub fn queues(&self, tenant: TenantId) -> Vec<QueueRow> {
        self.inner.snapshot.load().tenant(tenant).map(|tenant| tenant.queues.clone()).unwrap_or_default()
    }

    /// The tenant's agents, by number.
    pub fn agents(&self, tenant: TenantId) -> Vec<AgentRow> {
        self.inner.snapshot.load().tenant(tenant).map(|tenant| tenant.agents.clone()).unwrap_or_default()
    }

    /// The tenant's lifecycles.
    pub fn lifecycles(&self, tenant: TenantId) -> Arc<Lifecycles> {
        let snapshot = self.inner.snapshot.load();
        snapshot.tenant(tenant).map_or_else(Lifecycles::built_in, |tenant| Arc::clone(&tenant.lifecycles))
    }

    /// The numbers of all tenants.
    pub fn tenants(&self) -> Vec<TenantId> {
        self.inner.snapshot.load().tenants().collect()
    }

    /// The tenant's lifecycles, and the revision of the directory that they are of.
    pub fn lifecycles_at(&self, tenant: TenantId) -> (u64, Arc<Lifecycles>) {
        let snapshot = self.inner.snapshot.load();
        let lifecycles = snapshot.tenant(tenant).map(|tenant| Arc::clone(&tenant.lifecycles));
        (snapshot.revision, lifecycles.unwrap_or_else(Lifecycles::built_in))
    }

    /// The revision, which changes when anything here does.
    pub fn revision(&self) -> watch::Receiver<u64> {
        self.inner.revision.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use waggle_core::id::{Epoch, LifecycleId};

    use super::*;
    use crate::store::TokenRow;

    fn rows(revision: u64, token: Option<&Token>, expires_at: Option<Timestamp>) -> DirectoryRows {
        let (tenant, agent) = (TenantId(1), AgentId(1));
        let row = |token: &Token| TokenRow {
            id: 9,
            tenant,
            agent,
            scope: Scope::Agent,
            hash: token.hash(),
            expires_at,
        };
        DirectoryRows {
            revision,
            tenants: vec![TenantRow { id: tenant, name: "acme".to_owned(), epoch: Epoch(1) }],
            lifecycles: Vec::new(),
            queues: vec![QueueRow {
                tenant,
                id: QueueId(1),
                name: "support".to_owned(),
                lifecycle: LifecycleId(1),
            }],
            agents: vec![AgentRow { tenant, id: agent, name: "ana".to_owned() }],
            tokens: token.map(row).into_iter().collect(),
            revoked: Vec::new(),
        }
    }

    #[test]
    fn a_token_is_taken_until_it_expires_or_is_revoked() {
        let token = Token::make().unwrap();
        let directory = Directory::new(rows(1, Some(&token), Some(Timestamp(100))));
        let principal = directory.authenticate(token.reveal(), Timestamp(99)).unwrap();
        assert_eq!((principal.tenant, principal.agent, principal.token), (TenantId(1), AgentId(1), 9));
        assert!(directory.still_valid(&principal, Timestamp(99)));
        assert_eq!(directory.authenticate(token.reveal(), Timestamp(100)), Err(AuthError::Expired));
        assert!(!directory.still_valid(&principal, Timestamp(100)));

        let mut revision = directory.revision();
        assert!(directory.replace(DirectoryRows { revoked: vec![token.hash()], ..rows(2, None, None) }));
        // What was read before comes after it.
        assert!(!directory.replace(rows(1, Some(&token), None)));
        assert!(revision.has_changed().unwrap());
        assert_eq!(*revision.borrow_and_update(), 2);
        assert!(!directory.still_valid(&principal, Timestamp(99)));
        assert_eq!(directory.authenticate(token.reveal(), Timestamp(99)), Err(AuthError::Revoked));
        assert!(!AuthError::Revoked.is_guess() && !AuthError::Expired.is_guess());
    }

    #[test]
    fn what_is_no_token_is_no_guess() {
        let token = Token::make().unwrap();
        let directory = Directory::new(rows(1, Some(&token), None));
        let other = Token::make().unwrap();
        let long = format!("{}x", token.reveal());
        for text in ["", "wgl_", "Bearer", &long] {
            assert_eq!(directory.authenticate(text, Timestamp(0)), Err(AuthError::Malformed), "{text}");
        }
        assert_eq!(directory.authenticate(other.reveal(), Timestamp(0)), Err(AuthError::Unknown));
        assert!(AuthError::Unknown.is_guess() && !AuthError::Malformed.is_guess());
    }

    #[test]
    fn ids_belong_to_their_tenant() {
        let directory = Directory::new(rows(1, None, None));
        assert!(
            directory.has_queue(TenantId(1), QueueId(1)) && !directory.has_queue(TenantId(2), QueueId(1))
        );
        assert!(
            directory.has_agent(TenantId(1), AgentId(1)) && !directory.has_agent(TenantId(1), AgentId(2))
        );
        assert!(directory.tenant(TenantId(2)).is_none() && directory.queues(TenantId(2)).is_empty());
    }
}
