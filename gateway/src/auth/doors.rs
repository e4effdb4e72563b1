//! What stands before a login: counters of failures by account, device and source.

use std::net::IpAddr;
use std::time::Instant;

use parking_lot::Mutex;
use waggle_core::id::{AgentId, TenantId};
use waggle_core::limits::{
    LOGIN_COUNTERS, LOGIN_FAILURES_MAX, LOGIN_REST_MS, LOGIN_SOURCE_FAILURES_MAX, LOGIN_WINDOW_MS,
};
use waggle_core::throttle::{Attempt, Throttle, ThrottleRule};
use waggle_core::time::Tick;

use super::{Account, Keys};

/// The counters of one gateway.
pub struct Doors {
    keys: Keys,
    start: Instant,
    counters: Mutex<Counters>,
}

struct Counters {
    accounts: Throttle,
    devices: Throttle,
    sources: Throttle,
}

/// Through which an attempt comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    /// That of strangers: counted by account and by source.
    Stranger { account: u64, source: u64 },
    /// A device's own.
    Device(u64),
}

/// Why an attempt is not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shut {
    /// Milliseconds until the door opens.
    pub(super) ms: u64,
    /// Whether it is the source that has failed too often, not the account.
    pub(super) is_source: bool,
}

/// What an attempt is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passage {
    Go,
    /// If it fails the door shuts.
    Last,
}

impl Doors {
    pub(super) fn new() -> Self {
        let throttle = |failures_max| {
            let rule = ThrottleRule { failures_max, window_ms: LOGIN_WINDOW_MS, rest_ms: LOGIN_REST_MS };
            Throttle::new(rule, LOGIN_COUNTERS)
        };
        let counters = Counters {
            accounts: throttle(LOGIN_FAILURES_MAX),
            devices: throttle(LOGIN_FAILURES_MAX),
            sources: throttle(LOGIN_SOURCE_FAILURES_MAX),
        };
        Self { keys: Keys::default(), start: Instant::now(), counters: Mutex::new(counters) }
    }

    pub(super) fn for_strangers(&self, account: &Account<'_>, source: IpAddr) -> Door {
        Door::Stranger { account: self.keys.account(account), source: self.keys.source(source) }
    }

    pub(super) fn for_device(&self, tenant: TenantId, agent: AgentId, device: &[u8; 32]) -> Door {
        Door::Device(self.keys.device(tenant, agent, device))
    }

    /// An attempt begins; it counts as failed until [`Doors::passed`] or [`Doors::take_back`].
    pub(super) fn begin(&self, door: Door) -> Result<Passage, Shut> {
        let now = self.now();
        let counters = &mut *self.counters.lock();
        let attempt = match door {
            Door::Device(device) => counters.devices.begin(device, now),
            Door::Stranger { account, source } => {
                if let Attempt::Rests { ms } = counters.sources.begin(source, now) {
                    return Err(Shut { ms, is_source: true });
                }
                let attempt = counters.accounts.begin(account, now);
                if matches!(attempt, Attempt::Rests { .. }) {
                    // Nothing was guessed: an office is not shut because one of its accounts is.
                    counters.sources.take_back(source, now);
                }
                attempt
            }
        };
        match attempt {
            Attempt::Go => Ok(Passage::Go),
            Attempt::Last => Ok(Passage::Last),
            Attempt::Rests { ms } => Err(Shut { ms, is_source: false }),
        }
    }

    /// The attempt has succeeded.
    pub(super) fn passed(&self, door: Door) {
        let now = self.now();
        let counters = &mut *self.counters.lock();
        match door {
            Door::Device(device) => counters.devices.forget(device, now),
            Door::Stranger { account, source } => {
                counters.accounts.forget(account, now);
                counters.sources.take_back(source, now);
            }
        }
    }

    /// The attempt was not made after all.
    pub(super) fn take_back(&self, door: Door) {
        let now = self.now();
        let counters = &mut *self.counters.lock();
        match door {
            Door::Device(device) => counters.devices.take_back(device, now),
            Door::Stranger { account, source } => {
                counters.accounts.take_back(account, now);
                counters.sources.take_back(source, now);
            }
        }
    }

    fn now(&self) -> Tick {
        // 584 million years of milliseconds fit.
        Tick(self.start.elapsed().as_millis() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANA: Account<'static> = Account::Agent(TenantId(1), AgentId(1));

    fn fail(doors: &Doors, door: Door, times: u32) {
        for _ in 0..times {
            assert!(doors.begin(door).is_ok());
        }
    }

    #[test]
    fn who_attacks_an_account_does_not_lock_its_owner_out() {
        let doors = Doors::new();
        let attackers = |last: u8| doors.for_strangers(&ANA, IpAddr::from([192, 0, 2, last]));
        for last in 0..10 {
            fail(&doors, attackers(last), 1);
        }
        // From wherever strangers come, that account is shut to them.
        assert!(!doors.begin(attackers(99)).unwrap_err().is_source);
        let own = doors.for_device(TenantId(1), AgentId(1), &[7; 32]);
        assert_eq!(doors.begin(own), Ok(Passage::Go));
        // A device that was stolen is counted by itself.
        fail(&doors, own, 8);
        assert_eq!(doors.begin(own), Ok(Passage::Last));
        assert!(doors.begin(own).is_err());
        assert!(doors.begin(doors.for_device(TenantId(1), AgentId(1), &[8; 32])).is_ok());
        assert!(doors.begin(doors.for_device(TenantId(1), AgentId(2), &[7; 32])).is_ok());
    }

    #[test]
    fn who_tries_many_accounts_is_shut_out_of_all() {
        let doors = Doors::new();
        let names: Vec<String> =
            (0..=LOGIN_SOURCE_FAILURES_MAX).map(|index| format!("agent{index}")).collect();
        let (last, others) = names.split_last().unwrap();
        let source = IpAddr::from([0x2001, 0xdb8, 0, 1, 9, 9, 9, 9]);
        for name in others {
            fail(&doors, doors.for_strangers(&Account::Nobody("acme", name), source), 1);
        }
        let neighbour = IpAddr::from([0x2001, 0xdb8, 0, 1, 1, 2, 3, 4]);
        let shut = doors.begin(doors.for_strangers(&Account::Nobody("acme", last), neighbour));
        assert!(shut.unwrap_err().is_source);
        let other = IpAddr::from([0x2001, 0xdb8, 0, 2, 1, 2, 3, 4]);
        assert!(doors.begin(doors.for_strangers(&Account::Nobody("acme", last), other)).is_ok());
    }

    #[test]
    fn one_locked_account_does_not_shut_its_office() {
        let doors = Doors::new();
        let office = IpAddr::from([192, 0, 2, 1]);
        let ana = doors.for_strangers(&ANA, office);
        fail(&doors, ana, LOGIN_FAILURES_MAX);
        for _ in 0..2 * LOGIN_SOURCE_FAILURES_MAX {
            assert!(!doors.begin(ana).unwrap_err().is_source);
        }
        let ben = doors.for_strangers(&Account::Agent(TenantId(1), AgentId(2)), office);
        assert!(doors.begin(ben).is_ok());
        doors.passed(ben);
        assert_eq!(doors.begin(ben), Ok(Passage::Go));
    }
}
