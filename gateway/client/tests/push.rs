//! The library against a small server: what it asks for, what it yields, and how it comes back.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use waggle_client::{Client, CommandFailure, Cursor, Epoch, Item, Items, LossReason, Offset, View};

const PATIENCE: Duration = Duration::from_secs(10);
const HEARTBEAT_MS: u64 = 60_000;

/// The server: accepts one connection at a time, when the test says so.
struct Server {
    listener: TcpListener,
    heartbeat_ms: u64,
    window: u32,
}

struct Session(WebSocketStream<TcpStream>);

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { listener, heartbeat_ms: HEARTBEAT_MS, window: 65_536 }
    }

    fn url(&self) -> String {
        format!("ws://{}", self.listener.local_addr().unwrap())
    }

    fn client(&self) -> (Client, Items) {
        Client::builder(self.url(), "secret").views([View::Tenant]).connect().unwrap()
    }

    fn client_at(&self, offset: u64) -> (Client, Items) {
        let cursor = Cursor { epoch: Epoch(1), offset: Offset(offset) };
        Client::builder(self.url(), "secret").views([View::Tenant]).resume(cursor).connect().unwrap()
    }

    async fn accept(&self) -> Session {
        let (stream, _) = timeout(PATIENCE, self.listener.accept()).await.unwrap().unwrap();
        #[expect(clippy::result_large_err, reason = "the callback's type is the library's")]
        let check = |request: &Request, mut response: Response| {
            assert_eq!(request.uri().path(), "/v1/push");
            let asked = request.headers().get("sec-websocket-protocol").unwrap();
            assert_eq!(asked, "waggle.v1.json");
            response.headers_mut().insert("sec-websocket-protocol", asked.clone());
            Ok(response)
        };
        Session(tokio_tungstenite::accept_hdr_async(stream, check).await.unwrap())
    }

    /// Accepts, reads hello and welcomes; returns what hello asked to resume.
    async fn greet(&self, offset: u64, resumed: bool) -> (Session, Value) {
        let mut session = self.accept().await;
        let hello = session.read().await;
        assert_eq!(hello["type"], "hello");
        assert_eq!(hello["token"], "secret");
        let (heartbeat_ms, window) = (self.heartbeat_ms, self.window);
        let welcome = json!({"type": "welcome", "session": 1, "node": "a", "epoch": "0000000000000001",
            "offset": offset, "resumed": resumed, "heartbeat_ms": heartbeat_ms, "window": window});
        session.write(&welcome).await;
        (session, hello["resume"].clone())
    }
}

impl Session {
    async fn read(&mut self) -> Value {
        loop {
            match timeout(PATIENCE, self.0.next()).await.unwrap().unwrap().unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    async fn write(&mut self, message: &Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    async fn event(&mut self, offset: u64) {
        // As servers write it: the type first.
        self.0.send(Message::text(event(offset, ""))).await.unwrap();
    }

    async fn mark(&mut self, offset: u64, sent: u64) {
        self.write(&json!({"type": "mark", "offset": offset, "sent": sent})).await;
    }

    async fn close(mut self, code: u16) {
        let close = CloseFrame { code: code.into(), reason: "because".into() };
        self.0.close(Some(close)).await.unwrap();
    }

    /// Waits for the client's end of the connection.
    async fn ended(mut self) {
        let end = async { while let Some(Ok(_)) = self.0.next().await {} };
        timeout(PATIENCE, end).await.unwrap();
    }
}

fn event(offset: u64, text: &str) -> String {
    let data = json!({ "text": text });
    format!(
        r#"{{"type":"event","offset":{offset},"ticket":{offset},"version":1,"kind":"note","at":5,"actor":"agent:1","data":{data}}}"#
    )
}

async fn next(items: &mut Items) -> Item {
    timeout(PATIENCE, items.next()).await.unwrap().unwrap()
}

async fn connected(items: &mut Items) -> u64 {
    match next(items).await {
        Item::Connected { cursor, .. } => cursor.offset.0,
        other => panic!("{other:?}"),
    }
}

async fn offset(items: &mut Items) -> u64 {
    match next(items).await {
        Item::Event(event) => event.message.offset.0,
        other => panic!("{other:?}"),
    }
}

async fn lost(items: &mut Items) -> LossReason {
    match next(items).await {
        Item::Disconnected { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn comes_back_where_it_was() {
    let server = Server::start().await;
    let (_client, mut items) = server.client();
    let (mut session, resume) = server.greet(4, false).await;
    assert_eq!(resume, Value::Null);
    assert_eq!(connected(&mut items).await, 4);
    session.event(5).await;
    session.event(9).await;
    assert_eq!((offset(&mut items).await, offset(&mut items).await), (5, 9));
    session.close(4000).await;
    assert!(lost(&mut items).await.to_string().contains("4000"));

    let (mut session, resume) = server.greet(9, true).await;
    assert_eq!(resume, json!({"epoch": "0000000000000001", "offset": 9}));
    assert_eq!(connected(&mut items).await, 9);
    session.event(8).await;
    session.event(10).await;
    assert_eq!(offset(&mut items).await, 10, "a repeat is passed over");
    drop(session);
    lost(&mut items).await;
    let (_, resume) = server.greet(10, true).await;
    assert_eq!(resume["offset"], 10);
}

#[tokio::test]
async fn finds_a_hole_and_has_it_filled() {
    let server = Server::start().await;
    let (_client, mut items) = server.client();
    let (mut session, _) = server.greet(0, false).await;
    connected(&mut items).await;
    session.event(1).await;
    session.event(3).await;
    session.mark(3, 3).await;
    assert_eq!((offset(&mut items).await, offset(&mut items).await), (1, 3));
    assert_eq!(lost(&mut items).await, LossReason::Hole { sent: 3, received: 2 });
    session.ended().await;
    let (mut session, resume) = server.greet(0, true).await;
    assert_eq!(resume["offset"], 0);
    connected(&mut items).await;
    for offset in 1..=3 {
        session.event(offset).await;
    }
    session.mark(3, 3).await;
    assert_eq!(offset(&mut items).await, 2);
    assert!(matches!(next(&mut items).await, Item::CaughtUp { cursor } if cursor.offset == Offset(3)));
    while session.read().await != json!({"type": "ack", "offset": 3}) {}
}

#[tokio::test]
async fn tells_of_a_resync_and_goes_on() {
    let server = Server::start().await;
    let (_client, mut items) = server.client_at(70);
    let (mut session, resume) = server.greet(6, false).await;
    assert_eq!(resume["offset"], 70);
    assert_eq!(connected(&mut items).await, 70, "nothing is skipped before the resync is told");
    session
        .write(&json!({"type": "resync", "reason": "ahead", "epoch": "0000000000000002", "offset": 6}))
        .await;
    assert!(matches!(next(&mut items).await, Item::Resync { cursor, .. } if cursor.epoch == Epoch(2)));
    session.event(7).await;
    assert_eq!(offset(&mut items).await, 7);
}

#[tokio::test]
async fn opens_the_new_before_the_old_is_closed() {
    let server = Server::start().await;
    let (_client, mut items) = server.client();
    let (mut old, _) = server.greet(0, false).await;
    connected(&mut items).await;
    old.event(1).await;
    assert_eq!(offset(&mut items).await, 1);
    old.write(&json!({"type": "drain", "after_ms": 0, "spread_ms": 0})).await;
    let mut new = server.accept().await;
    assert_eq!(new.read().await["resume"]["offset"], 1);
    old.event(2).await;
    assert_eq!(offset(&mut items).await, 2, "the old one still serves");
    let welcome = json!({"type": "welcome", "session": 2, "node": "b", "epoch": "0000000000000001",
        "offset": 1, "resumed": true, "heartbeat_ms": HEARTBEAT_MS, "window": 65_536});
    new.write(&welcome).await;
    assert_eq!(connected(&mut items).await, 2);
    old.ended().await;
    new.event(2).await;
    new.event(3).await;
    assert_eq!(offset(&mut items).await, 3, "once");
}

#[tokio::test]
async fn a_silent_server_is_left() {
    let mut server = Server::start().await;
    server.heartbeat_ms = 50;
    let (_client, mut items) = server.client();
    let (session, _) = server.greet(0, false).await;
    connected(&mut items).await;
    assert_eq!(lost(&mut items).await, LossReason::Silent);
    session.ended().await;
    server.greet(0, true).await;
    connected(&mut items).await;
}

#[tokio::test]
async fn a_refused_token_ends_it() {
    let server = Server::start().await;
    let (client, mut items) = server.client();
    let mut session = server.accept().await;
    session.read().await;
    session.close(4200).await;
    assert!(matches!(next(&mut items).await, Item::Stopped { .. }));
    assert!(timeout(PATIENCE, items.next()).await.unwrap().is_none());
    let refused = client.command(None, serde_json::from_str("{}").unwrap(), None).await;
    assert_eq!(refused.unwrap_err(), CommandFailure::Stopped);
}

#[tokio::test]
async fn an_application_that_does_not_read_stops_the_acks() {
    let server = Server::start().await;
    let (_client, mut items) = server.client();
    let (mut session, _) = server.greet(0, false).await;
    connected(&mut items).await;
    // 200 events of 1 KiB: three windows, of which a server would send one.
    let text = "x".repeat(1024);
    for offset in 1..=200 {
        session.0.send(Message::text(event(offset, &text))).await.unwrap();
    }
    session.mark(200, 200).await;
    // The channel's 64 items are taken as shown; the ack after the mark can say no more than that.
    let mut acked = 0;
    while acked < 64 {
        let ack = session.read().await;
        acked = ack["offset"].as_u64().unwrap();
        assert!(acked <= 64, "{ack}");
    }
    for wanted in 1..=200 {
        assert_eq!(offset(&mut items).await, wanted);
    }
    while acked < 200 {
        acked = session.read().await["offset"].as_u64().unwrap();
    }
}

#[tokio::test]
async fn commands_are_answered_refused_or_lost() {
    let server = Server::start().await;
    let (client, mut items) = server.client();
    let claim = || serde_json::from_str(r#"{"type":"claim"}"#).unwrap();
    let early = client.command(Some("3".parse().unwrap()), claim(), None).await;
    assert_eq!(early.unwrap_err(), CommandFailure::NotConnected);
    let (mut session, _) = server.greet(0, false).await;
    connected(&mut items).await;
    let ask = |key: &'static str| {
        let client = client.clone();
        let claim = claim();
        tokio::spawn(async move { client.command(Some("3".parse().unwrap()), claim, Some(key)).await })
    };

    let asked = ask("k1");
    let sent = session.read().await;
    let expected =
        json!({"type": "command", "id": sent["id"], "ticket": 3, "key": "k1", "command": {"type": "claim"}});
    assert_eq!(sent, expected);
    let answer: Value = serde_json::from_str(&event(12, "")).unwrap();
    session.write(&json!({"type": "result", "id": sent["id"], "event": answer})).await;
    assert_eq!(asked.await.unwrap().unwrap().offset, Offset(12));

    let asked = ask("k2");
    let id = session.read().await["id"].clone();
    let error = json!({"code": "already_claimed", "status": 409, "detail": "agent 4 holds it"});
    session.write(&json!({"type": "result", "id": id, "error": error})).await;
    let failure = asked.await.unwrap().unwrap_err().to_string();
    assert_eq!(failure, "agent 4 holds it (already_claimed)");

    let asked = ask("k3");
    session.read().await;
    drop(session);
    assert_eq!(asked.await.unwrap().unwrap_err(), CommandFailure::Lost);
}

#[tokio::test]
async fn a_unix_socket_serves_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("push.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let url = format!("unix://{}", path.display());
    let (_client, _items) = Client::builder(url, "secret").connect().unwrap();
    let (stream, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    #[expect(clippy::result_large_err, reason = "the callback's type is the library's")]
    let check = |request: &Request, mut response: Response| {
        let asked = request.headers().get("sec-websocket-protocol").unwrap();
        response.headers_mut().insert("sec-websocket-protocol", asked.clone());
        Ok(response)
    };
    let mut socket = tokio_tungstenite::accept_hdr_async(stream, check).await.unwrap();
    let hello = timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap();
    assert!(hello.to_text().unwrap().contains("hello"));
}
