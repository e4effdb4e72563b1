//! Cookies (RFC 6265). Their names begin with `__Host-`: browsers take such ones only from the host itself, over TLS
//! (or on the same machine), so that no neighbouring host can plant one.

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};
use waggle_core::limits::DEVICE_ACCOUNTS_MAX;

use crate::directory::{SecretKind, hash_secret};

/// A session's secret.
pub(super) const SESSION: &str = "__Host-waggle";
/// Secrets of a device, one for each account that has logged in by it, with dots between.
pub(super) const DEVICE: &str = "__Host-waggle-device";
/// Ties a login at an identity provider to the browser that began it.
pub(super) const FLOW: &str = "__Host-waggle-login";
/// Browsers keep a cookie for 400 days at most.
pub(super) const DEVICE_S: u64 = 400 * 86_400;

/// The value of the first cookie of this name.
pub(super) fn value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let pairs = headers.get_all(COOKIE).iter().filter_map(|header| header.to_str().ok());
    let mut pairs = pairs.flat_map(|header| header.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(found, _)| *found == name).map(|(_, value)| value)
}

/// `Set-Cookie` for a cookie that no script reads and no other site sends; 0 seconds take it away. `None` where the
/// value does not go into a header.
pub(super) fn set(name: &str, value: &str, seconds: u64) -> Option<HeaderValue> {
    let text = format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={seconds}");
    HeaderValue::try_from(text).ok().map(|mut header| {
        header.set_sensitive(true);
        header
    })
}

/// The secrets of devices that a browser shows, as far as they have the form of one.
pub(super) fn devices(headers: &HeaderMap) -> Vec<&str> {
    let secrets = value(headers, DEVICE).unwrap_or_default().split('.');
    secrets
        .filter(|secret| SecretKind::of(secret) == Some(SecretKind::Device))
        .take(DEVICE_ACCOUNTS_MAX)
        .collect()
}

/// Their hashes.
pub(super) fn device_hashes(headers: &HeaderMap) -> Vec<[u8; 32]> {
    devices(headers).into_iter().map(hash_secret).collect()
}

/// The device cookie with one secret more; the oldest makes room.
pub(super) fn with_device(headers: &HeaderMap, fresh: &str) -> String {
    let mut secrets = devices(headers);
    if secrets.len() >= DEVICE_ACCOUNTS_MAX {
        secrets.remove(0);
    }
    secrets.push(fresh);
    secrets.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::Token;

    fn with(cookies: &[&str]) -> HeaderMap {
        cookies.iter().map(|text| (COOKIE, HeaderValue::from_str(text).unwrap())).collect()
    }

    #[test]
    fn cookies_are_found_among_others() {
        let headers = with(&["a=1; __Host-waggle=wgs_x;b=2", "__Host-waggle-device=z"]);
        assert_eq!(value(&headers, SESSION), Some("wgs_x"));
        assert_eq!(value(&headers, DEVICE), Some("z"));
        assert_eq!((value(&headers, "b"), value(&headers, "waggle")), (Some("2"), None));
        assert_eq!(value(&with(&["__Host-waggle", ";;", "="]), SESSION), None);
    }

    #[test]
    fn a_browser_is_known_for_a_few_accounts() {
        let secrets: Vec<String> = (0..=DEVICE_ACCOUNTS_MAX)
            .map(|_| Token::make_for(SecretKind::Device).unwrap().reveal().to_owned())
            .collect();
        let (last, others) = secrets.split_last().unwrap();
        let cookie = format!("{DEVICE}=junk.{}.wgs_nothing", others.join("."));
        let headers = with(&[&cookie]);
        assert_eq!(devices(&headers), others);
        assert_eq!(with_device(&headers, last), secrets[1..].join("."));
        assert_eq!(with_device(&HeaderMap::new(), last), *last);
    }

    #[test]
    fn cookies_are_for_this_host_only_and_for_no_script() {
        let header = set(SESSION, "wgs_x", 60).unwrap();
        let wanted = "__Host-waggle=wgs_x; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=60";
        assert_eq!(header.to_str().unwrap(), wanted);
        assert!(header.is_sensitive() && set(SESSION, "a\nb", 60).is_none());
    }
}
