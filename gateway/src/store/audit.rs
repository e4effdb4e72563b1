//! The audit log: what was done that matters for security, by whom, as a chain of hashes per tenant.

use std::fmt;

use async_trait::async_trait;
use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use waggle_core::id::{AgentId, TenantId};
use waggle_core::limits::{AUDIT_DETAIL_BYTES_MAX, AUDIT_OBJECT_BYTES_MAX, PAGE_ROWS_MAX};
use waggle_core::time::Timestamp;

use super::{Store, StoreError};

/// Who did it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditActor {
    /// An agent, by whatever it is that it was let in with.
    Agent(AgentId),
    /// Whoever may run `waggle admin` on the gateway's machine.
    Operator,
    /// Whoever was not let in.
    Nobody,
    /// Waggle itself.
    System,
}

impl AuditActor {
    /// The actor that is written so; Waggle itself where it is nobody's name.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        match name {
            "operator" => Self::Operator,
            "nobody" => Self::Nobody,
            other => {
                let agent = other.strip_prefix("agent:").and_then(|agent| agent.parse().ok());
                agent.map_or(Self::System, Self::Agent)
            }
        }
    }
}

impl fmt::Display for AuditActor {
    /// `agent:3`, `operator`, `nobody`, `system`: as it is stored and shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent(agent) => write!(f, "agent:{agent}"),
            Self::Operator => f.write_str("operator"),
            Self::Nobody => f.write_str("nobody"),
            Self::System => f.write_str("system"),
        }
    }
}

/// Something to be written to the audit log. Passwords, tokens and other secrets never go in: types that hold one
/// do not turn into a [`Value`].
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEntry {
    pub(super) tenant: TenantId,
    pub(super) actor: AuditActor,
    pub(super) action: &'static str,
    pub(super) object: String,
    detail: Map<String, Value>,
}

impl AuditEntry {
    /// An entry: `action` is a noun and what became of it, such as `login.failed`; `object` is what it was done to,
    /// as a kind and a number, such as `token:7`, and is cut to
    /// [`AUDIT_OBJECT_BYTES_MAX`](waggle_core::limits::AUDIT_OBJECT_BYTES_MAX).
    #[must_use]
    pub fn new(tenant: TenantId, actor: AuditActor, action: &'static str, object: impl fmt::Display) -> Self {
        let mut object = object.to_string();
        object.truncate(object.floor_char_boundary(AUDIT_OBJECT_BYTES_MAX));
        Self { tenant, actor, action, object, detail: Map::new() }
    }

    /// With one more member of its detail.
    #[must_use]
    pub fn with(mut self, member: &'static str, value: impl Into<Value>) -> Self {
        self.detail.insert(member.to_owned(), value.into());
        self
    }

    /// The detail as JSON text. What is too long is left out, and said to be: nothing may fail because it is told of.
    pub(super) fn detail_json(&self) -> String {
        let text = Value::Object(self.detail.clone()).to_string();
        if text.len() <= AUDIT_DETAIL_BYTES_MAX {
            return text;
        }
        json!({"omitted_bytes": text.len()}).to_string()
    }
}

/// A row of the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// Whose.
    pub tenant: TenantId,
    /// 1, 2, 3… per tenant, no gaps.
    pub id: u64,
    /// When.
    pub at: Timestamp,
    /// Who, as [`AuditActor`] is written.
    pub actor: String,
    /// What.
    pub action: String,
    /// To what.
    pub object: String,
    /// More of it: a JSON object.
    pub detail: String,
    /// Covers all of this and the row before.
    pub hash: [u8; 32],
}

impl AuditRow {
    /// The hash that the row must have behind one of hash `previous` (zeros for the first). Texts go in with their
    /// lengths, so that no two rows are the same bytes.
    #[must_use]
    pub fn chained(&self, previous: &[u8; 32]) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(b"waggle audit 1\n");
        hash.update(previous);
        for number in [u64::from(self.tenant.0), self.id, self.at.0] {
            hash.update(number.to_be_bytes());
        }
        for text in [&self.actor, &self.action, &self.object, &self.detail] {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        }
        hash.finalize().into()
    }
}

/// Which rows a list shows; `None` is any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// By this actor, as [`AuditActor`] is written.
    pub actor: Option<String>,
    /// Of this action; one that ends in `.` is all that begin with it.
    pub action: Option<String>,
    /// Done to this.
    pub object: Option<String>,
    /// Not earlier.
    pub from: Option<Timestamp>,
    /// Earlier.
    pub until: Option<Timestamp>,
}

/// The audit log in a database.
#[async_trait]
pub trait AuditStore {
    /// Adds an entry, durable on return; gives its row's number.
    async fn audit(&self, entry: AuditEntry) -> Result<u64, StoreError>;
    /// Rows with numbers below `before`, newest first, at most `limit`.
    async fn audit_rows(
        &self,
        tenant: TenantId,
        filter: &AuditFilter,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<AuditRow>, StoreError>;
    /// Rows with numbers above `after`, oldest first, at most `limit`.
    async fn audit_rows_after(
        &self,
        tenant: TenantId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<AuditRow>, StoreError>;
}

/// The end of a chain: as many rows, the last of them with this hash. Whoever keeps one elsewhere can tell later
/// whether rows before it were changed, or the newest taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct AuditHead {
    /// The newest row; 0 where there is none.
    pub id: u64,
    /// Its hash, zeros where there is none.
    #[serde(serialize_with = "hex")]
    pub hash: [u8; 32],
}

fn hex<S: serde::Serializer>(hash: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&Hex(hash))
}

/// A hash in hexadecimal digits.
#[derive(Debug, Clone, Copy)]
pub struct Hex<'a>(pub &'a [u8; 32]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Display for AuditHead {
    /// `17:` and the hash.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.id, Hex(&self.hash))
    }
}

/// Why a chain does not hold.
#[derive(Debug, thiserror::Error)]
pub enum AuditFault {
    /// A row is missing.
    #[error("row {expected} of the audit log is missing; the next one is {found}")]
    Gap {
        /// Which.
        expected: u64,
        /// What is there instead.
        found: u64,
    },
    /// A row is not what it was, or was not there.
    #[error("row {0} of the audit log, or one before it, was changed: its hash does not cover what is there")]
    Changed(u64),
    /// The log ends before the head that was kept.
    #[error("the audit log ends at row {found}; the head that was kept is row {kept}")]
    Shortened {
        /// The kept head's row.
        kept: u64,
        /// The newest row.
        found: u64,
    },
    /// The log has another row where the head was kept.
    #[error("row {0} of the audit log has another hash than the head that was kept")]
    Replaced(u64),
    /// It cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Reads a tenant's whole chain and proves it; with `kept`, also that what was there then is there now.
///
/// # Errors
/// Where the chain does not hold, or cannot be read.
pub async fn verify_audit(
    store: &dyn Store,
    tenant: TenantId,
    kept: Option<AuditHead>,
) -> Result<AuditHead, AuditFault> {
    let mut head = AuditHead { id: 0, hash: [0; 32] };
    loop {
        let rows = store.audit_rows_after(tenant, head.id, PAGE_ROWS_MAX).await?;
        for row in &rows {
            head = follow(head, row)?;
            if kept.is_some_and(|kept| kept.id == head.id && kept.hash != head.hash) {
                return Err(AuditFault::Replaced(head.id));
            }
        }
        if rows.is_empty() {
            break;
        }
    }
    match kept {
        Some(kept) if kept.id > head.id => Err(AuditFault::Shortened { kept: kept.id, found: head.id }),
        _ => Ok(head),
    }
}

fn follow(head: AuditHead, row: &AuditRow) -> Result<AuditHead, AuditFault> {
    let expected = head.id + 1;
    if row.id != expected {
        return Err(AuditFault::Gap { expected, found: row.id });
    }
    if row.chained(&head.hash) != row.hash {
        return Err(AuditFault::Changed(row.id));
    }
    Ok(AuditHead { id: row.id, hash: row.hash })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: u64, object: &str, previous: &[u8; 32]) -> AuditRow {
        let texts = |text: &str| text.to_owned();
        let mut row = AuditRow {
            tenant: TenantId(1),
            id,
            at: Timestamp(7),
            actor: texts("operator"),
            action: texts("token.created"),
            object: texts(object),
            detail: texts("{}"),
            hash: [0; 32],
        };
        row.hash = row.chained(previous);
        row
    }

    #[test]
    fn a_chain_holds_until_something_is_changed() {
        let start = AuditHead { id: 0, hash: [0; 32] };
        let first = row(1, "token:1", &start.hash);
        let second = row(2, "token:2", &first.hash);
        let head = follow(follow(start, &first).unwrap(), &second).unwrap();
        assert_eq!(head, AuditHead { id: 2, hash: second.hash });
        let forged = AuditRow { object: "token:3".to_owned(), ..second.clone() };
        assert!(matches!(follow(follow(start, &first).unwrap(), &forged), Err(AuditFault::Changed(2))));
        // Where one text ends and the next begins is covered.
        let moved =
            AuditRow { action: "token.create".to_owned(), object: "dtoken:2".to_owned(), ..second.clone() };
        assert!(matches!(follow(follow(start, &first).unwrap(), &moved), Err(AuditFault::Changed(2))));
        assert!(matches!(follow(start, &second), Err(AuditFault::Gap { expected: 1, found: 2 })));
    }

    #[test]
    fn entries_are_bounded() {
        let entry = |object: &str| AuditEntry::new(TenantId(1), AuditActor::Nobody, "login.failed", object);
        assert_eq!(entry(&"\u{1f41d}".repeat(AUDIT_OBJECT_BYTES_MAX)).object.len(), AUDIT_OBJECT_BYTES_MAX);
        let fits = entry("x").with("a", "b");
        assert_eq!(fits.detail_json(), r#"{"a":"b"}"#);
        let room = AUDIT_DETAIL_BYTES_MAX - r#"{"a":""}"#.len();
        assert_eq!(entry("x").with("a", "b".repeat(room)).detail_json().len(), AUDIT_DETAIL_BYTES_MAX);
        let long = entry("x").with("a", "b".repeat(room + 1));
        assert_eq!(long.detail_json(), format!(r#"{{"omitted_bytes":{}}}"#, AUDIT_DETAIL_BYTES_MAX + 1));
    }

    #[test]
    fn actors_are_written_as_they_are_filtered_by() {
        let written =
            [AuditActor::Agent(AgentId(3)), AuditActor::Operator, AuditActor::Nobody, AuditActor::System]
                .map(|actor| actor.to_string());
        assert_eq!(written, ["agent:3", "operator", "nobody", "system"]);
    }
}
