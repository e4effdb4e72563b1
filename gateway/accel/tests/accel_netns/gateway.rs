//! A gateway in miniature, in a process of its own: this test's binary, run again with an order.
//!
//! It starts the accelerator first and its listeners after it, as the gateway does, and tells what the
//! kernel holds for each socket. Orders come as lines on its standard input, answers go as JSON lines to
//! its standard output; its log, the eBPF programs' lines included, goes to standard error.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
use serde::{Deserialize, Serialize};
use tracing::Level;
use waggle_accel::{
    self as accel, Accel, AccelConfig, Guard, GuardChange, GuardConfig, GuardStatus, Leg, LegsReport, Mode,
    SocketValues, Status,
};

use crate::namespaces::{CLIENT, SERVER, enter};

const ORDER: &str = "WAGGLE_NETNS_ORDER";
const ANSWER_MAX: Duration = Duration::from_secs(20);
/// Answers that may wait; each follows one order.
const ANSWERS_MAX: usize = 16;

/// How a gateway is to be run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) namespace: String,
    pub(crate) mode: Mode,
    pub(crate) capabilities: Capabilities,
    /// Whether the guard is on the wire.
    pub(crate) guard: Mode,
    /// For the accelerator's settings.
    pub(crate) cgroup: Option<PathBuf>,
    /// Run as in a container: in this cgroup, with cgroups mounted read-only.
    pub(crate) container: Option<PathBuf>,
}

/// Moves itself into the cgroup `$1`, makes all beside and below it read-only, and becomes `$2`.
const CONTAINER: &str = r#"
    echo $$ > "$1/cgroup.procs" &&
    parent=$(dirname "$1") &&
    mount --bind "$parent" "$parent" &&
    mount -o remount,bind,ro "$parent" &&
    exec "$2"
"#;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Capabilities {
    Kept,
    Dropped,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    Started(Started),
    Refused(String),
    Socket(Socket),
    Status(Status),
    Legs(LegsReport),
    Guard(GuardStatus),
    Echoed,
    Stopped { cgroup_at_end: String },
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Started {
    pub(crate) push_port: u16,
    pub(crate) mesh_port: u16,
    pub(crate) other_port: u16,
    pub(crate) cgroup_before: String,
    pub(crate) cgroup_now: String,
}

/// What the kernel holds for a socket, before and after the setsockopt rung has had its turn.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Socket {
    pub(crate) before: SocketValues,
    pub(crate) after: SocketValues,
}

/// The running process, as the test sees it; ended and cleaned up after on drop.
pub(crate) struct Gateway {
    child: Child,
    orders: Option<ChildStdin>,
    answers: Receiver<String>,
    log: Option<JoinHandle<String>>,
    pub(crate) cgroup: Option<PathBuf>,
}

impl Gateway {
    pub(crate) fn run(order: &Order) -> Result<Self> {
        let this = std::env::current_exe()?;
        let mut command = match &order.container {
            None => Command::new(this),
            Some(cgroup) => {
                let mut command = Command::new("unshare");
                command.args(["--mount", "sh", "-e", "-c", CONTAINER, "sh"]).arg(cgroup).arg(this);
                command
            }
        };
        let mut child = command
            .env(ORDER, serde_json::to_string(order)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let orders = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().context("piped")?);
        let stderr = child.stderr.take().context("piped")?;
        let (sender, answers) = sync_channel(ANSWERS_MAX);
        thread::spawn(move || {
            let lines = stdout.lines().map_while(io::Result::ok);
            lines.for_each(|line| drop(sender.send(line)));
        });
        let log = thread::spawn(move || io::read_to_string(stderr).unwrap_or_default());
        Ok(Self { child, orders, answers, log: Some(log), cgroup: None })
    }

    pub(crate) fn answer(&mut self) -> Result<Answer> {
        match self.answers.recv_timeout(ANSWER_MAX) {
            Ok(line) => Ok(serde_json::from_str(&line)?),
            Err(_) => bail!("no answer; the process said:\n{}", self.end()),
        }
    }

    pub(crate) fn started(&mut self) -> Result<Started> {
        match self.answer()? {
            Answer::Started(started) => Ok(started),
            other => bail!("not started: {other:?}"),
        }
    }

    /// The next socket that the gateway accepts on, or opens for, `what`.
    pub(crate) fn socket(&mut self, what: &str) -> Result<Socket> {
        self.order(what)?;
        match self.answer()? {
            Answer::Socket(socket) => Ok(socket),
            other => bail!("no socket for {what}: {other:?}"),
        }
    }

    pub(crate) fn status(&mut self) -> Result<Status> {
        self.order("status")?;
        match self.answer()? {
            Answer::Status(status) => {
                self.cgroup.clone_from(&status.cgroup);
                Ok(status)
            }
            other => bail!("no status: {other:?}"),
        }
    }

    /// What the kernel holds for the first socket that was accepted, now.
    pub(crate) fn again(&mut self) -> Result<SocketValues> {
        self.order("again")?;
        match self.answer()? {
            Answer::Socket(socket) => Ok(socket.after),
            other => bail!("no socket: {other:?}"),
        }
    }

    /// Changes profiles, and tells the state then; a refusal is the error.
    pub(crate) fn set_profiles(&mut self, settings: &serde_json::Value) -> Result<Status> {
        self.order(&format!("set {settings}"))?;
        match self.answer()? {
            Answer::Status(status) => Ok(status),
            Answer::Refused(reason) => bail!("{reason}"),
            other => bail!("no status: {other:?}"),
        }
    }

    pub(crate) fn reset_profiles(&mut self) -> Result<()> {
        self.order("reset")?;
        match self.answer()? {
            Answer::Status(_) => Ok(()),
            other => bail!("not reset: {other:?}"),
        }
    }

    pub(crate) fn legs(&mut self) -> Result<LegsReport> {
        self.order("legs")?;
        match self.answer()? {
            Answer::Legs(report) => Ok(report),
            other => bail!("no legs: {other:?}"),
        }
    }

    /// Tells it that an authentication from the client's address has failed.
    pub(crate) fn failed(&mut self) -> Result<GuardStatus> {
        self.order("failed")?;
        match self.answer()? {
            Answer::Guard(status) => Ok(status),
            other => bail!("no guard: {other:?}"),
        }
    }

    /// Changes a rule of the guard (or, with `null`, none), and tells what it does then; a refusal is the error.
    pub(crate) fn guard(&mut self, change: &serde_json::Value) -> Result<GuardStatus> {
        self.order(&format!("guard {change}"))?;
        match self.answer()? {
            Answer::Guard(status) => Ok(status),
            Answer::Refused(reason) => bail!("{reason}"),
            other => bail!("no guard: {other:?}"),
        }
    }

    /// Has it send a byte on the latest socket, whose other end is `client`, which sends it back.
    pub(crate) fn echo(&mut self, client: &mut TcpStream) -> Result<()> {
        self.order("echo")?;
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        client.write_all(&byte)?;
        match self.answer()? {
            Answer::Echoed => Ok(()),
            other => bail!("no echo: {other:?}"),
        }
    }

    /// Stops in order. Returns the process's last cgroup and its log.
    pub(crate) fn stop(mut self) -> Result<(String, String)> {
        self.order("stop")?;
        match self.answer()? {
            Answer::Stopped { cgroup_at_end } => {
                // It has cleaned up by itself: the test looks at how.
                self.cgroup = None;
                Ok((cgroup_at_end, self.end()))
            }
            other => bail!("not stopped: {other:?}"),
        }
    }

    /// Kills it as it stands, which leaves its cgroup behind.
    pub(crate) fn kill(mut self) {
        self.end();
        self.cgroup = None;
    }

    fn order(&mut self, order: &str) -> Result<()> {
        let orders = self.orders.as_mut().context("the process has ended")?;
        Ok(writeln!(orders, "{order}")?)
    }

    fn end(&mut self) -> String {
        self.orders = None;
        // Both fail only for a process that has ended, and been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let log = self.log.take().and_then(|log| log.join().ok());
        log.unwrap_or_default()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.end();
        if let Some(cgroup) = &self.cgroup {
            // Only a gateway that did not stop in order has left it.
            let _ = fs::remove_dir(cgroup);
        }
    }
}

/// The order that this process was run with, if it is a gateway.
pub(crate) fn order() -> Option<serde_json::Result<Order>> {
    let order = std::env::var(ORDER).ok()?;
    Some(serde_json::from_str(&order))
}

/// Life of the gateway's process.
pub(crate) fn serve(order: &Order) -> Result<()> {
    enter(&order.namespace)?;
    if order.capabilities == Capabilities::Dropped {
        let none = CapabilitySet::empty();
        set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    }
    tracing_subscriber::fmt().with_max_level(Level::DEBUG).with_writer(io::stderr).with_ansi(false).init();
    let cgroup_before = own_cgroup()?;
    let config = AccelConfig { mode: order.mode, cgroup: order.cgroup.clone(), ..AccelConfig::default() };
    match Accel::start(config) {
        Ok(accel) => obey(accel, cgroup_before, order.guard),
        Err(error) => say(&Answer::Refused(format!("{:#}", anyhow::Error::new(error)))),
    }
}

fn obey(accel: Accel, cgroup_before: String, guard_mode: Mode) -> Result<()> {
    let listen = || TcpListener::bind((SERVER, 0));
    let (push, mesh, other) = (listen()?, listen()?, listen()?);
    let mesh_port = mesh.local_addr()?.port();
    accel.set_port(Leg::Agent, push.local_addr()?.port())?;
    accel.set_port(Leg::Mesh, mesh_port)?;
    say(&Answer::Started(Started {
        push_port: push.local_addr()?.port(),
        mesh_port,
        other_port: other.local_addr()?.port(),
        cgroup_before,
        cgroup_now: own_cgroup()?,
    }))?;
    let mut sockets: Vec<TcpStream> = Vec::new();
    let guard = GuardConfig {
        interfaces: vec!["wire".to_owned(), "nosuch".to_owned()],
        rate_per_second: 1,
        burst: 20,
        failures: 3,
        failures_deny_s: 2,
        ..GuardConfig::default()
    };
    let guard = Guard::start(&guard, &[push.local_addr()?.port()], guard_mode)?;
    for order in io::stdin().lines() {
        let order = order?;
        let (socket, leg) = match order.as_str() {
            "push" => (push.accept()?.0, Some(Leg::Agent)),
            "mesh" => (mesh.accept()?.0, Some(Leg::Mesh)),
            "other" => (other.accept()?.0, None),
            "mesh peer" => (TcpStream::connect((CLIENT, mesh_port))?, Some(Leg::Mesh)),
            "status" => {
                say(&Answer::Status(accel.status()))?;
                continue;
            }
            "again" => {
                let values = accel::read_back(sockets.first().context("no socket")?);
                say(&Answer::Socket(Socket { before: values.clone(), after: values }))?;
                continue;
            }
            "echo" => {
                let socket = sockets.last_mut().context("no socket")?;
                let mut byte = [7];
                socket.write_all(&byte)?;
                socket.read_exact(&mut byte)?;
                say(&Answer::Echoed)?;
                continue;
            }
            "legs" => {
                say(&Answer::Legs(accel.legs()))?;
                continue;
            }
            "reset" => {
                accel.reset_profiles(None)?;
                say(&Answer::Status(accel.status()))?;
                continue;
            }
            "stop" => break,
            "failed" => {
                guard.failed(CLIENT.into());
                say(&Answer::Guard(guard.status()))?;
                continue;
            }
            order if order.starts_with("guard ") => {
                let change: Option<GuardChange> = serde_json::from_str(&order[6..])?;
                match change.map_or(Ok(()), |change| guard.change(&change)) {
                    Ok(()) => say(&Answer::Guard(guard.status()))?,
                    Err(error) => say(&Answer::Refused(error.to_string()))?,
                }
                continue;
            }
            order if order.starts_with("set ") => {
                match accel.set_profiles(&serde_json::from_str(&order[4..])?) {
                    Ok(()) => say(&Answer::Status(accel.status()))?,
                    Err(error) => say(&Answer::Refused(error.to_string()))?,
                }
                continue;
            }
            order => bail!("no such order: {order}"),
        };
        let before = accel::read_back(&socket);
        if let Some(leg) = leg {
            accel.apply_to(&socket, leg);
        }
        let after = accel::read_back(&socket);
        say(&Answer::Socket(Socket { before, after }))?;
        sockets.push(socket);
    }
    drop(accel);
    let cgroup_at_end = own_cgroup()?;
    say(&Answer::Stopped { cgroup_at_end })
}

fn say(answer: &Answer) -> Result<()> {
    println!("{}", serde_json::to_string(answer)?);
    Ok(())
}

/// This process's place in cgroup v2.
fn own_cgroup() -> Result<String> {
    let memberships = fs::read_to_string("/proc/self/cgroup")?;
    let own = memberships.lines().find(|line| line.starts_with("0::"));
    Ok(own.context("no cgroup v2")?.to_owned())
}
