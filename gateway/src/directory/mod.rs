//! Who may: tenants, queues, agents and tokens, in memory.

mod push_token;
mod refresh;
mod rights;
mod snapshot;
mod standing;
mod token;

use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use tokio::sync::watch;
use waggle_core::id::{AgentId, QueueId, TenantId};
use waggle_core::ticket::{FieldSet, Lifecycles};
use waggle_core::time::Timestamp;

pub use push_token::PushTokenError;
pub use refresh::keep_fresh;
pub use token::{PREFIX, SecretKind, TOKEN_CHARS, Token, base64, hash as hash_secret, push_base64url};

use crate::store::{
    AgentRow, DirectoryRows, QueueRow, Scope, Seen, SessionRow, Store, StoreError, TenantRow, TokenRow,
};
use push_token::PushTokens;
use snapshot::Snapshot;

/// By what somebody was let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Credential {
    /// An API token, by number.
    Token(u64),
    /// A session, by number.
    Session(u64),
    /// A token of the identity provider.
    Provider,
}

/// Whoever shows a valid credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Principal {
    /// Whose data it may see.
    pub tenant: TenantId,
    /// As whom it acts.
    pub agent: AgentId,
    /// What it may do.
    pub scope: Scope,
    /// By what it was let in.
    pub credential: Credential,
    /// When that ends.
    pub expires_at: Option<Timestamp>,
}

impl Principal {
    /// Whether it may do more than read.
    #[must_use]
    pub fn may_change(&self) -> bool {
        self.scope != Scope::Read
    }

    /// Whether both are of one credential. Its scope follows the agent's roles where it is no token's.
    fn is_same(&self, other: &Self) -> bool {
        *self == Self { scope: self.scope, ..*other }
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
    /// A session that has ended, or whose time is over.
    #[error("the session has ended; log in again")]
    Ended,
    /// A token of the identity provider whose signature is wrong.
    #[error("the token's signature is not the identity provider's")]
    Forged,
    /// A token of the identity provider that is not for here, with the reason.
    #[error("the identity provider's token is not taken: {0}")]
    NotForUs(&'static str),
    /// A token that is signed with a key that was not read yet.
    #[error("the token is signed with a key that is not known here; the provider's keys are read again")]
    KeyUnknown,
    /// Nobody here is who the identity provider means.
    #[error("no agent is linked to the identity that the token names")]
    NoAgent,
}

impl AuthError {
    /// Whether somebody tries to guess a token: what was one, or has no token's form, is a mistake.
    #[must_use]
    pub fn is_guess(self) -> bool {
        matches!(self, Self::Unknown | Self::Forged)
    }
}

/// Takes tokens of an identity provider.
pub trait Provider: Send + Sync + 'static {
    /// Whom the token means, where it is good at `now`.
    ///
    /// # Errors
    /// Where it is not.
    fn verify(&self, token: &str, now: Timestamp) -> Result<Claimed, AuthError>;
}

/// What an identity provider says of somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// The name of the tenant whose agents it speaks of.
    pub tenant: Arc<str>,
    /// The provider.
    pub issuer: Arc<str>,
    /// What it says in the claim that was configured.
    pub subject: String,
    /// Until when.
    pub expires_at: Timestamp,
}

/// The directory of one gateway: a snapshot that is swapped whole when something changes. Clones share it.
#[derive(Clone)]
pub struct Directory {
    inner: Arc<Inner>,
}

struct Inner {
    snapshot: ArcSwap<Snapshot>,
    revision: watch::Sender<u64>,
    push_tokens: PushTokens,
    provider: OnceLock<Arc<dyn Provider>>,
}

impl Directory {
    /// A directory of these rows.
    #[must_use]
    pub fn new(rows: DirectoryRows) -> Self {
        let snapshot = Snapshot::new(rows, &Snapshot::default());
        let revision = watch::Sender::new(snapshot.revision);
        let (push_tokens, provider) = (PushTokens::default(), OnceLock::new());
        let snapshot = ArcSwap::from_pointee(snapshot);
        Self { inner: Arc::new(Inner { snapshot, revision, push_tokens, provider }) }
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
        let fresh = Arc::new(Snapshot::new(rows, &self.inner.snapshot.load()));
        let newer =
            |known: &Arc<Snapshot>| Arc::clone(if known.revision < fresh.revision { &fresh } else { known });
        self.inner.snapshot.rcu(newer);
        self.inner.revision.send_if_modified(|told| {
            let is_newer = *told < fresh.revision;
            *told = fresh.revision.max(*told);
            is_newer
        })
    }

    /// Tokens that are not Waggle's own are shown to this from now on; the first that is given stays.
    pub fn trust(&self, provider: Arc<dyn Provider>) {
        let _ = self.inner.provider.set(provider);
    }

    /// Checks a token, Waggle's own or the identity provider's, without touching storage.
    ///
    /// # Errors
    /// Where it is not valid at `now`.
    pub fn authenticate(&self, token: &str, now: Timestamp) -> Result<Principal, AuthError> {
        match (SecretKind::of(token), self.inner.provider.get()) {
            (Some(SecretKind::Token), _) => self.by_secret(token, now),
            // Three parts with dots between: RFC 7519 section 3.
            (None, Some(provider)) if token.bytes().filter(|byte| *byte == b'.').count() == 2 => {
                self.claimed(provider.verify(token, now)?)
            }
            _ => Err(AuthError::Malformed),
        }
    }

    /// Checks what a push client shows: a token, or one for a push connection.
    ///
    /// # Errors
    /// Where it is not valid at `now`.
    pub fn authenticate_push(&self, token: &str, now: Timestamp) -> Result<Principal, AuthError> {
        match SecretKind::of(token) {
            Some(SecretKind::Push) => {
                let principal = self.inner.push_tokens.take(token, now)?;
                if self.still_valid(&principal, now) { Ok(principal) } else { Err(AuthError::Ended) }
            }
            _ => self.authenticate(token, now),
        }
    }

    /// Checks the secret of a session's cookie.
    ///
    /// # Errors
    /// Where it is not valid at `now`.
    pub fn authenticate_session(&self, secret: &str, now: Timestamp) -> Result<Principal, AuthError> {
        match SecretKind::of(secret) {
            Some(SecretKind::Session) => self.by_secret(secret, now).map_err(|_| AuthError::Ended),
            _ => Err(AuthError::Malformed),
        }
    }

    fn by_secret(&self, secret: &str, now: Timestamp) -> Result<Principal, AuthError> {
        let snapshot = self.inner.snapshot.load();
        // What is compared is the hash of 256 random bits: how long it takes tells nothing of them.
        let hash = token::hash(secret);
        let known = snapshot.by_hash(&hash).ok_or_else(|| {
            if snapshot.is_revoked(&hash) { AuthError::Revoked } else { AuthError::Unknown }
        })?;
        if known.principal.is_over(now) || known.is_idle(now) {
            return Err(AuthError::Expired);
        }
        known.touch(now);
        Ok(known.principal)
    }

    /// The agent that an identity provider means.
    fn claimed(&self, claimed: Claimed) -> Result<Principal, AuthError> {
        let snapshot = self.inner.snapshot.load();
        let tenant = snapshot.tenant_named(&claimed.tenant).ok_or(AuthError::NoAgent)?;
        let agent = snapshot.identity(tenant, &claimed.issuer, &claimed.subject);
        let agent = agent.ok_or(AuthError::NoAgent)?;
        Ok(Principal {
            tenant,
            agent,
            scope: snapshot.scope_of(tenant, agent),
            credential: Credential::Provider,
            expires_at: Some(claimed.expires_at),
        })
    }

    /// Whether a principal's credential is still good: push sessions ask after every change.
    pub fn still_valid(&self, principal: &Principal, now: Timestamp) -> bool {
        let snapshot = self.inner.snapshot.load();
        let is_known = match principal.credential {
            Credential::Provider => snapshot.has_agent(principal.tenant, principal.agent),
            stored => snapshot
                .by_credential(stored)
                .is_some_and(|known| known.principal.is_same(principal) && !known.is_idle(now)),
        };
        is_known && !principal.is_over(now)
    }

    /// Makes a token for one push connection of a principal, and says when it ends.
    ///
    /// # Errors
    /// Where too many wait, or the system gives no random bytes.
    pub fn push_token(
        &self,
        principal: Principal,
        now: Timestamp,
    ) -> Result<(Token, Timestamp), PushTokenError> {
        self.inner.push_tokens.make(principal, now)
    }

    /// The agent that is linked to an identity at a provider.
    pub fn agent_of_identity(&self, tenant: TenantId, issuer: &str, subject: &str) -> Option<AgentId> {
        self.inner.snapshot.load().identity(tenant, issuer, subject)
    }

    /// An agent's sessions, oldest first, each with the time of its last use.
    pub fn sessions(&self, tenant: TenantId, agent: AgentId) -> Vec<(SessionRow, Timestamp)> {
        let snapshot = self.inner.snapshot.load();
        let own = snapshot.sessions.iter().filter(|row| (row.tenant, row.agent) == (tenant, agent));
        own.filter_map(|row| {
            let known = snapshot.by_credential(Credential::Session(row.id))?;
            Some((row.clone(), known.seen_at()))
        })
        .collect()
    }

    /// A tenant's tokens in force, oldest first, each with the time of its last use.
    pub fn tokens(&self, tenant: TenantId) -> Vec<(TokenRow, Option<Timestamp>)> {
        let snapshot = self.inner.snapshot.load();
        let own = snapshot.tokens.iter().filter(|row| row.tenant == tenant);
        own.filter_map(|row| {
            let known = snapshot.by_credential(Credential::Token(row.id))?;
            Some((row.clone(), Some(known.seen_at()).filter(|at| at.0 > 0)))
        })
        .collect()
    }

    /// What was used since that was last written to storage, at most `most` of sessions and tokens each.
    pub fn unwritten(&self, most: usize) -> Seen {
        let mut seen = Seen::default();
        let snapshot = self.inner.snapshot.load();
        for known in snapshot.known() {
            let Some(at) = known.unwritten() else { continue };
            match known.principal.credential {
                Credential::Session(id) if seen.sessions.len() < most => seen.sessions.push((id, at)),
                Credential::Token(id) if seen.tokens.len() < most => seen.tokens.push((id, at)),
                _ => {}
            }
        }
        seen
    }

    /// What [`Directory::unwritten`] told is written.
    pub fn written(&self, seen: &Seen) {
        let snapshot = self.inner.snapshot.load();
        let sessions = seen.sessions.iter().map(|(id, at)| (Credential::Session(*id), *at));
        let tokens = seen.tokens.iter().map(|(id, at)| (Credential::Token(*id), *at));
        for (credential, at) in sessions.chain(tokens) {
            if let Some(known) = snapshot.by_credential(credential) {
                known.written(at);
            }
        }
    }

    /// The tenant of this name.
    pub fn tenant_named(&self, name: &str) -> Option<TenantId> {
        self.inner.snapshot.load().tenant_named(name)
    }

    /// The tenant's agent of this name who works here still.
    pub fn agent_named(&self, tenant: TenantId, name: &str) -> Option<AgentId> {
        let snapshot = self.inner.snapshot.load();
        let agents = &snapshot.tenant(tenant)?.agents;
        let named = |agent: &&AgentRow| agent.name == name && agent.deactivated_at.is_none();
        agents.iter().find(named).map(|agent| agent.id)
    }

    /// Whether the tenant has this queue.
    pub fn has_queue(&self, tenant: TenantId, queue: QueueId) -> bool {
        self.inner.snapshot.load().has_queue(tenant, queue)
    }

    /// Whether the tenant has this agent, and lets it in.
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

    /// The tenant's custom fields.
    pub fn fields(&self, tenant: TenantId) -> Arc<FieldSet> {
        let snapshot = self.inner.snapshot.load();
        snapshot.tenant(tenant).map(|tenant| Arc::clone(&tenant.fields)).unwrap_or_default()
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

    /// The revision of what is in force now: it has grown when anything here has changed.
    #[must_use]
    pub fn revision_in_force(&self) -> u64 {
        self.inner.snapshot.load().revision
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
    use crate::store::{PeopleRows, TokenRow};

    fn rows(revision: u64, token: Option<&Token>, expires_at: Option<Timestamp>) -> DirectoryRows {
        let (tenant, agent) = (TenantId(1), AgentId(1));
        let row = |token: &Token| TokenRow {
            id: 9,
            tenant,
            agent,
            name: String::new(),
            scopes: Scope::Agent.into(),
            hash: token.hash(),
            created_at: Timestamp(0),
            expires_at,
            seen_at: None,
        };
        DirectoryRows {
            revision,
            tenants: vec![TenantRow { id: tenant, name: "acme".to_owned(), epoch: Epoch(1) }],
            lifecycles: Vec::new(),
            fields: Vec::new(),
            queues: vec![QueueRow {
                tenant,
                id: QueueId(1),
                name: "support".to_owned(),
                lifecycle: LifecycleId(1),
            }],
            agents: vec![AgentRow { tenant, id: agent, name: "ana".to_owned(), deactivated_at: None }],
            tokens: token.map(row).into_iter().collect(),
            revoked: Vec::new(),
            sessions: Vec::new(),
            identities: Vec::new(),
            people: PeopleRows::default(),
        }
    }

    #[test]
    fn a_token_is_taken_until_it_expires_or_is_revoked() {
        let token = Token::make().unwrap();
        let directory = Directory::new(rows(1, Some(&token), Some(Timestamp(100))));
        let principal = directory.authenticate(token.reveal(), Timestamp(99)).unwrap();
        assert_eq!((principal.tenant, principal.credential), (TenantId(1), Credential::Token(9)));
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
