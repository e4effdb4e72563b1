//! One command on many tickets, with a result for each.

use std::collections::BTreeSet;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream;
use http::StatusCode;
use http::request::Parts;
use hyper::body::Body;
use serde::Deserialize;
use serde_json::value::RawValue;
use waggle_core::id::TicketId;
use waggle_core::limits::{BULK_COMMANDS_MAX, BULK_TICKETS_MAX, IDEMPOTENCY_KEY_BYTES_MAX};
use waggle_core::ticket::{Command, Request};

use super::answer::{self, Response};
use super::query::Query;
use super::{Api, auth, body, preconditions};
use crate::directory::Principal;
use crate::ledger::{self, Outcome, Submission, SubmitError};
use crate::problem::Problem;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bulk<'a> {
    tickets: Vec<TicketId>,
    #[serde(borrow)]
    command: &'a RawValue,
}

/// `POST /v1/bulk`: `{"tickets":[3,17],"command":{…}}`. Each ticket is decided by itself, as with `If-Match: *`; the answer
/// has a result for each, in the order given.
pub(super) async fn submit<B>(api: &Api, parts: &Parts, body: B) -> Result<Response, Problem>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let principal = auth::principal(&api.directory, &parts.headers)?;
    Query::parse(parts.uri.query(), &[])?;
    body::check_type(&parts.headers)?;
    let key = preconditions::idempotency_key(&parts.headers)?;
    let body = body::read(body).await?;
    let bulk: Bulk<'_> =
        serde_json::from_slice(&body).map_err(|error| Problem::new("malformed", error.to_string()))?;
    check_tickets(&bulk.tickets)?;
    let request =
        Request::parse(bulk.command.get().as_bytes()).map_err(|error| Problem::from_command(&error))?;
    check_command(&request)?;
    let fingerprint = ledger::fingerprint(parts.method.as_str(), parts.uri.path(), &body);
    let keys = keys(key, &bulk.tickets)?;
    let results = stream::iter(bulk.tickets.into_iter().zip(keys))
        .map(|(ticket, key)| one(api, &principal, ticket, request, key, fingerprint))
        .buffered(BULK_COMMANDS_MAX);
    let results: Vec<(TicketId, Result<Outcome, SubmitError>)> = results.collect().await;
    Ok(answer::json(StatusCode::OK, page(&results)))
}

async fn one(
    api: &Api,
    principal: &Principal,
    ticket: TicketId,
    request: Request<'_>,
    key: Option<String>,
    fingerprint: u64,
) -> (TicketId, Result<Outcome, SubmitError>) {
    let submission = Submission {
        tenant: principal.tenant,
        authority: principal.authority(),
        ticket: Some(ticket),
        request,
        key: key.as_deref().map(|key| (key, fingerprint)),
    };
    (ticket, api.commands.submit(submission).await)
}

fn check_tickets(tickets: &[TicketId]) -> Result<(), Problem> {
    let refuse = |detail: String| Err(Problem::new("bad_bulk", detail));
    if tickets.is_empty() || tickets.len() > BULK_TICKETS_MAX {
        return refuse(format!("{} tickets; expected 1 to {BULK_TICKETS_MAX}", tickets.len()));
    }
    let mut seen = BTreeSet::new();
    match tickets.iter().find(|ticket| !seen.insert(**ticket)) {
        Some(twice) => refuse(format!("ticket {twice} is given twice")),
        None => Ok(()),
    }
}

/// What each ticket has of its own cannot be said of all.
fn check_command(request: &Request<'_>) -> Result<(), Problem> {
    let name = request.command.name();
    match request.command {
        Command::Create { .. } | Command::Split { .. } | Command::Feedback(_) | Command::Label { .. } => {
            Err(Problem::new("bad_bulk", format!("a {name} command is not for many tickets")))
        }
        Command::Reply { origin, .. } if origin.suggestion.is_some() => {
            Err(Problem::new("bad_bulk", "a suggestion is of one ticket; leave it out"))
        }
        Command::Reply { seen: Some(_), .. } => {
            Err(Problem::new("bad_bulk", "seen is of one ticket; leave it out"))
        }
        _ if request.expect.is_some() || request.fence.is_some() => {
            Err(Problem::new("bad_bulk", "expect and fence are of one ticket; leave them out"))
        }
        _ => Ok(()),
    }
}

/// A key for each ticket, where there is one for all.
fn keys(key: Option<&str>, tickets: &[TicketId]) -> Result<Vec<Option<String>>, Problem> {
    let keys: Vec<_> = tickets.iter().map(|ticket| key.map(|key| format!("{key}/{ticket}"))).collect();
    match keys.iter().flatten().find(|key| key.len() > IDEMPOTENCY_KEY_BYTES_MAX) {
        Some(long) => {
            let detail = format!(
                "with /, and a ticket's number, the Idempotency-Key has {} bytes; at most {IDEMPOTENCY_KEY_BYTES_MAX} \
                 are taken",
                long.len()
            );
            Err(Problem::new("bad_idempotency_key", detail))
        }
        None => Ok(keys),
    }
}

/// Events are put in as they are.
fn page(results: &[(TicketId, Result<Outcome, SubmitError>)]) -> Bytes {
    let mut out = Vec::with_capacity(256 * results.len());
    out.extend_from_slice(b"{\"results\":[");
    for (place, (ticket, result)) in results.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        out.extend_from_slice(format!("{{\"ticket\":{ticket},").as_bytes());
        match result {
            Ok(outcome) => {
                out.extend_from_slice(b"\"event\":");
                out.extend_from_slice(&outcome.entry.json());
            }
            Err(error) => {
                out.extend_from_slice(b"\"error\":");
                out.extend_from_slice(Problem::from_submit(error).to_json().as_bytes());
            }
        }
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
    Bytes::from(out)
}
