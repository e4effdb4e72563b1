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
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::Value;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::answer::{self, Response};
use crate::accel::Status;
use crate::problem::Problem;

/// Connections at once.
const CONNECTIONS_MAX: usize = 8;
/// The longest answer that is read.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
const ASK_WITHIN: Duration = Duration::from_secs(5);

/// Gives the state of acceleration when asked; may block for a moment.
pub type AccelStatus = Arc<dyn Fn() -> Status + Send + Sync>;

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
    pub fn start(path: &Path, accel: AccelStatus) -> io::Result<Self> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // The directory is 0700, so that nobody gets in between these two.
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
        Ok(Self { path: path.to_owned(), accepting: tokio::spawn(accept(listener, accel)) })
    }
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        self.accepting.abort();
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn accept(listener: UnixListener, accel: AccelStatus) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let accel = Arc::clone(&accel);
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let accel = Arc::clone(&accel);
                async move { Ok::<_, Infallible>(answer(request.method(), request.uri().path(), accel).await) }
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

async fn answer(method: &Method, path: &str, accel: AccelStatus) -> Response {
    match (method, path) {
        (&Method::GET, "/accel") => match tokio::task::spawn_blocking(move || accel()).await {
            Ok(status) => answer::json(StatusCode::OK, serde_json::json!(status).to_string().into()),
            Err(error) => answer::problem(&Problem::new("internal", error.to_string()), "control"),
        },
        _ => answer::problem(&Problem::new("not_found", format!("there is nothing at {path}")), "control"),
    }
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
}

/// Asks the gateway whose control socket is at `socket` for `path`.
///
/// # Errors
/// Where none runs there, or it does not answer in time.
pub async fn ask_control(socket: &Path, path: &'static str) -> Result<Value, ControlError> {
    let stream = UnixStream::connect(socket)
        .await
        .map_err(|source| ControlError::NotRunning { path: socket.to_owned(), source })?;
    match tokio::time::timeout(ASK_WITHIN, ask(stream, path)).await {
        Ok(answer) => answer.map_err(ControlError::Silent),
        Err(elapsed) => Err(ControlError::Silent(Box::new(elapsed))),
    }
}

async fn ask(
    stream: UnixStream,
    path: &'static str,
) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driven = tokio::spawn(connection);
    let request = Request::get(path).header("host", "waggle").body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await?.to_bytes();
    driven.abort();
    if status != StatusCode::OK {
        return Err(format!("it answered {status}").into());
    }
    Ok(serde_json::from_slice(&body)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accel::Mode;

    #[tokio::test]
    async fn tells_the_state_of_acceleration_to_its_own_user() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        assert!(matches!(ask_control(&path, "/accel").await, Err(ControlError::NotRunning { .. })));
        std::fs::write(&path, "left over").unwrap();
        let status = || Status {
            mode: Mode::Off,
            kernel: "6.18".into(),
            object: None,
            cgroup: None,
            legs: Vec::new(),
        };
        let server = ControlServer::start(&path, Arc::new(status)).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(ask_control(&path, "/accel").await.unwrap()["mode"], "off");
        assert!(matches!(ask_control(&path, "/other").await, Err(ControlError::Silent(_))));
        drop(server);
        assert!(!path.exists());
    }
}
