//! How agents prove who they are, in storage: passwords, sessions, devices, identities at a provider, tokens.

use async_trait::async_trait;
use waggle_core::id::{AgentId, TenantId};
use waggle_core::time::Timestamp;

use super::{AuditEntry, Scopes, StoreError};

/// A password's hash. It is no secret that is shown, and it does not show itself either.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordRow {
    /// A PHC string.
    pub hash: String,
    /// Whose choice it was.
    pub kind: PasswordKind,
}

impl std::fmt::Debug for PasswordRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PasswordRow").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// Whose choice a password was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordKind {
    /// Its agent's.
    Own,
    /// Somebody else's: it opens nothing until its agent has chosen another.
    Temporary,
}

/// How a session was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// By password.
    Password,
    /// By OpenID Connect.
    Oidc,
}

impl Method {
    /// Its name in storage and on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Oidc => "oidc",
        }
    }

    /// The method called `name`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Password, Self::Oidc].into_iter().find(|method| method.name() == name)
    }
}

/// A session to be opened.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// Whose.
    pub tenant: TenantId,
    /// As whom it acts.
    pub agent: AgentId,
    /// SHA-256 of its secret.
    pub hash: [u8; 32],
    /// How it was opened.
    pub method: Method,
    /// What the client calls itself.
    pub client: String,
    /// Milliseconds without use after which it ends.
    pub idle_ms: u64,
    /// When it ends, used or not.
    pub expires_at: Timestamp,
    /// SHA-256 of the secret of a device that is to be remembered.
    pub device: Option<[u8; 32]>,
}

/// A session, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow {
    /// Its number, over all tenants.
    pub id: u64,
    /// Whose.
    pub tenant: TenantId,
    /// As whom it acts.
    pub agent: AgentId,
    /// SHA-256 of its secret.
    pub hash: [u8; 32],
    /// How it was opened.
    pub method: Method,
    /// What the client calls itself.
    pub client: String,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When it was last used, as far as it is written.
    pub seen_at: Timestamp,
    /// Milliseconds without use after which it ends.
    pub idle_ms: u64,
    /// When it ends, used or not.
    pub expires_at: Timestamp,
}

/// Whom an identity provider means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityRow {
    /// Whose.
    pub tenant: TenantId,
    /// The provider.
    pub issuer: String,
    /// What it says in the claim that was configured.
    pub subject: String,
    /// The agent.
    pub agent: AgentId,
}

/// A token to be made.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// Whose.
    pub tenant: TenantId,
    /// As whom it acts.
    pub agent: AgentId,
    /// What it is for, for people; may be empty.
    pub name: String,
    /// What it allows.
    pub scopes: Scopes,
    /// SHA-256 of its text.
    pub hash: [u8; 32],
    /// When it ends.
    pub expires_at: Option<Timestamp>,
}

/// Which sessions end with a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// All.
    Nothing,
    /// All but this one.
    Session(u64),
}

/// What was used when.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Sessions.
    pub sessions: Vec<(u64, Timestamp)>,
    /// Tokens.
    pub tokens: Vec<(u64, Timestamp)>,
}

/// Credentials in a database. Each change writes its entry of the audit log in the same transaction.
#[async_trait]
pub trait CredentialStore {
    /// An agent's password.
    async fn password(&self, tenant: TenantId, agent: AgentId) -> Result<Option<PasswordRow>, StoreError>;
    /// Sets an agent's password, forgets its devices and ends its sessions but for `keep`.
    async fn set_password(
        &self,
        tenant: TenantId,
        agent: AgentId,
        password: PasswordRow,
        keep: Keep,
        audit: AuditEntry,
    ) -> Result<(), StoreError>;
    /// Replaces the hash of the same password by one that was made with other settings.
    async fn rehash_password(
        &self,
        tenant: TenantId,
        agent: AgentId,
        old: &str,
        new: &str,
    ) -> Result<(), StoreError>;
    /// Opens a session, and ends the agent's oldest where it has too many; `replaces` is one that ends with it.
    async fn open_session(
        &self,
        session: NewSession,
        replaces: Option<u64>,
        audit: AuditEntry,
    ) -> Result<SessionRow, StoreError>;
    /// Ends one of an agent's sessions; false where it has no such session.
    async fn end_session(
        &self,
        tenant: TenantId,
        agent: AgentId,
        session: u64,
        audit: AuditEntry,
    ) -> Result<bool, StoreError>;
    /// Ends the sessions whose time is over; says how many.
    async fn end_old_sessions(&self, now: Timestamp) -> Result<u64, StoreError>;
    /// Whether an agent has logged in with a device before.
    async fn knows_device(
        &self,
        tenant: TenantId,
        agent: AgentId,
        device: [u8; 32],
    ) -> Result<bool, StoreError>;
    /// Writes when sessions and tokens were last used.
    async fn seen(&self, seen: &Seen) -> Result<(), StoreError>;
    /// Links an identity to an agent; one that is linked already is linked to this agent from now on.
    async fn link_identity(&self, identity: IdentityRow, audit: AuditEntry) -> Result<(), StoreError>;
    /// Makes an agent for an identity.
    async fn provision_agent(
        &self,
        tenant: TenantId,
        name: &str,
        issuer: &str,
        subject: &str,
        audit: AuditEntry,
    ) -> Result<AgentId, StoreError>;
    /// Records a token's hash; gives its number.
    async fn issue_token(&self, token: NewToken, audit: AuditEntry) -> Result<u64, StoreError>;
    /// Ends a token: [`StoreError::Missing`] where there is none in force.
    async fn end_token(&self, tenant: TenantId, token: u64, audit: AuditEntry) -> Result<(), StoreError>;
}
