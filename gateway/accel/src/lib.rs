//! Acceleration: TCP profiles per leg, by eBPF where the kernel lets us, and what to do where not.
//!
//! Each feature of each leg stands on one rung of a ladder: a `sock_ops` program sets it on every new
//! connection before the first byte (`ebpf`), or the gateway sets it by `setsockopt` after accept
//! (`setsockopt`), or nobody does (`off`). Each rung has its reason, and [`Accel::status`] reads the
//! values of a real connection back from the kernel, so that what it shows is what is so.
//!
//! Order of use: [`Accel::start`] before any listener is made (a socket keeps the cgroup that its
//! process had when it was made, and an accepted socket has its listener's), then
//! [`Accel::set_port`] for each bound port, then [`Accel::apply_to`] for each accepted socket.

mod check;
mod detach;
mod error;
mod guard;
mod legs;
mod network;
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "nothing can be pinned there"))]
mod pin;
mod plan;
pub mod redirect;
mod report;
mod status;

#[cfg(target_os = "linux")]
mod capability;
#[cfg(target_os = "linux")]
mod cgroup;
#[cfg(target_os = "linux")]
mod ebpf;
#[cfg(target_os = "linux")]
mod ladder;
#[cfg(target_os = "linux")]
mod link;
#[cfg(target_os = "linux")]
mod log;
#[cfg(target_os = "linux")]
mod memory_lock;
#[cfg(target_os = "linux")]
mod moments;
#[cfg(target_os = "linux")]
mod mounts;
#[cfg(target_os = "linux")]
mod object_file;
#[cfg(target_os = "linux")]
mod probe;
#[cfg(target_os = "linux")]
mod reader;
#[cfg(target_os = "linux")]
mod rung;
#[cfg(target_os = "linux")]
mod self_test;
#[cfg(target_os = "linux")]
mod sockopt;
#[cfg(target_os = "linux")]
mod verifier;
// Built for tests on Linux too, so that it keeps the loader's signatures.
#[cfg(any(test, not(target_os = "linux")))]
mod stub;

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use check::{CheckConfig, CheckReport, FeatureCheck, HostFact, check};
pub use detach::{DetachReport, Detached, Left, Living, detach};
pub use error::{AccelError, Unavailable};
pub use guard::{
    Guard, GuardAction, GuardChange, GuardConfig, GuardError, GuardInterface, GuardRule, GuardStatus,
    XdpAttachment,
};
#[cfg(target_os = "linux")]
pub use ladder::{Accel, read_back};
pub use legs::{LegPath, LegsReport, MomentReport, What, by_doubling};
pub use network::{Network, NetworkError};
pub use pin::{PIN_DIR_DEFAULT, Pins};
pub use plan::{LegSettings, ProfileError, ProfileSettings};
pub use redirect::{
    AccelReport, Hazard, Redirect, RedirectConfig, RedirectMode, RedirectStatus, RedirectWay, SelfTestReport,
    own_cgroup,
};
pub use report::{StatusFormat, print_report};
#[cfg(target_os = "linux")]
pub use sockopt::{PathQuality, apply_profile, path_quality};
pub use status::{FeatureStatus, LegStatus, ReadBack, Rung, SocketValues, Status};
#[cfg(not(target_os = "linux"))]
pub use stub::{Accel, PathQuality, apply_profile, path_quality, read_back};
pub use waggle_ebpf::guard::{SOURCES_MAX as GUARD_SOURCES_MAX, Verdict as GuardVerdict};
pub use waggle_ebpf::{Leg, Profile};

/// How much acceleration is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The best rung that this machine allows; never a reason not to serve.
    #[default]
    Auto,
    /// Nothing is touched: neither eBPF nor `setsockopt`.
    Off,
    /// eBPF, or the gateway does not start.
    Require,
}

/// Settings of the accelerator.
#[derive(Clone, Debug, Default)]
pub struct AccelConfig {
    /// How much is wanted.
    pub mode: Mode,
    /// Local TCP ports of the `agent` leg that are known before they are bound; 0 is ignored.
    pub push_ports: Vec<u16>,
    /// TCP ports of the `mesh` leg, the same on every node; 0 is ignored.
    pub mesh_ports: Vec<u16>,
    /// A cgroup v2 folder to attach to. It is kept at the end, and the process is moved into it unless
    /// it lives in it already. Default: a child of the process's own cgroup, removed at the end unless the
    /// program is pinned.
    pub cgroup: Option<PathBuf>,
    /// What the legs' profiles have other than by default, and the networks of each.
    pub legs: LegSettings,
    /// An eBPF object file in place of the embedded one.
    pub object: Option<PathBuf>,
    /// Where program and maps outlive the gateway.
    pub pins: Arc<Pins>,
}

/// Says that a test checked nothing here, and adds a line to the file that `WAGGLE_SKIP_LOG` names.
#[cfg(test)]
fn skip(test: &str, reason: &str) {
    use std::io::Write as _;
    println!("SKIPPED: {test}: {reason}");
    if let Some(log) = std::env::var_os("WAGGLE_SKIP_LOG") {
        let log = std::fs::OpenOptions::new().append(true).create(true).open(log);
        writeln!(log.expect("WAGGLE_SKIP_LOG"), "{test}: {reason}").expect("WAGGLE_SKIP_LOG");
    }
}
