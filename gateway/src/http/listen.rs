//! Accepts HTTP connections, so many at once, and stops without breaking what is under way.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use waggle_core::limits::{
    HTTP_BUFFER_BYTES_MAX, HTTP_HEADER_MS_MAX, HTTP_HEADERS_MAX, HTTP_WRITE_MS_MAX, TLS_HANDSHAKE_MS_MAX,
};

use super::Api;
use super::stall::Unstalled;
use crate::problem::Problem;
use crate::tls::Tls;

/// How long a client may take nothing of its answer.
const WRITE_MAX: Duration = Duration::from_millis(HTTP_WRITE_MS_MAX);
/// How long accepting rests when the system has no descriptors left.
const ACCEPT_REST: Duration = Duration::from_millis(50);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Serving,
    /// Finish what is under way.
    Finishing,
    /// Leave it.
    Cutting,
}

/// A running HTTP server.
pub struct Server {
    addr: SocketAddr,
    stage: watch::Sender<Stage>,
    places: Arc<Semaphore>,
    accepting: JoinHandle<()>,
}

impl Server {
    /// Serves `api` on a socket that listens already, under TLS where there is some, to so many connections
    /// at once.
    ///
    /// # Errors
    /// Where the socket has no address.
    pub fn start(
        listener: TcpListener,
        api: Arc<Api>,
        tls: Option<Tls>,
        places_max: u32,
    ) -> io::Result<Self> {
        let addr = listener.local_addr()?;
        let stage = watch::Sender::new(Stage::Serving);
        // 32 bits fit the machines that Waggle runs on.
        let places = Arc::new(Semaphore::new(places_max as usize));
        let accepting =
            tokio::spawn(accept(listener, api, tls, (Arc::clone(&places), places_max), stage.subscribe()));
        Ok(Self { addr, stage, places, accepting })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Closes the listener; connections finish their requests and close, for at most `within`.
    pub async fn close(&mut self, within: Duration) {
        self.stage.send_replace(Stage::Finishing);
        let _ = (&mut self.accepting).await;
        // Streams of events go on until the push engine ends them.
        let _ = timeout(within, self.stage.closed()).await;
    }

    /// Stops accepting, lets requests under way finish for at most `within`, cuts the rest; tells how
    /// many connections that were.
    pub async fn stop(self, within: Duration) -> usize {
        self.stage.send_replace(Stage::Finishing);
        if !self.accepting.is_finished() {
            let _ = self.accepting.await;
        }
        let all = self.stage.receiver_count();
        let cut = match tokio::time::timeout(within, self.stage.closed()).await {
            Ok(()) => 0,
            Err(_) => all.min(self.stage.receiver_count()),
        };
        self.stage.send_replace(Stage::Cutting);
        self.stage.closed().await;
        self.places.close();
        cut
    }
}

async fn accept(
    listener: TcpListener,
    api: Arc<Api>,
    tls: Option<Tls>,
    (places, places_max): (Arc<Semaphore>, u32),
    mut stage: watch::Receiver<Stage>,
) {
    loop {
        let accepted = tokio::select! {
            _ = stage.changed() => return turn_away(listener, &api, tls.is_some()),
            accepted = listener.accept() => accepted,
        };
        let (stream, remote) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_REST).await;
                continue;
            }
        };
        match Arc::clone(&places).try_acquire_owned() {
            Ok(place) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, %remote, "TCP_NODELAY could not be set");
                }
                (api.accepted)(stream.as_fd());
                let (api, stage) = (Arc::clone(&api), stage.clone());
                match &tls {
                    None => drop(tokio::spawn(serve(stream, remote, api, place, stage))),
                    Some(tls) => {
                        drop(tokio::spawn(serve_tls(stream, tls.config(), remote, api, place, stage)))
                    }
                }
            }
            Err(_) => {
                let detail = format!("more than {places_max} connections are open");
                refuse(&stream, &api, tls.is_some(), &Problem::new("overload", detail));
            }
        }
    }
}

async fn serve_tls(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    remote: SocketAddr,
    api: Arc<Api>,
    place: OwnedSemaphorePermit,
    stage: watch::Receiver<Stage>,
) {
    let handshake = TlsAcceptor::from(config).accept(stream);
    match timeout(Duration::from_millis(TLS_HANDSHAKE_MS_MAX), handshake).await {
        Ok(Ok(stream)) => serve(stream, remote, api, place, stage).await,
        Ok(Err(error)) => tracing::debug!(%error, %remote, "a TLS handshake failed"),
        Err(_) => tracing::debug!(%remote, "a TLS handshake took too long"),
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    remote: SocketAddr,
    api: Arc<Api>,
    place: OwnedSemaphorePermit,
    mut stage: watch::Receiver<Stage>,
) {
    api.metrics.connection_opened();
    let metrics = Arc::clone(&api.metrics);
    let service = service_fn(move |request| {
        let api = Arc::clone(&api);
        async move { Ok::<_, Infallible>(api.handle(request, remote).await) }
    });
    let connection = Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(HTTP_HEADER_MS_MAX))
        .max_buf_size(HTTP_BUFFER_BYTES_MAX)
        .max_headers(HTTP_HEADERS_MAX)
        .serve_connection(TokioIo::new(Unstalled::new(stream, WRITE_MAX)), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    loop {
        tokio::select! {
            outcome = connection.as_mut() => {
                if let Err(error) = outcome {
                    tracing::debug!(%error, %remote, "a connection broke off");
                }
                break;
            }
            _ = stage.changed() => match *stage.borrow_and_update() {
                Stage::Serving => {}
                Stage::Finishing => connection.as_mut().graceful_shutdown(),
                Stage::Cutting => break,
            }
        }
    }
    metrics.connection_closed();
    drop(place);
}

/// Says no to those who wait in the kernel's queue, which closing the listener would cut off.
fn turn_away(listener: TcpListener, api: &Api, is_tls: bool) {
    let problem = Problem::new("stopping", "this gateway stops; come back, to it or to another");
    // The kernel's own word: tokio's may be older.
    let Ok(listener) = listener.into_std() else { return };
    while let Ok((stream, _)) = listener.accept() {
        refuse(&stream, api, is_tls, &problem);
    }
}

/// Says no to a connection, as far as its socket takes that at once.
fn refuse(stream: &impl AsFd, api: &Api, is_tls: bool, problem: &Problem) {
    api.metrics.connection_refused();
    if is_tls {
        // There is nobody yet to say it to.
        return;
    }
    let body = problem.to_value(None).to_string();
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nRetry-After: {}\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        problem.retry_after_s().unwrap_or(1),
        body.len(),
    );
    // A new socket's buffer is empty and takes this; where not, closing says it too.
    let _ = send(stream, answer.as_bytes(), SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
    // With a request unread, closing would reset the connection, and the answer could be lost.
    let _ = shutdown(stream, Shutdown::Write);
    let mut request = [0; HTTP_BUFFER_BYTES_MAX];
    let _ = recv(stream, &mut request, RecvFlags::DONTWAIT);
}
