//! What servers say. Events are encoded by [`crate::ticket::Entry`], once for all recipients.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::view::View;
use crate::id::{Epoch, Offset, SavedViewId, TicketId, Version};
use crate::time::Timestamp;

/// Why a session must read a snapshot and start from the cursor given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResyncReason {
    /// The cursor is of another epoch: the log was restored.
    Epoch,
    /// The cursor is ahead of the log.
    Ahead,
    /// The log does not reach back to the cursor.
    Retention,
}

/// Why views have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The agent may not see it, or not any more; or there is no such thing.
    NoRight,
    /// The gateway counts as much as it can.
    Overload,
}

/// The answer to hello.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The session's number.
    pub session: u64,
    /// The gateway's name.
    pub node: String,
    /// The log's epoch.
    pub epoch: Epoch,
    /// Where this session's events begin: the first one has a higher offset.
    pub offset: Offset,
    /// Whether that is the cursor the client came with.
    pub resumed: bool,
    /// Milliseconds between heartbeats: a client that hears nothing for twice as long reconnects.
    pub heartbeat_ms: u64,
    /// Unacknowledged bytes that the server will send.
    pub window: u32,
}

/// A committed event. Shapes of `data` are in `docs/PROTOCOL.md`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EventMessage {
    /// Its place in the tenant's log.
    pub offset: Offset,
    /// Of which ticket.
    pub ticket: TicketId,
    /// The version that it made.
    pub version: Version,
    /// What happened.
    pub kind: String,
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub actor: String,
    /// The rest.
    pub data: Box<RawValue>,
}

/// How many tickets a saved view shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewCount {
    /// The view.
    pub view: SavedViewId,
    /// How many.
    pub count: u64,
    /// By how many that differs from what the session was told before; none in the first message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delta: Option<i64>,
}

/// A message from the server, as clients read it and as servers write all but events.
#[derive(Debug, Clone)]
pub enum ServerMessage {
    /// The answer to hello.
    Welcome(Welcome),
    /// Something happened.
    Event(EventMessage),
    /// All matching events up to `offset` have been sent; they were `sent` in this session.
    Mark {
        /// The cursor's new offset.
        offset: Offset,
        /// Events sent since welcome.
        sent: u64,
    },
    /// Read a snapshot, then go on from here.
    Resync {
        /// Why.
        reason: ResyncReason,
        /// The log's epoch.
        epoch: Epoch,
        /// Where live events begin.
        offset: Offset,
    },
    /// The answer to a command, subscribe, unsubscribe or refresh: nothing, an event, or an error.
    Result {
        /// As the client gave it; none for refresh.
        id: Option<String>,
        /// The event that a command became.
        event: Option<Box<RawValue>>,
        /// A problem as over HTTP.
        error: Option<Box<RawValue>>,
    },
    /// A live hint.
    Signal(Box<RawValue>),
    /// What the assistant suggests about a customer's message.
    Suggestion(Box<RawValue>),
    /// These views are watched no more; nothing else is told of them from here on.
    Ended {
        /// Which.
        views: Vec<View>,
        /// Why.
        reason: EndReason,
    },
    /// How many tickets a saved view shows now.
    Count(ViewCount),
    /// The gateway will close this connection: open a new one first, within the spread.
    Drain {
        /// Milliseconds until the first closes.
        after_ms: u64,
        /// Milliseconds over which closes are spread.
        spread_ms: u64,
    },
}

#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(borrow, rename = "type")]
    kind: std::borrow::Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
struct MarkFields {
    offset: Offset,
    sent: u64,
}

#[derive(Serialize, Deserialize)]
struct ResyncFields {
    reason: ResyncReason,
    epoch: Epoch,
    offset: Offset,
}

#[derive(Serialize, Deserialize)]
struct ResultFields {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Box<RawValue>>,
}

#[derive(Serialize, Deserialize)]
struct EndedFields {
    views: Vec<View>,
    reason: EndReason,
}

#[derive(Serialize, Deserialize)]
struct DrainFields {
    after_ms: u64,
    spread_ms: u64,
}

#[derive(Serialize)]
struct Typed<'a, T: Serialize> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(flatten)]
    fields: &'a T,
}

impl ServerMessage {
    /// Parses one text message. Unknown fields are ignored, so that servers may add some; unknown
    /// types are an error that names them, which a client may pass over.
    ///
    /// # Errors
    /// As `serde_json` tells them.
    pub fn parse(text: &[u8]) -> Result<Self, serde_json::Error> {
        use serde::de::Error as _;
        let kind: Kind<'_> = serde_json::from_slice(text)?;
        Ok(match kind.kind.as_ref() {
            "event" => Self::Event(serde_json::from_slice(text)?),
            "mark" => {
                let MarkFields { offset, sent } = serde_json::from_slice(text)?;
                Self::Mark { offset, sent }
            }
            "welcome" => Self::Welcome(serde_json::from_slice(text)?),
            "resync" => {
                let ResyncFields { reason, epoch, offset } = serde_json::from_slice(text)?;
                Self::Resync { reason, epoch, offset }
            }
            "result" => {
                let ResultFields { id, event, error } = serde_json::from_slice(text)?;
                Self::Result { id, event, error }
            }
            "signal" => Self::Signal(serde_json::from_slice(text)?),
            "suggestion" => Self::Suggestion(serde_json::from_slice(text)?),
            "ended" => {
                let EndedFields { views, reason } = serde_json::from_slice(text)?;
                Self::Ended { views, reason }
            }
            "count" => Self::Count(serde_json::from_slice(text)?),
            "drain" => {
                let DrainFields { after_ms, spread_ms } = serde_json::from_slice(text)?;
                Self::Drain { after_ms, spread_ms }
            }
            other => return Err(serde_json::Error::custom(format_args!("unknown message type {other:?}"))),
        })
    }

    /// The message as JSON text.
    ///
    /// # Errors
    /// None that these shapes can cause; as `serde_json` tells them.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        match self {
            Self::Welcome(fields) => typed("welcome", fields),
            Self::Mark { offset, sent } => typed("mark", &MarkFields { offset: *offset, sent: *sent }),
            Self::Resync { reason, epoch, offset } => {
                typed("resync", &ResyncFields { reason: *reason, epoch: *epoch, offset: *offset })
            }
            Self::Ended { views, reason } => {
                typed("ended", &EndedFields { views: views.clone(), reason: *reason })
            }
            Self::Drain { after_ms, spread_ms } => {
                typed("drain", &DrainFields { after_ms: *after_ms, spread_ms: *spread_ms })
            }
            Self::Result { id, event, error } => {
                typed("result", &ResultFields { id: id.clone(), event: event.clone(), error: error.clone() })
            }
            Self::Event(event) => typed("event", event),
            Self::Count(count) => typed("count", count),
            Self::Signal(raw) | Self::Suggestion(raw) => serde_json::to_vec(raw),
        }
    }
}

/// The JSON text of a message that says `fields`.
///
/// # Errors
/// As `serde_json` tells them.
pub fn suggestion_message(fields: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    typed("suggestion", fields)
}

fn typed<T: Serialize>(kind: &'static str, fields: &T) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(&Typed { kind, fields })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_survives_its_text() {
        let messages = [
            r#"{"type":"welcome","session":1,"node":"a","epoch":"00000000000000ff","offset":7,"resumed":true,"heartbeat_ms":15000,"window":4096}"#,
            r#"{"type":"event","offset":8,"ticket":3,"version":1,"kind":"created","at":5,"actor":"agent:1","data":{"a":[1, 2]}}"#,
            r#"{"type":"mark","offset":8,"sent":1}"#,
            r#"{"type":"resync","reason":"ahead","epoch":"00000000000000ff","offset":7}"#,
            r#"{"type":"result","id":"c1","error":{"code":"x"}}"#,
            r#"{"type":"signal","signal":{"typing":3}}"#,
            r#"{"type":"suggestion","ticket":7,"message":3,"answer":"unknown"}"#,
            r#"{"type":"ended","views":["queue:3","mine"],"reason":"no_right"}"#,
            r#"{"type":"count","view":7,"count":12}"#,
            r#"{"type":"count","view":7,"count":11,"delta":-1}"#,
            r#"{"type":"drain","after_ms":1,"spread_ms":2}"#,
        ];
        for text in messages {
            let message = ServerMessage::parse(text.as_bytes()).unwrap();
            assert_eq!(String::from_utf8(message.to_json().unwrap()).unwrap(), text);
        }
        assert!(ServerMessage::parse(br#"{"type":"news"}"#).unwrap_err().to_string().contains("news"));
    }
}
