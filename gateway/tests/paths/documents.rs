//! What docs/PROTOCOL.md promises to who writes a client: its example runs, and its schema is what is said.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};

use jsonschema::Validator;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Message, WebSocket, client};
use waggle_core::push::ClientMessage;

use crate::gateway::{Gateway, PATIENCE};

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

/// A part of the schema.
fn validator(part: &str) -> Validator {
    let text = std::fs::read_to_string(file("docs/push-protocol.schema.json")).unwrap();
    let mut schema: Value = serde_json::from_str(&text).unwrap();
    schema["oneOf"] = json!([{ "$ref": format!("#/$defs/{part}") }]);
    jsonschema::validator_for(&schema).expect("a JSON Schema")
}

pub(crate) struct Screen {
    socket: WebSocket<TcpStream>,
    schema: Validator,
}

impl Screen {
    pub(crate) fn open(gateway: &Gateway, hello: &Value) -> Self {
        let stream = TcpStream::connect(gateway.push).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut request = format!("ws://{}/v1/push", gateway.push).into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("waggle.v1.json"));
        let (socket, _) = client(request, stream).unwrap();
        let mut screen = Self { socket, schema: validator("server") };
        screen.say(hello);
        screen
    }

    pub(crate) fn say(&mut self, message: &Value) {
        let errors: Vec<_> =
            validator("client").iter_errors(message).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{message}: {errors:?}");
        self.socket.send(Message::text(message.to_string())).unwrap();
    }

    /// The next message of this type; each on the way there must be of the schema.
    pub(crate) fn hear(&mut self, kind: &str) -> Value {
        loop {
            let message = self.socket.read().unwrap();
            let Message::Text(text) = message else { continue };
            let value: Value = serde_json::from_str(&text).unwrap();
            let errors: Vec<_> = self.schema.iter_errors(&value).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{value}: {errors:?}");
            if value["type"] == kind {
                return value;
            }
        }
    }
}

#[test]
fn everything_that_a_gateway_says_is_of_the_schema() {
    let mut gateway =
        Gateway::start(&["--heartbeat-ms", "300", "--drain-after-ms", "200", "--drain-spread-ms", "200"]);
    let token = gateway.token.clone();
    let hello = json!({"type": "hello", "token": token, "views": ["tenant", "presence"]});
    let mut screen = Screen::open(&gateway, &hello);
    let welcome = screen.hear("welcome");
    let presence = screen.hear("signal");
    assert_eq!(presence["kind"], "presence");
    gateway.create("hello");
    let event = screen.hear("event");
    screen.say(&json!({"type": "subscribe", "id": "s", "views": ["ticket:1", "queue:1", "mine"]}));
    assert_eq!(screen.hear("result")["id"], "s");
    screen.say(&json!({"type": "ack", "offset": event["offset"]}));
    let other = json!({"type": "hello", "token": token, "views": ["ticket:1"], "window": 65536,
        "resume": {"epoch": welcome["epoch"], "offset": 0}});
    let mut other = Screen::open(&gateway, &other);
    assert_eq!(other.hear("welcome")["resumed"], true);
    other.hear("event");
    other.say(&json!({"type": "signal", "kind": "typing", "ticket": 1, "on": true, "data": {"draft": 4}}));
    assert_eq!(screen.hear("signal")["kind"], "typing");
    for (command, answer) in
        [(json!({"type": "claim"}), "event"), (json!({"type": "move", "to": "nowhere"}), "error")]
    {
        screen.say(&json!({"type": "command", "id": "c", "ticket": 1, "key": answer, "command": command}));
        assert!(!screen.hear("result")[answer].is_null());
    }
    screen.say(&json!({"type": "refresh", "token": token}));
    screen.hear("result");
    screen.say(&json!({"type": "unsubscribe", "id": "u", "views": ["ticket:1"]}));
    screen.hear("result");
    let stranger = json!({"type": "hello", "token": token, "views": [],
        "resume": {"epoch": "0000000000000001", "offset": 5}});
    let mut stranger = Screen::open(&gateway, &stranger);
    assert_eq!(stranger.hear("resync")["reason"], "epoch");
    screen.hear("mark");
    gateway.terminate();
    screen.hear("drain");
    drop((screen, other, stranger));
    gateway.wait();
}

#[test]
fn the_schema_takes_what_the_gateway_takes_of_clients() {
    let schema = validator("client");
    for (text, is_good) in [
        (r#"{"type":"hello","token":"t","views":[]}"#, true),
        (
            r#"{"type":"hello","token":"t","views":["tenant","queue:1","ticket:2","mine","presence"],"window":1}"#,
            true,
        ),
        (r#"{"type":"hello","token":"t","views":[],"resume":{"epoch":"0123456789abcdef","offset":0}}"#, true),
        (r#"{"type":"hello","token":"t","views":[],"resume":{"epoch":"0123456789abcdef"}}"#, false),
        (r#"{"type":"hello","token":"t","views":[],"resume":{"epoch":"0123","offset":1}}"#, false),
        (r#"{"type":"hello","token":"t"}"#, false),
        (r#"{"type":"hello","token":"t","views":["count:7"]}"#, true),
        (r#"{"type":"hello","token":"t","views":["all"]}"#, false),
        (r#"{"type":"hello","token":"t","views":[],"more":1}"#, false),
        (r#"{"type":"ack","offset":7}"#, true),
        (r#"{"type":"ack","offset":-7}"#, false),
        (r#"{"type":"ack","offset":1.5}"#, false),
        (r#"{"type":"ack"}"#, false),
        (r#"{"type":"ack","offset":7,"id":"a"}"#, false),
        (r#"{"type":"subscribe","id":"a","views":["mine"]}"#, true),
        (r#"{"type":"subscribe","views":["mine"]}"#, false),
        (r#"{"type":"subscribe","id":"","views":[]}"#, false),
        (r#"{"type":"subscribe","id":"ä","views":[]}"#, false),
        (r#"{"type":"unsubscribe","id":"a","views":[]}"#, true),
        (r#"{"type":"command","id":"a","command":{}}"#, true),
        (r#"{"type":"command","id":"a","ticket":1,"key":"k","command":{}}"#, true),
        (r#"{"type":"command","id":"a","ticket":1}"#, false),
        (r#"{"type":"signal","kind":"viewing","ticket":1,"on":false}"#, true),
        (r#"{"type":"signal","kind":"typing","ticket":1,"on":true,"data":{}}"#, true),
        (r#"{"type":"signal","kind":"waving","ticket":1,"on":true}"#, false),
        (r#"{"type":"signal","kind":"typing","ticket":1}"#, false),
        (r#"{"type":"refresh","token":"t"}"#, true),
        (r#"{"type":"refresh"}"#, false),
        (r#"{"type":"wave"}"#, false),
        ("[]", false),
    ] {
        let parsed = ClientMessage::parse(text.as_bytes());
        assert_eq!(parsed.is_ok(), is_good, "{text}: {:?}", parsed.err());
        assert_eq!(schema.is_valid(&serde_json::from_str(text).unwrap()), is_good, "{text}");
    }
}

/// A way to the gateway that can be cut.
struct Way {
    address: SocketAddr,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Way {
    fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let open = Arc::<Mutex<Vec<TcpStream>>>::default();
        let kept = Arc::clone(&open);
        std::thread::spawn(move || {
            for one in listener.incoming().map_while(Result::ok) {
                let Ok(other) = TcpStream::connect(target) else { return };
                kept.lock().unwrap().extend([one.try_clone().unwrap(), other.try_clone().unwrap()]);
                for (mut from, mut to) in
                    [(one.try_clone().unwrap(), other.try_clone().unwrap()), (other, one)]
                {
                    std::thread::spawn(move || {
                        // It ends when the way is cut.
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        Self { address, open }
    }

    fn cut(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            // It may be cut already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_small_client_shows_each_event_once_though_its_connection_is_cut() {
    let gateway = Gateway::start(&["--heartbeat-ms", "500"]);
    let way = Way::to(gateway.push);
    let mut child = Command::new("python3")
        .arg(file("docs/examples/push_client.py"))
        .args([&format!("ws://{}/v1/push", way.address), &gateway.token, "tenant"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3, which the documentation's example needs");
    let output = child.stdout.take().unwrap();
    let _running = Running(child);
    let (send, lines) = mpsc::sync_channel(64);
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                return;
            }
        }
    });
    // It is welcomed once it is among the gateway's sessions.
    let start = std::time::Instant::now();
    while !metrics(&gateway).contains("\nwaggle_push_sessions 1\n") {
        assert!(start.elapsed() < PATIENCE, "no session: {}", metrics(&gateway));
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    for round in 0..4_u64 {
        for number in 1..=5 {
            gateway.create(&format!("{round} {number} 你好"));
        }
        way.cut();
        for number in 1..=5 {
            let line = lines.recv_timeout(PATIENCE).expect("an event");
            let event: Value = serde_json::from_str(&line).unwrap();
            assert_eq!(event["offset"], round * 5 + number, "{line}");
        }
    }
}

pub(crate) fn metrics(gateway: &Gateway) -> String {
    let mut stream = TcpStream::connect(gateway.api).unwrap();
    write!(
        stream,
        "GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\r\n",
        gateway.token
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
