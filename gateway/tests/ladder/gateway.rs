//! The gateway as a process of its own, in an environment that a command prepares.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde::de::DeserializeOwned;
use serde_json::Value;
use waggle_gateway::accel::{GuardStatus, Status};

/// How long anything may take before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const WAGGLE: &str = env!("CARGO_BIN_EXE_waggle");

/// A gateway that has said that it is ready; killed on drop.
pub(crate) struct Gateway {
    child: Child,
    pub(crate) ready: Value,
    data_dir: PathBuf,
    log: Log,
}

/// What a process has said so far.
#[derive(Default)]
struct Log {
    text: Arc<Mutex<String>>,
    reading: Option<JoinHandle<()>>,
}

impl Log {
    fn read(from: impl io::Read + Send + 'static) -> Self {
        let text = Arc::<Mutex<String>>::default();
        let put = Arc::clone(&text);
        let reading = thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                put.lock().unwrap().extend([line.as_str(), "\n"]);
            }
        });
        Self { text, reading: Some(reading) }
    }

    /// All of it, once the process has ended.
    fn whole(self) -> String {
        self.reading.into_iter().for_each(|reading| reading.join().unwrap());
        std::mem::take(&mut self.text.lock().unwrap())
    }
}

/// One that has ended instead.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) code: Option<i32>,
    pub(crate) log: String,
}

/// One that has not said yet how it goes.
pub(crate) struct Starting {
    child: Child,
    data_dir: PathBuf,
    log: Log,
}

impl Starting {
    /// Runs `command`, which becomes `waggle serve` with what follows it.
    pub(crate) fn run(mut command: Command, data_dir: &Path, arguments: &[&str]) -> Self {
        let mut child = command
            .arg(WAGGLE)
            .args(["serve", "--output", "json", "--drain-after-ms", "0", "--drain-spread-ms", "0"])
            .arg("--data-dir")
            .arg(data_dir)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = child.stderr.take().unwrap();
        let log = Log::read(stderr);
        Self { child, data_dir: data_dir.to_owned(), log }
    }

    /// Until it is ready, or has ended.
    pub(crate) fn outcome(mut self) -> Result<Gateway, Refused> {
        let mut line = String::new();
        BufReader::new(self.child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        if let Ok(ready) = serde_json::from_str(&line) {
            let Self { child, data_dir, log } = self;
            return Ok(Gateway { child, ready, data_dir, log });
        }
        let code = self.child.wait().unwrap().code();
        Err(Refused { code, log: self.log.whole() })
    }
}

impl Gateway {
    pub(crate) fn status(&self) -> Status {
        self.ask("status")
    }

    pub(crate) fn guard(&self) -> GuardStatus {
        asked(&self.data_dir, &["guard", "status"])
    }

    /// Changes a rule of the guard; seconds until it comes back unconfirmed, or 0.
    pub(crate) fn change(&self, action: &str, network: &str, confirm_within: u32) -> GuardStatus {
        asked(&self.data_dir, &["guard", action, network, "--confirm-within", &confirm_within.to_string()])
    }

    /// Why a change is refused.
    pub(crate) fn refused_change(&self, action: &str, network: &str) -> String {
        let mut command = Command::new(WAGGLE);
        command.args(["accel", "guard", action, network, "--data-dir"]).arg(&self.data_dir);
        let output = command.output().unwrap();
        assert!(!output.status.success(), "{action} {network} was taken");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    fn ask<T: DeserializeOwned>(&self, what: &str) -> T {
        asked(&self.data_dir, &[what])
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn addr(&self, name: &str) -> SocketAddr {
        self.ready[name].as_str().unwrap().parse().unwrap()
    }

    /// Whether it answers that it is well, asked in its own network.
    pub(crate) fn serves(&self) -> bool {
        let api = self.addr("api");
        within_network_of(self.pid(), move || {
            let mut stream = TcpStream::connect_timeout(&api, PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: waggle\r\nconnection: close\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer.starts_with("HTTP/1.1 200 "))
        })
        .unwrap()
    }

    pub(crate) fn terminate(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
    }

    /// Until it has ended by itself; gives its log.
    pub(crate) fn wait_end(mut self) -> String {
        let start = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(start.elapsed() < PATIENCE, "the gateway does not end");
            thread::yield_now();
        }
        std::mem::take(&mut self.log).whole()
    }

    /// Waits until it has said this, so many times.
    pub(crate) fn wait_log(&self, said: &str, times: usize) {
        let start = Instant::now();
        while self.log.text.lock().unwrap().matches(said).count() < times {
            assert!(start.elapsed() < PATIENCE, "no {said:?} in:\n{}", self.log.text.lock().unwrap());
            thread::yield_now();
        }
    }

    /// Asks for a reload.
    pub(crate) fn hang_up(&self) {
        kill_process(Pid::from_child(&self.child), Signal::HUP).unwrap();
    }

    pub(crate) fn stop(self) -> String {
        self.terminate();
        self.wait_end()
    }

    /// SIGKILL: nothing is undone.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn asked<T: DeserializeOwned>(data_dir: &Path, arguments: &[&str]) -> T {
    let mut command = Command::new(WAGGLE);
    command.arg("accel").args(arguments).args(["--output", "json", "--data-dir"]).arg(data_dir);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Runs `waggle accel` in the environment of `command`.
pub(crate) fn accel(mut command: Command, arguments: &[impl AsRef<OsStr>]) -> Output {
    command.arg(WAGGLE).arg("accel").args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// Runs `act` on a thread of its own in the network namespace of a process; sockets stay where they were made.
pub(crate) fn within_network_of<T: Send + 'static>(
    pid: u32,
    act: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let inside = thread::spawn(move || {
        let namespace = File::open(format!("/proc/{pid}/ns/net"))?;
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
        act()
    });
    inside.join().unwrap()
}
