//! A host for gateways, with a bpf file system and a network of its own, and a client on a wire to it.

use std::io::{self, BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cgroup::Cgroup;
use crate::gateway::{Gateway, PATIENCE, Starting, accel, within_network_of};

pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(10, 232, 0, 1);
pub(crate) const CLIENT: &str = "10.232.0.2/32";
pub(crate) const PUSH: u16 = 8081;
const API: u16 = 8080;
const PINS: &str = "/sys/fs/bpf/waggle";

/// How long an attempt to connect waits: on a wire within one machine an answer takes far less.
const ATTEMPT: Duration = Duration::from_millis(100);

/// Namespaces last as long as a process is in them, and these end with the test's own.
struct Holder(Child);

impl Holder {
    fn run(namespaces: &[&str], script: &str) -> Self {
        let script = format!("ip link set lo up\n{script}\necho there\ncat > /dev/null");
        let mut command = Command::new("unshare");
        command.args(namespaces).args(["sh", "-ec", &script]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "there\n");
        Self(child)
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) struct Laboratory {
    host: Holder,
    client: Holder,
    files: tempfile::TempDir,
    // Last: what is left in it is detached before it goes.
    pub(crate) cgroup: Cgroup,
}

impl Laboratory {
    pub(crate) fn make() -> Self {
        let host =
            Holder::run(&["--mount", "--net", "--propagation", "private"], "mount -t bpf none /sys/fs/bpf");
        let client = Holder::run(&["--net"], "");
        let laboratory = Self { host, client, files: tempfile::tempdir().unwrap(), cgroup: Cgroup::make() };
        let to = laboratory.client.pid();
        laboratory.sh(&format!(
            "ip link add wire type veth peer name wire netns {to}; ip address add {SERVER}/30 dev wire; ip link set wire up"
        ));
        let there = Command::new("nsenter")
            .args(["-t", &to.to_string(), "-n", "sh", "-ec"])
            .arg(format!("ip address add {} dev wire; ip link set wire up", CLIENT.replace("/32", "/30")))
            .status()
            .unwrap();
        assert!(there.success());
        laboratory
    }

    /// A command that enters the host and the cgroup, and becomes what follows it.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.host.pid().to_string(), "--mount", "--net", "sh", "-ec"]);
        command.args([r#"echo 0 > "$CGROUP/cgroup.procs"; exec "$@""#, "sh"]);
        command.env("CGROUP", self.cgroup.dir());
        command
    }

    /// What a script on the host says.
    pub(crate) fn sh(&self, script: &str) -> String {
        let output = self.command().args(["sh", "-ec", script]).output().unwrap();
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn data(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    /// A gateway that guards the wire, on the data directory `data`.
    pub(crate) fn start(&self, data: &str, more: &[&str]) -> Starting {
        let arguments = ["--api", "0.0.0.0:8080", "--push", "0.0.0.0:8081", "--accel-pin-dir", PINS];
        self.start_with(data, "", &[&arguments[..], more].concat())
    }

    /// The same without pins and addresses, and with more lines of configuration about the guard.
    pub(crate) fn start_with(&self, data: &str, lines: &str, arguments: &[&str]) -> Starting {
        let config = self.configure(data, lines);
        let arguments = [&["--config", config.to_str().unwrap()], arguments].concat();
        Starting::run(self.command(), &self.data(data), &arguments)
    }

    /// Writes the configuration of the gateway on `data`; gives its file.
    pub(crate) fn configure(&self, data: &str, lines: &str) -> PathBuf {
        let config = self.data(&format!("{data}.toml"));
        std::fs::write(&config, format!("[accel.guard]\ninterfaces = [\"wire\"]\n{lines}")).unwrap();
        config
    }

    pub(crate) fn gateway(&self, data: &str) -> Gateway {
        self.start(data, &[]).outcome().unwrap()
    }

    /// `waggle accel detach`: its exit code and its report.
    pub(crate) fn detach(&self, more: &[&str]) -> (Option<i32>, Value) {
        let cgroup = self.cgroup.dir().to_str().unwrap();
        // Those of tests beside this one are not looked for.
        let arguments = [&["detach", "--output", "json", "--cgroup", cgroup], more].concat();
        let output = accel(self.command(), &arguments);
        (output.status.code(), serde_json::from_slice(&output.stdout).unwrap())
    }

    /// The number of the XDP program on the wire.
    pub(crate) fn program(&self) -> Option<u64> {
        let links: Value = serde_json::from_str(&self.sh("ip -json -details link show wire")).unwrap();
        links[0]["xdp"]["prog"]["id"].as_u64()
    }

    /// What is pinned for the only gateway that has pinned something.
    pub(crate) fn pins(&self) -> Vec<String> {
        let listed = self.sh(&format!("ls {PINS}/* 2>/dev/null || true"));
        listed.lines().map(str::to_owned).collect()
    }

    /// The folder of the only gateway that has pinned something.
    pub(crate) fn folder(&self) -> String {
        self.sh(&format!("ls -d {PINS}/*")).trim().to_owned()
    }

    /// Something that listens where the gateway does, while that is away.
    pub(crate) fn stand_in(&self) -> TcpListener {
        within_network_of(self.host.pid(), || TcpListener::bind((SERVER, PUSH))).unwrap()
    }

    /// Whether the client gets in.
    pub(crate) fn connects(&self) -> bool {
        within_network_of(self.client.pid(), attempt).is_ok()
    }

    /// The status line that the client gets for a request of its own to the API, with these headers.
    pub(crate) fn ask(&self, headers: &str) -> String {
        let request = format!("GET /v1/me HTTP/1.1\r\nhost: waggle\r\nconnection: close\r\n{headers}\r\n");
        let ask = move || {
            let mut stream = TcpStream::connect_timeout(&SocketAddr::from((SERVER, API)), PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            io::Write::write_all(&mut stream, request.as_bytes())?;
            let mut line = String::new();
            BufReader::new(stream).read_line(&mut line)?;
            Ok(line)
        };
        within_network_of(self.client.pid(), ask).unwrap()
    }

    /// Waits until the client gets in.
    pub(crate) fn wait_connects(&self, most: Duration) {
        let start = Instant::now();
        while !self.connects() {
            assert!(start.elapsed() < most, "the client does not get in");
        }
    }

    /// Lets the client try without a pause.
    pub(crate) fn besiege(&self) -> Siege {
        let (stop, tries, successes) =
            (Arc::<AtomicBool>::default(), Arc::<AtomicU32>::default(), Arc::<AtomicU32>::default());
        let counts = (Arc::clone(&stop), Arc::clone(&tries), Arc::clone(&successes));
        let pid = self.client.pid();
        let besieging = thread::spawn(move || {
            let (stop, tries, successes) = counts;
            let run = move || {
                while !stop.load(Ordering::Relaxed) {
                    successes.fetch_add(u32::from(attempt().is_ok()), Ordering::Relaxed);
                    tries.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            };
            within_network_of(pid, run).unwrap();
        });
        Siege { stop, tries, successes, besieging }
    }

    pub(crate) fn files(&self) -> &Path {
        self.files.path()
    }
}

impl Drop for Laboratory {
    fn drop(&mut self) {
        // Where a test has failed, gateways may have left links on the cgroup that is removed next.
        self.detach(&["--force"]);
    }
}

fn attempt() -> io::Result<()> {
    TcpStream::connect_timeout(&SocketAddr::from((SERVER, PUSH)), ATTEMPT).map(drop)
}

/// A client that tries to connect all the time.
pub(crate) struct Siege {
    stop: Arc<AtomicBool>,
    tries: Arc<AtomicU32>,
    successes: Arc<AtomicU32>,
    besieging: JoinHandle<()>,
}

impl Siege {
    /// Until it has tried so many times more.
    pub(crate) fn wait(&self, tries: u32) {
        let (start, most) = (Instant::now(), self.tries.load(Ordering::Relaxed) + tries);
        while self.tries.load(Ordering::Relaxed) < most {
            assert!(start.elapsed() < PATIENCE, "the client does not try");
            thread::yield_now();
        }
    }

    /// How often it got in, of how many tries.
    pub(crate) fn end(self) -> (u32, u32) {
        self.stop.store(true, Ordering::Relaxed);
        self.besieging.join().unwrap();
        (self.successes.load(Ordering::Relaxed), self.tries.load(Ordering::Relaxed))
    }
}
