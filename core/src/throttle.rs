//! Counts failed attempts, so that nobody guesses for long.
//!
//! Three of these stand before a login, after OWASP's "Slow Down Online Guessing Attacks with Device Cookies": one counts
//! by account for devices that have not logged in to it before, one by account and device for those that have, one by
//! source. So whoever guesses at an account locks out other strangers, and never its owner's own devices.

use crate::time::Tick;

/// So many attempts that fail within a window, then a rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThrottleRule {
    /// Attempts that may fail.
    pub failures_max: u32,
    /// Milliseconds from the first of them after which they are forgotten.
    pub window_ms: u64,
    /// Milliseconds that a key rests with one failure more.
    pub rest_ms: u64,
}

/// What becomes of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// It may be made, and counts as failed until it is said to have succeeded.
    Go,
    /// It may be made, and is the last before a rest.
    Last,
    /// The key rests for so many milliseconds more.
    Rests {
        /// At least 1.
        ms: u64,
    },
}

/// Counters by key in a table of fixed size: where a place is taken, what failed longest ago makes room, those at
/// rest last of all. Keys are hashes that nobody outside can foresee.
#[derive(Debug)]
pub struct Throttle {
    rule: ThrottleRule,
    slots: Box<[Slot]>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    key: u64,
    /// 0 is an empty slot.
    failures: u32,
    /// Of the first failure; of the beginning of a rest.
    since: Tick,
}

/// A key can be in so many slots.
const WAYS: usize = 8;

impl Throttle {
    /// A table with room for `keys`, which is a power of two of at least 8.
    #[must_use]
    pub fn new(rule: ThrottleRule, keys: usize) -> Self {
        debug_assert!(keys.is_power_of_two() && keys >= WAYS);
        Self { rule, slots: vec![Slot::default(); keys].into_boxed_slice() }
    }

    /// An attempt begins. It is counted now: many at once get no further than one after the other.
    pub fn begin(&mut self, key: u64, now: Tick) -> Attempt {
        let rule = self.rule;
        let place = |slot: &Slot| match slot {
            slot if slot.is_of(key) => (0, Tick(0)),
            slot if slot.failures == 0 => (1, Tick(0)),
            slot if slot.failures < rule.failures_max => (2, slot.since),
            slot => (3, slot.since),
        };
        let Some(slot) = self.set(key, now).iter_mut().min_by_key(|slot| place(slot)) else {
            return Attempt::Go;
        };
        if !slot.is_of(key) {
            *slot = Slot { key, failures: 0, since: now };
        }
        if let Some(ms) = slot.rests(rule, now) {
            return Attempt::Rests { ms };
        }
        slot.failures += 1;
        if slot.failures < rule.failures_max {
            return Attempt::Go;
        }
        slot.since = now;
        Attempt::Last
    }

    /// For how many milliseconds more the key rests.
    pub fn rests(&mut self, key: u64, now: Tick) -> Option<u64> {
        let rule = self.rule;
        self.find(key, now)?.rests(rule, now)
    }

    /// An attempt has succeeded: all is forgotten of the key.
    pub fn forget(&mut self, key: u64, now: Tick) {
        if let Some(slot) = self.find(key, now) {
            *slot = Slot::default();
        }
    }

    /// An attempt has succeeded, or was never made: it does not count.
    pub fn take_back(&mut self, key: u64, now: Tick) {
        if let Some(slot) = self.find(key, now) {
            slot.failures = slot.failures.saturating_sub(1);
        }
    }

    fn find(&mut self, key: u64, now: Tick) -> Option<&mut Slot> {
        self.set(key, now).iter_mut().find(|slot| slot.is_of(key))
    }

    /// The slots that a key may have; what is over in them is forgotten.
    fn set(&mut self, key: u64, now: Tick) -> &mut [Slot] {
        let rule = self.rule;
        let sets = self.slots.len() / WAYS;
        // The number of sets is a power of two.
        let start = (key as usize & (sets - 1)) * WAYS;
        let slots = self.slots.get_mut(start..start + WAYS).unwrap_or_default();
        for slot in slots.iter_mut().filter(|slot| slot.is_over(rule, now)) {
            *slot = Slot::default();
        }
        slots
    }
}

impl Slot {
    fn is_of(&self, key: u64) -> bool {
        self.failures > 0 && self.key == key
    }

    fn is_over(&self, rule: ThrottleRule, now: Tick) -> bool {
        let lasts = if self.failures >= rule.failures_max { rule.rest_ms } else { rule.window_ms };
        now.since_ms(self.since) >= lasts
    }

    fn rests(&self, rule: ThrottleRule, now: Tick) -> Option<u64> {
        let left = rule.rest_ms.saturating_sub(now.since_ms(self.since)).max(1);
        (self.failures >= rule.failures_max).then_some(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: ThrottleRule = ThrottleRule { failures_max: 3, window_ms: 100, rest_ms: 1_000 };

    #[test]
    fn after_so_many_failures_a_key_rests() {
        let mut throttle = Throttle::new(RULE, 64);
        assert_eq!(throttle.begin(7, Tick(10)), Attempt::Go);
        assert_eq!(throttle.begin(7, Tick(20)), Attempt::Go);
        assert_eq!(throttle.rests(7, Tick(20)), None);
        assert_eq!(throttle.begin(7, Tick(30)), Attempt::Last);
        assert_eq!(throttle.begin(7, Tick(40)), Attempt::Rests { ms: 990 });
        // Attempts meanwhile do not make it longer; others are not concerned.
        assert_eq!(throttle.begin(7, Tick(1_029)), Attempt::Rests { ms: 1 });
        assert_eq!(throttle.begin(8, Tick(1_029)), Attempt::Go);
        assert_eq!(throttle.begin(7, Tick(1_030)), Attempt::Go);
    }

    #[test]
    fn failures_are_forgotten_with_time_or_success() {
        let mut throttle = Throttle::new(RULE, 64);
        throttle.begin(7, Tick(0));
        throttle.begin(7, Tick(50));
        assert_eq!(throttle.begin(7, Tick(100)), Attempt::Go);
        throttle.begin(7, Tick(101));
        throttle.forget(7, Tick(102));
        assert_eq!((throttle.begin(7, Tick(103)), throttle.begin(7, Tick(104))), (Attempt::Go, Attempt::Go));
        throttle.take_back(7, Tick(105));
        assert_eq!(throttle.begin(7, Tick(105)), Attempt::Go);
        assert_eq!(throttle.begin(7, Tick(106)), Attempt::Last);
    }

    #[test]
    fn a_flood_of_keys_does_not_end_a_rest() {
        let mut throttle = Throttle::new(RULE, 64);
        for at in 0..3 {
            throttle.begin(7, Tick(at));
        }
        for key in 100..100_000 {
            assert_ne!(throttle.begin(key, Tick(5)), Attempt::Rests { ms: 0 });
        }
        assert!(throttle.rests(7, Tick(5)).is_some());
    }
}
