//! The guard: an XDP program on named interfaces, and the rules that it goes by.
//!
//! Rules are changed while it runs. An address that is allowed is never held up, whatever else is said of
//! it. A change can be made on probation: where nobody confirms it in time, what was before comes back, so
//! that an operator who has locked himself out is let in again.

#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "nobody is denied"))]
mod failures;
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
mod state;
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "there is no gateway before"))]
mod undo;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};
use tracing::{info, warn};
use waggle_ebpf::guard::Limits;

pub use report::{GuardInterface, GuardRule, GuardStatus, XdpAttachment};
pub use rules::{GuardAction, GuardChange, GuardError};

use super::network::Network;
use super::pin::Pins;
use super::{AccelError, Mode};
use failures::Failures;
use kernel::Kernel;
use rules::Rules;
use state::{Probation, State};
use undo::Step;

/// How soon what has expired is taken out, and probation ends.
const TICK: Duration = Duration::from_millis(250);
/// Failed authentications that wait to be counted; beyond, they are not.
const FAILED_MAX: usize = 1_024;
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
    /// Failed authentications of an address within a minute after which it is denied, and of an IPv6 network of
    /// 48 bits after eight times as many; 0 is never.
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

/// How to take back what waits for a confirmation, and when in nanoseconds since boot.
type Unconfirmed = (Vec<Step>, u64);

/// A program that has started.
struct Started {
    kernel: Kernel,
    /// The configuration's, and those of the gateway before that hold on.
    rules: Rules,
    probation: Option<Unconfirmed>,
    /// What is pinned, for people.
    pinning: String,
}

/// The running guard. Dropping it takes the program off all interfaces, unless it is pinned.
#[derive(Debug)]
pub struct Guard {
    state: Arc<Mutex<State>>,
    /// To the keeper, who ends with it.
    failed: Option<SyncSender<IpAddr>>,
    failed_uncounted: AtomicU64,
    /// 0 where failures are not counted.
    failures_max: u32,
    keeper: Option<JoinHandle<()>>,
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
        let before = folder.as_ref().map(kernel::links).unwrap_or_default();
        let given_up = |error| {
            if let Some(folder) = &folder {
                kernel::take_off_new(folder, &before);
            }
            Err(error)
        };
        let started = match Kernel::start(&wanted, folder.as_ref()) {
            Ok(started) => started,
            Err(error) if mode == Mode::Require => return given_up(AccelError::Required(error)),
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
        for GuardInterface { name, attached, reason } in started.kernel.interfaces() {
            info!(interface = name, attached = attached.name(), reason, "guard");
            if attached == XdpAttachment::Off && mode == Mode::Require {
                return given_up(AccelError::NoGuard { interface: name, reason });
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
            failures: Failures::default(),
            failures_max: config.failures,
            failures_deny_s: config.failures_deny_s,
        }));
        let kept = Arc::clone(&state);
        let (failed, failing) = sync_channel(FAILED_MAX);
        let keeper = thread::Builder::new()
            .name("guard".to_owned())
            .spawn(move || keep(&kept, &failing))
            .inspect_err(|error| warn!(%error, "rules of the guard do not expire"))
            .ok();
        Self {
            state,
            failed: Some(failed),
            failed_uncounted: AtomicU64::new(0),
            failures_max: config.failures,
            keeper,
        }
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

    /// Changes a rule; with probation, until it ends unconfirmed. A change that comes while others are on
    /// probation ends with them at the latest.
    ///
    /// # Errors
    /// Where the change contradicts another rule, there is no room, there is no guard or it is on no interface,
    /// or others are on probation and it would not be; then nothing is changed.
    pub fn change(&self, change: &GuardChange) -> Result<(), GuardError> {
        self.state.lock().change(change)
    }

    /// Ends the probation of all changes: they stay.
    ///
    /// # Errors
    /// Where nothing is on probation, or the kernel does not take it; then the probation goes on.
    pub fn confirm(&self) -> Result<(), GuardError> {
        self.state.lock().confirm()
    }

    /// An authentication from `address` has failed. With too many of them it is denied for a while, soon.
    /// Never waits: where very many fail at once, some are not counted.
    pub fn failed(&self, address: IpAddr) {
        // A proxy on this machine speaks for many.
        if self.failures_max == 0 || address.to_canonical().is_loopback() {
            return;
        }
        if self.failed.as_ref().is_some_and(|failed| failed.try_send(address).is_err()) {
            self.failed_uncounted.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What it does now.
    #[must_use]
    pub fn status(&self) -> GuardStatus {
        let state = self.state.lock();
        let now = boot_ns();
        let (interfaces, verdicts, unguarded) = match &state.kernel {
            Ok(kernel) => (kernel.interfaces(), kernel.verdicts(), None),
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
            probation_s: state.probation.as_ref().map(Probation::left_s),
            failed_uncounted: self.failed_uncounted.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.failed.take());
        if let Some(keeper) = self.keeper.take() {
            // It has no result; a panic in it has been reported already.
            let _ = keeper.join();
        }
    }
}

/// Denies whose authentications keep failing, ends probations and takes out what has expired, until the guard
/// is gone.
fn keep(state: &Mutex<State>, failed: &Receiver<IpAddr>) {
    let mut tick = Instant::now() + TICK;
    loop {
        match failed.recv_timeout(tick.saturating_duration_since(Instant::now())) {
            Ok(address) => state.lock().failed(address),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if Instant::now() >= tick {
            state.lock().tick();
            tick = Instant::now() + TICK;
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
