//! The real gateway in environments that take something away from it: in all of them it serves, says what
//! is accelerated and why the rest is not, and leaves nothing behind; and what is pinned outlives it.
//!
//! Needs root, and `unshare`, `nsenter`, `setpriv` (util-linux) and `ip` (iproute2); elsewhere a test says
//! `SKIPPED`, and adds a line to the file that `WAGGLE_SKIP_LOG` names.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod cgroup;
mod control;
mod environments;
mod faults;
mod gateway;
mod laboratory;
mod pins;
mod successors;

use std::io::Write as _;
use std::process::{Command, Stdio};

use rustix::thread::{CapabilitySet, capabilities};

/// True where a test cannot run here, which is said and counted.
pub(crate) fn skipped(test: &str) -> bool {
    let Some(reason) = lacking() else { return false };
    skip(test, &reason);
    true
}

/// Says that a test cannot run here, and counts it.
pub(crate) fn skip(test: &str, reason: &str) {
    println!("SKIPPED: {test}: {reason}");
    if let Some(log) = std::env::var_os("WAGGLE_SKIP_LOG") {
        let mut log = std::fs::OpenOptions::new().append(true).create(true).open(log).unwrap();
        writeln!(log, "{test}: {reason}").unwrap();
    }
}

fn lacking() -> Option<String> {
    let needed = CapabilitySet::SYS_ADMIN | CapabilitySet::NET_ADMIN | CapabilitySet::BPF;
    if !capabilities(None).is_ok_and(|sets| sets.effective.contains(needed)) {
        return Some("needs root: namespaces, and eBPF".to_owned());
    }
    for (tool, package) in
        [("unshare", "util-linux"), ("nsenter", "util-linux"), ("setpriv", "util-linux"), ("ip", "iproute2")]
    {
        let there = Command::new(tool).arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if there.is_err() {
            return Some(format!("the eBPF ladder needs `{tool}` ({package})"));
        }
    }
    if cgroup::mount().is_none() {
        return Some("the eBPF ladder needs cgroup v2 mounted".to_owned());
    }
    let object = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/ebpf/waggle-sockops");
    let is_built = std::env::var_os("WAGGLE_EBPF_OBJECTS").is_some() || std::path::Path::new(object).exists();
    (!is_built).then(|| "built without the eBPF object".to_owned())
}
