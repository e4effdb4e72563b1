//! A gateway takes over from another on the same data and addresses while clients watch and write: each
//! event reaches each client once, nothing is refused for good, and nobody sees a reset.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use serde_json::value::RawValue;
use waggle_client::{Client, Item, View};

/// How long anything may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(30);
const SCREENS: usize = 120;
const EVENTS: u64 = 300;

struct Gateway {
    child: Child,
    ready: Option<Value>,
}

impl Gateway {
    fn start(folder: &Path, api: u16, push: u16, more: &[&str]) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_waggle"))
            .args(["serve", "--demo", "--accel", "off", "--output", "json", "--data-dir"])
            .arg(folder)
            .args(["--api", &format!("127.0.0.1:{api}"), "--push", &format!("127.0.0.1:{push}")])
            .args(["--drain-after-ms", "1500", "--drain-spread-ms", "1500", "--heartbeat-ms", "2000"])
            .args(more)
            .env("WAGGLE_LOG_LEVEL", "error")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self { child, ready: None }
    }

    /// Until it says that it is ready.
    fn wait_ready(&mut self) -> &Value {
        let mut line = String::new();
        BufReader::new(self.child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        self.ready.insert(serde_json::from_str(&line).expect("a line that says that it is ready"))
    }

    fn terminate(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
    }

    fn wait_end(&mut self) {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return assert!(status.success(), "{status}");
            }
            assert!(start.elapsed() < PATIENCE, "the gateway does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a client was shown, and how it lost connections.
#[derive(Default)]
struct Screen {
    offsets: Vec<u64>,
    losses: Vec<String>,
}

fn watch(url: &str, token: &str) -> Arc<Mutex<Screen>> {
    let (client, mut items) =
        Client::builder(url, token).views([View::Tenant]).from_start().connect().unwrap();
    let screen = Arc::<Mutex<Screen>>::default();
    let shown = Arc::clone(&screen);
    tokio::spawn(async move {
        let _client = client;
        while let Some(item) = items.next().await {
            let mut shown = shown.lock().unwrap();
            match item {
                Item::Event(event) => shown.offsets.push(event.message.offset.0),
                Item::Disconnected { reason, .. } => shown.losses.push(reason.to_string()),
                Item::Resync { reason, .. } => shown.losses.push(format!("resync: {reason:?}")),
                Item::Stopped { reason } => shown.losses.push(format!("stopped: {reason}")),
                _ => {}
            }
        }
    });
    screen
}

/// Writes so many events, each until it is taken.
async fn write(client: &Client, from: u64, count: u64) {
    for number in from..from + count {
        let create = r#"{"type":"create","queue":1,"subject":"s","requester":"r","text":"hello"}"#;
        let key = format!("event-{number}");
        let start = Instant::now();
        loop {
            let command = RawValue::from_string(create.to_owned()).unwrap();
            match client.command(None, command, Some(&key)).await {
                Ok(_) => break,
                Err(error) => assert!(start.elapsed() < PATIENCE, "{key} is not taken: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_move_to_the_successor_and_miss_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let [api, push] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [api, push] = [api, push].map(|listener| listener.local_addr().unwrap().port());
    let mut first = Gateway::start(folder.path(), api, push, &[]);
    let token = first.wait_ready()["demo"]["agents"][0]["token"].as_str().unwrap().to_owned();
    let url = format!("ws://127.0.0.1:{push}/v1/push");
    let screens: Vec<_> = (0..SCREENS).map(|_| watch(&url, &token)).collect();
    let (author, _items) = Client::builder(&url, &token).connect().unwrap();
    write(&author, 0, EVENTS / 3).await;

    let mut second = Gateway::start(folder.path(), api, push, &["--takeover"]);
    let writing = tokio::spawn(async move {
        write(&author, EVENTS / 3, EVENTS / 3).await;
        author
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    first.terminate();
    let second = tokio::task::spawn_blocking(move || {
        second.wait_ready();
        first.wait_end();
        second
    });
    let author = writing.await.unwrap();
    let mut second = second.await.unwrap();
    write(&author, EVENTS / 3 * 2, EVENTS / 3).await;

    let wanted: Vec<u64> = (1..=EVENTS).collect();
    let start = Instant::now();
    while screens.iter().any(|screen| screen.lock().unwrap().offsets.len() < wanted.len()) {
        assert!(start.elapsed() < PATIENCE, "events are missing");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for screen in &screens {
        let screen = screen.lock().unwrap();
        assert_eq!(screen.offsets, wanted);
        let odd = screen.losses.iter().find(|loss| !loss.contains("4000"));
        assert_eq!(odd, None, "connections end by the drain's close alone");
    }
    second.terminate();
    second.wait_end();
}
