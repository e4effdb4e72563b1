//! How a session stands, for those who run the gateway.

use crate::id::Offset;

/// Where a session's next event comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionPhase {
    /// From the ledger, as it is committed.
    Live,
    /// From the log.
    Replaying,
    /// From nowhere: the client has to acknowledge what it has first.
    Lagging,
}

/// A session's account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionReport {
    /// Where its next event comes from.
    pub phase: SessionPhase,
    /// Every matching event up to here has been sent.
    pub offset: Offset,
    /// Events of the tenant after that, of whatever view.
    pub lag_events: u64,
    /// Bytes of events that were sent and not acknowledged.
    pub unacked_bytes: u64,
    /// How many of them there may be.
    pub window: u64,
    /// Events since the welcome.
    pub sent: u64,
    /// Times that it began to lag.
    pub lags: u32,
    /// How many views it watches.
    pub views: usize,
}
