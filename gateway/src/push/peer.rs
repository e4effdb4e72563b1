//! Who is at the other end of a connection, and which pages may open one.

use std::net::IpAddr;
use std::str::FromStr;

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, HeaderName, Uri};
use serde::{Deserialize, Serialize};

/// The way that a connection came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Via {
    /// The push address.
    Tcp,
    /// The Unix socket.
    Unix,
    /// The API's address.
    Api,
    /// The API's address, as Server-Sent Events.
    Sse,
}

/// The other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) via: Via,
    /// The client's, where it is known.
    pub(super) address: Option<IpAddr>,
    /// That of the TCP connection's other end, which may be a proxy's.
    pub(super) tcp: Option<IpAddr>,
}

/// A proxy whose word about its clients' addresses is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum TrustedProxy {
    /// Whoever connects to the Unix socket.
    Unix,
    /// Whoever connects from this network: its address, and how many bits of it count.
    Network(IpAddr, u8),
}

/// What is no [`TrustedProxy`].
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no trusted proxy; expected `unix`, an address, or a network such as 10.0.0.0/8")]
pub struct TrustedProxyError(String);

/// Rules about who may connect from where.
#[derive(Debug, Clone, Default)]
pub struct PeerRules {
    /// See `push_trusted_proxies` in the configuration.
    pub trusted_proxies: Vec<TrustedProxy>,
    /// See `push_origins` in the configuration.
    pub origins: Vec<String>,
}

impl PeerRules {
    /// Whether the word of the peer about its clients' addresses is taken; `None` is the Unix socket.
    #[must_use]
    pub fn is_trusted(&self, peer: Option<IpAddr>) -> bool {
        self.trusted_proxies.iter().any(|proxy| proxy.is(peer))
    }

    /// The client's address: the last entry of `X-Forwarded-For` where the peer is a trusted proxy that
    /// gives one, or else the peer's own. `None` is the Unix socket.
    #[must_use]
    pub fn address(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Option<IpAddr> {
        const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
        if !self.is_trusted(peer) {
            return peer;
        }
        let last = headers.get_all(FORWARDED_FOR).iter().next_back();
        let last = last.and_then(|value| value.to_str().ok()?.rsplit(',').next()?.trim().parse().ok());
        last.or(peer)
    }

    /// Whether a page of the request's `Origin` may connect. What is no browser sends none.
    ///
    /// # Errors
    /// Says which origin was refused, and what would be right.
    pub fn check_origin(&self, headers: &HeaderMap) -> Result<(), String> {
        let Some(origin) = headers.get(ORIGIN) else { return Ok(()) };
        let origin = origin.to_str().unwrap_or("?");
        let is_allowed = match self.origins.as_slice() {
            [] => {
                let host = headers.get(HOST).and_then(|host| host.to_str().ok());
                host.is_some_and(|host| is_same_host(origin, host))
            }
            listed => listed.iter().any(|one| one == "*" || one.eq_ignore_ascii_case(origin)),
        };
        if is_allowed {
            return Ok(());
        }
        let shown: String = origin.chars().take(100).collect();
        Err(format!("pages of {shown:?} may not connect; list their origin in push_origins"))
    }
}

/// Whether an `Origin` is of the same host and port as a `Host` header.
pub fn is_same_host(origin: &str, host: &str) -> bool {
    let Ok(origin) = Uri::from_str(origin) else { return false };
    let default_port = if origin.scheme_str() == Some("https") { ":443" } else { ":80" };
    let bare = |text: &str| text.strip_suffix(default_port).unwrap_or(text).to_ascii_lowercase();
    origin.authority().is_some_and(|authority| bare(authority.as_str()) == bare(host))
}

impl TrustedProxy {
    fn is(&self, peer: Option<IpAddr>) -> bool {
        match (self, peer.map(|peer| peer.to_canonical())) {
            (Self::Unix, None) => true,
            (Self::Network(IpAddr::V4(network), bits), Some(IpAddr::V4(peer))) => {
                shift(u128::from(network.to_bits() ^ peer.to_bits()), 32 - bits) == 0
            }
            (Self::Network(IpAddr::V6(network), bits), Some(IpAddr::V6(peer))) => {
                shift(network.to_bits() ^ peer.to_bits(), 128 - bits) == 0
            }
            _ => false,
        }
    }
}

fn shift(difference: u128, bits: u8) -> u128 {
    difference.checked_shr(u32::from(bits)).unwrap_or(0)
}

impl TryFrom<String> for TrustedProxy {
    type Error = TrustedProxyError;

    fn try_from(text: String) -> Result<Self, TrustedProxyError> {
        if text == "unix" {
            return Ok(Self::Unix);
        }
        let (address, bits) = text.split_once('/').map_or((text.as_str(), None), |(a, b)| (a, Some(b)));
        let parsed = address.parse::<IpAddr>().ok().and_then(|address| {
            let most = if address.is_ipv4() { 32 } else { 128 };
            let bits = bits.map_or(Some(most), |bits| bits.parse().ok())?;
            (bits <= most).then_some(Self::Network(address, bits))
        });
        parsed.ok_or(TrustedProxyError(text))
    }
}

impl From<TrustedProxy> for String {
    fn from(proxy: TrustedProxy) -> Self {
        match proxy {
            TrustedProxy::Unix => "unix".to_owned(),
            TrustedProxy::Network(address, bits) => format!("{address}/{bits}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let trusted_proxies =
            ["unix", "10.0.0.0/8", "::1"].map(|text| TrustedProxy::try_from(text.to_owned()).unwrap());
        let rules = PeerRules { trusted_proxies: trusted_proxies.to_vec(), origins: Vec::new() };
        let forwarded = headers(&[("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "2.2.2.2, 3.3.3.3")]);
        for (peer, wanted) in [
            (None, Some("3.3.3.3")),
            (Some("10.1.2.3"), Some("3.3.3.3")),
            (Some("::ffff:10.1.2.3"), Some("3.3.3.3")),
            (Some("::1"), Some("3.3.3.3")),
            (Some("11.1.2.3"), Some("11.1.2.3")),
            (Some("::2"), Some("::2")),
        ] {
            let ip = |text: &str| text.parse::<IpAddr>().unwrap();
            assert_eq!(rules.address(peer.map(ip), &forwarded), wanted.map(ip), "{peer:?}");
        }
        assert_eq!(rules.address(None, &headers(&[("x-forwarded-for", "nobody")])), None);
        assert_eq!(PeerRules::default().address(None, &forwarded), None);
        for wrong in ["", "10.0.0.0/33", "10.0.0.0/x", "example.org", "Unix"] {
            assert!(TrustedProxy::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn pages_of_other_hosts_are_refused() {
        let same = PeerRules::default();
        for (origin, host, is_allowed) in [
            ("https://a.example", "a.example", true),
            ("https://A.example:443", "a.example", true),
            ("http://a.example:8081", "a.example:8081", true),
            ("https://a.example", "a.example:8081", false),
            ("https://evil.example", "a.example", false),
            ("null", "a.example", false),
        ] {
            let headers = headers(&[("origin", origin), ("host", host)]);
            assert_eq!(same.check_origin(&headers).is_ok(), is_allowed, "{origin} {host}");
        }
        assert!(same.check_origin(&headers(&[("host", "a.example")])).is_ok());
        let listed = PeerRules { origins: vec!["https://b.example".to_owned()], ..PeerRules::default() };
        assert!(listed.check_origin(&headers(&[("origin", "https://b.example")])).is_ok());
        let error = listed.check_origin(&headers(&[("origin", "https://a.example")])).unwrap_err();
        assert!(error.contains("https://a.example") && error.contains("push_origins"), "{error}");
        let any = PeerRules { origins: vec!["*".to_owned()], ..PeerRules::default() };
        assert!(any.check_origin(&headers(&[("origin", "null")])).is_ok());
    }
}
