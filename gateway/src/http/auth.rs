//! Who asks.

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use waggle_core::right::Right;

use super::cookie;
use crate::directory::{AuthError, Directory, Principal};
use crate::problem::Problem;
pub(super) use crate::wall_clock::now;

/// The principal behind `Authorization: Bearer …`, or else behind the session's cookie.
pub(super) fn principal(directory: &Directory, headers: &HeaderMap) -> Result<Principal, Problem> {
    let outcome = match session(headers) {
        Some(secret) => directory.authenticate_session(secret, now()),
        None => directory.authenticate(token(headers)?, now()),
    };
    outcome.map_err(refused)
}

/// The secret of the session that a request is made with: it has no `Authorization` header.
pub(super) fn session(headers: &HeaderMap) -> Option<&str> {
    if headers.contains_key(AUTHORIZATION) {
        return None;
    }
    cookie::value(headers, cookie::SESSION)
}

/// An administrator's principal; `what` is what only they do.
pub(super) fn administrator(
    directory: &Directory,
    headers: &HeaderMap,
    what: &str,
) -> Result<Principal, Problem> {
    let principal = principal(directory, headers)?;
    if directory.administers(&principal) {
        return Ok(principal);
    }
    Err(Problem::lacking(Right::Administer, format!("only administrators {what}")))
}

fn refused(error: AuthError) -> Problem {
    let code = if error == AuthError::KeyUnknown { "keys_unknown" } else { "unauthorized" };
    Problem::new(code, error.to_string())
}

/// What a push client of this request's principal says as the token of its `hello`.
pub(super) fn hello_token(directory: &Directory, headers: &HeaderMap) -> Result<String, Problem> {
    let principal = principal(directory, headers)?;
    if session(headers).is_none() {
        return token(headers).map(str::to_owned);
    }
    let made = directory.push_token(principal, now());
    let (token, _) = made.map_err(|error| Problem::new("overload", error.to_string()))?;
    Ok(token.reveal().to_owned())
}

/// The token in `Authorization: Bearer …`, whether or not it is good.
fn token(headers: &HeaderMap) -> Result<&str, Problem> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(Problem::new("unauthorized", "give one header `Authorization: Bearer wgl_…`"));
    };
    value.to_str().ok().and_then(bearer).ok_or_else(|| {
        Problem::new("unauthorized", "the Authorization header is not of the form `Bearer wgl_…`")
    })
}

/// Whether an Authorization header is somebody's guess at a token. A request without one may be any web page's,
/// which a browser sends for it.
pub(super) fn is_guess(directory: &Directory, value: &HeaderValue) -> bool {
    let token = value.to_str().ok().and_then(bearer);
    token.is_some_and(|token| directory.authenticate(token, now()).is_err_and(AuthError::is_guess))
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start_matches(' '))
}
