//! The server on a real socket.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};

use super::super::{Api, Commands, Phase, Server};
use super::{World, create};
use crate::ledger::{Outcome, Submission, SubmitError};
use crate::push::{Handover, HandoverStream, Via};

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

async fn start(api: Arc<Api>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    Server::start(listener, api, None, 100).unwrap()
}

/// Reads one answer: its header, and a body of its length.
async fn answer(stream: &mut TcpStream) -> (String, Vec<u8>) {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "closed after {bytes:?}");
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
    let length: usize = length.map_or(0, |text| text.parse().unwrap());
    while bytes.len() < end + length {
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0);
    }
    (head, bytes[end..].to_vec())
}

fn post(world: &World) -> String {
    let body = create().to_string();
    format!(
        "POST /v1/tickets HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        world.ana,
        body.len()
    )
}

#[tokio::test]
async fn a_connection_serves_many_requests_and_bodies_in_pieces() {
    let world = World::new().await;
    let server = start(Arc::clone(&world.api)).await;
    let mut stream = TcpStream::connect(server.addr()).await.unwrap();
    stream.write_all(post(&world).as_bytes()).await.unwrap();
    assert!(answer(&mut stream).await.0.starts_with("http/1.1 201"));
    let body = create().to_string();
    let (first, second) = body.split_at(20);
    let head = format!(
        "POST /v1/tickets HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{first}\r\n",
        world.ana,
        first.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(format!("{:x}\r\n{second}\r\n0\r\n\r\n", second.len()).as_bytes()).await.unwrap();
    let (head, body) = answer(&mut stream).await;
    assert!(head.starts_with("http/1.1 201") && head.contains("location: /v1/tickets/2"), "{head}");
    assert!(String::from_utf8(body).unwrap().contains("\"ticket\":2"));
    assert_eq!(server.stop(Duration::from_secs(5)).await, 0);
}

#[tokio::test]
async fn chunks_without_end_are_cut_off() {
    let world = World::new().await;
    let server = start(Arc::clone(&world.api)).await;
    let mut stream = TcpStream::connect(server.addr()).await.unwrap();
    let head = format!(
        "POST /v1/tickets HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
        world.ana
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("4000\r\n{}\r\n", " ".repeat(0x4000));
    for _ in 0..7 {
        stream.write_all(chunk.as_bytes()).await.unwrap();
    }
    let (head, body) = answer(&mut stream).await;
    assert!(head.starts_with("http/1.1 413"), "{head}");
    assert!(String::from_utf8(body).unwrap().contains("command_too_large"));
}

#[tokio::test]
async fn headers_have_a_limit() {
    let world = World::new().await;
    let server = start(Arc::clone(&world.api)).await;
    let get = |filler: usize| {
        let (token, filler) = (&world.ana, "x".repeat(filler));
        format!(
            "GET /v1/me HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nX-Filler: {filler}\r\n\r\n"
        )
    };
    let mut stream = TcpStream::connect(server.addr()).await.unwrap();
    stream.write_all(get(16_000).as_bytes()).await.unwrap();
    assert!(answer(&mut stream).await.0.starts_with("http/1.1 200"));
    stream.write_all(get(16_400).as_bytes()).await.unwrap();
    let (head, body) = answer(&mut stream).await;
    assert!(head.starts_with("http/1.1 431"), "{head}");
    assert!(String::from_utf8(body).unwrap().contains("headers_too_large"));
}

#[tokio::test]
async fn one_connection_too_many_is_told_so() {
    let world = World::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server::start(listener, Arc::clone(&world.api), None, 1).unwrap();
    let mut first = TcpStream::connect(server.addr()).await.unwrap();
    first.write_all(post(&world).as_bytes()).await.unwrap();
    answer(&mut first).await;
    let mut second = TcpStream::connect(server.addr()).await.unwrap();
    let (head, body) = answer(&mut second).await;
    assert!(head.starts_with("http/1.1 503") && head.contains("retry-after: 1"), "{head}");
    assert!(String::from_utf8(body).unwrap().contains("\"overload\""));
    first.write_all(post(&world).as_bytes()).await.unwrap();
    assert!(answer(&mut first).await.0.starts_with("http/1.1 201"), "the first is still served");
}

/// An API whose push connections arrive in a channel.
async fn with_adopter() -> (World, Arc<Api>, mpsc::Receiver<Handover>) {
    let mut world = World::new().await;
    let (adopted, arrivals) = mpsc::channel(1);
    let api = Arc::get_mut(&mut world.api).unwrap();
    api.adopt = Arc::new(move |handover| adopted.try_send(handover).unwrap());
    let api = Arc::clone(&world.api);
    (world, api, arrivals)
}

fn handshake(more: &str) -> String {
    format!("GET /v1/push HTTP/1.1\r\nHost: x\r\n{more}\r\n")
}

const WHOLE: &str = "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: other, waggle.v1.json\r\n";

#[tokio::test]
async fn a_push_connection_is_handed_over_with_what_came_early() {
    let (_world, api, mut arrivals) = with_adopter().await;
    let server = start(api).await;
    let mut stream = TcpStream::connect(server.addr()).await.unwrap();
    let forwarded = format!("{WHOLE}X-Forwarded-For: 203.0.113.9\r\n");
    stream.write_all(format!("{}early", handshake(&forwarded)).as_bytes()).await.unwrap();
    let (head, _) = answer(&mut stream).await;
    assert!(head.starts_with("http/1.1 101"), "{head}");
    // The example of RFC 6455, section 1.3.
    assert!(head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{head}");
    assert!(head.contains("sec-websocket-protocol: waggle.v1.json"), "{head}");
    let Handover { stream: HandoverStream::Tcp(adopted), leftover, remote, peer, via } =
        arrivals.recv().await.unwrap()
    else {
        panic!("no TCP")
    };
    assert_eq!((leftover.as_ref(), remote), (&b"early"[..], [203, 0, 113, 9].into()));
    // What the network shows is the proxy.
    assert_eq!((via, peer), (Via::Api, stream.local_addr().unwrap().ip()));
    let mut adopted = TcpStream::from_std(adopted).unwrap();
    adopted.write_all(b"hello").await.unwrap();
    let mut hello = [0; 5];
    stream.read_exact(&mut hello).await.unwrap();
    assert_eq!(&hello, b"hello");
    // The socket is not the server's any more: stopping does not wait for it.
    assert_eq!(server.stop(Duration::from_secs(5)).await, 0);
}

#[tokio::test]
async fn half_a_handshake_says_what_is_missing() {
    let (_world, api, _arrivals) = with_adopter().await;
    let server = start(Arc::clone(&api)).await;
    let cases = [
        (String::new(), "426", "upgrade_required"),
        (WHOLE.replace("WebSocket\r\n", "h2c\r\n"), "426", "upgrade_required"),
        (WHOLE.replace(": 13", ": 8"), "426", "upgrade_required"),
        (WHOLE.replace(KEY, "short"), "400", "bad_handshake"),
        (WHOLE.replace(", waggle.v1.json", ""), "400", "bad_handshake"),
    ];
    for (headers, status, code) in cases {
        let mut stream = TcpStream::connect(server.addr()).await.unwrap();
        stream.write_all(handshake(&headers).as_bytes()).await.unwrap();
        let (head, body) = answer(&mut stream).await;
        assert!(head.starts_with(&format!("http/1.1 {status}")), "{headers}: {head}");
        assert!(String::from_utf8(body).unwrap().contains(code), "{headers}");
        assert_eq!(head.contains("sec-websocket-version: 13"), status == "426");
    }
    api.readiness.enter(Phase::Draining);
    let mut stream = TcpStream::connect(server.addr()).await.unwrap();
    stream.write_all(handshake(WHOLE).as_bytes()).await.unwrap();
    assert!(answer(&mut stream).await.0.starts_with("http/1.1 503"));
}

/// Answers when it is told to.
struct Slow {
    arrived: mpsc::Sender<()>,
    proceed: parking_lot::Mutex<Option<oneshot::Receiver<()>>>,
}

#[async_trait::async_trait]
impl Commands for Slow {
    async fn submit(&self, _: Submission<'_>) -> Result<Outcome, SubmitError> {
        self.arrived.send(()).await.unwrap();
        let proceed = self.proceed.lock().take().unwrap();
        let _ = proceed.await;
        Err(SubmitError::Overload)
    }

    fn head(&self, _: waggle_core::id::TenantId) -> Option<waggle_core::id::Cursor> {
        None
    }

    fn is_running(&self) -> bool {
        true
    }
}

async fn slow() -> (World, mpsc::Receiver<()>, oneshot::Sender<()>) {
    let (arrived, arrivals) = mpsc::channel(1);
    let (proceed, wait) = oneshot::channel();
    let commands = Slow { arrived, proceed: parking_lot::Mutex::new(Some(wait)) };
    (World::with_commands(Some(Arc::new(commands))).await, arrivals, proceed)
}

#[tokio::test]
async fn stopping_lets_requests_finish() {
    let (world, mut arrivals, proceed) = slow().await;
    let server = start(Arc::clone(&world.api)).await;
    let addr = server.addr();
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(post(&world).as_bytes()).await.unwrap();
    arrivals.recv().await.unwrap();
    let stopped = tokio::spawn(server.stop(Duration::from_secs(60)));
    while TcpStream::connect(addr).await.is_ok() {
        tokio::task::yield_now().await;
    }
    proceed.send(()).unwrap();
    let (head, _) = answer(&mut stream).await;
    assert!(head.starts_with("http/1.1 503") && head.contains("connection: close"), "{head}");
    assert_eq!(stopped.await.unwrap(), 0);
}

#[tokio::test]
async fn stopping_has_an_end() {
    let (world, mut arrivals, _proceed) = slow().await;
    let server = start(Arc::clone(&world.api)).await;
    let mut stream = TcpStream::connect(server.addr()).await.unwrap();
    stream.write_all(post(&world).as_bytes()).await.unwrap();
    arrivals.recv().await.unwrap();
    assert_eq!(server.stop(Duration::from_millis(10)).await, 1);
    let mut rest = Vec::new();
    // Closed without an answer, in whatever way the system says so.
    let _ = stream.read_to_end(&mut rest).await;
    assert!(rest.is_empty());
}

#[tokio::test]
async fn a_push_connection_is_refused_before_its_upgrade() {
    let (_world, api, mut arrivals) = with_adopter().await;
    let server = start(api).await;
    for (more, status, shown) in [
        ("X-Forwarded-For: 192.0.2.1\r\n", "503", "retry-after: 4"),
        ("Origin: https://evil.example\r\n", "403", "http"),
        ("X-Forwarded-For: 192.0.2.2\r\n", "101", "http"),
    ] {
        let mut stream = TcpStream::connect(server.addr()).await.unwrap();
        stream.write_all(handshake(&format!("{WHOLE}{more}")).as_bytes()).await.unwrap();
        let (head, _) = answer(&mut stream).await;
        assert!(head.starts_with(&format!("http/1.1 {status}")) && head.contains(shown), "{head}");
    }
    assert_eq!(arrivals.recv().await.unwrap().remote.to_string(), "192.0.2.2");
}
