//! The HTTP API: connections that are kept, answers or failures, bounded retries.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::SendRequest;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, IF_MATCH, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use waggle_core::limits::{API_ANSWER_BYTES_MAX, API_ANSWER_MS_MAX, CONNECT_MS_MAX};

use waggle_client::Trust;

use super::args::Global;
use super::failure::{Exit, Failure};

/// The first pause before another attempt, in milliseconds; it doubles.
const PAUSE_MS_MIN: u64 = 100;
/// The longest pause that is taken because the server asks for it, in milliseconds.
const PAUSE_MS_MAX: u64 = 10_000;

type Sender = SendRequest<Full<Bytes>>;

/// One API, one token.
pub(crate) struct Api {
    base: String,
    host: String,
    port: u16,
    /// Under TLS.
    trust: Option<Trust>,
    token: String,
    attempts_max: u32,
    /// Connections that wait for a request; at most as many as there were requests at a time.
    idle: Mutex<Vec<Sender>>,
}

/// A request's own part.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    /// After the base, with its query.
    pub(crate) path: String,
    pub(crate) body: Bytes,
    /// For POST: the same for every attempt.
    pub(crate) key: Option<String>,
    /// As in `If-Match`.
    pub(crate) if_match: Option<String>,
}

/// A good answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) body: Bytes,
    /// Whether an earlier request with the same key did the work, not one of this `Ask`.
    pub(crate) is_replay: bool,
}

/// Why there is no answer.
enum Trouble {
    /// The connection was not made, or broke.
    Connection(String),
    /// Overload: after so many milliseconds, where said.
    Overload { failure: Failure, after_ms: Option<u64> },
    /// Not worth another attempt.
    Final(Failure),
}

impl Api {
    /// An API that a request is tried at `attempts_max` times.
    ///
    /// # Errors
    /// Where the address is none.
    pub(crate) fn new(global: &Global, attempts_max: u32) -> Result<Self, Failure> {
        let (base, token) = (global.api.as_str(), global.token.as_str());
        let form = || {
            let message = format!("{base:?} is no API address; expected http:// or https://host:port");
            Failure::new(Exit::Usage, message)
        };
        let uri: Uri = base.parse().map_err(|_| form())?;
        let host = uri.host().ok_or_else(form)?.trim_matches(['[', ']']).to_owned();
        let (trust, default_port) = match uri.scheme_str() {
            Some("http") => (None, 80),
            Some("https") => (Some(global.ca.as_deref().map_or_else(Trust::system, Trust::file)), 443),
            _ => return Err(form()),
        };
        let trust = trust.transpose().map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
        let port = uri.port_u16().unwrap_or(default_port);
        let base = base.trim_end_matches('/').to_owned();
        let (token, idle) = (token.to_owned(), Mutex::new(Vec::new()));
        Ok(Self { base, host, port, trust, token, attempts_max, idle })
    }

    /// Sends, again and again where the API is unavailable, and returns a good answer.
    ///
    /// # Errors
    /// The API's problem, or that it could not be reached.
    pub(crate) async fn send(&self, ask: &Ask) -> Result<Answer, Failure> {
        let mut attempt = 1;
        let mut is_unsure = false;
        loop {
            let trouble = match self.attempt(ask).await {
                // A request whose connection broke may have been done: the replay is then of its answer.
                Ok(answer) => return Ok(Answer { is_replay: answer.is_replay && !is_unsure, ..answer }),
                Err(trouble) => trouble,
            };
            let backoff_ms = PAUSE_MS_MIN << attempt.min(10);
            let (failure, pause_ms) = match trouble {
                Trouble::Final(failure) => return Err(failure),
                Trouble::Overload { failure, after_ms } => (failure, after_ms.unwrap_or(backoff_ms)),
                Trouble::Connection(why) => {
                    is_unsure = true;
                    let message = format!("the API at {} cannot be reached: {why}", self.base);
                    (Failure::new(Exit::Unavailable, message), backoff_ms)
                }
            };
            if attempt >= self.attempts_max {
                return Err(failure);
            }
            attempt += 1;
            // Between half of the pause and all of it.
            let jitter = getrandom::u64().unwrap_or(0) % (pause_ms / 2 + 1);
            let pause_ms = (pause_ms / 2 + jitter).min(PAUSE_MS_MAX);
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        }
    }

    async fn attempt(&self, ask: &Ask) -> Result<Answer, Trouble> {
        let mut sender = match self.take_idle() {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        let request = self.request(ask).map_err(Trouble::Final)?;
        let late = || Trouble::Connection(format!("no answer within {API_ANSWER_MS_MAX} ms"));
        let answering = async {
            let response = sender.send_request(request).await.map_err(broken)?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, API_ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| Trouble::Connection(error.to_string()))?.to_bytes();
            Ok((parts, body))
        };
        let (parts, body) =
            timeout(Duration::from_millis(API_ANSWER_MS_MAX), answering).await.map_err(|_| late())??;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        match parts.status.as_u16() {
            200..=299 => {
                let replayed = parts.headers.get("idempotency-replayed");
                Ok(Answer { body, is_replay: replayed.is_some_and(|value| value == "true") })
            }
            status @ (429 | 503) => {
                let seconds =
                    parts.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
                let after_ms = seconds.map(|seconds: u64| seconds.saturating_mul(1_000));
                Err(Trouble::Overload { failure: Failure::answered(status, &body), after_ms })
            }
            status => Err(Trouble::Final(Failure::answered(status, &body))),
        }
    }

    fn request(&self, ask: &Ask) -> Result<Request<Full<Bytes>>, Failure> {
        let path = self.base.splitn(4, '/').nth(3).map(|prefix| format!("/{prefix}")).unwrap_or_default();
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let mut request = Request::builder()
            .method(ask.method.clone())
            .uri(format!("{path}{}", ask.path))
            .header(HOST, format!("{host}:{}", self.port))
            .header(USER_AGENT, concat!("wagglectl/", env!("CARGO_PKG_VERSION")));
        if !self.token.is_empty() {
            request = request.header(AUTHORIZATION, format!("Bearer {}", self.token));
        }
        if !ask.body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        if let Some(key) = &ask.key {
            request = request.header("idempotency-key", key);
        }
        if let Some(if_match) = &ask.if_match {
            request = request.header(IF_MATCH, if_match);
        }
        let request = request.body(Full::new(ask.body.clone()));
        request.map_err(|error| Failure::new(Exit::Usage, format!("the request cannot be made: {error}")))
    }

    fn take_idle(&self) -> Option<Sender> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(sender) = idle.pop() {
            if sender.is_ready() {
                return Some(sender);
            }
        }
        None
    }

    async fn connect(&self) -> Result<Sender, Trouble> {
        let connecting = TcpStream::connect((self.host.as_str(), self.port));
        let late = || Trouble::Connection(format!("no connection within {CONNECT_MS_MAX} ms"));
        let stream = timeout(Duration::from_millis(CONNECT_MS_MAX), connecting).await.map_err(|_| late())?;
        let stream = stream.map_err(|error| Trouble::Connection(error.to_string()))?;
        stream.set_nodelay(true).map_err(|error| Trouble::Connection(error.to_string()))?;
        let Some(trust) = &self.trust else { return begin(stream).await };
        let securing = trust.secure(&self.host, stream);
        let stream = timeout(Duration::from_millis(CONNECT_MS_MAX), securing).await.map_err(|_| late())?;
        begin(stream.map_err(|error| Trouble::Connection(error.to_string()))?).await
    }
}

async fn begin(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Sender, Trouble> {
    let (sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // It ends with its sender; what breaks it breaks a request, too.
    tokio::spawn(connection);
    Ok(sender)
}

fn broken(error: hyper::Error) -> Trouble {
    Trouble::Connection(error.to_string())
}

/// A key that no other request has.
pub(crate) fn random_key() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| Failure::local("no randomness from the system", error))?;
    Ok(hex(&bytes))
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
