//! Who may: tenants, queues, agents and tokens, in memory.

use std::sync::Arc;

use tokio::sync::watch;
use waggle_core::id::{AgentId, QueueId, TenantId};
use waggle_core::ticket::{Actor, Authority, Right};
use waggle_core::time::Timestamp;

use crate::store::Scope;

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
        let right = match self.scope {
            Scope::Agent => Right::Agent,
            Scope::Admin => Right::Admin,
        };
        Authority { actor: Actor::Agent(self.agent), right }
    }
}

/// Why a token is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// No such token, or it is revoked, or it is none at all.
    #[error("the token is unknown or revoked")]
    Unknown,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
}

/// The directory of one gateway: a snapshot that is swapped whole when something changes. Clones share it.
#[derive(Clone)]
pub struct Directory {
    _inner: Arc<()>,
}

impl Directory {
    /// Checks a token without touching storage.
    ///
    /// # Errors
    /// Where it is not valid at `now`.
    pub fn authenticate(&self, token: &str, now: Timestamp) -> Result<Principal, AuthError> {
        let _ = (token, now);
        Err(AuthError::Unknown)
    }

    /// Whether a principal's token is still good: sessions ask after every change.
    pub fn still_valid(&self, principal: &Principal, now: Timestamp) -> bool {
        let _ = (principal, now);
        false
    }

    /// Whether the tenant has this queue.
    pub fn has_queue(&self, tenant: TenantId, queue: QueueId) -> bool {
        let _ = (tenant, queue);
        false
    }

    /// Whether the tenant has this agent.
    pub fn has_agent(&self, tenant: TenantId, agent: AgentId) -> bool {
        let _ = (tenant, agent);
        false
    }

    /// The revision, which changes when anything here does.
    pub fn revision(&self) -> watch::Receiver<u64> {
        watch::channel(0).1
    }
}
