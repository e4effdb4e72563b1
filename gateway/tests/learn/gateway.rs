//! A gateway as a process of its own, and HTTP by hand.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Deref;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::ready;

/// How long anything may take before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Gateway {
    child: Child,
    pub(crate) push: SocketAddr,
    desk: Desk,
}

/// One tenant of a gateway: an agent's token, and an administrator's.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) api: SocketAddr,
    pub(crate) token: String,
    pub(crate) admin: String,
}

/// An answer's status and body.
pub(crate) type Answer = (u16, Value);

impl Gateway {
    pub(crate) fn start(folder: &Path) -> Self {
        Self::start_telling(folder, "error", Stdio::inherit())
    }

    /// One whose log of this level goes there.
    pub(crate) fn start_telling(folder: &Path, level: &str, log: Stdio) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waggle"));
        command
            .args(["serve", "--demo", "--accel", "off", "--output", "json"])
            .args(["--api", "127.0.0.1:0", "--push", "127.0.0.1:0"])
            .args(["--drain-after-ms", "0", "--drain-spread-ms", "0", "--data-dir"])
            .arg(folder)
            .env("WAGGLE_LOG_LEVEL", level)
            // The test's own: a gateway takes no variable that it does not know.
            .env_remove("WAGGLE_LEARN_CRASHES")
            .stderr(log);
        let (child, ready) = ready::start(&mut command);
        let text = |pointer: &str| ready.pointer(pointer).unwrap().as_str().unwrap().to_owned();
        let addr = |name: &str| text(name).parse().unwrap();
        let (token, admin) = (text("/demo/agents/0/token"), text("/demo/admin/token"));
        Self { child, push: addr("/push"), desk: Desk { api: addr("/api"), token, admin } }
    }

    /// Another tenant, made while the gateway runs.
    pub(crate) fn tenant(&self, folder: &Path, name: &str) -> Desk {
        let of = ["--tenant", name];
        administrate(folder, &["tenant", "create", name]);
        administrate(folder, &[&["queue", "create"], &of[..], &["support"]].concat());
        administrate(folder, &[&["agent", "create"], &of[..], &["zoe"]].concat());
        administrate(folder, &[&["grant", "create", "--role", "1", "--agent", "zoe"], &of[..]].concat());
        let [token, admin] = ["agent", "admin"].map(|scope| {
            let made = ["token", "create", "--agent", "zoe", "--scope", scope];
            administrate(folder, &[&made, &of[..]].concat())["token"].as_str().unwrap().to_owned()
        });
        let desk = Desk { api: self.api, token, admin };
        let start = Instant::now();
        while desk.get("/v1/me").0 != 200 {
            assert!(start.elapsed() < PATIENCE, "the token is not known");
            std::thread::sleep(Duration::from_millis(10));
        }
        desk
    }

    /// SIGKILL: nothing is flushed, nobody is told.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and its end.
    pub(crate) fn stop(&mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let start = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(start.elapsed() < PATIENCE, "the gateway does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Deref for Gateway {
    type Target = Desk;

    fn deref(&self) -> &Desk {
        &self.desk
    }
}

impl Desk {
    pub(crate) fn get(&self, path: &str) -> Answer {
        ask(self.api, &self.admin, "GET", path, &Value::Null).expect("an answer")
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        ask(self.api, &self.token, "POST", path, body).expect("an answer")
    }

    /// A success of a command; its event.
    pub(crate) fn command(&self, ticket: u64, body: &Value) -> Value {
        let (status, event) = self.post(&format!("/v1/tickets/{ticket}/commands"), body);
        assert_eq!(status, 200, "{body}: {event}");
        event
    }

    pub(crate) fn teach(&self, body: &Value) -> Answer {
        ask(self.api, &self.admin, "POST", "/v1/learn", body).expect("an answer")
    }

    /// The same, waited for where the model is behind.
    pub(crate) fn teach_when_ready(&self, body: &Value) -> Answer {
        let start = Instant::now();
        loop {
            let answer = self.teach(body);
            if answer.0 != 503 || start.elapsed() > PATIENCE {
                return answer;
            }
        }
    }

    /// A new ticket's number.
    pub(crate) fn create(&self, text: &str) -> u64 {
        let body = json!({"type": "create", "queue": 1, "subject": "Question", "requester": "kim@example.com", "text": text});
        let (status, event) = self.post("/v1/tickets", &body);
        assert_eq!(status, 201, "{event}");
        event["ticket"].as_u64().unwrap()
    }

    /// How the model stands once it has learned everything.
    pub(crate) fn learned(&self) -> Value {
        let start = Instant::now();
        loop {
            let (status, learn) = self.get("/v1/learn");
            assert_eq!(status, 200, "{learn}");
            if learn["behind"] == 0 && learn["folding"].is_null() {
                return self.get("/v1/learn?digest=true").1;
            }
            assert!(start.elapsed() < PATIENCE, "it does not catch up: {learn}");
            std::thread::sleep(Duration::from_millis(5));
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

/// One request; `None` where the gateway is gone before its answer is there.
pub(crate) fn ask(api: SocketAddr, token: &str, method: &str, path: &str, body: &Value) -> Option<Answer> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let (status, body) = ask_text(api, token, method, path, &body)?;
    Some((status, serde_json::from_str(&body).unwrap_or(Value::Null)))
}

/// The same, with the answer's body as it is.
pub(crate) fn ask_text(
    api: SocketAddr,
    token: &str,
    method: &str,
    path: &str,
    body: &str,
) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(api).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len(),
    )
    .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.get(9..12)?.parse().ok()?;
    Some((status, body.to_owned()))
}

/// `waggle admin learn check` of the demo's tenant.
pub(crate) fn check(folder: &Path) -> Value {
    administrate(folder, &["learn", "check"])[0].clone()
}

fn administrate(folder: &Path, arguments: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_waggle"))
        .args(["admin", "--output", "json", "--data-dir"])
        .arg(folder)
        .args(arguments)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("{arguments:?}: {text}{error}"))
}
