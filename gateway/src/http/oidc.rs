//! Login at an identity provider: away, and back again.

use std::net::SocketAddr;

use http::header::{LOCATION, REFERRER_POLICY, SET_COOKIE};
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use waggle_core::limits::LOGIN_FLOW_MS;

use super::answer::{self, Response};
use super::query::{self, Query};
use super::{Api, Refused, cookie, login};
use crate::auth::{Callback, OidcError};
use crate::problem::Problem;

/// `GET /v1/login/oidc`: sends the browser to the provider; `return` is the path here at which it ends.
pub(super) fn begin(api: &Api, parts: &Parts, remote: SocketAddr) -> Result<Response, Refused> {
    let query = Query::parse(parts.uri.query(), &["return"])?;
    let return_to = return_path(query.text("return").unwrap_or("/"))?;
    let client = login::client(api, &parts.headers, remote);
    let begun = api.auth.begin_oidc(return_to, &client).map_err(|error| refused(api, error, remote))?;
    let mut response = elsewhere(StatusCode::FOUND, &begun.url)?;
    let flow = cookie::set(cookie::FLOW, begun.browser.reveal(), LOGIN_FLOW_MS / 1_000);
    response.headers_mut().extend(flow.map(|header| (SET_COOKIE, header)));
    Ok(response)
}

/// `GET /v1/login/oidc/callback`: the browser is back.
pub(super) async fn finish(api: &Api, parts: &Parts, remote: SocketAddr) -> Result<Response, Refused> {
    // Providers add parameters of their own.
    let query = Query::parse_some(parts.uri.query(), &["code", "state", "error", "iss"])?;
    let state = query.text("state").ok_or_else(|| query::bad("there is no state"))?;
    let outcome = match (query.text("code"), query.text("error")) {
        (_, Some(error)) => Err(error),
        (Some(code), None) => Ok(code),
        (None, None) => return Err(query::bad("there is neither a code nor an error").into()),
    };
    let browser = cookie::value(&parts.headers, cookie::FLOW).unwrap_or_default();
    let callback = Callback { state, outcome, issuer: query.text("iss"), browser };
    let client = login::client(api, &parts.headers, remote);
    let finished = api.auth.finish_oidc(callback, client).await;
    let (opened, return_to) = finished.map_err(|error| refused(api, error, remote))?;
    let response = elsewhere(StatusCode::SEE_OTHER, &return_to)?;
    let mut response = login::with_cookies(response, &parts.headers, &opened);
    let over = cookie::set(cookie::FLOW, "", 0);
    response.headers_mut().extend(over.map(|header| (SET_COOKIE, header)));
    Ok(response)
}

fn elsewhere(status: StatusCode, location: &str) -> Result<Response, Problem> {
    let location =
        HeaderValue::try_from(location).map_err(|error| Problem::new("internal", error.to_string()))?;
    let mut response = Response::default();
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(LOCATION, location);
    // Codes and states in addresses are nobody else's.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    answer::no_store(headers);
    Ok(response)
}

/// A path of this gateway: what browsers take for another host's address is none.
fn return_path(path: &str) -> Result<&str, Problem> {
    let is_visible = path.bytes().all(|byte| (0x21..0x7f).contains(&byte));
    let is_here = path.starts_with('/') && !path.starts_with("//") && !path.contains('\\');
    if is_visible && is_here {
        return Ok(path);
    }
    Err(query::bad("return is no path of this gateway; expected one such as /tickets/17"))
}

fn refused(api: &Api, error: OidcError, remote: SocketAddr) -> Refused {
    let detail = error.to_string();
    match error {
        OidcError::Off => Problem::new("no_provider", detail).into(),
        OidcError::NoFlow => Problem::new("login_flow", detail).into(),
        OidcError::Refused(_) | OidcError::NoAgent => Problem::new("login_failed", detail).into(),
        OidcError::Provider(_) => Problem::new("provider_unavailable", detail).into(),
        OidcError::Login(error) => login::refused(api, error, remote),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_are_sent_back_here_and_nowhere_else() {
        for path in ["/", "/tickets/17?a=b#c"] {
            assert_eq!(return_path(path), Ok(path));
        }
        for path in [
            "",
            "tickets",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "/a\r\nb",
            "/\t/x",
            "/\u{e9}",
        ] {
            assert!(return_path(path).is_err(), "{path:?}");
        }
    }
}
