//! The control socket: what a gateway tells those who may read its data directory, over a Unix socket.

use std::convert::Infallible;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::answer::{self, Response};
use crate::accel::{Accel, AccelReport, Guard, GuardChange, Leg, LegSettings, Redirect};
use crate::problem::Problem;

/// Connections at once.
const CONNECTIONS_MAX: usize = 8;
/// The longest answer that is read: the guard's, with as many rules as it may have.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The longest question that is read.
const QUESTION_BYTES_MAX: usize = 64 * 1024;
const ASK_WITHIN: Duration = Duration::from_secs(5);

/// A running control socket; its file goes when it is dropped.
pub struct ControlServer {
    path: PathBuf,
    accepting: JoinHandle<()>,
}

impl ControlServer {
    /// Listens at `path`, which only the gateway's own user may open. A file left over by a gateway that
    /// was killed is replaced: the caller holds the data directory's lock.
    ///
    /// # Errors
    /// Where the socket cannot be made.
    pub fn start(
        path: &Path,
        accel: Arc<Accel>,
        guard: Arc<Guard>,
        redirect: Arc<Redirect>,
    ) -> io::Result<Self> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // The directory is 0700, so that nobody gets in between these two.
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
        Ok(Self {
            path: path.to_owned(),
            accepting: tokio::spawn(accept(listener, (accel, guard, redirect))),
        })
    }
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        self.accepting.abort();
        let _ = std::fs::remove_file(&self.path);
    }
}

/// What is asked and told.
type Parts = (Arc<Accel>, Arc<Guard>, Arc<Redirect>);

async fn accept(listener: UnixListener, told: Parts) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let told = told.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let told = told.clone();
                async move { Ok::<_, Infallible>(answer(request, told).await) }
            });
            let mut builder = Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(ASK_WITHIN).keep_alive(false);
            if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
                tracing::debug!(%error, "a control connection broke off");
            }
            drop(place);
        });
    }
}

async fn answer(request: Request<Incoming>, told: Parts) -> Response {
    let (parts, body) = request.into_parts();
    let body = match Limited::new(body, QUESTION_BYTES_MAX).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return answer::problem(&Problem::new("malformed", error.to_string()), "control"),
    };
    // Reports ask the kernel, and the status makes connections: not on a thread of the runtime.
    let answered = tokio::task::spawn_blocking(move || {
        let path = parts.uri.path();
        decide(&parts.method, path, &body, &told)
            .unwrap_or_else(|| Err(Problem::new("not_found", format!("there is nothing at {path}"))))
    });
    match answered.await {
        Ok(Ok(value)) => answer::json(StatusCode::OK, value.to_string().into()),
        Ok(Err(problem)) => answer::problem(&problem, "control"),
        Err(error) => answer::problem(&Problem::new("internal", error.to_string()), "control"),
    }
}

/// What is asked to be reset.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reset {
    /// A leg's word; all legs where there is none.
    leg: Option<String>,
}

/// `None` where there is no such question.
fn decide(
    method: &Method,
    path: &str,
    body: &Bytes,
    (accel, guard, redirect): &Parts,
) -> Option<Result<Value, Problem>> {
    let status = || Ok(json!(AccelReport { status: accel.status(), redirect: redirect.status() }));
    Some(match (method, path) {
        (&Method::GET, "/accel") => status(),
        (&Method::GET, "/accel/legs") => Ok(json!(accel.legs())),
        (&Method::POST, "/accel/profile") => parsed::<LegSettings>(body).and_then(|settings| {
            accel.set_profiles(&settings).map_err(|error| refused(&error))?;
            status()
        }),
        (&Method::POST, "/accel/profile/reset") => parsed::<Reset>(body).and_then(|reset| {
            let leg = reset.leg.map(|word| leg(&word)).transpose()?;
            accel.reset_profiles(leg).map_err(|error| refused(&error))?;
            status()
        }),
        (&Method::GET, "/accel/guard") => Ok(json!(guard.status())),
        (&Method::POST, "/accel/guard/change") => parsed::<GuardChange>(body).and_then(|change| {
            guard.change(&change).map_err(|error| refused(&error))?;
            Ok(json!(guard.status()))
        }),
        (&Method::POST, "/accel/guard/confirm") => {
            guard.confirm().map_err(|error| refused(&error)).map(|()| json!(guard.status()))
        }
        _ => return None,
    })
}

fn parsed<T: DeserializeOwned>(body: &Bytes) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| Problem::new("malformed", error.to_string()))
}

fn leg(word: &str) -> Result<Leg, Problem> {
    let unknown = || Problem::new("malformed", format!("{word:?} is no leg; expected agent, mesh or local"));
    Leg::from_name(word).ok_or_else(unknown)
}

fn refused(error: &impl std::error::Error) -> Problem {
    Problem::new("malformed", error.to_string())
}

/// Why a running gateway could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Nobody listens.
    #[error("no gateway runs on {}", path.display())]
    NotRunning {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It listens, and does not answer as expected.
    #[error("the gateway's control socket does not answer")]
    Silent(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It does not do it.
    #[error("{0}")]
    Refused(String),
}

/// Asks the gateway whose control socket is at `socket` for `path`; with a body, tells it.
///
/// # Errors
/// Where none runs there, it does not answer in time, or it refuses, with its reason.
pub async fn ask_control(socket: &Path, path: &str, body: Option<&Value>) -> Result<Value, ControlError> {
    let stream = UnixStream::connect(socket)
        .await
        .map_err(|source| ControlError::NotRunning { path: socket.to_owned(), source })?;
    match tokio::time::timeout(ASK_WITHIN, ask(stream, path, body)).await {
        Ok(Ok(answer)) => answer.map_err(ControlError::Refused),
        Ok(Err(error)) => Err(ControlError::Silent(error)),
        Err(elapsed) => Err(ControlError::Silent(Box::new(elapsed))),
    }
}

/// The answer, or why there is none by the gateway's own word.
async fn ask(
    stream: UnixStream,
    path: &str,
    body: Option<&Value>,
) -> Result<Result<Value, String>, Box<dyn std::error::Error + Send + Sync>> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driven = tokio::spawn(connection);
    let method = if body.is_some() { Method::POST } else { Method::GET };
    let body = Full::new(Bytes::from(body.map(Value::to_string).unwrap_or_default()));
    let request = Request::builder().method(method).uri(path).header("host", "waggle").body(body)?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await?.to_bytes();
    driven.abort();
    let value: Value = serde_json::from_slice(&body)?;
    if status == StatusCode::OK {
        return Ok(Ok(value));
    }
    let detail = value["detail"].as_str().map(ToOwned::to_owned);
    Ok(Err(detail.unwrap_or_else(|| format!("the gateway answered {status}"))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accel::{AccelConfig, GuardAction, GuardConfig, GuardRule, Mode, RedirectConfig};

    #[tokio::test]
    async fn tells_the_state_of_acceleration_to_its_own_user_and_is_told_profiles() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        let ask = async |question, body: Option<Value>| ask_control(&path, question, body.as_ref()).await;
        assert!(matches!(ask("/accel", None).await, Err(ControlError::NotRunning { .. })));
        std::fs::write(&path, "left over").unwrap();
        let off = AccelConfig { mode: Mode::Off, ..AccelConfig::default() };
        let accel = Arc::new(Accel::start(off).unwrap());
        let guard = Arc::new(Guard::start(&GuardConfig::default(), &[], Mode::Off).unwrap());
        let redirect = Redirect::start(&RedirectConfig::default(), Mode::Off, Err("off"), None).unwrap();
        let server = ControlServer::start(&path, accel, guard, Arc::new(redirect)).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let status = ask("/accel", None).await.unwrap();
        assert_eq!(
            (&status["mode"], &status["redirect"]["refused"]),
            (&json!("off"), &json!("switched off"))
        );
        assert!(ask("/accel/legs", None).await.unwrap()["unmeasured"].is_string());

        let wanted = |status: &Value| status["legs"][0]["features"][1]["wanted"].clone();
        let changed = ask("/accel/profile", Some(json!({"agent": {"rto_min_us": 40_000}}))).await.unwrap();
        assert_eq!(wanted(&changed), 40_000);
        for (question, body, said) in [
            ("/other", None, "nothing at /other"),
            ("/accel/profile", None, "nothing at /accel/profile"),
            ("/accel/profile", Some(json!({"agent": {"rto": 1}})), "expected one of nodelay"),
            ("/accel/profile", Some(json!({"lan": {}})), "unknown field `lan`"),
            ("/accel/profile/reset", Some(json!({"leg": "lan"})), "expected agent, mesh or local"),
            ("/accel/guard/confirm", Some(json!({})), "no change waits"),
            (
                "/accel/guard/change",
                Some(json!({"action": "deny", "network": "192.0.2.0/24"})),
                "no interface is named in accel.guard.interfaces",
            ),
            (
                "/accel/guard/change",
                Some(json!({"action": "deny", "network": "192.0.2.1/24"})),
                "expected 192.0.2.0/24",
            ),
        ] {
            let error = ask(question, body).await.unwrap_err();
            assert!(matches!(&error, ControlError::Refused(text) if text.contains(said)), "{error:?}");
        }
        assert_eq!(wanted(&ask("/accel", None).await.unwrap()), 40_000);
        let reset = ask("/accel/profile/reset", Some(json!({"leg": null}))).await.unwrap();
        assert_eq!(wanted(&reset), 50_000);
        drop(server);
        assert!(!path.exists());
    }

    #[test]
    fn the_longest_list_of_rules_fits_into_an_answer() {
        /// As many networks as the kernel's two tries hold.
        const RULES: usize = 2 * 16_384;
        let network = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128".parse().unwrap();
        let guard = Guard::start(&GuardConfig::default(), &[], Mode::Off).unwrap();
        let mut status = guard.status();
        let said = serde_json::from_value(json!("configuration")).unwrap();
        status.rules =
            vec![GuardRule { action: GuardAction::Allow, network, said, left_s: Some(31_536_000) }; RULES];
        let bytes = json!(status).to_string().len();
        assert!(bytes + 64 * 1024 < ANSWER_BYTES_MAX, "{bytes}");
    }
}
