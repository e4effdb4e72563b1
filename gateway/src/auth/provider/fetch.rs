//! Asks an identity provider: small answers over HTTPS, each on a connection of its own, no redirections.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT};
use http::uri::Scheme;
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use waggle_core::limits::{PROVIDER_BYTES_MAX, PROVIDER_MS_MAX};

use crate::trust::{self, RootsError};

/// Why an identity provider did not answer as it should.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// It is asked over HTTPS only, but for one on this machine.
    #[error("{0} is no address of an identity provider; expected https://…")]
    Address(String),
    /// No connection.
    #[error("{host} cannot be reached")]
    Connect {
        /// Whom.
        host: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No HTTP.
    #[error("{host} does not speak HTTP as it should")]
    Http {
        /// Who.
        host: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Too slow.
    #[error("{0} did not answer within {PROVIDER_MS_MAX} milliseconds")]
    Slow(String),
    /// Something else than success.
    #[error("{host} answers {status}")]
    Status {
        /// Who.
        host: String,
        /// What.
        status: StatusCode,
    },
    /// An answer that is not what it should be.
    #[error("{host} answers with something else than {wanted}: {why}")]
    Shape {
        /// Who.
        host: String,
        /// What it should be.
        wanted: &'static str,
        /// What is wrong.
        why: String,
    },
}

/// The client.
pub(super) struct Fetch {
    tls: TlsConnector,
}

/// How a client says who it is.
pub(super) type Basic<'a> = Option<&'a HeaderValue>;

impl Fetch {
    /// One that trusts the system's certificate authorities, and those in a file (PEM) where one is given.
    pub(super) fn new(more: Option<&Path>) -> Result<Self, RootsError> {
        Ok(Self { tls: TlsConnector::from(Arc::new(trust::client_config(more)?)) })
    }

    /// `GET`, whose answer is JSON.
    pub(super) async fn get(&self, url: &str) -> Result<Bytes, FetchError> {
        self.send(Method::GET, url, None, Bytes::new()).await
    }

    /// `POST` of a form, whose answer is JSON.
    pub(super) async fn post(&self, url: &str, basic: Basic<'_>, form: String) -> Result<Bytes, FetchError> {
        self.send(Method::POST, url, basic, form.into()).await
    }

    async fn send(
        &self,
        method: Method,
        url: &str,
        basic: Basic<'_>,
        body: Bytes,
    ) -> Result<Bytes, FetchError> {
        let address = Address::parse(url)?;
        let asking = self.ask(&address, method, basic, body);
        let limit = Duration::from_millis(PROVIDER_MS_MAX);
        let answered = tokio::time::timeout(limit, asking).await;
        answered.map_err(|_| FetchError::Slow(address.host.clone()))?
    }

    async fn ask(
        &self,
        address: &Address,
        method: Method,
        basic: Basic<'_>,
        body: Bytes,
    ) -> Result<Bytes, FetchError> {
        let connect = |source| FetchError::Connect { host: address.host.clone(), source };
        let tcp = TcpStream::connect((address.host.as_str(), address.port)).await.map_err(connect)?;
        let request = address.request(method, basic, body)?;
        if !address.is_tls {
            return converse(address, tcp, request).await;
        }
        let name = ServerName::try_from(address.host.clone())
            .map_err(|_| FetchError::Address(address.host.clone()))?;
        let tls = self.tls.connect(name, tcp).await.map_err(connect)?;
        converse(address, tls, request).await
    }
}

async fn converse<S>(address: &Address, stream: S, request: Request<Full<Bytes>>) -> Result<Bytes, FetchError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let http = |source: hyper::Error| FetchError::Http { host: address.host.clone(), source: source.into() };
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(http)?;
    // It ends with the answer, or with the sender: nobody waits for it.
    tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(http)?;
    let status = response.status();
    if status != StatusCode::OK {
        return Err(FetchError::Status { host: address.host.clone(), status });
    }
    let whole = Limited::new(response.into_body(), PROVIDER_BYTES_MAX).collect().await;
    let whole = whole.map_err(|source| FetchError::Http { host: address.host.clone(), source })?;
    Ok(whole.to_bytes())
}

/// Where to ask, and for what.
struct Address {
    is_tls: bool,
    host: String,
    port: u16,
    authority: String,
    path: String,
}

impl Address {
    fn parse(url: &str) -> Result<Self, FetchError> {
        let wrong = || FetchError::Address(url.chars().take(200).collect());
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let authority = uri.authority().filter(|found| !found.as_str().contains('@')).ok_or_else(wrong)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let is_tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP && is_this_machine(host) => false,
            _ => return Err(wrong()),
        };
        Ok(Self {
            is_tls,
            host: host.to_owned(),
            port: authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 }),
            authority: authority.to_string(),
            path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
        })
    }

    fn request(
        &self,
        method: Method,
        basic: Basic<'_>,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, FetchError> {
        let mut request = Request::builder()
            .method(method)
            .uri(&self.path)
            .header(HOST, &self.authority)
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, "waggle");
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        if let Some(basic) = basic {
            request = request.header(AUTHORIZATION, basic);
        }
        request.body(Full::new(body)).map_err(|_| FetchError::Address(self.authority.clone()))
    }
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether an identity provider may be asked there.
///
/// # Errors
/// Says what would be right.
pub fn check_address(url: &str) -> Result<(), FetchError> {
    Address::parse(url).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn providers_are_asked_over_https_but_on_this_machine() {
        for url in [
            "https://id.example",
            "https://id.example:8443/realms/a",
            "http://127.0.0.1:9",
            "http://[::1]/",
            "http://localhost:1",
        ] {
            assert!(check_address(url).is_ok(), "{url}");
        }
        for url in [
            "",
            "id.example",
            "http://id.example",
            "ftp://id.example",
            "https://a@id.example",
            "http://127.0.0.1.evil.example",
            "file:///etc/passwd",
        ] {
            assert!(check_address(url).is_err(), "{url}");
        }
        let address = Address::parse("https://id.example/a?b=c").unwrap();
        assert_eq!(
            (address.port, address.host.as_str(), address.path.as_str()),
            (443, "id.example", "/a?b=c")
        );
    }
}
