//! A gateway as a process of its own, and HTTP by hand.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::ready;

/// How long anything may take before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Gateway {
    child: Child,
    pub(crate) api: SocketAddr,
    pub(crate) push: SocketAddr,
    /// Of the demo's first agent.
    pub(crate) token: String,
    /// Of each of them.
    pub(crate) tokens: [String; 2],
    pub(crate) admin: String,
    dir: tempfile::TempDir,
}

impl Gateway {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_waggle"));
        command
            .args(["serve", "--demo", "--accel", "off", "--output", "json", "--data-dir"])
            .arg(dir.path().join("data"))
            .args(["--api", "127.0.0.1:0", "--push", "127.0.0.1:0", "--push-unix"])
            .arg(dir.path().join("push.sock"))
            .args(arguments)
            .env("WAGGLE_LOG_LEVEL", "error");
        let (child, ready) = ready::start(&mut command);
        let addr = |name: &str| ready[name].as_str().unwrap().parse().unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let tokens = [0, 1].map(|agent: usize| text(&ready["demo"]["agents"][agent]["token"]));
        let admin = text(&ready["demo"]["admin"]["token"]);
        let token = tokens[0].clone();
        Self { child, api: addr("api"), push: addr("push"), token, tokens, admin, dir }
    }

    pub(crate) fn push_unix(&self) -> PathBuf {
        self.dir.path().join("push.sock")
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Creates a ticket, which is one event.
    pub(crate) fn create(&self, text: &str) {
        let create = json!({"type": "create", "queue": 1, "subject": "s", "requester": "r", "text": text});
        let body = create.to_string();
        let mut stream = connect(self.api);
        write!(
            stream,
            "POST /v1/tickets HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.token,
            body.len(),
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    }

    /// SIGTERM.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub(crate) fn wait(&mut self) {
        let start = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
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

pub(crate) fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}
