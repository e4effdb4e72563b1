//! Where a gateway's push listener is, and how to get a WebSocket to it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::str::FromStr;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::ClientRequestBuilder;
use tokio_tungstenite::tungstenite::http::Uri;
use tokio_tungstenite::tungstenite::http::header::RETRY_AFTER;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Error};
use waggle_core::limits::{CLIENT_MESSAGE_BYTES_MAX, SERVER_MESSAGE_BYTES_MAX};
use waggle_core::push::{PATH, SUBPROTOCOL, retry_after_s, with_retry_after};

use crate::tls::{Trust, TrustError};

/// Bytes of a frame's header at most, a client's mask included.
const FRAME_HEADER_BYTES_MAX: usize = 14;

/// A push listener: `ws://host[:port][/path]` or `wss://…` (ports 80 and 443, path `/v1/push` where not
/// said) or `unix:///path/of/socket`.
#[derive(Debug, Clone)]
pub struct Endpoint {
    uri: Uri,
    place: Place,
    /// Whom it is to be trusted by, under TLS.
    trust: Option<Trust>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

/// A text that names no push listener.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Another kind of address.
    #[error("{0:?} is no push address; expected ws:// or wss://host:port/v1/push, or unix:///path/of/socket")]
    Form(String),
    /// Nobody to trust.
    #[error(transparent)]
    Trust(#[from] TrustError),
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let form = || EndpointError::Form(text.chars().take(200).collect());
        if let Some(path) = text.strip_prefix("unix://") {
            if !path.starts_with('/') {
                return Err(form());
            }
            let uri = format!("ws://localhost{PATH}").parse().map_err(|_| form())?;
            return Ok(Self { uri, place: Place::Unix(path.into()), trust: None });
        }
        let uri: Uri = text.parse().map_err(|_| form())?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(form)?;
        let default_port = match uri.scheme_str() {
            Some("ws") => 80,
            Some("wss") => 443,
            _ => return Err(form()),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let place = Place::Tcp { host, port: uri.port_u16().unwrap_or(default_port) };
        let has_path = uri.path() != "/";
        let uri = if has_path {
            uri
        } else {
            format!("{}{PATH}", text.trim_end_matches('/')).parse().map_err(|_| form())?
        };
        Ok(Self { uri, place, trust: None })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Tcp { .. } => self.uri.fmt(f),
            Place::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

/// A WebSocket to a gateway.
pub(crate) type Socket = WebSocketStream<Wire>;

impl Endpoint {
    /// The same, trusting the authorities in a file, or the system's where there is none.
    ///
    /// # Errors
    /// Where there are none to trust, and it is to be reached under TLS.
    pub fn trusting(mut self, ca: Option<&Path>) -> Result<Self, EndpointError> {
        if self.uri.scheme_str() == Some("wss") {
            self.trust = Some(ca.map_or_else(Trust::system, Trust::file)?);
        }
        Ok(self)
    }

    /// Connects and shakes hands.
    ///
    /// # Errors
    /// A sentence for people: what was tried, and what came of it.
    pub(crate) async fn connect(&self, read_buffer_bytes: usize) -> Result<Socket, String> {
        let wire = self.wire().await.map_err(|error| format!("cannot connect to {self}: {error}"))?;
        let request = ClientRequestBuilder::new(self.uri.clone()).with_sub_protocol(SUBPROTOCOL);
        // The library's own sizes are 128 KiB for each direction, and no bound on what waits.
        let config = WebSocketConfig::default()
            .read_buffer_size(read_buffer_bytes)
            .write_buffer_size(0)
            .max_write_buffer_size(2 * (CLIENT_MESSAGE_BYTES_MAX + FRAME_HEADER_BYTES_MAX))
            .max_message_size(Some(SERVER_MESSAGE_BYTES_MAX))
            .max_frame_size(Some(SERVER_MESSAGE_BYTES_MAX));
        match tokio_tungstenite::client_async_with_config(request, wire, Some(config)).await {
            Ok((socket, _)) => Ok(socket),
            Err(error) => Err(format!("no WebSocket at {self}: {}", explain(&error))),
        }
    }

    async fn wire(&self) -> std::io::Result<Wire> {
        match &self.place {
            Place::Tcp { host, port } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                stream.set_nodelay(true)?;
                match &self.trust {
                    None => Ok(Wire::Tcp(stream)),
                    Some(trust) => Ok(Wire::Tls(Box::new(trust.secure(host, stream).await?))),
                }
            }
            Place::Unix(path) => UnixStream::connect(path).await.map(Wire::Unix),
        }
    }
}

/// What a handshake's error means; a refusal's body says it best. When to come back stands at its end, as in
/// the reason of a close, wherever the server said it.
fn explain(error: &Error) -> String {
    match error {
        tungstenite::Error::Http(response) => {
            let body = response.body().as_deref().unwrap_or_default();
            let body: String = String::from_utf8_lossy(body).chars().take(300).collect();
            let text = format!("the server answered {} {body}", response.status()).trim_end().to_owned();
            let hint =
                response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            match hint {
                Some(seconds) if retry_after_s(&text).is_none() => with_retry_after(&text, seconds),
                _ => text,
            }
        }
        other => other.to_string(),
    }
}

/// The bytes below a WebSocket.
#[derive(Debug)]
pub(crate) enum Wire {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, shown) in [
            ("ws://127.0.0.1:8081/v1/push", "ws://127.0.0.1:8081/v1/push"),
            ("ws://gateway:8081", "ws://gateway:8081/v1/push"),
            ("ws://[::1]:8081/", "ws://[::1]:8081/v1/push"),
            ("wss://gateway", "wss://gateway/v1/push"),
            ("unix:///run/waggle/push.sock", "unix:///run/waggle/push.sock"),
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), shown);
        }
        for text in ["", "127.0.0.1:8081", "http://a/", "unix://relative", "ws://"] {
            assert!(matches!(text.parse::<Endpoint>(), Err(EndpointError::Form(_))), "{text:?}");
        }
    }
}
