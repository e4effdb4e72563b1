//! What the client's machine wants done, and what it tells of losses.

use serde_json::value::RawValue;

use super::ChangeId;
use crate::id::{Cursor, Offset};
use crate::push::{EventMessage, ResyncReason, View, ViewCount, Welcome};

/// One connection, from its first attempt to its end; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Link(pub u32);

/// Comes with an event, and goes back when the application has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// The connection it came over.
    pub link: Link,
    /// The event's.
    pub offset: Offset,
    /// Bytes of its text.
    pub bytes: u64,
}

/// A thing to do. In order.
#[derive(Debug, Clone)]
pub enum ClientEffect {
    /// Connect, then call `connected`, or `disconnected` where that fails.
    Connect {
        /// The new connection.
        link: Link,
        /// Milliseconds to wait before.
        after_ms: u64,
    },
    /// Send a text message.
    Send {
        /// Where.
        link: Link,
        /// What.
        text: String,
    },
    /// Close; nothing more of this connection counts.
    Close {
        /// Which.
        link: Link,
    },
    /// Another connection has taken over: close this one, once the commands sent over it are answered.
    Retire {
        /// Which.
        link: Link,
    },
    /// A session has begun.
    Connected {
        /// Over this connection.
        link: Link,
        /// As the server greeted.
        welcome: Welcome,
    },
    /// An event for the application. Never twice; in order but for what a repaired hole brings late.
    Deliver {
        /// It.
        event: EventMessage,
        /// For `shown`.
        receipt: Receipt,
    },
    /// All matching events up to here have been delivered.
    CaughtUp {
        /// Here.
        cursor: Cursor,
    },
    /// Events may be missing: a snapshot is needed, and events go on after the cursor.
    Resync {
        /// Why.
        reason: ResyncReason,
        /// Where events go on.
        cursor: Cursor,
    },
    /// A server has taken a change; or has not, where there is an error.
    Changed {
        /// Which.
        id: ChangeId,
        /// A problem as over HTTP. Views that were refused are not watched.
        error: Option<Box<RawValue>>,
    },
    /// The answer to a command.
    Result {
        /// Over this connection.
        link: Link,
        /// As given with the command.
        id: String,
        /// What the command became.
        event: Option<Box<RawValue>>,
        /// Or why it did not.
        error: Option<Box<RawValue>>,
    },
    /// The server shows these views no more: the agent may not see them.
    Ended {
        /// Which.
        views: Vec<View>,
    },
    /// How many tickets a saved view shows. The first one of a session is without a difference.
    Count(ViewCount),
    /// A live hint.
    Signal(Box<RawValue>),
    /// What the assistant suggests about a customer's message.
    Suggestion(Box<RawValue>),
    /// The session is lost.
    Lost {
        /// Over this connection.
        link: Link,
        /// Why.
        reason: LossReason,
        /// Milliseconds until the next attempt; `None` where another connection is already on its way.
        retry_ms: Option<u64>,
    },
    /// The server does not want this client back. The last effect.
    Stop {
        /// Why.
        reason: LossReason,
    },
}

/// How a connection ended, as its driver saw it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Loss {
    /// By a close frame.
    #[error("closed by the server with {code} {reason:?}")]
    Closed {
        /// Its number.
        code: u16,
        /// Its text.
        reason: String,
    },
    /// Without one, or it was never made.
    #[error("{why}")]
    Cut {
        /// What the system said.
        why: String,
    },
}

/// Why a session is lost.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LossReason {
    /// The connection ended.
    #[error(transparent)]
    Connection(Loss),
    /// Nothing heard for two heartbeats.
    #[error("nothing heard for two heartbeats")]
    Silent,
    /// No connection, or no welcome, in time.
    #[error("not connected and welcomed within {} ms", crate::limits::CONNECT_MS_MAX)]
    NotWelcomed,
    /// Events are missing.
    #[error("the server counts {sent} events in this session, {received} have come")]
    Hole {
        /// By the server's count.
        sent: u64,
        /// By ours.
        received: u64,
    },
    /// Offsets did not rise.
    #[error("an event with offset {got} came after {after}; expected a higher one")]
    Disorder {
        /// The one before.
        after: Offset,
        /// The one that came.
        got: Offset,
    },
    /// Something the protocol does not know.
    #[error("the server broke the protocol: {0}")]
    Violation(String),
}

/// What went wrong and was dealt with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClientStats {
    /// Events at or below the cursor that should not have come: a server's error.
    pub repeats_dropped: u64,
    /// Events that came twice because two connections overlapped, or a hole was repaired.
    pub overlaps_dropped: u64,
    /// Marks whose count did not agree.
    pub holes: u64,
    /// Messages of types that this client does not know.
    pub unknown_messages: u64,
}

impl ClientStats {
    pub(super) fn count_repeat(&mut self, is_expected: bool) {
        if is_expected {
            self.overlaps_dropped += 1;
        } else {
            self.repeats_dropped += 1;
        }
    }
}
