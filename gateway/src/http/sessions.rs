//! One's own sessions.

use http::StatusCode;
use http::request::Parts;
use serde::Serialize;
use waggle_core::time::Timestamp;

use super::answer::{self, Response};
use super::login::{own_session, storage};
use super::query::Query;
use super::{Api, auth};
use crate::directory::Credential;
use crate::problem::Problem;
use crate::store::Method;

#[derive(Serialize)]
struct Session {
    id: u64,
    method: Method,
    /// What the browser calls itself.
    client: String,
    created_at: Timestamp,
    /// To the nearest minute.
    seen_at: Timestamp,
    expires_at: Timestamp,
    /// Whether it is the one that asks.
    current: bool,
}

#[derive(Serialize)]
struct Sessions {
    sessions: Vec<Session>,
}

/// `GET /v1/sessions`: one's own, oldest first.
pub(super) fn list(api: &Api, parts: &Parts) -> Result<Response, Problem> {
    let principal = auth::principal(&api.directory, &parts.headers)?;
    Query::parse(parts.uri.query(), &[])?;
    let own = api.directory.sessions(principal.tenant, principal.agent);
    let sessions = own.into_iter().map(|(row, seen_at)| Session {
        id: row.id,
        method: row.method,
        client: row.client,
        created_at: row.created_at,
        seen_at,
        expires_at: row.expires_at,
        current: principal.credential == Credential::Session(row.id),
    });
    answer::value(&Sessions { sessions: sessions.collect() })
}

/// `DELETE /v1/sessions/{session}`: ends one of one's own.
pub(super) async fn end(api: &Api, parts: &Parts, session: u64) -> Result<Response, Problem> {
    let principal = auth::principal(&api.directory, &parts.headers)?;
    let ended = api.auth.end_session(principal, session, "session.ended").await.map_err(storage)?;
    if !ended {
        return Err(Problem::new("no_such_session", format!("you have no session {session}")));
    }
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

#[derive(Serialize)]
struct PushToken<'a> {
    token: &'a str,
    expires_at: Timestamp,
}

/// `POST /v1/push/tokens`: a token for the `hello` of one push connection, which ends when the session does.
pub(super) fn push_token(api: &Api, parts: &Parts) -> Result<Response, Problem> {
    let (principal, _) = own_session(api, &parts.headers)?;
    let made = api.directory.push_token(principal, auth::now());
    let (token, expires_at) = made.map_err(|error| Problem::new("overload", error.to_string()))?;
    answer::value(&PushToken { token: token.reveal(), expires_at })
}
