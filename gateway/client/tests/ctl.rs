//! The real `wagglectl` against small servers.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

const PATIENCE: Duration = Duration::from_secs(60);
const TICKETS: u64 = 10_003;
const RUNS: u64 = 10;

fn event(offset: u64) -> String {
    format!(
        r#"{{"type":"event","offset":{offset},"ticket":{offset},"version":1,"kind":"created","at":5,"actor":"requester","data":{{"queue":1,"subject":"where is my card","requester":"a@b","priority":"normal","status":"new","text":"It has not come yet, after three weeks."}}}}"#
    )
}

/// Of a server: which session it has, from 1, and how many events it has sent there.
type Sent = (u64, u64);

/// A push server that has one session at a time, each of the next 950 events; the last one has all.
async fn serve_push(listener: TcpListener, sent: watch::Sender<Sent>) {
    for number in 1..=RUNS + 1 {
        let (stream, _) = listener.accept().await.unwrap();
        // It fails where the client is killed.
        let _ = session(stream, &sent, number).await;
    }
}

async fn session(
    stream: TcpStream,
    sent: &watch::Sender<Sent>,
    number: u64,
) -> Result<(), tokio_tungstenite::tungstenite::Error> {
    #[expect(clippy::result_large_err, reason = "the callback's type is the library's")]
    let check = |request: &server::Request, mut response: server::Response| {
        let asked = request.headers().get("sec-websocket-protocol").unwrap();
        response.headers_mut().insert("sec-websocket-protocol", asked.clone());
        Ok(response)
    };
    let mut socket = tokio_tungstenite::accept_hdr_async(stream, check).await?;
    let Some(Ok(Message::Text(hello))) = socket.next().await else { return Ok(()) };
    let hello: Value = serde_json::from_str(&hello).unwrap();
    let from = hello["resume"]["offset"].as_u64();
    let welcome = json!({"type": "welcome", "session": 1, "node": "a", "epoch": "0000000000000001",
        "offset": from.unwrap_or(0), "resumed": from.is_some(), "heartbeat_ms": 30_000, "window": 65_536});
    socket.send(Message::text(welcome.to_string())).await?;
    let is_last = number > RUNS;
    let from = from.unwrap_or(0);
    let to = if is_last { TICKETS } else { TICKETS.min(from + 950) };
    for offset in from + 1..=to {
        socket.feed(Message::text(event(offset))).await?;
        if offset % 7 == 0 || offset == to {
            socket.flush().await?;
            sent.send_replace((number, offset - from));
        }
    }
    if is_last {
        socket.close(Some(CloseFrame { code: 4200.into(), reason: "the end".into() })).await?;
    }
    while let Some(Ok(_)) = socket.next().await {}
    Ok(())
}

fn wagglectl(push: &str, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wagglectl"));
    command.args(["--push", push, "--token", "secret"]).args(args);
    command.stdin(Stdio::null()).stderr(Stdio::null());
    command
}

fn kill(child: &Child, signal: &str) {
    let id = child.id().to_string();
    assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
}

async fn wait(mut child: Child) -> Option<i32> {
    tokio::task::spawn_blocking(move || child.wait().unwrap().code()).await.unwrap()
}

/// Runs `watch` eleven times, ten of which are killed at some moment while tickets come.
async fn watched(folder: &Path, format: &str, is_out: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let push = format!("ws://{}/v1/push", listener.local_addr().unwrap());
    let (sent_in, mut sent) = watch::channel((0, 0));
    let server = tokio::spawn(serve_push(listener, sent_in));
    let (state, out) = (folder.join("state"), folder.join("out"));
    let (state_name, out_name) = (state.to_str().unwrap(), out.to_str().unwrap());
    let mut args = vec!["watch", "--from-start", "--state", state_name, "--output", format];
    if is_out {
        args.extend(["--out", out_name]);
    }
    let start = || {
        let stdout: Stdio = match is_out {
            true => Stdio::null(),
            false => append(&out).into(),
        };
        wagglectl(&push, &args).stdout(stdout).spawn().unwrap()
    };
    for (run, signal) in (1..=RUNS).zip(["-KILL", "-TERM", "-KILL", "-INT", "-KILL"].iter().cycle()) {
        let child = start();
        let goal = run * 93;
        let reached = sent.wait_for(|(session, count)| *session == run && *count >= goal);
        tokio::time::timeout(PATIENCE, reached).await.unwrap().unwrap();
        kill(&child, signal);
        let code = wait(child).await;
        assert_eq!(code, if *signal == "-KILL" { None } else { Some(0) }, "{signal}");
    }
    assert_eq!(tokio::time::timeout(PATIENCE, wait(start())).await.unwrap(), Some(5));
    server.abort();
    std::fs::read_to_string(out).unwrap()
}

fn append(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_ticket_once_as_json_on_stdout() {
    let folder = tempfile::tempdir().unwrap();
    let printed = watched(folder.path(), "json", false).await;
    let expected: String = (1..=TICKETS).map(|offset| event(offset) + "\n").collect();
    assert!(printed == expected, "{} lines", printed.lines().count());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_ticket_once_for_people_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let printed = watched(folder.path(), "human", true).await;
    let numbers: Vec<u64> =
        printed.lines().map(|line| line.split(['#', ' ']).nth(2).unwrap().parse().unwrap()).collect();
    let expected: Vec<u64> = (1..=TICKETS).collect();
    assert!(numbers == expected, "{} lines", numbers.len());
}

/// What the API was asked, and tickets by their key.
#[derive(Default)]
struct Books {
    asked: Vec<(String, Value, BTreeMap<String, String>)>,
    keys: Vec<String>,
    is_overloaded: bool,
    /// The next ticket is made, and the connection broken before that is said.
    is_cut: bool,
}

async fn serve_api(listener: TcpListener, books: Arc<Mutex<Books>>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let books = Arc::clone(&books);
        tokio::spawn(async move {
            let service = service_fn(|request| answer(request, &books));
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    books: &Mutex<Books>,
) -> Result<Response<Full<Bytes>>, std::io::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let headers =
        parts.headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    let headers: BTreeMap<String, String> = headers.collect();
    let asked = format!("{} {}", parts.method, parts.uri);
    let mut books = books.lock().unwrap();
    let is_replay = headers.get("idempotency-key").is_some_and(|key| books.keys.contains(key));
    books.asked.push((asked.clone(), body.clone(), headers.clone()));
    let (status, body) = match asked.as_str() {
        "GET /v1/tickets/17" => (
            200,
            json!({"id": 17, "queue": 2, "subject": "Card", "requester": "a@b",
            "priority": "normal", "status": "open", "version": 4, "assignee": 3, "fence": 6,
            "follow_up_of": null, "created_at": 0, "updated_at": 0}),
        ),
        "GET /v1/me" => (200, json!({"tenant": {"id": 1, "name": "t"}, "agent": {"id": 3, "name": "n"}})),
        "GET /v1/tickets/17/messages?limit=200" => (200, json!({"messages": [event_value()], "next": "n2"})),
        "GET /v1/tickets/17/messages?limit=200&cursor=n2" => {
            (200, json!({"messages": [event_value()], "next": null}))
        }
        "GET /v1/views" => (
            200,
            json!({"views": [{"id": 7, "name": "Waiting", "owner": 3, "audience": "team:2",
                "query": "status:open", "sort": "-id"}]}),
        ),
        "GET /v1/views/7/count" => (200, json!({"id": 7, "count": 12, "cursor": null})),
        "GET /v1/search?q=lost%20status%3Aopen&limit=3" => (
            200,
            json!({"hits": [{"ticket": {"id": 17, "status": "open", "subject": "Card"}, "version": 1,
                "snippet": {"text": "it is lost", "marks": [[6, 10]]}}], "next": null}),
        ),
        "GET /v1/presence" => (200, json!({"agents": [{"agent": 5, "state": "online"}]})),
        "GET /v1/push/sessions?order=queued&limit=7" => (
            200,
            json!({"sessions": [{"session": 9, "agent": 5, "path": "unix", "tls": false, "phase": "lagging",
                "lag_events": 12, "queued_bytes": 3456, "unacked_bytes": 78, "sent": 90}], "total": 31}),
        ),
        "POST /v1/tickets" if std::mem::take(&mut books.is_overloaded) => (503, json!({"code": "overload"})),
        "POST /v1/tickets" => {
            books.keys.push(headers["idempotency-key"].clone());
            if std::mem::take(&mut books.is_cut) {
                return Err(std::io::ErrorKind::ConnectionReset.into());
            }
            (201, event_value())
        }
        "POST /v1/tickets/17/commands" => (200, event_value()),
        _ => (
            404,
            json!({"code": "not_found", "title": "Not found", "status": 404, "detail": "no such ticket"}),
        ),
    };
    let body = Full::new(Bytes::from(body.to_string()));
    let mut response = Response::builder().status(status);
    if is_replay {
        response = response.header("Idempotency-Replayed", "true");
    }
    Ok(response.body(body).unwrap())
}

fn event_value() -> Value {
    serde_json::from_str(&event(17)).unwrap()
}

struct Api {
    url: String,
    books: Arc<Mutex<Books>>,
}

impl Api {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let books = Arc::new(Mutex::new(Books::default()));
        tokio::spawn(serve_api(listener, Arc::clone(&books)));
        Self { url, books }
    }

    async fn run(&self, args: &[&str]) -> Output {
        self.run_from(args, Stdio::null()).await
    }

    async fn run_from(&self, args: &[&str], stdin: impl Into<Stdio>) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wagglectl"));
        command.args(["--api", &self.url, "--token", "secret"]).args(args).stdin(stdin);
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    fn last(&self) -> (String, Value, BTreeMap<String, String>) {
        self.books.lock().unwrap().asked.last().unwrap().clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_carry_what_the_ticket_needs() {
    let api = Api::start().await;
    let done = api.run(&["ticket", "move", "17", "solved"]).await;
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    let (asked, body, headers) = api.last();
    assert_eq!(asked, "POST /v1/tickets/17/commands");
    assert_eq!(body, json!({"type": "move", "to": "solved", "expect": 4, "fence": 6}));
    assert_eq!(headers["authorization"], "Bearer secret");
    assert_eq!(headers["idempotency-key"].len(), 32);

    api.run(&["ticket", "assign", "17", "9", "--any", "--fence", "5"]).await;
    let (_, body, headers) = api.last();
    assert_eq!(body, json!({"type": "assign", "agent": 9, "fence": 5}));
    assert_eq!(headers["if-match"], "*");

    api.run(&["ticket", "reply", "17", "done", "--status", "solved"]).await;
    assert_eq!(api.last().1, json!({"type": "reply", "text": "done", "status": "solved", "fence": 6}));
    api.run(&["ticket", "claim", "17"]).await;
    assert_eq!(api.last().1, json!({"type": "claim"}));

    let create = ["ticket", "create", "--queue", "2", "--subject", "s", "--requester", "r", "--text", "t"];
    api.run(&create).await;
    let mut body = json!({"type": "create", "queue": 2, "subject": "s", "requester": "r", "text": "t"});
    assert_eq!(api.last().1, body);
    api.run(&[&create[..], &["--follow-up-of", "17", "--priority", "high"]].concat()).await;
    body["follow_up_of"] = json!(17);
    body["priority"] = json!("high");
    assert_eq!(api.last().1, body);

    let shown = api.run(&["ticket", "show", "17", "--output", "json"]).await;
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(
        (shown["ticket"]["version"].as_u64(), shown["messages"].as_array().unwrap().len()),
        (Some(4), 2)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_there_and_who_is_behind_are_listed() {
    let api = Api::start().await;
    let text = |done: Output| {
        assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    assert_eq!(text(api.run(&["presence"]).await), "agent 5        online\n");
    let present = text(api.run(&["presence", "--output", "json"]).await);
    assert_eq!(present, "{\"agents\":[{\"agent\":5,\"state\":\"online\"}]}\n");
    let listed = text(api.run(&["sessions", "--order", "queued", "--limit", "7"]).await);
    let row: Vec<_> = listed.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(row, ["9", "5", "unix", "lagging", "12", "3456", "78", "90"]);
    assert!(listed.ends_with("1 of 31 sessions\n"), "{listed}");
    assert_eq!(api.run(&["sessions", "--limit", "201"]).await.status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn tickets_are_found_and_views_counted() {
    let api = Api::start().await;
    let text = |done: Output| {
        assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    assert_eq!(
        text(api.run(&["view", "list"]).await),
        "    7  team:2    Waiting                   status:open\n"
    );
    assert_eq!(text(api.run(&["view", "counts"]).await), "    7         12  Waiting\n");
    let counts = text(api.run(&["view", "counts", "--output", "json"]).await);
    assert_eq!(serde_json::from_str::<Value>(&counts).unwrap()["count"], 12);
    let found = text(api.run(&["search", "lost", "status:open", "--limit", "3"]).await);
    assert_eq!(found, "     17  open     Card | it is lost\n");
    for (line, wanted) in [
        (
            "ticket list --query tag:a --sort -updated --at 5 --limit 2",
            "GET /v1/tickets?query=tag%3Aa&sort=-updated&at=5&limit=2",
        ),
        ("ticket show 17 --at 1970-01-01T00:00:00Z", "GET /v1/tickets/17?at=1970-01-01T00%3A00%3A00Z"),
        ("view tickets 7 --sort due", "GET /v1/views/7/tickets?sort=due&limit=50"),
    ] {
        api.run(&line.split(' ').collect::<Vec<_>>()).await;
        assert_eq!(api.last().0, wanted, "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_have_codes_and_reasons() {
    let api = Api::start().await;
    let missing = api.run(&["ticket", "show", "99"]).await;
    assert_eq!(missing.status.code(), Some(4));
    assert_eq!(String::from_utf8_lossy(&missing.stderr), "error: no such ticket (not_found)\n");
    let nowhere = Api { url: "http://127.0.0.1:1".to_owned(), books: Arc::default() };
    let unreachable = nowhere.run(&["ticket", "show", "1"]).await;
    assert_eq!(unreachable.status.code(), Some(6));
    assert!(String::from_utf8_lossy(&unreachable.stderr).contains("http://127.0.0.1:1 cannot be reached"));
    assert_eq!(api.run(&["ticket", "show"]).await.status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_can_be_repeated() {
    let api = Api::start().await;
    api.books.lock().unwrap().is_overloaded = true;
    let folder = tempfile::tempdir().unwrap();
    let csv = folder.path().join("questions.csv");
    std::fs::write(&csv, "text,category\n\"a \"\"quoted\"\", one\",x\nbad\nthree,z\n").unwrap();
    let args = ["feed", "--csv", csv.to_str().unwrap(), "--concurrency", "1", "--output", "json"];
    let first = api.run(&args).await;
    assert_eq!(first.status.code(), Some(0));
    let summary: Value = serde_json::from_slice(&first.stdout).unwrap();
    assert_eq!((&summary["rows"], &summary["created"], &summary["bad"]), (&json!(3), &json!(2), &json!(1)));
    assert!(String::from_utf8_lossy(&first.stderr).contains("line 3: 1 fields; expected 2"));
    let again: Value = serde_json::from_slice(&api.run(&args).await.stdout).unwrap();
    let counts = ["rows", "created", "already_there", "bad"].map(|name| again[name].as_u64().unwrap());
    assert_eq!((summary["already_there"].as_u64(), counts), (Some(0), [3, 0, 2, 1]));
    let books = api.books.lock().unwrap();
    let [a, b, c, d] = books.keys.as_slice() else { panic!("{:?}", books.keys) };
    assert_eq!((a, b), (c, d));
    assert_ne!(a, b);
    let texts: Vec<&str> = books.asked.iter().map(|(_, body, _)| body["text"].as_str().unwrap()).collect();
    let one = "a \"quoted\", one";
    assert_eq!(texts, [one, one, "three", one, "three"], "the overloaded one again, with its key");
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_stdin_are_new_unless_salted() {
    let api = Api::start().await;
    let folder = tempfile::tempdir().unwrap();
    let lines = folder.path().join("lines");
    std::fs::write(&lines, "My card is lost\n").unwrap();
    let mut counts = Vec::new();
    for salt in [None, None, Some("s"), Some("s"), Some("t")] {
        let mut args = vec!["feed", "--output", "json"];
        args.extend(salt.into_iter().flat_map(|salt| ["--salt", salt]));
        let done = api.run_from(&args, File::open(&lines).unwrap()).await;
        assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
        let summary: Value = serde_json::from_slice(&done.stdout).unwrap();
        counts.push(["created", "already_there"].map(|name| summary[name].as_u64().unwrap()));
    }
    assert_eq!(counts, [[1, 0], [1, 0], [1, 0], [0, 1], [1, 0]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_made_before_the_connection_broke_is_this_feeds_own() {
    let api = Api::start().await;
    api.books.lock().unwrap().is_cut = true;
    let folder = tempfile::tempdir().unwrap();
    let lines = folder.path().join("lines");
    std::fs::write(&lines, "My card is lost\n").unwrap();
    let done = api.run_from(&["feed", "--output", "json"], File::open(&lines).unwrap()).await;
    let summary: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!((&summary["created"], &summary["already_there"]), (&json!(1), &json!(0)));
    let books = api.books.lock().unwrap();
    let [first, second] = books.keys.as_slice() else { panic!("{:?}", books.keys) };
    assert_eq!(first, second);
}

/// A push server with one session: sends what it is given after the welcome, and tells what it is sent until
/// the client goes.
async fn converse(listener: TcpListener, say: &[&str]) -> Vec<Value> {
    let (stream, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    #[expect(clippy::result_large_err, reason = "the callback's type is the library's")]
    let check = |request: &server::Request, mut response: server::Response| {
        let asked = request.headers().get("sec-websocket-protocol").unwrap();
        response.headers_mut().insert("sec-websocket-protocol", asked.clone());
        Ok(response)
    };
    let mut socket = tokio_tungstenite::accept_hdr_async(stream, check).await.unwrap();
    let mut said = Vec::new();
    while let Some(Ok(message)) = timeout(PATIENCE, socket.next()).await.unwrap() {
        let Message::Text(text) = message else { continue };
        said.push(serde_json::from_str::<Value>(&text).unwrap());
        if said.len() == 1 {
            let welcome = r#"{"type":"welcome","session":1,"node":"a","epoch":"0000000000000001","offset":0,"resumed":false,"heartbeat_ms":30000,"window":65536}"#;
            for text in [&[welcome], say].concat() {
                socket.send(Message::text(text)).await.unwrap();
            }
        }
    }
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_is_on_for_a_while() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let push = format!("ws://{}/v1/push", listener.local_addr().unwrap());
    let args = ["signal", "typing", "17", "--for", "0.2", "--data", r#"{"draft":40}"#];
    let child = wagglectl(&push, &args).spawn().unwrap();
    let said = converse(listener, &[]).await;
    assert_eq!(wait(child).await, Some(0));
    assert_eq!(said[0]["views"], json!([]));
    let on = json!({"type": "signal", "kind": "typing", "ticket": 17, "on": true, "data": {"draft": 40}});
    assert_eq!(said[1], on);
    assert_eq!(said.last().unwrap(), &json!({"type": "signal", "kind": "typing", "ticket": 17, "on": false}));
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_shows_signals_where_it_is_asked_to() {
    let signal = r#"{"type":"signal","kind":"viewing","ticket":17,"agent":5,"on":true}"#;
    for (more, wanted) in [(&["--signals"][..], 2), (&[], 1)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let push = format!("ws://{}/v1/push", listener.local_addr().unwrap());
        let args = [&["watch", "--count", "1", "--output", "json"], more].concat();
        let child = wagglectl(&push, &args).stdout(Stdio::piped()).spawn().unwrap();
        let told = event(1);
        let said = tokio::spawn(async move { converse(listener, &[signal, &told]).await });
        let done = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
        said.await.unwrap();
        let lines = String::from_utf8(done.stdout).unwrap();
        assert_eq!(lines.lines().count(), wanted, "{lines}");
        assert_eq!(lines.contains(signal), wanted == 2);
    }
}
