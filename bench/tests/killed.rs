//! A bench that is killed leaves no gateway behind.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        std::thread::yield_now();
    }
}

/// It may wait for its new parent to take note of its end.
fn is_gone(pid: &str) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(pid).join("stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('Z'))
}

#[cfg(target_os = "linux")]
#[test]
fn sigkill_leaves_no_gateway() {
    let dir = tempfile::tempdir().unwrap();
    let (gateway, pid) = (dir.path().join("gateway"), dir.path().join("pid"));
    // It never becomes ready, so that the bench waits for it.
    fs::write(&gateway, format!("#!/bin/sh\necho $$ > {}\nexec sleep 600\n", pid.display())).unwrap();
    fs::set_permissions(&gateway, fs::Permissions::from_mode(0o700)).unwrap();
    let mut bench = Command::new(env!("CARGO_BIN_EXE_waggle-bench"))
        .args(["run", "push-one", "--data-dir"])
        .arg(dir.path())
        .arg("--gateway")
        .arg(&gateway)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let found = || fs::read_to_string(&pid).ok().filter(|text| text.ends_with('\n'));
    wait_until("the bench starts no gateway", || found().is_some());
    let pid = found().unwrap().trim().to_owned();
    assert!(!is_gone(&pid));
    // Its shell is there, too: it waits for what it was made for.
    let will = format!("kill -TERM {pid}; ");
    wait_until("nobody would end the gateway", || {
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let mut lines = processes.filter_map(|one| fs::read_to_string(one.path().join("cmdline")).ok());
        lines.any(|line| line.contains(&will))
    });
    bench.kill().unwrap();
    bench.wait().unwrap();
    wait_until("the gateway goes on", || is_gone(&pid));
}
