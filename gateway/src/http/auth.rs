//! Who asks.

use std::time::{SystemTime, UNIX_EPOCH};

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use waggle_core::time::Timestamp;

use crate::directory::{AuthError, Directory, Principal};
use crate::problem::Problem;

/// The principal behind `Authorization: Bearer wgl_…`.
pub(super) fn principal(directory: &Directory, headers: &HeaderMap) -> Result<Principal, Problem> {
    let token = token(headers)?;
    directory.authenticate(token, now()).map_err(|error| Problem::new("unauthorized", error.to_string()))
}

/// The token in `Authorization: Bearer wgl_…`, whether or not it is good.
pub(super) fn token(headers: &HeaderMap) -> Result<&str, Problem> {
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

/// Wall-clock time; 0 on a machine whose clock is before 1970.
pub(super) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start_matches(' '))
}
