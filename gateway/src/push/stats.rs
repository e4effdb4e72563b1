//! Counts, for metrics.

use std::ops::AddAssign;
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What one shard, or all, have counted since the start.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct PushStats {
            $($(#[$doc])* pub $name: u64,)*
        }

        /// One shard's counts: written by its thread alone.
        #[derive(Debug, Default)]
        pub(super) struct ShardStats {
            $(pub(super) $name: Count,)*
        }

        impl ShardStats {
            pub(super) fn read(&self) -> PushStats {
                PushStats { $($name: self.$name.get(),)* }
            }
        }

        impl AddAssign for PushStats {
            fn add_assign(&mut self, other: Self) {
                $(self.$name += other.$name;)*
            }
        }
    };
}

counts! {
    /// Connections now, those that shake hands or close included.
    connections,
    /// Sessions now: connections that have done their handshake and are not closing.
    sessions,
    /// Sessions now that wait for their client's acks.
    lagging,
    /// Deadlines of sessions now, those of sessions that have ended since included until they pass.
    timers,
    /// Connections accepted or taken over.
    accepted,
    /// Connections turned away because there were too many.
    refused,
    /// Connections whose handshake failed.
    handshakes_failed,
    /// Events sent, once per session.
    events_sent,
    /// Bytes of their frames.
    event_bytes_sent,
    /// Signals sent, once per session.
    signals_sent,
    /// Signals lost: too many of a session's, or for a session that does not keep up.
    signals_dropped,
    /// Suggestions sent, once per session.
    suggestions_sent,
    /// Batches of events taken.
    batches,
    /// Times that a tenant's feed had a gap.
    gaps,
    /// Times that a session began to lag.
    lags,
    /// Pages of the log read for sessions.
    replay_pages,
    /// Reads of storage for them: one serves all sessions that are at the same place.
    replay_reads,
    /// Sessions closed by the server.
    closed,
}

/// A number that one thread writes and any may read.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self, more: u64) {
        // One writer: no read-modify-write is needed.
        self.0.store(self.get().wrapping_add(more), Ordering::Relaxed);
    }

    pub(super) fn subtract(&self, less: u64) {
        self.0.store(self.get().wrapping_sub(less), Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
