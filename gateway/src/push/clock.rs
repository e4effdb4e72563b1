//! The two clocks of a shard.

use std::time::Duration;

use tokio::time::Instant;
use waggle_core::time::{Tick, Timestamp};

/// Milliseconds since the shard's start, and since 1970.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    start: Instant,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self { start: Instant::now() }
    }

    pub(super) fn now(&self) -> Tick {
        // 584 million years of milliseconds fit.
        Tick(self.start.elapsed().as_millis() as u64)
    }

    pub(super) fn wall_now(&self) -> Timestamp {
        crate::wall_clock::now()
    }

    /// What the wall clock showed at a tick that is over, as it goes now.
    pub(super) fn wall_at(&self, tick: Tick) -> Timestamp {
        Timestamp(self.wall_now().0.saturating_sub(self.now().0.saturating_sub(tick.0)))
    }

    /// When a tick is there.
    pub(super) fn instant(&self, tick: Tick) -> Instant {
        self.start.checked_add(Duration::from_millis(tick.0)).unwrap_or_else(|| self.far())
    }

    /// The tick at which the wall clock, as it goes now, shows `at`.
    pub(super) fn tick_at(&self, at: Timestamp) -> Tick {
        self.now().after_ms(at.0.saturating_sub(self.wall_now().0))
    }

    fn far(&self) -> Instant {
        self.start + Duration::from_secs(60 * 60 * 24 * 365)
    }
}
