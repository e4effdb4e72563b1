//! A gateway of the bench's own: started with an empty data directory, stopped whatever happens.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tempfile::TempDir;
use waggle_accel::{Accel, AccelConfig, Mode, own_cgroup};

use crate::seed::Seeded;
use crate::stream::{Address, Trust};
use crate::target::Target;

/// From start to its ready line.
const READY: Duration = Duration::from_secs(30);
/// From SIGTERM to SIGKILL.
const STOP: Duration = Duration::from_secs(10);
/// More than any load of the bench has.
const HTTP_CONNECTIONS: &str = "65536";
const DATA: &str = "data";
const LOG: &str = "gateway.log";
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
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
    /// TLS over TCP over the loopback, for the API as well.
    Tls,
    /// TCP over the loopback, redirected past TCP by eBPF from the gateway to sessions; needs root.
    Redirect,
}

impl PushPath {
    /// As on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Unix => "unix",
            Self::Tls => "tls",
            Self::Redirect => "redirect",
        }
    }

    /// Where this process has to live for the path: in a cgroup of its own, until the value is dropped.
    ///
    /// # Errors
    /// Where it cannot be had.
    pub fn place(self) -> Result<Option<Accel>> {
        let accel = match self {
            Self::Tcp | Self::Unix | Self::Tls => return Ok(None),
            Self::Redirect => Accel::start(AccelConfig { mode: Mode::Auto, ..AccelConfig::default() })?,
        };
        match accel.cgroup() {
            Ok(_) => Ok(Some(accel)),
            Err(reason) => bail!("--path redirect: {reason}"),
        }
    }
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
    /// Which of this machine's addresses it listens on.
    pub host: Ipv4Addr,
    /// What its data directory is a copy of; otherwise it is empty.
    pub seeded: Option<Seeded>,
}

/// A running gateway; dropping it stops it.
#[derive(Debug)]
pub struct Gateway {
    child: Child,
    _last_will: LastWill,
    data: Arc<TempDir>,
    ready: ReadyLine,
    ready_after: Duration,
    path: PushPath,
}

/// A gateway that waits for another's place.
#[derive(Debug)]
pub struct Successor {
    gateway: Gateway,
    output: Option<ChildStdout>,
}

#[derive(Debug, Default, Deserialize)]
struct ReadyLine {
    api: String,
    push: String,
    push_unix: Option<PathBuf>,
    #[serde(default)]
    demo: Demo,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Demo {
    queues: Vec<Queue>,
    agents: Vec<Agent>,
    #[serde(default)]
    admin: Option<Agent>,
}

#[derive(Debug, Clone, Deserialize)]
struct Queue {
    id: u32,
}

#[derive(Debug, Clone, Deserialize)]
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
        if start.path == PushPath::Tls {
            let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
            fs::write(data.path().join(CERTIFICATE), made.cert.pem())?;
            fs::write(data.path().join(KEY), made.signing_key.serialize_pem())?;
        }
        if let Some(seeded) = &start.seeded {
            seeded.copy(&data.path().join(DATA))?;
        }
        let begin = Instant::now();
        let free = format!("{}:0", start.host);
        let (mut gateway, output) = Self::spawn(start, Arc::new(data), &free, &free, &["--demo"])?;
        gateway.wait_ready(output)?;
        gateway.ready_after = begin.elapsed();
        Ok(gateway)
    }

    /// Starts one that takes over this one's data and addresses once it is told to end.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn successor(&self, start: &Start) -> Result<Successor> {
        let (api, push) = (&self.ready.api, &self.ready.push);
        let (mut gateway, output) = Self::spawn(start, Arc::clone(&self.data), api, push, &["--takeover"])?;
        gateway.ready.demo = self.ready.demo.clone();
        Ok(Successor { gateway, output })
    }

    fn spawn(
        start: &Start,
        data: Arc<TempDir>,
        api: &str,
        push: &str,
        more: &[&str],
    ) -> Result<(Self, Option<ChildStdout>)> {
        let mut command = Command::new(&start.binary);
        command.arg("serve").arg("--data-dir").arg(data.path().join(DATA));
        command.args(["--api", api, "--push", push, "--output", "json"]).args(more);
        match start.path {
            PushPath::Tcp => {}
            PushPath::Redirect => {
                // Its own cgroup is made below this process's.
                command.env("WAGGLE_ACCEL_REDIRECT_MODE", "on").env("WAGGLE_ACCEL_MODE", "require");
                // The bench never asks how much there is.
                command.env("WAGGLE_ACCEL_REDIRECT_ACCEPT", "[\"fionread\"]");
                command.env("WAGGLE_ACCEL_REDIRECT_CGROUPS", format!("[{:?}]", own_cgroup()?));
            }
            PushPath::Unix => {
                command.arg("--push-unix").arg(data.path().join("push.sock"));
            }
            PushPath::Tls => {
                command.arg("--tls-certificate").arg(data.path().join(CERTIFICATE));
                command.arg("--tls-key").arg(data.path().join(KEY));
            }
        }
        let log = File::options().create(true).append(true).open(data.path().join(LOG))?;
        command
            .args(&start.arguments)
            // All sessions of a bench come from one address.
            .env("WAGGLE_PUSH_LIMITS_SESSIONS_PER_ADDRESS", "0")
            .env("WAGGLE_HTTP_CONNECTIONS_MAX", HTTP_CONNECTIONS)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log);
        // Ctrl-C in a terminal goes to the bench alone, which stops the gateway in order.
        command.process_group(0);
        let mut child =
            command.spawn().with_context(|| format!("cannot start {}", start.binary.display()))?;
        let last_will = LastWill::make(child.id()).inspect_err(|_| {
            // Nobody would end it otherwise.
            child.kill().ok();
            child.wait().ok();
        })?;
        let output = child.stdout.take();
        // From here on the guard stops it.
        let ready = ReadyLine::default();
        let ready_after = Duration::ZERO;
        Ok((Self { child, _last_will: last_will, data, ready, ready_after, path: start.path }, output))
    }

    fn wait_ready(&mut self, output: Option<ChildStdout>) -> Result<()> {
        let line = output.map_or(Ok(String::new()), first_line);
        let ready = line.and_then(|line| {
            serde_json::from_str::<ReadyLine>(&line)
                .with_context(|| format!("the gateway said {line:?}, expected its ready line"))
        });
        let ready = ready.with_context(|| {
            format!("the gateway is not ready; its log: {}", tail(&self.data.path().join(LOG)))
        })?;
        let demo = std::mem::take(&mut self.ready.demo);
        self.ready = ready;
        if self.ready.demo.agents.is_empty() {
            self.ready.demo = demo;
        }
        Ok(())
    }

    /// How to reach it.
    ///
    /// # Errors
    /// Where the ready line lacks an address or an agent.
    pub fn target(&self) -> Result<Target> {
        let trust = match self.path {
            PushPath::Tls => Some(Trust::in_file(&self.data.path().join(CERTIFICATE))?),
            _ => None,
        };
        let over_tcp = |text: &str| -> Result<Address> {
            let address = address(text)?;
            Ok(trust.clone().map_or(Address::Tcp(address), |trust| Address::Tls(address, trust)))
        };
        let push = match self.path {
            PushPath::Tcp | PushPath::Tls | PushPath::Redirect => over_tcp(&self.ready.push)?,
            PushPath::Unix => {
                Address::Unix(self.ready.push_unix.clone().context("the ready line has no push_unix")?)
            }
        };
        let tokens: Vec<_> = self.ready.demo.agents.iter().map(|agent| agent.token.clone()).collect();
        if tokens.is_empty() {
            bail!("the ready line has no demo agents");
        }
        let api = over_tcp(&self.ready.api)?;
        Ok(Target { api, host: self.ready.api.clone(), push, tokens, pid: Some(self.child.id()) })
    }

    /// From its start until it was ready; zero for a successor.
    #[must_use]
    pub fn ready_after(&self) -> Duration {
        self.ready_after
    }

    /// Its process, which leads a group of its own.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The demo's queues; never none.
    #[must_use]
    pub fn queues(&self) -> Vec<u32> {
        let queues: Vec<_> = self.ready.demo.queues.iter().map(|queue| queue.id).collect();
        if queues.is_empty() { vec![1] } else { queues }
    }

    /// The token of the demo's administrator, where there is a demo.
    #[must_use]
    pub fn admin_token(&self) -> Option<&str> {
        self.ready.demo.admin.as_ref().map(|admin| admin.token.as_str())
    }

    /// Tells it to end and returns at once.
    ///
    /// # Errors
    /// Where it has ended already.
    pub fn terminate(&self) -> Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), Signal::TERM)?)
    }

    /// Waits until it has ended by itself.
    ///
    /// # Errors
    /// Where that takes longer than `patience`, or its status is not zero.
    pub fn wait_end(&mut self, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!("the gateway ended with {status}, expected success"),
                None => std::thread::sleep(POLL),
            }
        }
        bail!("the gateway has not ended after {} s", patience.as_secs())
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
                tail(&self.data.path().join(LOG))
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

impl Successor {
    /// Waits until it serves.
    ///
    /// # Errors
    /// As [`Gateway::start`].
    pub fn wait_ready(mut self) -> Result<Gateway> {
        self.gateway.wait_ready(self.output.take())?;
        Ok(self.gateway)
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

/// A shell that ends a process when the bench is no more: it waits for the end of a pipe that the bench alone
/// holds, and the kernel closes that even where the bench was killed. Dropping it revokes it.
#[derive(Debug)]
struct LastWill(Child);

impl LastWill {
    /// The process has the time of [`STOP`] to end in order.
    fn make(pid: u32) -> Result<Self> {
        let stop = STOP.as_secs();
        let script = format!("cat > /dev/null; kill -TERM {pid}; sleep {stop}; kill -KILL {pid}");
        let mut command = Command::new("sh");
        command.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // Whatever ends the bench's group does not end this.
        command.process_group(0);
        Ok(Self(command.spawn().context("cannot run sh")?))
    }
}

impl Drop for LastWill {
    fn drop(&mut self) {
        // Before the pipe is closed: the shell is to do nothing more. Its `cat` ends with the pipe.
        self.0.kill().ok();
        self.0.wait().ok();
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
