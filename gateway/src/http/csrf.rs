//! Keeps other sites' pages from acting with an agent's cookie: OWASP's Cross-Site Request Forgery Prevention Cheat
//! Sheet, <https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html>.
//!
//! A request that changes something and has no `Authorization` header must come from a page of the same origin, which
//! browsers tell, and show a token, which only a page of the same origin can have read. No page can make a browser send
//! an `Authorization` header that it does not know.

use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::{HeaderMap, HeaderName};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::cookie;
use super::endpoint::Operation;
use crate::directory::push_base64url;
use crate::problem::Problem;
use crate::push::is_same_host;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const X_CSRF_TOKEN: HeaderName = HeaderName::from_static("x-csrf-token");

/// Refuses a request that changes something where a page of another site may have made a browser send it.
pub(super) fn check(headers: &HeaderMap, operation: Operation) -> Result<(), Problem> {
    if headers.contains_key(AUTHORIZATION) {
        return Ok(());
    }
    let session = cookie::value(headers, cookie::SESSION);
    let told = check_site(headers)?;
    let Some(secret) = session else { return Ok(()) };
    if told == Told::Nothing {
        return Err(cross_site("it has neither Origin nor Sec-Fetch-Site, which every browser sends"));
    }
    // Whoever logs in may have forgotten the session that it had.
    if operation == Operation::LogIn {
        return Ok(());
    }
    let given = headers.get(X_CSRF_TOKEN).map(|value| value.as_bytes()).unwrap_or_default();
    if bool::from(token(secret).as_bytes().ct_eq(given)) {
        return Ok(());
    }
    let what = if given.is_empty() { "there is no header X-CSRF-Token" } else { "X-CSRF-Token is wrong" };
    Err(Problem::new("csrf_token", format!("{what}; expected the session's csrf_token")))
}

/// The token that goes with a session's secret, from which the secret cannot be found.
pub(super) fn token(secret: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(b"waggle csrf\n");
    hash.update(secret);
    let mut text = String::new();
    push_base64url(&mut text, &hash.finalize());
    text
}

/// Whether the browser says where the request comes from.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    SameSite,
    Nothing,
}

fn check_site(headers: &HeaderMap) -> Result<Told, Problem> {
    let mut told = Told::Nothing;
    if let Some(site) = headers.get(SEC_FETCH_SITE) {
        if site != "same-origin" && site != "none" {
            return Err(cross_site("Sec-Fetch-Site is not same-origin"));
        }
        told = Told::SameSite;
    }
    if let Some(origin) = headers.get(ORIGIN) {
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        let origin = origin.to_str().unwrap_or_default();
        if !host.is_some_and(|host| is_same_host(origin, host)) {
            return Err(cross_site("its Origin is not this host"));
        }
        told = Told::SameSite;
    }
    Ok(told)
}

fn cross_site(what: &str) -> Problem {
    Problem::new("cross_site", format!("the request is not of a page of this gateway: {what}"))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const SECRET: &str = "wgs_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

    fn checked(operation: Operation, headers: &[(&'static str, &str)]) -> Result<(), &'static str> {
        let pairs = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()));
        check(&pairs.collect(), operation).map_err(|problem| problem.code)
    }

    #[test]
    fn only_pages_of_this_origin_act_with_a_cookie() {
        let cookie = ("cookie", &*format!("__Host-waggle={SECRET}"));
        let csrf = ("x-csrf-token", &*token(SECRET));
        let (host, origin) = (("host", "desk.example"), ("origin", "https://desk.example"));
        let same = ("sec-fetch-site", "same-origin");
        let out = Operation::LogOut;
        let check = |headers: &[(&'static str, &str)]| checked(out, headers);
        assert_eq!(check(&[cookie, csrf, host, origin, same]), Ok(()));
        assert_eq!(check(&[cookie, csrf, host, origin]), Ok(()));
        assert_eq!(check(&[cookie, csrf, same]), Ok(()));
        assert_eq!(check(&[cookie, csrf, host]), Err("cross_site"));
        assert_eq!(check(&[cookie, host, origin, same]), Err("csrf_token"));
        assert_eq!(check(&[cookie, ("x-csrf-token", SECRET), same]), Err("csrf_token"));
        for site in ["cross-site", "same-site", ""] {
            assert_eq!(check(&[cookie, csrf, host, origin, ("sec-fetch-site", site)]), Err("cross_site"));
        }
        for foreign in
            ["https://evil.example", "https://desk.example.evil.example", "null", "https://desk.example:8443"]
        {
            assert_eq!(
                check(&[cookie, csrf, host, ("origin", foreign), same]),
                Err("cross_site"),
                "{foreign}"
            );
        }
        // A token is no cookie: no page can send it without knowing it.
        assert_eq!(
            check(&[("authorization", "Bearer wgl_x"), ("origin", "https://evil.example"), host]),
            Ok(())
        );
        assert_eq!(check(&[host]), Ok(()));
    }

    #[test]
    fn nobody_is_logged_in_by_another_site() {
        let (host, foreign) = (("host", "desk.example"), ("origin", "https://evil.example"));
        assert_eq!(checked(Operation::LogIn, &[host, foreign]), Err("cross_site"));
        let cookie = ("cookie", &*format!("__Host-waggle={SECRET}"));
        assert_eq!(checked(Operation::LogIn, &[host, cookie, ("origin", "https://desk.example")]), Ok(()));
        assert_eq!(checked(Operation::LogIn, &[host]), Ok(()));
    }

    #[test]
    fn the_token_is_not_the_secret() {
        assert!(!token(SECRET).contains(&SECRET[4..]) && token(SECRET).len() == 43);
        assert_ne!(token(SECRET), token(&SECRET.replace('A', "B")));
    }
}
