//! The rules in force, and those of them that wait for a confirmation.

use std::mem;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use tracing::{info, warn};
use waggle_ebpf::guard::UNDO_MAX;

use super::failures::Failures;
use super::kernel::Kernel;
use super::report::unattached;
use super::rules::{GuardAction, GuardChange, GuardError, Rules, Said};
use super::undo::{self, Step};
use super::{Unconfirmed, boot_ns};
use crate::error::chain;

/// How long after its end the kernel ends a probation, where the gateway has not.
const GRACE: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct State {
    pub(super) kernel: Result<Kernel, String>,
    pub(super) pinning: String,
    pub(super) ports: Vec<u16>,
    /// The configured rate and burst.
    pub(super) config: (u32, u32),
    pub(super) rules: Rules,
    pub(super) probation: Option<Probation>,
    pub(super) failures: Failures,
    /// 0 is no limit.
    pub(super) failures_max: u32,
    pub(super) failures_deny_s: u32,
}

/// What operators have changed, and nobody has confirmed.
#[derive(Debug)]
pub(super) struct Probation {
    /// How to take it back, by network. What the gateway itself denies meanwhile is not in it, and stays.
    steps: Vec<Step>,
    ends: Instant,
    /// It could not be taken back yet, and that has been said.
    is_stuck: bool,
}

impl State {
    pub(super) fn change(&mut self, change: &GuardChange) -> Result<(), GuardError> {
        self.guarding()?;
        let rules = self.rules.with(change, boot_ns(), Said::Operator)?;
        let within = change.confirm_within_s.map(|seconds| Duration::from_secs(seconds.into()));
        self.take_on_probation(rules, within)
    }

    pub(super) fn confirm(&mut self) -> Result<(), GuardError> {
        if self.probation.is_none() {
            return Err(GuardError::NothingToConfirm);
        }
        self.hold_for_ever()?;
        self.probation = None;
        Ok(())
    }

    /// Counts a failed authentication, and denies whoever has too many.
    pub(super) fn failed(&mut self, address: IpAddr) {
        if self.failures_max == 0 || self.guarding().is_err() {
            return;
        }
        for network in self.failures.count(address, self.failures_max, Instant::now()) {
            let (action, for_s) = (GuardAction::Deny, Some(self.failures_deny_s));
            let change = GuardChange { action, network, for_s, confirm_within_s: None };
            let rules = self.rules.with(&change, boot_ns(), Said::Failures);
            match rules.and_then(|rules| self.take(rules)) {
                Ok(()) => {
                    warn!(%network, seconds = self.failures_deny_s, "denied: its authentications keep failing");
                }
                Err(error) => info!(%network, %error, "its authentications keep failing"),
            }
        }
    }

    /// Ends a probation whose time is over, and takes out rules that have expired.
    pub(super) fn tick(&mut self) {
        self.end_probation();
        if let Some(rules) = self.rules.without_expired(boot_ns())
            && let Err(error) = self.take(rules)
        {
            warn!(%error, "rules that have expired stay in the kernel, which no longer goes by them");
        }
    }

    fn end_probation(&mut self) {
        let now = Instant::now();
        let Some(probation) = self.probation.as_ref().filter(|probation| probation.ends <= now) else {
            return;
        };
        let rules = undo::taken_back(&self.rules, &probation.steps);
        match self.take(rules).and_then(|()| self.hold_for_ever()) {
            Ok(()) => {
                self.probation = None;
                warn!("nobody has confirmed the guard's new rules: those before are back");
            }
            Err(error) => {
                if let Some(probation) = &mut self.probation
                    && !mem::replace(&mut probation.is_stuck, true)
                {
                    warn!(%error, "the guard's rules before the change do not come back yet");
                }
            }
        }
    }

    /// Whether anything goes by the rules.
    fn guarding(&self) -> Result<(), GuardError> {
        let reason = match &self.kernel {
            Err(reason) => Some(reason.clone()),
            Ok(kernel) => unattached(&kernel.interfaces()),
        };
        reason.map_or(Ok(()), |reason| Err(GuardError::NoGuard { reason }))
    }

    /// Puts `rules` in force; where the kernel does not take them, those before stay.
    fn take(&mut self, rules: Rules) -> Result<(), GuardError> {
        let Ok(kernel) = &mut self.kernel else { return Ok(()) };
        if let Err(error) = kernel.write(&self.rules, &rules) {
            // What was written is taken back; the maps have held that before.
            let _ = kernel.write(&rules, &self.rules);
            return Err(GuardError::Kernel(chain(&error)));
        }
        self.rules = rules;
        Ok(())
    }

    /// The same; where it ends unconfirmed after so long, or an earlier change does, all of them are taken back.
    /// The kernel's part is told first, so that it does where this gateway does not live.
    fn take_on_probation(&mut self, rules: Rules, within: Option<Duration>) -> Result<(), GuardError> {
        let Some(within) = within else {
            return if self.probation.is_some() { Err(GuardError::Pending) } else { self.take(rules) };
        };
        let now = Instant::now();
        let (mut steps, ends) = match &self.probation {
            None => (Vec::new(), now + within),
            // Whoever waits for the first of them has been promised that time.
            Some(probation) => (probation.steps.clone(), probation.ends.min(now + within)),
        };
        let new = undo::beyond(&steps, undo::steps(&self.rules, &rules));
        if steps.len() + new.len() > UNDO_MAX as usize {
            return Err(GuardError::Unconfirmed);
        }
        let left = ends.saturating_duration_since(now) + GRACE;
        let ends_ns = boot_ns().saturating_add(u64::try_from(left.as_nanos()).unwrap_or(u64::MAX));
        self.hold_until(ends_ns, &new).and_then(|()| self.take(rules)).inspect_err(|_| {
            if self.probation.is_none() {
                // The refusal is told; a term that stays ends nothing that was changed.
                let _ = self.hold_for_ever();
            }
        })?;
        steps.extend(new);
        self.probation = Some(Probation { steps, ends, is_stuck: false });
        Ok(())
    }

    fn hold_until(&mut self, ends_ns: u64, steps: &[Step]) -> Result<(), GuardError> {
        if self.probation.is_none() {
            // Steps of an earlier one, which the kernel did not let go of, lead elsewhere.
            self.hold_for_ever()?;
        }
        let Ok(kernel) = &mut self.kernel else { return Ok(()) };
        kernel.hold_until(ends_ns, steps).map_err(|error| GuardError::Kernel(chain(&error)))
    }

    fn hold_for_ever(&mut self) -> Result<(), GuardError> {
        let Ok(kernel) = &mut self.kernel else { return Ok(()) };
        kernel.hold_for_ever().map_err(|error| GuardError::Kernel(chain(&error)))
    }
}

impl Probation {
    /// One that a gateway before began.
    pub(super) fn again((steps, ends_ns): Unconfirmed) -> Self {
        let left = Duration::from_nanos(ends_ns.saturating_sub(boot_ns())).saturating_sub(GRACE);
        Self { steps, ends: Instant::now() + left, is_stuck: false }
    }

    pub(super) fn left_s(&self) -> u64 {
        self.ends.saturating_duration_since(Instant::now()).as_secs()
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use waggle_ebpf::guard::NETWORKS_MAX;

    use super::super::rules::Entry;
    use super::super::{FAILED_MAX, Guard, GuardConfig};
    use super::*;
    use crate::Mode;
    use crate::network::Network;

    fn guard(test: &str) -> Option<Guard> {
        let config = GuardConfig { failures: 2, ..GuardConfig::default() };
        match Guard::detached(&config, &[8081]) {
            Ok(guard) => Some(guard),
            Err(error) => {
                let reason = chain(&error);
                assert!(
                    reason.contains("missing capability") || reason.contains("built without"),
                    "{reason}"
                );
                crate::skip(test, &reason);
                None
            }
        }
    }

    fn change(action: GuardAction, network: &str, confirm_within_s: Option<u32>) -> GuardChange {
        let network = network.parse().expect(network);
        GuardChange { action, network, for_s: None, confirm_within_s }
    }

    fn listed(state: &State) -> Vec<String> {
        state.rules.deny.keys().map(ToString::to_string).collect()
    }

    #[test]
    fn a_probation_ends_when_it_was_promised_and_takes_back_what_operators_did_alone() {
        let Some(guard) = guard("a_probation_ends_when_it_was_promised") else { return };
        let mut state = guard.state.lock();
        state.change(&change(GuardAction::Deny, "192.0.2.0/24", None)).expect("for ever");
        state.change(&change(GuardAction::Deny, "198.51.100.1", Some(10))).expect("the first");
        let promised = state.probation.as_ref().expect("on probation").ends;
        let ends = |state: &State| state.probation.as_ref().map(|probation| probation.ends);
        state.change(&change(GuardAction::Remove, "192.0.2.0/24", Some(3_600))).expect("the second");
        assert_eq!(ends(&state), Some(promised), "the second put the end off");
        state.change(&change(GuardAction::Deny, "198.51.100.2", Some(5))).expect("the third");
        assert!(ends(&state) < Some(promised), "sooner is possible");
        let at_once = state.change(&change(GuardAction::Deny, "198.51.100.3", None));
        assert_eq!(at_once, Err(GuardError::Pending));
        // Meanwhile the gateway denies more than may wait for a confirmation.
        for n in 0..=UNDO_MAX {
            let address = IpAddr::from((0x0a00_0000 + n).to_be_bytes());
            (0..2).for_each(|_| state.failed(address));
        }
        state.change(&change(GuardAction::Deny, "198.51.100.4", Some(10))).expect("the fourth");
        assert_eq!(state.rules.deny.len(), 3 + UNDO_MAX as usize + 1);

        state.probation.as_mut().expect("on probation").ends = Instant::now();
        state.tick();
        assert!(state.probation.is_none());
        let listed = listed(&state);
        assert_eq!(listed.len(), 1 + UNDO_MAX as usize + 1, "the automatic ones stay");
        assert!(listed.contains(&"192.0.2.0/24".to_owned()), "{listed:?}");
        assert!(!listed.iter().any(|network| network.starts_with("198.51.100.")), "{listed:?}");
    }

    #[test]
    fn whoever_tells_of_failures_never_waits_and_what_is_not_counted_is_told() {
        let guard = Guard::start(&GuardConfig { failures: 2, ..GuardConfig::default() }, &[], Mode::Off)
            .expect("no contradiction");
        let busy = guard.state.lock();
        // The keeper may have taken one, and waits with it.
        (0..FAILED_MAX + 2).for_each(|_| guard.failed(IpAddr::from([192, 0, 2, 1])));
        drop(busy);
        let uncounted = guard.status().failed_uncounted;
        assert!((1..=2).contains(&uncounted), "{uncounted}");
    }

    #[test]
    fn what_the_kernel_does_not_take_back_at_once_is_tried_again() {
        let Some(guard) = guard("what_the_kernel_does_not_take_back_at_once") else { return };
        let mut state = guard.state.lock();
        state.change(&change(GuardAction::Deny, "192.0.2.0/24", None)).expect("for ever");
        state.change(&change(GuardAction::Remove, "192.0.2.0/24", Some(5))).expect("on probation");
        state.probation.as_mut().expect("on probation").ends = Instant::now();
        // The trie has no room for it.
        let entry = Entry { until_ns: 0, said: Said::Operator };
        let networks = (0..NETWORKS_MAX).map(|n| Network::of(IpAddr::from((0x0a00_0000 + n).to_be_bytes())));
        let full = Rules { deny: networks.map(|network| (network, entry)).collect(), ..Rules::default() };
        state.kernel.as_mut().expect("loaded").write(&Rules::default(), &full).expect("so much room");
        for _ in 0..2 {
            state.tick();
            assert!(state.probation.as_ref().is_some_and(|probation| probation.is_stuck));
            assert!(listed(&state).is_empty());
        }
        // What is gone already cannot be in the way of removing it.
        for _ in 0..2 {
            state.kernel.as_mut().expect("loaded").write(&full, &Rules::default()).expect("room again");
        }
        state.tick();
        assert!(state.probation.is_none());
        assert_eq!(listed(&state), ["192.0.2.0/24"]);
    }
}
