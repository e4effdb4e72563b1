//! The audit log, for administrators.

use http::request::Parts;
use serde::Serialize;
use serde_json::value::RawValue;
use waggle_core::time::Timestamp;

use super::answer::{self, Response};
use super::query::Query;
use super::tickets::is_full;
use super::{Api, auth};
use crate::problem::Problem;
use crate::store::{AuditFilter, AuditRow, Hex};

#[derive(Serialize)]
struct Entry<'a> {
    id: u64,
    at: Timestamp,
    actor: &'a str,
    action: &'a str,
    object: &'a str,
    detail: Option<&'a RawValue>,
    hash: String,
}

#[derive(Serialize)]
struct Page<'a> {
    entries: Vec<Entry<'a>>,
    next: Option<String>,
}

impl<'a> From<&'a AuditRow> for Entry<'a> {
    fn from(row: &'a AuditRow) -> Self {
        Self {
            id: row.id,
            at: row.at,
            actor: &row.actor,
            action: &row.action,
            object: &row.object,
            // Written as JSON; what is none any more breaks the chain, and `waggle admin audit verify` tells.
            detail: serde_json::from_str(&row.detail).ok(),
            hash: Hex(&row.hash).to_string(),
        }
    }
}

/// `GET /v1/audit`: newest first; `actor`, `action` and `object` as the entries have them (an action that ends in a
/// dot is all that begin with it), `from` and `until` in milliseconds since 1970.
pub(super) async fn list(api: &Api, parts: &Parts) -> Result<Response, Problem> {
    const PARAMETERS: [&str; 7] = ["actor", "action", "object", "from", "until", "cursor", "limit"];
    let principal = auth::administrator(&api.directory, &parts.headers, "see the audit log")?;
    let query = Query::parse(parts.uri.query(), &PARAMETERS)?;
    let text = |name| query.text(name).map(str::to_owned);
    let filter = AuditFilter {
        actor: text("actor"),
        action: text("action"),
        object: text("object"),
        from: query.parsed("from")?.map(Timestamp),
        until: query.parsed("until")?.map(Timestamp),
    };
    let (before, limit) = (query.cursor("before-")?, query.limit()?);
    let rows = api.store.audit_rows(principal.tenant, &filter, before, limit).await;
    let rows = rows.map_err(|error| Problem::new("storage_unavailable", error.to_string()))?;
    let next = rows.last().filter(|_| is_full(rows.len(), limit)).map(|row| format!("before-{}", row.id));
    answer::value(&Page { entries: rows.iter().map(Entry::from).collect(), next })
}
