//! A gateway with redirection, in a cgroup of its own.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::place::Place;
use crate::ready;

/// How long anything may take before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks: what is waited for needs the processors, too.
const PAUSE: Duration = Duration::from_millis(2);

/// Of all requests of this process.
static KEYS: AtomicU64 = AtomicU64::new(0);

pub(crate) struct Gateway {
    child: Child,
    pub(crate) api: SocketAddr,
    pub(crate) push: SocketAddr,
    pub(crate) token: String,
}

impl Gateway {
    /// Starts it on `folder`, on the addresses of `before` where there was one.
    pub(crate) fn start(place: &Place, folder: &Path, before: Option<&Self>) -> Self {
        let at = |known: Option<SocketAddr>| known.map_or("127.0.0.1:0".to_owned(), |addr| addr.to_string());
        let mut command = Command::new("sh");
        command
            .args(["-c", "echo $$ > \"$1/cgroup.procs\" && shift && exec \"$@\"", "sh"])
            .arg(&place.gateways)
            .arg(env!("CARGO_BIN_EXE_waggle"))
            .args(["serve", "--demo", "--accel", "require", "--output", "json", "--data-dir"])
            .arg(folder)
            .args(["--api", &at(before.map(|before| before.api))])
            .args(["--push", &at(before.map(|before| before.push))])
            .args(["--heartbeat-ms", "60000", "--drain-after-ms", "200", "--drain-spread-ms", "200"])
            .env("WAGGLE_ACCEL_REDIRECT_MODE", "on")
            .env("WAGGLE_ACCEL_REDIRECT_CGROUPS", format!("[{:?}]", place.clients))
            .env("WAGGLE_ACCEL_REDIRECT_ACCEPT", "[\"fionread\"]")
            .env("WAGGLE_LOG_LEVEL", "warn");
        let (child, ready) = ready::start(&mut command);
        let addr = |name: &str| ready[name].as_str().unwrap().parse().unwrap();
        let demo = ready["demo"]["agents"][0]["token"].as_str();
        let token = demo.map_or_else(|| before.unwrap().token.clone(), str::to_owned);
        Self { child, api: addr("api"), push: addr("push"), token }
    }

    /// SIGKILL: nothing is flushed, nobody is told.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Tells it to end.
    pub(crate) fn terminate(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
    }

    pub(crate) fn wait_end(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(PAUSE);
        }
    }

    /// From now on it is asked as an administrator.
    pub(crate) fn become_administrator(&mut self, folder: &Path) {
        let made = Command::new(env!("CARGO_BIN_EXE_waggle"))
            .args(["admin", "--data-dir"])
            .arg(folder)
            .args(["token", "create", "--tenant", "1", "--agent", "1", "--scope", "admin"])
            .output()
            .unwrap();
        let said = String::from_utf8(made.stdout).unwrap();
        let token = said
            .split(|end: char| !end.is_alphanumeric() && !matches!(end, '_' | '-'))
            .find(|word| word.starts_with("wgl_"));
        self.token =
            token.unwrap_or_else(|| panic!("{said}{}", String::from_utf8_lossy(&made.stderr))).to_owned();
        // The running gateway learns of it within a moment.
        let mut answer = String::new();
        let start = Instant::now();
        while !answer.starts_with("HTTP/1.1 200") {
            assert!(start.elapsed() < PATIENCE, "the token is not known: {answer}");
            std::thread::sleep(PAUSE);
            answer = self.answer("GET", "/v1/push/sessions", "");
        }
    }

    /// Asks the API; an answer of success as JSON or, where it is none, as a text.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> Value {
        let answer = self.answer(method, path, body);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 20"), "{answer}");
        serde_json::from_str(body).unwrap_or_else(|_| Value::from(body))
    }

    fn answer(&self, method: &str, path: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(self.api).unwrap();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: waggle\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nIdempotency-Key: redirect-{}\r\nContent-Length: {}\r\n\r\n{body}",
            self.token,
            KEYS.fetch_add(1, Ordering::Relaxed),
            body.len(),
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Opens a ticket with a text of so many bytes; returns the event's offset.
    pub(crate) fn create(&self, text_bytes: usize) -> u64 {
        let text = "x".repeat(text_bytes);
        let body = format!(
            r#"{{"type":"create","queue":1,"subject":"s","requester":"r@example.com","text":"{text}"}}"#
        );
        self.ask("POST", "/v1/tickets", &body)["offset"].as_u64().unwrap()
    }

    /// One of its counters or gauges.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let page = self.ask("GET", "/metrics", "");
        let line = page.as_str().unwrap().lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {page}")).parse().unwrap()
    }

    pub(crate) fn wait_for(&self, what: &str, wanted: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !wanted(self) {
            assert!(start.elapsed() < PATIENCE, "{what}");
            std::thread::sleep(PAUSE);
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
