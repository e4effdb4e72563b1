//! What an application reads from its push client.

use crate::suggestion::Suggestion;
use serde_json::value::RawValue;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use waggle_core::id::Cursor;
use waggle_core::push::{EventMessage, Hint, LossReason, ResyncReason, View, ViewCount};

/// An event, parsed and as it came.
#[derive(Debug, Clone)]
pub struct Event {
    /// Its fields.
    pub message: EventMessage,
    pub(crate) text: Utf8Bytes,
}

impl Event {
    /// The message's JSON text as the server sent it.
    #[must_use]
    pub fn text(&self) -> &str {
        self.text.as_str()
    }
}

/// A live hint, as it came.
#[derive(Debug, Clone)]
pub struct SignalItem {
    pub(crate) text: Box<RawValue>,
}

impl SignalItem {
    /// What it tells.
    #[must_use]
    pub fn hint(&self) -> Hint {
        Hint::parse(self.text.get())
    }

    /// The message's JSON text as the server sent it.
    #[must_use]
    pub fn text(&self) -> &str {
        self.text.get()
    }
}

/// What the assistant suggests about a customer's message, as it came.
#[derive(Debug, Clone)]
pub struct SuggestionItem {
    pub(crate) text: Box<RawValue>,
}

impl SuggestionItem {
    /// What it tells; `None` for one of a newer protocol.
    #[must_use]
    pub fn suggestion(&self) -> Option<Suggestion> {
        serde_json::from_str(self.text.get()).ok()
    }

    /// The message's JSON text as the server sent it.
    #[must_use]
    pub fn text(&self) -> &str {
        self.text.get()
    }
}

/// One thing that happened, in order.
#[derive(Debug, Clone)]
pub enum Item {
    /// A session has begun, or taken over from one that drains.
    Connected {
        /// The gateway's name.
        node: String,
        /// The session's number there.
        session: u64,
        /// All up to here had been delivered by then: save it before the first event, and a restart
        /// loses none.
        cursor: Cursor,
        /// Whether the server goes on from there. Where not and a cursor was asked for,
        /// [`Item::Resync`] follows.
        resumed: bool,
    },
    /// An event of one of the views: once, and in order.
    Event(Event),
    /// All matching events up to here have been yielded: a quiet client's cursor stays young by it.
    CaughtUp {
        /// Here.
        cursor: Cursor,
    },
    /// Events may be missing: read a snapshot over HTTP; what follows comes after the cursor.
    Resync {
        /// Why.
        reason: ResyncReason,
        /// Where events go on.
        cursor: Cursor,
    },
    /// The session is lost; the client comes back by itself.
    Disconnected {
        /// Why.
        reason: LossReason,
        /// Milliseconds until it tries; `None` where another connection is already being made.
        retry_ms: Option<u64>,
    },
    /// These views show nothing any more: the agent may not see them, or there is no such thing. A new session does not
    /// ask for them again.
    Ended {
        /// Which.
        views: Vec<View>,
    },
    /// How many tickets a saved view shows. A new session tells it anew.
    Count(ViewCount),
    /// What the assistant suggests about a customer's message. It may come before the message's own event, and may be
    /// lost: `GET /v1/tickets/{ticket}/suggestions` tells the same.
    Suggestion(SuggestionItem),
    /// A live hint: nothing depends on it.
    Signal(SignalItem),
    /// The server does not want this client back. The last item.
    Stopped {
        /// Why: a close with a number from 4200 to 4299.
        reason: LossReason,
    },
}
