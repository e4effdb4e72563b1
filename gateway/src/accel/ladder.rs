//! The accelerator: each feature of each leg on its rung.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use tracing::{debug, info, warn};
use waggle_ebpf::{Account, Counter, Feature, Leg, Profile, map_keys};

use super::ebpf::Attached;
use super::error::chain;
use super::rung::{Choice, choose};
use super::self_test;
use super::sockopt::{self, Outcome};
use super::status::{FeatureStatus, LegStatus, ReadBack, Rung, SocketValues, Status};
use super::{AccelConfig, AccelError, Mode};

/// The running accelerator; shared by all shards. Dropping it detaches the program, moves the process
/// back to the cgroup that it came from and removes the one that was made for it.
#[derive(Debug)]
pub struct Accel {
    mode: Mode,
    legs: [LegState; Leg::ALL.len()],
    ebpf: Option<Mutex<Attached>>,
}

#[derive(Debug)]
struct LegState {
    leg: Leg,
    profile: Profile,
    features: Vec<FeatureState>,
    ports: Mutex<Vec<u16>>,
    connections: AtomicU64,
}

#[derive(Debug)]
struct FeatureState {
    feature: Feature,
    wanted: u32,
    /// Read for each accepted socket; the same as `choice` being on that rung.
    by_setsockopt: AtomicBool,
    choice: Mutex<Choice>,
    applied: AtomicU64,
    raised: AtomicU64,
    refused: AtomicU64,
}

impl Accel {
    /// Finds the highest rung for each feature, by trying it on a connection of its own.
    ///
    /// To be called before any listener is made, and once per process: the process may be moved into a
    /// cgroup of its own.
    ///
    /// # Errors
    /// With [`Mode::Require`] only: when a feature cannot be set by eBPF.
    pub fn start(config: AccelConfig) -> Result<Self, AccelError> {
        let started = match config.mode {
            Mode::Off => None,
            Mode::Auto | Mode::Require => Some(Attached::start(&config)),
        };
        let (mut ebpf, why_not) = match started {
            None => (None, String::new()),
            Some(Ok(attached)) => (Some(attached), String::new()),
            Some(Err(error)) if config.mode == Mode::Require => {
                return Err(AccelError::Required(error));
            }
            Some(Err(error)) => (None, chain(&error)),
        };
        let legs = Leg::ALL.map(|leg| {
            let tried = match &mut ebpf {
                Some(attached) => self_test::run(attached, leg),
                None => Feature::ALL.map(|_| Err(why_not.clone())),
            };
            LegState::new(leg, config.mode, tried)
        });
        let accel = Self { mode: config.mode, legs, ebpf: ebpf.map(Mutex::new) };
        accel.check_required()?;
        for (leg, ports) in [(Leg::Agent, &config.push_ports), (Leg::Mesh, &config.mesh_ports)] {
            for port in ports.iter().filter(|port| **port != 0) {
                accel.set_port(leg, *port)?;
            }
        }
        info!(mode = ?accel.mode, rungs = %accel.summary(), "acceleration");
        Ok(accel)
    }

    /// Gives the connections of a TCP port the profile of `leg`, from now on: those accepted on it and,
    /// on the mesh leg, those opened to it. To be called between bind and listen, or before.
    ///
    /// # Errors
    /// With [`Mode::Require`] only: when the kernel's map does not take the port. Otherwise the leg falls
    /// to the next rung.
    pub fn set_port(&self, leg: Leg, port: u16) -> Result<(), AccelError> {
        let state = self.leg(leg);
        let mut ports = state.ports.lock();
        if ports.contains(&port) {
            return Ok(());
        }
        ports.push(port);
        let Some(ebpf) = &self.ebpf else {
            return Ok(());
        };
        let (accepted, opened) = map_keys(leg, port);
        let mut attached = ebpf.lock();
        let mut put = |key| attached.put(key, state.profile);
        let Err(error) = put(accepted).and_then(|()| opened.map_or(Ok(()), put)) else {
            return Ok(());
        };
        if self.mode == Mode::Require {
            let source = error.into();
            return Err(AccelError::Port { port, source });
        }
        let reason = format!("port {port} is not in the profile map: {}", chain(&error));
        warn!(leg = leg.name(), reason, "acceleration falls a rung");
        state.fall(self.mode, &reason);
        Ok(())
    }

    /// Sets what eBPF does not set on a connected TCP socket of `leg`: one that was accepted, or one that
    /// was opened to a mesh peer. Costs one load per feature where eBPF does it all.
    ///
    /// A refusal is counted, and is not an error: the connection serves without.
    pub fn apply_to(&self, socket: &impl AsFd, leg: Leg) {
        let state = self.leg(leg);
        let mut applied = false;
        for feature in state.by_setsockopt() {
            applied = true;
            let outcome = sockopt::apply(socket.as_fd(), feature.feature, feature.wanted);
            feature.count(&outcome);
            if let Outcome::Refused(error) = outcome {
                debug!(leg = leg.name(), feature = feature.feature.name(), %error, "refused");
            }
        }
        if applied {
            state.connections.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The rungs, their reasons and counts, and the values of a connection made now for each leg.
    ///
    /// Blocks for as long as a loopback connection takes, at most a second per leg where loopback does
    /// not answer.
    #[must_use]
    pub fn status(&self) -> Status {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let attached = self.ebpf.as_ref().map(Mutex::lock);
        let object = attached.as_ref().map(|attached| attached.object().to_owned());
        let cgroup = attached.as_ref().map(|attached| attached.cgroup().to_owned());
        drop(attached);
        Status {
            mode: self.mode,
            kernel: release.trim().to_owned(),
            object,
            cgroup,
            legs: self.legs.iter().map(|leg| self.leg_status(leg)).collect(),
        }
    }

    fn leg(&self, leg: Leg) -> &LegState {
        // In bounds: `legs` has an entry for each of `Leg::ALL`, and a leg's number is its place there.
        &self.legs[leg as usize]
    }

    fn check_required(&self) -> Result<(), AccelError> {
        if self.mode != Mode::Require {
            return Ok(());
        }
        let all = self.legs.iter().flat_map(|leg| leg.features.iter().map(move |f| (leg, f)));
        for (leg, feature) in all {
            let choice = feature.choice.lock();
            if choice.rung != Rung::Ebpf {
                return Err(AccelError::NotTaken {
                    leg: leg.leg.name(),
                    feature: feature.feature.name(),
                    reason: choice.reason.clone(),
                });
            }
        }
        Ok(())
    }

    fn summary(&self) -> String {
        let legs = self.legs.iter().map(|leg| {
            let features = leg.features.iter().map(|feature| {
                let choice = feature.choice.lock();
                format!("{} {} ({})", feature.feature.name(), choice.rung.name(), choice.reason)
            });
            format!("{}: {}", leg.leg.name(), features.collect::<Vec<_>>().join(", "))
        });
        legs.collect::<Vec<_>>().join("; ")
    }

    fn leg_status(&self, state: &LegState) -> LegStatus {
        // Before the program's lock, in the order of `set_port`.
        let ports = state.ports.lock().clone();
        let mut attached = self.ebpf.as_ref().map(Mutex::lock);
        let pair =
            self_test::connection(attached.as_deref_mut(), state.profile).map_err(|error| error.to_string());
        if let Ok(pair) = &pair {
            for feature in state.by_setsockopt() {
                // Not counted, for it is not a connection of the leg; the value read back tells.
                let _ = sockopt::apply(pair.accepted.as_fd(), feature.feature, feature.wanted);
            }
        }
        let account = Account::Leg(state.leg);
        let counted =
            |counter| attached.as_ref().and_then(|attached| attached.counter(counter).ok()).unwrap_or(0);
        let own = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let features = state.features.iter().map(|feature| {
            let choice = feature.choice.lock().clone();
            let name = feature.feature;
            FeatureStatus {
                feature: name.name().to_owned(),
                wanted: feature.wanted,
                rung: choice.rung,
                reason: choice.reason,
                read_back: match &pair {
                    Ok(pair) => read_feature(pair.accepted.as_fd(), name),
                    Err(error) => unreadable(format!("no loopback connection: {error}")),
                },
                applied: own(&feature.applied) + counted(Counter::Applied(account, name)),
                raised: own(&feature.raised) + counted(Counter::Raised(account, name)),
                refused: own(&feature.refused) + counted(Counter::Refused(account, name)),
            }
        });
        let features = features.collect();
        LegStatus {
            leg: state.leg.name().to_owned(),
            ports: match &attached {
                Some(attached) => held_ports(attached, state, &ports),
                None => ports,
            },
            connections: match &attached {
                Some(_) => counted(Counter::Connections(account)),
                None => own(&state.connections),
            },
            features,
        }
    }
}

impl LegState {
    fn new(leg: Leg, mode: Mode, tried: [Result<String, String>; Feature::ALL.len()]) -> Self {
        let profile = leg.profile();
        let features = Feature::ALL.into_iter().zip(tried).filter_map(|(feature, ebpf)| {
            let wanted = feature.wanted(&profile)?;
            let choice = choose(mode, ebpf, by_setsockopt(feature, wanted));
            Some(FeatureState {
                feature,
                wanted,
                by_setsockopt: AtomicBool::new(choice.rung == Rung::Setsockopt),
                choice: Mutex::new(choice),
                applied: AtomicU64::new(0),
                raised: AtomicU64::new(0),
                refused: AtomicU64::new(0),
            })
        });
        Self {
            leg,
            profile,
            features: features.collect(),
            ports: Mutex::new(Vec::new()),
            connections: AtomicU64::new(0),
        }
    }

    fn by_setsockopt(&self) -> impl Iterator<Item = &FeatureState> {
        self.features.iter().filter(|feature| feature.by_setsockopt.load(Ordering::Relaxed))
    }

    /// Takes the leg off the eBPF rung.
    fn fall(&self, mode: Mode, reason: &str) {
        for state in &self.features {
            let setsockopt = by_setsockopt(state.feature, state.wanted);
            let choice = choose(mode, Err(reason.to_owned()), setsockopt);
            let by_setsockopt = choice.rung == Rung::Setsockopt;
            *state.choice.lock() = choice;
            state.by_setsockopt.store(by_setsockopt, Ordering::Relaxed);
        }
    }
}

impl FeatureState {
    fn count(&self, outcome: &Outcome) {
        let counter = match outcome {
            Outcome::Applied => &self.applied,
            Outcome::Raised => &self.raised,
            Outcome::Refused(_) => &self.refused,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

fn by_setsockopt(feature: Feature, wanted: u32) -> Result<(), String> {
    sockopt::supported(feature, wanted).map_err(|error| explained(feature, &error))
}

/// What the kernel holds for a TCP socket, each setting by itself.
#[must_use]
pub fn read_back(socket: &impl AsFd) -> SocketValues {
    let value = |feature| read_feature(socket.as_fd(), feature);
    SocketValues {
        nodelay: value(Feature::Nodelay),
        rto_min_us: value(Feature::RtoMin),
        delack_max_us: value(Feature::DelackMax),
    }
}

fn read_feature(socket: BorrowedFd<'_>, feature: Feature) -> ReadBack {
    match sockopt::get(socket, feature) {
        Ok(value) => ReadBack::Value { value },
        Err(error) => unreadable(explained(feature, &error)),
    }
}

fn unreadable(unreadable: String) -> ReadBack {
    ReadBack::Unreadable { unreadable }
}

fn explained(feature: Feature, error: &io::Error) -> String {
    if error.raw_os_error() == Some(libc::ENOPROTOOPT) && feature != Feature::Nodelay {
        "this kernel has no such socket option (Linux 6.15 has)".to_owned()
    } else {
        error.to_string()
    }
}

/// The ports whose entries in the kernel's map are what this leg put there.
fn held_ports(attached: &Attached, state: &LegState, ports: &[u16]) -> Vec<u16> {
    let held = |port: &u16| {
        let (accepted, opened) = map_keys(state.leg, *port);
        let holds = |key| attached.holds(key, state.profile);
        holds(accepted) && opened.is_none_or(holds)
    };
    ports.iter().copied().filter(held).collect()
}
