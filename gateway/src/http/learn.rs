//! The assistant: what it suggests, how it stands, and what administrators teach it.

use bytes::Bytes;
use http::StatusCode;
use http::request::Parts;
use serde_json::Value;
use waggle_core::id::{QueueId, TicketId, Version};
use waggle_core::learn::Model;
use waggle_core::limits::TEACHING_BYTES_MAX;
use waggle_core::right::Right;
use waggle_core::ticket::{Command, Request};

use super::answer::{self, Response};
use super::query::{Query, bad};
use super::tickets::{storage, visible};
use super::{Api, auth, body, preconditions};
use crate::directory::Principal;
use crate::learn::{NoSuggestion, NotReady};
use crate::ledger::{self, Submission, SubmitError};
use crate::problem::Problem;

/// `GET /v1/tickets/{ticket}/suggestions`: what to answer the customer's newest message, or the one whose version is in
/// `message`.
pub(super) async fn suggestions(api: &Api, parts: &Parts, ticket: TicketId) -> Result<Response, Problem> {
    let principal = auth::principal(&api.directory, &parts.headers)?;
    let query = Query::parse(parts.uri.query(), &["message"])?;
    let message: Option<Version> = query.parsed("message")?;
    visible(api, &principal, ticket).await?;
    let suggestion = api.learn.suggest(principal.tenant, ticket, message).await;
    answer::value(&suggestion.map_err(|error| match error {
        NoSuggestion::Storage(error) => storage(error),
        NoSuggestion::Off(_) => Problem::new("suggestions_off", error.to_string()),
        NoSuggestion::Answered => Problem::new("nothing_asked", error.to_string()),
        NoSuggestion::NoMessage(_) => Problem::new("no_such_message", error.to_string()),
        NoSuggestion::NotReady(behind) => not_ready(behind),
    })?)
}

/// The model may not know yet what it is asked for.
fn not_ready(behind: NotReady) -> Problem {
    Problem::new("assistant_behind", behind.to_string())
}

/// `GET /v1/learn`: how the tenant's model stands, with its digest where `digest=true`. It tells of what customers of all
/// queues want, so it is for those who see all of them.
pub(super) async fn overview(api: &Api, parts: &Parts) -> Result<Response, Problem> {
    let principal = auth::principal(&api.directory, &parts.headers)?;
    if !api.directory.rights_everywhere(&principal).has(Right::See) {
        return Err(Problem::lacking(Right::See, "what is learned is of all queues"));
    }
    let query = Query::parse(parts.uri.query(), &["digest"])?;
    let with_digest = match query.text("digest") {
        Some("true") => true,
        None | Some("false") => false,
        Some(other) => return Err(bad(&format!("digest is {other:?}; expected true or false"))),
    };
    let head = api.commands.head(principal.tenant).unwrap_or_default().offset;
    let overview = api.learn.overview(principal.tenant, head, with_digest).await;
    answer::value(&overview.ok_or_else(|| Problem::from_submit(&SubmitError::Stopping))?)
}

/// `POST /v1/learn`: what an administrator teaches. The answer is the event that it became.
pub(super) async fn teach(api: &Api, parts: &Parts, body: &Bytes) -> Result<Response, Problem> {
    let principal = auth::administrator(&api.directory, &parts.headers, "teach the assistant")?;
    Query::parse(parts.uri.query(), &[])?;
    body::check_type(&parts.headers)?;
    let key = preconditions::idempotency_key(&parts.headers)?;
    let expect = preconditions::if_match(&parts.headers)?;
    let teaching = parsed(api, &principal, body)?;
    let head = api.commands.head(principal.tenant).unwrap_or_default().offset;
    let takes = |model: &Model| model.check(&teaching);
    let check = match is_mode(&teaching) {
        // It hangs on nothing that was taught before, and the assistant can be turned off however much there is to do.
        true => api.learn.takes(principal.tenant, head, takes).await,
        false => api.learn.takes_at(principal.tenant, head, takes).await,
    };
    let check = check.map_err(not_ready);
    if let Err(problem) = check.and_then(|taken| taken.map_err(|why| Problem::new("bad_teaching", why)))
        && !api.learn.is_again(&principal, key).await.map_err(storage)?
    {
        return Err(problem);
    }
    let path = parts.uri.path();
    let fingerprint = |key| (key, ledger::fingerprint(parts.method.as_str(), path, body));
    let submission = Submission {
        tenant: principal.tenant,
        authority: principal.authority(),
        ticket: Some(TicketId::TENANT),
        request: Request { command: Command::Teach { teaching: &teaching }, expect, fence: None },
        key: key.map(fingerprint),
    };
    let outcome = api.commands.submit(submission).await;
    let outcome = outcome.map_err(|error| Problem::from_submit(&error))?;
    Ok(answer::with_version(answer::json(StatusCode::OK, outcome.entry.json()), outcome.entry.version))
}

fn is_mode(teaching: &str) -> bool {
    let value: Value = serde_json::from_str(teaching).unwrap_or_default();
    value.get("teach").and_then(Value::as_str) == Some("mode")
}

/// The body as an event's data.
fn parsed(api: &Api, principal: &Principal, body: &Bytes) -> Result<String, Problem> {
    if body.len() > TEACHING_BYTES_MAX {
        let detail = format!("the body has {} bytes; at most {TEACHING_BYTES_MAX} are taken", body.len());
        return Err(Problem::new("command_too_large", detail));
    }
    let value: Value =
        serde_json::from_slice(body).map_err(|error| Problem::new("malformed", error.to_string()))?;
    if !value.is_object() {
        return Err(Problem::new("malformed", "expected an object with the member \"teach\""));
    }
    if let Some(queue) = value.get("queue").and_then(Value::as_u64) {
        let queue = QueueId(u32::try_from(queue).unwrap_or_default());
        if !api.directory.has_queue(principal.tenant, queue) {
            return Err(Problem::new("no_such_queue", format!("there is no queue {queue}")));
        }
    }
    Ok(value.to_string())
}
