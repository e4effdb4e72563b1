//! What the accelerator does now, as data: the answer of the control socket.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Mode;
use super::network::Network;

/// How a feature is brought about; the lowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rung {
    /// By nobody.
    Off,
    /// By the gateway, on every socket that it accepts for the leg.
    Setsockopt,
    /// By the `sock_ops` program, on every connection of the leg's ports.
    Ebpf,
}

impl Rung {
    /// The rung's word, as in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ebpf => "ebpf",
            Self::Setsockopt => "setsockopt",
            Self::Off => "off",
        }
    }
}

/// What `getsockopt` said about a real connection that took the leg's way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ReadBack {
    /// The value, in the feature's unit, or 1 and 0 for a switch.
    Value {
        /// As the kernel gave it.
        value: u32,
    },
    /// It could not be read.
    Unreadable {
        /// Why.
        unreadable: String,
    },
}

/// What the kernel holds for one TCP socket, by each feature's word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SocketValues(pub BTreeMap<String, ReadBack>);

impl SocketValues {
    /// The value of a feature, by its word; a feature that is not known cannot be read.
    #[must_use]
    pub fn of(&self, feature: &str) -> ReadBack {
        let unknown = || ReadBack::Unreadable { unreadable: format!("there is no {feature}") };
        self.0.get(feature).cloned().unwrap_or_else(unknown)
    }
}

/// One feature of one leg.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeatureStatus {
    /// Its word, with the unit: `rto_min_us`.
    pub feature: String,
    /// What the leg's profile asks for, in the word's unit, or 1 for a switch.
    pub wanted: u32,
    /// How it is brought about.
    pub rung: Rung,
    /// Why on this rung.
    pub reason: String,
    /// The value on a connection made for this report.
    pub read_back: ReadBack,
    /// Connections on which the kernel took the value as asked.
    pub applied: u64,
    /// Connections on which it took a larger value: the wish was below its floor of two jiffies.
    pub raised: u64,
    /// Connections on which it took none.
    pub refused: u64,
}

/// One leg.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegStatus {
    /// `agent`, `mesh` or `local`.
    pub leg: String,
    /// The leg's ports; on the eBPF rung these are read from the kernel's map.
    pub ports: Vec<u16>,
    /// Networks whose clients are of this leg, whatever the port of the leg they came by.
    pub networks: Vec<Network>,
    /// Connections counted by the program and by `apply_to` since the start.
    pub connections: u64,
    /// Each feature that the leg's profile sets.
    pub features: Vec<FeatureStatus>,
}

/// The whole accelerator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// What was asked for.
    pub mode: Mode,
    /// The kernel's release.
    pub kernel: String,
    /// Where the loaded object came from; `None` when none is loaded.
    pub object: Option<String>,
    /// The cgroup that the program is attached to; `None` when it is not.
    pub cgroup: Option<PathBuf>,
    /// What outlives the gateway, and what was taken over from the one before; or why nothing.
    pub pinning: String,
    /// Each leg.
    pub legs: Vec<LegStatus>,
}

impl Status {
    /// The lowest rung that any feature stands on, for the one log line and the metric.
    #[must_use]
    pub fn lowest_rung(&self) -> Rung {
        let features = self.legs.iter().flat_map(|leg| leg.features.iter());
        features.map(|feature| feature.rung).min().unwrap_or(Rung::Off)
    }
}
