//! The gateway as a process of its own, that can be killed.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

pub(crate) struct Gateway {
    child: Child,
    pub(crate) api: SocketAddr,
    pub(crate) push: SocketAddr,
    pub(crate) token: String,
}

impl Gateway {
    /// Starts it on `folder`, on the addresses of `before` where there was one.
    pub(crate) async fn start(folder: &Path, before: Option<&Gateway>) -> Self {
        let at = |known: Option<SocketAddr>| known.map_or("127.0.0.1:0".to_owned(), |addr| addr.to_string());
        let mut child = Command::new(env!("CARGO_BIN_EXE_waggle"))
            .args(["serve", "--demo", "--accel", "off", "--output", "json", "--data-dir"])
            .arg(folder)
            .args(["--api", &at(before.map(|before| before.api))])
            .args(["--push", &at(before.map(|before| before.push))])
            .env("WAGGLE_LOG_LEVEL", "error")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = tokio::time::timeout(Duration::from_secs(30), lines.next_line()).await;
        let line = line.expect("ready in time").unwrap().expect("a line that says so");
        let ready: Value = serde_json::from_str(&line).unwrap();
        let addr = |name: &str| ready[name].as_str().unwrap().parse().unwrap();
        let token = ready["demo"]["agents"][0]["token"].as_str().unwrap().to_owned();
        Self { child, api: addr("api"), push: addr("push"), token }
    }

    /// SIGKILL: nothing is flushed, nobody is told.
    pub(crate) fn kill(&mut self) {
        self.child.start_kill().unwrap();
        // It is gone when its listening sockets are: the next start waits for the lock below.
        while self.child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
    }
}
