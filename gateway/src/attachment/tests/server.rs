//! A store that speaks S3 (s3s, which checks every signature, over a folder), and goes wrong where a test wants it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rusty_s3::Credentials;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::attachment::{Hash, S3Settings, Timeouts};
use crate::tls::self_signed;

const BUCKET: &str = "files";
const PREFIX: &str = "waggle";

/// What goes wrong with one request.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// This status, and nothing else.
    Status(u16),
    /// No answer.
    Silent,
    /// The connection breaks when some of the body has come.
    Cut,
    /// The first byte of an answer of so many, and no more.
    Stall(u64),
}

#[derive(Default)]
struct State {
    faults: VecDeque<(Method, Fault)>,
    seen: Vec<Method>,
}

pub(crate) struct Server {
    folder: TempDir,
    endpoint: String,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_with(None).await
    }

    /// One that speaks TLS, with a certificate that only whoever trusts the one given here takes.
    pub(super) async fn start_tls() -> (Self, String) {
        let (acceptor, certificate) = self_signed();
        (Self::start_with(Some(acceptor)).await, certificate)
    }

    async fn start_with(tls: Option<TlsAcceptor>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(BUCKET)).unwrap();
        let mut builder = S3ServiceBuilder::new(FileSystem::new(folder.path()).unwrap());
        builder.set_auth(SimpleAuth::from_single("access", "secret"));
        let service = builder.build();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let scheme = if tls.is_some() { "https" } else { "http" };
        let endpoint = format!("{scheme}://localhost:{}", address.port());
        let task = tokio::spawn(serve(listener, tls, service, Arc::clone(&state)));
        Self { folder, endpoint, state, task }
    }

    /// How it is used by one who does not wait for long.
    pub(crate) fn settings(&self) -> S3Settings {
        S3Settings {
            endpoint: self.endpoint.clone(),
            region: "us-east-1".to_owned(),
            bucket: BUCKET.to_owned(),
            prefix: PREFIX.to_owned(),
            credentials: Credentials::new("access", "secret"),
            path_style: true,
            roots: None,
            timeouts: Timeouts {
                connect: Duration::from_secs(5),
                answer: Duration::from_secs(5),
                pause: Duration::from_millis(2),
            },
        }
    }

    /// The next requests of these methods go wrong, in this order.
    pub(crate) fn fail(&self, faults: impl IntoIterator<Item = (Method, Fault)>) {
        self.state.lock().faults.extend(faults);
    }

    /// What it was asked since this was last called.
    pub(crate) fn seen(&self) -> Vec<Method> {
        std::mem::take(&mut self.state.lock().seen)
    }

    /// Where an object's bytes are.
    pub(super) fn path(&self, hash: Hash) -> PathBuf {
        self.files().join(hash.to_string())
    }

    pub(super) fn files(&self) -> PathBuf {
        self.folder.path().join(BUCKET).join(PREFIX)
    }

    pub(super) fn bucket(&self) -> PathBuf {
        self.folder.path().join(BUCKET)
    }

    pub(super) fn root(&self) -> &Path {
        self.folder.path()
    }
}

async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    service: S3Service,
    state: Arc<Mutex<State>>,
) {
    // They end with the server.
    let mut connections = JoinSet::new();
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        let (tls, service, state) = (tls.clone(), service.clone(), Arc::clone(&state));
        connections.spawn(async move {
            let answer = service_fn(move |request| answer(service.clone(), Arc::clone(&state), request));
            let http = http1::Builder::new();
            let _ = match tls {
                None => http.serve_connection(TokioIo::new(socket), answer).await,
                Some(tls) => match tls.accept(socket).await {
                    Ok(socket) => http.serve_connection(TokioIo::new(socket), answer).await,
                    Err(_) => Ok(()),
                },
            };
        });
    }
}

async fn answer(
    service: S3Service,
    state: Arc<Mutex<State>>,
    request: Request<Incoming>,
) -> Result<Response<s3s::Body>, s3s::HttpError> {
    let fault = {
        let mut state = state.lock();
        state.seen.push(request.method().clone());
        let is_next = state.faults.front().is_some_and(|(method, _)| method == request.method());
        if is_next { state.faults.pop_front().map(|(_, fault)| fault) } else { None }
    };
    match fault {
        None => hyper::service::Service::call(&service, request).await,
        Some(Fault::Status(status)) => {
            Ok(Response::builder().status(status).body(s3s::Body::empty()).unwrap())
        }
        Some(Fault::Silent) => std::future::pending().await,
        Some(Fault::Cut) => {
            let _ = request.into_body().frame().await;
            Err(s3s::HttpError::new(Box::new(std::io::Error::other("cut"))))
        }
        Some(Fault::Stall(bytes)) => {
            let first = futures_util::stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from("h")))]);
            let body = StreamBody::new(first.chain(futures_util::stream::pending()));
            let answer = Response::builder().header("content-length", bytes);
            Ok(answer.body(s3s::Body::http_body_unsync(body)).unwrap())
        }
    }
}
