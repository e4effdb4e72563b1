//! The guard: an XDP program on named interfaces, and the rules that it goes by.
//!
//! Rules are changed while it runs. An address that is allowed is never held up, whatever else is said of
//! it. A change can be made on probation: where nobody confirms it in time, what was before comes back, so
//! that an operator who has locked himself out is let in again.

#[cfg(target_os = "linux")]
mod interface;
#[cfg(target_os = "linux")]
mod kernel;
#[cfg(not(target_os = "linux"))]
#[path = "guard/kernel_stub.rs"]
mod kernel;
mod report;
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "there is no gateway before"))]
mod rules;
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "there is no gateway before"))]
mod undo;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};
use tracing::{info, warn};
use waggle_ebpf::guard::{Limits, UNDO_MAX};

pub use report::{GuardInterface, GuardRule, GuardStatus, XdpAttachment};
pub use rules::{GuardAction, GuardChange, GuardError};

use super::network::Network;
use super::pin::Pins;
use super::{AccelError, Mode};
use kernel::Kernel;
use rules::{Rules, Said};

/// How soon what has expired is taken out, and probation ends.
const TICK: Duration = Duration::from_millis(250);
/// How long after its end the kernel ends a probation, where the gateway has not.
const GRACE: Duration = Duration::from_secs(2);
const SECOND_NS: u64 = 1_000_000_000;

/// Settings of the guard.
#[derive(Clone, Debug)]
pub struct GuardConfig {
    /// Interfaces whose packets are looked at; none is no guard.
    pub interfaces: Vec<String>,
    /// New connections per second and source in the long run; 0 is no limit.
    pub rate_per_second: u32,
    /// New connections that a source may make at once.
    pub burst: u32,
    /// Networks that nothing is done to.
    pub allow: Vec<Network>,
    /// Networks that nothing is taken from.
    pub deny: Vec<Network>,
    /// Failed authentications of an address within a minute after which it is denied; 0 is never.
    pub failures: u32,
    /// For how many seconds.
    pub failures_deny_s: u32,
    /// Where the guard outlives its gateway.
    pub pins: Arc<Pins>,
}

impl Default for GuardConfig {
    fn default() -> Self {
        Self {
            interfaces: Vec::new(),
            rate_per_second: 50,
            burst: 200,
            allow: Vec::new(),
            deny: Vec::new(),
            failures: 0,
            failures_deny_s: 600,
            pins: Arc::default(),
        }
    }
}

/// What the program is to do, and where.
struct Wanted<'a> {
    interfaces: &'a [String],
    ports: &'a [u16],
    limits: Limits,
    /// The configuration's.
    rules: &'a Rules,
}

/// A program that has started.
struct Started {
    kernel: Kernel,
    /// The configuration's, and those of the gateway before that hold on.
    rules: Rules,
    /// What comes back, and when in nanoseconds since boot.
    probation: Option<(Rules, u64)>,
    /// What is pinned, for people.
    pinning: String,
}

/// The running guard. Dropping it takes the program off all interfaces, unless it is pinned.
#[derive(Debug)]
pub struct Guard {
    state: Arc<Mutex<State>>,
    failures_max: u32,
    failures_deny_s: u32,
    stop: Option<SyncSender<()>>,
    keeper: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct State {
    kernel: Result<Kernel, String>,
    pinning: String,
    ports: Vec<u16>,
    config: (u32, u32),
    rules: Rules,
    probation: Option<Probation>,
    failures: rules::Failures,
}

#[derive(Debug)]
struct Probation {
    /// What comes back.
    before: Rules,
    ends: Instant,
}

impl Guard {
    /// Loads the program, puts it on the interfaces, each in the fastest mode that it takes, and fills in
    /// the rules. To be called when the ports are bound.
    ///
    /// # Errors
    /// Where the configured rules contradict each other; with [`Mode::Require`], when an interface that is
    /// named has no guard.
    pub fn start(config: &GuardConfig, ports: &[u16], mode: Mode) -> Result<Self, AccelError> {
        let rules = Rules::configured(&config.allow, &config.deny).map_err(AccelError::Guard)?;
        let folder = config.pins.folder();
        let off = if config.interfaces.is_empty() {
            Some("no interface is named in accel.guard.interfaces")
        } else {
            (mode == Mode::Off).then_some("switched off")
        };
        if let Some(reason) = off {
            folder.iter().for_each(kernel::take_off);
            return Ok(Self::with(config, ports, Err(reason.to_owned()), rules));
        }
        let wanted = Wanted { interfaces: &config.interfaces, ports, limits: limits(config), rules: &rules };
        let started = match Kernel::start(&wanted, folder.as_ref()) {
            Ok(started) => started,
            Err(error) if mode == Mode::Require => return Err(AccelError::Required(error)),
            Err(error) => {
                let mut reason = super::error::chain(&error);
                if folder.as_ref().is_some_and(kernel::goes_on) {
                    reason
                        .push_str("; the pinned one of an earlier gateway goes on by the rules that it has");
                }
                warn!(reason, "no guard");
                return Ok(Self::with(config, ports, Err(reason), rules));
            }
        };
        for interface in started.kernel.interfaces() {
            let (name, how) = (&interface.name, interface.attached.name());
            info!(interface = name, attached = how, reason = interface.reason, "guard");
            if interface.attached == XdpAttachment::Off && mode == Mode::Require {
                let reason = interface.reason.clone();
                return Err(AccelError::NoGuard { interface: name.clone(), reason });
            }
        }
        Ok(Self::with(config, ports, Ok(started), rules))
    }

    fn with(
        config: &GuardConfig,
        ports: &[u16],
        started: Result<Started, String>,
        configured: Rules,
    ) -> Self {
        let not_pinned = || config.pins.off().map_or_else(|| "off".to_owned(), |why| format!("off: {why}"));
        let (kernel, rules, probation, pinning) = match started {
            Err(reason) => (Err(reason), configured, None, not_pinned()),
            Ok(Started { kernel, rules, probation, pinning }) => {
                let pinning = if pinning == "off" { not_pinned() } else { pinning };
                (Ok(kernel), rules, probation.map(Probation::again), pinning)
            }
        };
        let state = Arc::new(Mutex::new(State {
            kernel,
            pinning,
            ports: ports.to_vec(),
            config: (config.rate_per_second, config.burst),
            rules,
            probation,
            failures: rules::Failures::default(),
        }));
        let kept = Arc::clone(&state);
        let (stop, stopped) = sync_channel(1);
        let keeper = thread::Builder::new()
            .name("guard".to_owned())
            .spawn(move || keep(&kept, &stopped))
            .inspect_err(|error| warn!(%error, "rules of the guard do not expire"))
            .ok();
        let (failures_max, failures_deny_s) = (config.failures, config.failures_deny_s);
        Self { state, failures_max, failures_deny_s, stop: Some(stop), keeper }
    }

    /// Lets a successor have the interfaces. What is pinned stays as it is; all else is taken off.
    pub fn let_go(&self) {
        let mut state = self.state.lock();
        state.probation = None;
        if state.kernel.is_ok() {
            state.kernel = Err("a successor has it".to_owned());
        }
    }

    /// Loads the program and puts it nowhere: for trying what it does.
    ///
    /// # Errors
    /// Where there is no eBPF, or the configured rules contradict each other.
    pub fn detached(config: &GuardConfig, ports: &[u16]) -> Result<Self, AccelError> {
        let rules = Rules::configured(&config.allow, &config.deny).map_err(AccelError::Guard)?;
        let wanted = Wanted { interfaces: &[], ports, limits: limits(config), rules: &rules };
        let started = Kernel::start(&wanted, None).map_err(AccelError::Required)?;
        Ok(Self::with(config, ports, Ok(started), rules))
    }

    /// What the loaded program does with a packet that starts with its Ethernet header (at least 14 bytes):
    /// whether it passes, and the mean time of `repeat` runs.
    ///
    /// # Errors
    /// Where there is no guard, or the kernel does not run it so.
    pub fn try_packet(&self, packet: &[u8], repeat: u32) -> Result<(bool, Duration), GuardError> {
        match &mut self.state.lock().kernel {
            Ok(kernel) => kernel
                .try_packet(packet, repeat)
                .map_err(|error| GuardError::Kernel(super::error::chain(&error))),
            Err(reason) => Err(GuardError::NoGuard { reason: reason.clone() }),
        }
    }

    /// Changes a rule; with probation, until it ends unconfirmed.
    ///
    /// # Errors
    /// Where the change contradicts another rule, there is no room, or there is no guard; then nothing is
    /// changed.
    pub fn change(&self, change: &GuardChange) -> Result<(), GuardError> {
        let mut state = self.state.lock();
        if let Err(reason) = &state.kernel {
            return Err(GuardError::NoGuard { reason: reason.clone() });
        }
        let rules = state.rules.with(change, boot_ns(), Said::Operator)?;
        let within = change.confirm_within_s.map(|seconds| Duration::from_secs(seconds.into()));
        state.take_on_probation(rules, within)
    }

    /// Ends the probation of all changes: they stay.
    ///
    /// # Errors
    /// Where nothing is on probation.
    pub fn confirm(&self) -> Result<(), GuardError> {
        let mut state = self.state.lock();
        state.probation.take().ok_or(GuardError::NothingToConfirm)?;
        state.hold_for_ever()
    }

    /// An authentication from `address` has failed. With too many of them it is denied for a while.
    pub fn failed(&self, address: IpAddr) {
        // A proxy on this machine speaks for many.
        if self.failures_max == 0 || address.to_canonical().is_loopback() {
            return;
        }
        let mut state = self.state.lock();
        if state.kernel.is_err() || !state.failures.count(address, self.failures_max) {
            return;
        }
        let change = GuardChange {
            action: GuardAction::Deny,
            network: rules::host(address),
            for_s: Some(self.failures_deny_s),
            confirm_within_s: None,
        };
        let denied = state.rules.with(&change, boot_ns(), Said::Failures).and_then(|rules| state.take(rules));
        match denied {
            Ok(()) => {
                warn!(%address, seconds = self.failures_deny_s, "denied: its authentications keep failing")
            }
            Err(error) => info!(%address, %error, "its authentications keep failing"),
        }
    }

    /// What it does now.
    #[must_use]
    pub fn status(&self) -> GuardStatus {
        let state = self.state.lock();
        let now = boot_ns();
        let (interfaces, verdicts, unguarded) = match &state.kernel {
            Ok(kernel) => (kernel.interfaces().to_vec(), kernel.verdicts(), None),
            Err(reason) => (Vec::new(), Vec::new(), Some(reason.clone())),
        };
        GuardStatus {
            unguarded,
            pinning: state.pinning.clone(),
            interfaces,
            ports: state.ports.clone(),
            rate_per_second: state.config.0,
            burst: state.config.1,
            verdicts,
            rules: state.rules.list(now),
            probation_s: state
                .probation
                .as_ref()
                .map(|probation| probation.ends.saturating_duration_since(Instant::now()).as_secs()),
        }
    }
}

impl State {
    /// Puts `rules` in force; where the kernel does not take them, those before stay.
    fn take(&mut self, rules: Rules) -> Result<(), GuardError> {
        let Ok(kernel) = &mut self.kernel else { return Ok(()) };
        if let Err(error) = kernel.write(&self.rules, &rules) {
            // What was written is taken back; the maps have held that before.
            let _ = kernel.write(&rules, &self.rules);
            return Err(GuardError::Kernel(super::error::chain(&error)));
        }
        self.rules = rules;
        Ok(())
    }

    /// The same; where it ends unconfirmed after so long, or an earlier change does, what was before the first
    /// of them comes back. The kernel's part is told first, so that it does where this gateway does not live.
    fn take_on_probation(&mut self, rules: Rules, within: Option<Duration>) -> Result<(), GuardError> {
        let (before, ends) = match (&self.probation, within) {
            (None, None) => return self.take(rules),
            (None, Some(within)) => (self.rules.clone(), Instant::now() + within),
            (Some(probation), within) => {
                (probation.before.clone(), within.map_or(probation.ends, |within| Instant::now() + within))
            }
        };
        if undo::steps(&before, &rules).len() > UNDO_MAX as usize {
            return Err(GuardError::Unconfirmed);
        }
        let steps = undo::steps_since(&before, &self.rules, &rules);
        let left = ends.saturating_duration_since(Instant::now()) + GRACE;
        let ends_ns = boot_ns().saturating_add(u64::try_from(left.as_nanos()).unwrap_or(u64::MAX));
        let held = match &mut self.kernel {
            Ok(kernel) => kernel.hold_until(ends_ns, &steps),
            Err(_) => Ok(()),
        };
        held.map_err(|error| GuardError::Kernel(super::error::chain(&error)))
            .and_then(|()| self.take(rules))
            .inspect_err(|_| {
                if self.probation.is_none() {
                    // The refusal is told; a term that stays ends nothing that was changed.
                    let _ = self.hold_for_ever();
                }
            })?;
        self.probation = Some(Probation { before, ends });
        Ok(())
    }

    fn hold_for_ever(&mut self) -> Result<(), GuardError> {
        let Ok(kernel) = &mut self.kernel else { return Ok(()) };
        kernel.hold_for_ever().map_err(|error| GuardError::Kernel(super::error::chain(&error)))
    }
}

impl Probation {
    /// One that a gateway before began.
    fn again((before, ends_ns): (Rules, u64)) -> Self {
        let left = Duration::from_nanos(ends_ns.saturating_sub(boot_ns())).saturating_sub(GRACE);
        Self { before, ends: Instant::now() + left }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(keeper) = self.keeper.take() {
            // It has no result; a panic in it has been reported already.
            let _ = keeper.join();
        }
    }
}

/// Ends probations and takes out what has expired, until the guard is gone.
fn keep(state: &Mutex<State>, stopped: &Receiver<()>) {
    while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
        let mut state = state.lock();
        if let Some(probation) = state.probation.take_if(|probation| probation.ends <= Instant::now()) {
            match state.take(probation.before).and_then(|()| state.hold_for_ever()) {
                Ok(()) => warn!("nobody has confirmed the guard's new rules: those before are back"),
                Err(error) => warn!(%error, "the guard's rules before the change do not come back"),
            }
        }
        if let Some(rules) = state.rules.without_expired(boot_ns())
            && let Err(error) = state.take(rules)
        {
            warn!(%error, "rules that have expired stay in the kernel, which no longer goes by them");
        }
    }
}

fn limits(config: &GuardConfig) -> Limits {
    match SECOND_NS.checked_div(config.rate_per_second.into()) {
        None => Limits { interval_ns: 0, ahead_ns: 0 },
        Some(interval_ns) => {
            Limits { interval_ns, ahead_ns: interval_ns * u64::from(config.burst.saturating_sub(1)) }
        }
    }
}

/// Nanoseconds since boot, as the program reads them.
fn boot_ns() -> u64 {
    let now = Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}
