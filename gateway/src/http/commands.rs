//! Commands: the hot path. One body, parsed where it was received; the answer is the event's own bytes.

use bytes::Bytes;
use http::header::LOCATION;
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode};
use hyper::body::Body;
use waggle_core::id::TicketId;
use waggle_core::ticket::{Command, Request};

use super::answer::{self, Response};
use super::{Api, auth, body, preconditions};
use crate::directory::Principal;
use crate::learn::Sayer;
use crate::ledger::{self, Outcome, Submission, SubmitError};
use crate::problem::Problem;

const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Carries out a command on `ticket`, or a create without.
pub(super) async fn submit<B>(
    api: &Api,
    parts: &Parts,
    body: B,
    ticket: Option<TicketId>,
) -> Result<Response, Problem>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let headers = &parts.headers;
    let principal = auth::principal(&api.directory, headers)?;
    if !principal.may_change() {
        return Err(super::read_only());
    }
    let query = super::query::Query::parse(parts.uri.query(), &["draft"])?;
    let discards = discards_draft(&query)?;
    body::check_type(headers)?;
    let key = preconditions::idempotency_key(headers)?;
    let if_match = preconditions::if_match(headers)?;
    let body = body::read(body).await?;
    let mut request = Request::parse(&body).map_err(|error| Problem::from_command(&error))?;
    if matches!(request.command, Command::Create { .. }) != ticket.is_none() {
        return Err(Problem::from_submit(&SubmitError::WrongTarget));
    }
    request.expect = preconditions::expectation(if_match, request.expect)?;
    check_expectation(&request)?;
    check_feedback(api, &principal, &request, (ticket, key)).await?;
    let path = parts.uri.path();
    let fingerprint = |key| (key, ledger::fingerprint(parts.method.as_str(), path, &body));
    let submission = Submission {
        tenant: principal.tenant,
        authority: principal.authority(),
        ticket,
        request,
        key: key.map(fingerprint),
    };
    let outcome = api.commands.submit(submission).await;
    if let (true, Ok(_), Some(ticket)) = (discards, &outcome, ticket) {
        super::drafts::discard(api, &principal, ticket).await;
    }
    outcome.map(|outcome| success(&outcome, ticket)).map_err(|error| Problem::from_submit(&error))
}

/// Whether the author's draft goes with the command: `?draft=discard`.
fn discards_draft(query: &super::query::Query<'_>) -> Result<bool, Problem> {
    match query.text("draft") {
        None => Ok(false),
        Some("discard") => Ok(true),
        Some(other) => Err(super::query::bad(&format!("draft is {other:?}; expected discard"))),
    }
}

/// Whoever overwrites says what he saw; whoever creates has seen nothing.
fn check_expectation(request: &Request<'_>) -> Result<(), Problem> {
    let name = request.command.name();
    match (request.command, request.expect) {
        (Command::Create { .. }, Some(_)) => {
            Err(Problem::new("bad_if_match", "a create command takes no If-Match: there is no version yet"))
        }
        (command, None) if command.overwrites() => Err(Problem::new(
            "version_required",
            format!(
                "a {name} command needs the version that its author saw: If-Match: \"7\", or If-Match: *"
            ),
        )),
        _ => Ok(()),
    }
}

/// See [`Learner::check_feedback`](crate::learn::Learner::check_feedback).
async fn check_feedback(
    api: &Api,
    principal: &Principal,
    request: &Request<'_>,
    (ticket, key): (Option<TicketId>, Option<&str>),
) -> Result<(), Problem> {
    let Command::Feedback(feedback) = request.command else { return Ok(()) };
    let sees = api.directory.visible_queues(principal);
    let head = api.commands.head(principal.tenant).unwrap_or_default().offset;
    let sayer = Sayer { principal, sees: &sees, ticket, key, head };
    let checked = api.learn.check_feedback(sayer, feedback.suggested.reply).await;
    checked.map_err(|fault| Problem::from_feedback(&fault))
}

fn success(outcome: &Outcome, ticket: Option<TicketId>) -> Response {
    let entry = &outcome.entry;
    // A split is sent to one ticket, and answered by the event that made another.
    let is_new = ticket != Some(entry.ticket);
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    let mut response = answer::with_version(answer::json(status, entry.json()), entry.version);
    if is_new && let Ok(location) = HeaderValue::try_from(format!("/v1/tickets/{}", entry.ticket)) {
        response.headers_mut().insert(LOCATION, location);
    }
    if outcome.replayed {
        response.headers_mut().insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    }
    response
}
