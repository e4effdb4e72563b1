//! Logging in and out, and passwords.

use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{RETRY_AFTER, SET_COOKIE, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};
use hyper::body::Body;
use serde::{Deserialize, Serialize};
use waggle_core::id::{AgentId, TenantId};
use waggle_core::limits::CLIENT_NAME_BYTES_MAX;
use waggle_core::time::Timestamp;

use super::answer::{self, Response};
use super::{Api, Refused, auth, body, cookie, csrf};
use crate::auth::{Client, LoginError, LoginRequest, Opened, Password};
use crate::directory::{Credential, Principal};
use crate::problem::Problem;
use crate::store::{AuditActor, StoreError};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LogIn {
    tenant: String,
    name: String,
    password: Password,
    #[serde(default)]
    new_password: Option<Password>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangePassword {
    password: Password,
    new_password: Password,
}

/// A session as its own browser sees it.
#[derive(Serialize)]
struct Session {
    session: u64,
    tenant: TenantId,
    agent: AgentId,
    expires_at: Option<Timestamp>,
    /// To be sent as `X-CSRF-Token` with each request that changes something.
    csrf_token: String,
}

/// `POST /v1/login`: by tenant, name and password; gives a session as a cookie.
pub(super) async fn log_in<B>(
    api: &Api,
    parts: &Parts,
    body: B,
    remote: SocketAddr,
) -> Result<Response, Refused>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let LogIn { tenant, name, password, new_password } = body::json(parts, body).await?;
    let request = LoginRequest { tenant: &tenant, name: &name, password, new_password };
    let opened = api.auth.login(request, client(api, &parts.headers, remote)).await;
    let opened = opened.map_err(|error| refused(api, error, remote))?;
    let response = answer::value(&Session::of(&opened))?;
    Ok(with_cookies(response, &parts.headers, &opened))
}

/// Sets the cookies of a session that was opened.
pub(super) fn with_cookies(mut response: Response, headers: &HeaderMap, opened: &Opened) -> Response {
    let seconds = opened.session.expires_at.0.saturating_sub(opened.session.created_at.0) / 1_000;
    let session = cookie::set(cookie::SESSION, opened.secret.reveal(), seconds);
    let device = opened.device.as_ref().and_then(|device| {
        let devices = cookie::with_device(headers, device.reveal());
        cookie::set(cookie::DEVICE, &devices, cookie::DEVICE_S)
    });
    for header in session.into_iter().chain(device) {
        response.headers_mut().append(SET_COOKIE, header);
    }
    response
}

impl Session {
    fn of(opened: &Opened) -> Self {
        Self {
            session: opened.session.id,
            tenant: opened.session.tenant,
            agent: opened.session.agent,
            expires_at: Some(opened.session.expires_at),
            csrf_token: csrf::token(opened.secret.reveal()),
        }
    }
}

/// Where a login comes from.
pub(super) fn client(api: &Api, headers: &HeaderMap, remote: SocketAddr) -> Client {
    let mut name =
        headers.get(USER_AGENT).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    if let Some(name) = &mut name {
        name.retain(|found| !found.is_control());
        name.truncate(name.floor_char_boundary(CLIENT_NAME_BYTES_MAX));
    }
    let had = auth::session(headers).and_then(|secret| {
        let principal = api.directory.authenticate_session(secret, auth::now()).ok()?;
        session_number(&principal)
    });
    Client {
        address: api.push.address(remote.ip(), headers),
        devices: cookie::device_hashes(headers),
        name: name.unwrap_or_default(),
        replaces: had,
    }
}

/// What a login that failed is answered. A source that fails on and on is told of, to whom it is that denies sources.
pub(super) fn refused(api: &Api, error: LoginError, remote: SocketAddr) -> Refused {
    let detail = error.to_string();
    match error {
        LoginError::Shut { retry_after_s, is_source } => {
            if is_source {
                (api.unauthorized)(remote.ip());
            }
            Refused::from(Problem::new("too_many_logins", detail))
                .with(RETRY_AFTER, HeaderValue::from(retry_after_s))
        }
        LoginError::Wrong => Problem::new("login_failed", detail).into(),
        LoginError::ChangeRequired => Problem::new("password_change_required", detail).into(),
        LoginError::Weak(_) => Problem::new("weak_password", detail).into(),
        LoginError::Busy => Problem::new("overload", detail).into(),
        LoginError::Hash(_) => Problem::new("internal", detail).into(),
        LoginError::Store(StoreError::Missing { .. }) => Problem::new("no_such_agent", detail).into(),
        LoginError::Store(_) => Problem::new("storage_unavailable", detail).into(),
    }
}

/// `POST /v1/logout`: ends the session and takes its cookie away.
pub(super) async fn log_out(api: &Api, parts: &Parts) -> Result<Response, Problem> {
    let (principal, number) = own_session(api, &parts.headers)?;
    api.auth.end_session(principal, number, "logout").await.map_err(storage)?;
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    if let Some(header) = cookie::set(cookie::SESSION, "", 0) {
        response.headers_mut().append(SET_COOKIE, header);
    }
    Ok(response)
}

/// `GET /v1/session`: the session that the cookie is of.
pub(super) fn session(api: &Api, parts: &Parts) -> Result<Response, Problem> {
    let (principal, number) = own_session(api, &parts.headers)?;
    answer::value(&Session {
        session: number,
        tenant: principal.tenant,
        agent: principal.agent,
        expires_at: principal.expires_at,
        csrf_token: csrf::token(auth::session(&parts.headers).unwrap_or_default()),
    })
}

/// `POST /v1/password`: changes one's own; all one's other sessions end.
pub(super) async fn change_password<B>(
    api: &Api,
    parts: &Parts,
    body: B,
    remote: SocketAddr,
) -> Result<Response, Refused>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let principal = auth::principal(&api.directory, &parts.headers)?;
    let ChangePassword { password, new_password } = body::json(parts, body).await?;
    let address = api.push.address(remote.ip(), &parts.headers);
    let changed = api.auth.change_password(principal, password, new_password, address).await;
    changed.map_err(|error| refused(api, error, remote))?;
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

#[derive(Serialize)]
struct Reset<'a> {
    agent: AgentId,
    /// Shown once.
    temporary_password: &'a str,
}

/// `POST /v1/agents/{agent}/password`: gives an agent a password that it has to change; its sessions end.
pub(super) async fn reset_password(
    api: &Api,
    parts: &Parts,
    agent: AgentId,
    remote: SocketAddr,
) -> Result<Response, Refused> {
    let principal = auth::administrator(&api.directory, &parts.headers, "reset passwords")?;
    if !api.directory.has_agent(principal.tenant, agent) {
        return Err(Problem::new("no_such_agent", format!("there is no agent {agent}")).into());
    }
    let actor = AuditActor::Agent(principal.agent);
    let made = api.auth.reset_password(principal.tenant, agent, actor).await;
    let made = made.map_err(|error| refused(api, error, remote))?;
    Ok(answer::value(&Reset { agent, temporary_password: made.reveal() })?)
}

/// The principal of a request that is made with a session, and the session's number.
pub(super) fn own_session(api: &Api, headers: &HeaderMap) -> Result<(Principal, u64), Problem> {
    let principal = auth::principal(&api.directory, headers)?;
    let number = session_number(&principal);
    number
        .map(|number| (principal, number))
        .ok_or_else(|| Problem::new("needs_session", "the request is made with a token, not with a session"))
}

fn session_number(principal: &Principal) -> Option<u64> {
    match principal.credential {
        Credential::Session(number) => Some(number),
        Credential::Token(_) | Credential::Provider => None,
    }
}

pub(super) fn storage(error: StoreError) -> Problem {
    Problem::new("storage_unavailable", error.to_string())
}
