//! `waggle accel check`: what this host can do, on which rung each feature would stand, and what to change.
//!
//! Each feature is loaded, attached and tried for real, on connections and packets of its own, and taken
//! away again: nothing is left behind. No gateway needs to run.

#[cfg(target_os = "linux")]
mod advice;
#[cfg(target_os = "linux")]
mod guard;
#[cfg(target_os = "linux")]
mod host;
#[cfg(target_os = "linux")]
mod pinning;
#[cfg(target_os = "linux")]
mod redirect;
#[cfg(target_os = "linux")]
mod sock_ops;
mod table;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What is to be tried besides what every gateway has.
#[derive(Clone, Debug, Default)]
pub struct CheckConfig {
    /// As [`super::AccelConfig::cgroup`].
    pub cgroup: Option<PathBuf>,
    /// Interfaces that the guard's program is put on for a moment, with no port to guard: everything
    /// passes. Drivers may reset an interface's queues for it.
    pub interfaces: Vec<String>,
    /// Where objects would be pinned, in place of [`super::PIN_DIR_DEFAULT`].
    pub pin_dir: Option<PathBuf>,
}

/// The host and the features.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckReport {
    /// Whether every feature stands on its best rung.
    pub best: bool,
    /// What the host is like.
    pub host: Vec<HostFact>,
    /// What each feature would stand on.
    pub features: Vec<FeatureCheck>,
}

/// One thing about the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFact {
    /// What: `kernel`, `capabilities`.
    pub name: String,
    /// How it is here.
    pub found: String,
    /// What to do for more; none where this is enough.
    pub change: Option<String>,
}

/// One feature that was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeatureCheck {
    /// Its word: `profiles.rto_min_us`, `legs`, `guard`, `guard.eth0`, `redirect`, `pinning`.
    pub feature: String,
    /// The rung that it stands on: `ebpf`, `native`, `generic`, `setsockopt`, `on`, `off`, or `hazard`:
    /// only where the operator accepts what is wrong.
    pub rung: String,
    /// The rung that it could stand on at best.
    pub best: String,
    /// Why it stands there, and what the self-test saw.
    pub reason: String,
    /// What to do for a better rung; none where this is the best.
    pub change: Option<String>,
}

impl FeatureCheck {
    /// Whether it stands on its best rung.
    #[must_use]
    pub fn is_best(&self) -> bool {
        self.rung == self.best
    }
}

impl CheckReport {
    fn new(host: Vec<HostFact>, features: Vec<FeatureCheck>) -> Self {
        Self { best: features.iter().all(FeatureCheck::is_best), host, features }
    }
}

/// Tries everything. Blocks for some milliseconds; for seconds where loopback does not answer.
///
/// To be called in a process of its own: it is moved into a cgroup and back.
#[cfg(target_os = "linux")]
#[must_use]
pub fn check(config: &CheckConfig) -> CheckReport {
    let mut features = sock_ops::features(config);
    features.extend(guard::features(config));
    features.push(redirect::feature());
    features.push(pinning::feature(config));
    CheckReport::new(host::facts(), features)
}

/// There is nothing to try.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn check(_config: &CheckConfig) -> CheckReport {
    let all = FeatureCheck {
        feature: "all".to_owned(),
        rung: "off".to_owned(),
        best: "ebpf".to_owned(),
        reason: super::Unavailable::NotLinux.to_string(),
        change: Some("run the gateway on Linux".to_owned()),
    };
    CheckReport::new(Vec::new(), vec![all])
}
