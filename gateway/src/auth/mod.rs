//! Letting people in: passwords, sessions, and what an identity provider says. Tokens are the directory's.

mod doors;
mod hasher;
mod keep;
mod login;
mod oidc;
mod password;
mod provider;

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{mpsc, watch};
use waggle_core::id::{AgentId, TenantId};
use waggle_core::limits::AUDIT_WAITING_MAX;

pub use doors::Doors;
pub use hasher::{Busy, Hasher, Line};
pub use keep::keep_credentials;
pub use login::{Client, LoginError, LoginRequest, Opened};
pub use oidc::{Begun, Callback, OidcError};
pub use password::{HashError, Password, WeakPassword, hash as hash_password};
pub use provider::{
    FetchError, LoginSettings, Provider, ProviderError, ProviderSettings, RootsError, Strangers, algorithms,
    check_address,
};

use crate::directory::{Directory, PushTokenError};
use crate::store::{AuditEntry, Store, StoreError};

/// How long sessions last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionRules {
    /// Milliseconds without use after which one ends.
    pub idle_ms: u64,
    /// Milliseconds after which one ends, used or not.
    pub lasts_ms: u64,
}

/// What was counted.
#[derive(Debug, Default)]
pub struct AuthStats {
    /// Logins that opened a session.
    pub logins: AtomicU64,
    /// With a wrong tenant, name or password, or an identity that nobody here has.
    pub failed: AtomicU64,
    /// Refused because of the failures before them.
    pub throttled: AtomicU64,
    /// Refused because too many were under way.
    pub busy: AtomicU64,
    /// Passwords that were compared with a hash.
    pub compared: AtomicU64,
    /// Entries of the audit log about failures that could not be written.
    pub audit_lost: AtomicU64,
}

impl AuthStats {
    fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Lets people in. One for the gateway.
pub struct Auth {
    store: Arc<dyn Store>,
    directory: Directory,
    hasher: Hasher,
    doors: Doors,
    rules: SessionRules,
    /// A hash of no password, for accounts that do not exist: they take as long as those that do.
    nobody: String,
    failures: mpsc::Sender<AuditEntry>,
    provider: Option<Arc<Provider>>,
    stats: AuthStats,
}

impl Auth {
    /// Starts the threads that hash, and gives what writes failures to the audit log: to be run as a task.
    ///
    /// # Errors
    /// Where the system has no threads, memory or random bytes.
    pub fn start(
        store: Arc<dyn Store>,
        directory: Directory,
        rules: SessionRules,
        provider: Option<Arc<Provider>>,
    ) -> io::Result<(Self, FailureLog)> {
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let nobodys = Password::new(random.iter().map(|byte| char::from(*byte)).collect());
        let nobody = password::hash(&nobodys).map_err(io::Error::other)?;
        let (failures, waiting) = mpsc::channel(AUDIT_WAITING_MAX);
        let log = FailureLog { store: Arc::clone(&store), waiting };
        let (hasher, doors) = (Hasher::start()?, Doors::new());
        let stats = AuthStats::default();
        Ok((Self { store, directory, hasher, doors, rules, nobody, failures, provider, stats }, log))
    }

    /// What was counted.
    #[must_use]
    pub fn stats(&self) -> &AuthStats {
        &self.stats
    }

    /// Writes an entry about a failure when there is time: how long an answer takes does not tell what was wrong.
    fn audit_failure(&self, entry: AuditEntry) {
        if self.failures.try_send(entry).is_err() {
            AuthStats::count(&self.stats.audit_lost);
        }
    }
}

/// Writes failures to the audit log.
pub struct FailureLog {
    store: Arc<dyn Store>,
    waiting: mpsc::Receiver<AuditEntry>,
}

impl FailureLog {
    /// Runs until `stop` changes or its sender is gone, and then writes what waits.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            let entry = tokio::select! {
                biased;
                entry = self.waiting.recv() => entry,
                _ = stop.changed() => {
                    self.waiting.close();
                    self.waiting.recv().await
                }
            };
            let Some(entry) = entry else { return };
            if let Err(error) = self.store.audit(entry).await {
                tracing::warn!(%error, "a failed login could not be written to the audit log");
            }
        }
    }
}

/// Keys for counters that nobody outside can foresee.
#[derive(Default)]
struct Keys(RandomState);

impl Keys {
    fn account(&self, account: &Account<'_>) -> u64 {
        match account {
            Account::Agent(tenant, agent) => self.0.hash_one((1_u8, tenant.0, agent.0)),
            Account::Nobody(tenant, name) => self.0.hash_one((2_u8, tenant, name)),
        }
    }

    fn device(&self, tenant: TenantId, agent: AgentId, device: &[u8; 32]) -> u64 {
        self.0.hash_one((3_u8, tenant.0, agent.0, device))
    }

    /// An IPv4 address, or 64 bits of IPv6: whoever has one of these has all of them.
    fn source(&self, address: IpAddr) -> u64 {
        match address.to_canonical() {
            IpAddr::V4(address) => self.0.hash_one((4_u8, address.to_bits())),
            IpAddr::V6(address) => self.0.hash_one((6_u8, address.to_bits() >> 64)),
        }
    }
}

/// What somebody wants to log in to.
enum Account<'a> {
    Agent(TenantId, AgentId),
    /// No such one, by tenant and name as given.
    Nobody(&'a str, &'a str),
}

impl From<PushTokenError> for LoginError {
    fn from(error: PushTokenError) -> Self {
        match error {
            PushTokenError::TooMany => Self::Busy,
            PushTokenError::Random(error) => Self::Store(StoreError::Random(error.to_string())),
        }
    }
}
