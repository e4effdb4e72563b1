//! How fast a client may send messages.

use crate::limits::MESSAGE_BURST_S;
use crate::time::Tick;

/// A token bucket in one number (GCRA, the generic cell rate algorithm of ITU-T I.371): when the bucket
/// will be full again, in microseconds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rate {
    full_at_us: u64,
}

impl Rate {
    /// Takes a token; whether there was one. `per_second` come back each second, at least 1, and as many
    /// as in [`MESSAGE_BURST_S`] are kept.
    pub(super) fn take(&mut self, per_second: u32, now: Tick) -> bool {
        let now_us = now.0.saturating_mul(1000);
        let next = self.full_at_us.max(now_us) + 1_000_000 / u64::from(per_second.max(1));
        let has_token = next <= now_us + MESSAGE_BURST_S * 1_000_000;
        if has_token {
            self.full_at_us = next;
        }
        has_token
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_the_rate() {
        let mut rate = Rate::default();
        let mut taken = |ticks: std::ops::Range<u64>, tries: u64| {
            let all = ticks.flat_map(|at| (0..tries).map(move |_| at));
            all.filter(|at| rate.take(100, Tick(*at))).count()
        };
        assert_eq!(taken(5000..5001, 1000), 200);
        assert_eq!(taken(5001..6001, 2), 100);
        assert_eq!(taken(20_000..20_001, 1000), 200);
    }
}
