//! Asks a store over HTTP: with time limits, and again where that may help.

use std::error::Error;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Either, Empty, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::fs::File;
use url::Url;
use waggle_core::limits::{
    ATTACHMENT_STORE_ANSWER_BYTES_MAX, ATTACHMENT_STORE_ANSWER_MS_MAX, ATTACHMENT_STORE_ATTEMPTS,
    ATTACHMENT_STORE_BYTES_PER_SECOND_MIN, ATTACHMENT_STORE_CONNECT_MS_MAX, ATTACHMENT_STORE_IDLE_MAX,
    ATTACHMENT_STORE_IDLE_MS, ATTACHMENT_STORE_PAUSE_MS,
};

use super::SettingsError;
use crate::attachment::spool::Whole;
use crate::attachment::{AttachmentError, Reading};
use crate::trust;

/// How long a store may take, and how long it is left alone before it is asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Until there is a connection.
    pub connect: Duration,
    /// From a request to its answer, and between two pieces of that.
    pub answer: Duration,
    /// Before the second attempt; twice that before the third.
    pub pause: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_millis(ATTACHMENT_STORE_CONNECT_MS_MAX),
            answer: Duration::from_millis(ATTACHMENT_STORE_ANSWER_MS_MAX),
            pause: Duration::from_millis(ATTACHMENT_STORE_PAUSE_MS),
        }
    }
}

/// Why a store does not do what it is asked. Nothing here shows an address that is signed.
#[derive(Debug, thiserror::Error)]
pub enum S3Error {
    /// No connection, or one that broke.
    #[error("{host} cannot be reached, or broke off")]
    Unreachable {
        /// Who.
        host: String,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// Too slow.
    #[error("{host} did not answer within {ms} milliseconds")]
    Slow {
        /// Who.
        host: String,
        /// How long was waited.
        ms: u128,
    },
    /// Something else than success.
    #[error("{host} answers {}", told(*status, code))]
    Refused {
        /// Who.
        host: String,
        /// What.
        status: StatusCode,
        /// The store's own word for it; empty where it gave none.
        code: String,
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

fn told(status: StatusCode, code: &str) -> String {
    let hint = match status {
        StatusCode::FORBIDDEN => {
            "; are access key and secret right, may they read, write, list and delete in the bucket, and is this \
             machine's clock right?"
        }
        StatusCode::NOT_FOUND => "; is there such a bucket?",
        status if status.is_redirection() => "; are endpoint and region those of the bucket?",
        _ => "",
    };
    let space = if code.is_empty() { "" } else { " " };
    format!("{status}{space}{code}{hint}")
}

type Sent = Either<Reading, Empty<Bytes>>;
type Connector = HttpsConnector<HttpConnector>;

/// What a store is asked.
#[derive(Clone, Copy)]
pub(super) struct StoreRequest<'a> {
    pub(super) method: &'a Method,
    /// The address, signed anew each time.
    pub(super) sign: &'a (dyn Fn() -> Url + Sync),
    /// A header that is signed.
    pub(super) header: Option<(&'static str, &'a str)>,
    /// What is sent.
    pub(super) file: Option<(&'a Path, &'a Whole)>,
}

impl<'a> StoreRequest<'a> {
    /// A request with nothing but its address.
    pub(super) fn new(method: &'a Method, sign: &'a (dyn Fn() -> Url + Sync)) -> Self {
        Self { method, sign, header: None, file: None }
    }
}

/// The client. It keeps connections for the next request.
#[derive(Debug)]
pub(super) struct Client {
    http: legacy::Client<Connector, Sent>,
    host: String,
    timeouts: Timeouts,
    repeated: AtomicU64,
}

impl Client {
    pub(super) fn new(host: String, roots: Option<&Path>, timeouts: Timeouts) -> Result<Self, SettingsError> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(timeouts.connect));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(trust::client_config(roots)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let http = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_millis(ATTACHMENT_STORE_IDLE_MS))
            .pool_max_idle_per_host(ATTACHMENT_STORE_IDLE_MAX)
            .build(connector);
        Ok(Self { http, host, timeouts, repeated: AtomicU64::new(0) })
    }

    pub(super) fn timeouts(&self) -> Timeouts {
        self.timeouts
    }

    pub(super) fn repeated(&self) -> u64 {
        self.repeated.load(Ordering::Relaxed)
    }

    /// Sends a request until there is an answer that another attempt would not change. The answer says that it was
    /// understood, not that it was done.
    pub(super) async fn send(&self, asked: StoreRequest<'_>) -> Result<Response<Incoming>, AttachmentError> {
        let sending = asked.file.map_or(0, |(_, whole)| whole.bytes / ATTACHMENT_STORE_BYTES_PER_SECOND_MIN);
        let limit = self.timeouts.answer + Duration::from_secs(sending);
        let mut pause = self.timeouts.pause;
        for _ in 1..ATTACHMENT_STORE_ATTEMPTS {
            match self.once(limit, self.request(asked).await?).await {
                Ok(answer) if !may_pass(answer.status()) => return Ok(answer),
                Ok(answer) => {
                    let status = answer.status();
                    tracing::debug!(host = self.host, %status, "the store of files is asked again");
                }
                Err(error) => tracing::debug!(%error, "the store of files is asked again"),
            }
            self.repeated.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(jittered(pause)).await;
            pause *= 2;
        }
        let answer = self.once(limit, self.request(asked).await?).await?;
        if may_pass(answer.status()) { Err(self.refused(answer).await.into()) } else { Ok(answer) }
    }

    /// Each attempt is signed anew, and reads its file from the beginning.
    async fn request(&self, asked: StoreRequest<'_>) -> Result<Request<Sent>, AttachmentError> {
        let body = match asked.file {
            Some((path, whole)) => {
                Either::Left(Reading::of_file(File::open(path).await?, whole.hash, whole.bytes))
            }
            None => Either::Right(Empty::new()),
        };
        let mut request = Request::builder().method(asked.method).uri((asked.sign)().as_str());
        if let Some((name, value)) = asked.header {
            request = request.header(name, value);
        }
        Ok(request.body(body).map_err(|error| self.shape("an address", &error.to_string()))?)
    }

    async fn once(&self, limit: Duration, request: Request<Sent>) -> Result<Response<Incoming>, S3Error> {
        match tokio::time::timeout(limit, self.http.request(request)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(self.unreachable(error.into())),
            Err(_) => Err(S3Error::Slow { host: self.host.clone(), ms: limit.as_millis() }),
        }
    }

    /// What an answer says that is no success.
    pub(super) async fn refused(&self, answer: Response<Incoming>) -> S3Error {
        let status = answer.status();
        // `<Error><Code>NoSuchKey</Code>…`; a HEAD's answer has nothing.
        let text = self.text(answer).await.unwrap_or_default();
        let code = text.split_once("<Code>").and_then(|(_, rest)| Some(rest.split_once("</Code>")?.0));
        let code = code.unwrap_or_default().chars().filter(char::is_ascii_alphanumeric).take(64).collect();
        S3Error::Refused { host: self.host.clone(), status, code }
    }

    /// A short answer's body.
    pub(super) async fn text(&self, answer: Response<Incoming>) -> Result<String, S3Error> {
        let whole = Limited::new(answer.into_body(), ATTACHMENT_STORE_ANSWER_BYTES_MAX).collect();
        let limit = self.timeouts.answer;
        let whole = tokio::time::timeout(limit, whole)
            .await
            .map_err(|_| S3Error::Slow { host: self.host.clone(), ms: limit.as_millis() })?
            .map_err(|source| self.unreachable(source))?;
        String::from_utf8(whole.to_bytes().into()).map_err(|error| self.shape("text", &error.to_string()))
    }

    pub(super) fn shape(&self, wanted: &'static str, why: &str) -> S3Error {
        S3Error::Shape { host: self.host.clone(), wanted, why: why.to_owned() }
    }

    fn unreachable(&self, source: Box<dyn Error + Send + Sync>) -> S3Error {
        S3Error::Unreachable { host: self.host.clone(), source }
    }
}

/// What a busy or broken server says, and may say no more when it is asked again.
fn may_pass(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
}

/// Half of it to all of it, so that gateways do not come back together.
fn jittered(pause: Duration) -> Duration {
    let chance = getrandom::u32().unwrap_or(u32::MAX / 2);
    pause / 2 + (pause / 2).mul_f64(f64::from(chance) / f64::from(u32::MAX))
}
