//! When to come back: pauses with jitter, so that many clients do not come at once.

use crate::limits::{BACKOFF_MS_MAX, BACKOFF_MS_MIN, RECONNECT_JITTER_MS_MAX};
use crate::push::Retry;

/// Counts failures since the last good session, and draws pauses.
#[derive(Debug)]
pub(super) struct Pace {
    failures: u32,
    state: u64,
}

impl Pace {
    pub(super) fn new(seed: u64) -> Self {
        Self { failures: 0, state: seed }
    }

    /// A session has proved good.
    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Milliseconds until the next attempt; `None` for never. "Now" grows like the rest where it does
    /// not help, so that a server that closes every session at once is not asked without end.
    pub(super) fn pause_ms(&mut self, retry: Retry) -> Option<u64> {
        let doublings = self.failures.min(16);
        self.failures = self.failures.saturating_add(1);
        match retry {
            Retry::Never => None,
            Retry::Now => {
                let most = (RECONNECT_JITTER_MS_MAX << doublings).min(BACKOFF_MS_MAX);
                Some(self.below(most))
            }
            Retry::BackOff => {
                let most = (BACKOFF_MS_MIN << doublings).min(BACKOFF_MS_MAX);
                Some(most / 2 + self.below(most / 2))
            }
        }
    }

    /// Milliseconds until the next attempt where the server has told when it makes sense: not before
    /// that, and spread over a second.
    pub(super) fn pause_after_hint_ms(&mut self, hint_s: u32) -> u64 {
        self.failures = self.failures.saturating_add(1);
        u64::from(hint_s) * 1000 + self.below(1000)
    }

    /// A number from 0 to `most`, both included. SplitMix64 (Steele, Lea, Flood 2014): the pauses need
    /// to differ between clients, not to be secret.
    pub(super) fn below(&mut self, most: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        mixed % most.saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_cap_and_start_again() {
        let mut pace = Pace::new(7);
        for doublings in 0..40_u32 {
            let most = (BACKOFF_MS_MIN << doublings.min(16)).min(BACKOFF_MS_MAX);
            let pause = pace.pause_ms(Retry::BackOff).unwrap();
            assert!((most / 2..=most).contains(&pause), "{pause} of {most}");
        }
        pace.succeeded();
        assert!(pace.pause_ms(Retry::Now).unwrap() <= RECONNECT_JITTER_MS_MAX);
        assert_eq!(pace.pause_ms(Retry::Never), None);
    }

    #[test]
    fn seeds_differ() {
        let draw = |seed| Pace::new(seed).below(1_000_000);
        assert_ne!(draw(1), draw(2));
        assert_eq!(draw(1), draw(1));
    }
}
