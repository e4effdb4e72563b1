//! What an agent has begun to write to a ticket. Each sees only its own.

use bytes::Bytes;
use http::StatusCode;
use http::request::Parts;
use hyper::body::Body;
use serde::{Deserialize, Serialize};
use waggle_core::id::{TicketId, Version};
use waggle_core::limits::TEXT_BYTES_MAX;
use waggle_core::time::Timestamp;

use super::answer::{self, Response};
use super::query::Query;
use super::tickets::{storage, visible};
use super::{Api, auth, body};
use crate::directory::Principal;
use crate::problem::Problem;
use crate::store::{DraftRow, StoreError};

/// What was begun, as it is sent and kept.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Draft {
    #[serde(rename = "as")]
    kind: Kind,
    text: String,
    /// The newest version on the author's screen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seen: Option<Version>,
}

/// What it is to become.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Reply,
    Note,
}

#[derive(Serialize)]
struct Kept {
    ticket: TicketId,
    at: Timestamp,
    #[serde(flatten)]
    draft: Draft,
}

#[derive(Serialize)]
struct All {
    drafts: Vec<Kept>,
}

/// `PUT /v1/tickets/{ticket}/draft`: in place of the one before. An empty text is one, too.
pub(super) async fn keep<B>(api: &Api, parts: &Parts, body: B, ticket: TicketId) -> Result<Response, Problem>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let principal = asker(api, parts, ticket).await?;
    body::check_type(&parts.headers)?;
    let body = body::read(body).await?;
    let draft: Draft =
        serde_json::from_slice(&body).map_err(|error| Problem::new("malformed", error.to_string()))?;
    if draft.text.len() > TEXT_BYTES_MAX {
        let detail = format!("\"text\" has {} bytes; at most {TEXT_BYTES_MAX} are taken", draft.text.len());
        return Err(Problem::new("text_too_long", detail));
    }
    let body = serde_json::to_string(&draft).map_err(|error| Problem::new("internal", error.to_string()))?;
    let row = DraftRow { ticket, at: auth::now(), body };
    match api.store.keep_draft(principal.tenant, principal.agent, &row).await {
        Ok(()) => Ok(nothing()),
        Err(StoreError::TooMany { limit, kind }) => {
            let detail = StoreError::TooMany { limit, kind }.to_string();
            Err(Problem::new("limit_reached", detail).with("limit", limit))
        }
        Err(error) => Err(storage(error)),
    }
}

/// `GET /v1/tickets/{ticket}/draft`.
pub(super) async fn one(api: &Api, parts: &Parts, ticket: TicketId) -> Result<Response, Problem> {
    let principal = asker(api, parts, ticket).await?;
    let found = api.store.draft(principal.tenant, principal.agent, ticket).await.map_err(storage)?;
    answer::value(&kept(found.ok_or_else(|| missing(ticket))?)?)
}

/// `DELETE /v1/tickets/{ticket}/draft`.
pub(super) async fn delete(api: &Api, parts: &Parts, ticket: TicketId) -> Result<Response, Problem> {
    let principal = asker(api, parts, ticket).await?;
    match api.store.delete_draft(principal.tenant, principal.agent, ticket).await.map_err(storage)? {
        true => Ok(nothing()),
        false => Err(missing(ticket)),
    }
}

/// `GET /v1/drafts`: one's own, the newest first.
pub(super) async fn list(api: &Api, parts: &Parts) -> Result<Response, Problem> {
    let principal = auth::principal(&api.directory, &parts.headers)?;
    Query::parse(parts.uri.query(), &[])?;
    let rows = api.store.drafts(principal.tenant, principal.agent).await.map_err(storage)?;
    answer::value(&All { drafts: rows.into_iter().map(kept).collect::<Result<_, _>>()? })
}

/// After a command: the draft that it was made of, where its author says so.
pub(super) async fn discard(api: &Api, principal: &Principal, ticket: TicketId) {
    if let Err(error) = api.store.delete_draft(principal.tenant, principal.agent, ticket).await {
        // The command has been carried out; what is left is a draft that its author finds again.
        tracing::warn!(%error, %ticket, "a draft could not be deleted");
    }
}

async fn asker(api: &Api, parts: &Parts, ticket: TicketId) -> Result<Principal, Problem> {
    let principal = auth::principal(&api.directory, &parts.headers)?;
    Query::parse(parts.uri.query(), &[])?;
    visible(api, &principal, ticket).await?;
    Ok(principal)
}

fn kept(row: DraftRow) -> Result<Kept, Problem> {
    let draft =
        serde_json::from_str(&row.body).map_err(|error| Problem::new("internal", error.to_string()))?;
    Ok(Kept { ticket: row.ticket, at: row.at, draft })
}

fn missing(ticket: TicketId) -> Problem {
    Problem::new("no_such_draft", format!("you have no draft to ticket {ticket}"))
}

fn nothing() -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}
