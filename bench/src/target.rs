//! Which gateway is driven, and as whom.

use std::net::ToSocketAddrs;

use anyhow::{Context, Result, bail};

use crate::stream::Address;

/// One gateway.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its API.
    pub api: Address,
    /// The Host header.
    pub host: String,
    /// Its push endpoint, on the path that is measured.
    pub push: Address,
    /// Tokens of its agents; never empty.
    pub tokens: Vec<String>,
    /// Its process, where it is known: for CPU and memory.
    pub pid: Option<u32>,
}

impl Target {
    /// A running gateway at `url` (`http://host:port`), with push on the same port.
    ///
    /// # Errors
    /// Where the URL is of another form or its host has no address.
    pub fn from_url(url: &str, token: &str, pid: Option<u32>) -> Result<Self> {
        let Some(host) = url.strip_prefix("http://") else {
            bail!("target {url:?}: expected http://host:port");
        };
        let host = host.trim_end_matches('/');
        let address = host
            .to_socket_addrs()
            .with_context(|| format!("target {url:?}: expected http://host:port"))?
            .next()
            .with_context(|| format!("target {url:?}: the host has no address"))?;
        Ok(Self {
            api: Address::Tcp(address),
            host: host.to_owned(),
            push: Address::Tcp(address),
            tokens: vec![token.to_owned()],
            pid,
        })
    }

    /// The token of the `index`-th user.
    #[must_use]
    pub fn token(&self, index: usize) -> &str {
        let index = index % self.tokens.len().max(1);
        self.tokens.get(index).map_or("", String::as_str)
    }
}
