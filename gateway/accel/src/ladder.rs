//! The accelerator: each feature of each leg on its rung.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use rustix::net::getpeername;
use tracing::{debug, info, warn};
use waggle_ebpf::{Account, Counter, Event, Feature, Leg, Profile, Side, sides};

use super::ebpf::Attached;
use super::error::chain;
use super::legs::{LegPath, LegsReport};
use super::link;
use super::network::Network;
use super::plan::{LegSettings, ProfileError, Rule, Table};
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
    /// Locked before `ebpf`, where both are.
    plan: RwLock<Plan>,
    ebpf: Option<Mutex<Attached>>,
}

/// What is asked for now.
#[derive(Clone, Debug)]
struct Plan {
    /// As configured.
    base: Table,
    now: Table,
    ports: Vec<(Leg, u16)>,
}

#[derive(Debug)]
struct LegState {
    leg: Leg,
    features: [FeatureState; Feature::ALL.len()],
    connections: AtomicU64,
}

#[derive(Debug)]
struct FeatureState {
    feature: Feature,
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
    /// With [`Mode::Require`], when a feature that this kernel has cannot be set by eBPF; and when the
    /// configured profiles make no sense.
    pub fn start(config: AccelConfig) -> Result<Self, AccelError> {
        let base = Table::default().with(&config.legs).map_err(AccelError::Profiles)?;
        let started = match config.mode {
            Mode::Off => {
                // What an earlier gateway has left would go on with what nobody asks for any more.
                config.pins.folder().iter().for_each(|folder| folder.clear(link::PINS));
                None
            }
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
                Some(attached) => self_test::run(attached, &base.profiles[leg as usize]),
                None => Feature::ALL.map(|_| Err(why_not.clone())),
            };
            LegState::new(leg, config.mode, tried)
        });
        if let Some(attached) = &mut ebpf {
            write_profiles(attached, &base, &legs).map_err(|error| AccelError::Profiles(refusal(&error)))?;
        }
        let plan = Plan { now: base.clone(), base, ports: Vec::new() };
        let accel = Self { mode: config.mode, legs, plan: RwLock::new(plan), ebpf: ebpf.map(Mutex::new) };
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
    /// on the mesh leg, those opened to it. On a port of another leg, the networks that are named for
    /// legs go before. To be called between bind and listen, or before.
    ///
    /// # Errors
    /// With [`Mode::Require`] only: when the kernel's map does not take the port. Otherwise the leg falls
    /// to the next rung.
    pub fn set_port(&self, leg: Leg, port: u16) -> Result<(), AccelError> {
        let mut plan = self.plan.write();
        if plan.ports.contains(&(leg, port)) {
            return Ok(());
        }
        plan.ports.push((leg, port));
        let Some(ebpf) = &self.ebpf else {
            return Ok(());
        };
        let mut attached = ebpf.lock();
        let rules = plan.now.rules(&[(leg, port)]);
        let put = |(rule, leg): (Rule, Leg)| attached.put_rule(rule, Account::Leg(leg));
        let Err(error) = rules.into_iter().try_for_each(put) else {
            return Ok(());
        };
        if self.mode == Mode::Require {
            let source = error.into();
            return Err(AccelError::Port { port, source });
        }
        let reason = format!("port {port} is not in the kernel's rules: {}", chain(&error));
        warn!(leg = leg.name(), reason, "acceleration falls a rung");
        self.legs.iter().for_each(|state| state.fall(self.mode, &reason));
        Ok(())
    }

    /// Sets what eBPF does not set on a connected TCP socket: one that was accepted on a port of the leg
    /// `of_port`, or one that was opened to a mesh peer. Costs one load per feature and leg where eBPF
    /// does it all.
    ///
    /// A refusal is counted, and is not an error: the connection serves without.
    pub fn apply_to(&self, socket: &impl AsFd, of_port: Leg) {
        if !self.legs.iter().any(|state| state.by_setsockopt().next().is_some()) {
            return;
        }
        let Some(peer) = getpeername(socket).ok().flatten().and_then(|peer| peer.try_into().ok()) else {
            return;
        };
        let peer: std::net::SocketAddr = peer;
        let plan = self.plan.read();
        let leg = plan.now.leg_of(of_port, peer.ip());
        let profile = plan.now.profiles[leg as usize];
        drop(plan);
        let state = self.leg(leg);
        for feature in state.by_setsockopt() {
            let Some(wanted) = profile.wanted(feature.feature) else { continue };
            let outcome = sockopt::apply(socket.as_fd(), feature.feature, wanted);
            feature.count(&outcome);
            if let Outcome::Refused(error) = outcome {
                debug!(leg = leg.name(), feature = feature.feature.name(), %error, "refused");
            }
        }
        state.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// Changes profiles and networks for connections to come; those that there are keep what they have.
    ///
    /// # Errors
    /// Where a setting is not known, out of range, or at odds with another; then nothing is changed.
    pub fn set_profiles(&self, settings: &LegSettings) -> Result<(), ProfileError> {
        let mut plan = self.plan.write();
        let table = plan.now.with(settings)?;
        self.take(&mut plan, table)
    }

    /// Goes back to the configured profile and networks of `leg`, or of all legs.
    ///
    /// # Errors
    /// Where the kernel's maps do not take it, or another leg was given what was this one's.
    pub fn reset_profiles(&self, leg: Option<Leg>) -> Result<(), ProfileError> {
        let mut plan = self.plan.write();
        let table = plan.now.reset(leg, &plan.base).with(&LegSettings::default())?;
        self.take(&mut plan, table)
    }

    /// Takes other configured profiles and networks than those of the start, for connections to come. A leg
    /// whose configuration is as it was keeps what it has been changed to since. Gives the legs that change.
    ///
    /// # Errors
    /// As [`Accel::set_profiles`]; then nothing is changed.
    pub fn reconfigure(&self, settings: &LegSettings) -> Result<Vec<Leg>, ProfileError> {
        let base = Table::default().with(settings)?;
        let mut plan = self.plan.write();
        let changed: Vec<_> = Leg::ALL.into_iter().filter(|leg| !plan.base.has_same(*leg, &base)).collect();
        let legs = changed.iter().fold(plan.now.clone(), |table, leg| table.reset(Some(*leg), &base));
        self.take(&mut plan, legs.with(&LegSettings::default())?)?;
        plan.base = base;
        Ok(changed)
    }

    fn take(&self, plan: &mut Plan, table: Table) -> Result<(), ProfileError> {
        if let Some(ebpf) = &self.ebpf {
            let mut attached = ebpf.lock();
            if let Err(error) = write_table(&mut attached, plan, &table, &self.legs) {
                // The same way back; what is in the maps already can be overwritten.
                let before = Plan { now: table, ..plan.clone() };
                let _ = write_table(&mut attached, &before, &plan.now, &self.legs);
                return Err(refusal(&error));
            }
        }
        plan.now = table;
        Ok(())
    }

    /// The lowest rung that a feature stands on that a profile asks for. What the kernel has in no way is left
    /// out: that it is off is not for want of anything that somebody could give.
    #[must_use]
    pub fn lowest_rung(&self) -> Rung {
        let plan = self.plan.read();
        let wanted = self.legs.iter().flat_map(|state| {
            let profile = plan.now.profiles[state.leg as usize];
            state.features.iter().filter(move |feature| profile.wanted(feature.feature).is_some())
        });
        lowest(wanted.map(|feature| (feature.feature, feature.choice.lock().rung)), sockopt::is_unknown)
    }

    /// What the program measured on the legs.
    #[must_use]
    pub fn legs(&self) -> LegsReport {
        let Some(ebpf) = &self.ebpf else {
            let choice = self.legs[0].features[0].choice.lock();
            let unmeasured = Some(format!("the sock_ops program is not attached: {}", choice.reason));
            return LegsReport { unmeasured, legs: Vec::new(), moments: Vec::new() };
        };
        let attached = ebpf.lock();
        let path = |leg: Leg| {
            let account = Account::Leg(leg);
            let counted = |counter| attached.counter(counter).unwrap_or(0);
            LegPath {
                leg: leg.name().to_owned(),
                connections: counted(Counter::Connections(account)),
                retransmits: counted(Counter::Happened(account, Event::Retransmit)),
                timeouts: counted(Counter::Happened(account, Event::Timeout)),
                dead: counted(Counter::Happened(account, Event::Dead)),
                moments_lost: counted(Counter::Happened(account, Event::MomentLost)),
                round_trips: attached.round_trips(account).unwrap_or_default(),
            }
        };
        LegsReport {
            unmeasured: None,
            legs: Leg::ALL.into_iter().map(path).collect(),
            moments: attached.moments(),
        }
    }

    /// The cgroup that the process's sockets are found in.
    ///
    /// # Errors
    /// Why eBPF is not used.
    pub fn cgroup(&self) -> Result<std::path::PathBuf, String> {
        match &self.ebpf {
            Some(attached) => Ok(attached.lock().cgroup().to_owned()),
            None => Err(self.legs[0].features[0].choice.lock().reason.clone()),
        }
    }

    /// The rungs, their reasons and counts, and the values of a connection made now for each leg.
    ///
    /// Blocks for as long as a loopback connection takes, at most a second per leg where loopback does
    /// not answer.
    #[must_use]
    pub fn status(&self) -> Status {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let plan = self.plan.read().clone();
        let mut attached = self.ebpf.as_ref().map(Mutex::lock);
        let object = attached.as_ref().map(|attached| attached.object().to_owned());
        let cgroup = attached.as_ref().map(|attached| attached.cgroup().to_owned());
        let pinning = match &attached {
            Some(attached) => attached.pinning().to_owned(),
            None => "off: no eBPF".to_owned(),
        };
        let leg_status = |leg| leg_status(leg, &plan, attached.as_deref_mut());
        let legs = self.legs.iter().map(leg_status).collect();
        Status { mode: self.mode, kernel: release.trim().to_owned(), object, cgroup, pinning, legs }
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
            // What the kernel has in no way is not for want of eBPF.
            let is_unknown = choice.rung == Rung::Off && sockopt::is_unknown(feature.feature);
            if choice.rung != Rung::Ebpf && !is_unknown {
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
}

/// The lowest of these rungs, but for features that are off and that the kernel has in no way: no socket option,
/// nor one that eBPF alone may set.
fn lowest(rungs: impl Iterator<Item = (Feature, Rung)>, is_unknown: impl Fn(Feature) -> bool) -> Rung {
    let is_nowhere =
        |feature: Feature| feature.bpf_option() == feature.socket_option() && is_unknown(feature);
    let counted = rungs.filter(|(feature, rung)| *rung != Rung::Off || !is_nowhere(*feature));
    counted.map(|(_, rung)| rung).min().unwrap_or(Rung::Off)
}

fn leg_status(state: &LegState, plan: &Plan, mut attached: Option<&mut Attached>) -> LegStatus {
    let profile = plan.now.profiles[state.leg as usize];
    let by_ebpf = state.by_ebpf(profile);
    let pair = self_test::connection(attached.as_deref_mut(), by_ebpf).map_err(|error| error.to_string());
    if let Ok(pair) = &pair {
        for feature in state.by_setsockopt() {
            if let Some(wanted) = profile.wanted(feature.feature) {
                // Not counted, for it is not a connection of the leg; the value read back tells.
                let _ = sockopt::apply(pair.accepted.as_fd(), feature.feature, wanted);
            }
        }
    }
    let account = Account::Leg(state.leg);
    let counted =
        |counter| attached.as_ref().and_then(|attached| attached.counter(counter).ok()).unwrap_or(0);
    let own = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let features = state.features.iter().filter_map(|feature| {
        let wanted = profile.wanted(feature.feature)?;
        let choice = feature.choice.lock().clone();
        let name = feature.feature;
        Some(FeatureStatus {
            feature: name.name().to_owned(),
            wanted,
            rung: choice.rung,
            reason: choice.reason,
            read_back: match &pair {
                Ok(pair) => read_feature(pair.accepted.as_fd(), name),
                Err(error) => unreadable(format!("no loopback connection: {error}")),
            },
            applied: own(&feature.applied) + counted(Counter::Applied(account, name)),
            raised: own(&feature.raised) + counted(Counter::Raised(account, name)),
            refused: own(&feature.refused) + counted(Counter::Refused(account, name)),
        })
    });
    LegStatus {
        leg: state.leg.name().to_owned(),
        features: features.collect(),
        ports: ports_of(state.leg, plan, attached.as_deref()),
        networks: plan.now.networks_of(state.leg),
        connections: match &attached {
            Some(_) => counted(Counter::Connections(account)),
            None => own(&state.connections),
        },
    }
}

/// The leg's ports; with eBPF, those whose rules are in the kernel's trie.
fn ports_of(leg: Leg, plan: &Plan, attached: Option<&Attached>) -> Vec<u16> {
    let held = |port: u16| {
        let rule = |side: &Side| Rule::new(*side, port, Network::ALL);
        attached
            .is_none_or(|kernel| sides(leg).iter().all(|side| kernel.holds(rule(side), Account::Leg(leg))))
    };
    let own = plan.ports.iter().filter(|(of, port)| *of == leg && held(*port));
    own.map(|(_, port)| *port).collect()
}

fn write_profiles(
    attached: &mut Attached,
    table: &Table,
    legs: &[LegState],
) -> Result<(), aya::maps::MapError> {
    legs.iter().try_for_each(|state| {
        let profile = state.by_ebpf(table.profiles[state.leg as usize]);
        attached.put_profile(Account::Leg(state.leg), profile)
    })
}

/// Makes the kernel's maps hold `table` where they hold the plan's.
fn write_table(
    attached: &mut Attached,
    plan: &Plan,
    table: &Table,
    legs: &[LegState],
) -> Result<(), aya::maps::MapError> {
    write_profiles(attached, table, legs)?;
    let (before, after) = (plan.now.rules(&plan.ports), table.rules(&plan.ports));
    for (rule, leg) in &after {
        if before.get(rule) != Some(leg) {
            attached.put_rule(*rule, Account::Leg(*leg))?;
        }
    }
    for rule in before.keys().filter(|rule| !after.contains_key(rule)) {
        attached.remove_rule(*rule)?;
    }
    Ok(())
}

fn refusal(error: &aya::maps::MapError) -> ProfileError {
    ProfileError::Kernel(chain(error))
}

impl LegState {
    fn new(leg: Leg, mode: Mode, tried: [Result<String, String>; Feature::ALL.len()]) -> Self {
        let mut tried = tried.into_iter();
        let features = Feature::ALL.map(|feature| {
            let ebpf = tried.next().unwrap_or_else(|| Err("not tried".to_owned()));
            let choice = choose(mode, ebpf, by_setsockopt(feature));
            FeatureState {
                feature,
                by_setsockopt: AtomicBool::new(choice.rung == Rung::Setsockopt),
                choice: Mutex::new(choice),
                applied: AtomicU64::new(0),
                raised: AtomicU64::new(0),
                refused: AtomicU64::new(0),
            }
        });
        Self { leg, features, connections: AtomicU64::new(0) }
    }

    /// What of a profile is the program's: what the kernel refuses it would be refused, and said so in the
    /// log, for every connection.
    fn by_ebpf(&self, profile: Profile) -> Profile {
        let others = self.features.iter().filter(|feature| feature.choice.lock().rung != Rung::Ebpf);
        others.fold(profile, |profile, other| profile.with(other.feature, 0))
    }

    fn by_setsockopt(&self) -> impl Iterator<Item = &FeatureState> {
        self.features.iter().filter(|feature| feature.by_setsockopt.load(Ordering::Relaxed))
    }

    /// Takes the leg off the eBPF rung.
    fn fall(&self, mode: Mode, reason: &str) {
        for state in &self.features {
            let choice = choose(mode, Err(reason.to_owned()), by_setsockopt(state.feature));
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

/// Whether the second rung does it, or why not.
pub(super) fn by_setsockopt(feature: Feature) -> Result<(), String> {
    sockopt::supported(feature, feature.sample()).map_err(|error| explained(feature, &error))
}

/// What the kernel holds for a TCP socket, each setting by itself.
#[must_use]
pub fn read_back(socket: &impl AsFd) -> SocketValues {
    let value = |feature: Feature| (feature.name().to_owned(), read_feature(socket.as_fd(), feature));
    SocketValues(Feature::ALL.into_iter().map(value).collect())
}

pub(super) fn read_feature(socket: BorrowedFd<'_>, feature: Feature) -> ReadBack {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_configuration_leaves_live_changes_of_other_legs() {
        let settings = |json| serde_json::from_value::<LegSettings>(json).expect("settings");
        let accel = Accel::start(AccelConfig { mode: Mode::Off, ..AccelConfig::default() }).expect("off");
        let now = || accel.plan.read().now.clone();
        let live = settings(serde_json::json!({"mesh": {"user_timeout_ms": 20_000}}));
        accel.set_profiles(&live).expect("taken");
        let agent = serde_json::json!({"agent": {"rto_min_us": 40_000, "networks": ["10.0.0.0/8"]}});
        assert_eq!(accel.reconfigure(&settings(agent.clone())), Ok(vec![Leg::Agent]));
        let both = Table::default().with(&settings(agent.clone())).expect("settings");
        assert_eq!(now(), both.with(&live).expect("settings"));
        assert_eq!(accel.reconfigure(&settings(agent.clone())), Ok(Vec::new()));
        let error = accel.reconfigure(&settings(serde_json::json!({"agent": {"rto_min_us": 1}})));
        assert!(error.is_err() && now() == both.with(&live).expect("settings"));
        // What is reset goes back to the newer configuration; networks move from leg to leg.
        accel.reset_profiles(None).expect("as configured");
        assert_eq!(now(), both);
        let moved = settings(serde_json::json!({"mesh": {"networks": ["10.0.0.0/8"]}}));
        assert_eq!(accel.reconfigure(&moved), Ok(vec![Leg::Agent, Leg::Mesh]));
        assert_eq!(now(), Table::default().with(&moved).expect("settings"));
    }

    #[test]
    fn what_the_kernel_has_in_no_way_does_not_lower_the_rung() {
        // As on Linux before 6.15.
        let is_unknown = |feature| matches!(feature, Feature::RtoMin | Feature::DelackMax | Feature::RtoMax);
        let of = |rungs: &[(Feature, Rung)]| lowest(rungs.iter().copied(), is_unknown);
        let (ebpf, off) = (Rung::Ebpf, Rung::Off);
        assert_eq!(of(&[(Feature::Nodelay, ebpf), (Feature::RtoMin, ebpf), (Feature::RtoMax, off)]), ebpf);
        assert_eq!(of(&[(Feature::Nodelay, Rung::Setsockopt), (Feature::RtoMax, off)]), Rung::Setsockopt);
        // eBPF would set it.
        assert_eq!(of(&[(Feature::Nodelay, Rung::Setsockopt), (Feature::RtoMin, off)]), off);
        assert_eq!(of(&[(Feature::Nodelay, off), (Feature::RtoMax, off)]), off);
        assert_eq!(of(&[]), off);
    }
}
