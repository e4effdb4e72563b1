//! A gateway of the bench's own: started with an empty data directory, stopped whatever happens.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tempfile::TempDir;

use crate::stream::Address;
use crate::target::Target;

/// From start to its ready line.
const READY: Duration = Duration::from_secs(30);
/// From SIGTERM to SIGKILL.
const STOP: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(5);
/// Bytes of its log that an error shows.
const LOG_TAIL_BYTES: usize = 2_000;

/// The path from sessions to the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PushPath {
    /// TCP over the loopback.
    Tcp,
    /// A Unix stream socket.
    Unix,
}

/// What to start.
#[derive(Debug, Clone)]
pub struct Start {
    /// The binary `waggle`.
    pub binary: PathBuf,
    /// More arguments after those of the bench.
    pub arguments: Vec<String>,
    /// Where its data directory is made.
    pub parent: PathBuf,
    /// Which listener sessions go to.
    pub path: PushPath,
}

/// A running gateway; dropping it stops it.
#[derive(Debug)]
pub struct Gateway {
    child: Child,
    data: TempDir,
    ready: ReadyLine,
    path: PushPath,
}

#[derive(Debug, Deserialize)]
struct ReadyLine {
    api: String,
    push: String,
    push_unix: Option<PathBuf>,
    demo: Demo,
}

#[derive(Debug, Default, Deserialize)]
struct Demo {
    queues: Vec<Queue>,
    agents: Vec<Agent>,
}

#[derive(Debug, Deserialize)]
struct Queue {
    id: u32,
}

#[derive(Debug, Deserialize)]
struct Agent {
    token: String,
}

impl Gateway {
    /// Starts one and waits until it is ready.
    ///
    /// # Errors
    /// Where it does not start, with the end of its log.
    pub fn start(start: &Start) -> Result<Self> {
        let parent = &start.parent;
        let data = tempfile::Builder::new()
            .prefix("waggle-bench-")
            .tempdir_in(parent)
            .with_context(|| format!("cannot make a data directory in {}", parent.display()))?;
        let log = data.path().join("gateway.log");
        let mut command = Command::new(&start.binary);
        command.arg("serve").arg("--data-dir").arg(data.path().join("data"));
        command.args(["--api", "127.0.0.1:0", "--push", "127.0.0.1:0", "--demo", "--output", "json"]);
        if start.path == PushPath::Unix {
            command.arg("--push-unix").arg(data.path().join("push.sock"));
        }
        command
            .args(&start.arguments)
            // All sessions of a bench come from one address.
            .env("WAGGLE_PUSH_LIMITS_SESSIONS_PER_ADDRESS", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?);
        // Ctrl-C in a terminal goes to the bench alone, which stops the gateway in order.
        command.process_group(0);
        let mut child =
            command.spawn().with_context(|| format!("cannot start {}", start.binary.display()))?;
        let output = child.stdout.take();
        // From here on the guard stops it.
        let ready =
            ReadyLine { api: String::new(), push: String::new(), push_unix: None, demo: Demo::default() };
        let mut gateway = Self { child, data, ready, path: start.path };
        let line = output.map_or(Ok(String::new()), first_line);
        let ready = line.and_then(|line| {
            serde_json::from_str(&line)
                .with_context(|| format!("the gateway said {line:?}, expected its ready line"))
        });
        gateway.ready =
            ready.with_context(|| format!("the gateway is not ready; its log: {}", tail(&log)))?;
        Ok(gateway)
    }

    /// How to reach it.
    ///
    /// # Errors
    /// Where the ready line lacks an address or an agent.
    pub fn target(&self) -> Result<Target> {
        let push = match self.path {
            PushPath::Tcp => Address::Tcp(address(&self.ready.push)?),
            PushPath::Unix => {
                Address::Unix(self.ready.push_unix.clone().context("the ready line has no push_unix")?)
            }
        };
        let tokens: Vec<_> = self.ready.demo.agents.iter().map(|agent| agent.token.clone()).collect();
        if tokens.is_empty() {
            bail!("the ready line has no demo agents");
        }
        let api = Address::Tcp(address(&self.ready.api)?);
        Ok(Target { api, host: self.ready.api.clone(), push, tokens, pid: Some(self.child.id()) })
    }

    /// Its process, which leads a group of its own.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The demo's first queue.
    #[must_use]
    pub fn queue(&self) -> u32 {
        self.ready.demo.queues.first().map_or(1, |queue| queue.id)
    }

    /// The directory that its data is in.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        self.data.path()
    }

    /// Stops it.
    ///
    /// # Errors
    /// Where it does not end on SIGTERM with status zero.
    pub fn stop(mut self) -> Result<()> {
        match self.end()? {
            status if status.success() => Ok(()),
            status => bail!(
                "the gateway ended with {status}, expected success; its log: {}",
                tail(&self.data.path().join("gateway.log"))
            ),
        }
    }

    fn end(&mut self) -> Result<std::process::ExitStatus> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(status);
        }
        // Not reaped yet, so the pid is still its own.
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let deadline = Instant::now() + STOP;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(POLL);
        }
        self.child.kill()?;
        Ok(self.child.wait()?)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if self.end().is_err() {
            // It may be gone already; nothing more can be done here.
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}

/// The first line of its output; the rest is read and dropped, so that it never blocks on it.
fn first_line(output: ChildStdout) -> Result<String> {
    let (send, receive) = mpsc::sync_channel(1);
    std::thread::Builder::new().name("gateway output".into()).spawn(move || {
        let mut lines = BufReader::new(output).lines();
        let first = lines.next().and_then(Result::ok).unwrap_or_default();
        send.send(first).ok();
        lines.for_each(drop);
    })?;
    receive.recv_timeout(READY).with_context(|| format!("no ready line within {} s", READY.as_secs()))
}

fn address(text: &str) -> Result<std::net::SocketAddr> {
    text.parse().with_context(|| format!("the ready line has the address {text:?}, expected ip:port"))
}

fn tail(log: &Path) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    let start = bytes.len().saturating_sub(LOG_TAIL_BYTES);
    String::from_utf8_lossy(bytes.get(start..).unwrap_or_default()).into_owned()
}

/// The binary to start: the one given, or `waggle` beside the bench's own.
///
/// # Errors
/// Where there is none.
pub fn find_binary(given: Option<PathBuf>) -> Result<PathBuf> {
    let path = match given {
        Some(path) => path,
        None => std::env::current_exe()?.with_file_name("waggle"),
    };
    if !path.is_file() {
        bail!(
            "no gateway at {}: build it (`cargo build --release -p waggle-gateway`) or give --gateway",
            path.display()
        );
    }
    Ok(path)
}
