//! The Store port: what the gateway needs of a database.

mod attachment;
mod audit;
mod credentials;
mod drafts;
mod erasure;
mod fields;
mod find;
mod lifecycles;
mod people;
mod saved_views;
mod scope;
mod search;
mod sqlite;

pub use attachment::{AttachmentRow, AttachmentStore};
pub use audit::{
    AuditActor, AuditEntry, AuditFault, AuditFilter, AuditHead, AuditRow, AuditStore, Hex, verify_audit,
};
pub use credentials::{
    CredentialStore, IdentityRow, Keep, Method, NewSession, NewToken, PasswordKind, PasswordRow, Seen,
    SessionRow,
};
pub use drafts::{DraftRow, DraftStore};
pub use erasure::{ErasureRow, ErasureState, ErasureStore, Proof};
pub use fields::{FieldStore, TenantField};
pub use find::{Description, FindStore, PastTicket};
pub use lifecycles::{
    DeleteLifecycle, GiveLifecycle, LifecycleStore, QueueChangeRow, SaveLifecycle, TenantLifecycle,
};
pub use people::{
    ADMIN_ROLE, AGENT_ROLE, AgentState, GrantRow, Grantee, MemberRow, Named, PeopleError, PeopleRefusal,
    PeopleRows, PeopleStore, Requester, RoleRow, TeamRow, VIEWER_ROLE,
};
pub use saved_views::{Audience, BadAudience, SavedViewRow, SavedViewStore};
pub use scope::{Scope, Scopes, UnknownScope};
pub use search::{SearchPart, SearchScope, SearchStore, SearchText};
pub use sqlite::{SearchFile, SqliteStore};

use async_trait::async_trait;
use serde::Serialize;
use waggle_core::id::{
    AgentId, Cursor, Epoch, Fence, LifecycleId, Offset, QueueId, TenantId, TicketId, Version,
};
use waggle_core::ticket::{Actor, Followers, NewEvent, Priority, Route, Status, StatusSet, StoredEvent};
use waggle_core::time::Timestamp;

/// A ticket as storage has it: the fold of its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TicketRow {
    /// Its number.
    pub id: TicketId,
    /// Where it waits.
    pub queue: QueueId,
    /// What it is about.
    pub subject: String,
    /// Who asked.
    pub requester: String,
    /// How urgent.
    pub priority: Priority,
    /// Its status.
    pub status: Status,
    /// How many events it has.
    pub version: Version,
    /// Offset of its newest event.
    pub newest: Offset,
    /// Who holds it.
    pub assignee: Option<AgentId>,
    /// Of its newest claim.
    pub fence: Fence,
    /// The closed ticket that it follows.
    pub follow_up_of: Option<TicketId>,
    /// Time of its first event.
    pub created_at: Timestamp,
    /// Time of its newest.
    pub updated_at: Timestamp,
    /// What it has beyond that: a JSON object, the fold of its events' patches.
    pub extra: String,
}

impl TicketRow {
    /// Whether it is deleted: only those who may delete know of it.
    #[must_use]
    pub fn is_deleted(&self) -> bool {
        waggle_core::ticket::is_deleted(&self.extra)
    }
}

/// What a command on a ticket is decided by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// How many events the ticket has.
    pub version: Version,
    /// Offset of its newest event.
    pub newest: Offset,
    /// Where it waits.
    pub queue: QueueId,
    /// Its status.
    pub status: Status,
    /// Who holds it.
    pub assignee: Option<AgentId>,
    /// Of its newest claim.
    pub fence: Fence,
    /// As [`TicketRow::extra`]; `{}` where nothing in that counts here.
    pub extra: String,
}

impl Standing {
    /// As [`TicketRow::is_deleted`].
    #[must_use]
    pub fn is_deleted(&self) -> bool {
        waggle_core::ticket::is_deleted(&self.extra)
    }
}

/// Which tickets a list shows; `None` is any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TicketFilter {
    /// In this queue.
    pub queue: Option<QueueId>,
    /// In one of these statuses.
    pub status: Option<StatusSet>,
    /// Held by this agent (`Some(Some)`) or by nobody (`Some(None)`).
    pub assignee: Option<Option<AgentId>>,
}

/// One event of a batch, with the place that it gets.
#[derive(Debug, Clone)]
pub struct CommitEvent {
    /// Whose.
    pub tenant: TenantId,
    /// Its place in the tenant's log.
    pub offset: Offset,
    /// What.
    pub event: NewEvent,
    /// Whose views it belongs to.
    pub route: Route,
    /// Whom it concerns besides.
    pub followers: Followers,
    /// Offset of the ticket's event before it.
    pub previous: Option<Offset>,
    /// Subject, where the event changes it, escapes undone.
    pub subject: Option<String>,
    /// Requester, for a created ticket, escapes undone.
    pub requester: Option<String>,
    /// The closed ticket that a created one follows.
    pub follow_up_of: Option<TicketId>,
    /// The caller's key, where there was one.
    pub key: Option<KeyRecord>,
}

/// An Idempotency-Key as it is stored beside its one effect.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyRecord {
    /// Whose key: callers do not share them.
    pub caller: Actor,
    /// The key.
    pub key: String,
    /// Hash of the request that it came with.
    pub fingerprint: u64,
}

/// A tenant with the head of its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantHead {
    /// Which.
    pub tenant: TenantId,
    /// Its log's epoch, and the offset of its newest event.
    pub cursor: Cursor,
    /// The highest ticket number that it has given out.
    pub ticket: TicketId,
}

/// The people, queues and tokens of all tenants, as one consistent read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DirectoryRows {
    /// Raised by every change of what follows.
    pub revision: u64,
    /// Tenants.
    pub tenants: Vec<TenantRow>,
    /// Lifecycles, those that were deleted included.
    pub lifecycles: Vec<TenantLifecycle>,
    /// Custom fields.
    pub fields: Vec<TenantField>,
    /// Queues.
    pub queues: Vec<QueueRow>,
    /// Agents.
    pub agents: Vec<AgentRow>,
    /// Tokens that are not revoked.
    pub tokens: Vec<TokenRow>,
    /// Hashes of the newest revoked ones, at most [`REVOKED_TOKENS_MAX`](waggle_core::limits::REVOKED_TOKENS_MAX).
    pub revoked: Vec<[u8; 32]>,
    /// Sessions that have not ended.
    pub sessions: Vec<SessionRow>,
    /// Whom identity providers mean.
    pub identities: Vec<IdentityRow>,
    /// Who may do what.
    pub people: PeopleRows,
}

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TenantRow {
    /// Its number.
    pub id: TenantId,
    /// Its name, unique.
    pub name: String,
    /// Its log's epoch.
    pub epoch: Epoch,
}

/// A queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QueueRow {
    /// Whose.
    pub tenant: TenantId,
    /// Its number within the tenant.
    pub id: QueueId,
    /// Its name, unique within the tenant.
    pub name: String,
    /// The number of its tickets' lifecycle.
    pub lifecycle: LifecycleId,
}

/// An agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AgentRow {
    /// Whose.
    pub tenant: TenantId,
    /// Its number within the tenant.
    pub id: AgentId,
    /// Its name, unique within the tenant.
    pub name: String,
    /// Since when it is let in no more.
    pub deactivated_at: Option<Timestamp>,
}

/// A token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRow {
    /// Its number, over all tenants.
    pub id: u64,
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
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// When it was last shown, as far as it is written.
    pub seen_at: Option<Timestamp>,
}

/// Why storage did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk is full.
    #[error("the disk is full")]
    Full(#[source] sqlx::Error),
    /// Somebody else holds the database's lock.
    #[error("the database is locked by another process")]
    Locked(#[source] sqlx::Error),
    /// The file is damaged, or no database.
    #[error("the database is damaged, or is no Waggle database; restore a backup")]
    Damaged(#[source] sqlx::Error),
    /// A head or a ticket was not where the ledger had left it: another process writes here.
    #[error(
        "the log or a ticket is not where this gateway left it; does another one write to this database?"
    )]
    VersionConflict(#[source] sqlx::Error),
    /// A name that exists already.
    #[error("a {kind} named {name:?} exists already")]
    NameTaken {
        /// Tenant, queue or agent.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// What was decided, was decided on an older state of the directory.
    #[error("the directory has changed meanwhile")]
    Outdated,
    /// A parent that does not exist.
    #[error("there is no {kind} {name}")]
    Missing {
        /// Tenant, queue, agent or token.
        kind: &'static str,
        /// As given.
        name: String,
    },
    /// A stored value that this version of Waggle does not know.
    #[error("stored {what} {value:?} is not known to this version")]
    Unknown {
        /// Which column.
        what: &'static str,
        /// Its value.
        value: String,
    },
    /// As many as there may be are there.
    #[error("there are {limit} {kind} already, which is the most")]
    TooMany {
        /// Of what.
        kind: &'static str,
        /// The most.
        limit: usize,
    },
    /// The system gives no random numbers.
    #[error("the system gives no random numbers: {0}")]
    Random(String),
    /// An older version's, or no Waggle database.
    #[error(
        "the database has the shape {found}, and this version's is {wanted}; start a gateway of this version, which \
         brings it there"
    )]
    Older {
        /// What it has; 0 is none.
        found: i64,
        /// What this version works with.
        wanted: i64,
    },
    /// A newer version's.
    #[error(
        "the database has the shape {found}, and this version knows {wanted} at most; use the newer version"
    )]
    Newer {
        /// What it has.
        found: i64,
        /// What this version works with.
        wanted: i64,
    },
    /// Anything else.
    #[error("the database failed")]
    Database(#[source] sqlx::Error),
}

/// What the gateway needs of a database. One writer calls `commit`; all else may be called at once from
/// anywhere.
#[async_trait]
pub trait Store:
    AttachmentStore
    + AuditStore
    + CredentialStore
    + DraftStore
    + ErasureStore
    + FieldStore
    + FindStore
    + LifecycleStore
    + PeopleStore
    + SavedViewStore
    + Send
    + Sync
    + 'static
{
    /// Writes a batch as one transaction, durable on return: tickets guarded by their versions,
    /// events, heads and keys. On error nothing of it is there, except where the database cannot
    /// tell ([`StoreError::Database`] at commit): read the heads again then.
    async fn commit(&self, batch: &[CommitEvent]) -> Result<(), StoreError>;

    /// The heads of all tenants' logs.
    async fn heads(&self) -> Result<Vec<TenantHead>, StoreError>;
    /// One ticket.
    async fn ticket(&self, tenant: TenantId, ticket: TicketId) -> Result<Option<TicketRow>, StoreError>;
    /// What a command on a ticket is decided by: most often without reading its texts.
    async fn standing(&self, tenant: TenantId, ticket: TicketId) -> Result<Option<Standing>, StoreError>;
    /// Tickets with ids below `before`, newest first, at most `limit`.
    async fn tickets(
        &self,
        tenant: TenantId,
        filter: &TicketFilter,
        before: Option<TicketId>,
        limit: u32,
    ) -> Result<Vec<TicketRow>, StoreError>;
    /// A ticket's events with versions above `after`, oldest first, at most `limit`; where `texts_only`
    /// those that people read.
    async fn ticket_events(
        &self,
        tenant: TenantId,
        ticket: TicketId,
        after: Version,
        limit: u32,
        kinds: EventKinds,
    ) -> Result<Vec<StoredEvent>, StoreError>;
    /// The events of the ticket whose event is at `newest`, up to that one, with versions above `after`, oldest first, at
    /// most `limit`.
    async fn events_up_to(
        &self,
        tenant: TenantId,
        newest: Offset,
        after: Version,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError>;
    /// A tenant's events with offsets above `after`, in order, at most `limit`.
    async fn events_after(
        &self,
        tenant: TenantId,
        after: Offset,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError>;
    /// The event that a key's request became, and the request's fingerprint.
    async fn event_by_key(
        &self,
        tenant: TenantId,
        caller: Actor,
        key: &str,
    ) -> Result<Option<(StoredEvent, u64)>, StoreError>;

    /// The directory's revision alone: cheap, to be asked often.
    async fn directory_revision(&self) -> Result<u64, StoreError>;
    /// The whole directory.
    async fn directory(&self) -> Result<DirectoryRows, StoreError>;
    /// Makes a tenant with a fresh epoch.
    async fn create_tenant(&self, name: &str) -> Result<TenantRow, StoreError>;
    /// Gives a tenant's log another epoch, while no gateway runs: whoever has a cursor in the log reads anew.
    async fn renew_epoch(&self, tenant: TenantId, audit: AuditEntry) -> Result<Epoch, StoreError>;
    /// Makes a queue.
    async fn create_queue(&self, tenant: TenantId, name: &str) -> Result<QueueRow, StoreError>;
    /// Makes an agent who works on the tickets of all queues.
    async fn create_agent(&self, tenant: TenantId, name: &str) -> Result<AgentRow, StoreError>;
    /// Records a token's hash.
    async fn create_token(
        &self,
        tenant: TenantId,
        agent: AgentId,
        scope: Scope,
        hash: [u8; 32],
        expires_at: Option<Timestamp>,
    ) -> Result<TokenRow, StoreError>;
    /// Finishes what is under way and closes the database: at the end, when nobody uses it any more.
    async fn close(&self);
    /// Revokes a token.
    async fn revoke_token(&self, tenant: TenantId, token: u64) -> Result<(), StoreError>;
}

/// Which of a ticket's events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKinds {
    /// All.
    All,
    /// Those with a text that people read.
    Texts,
}
