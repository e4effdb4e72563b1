//! Signals: live hints about who looks at what, who types and who is there. They are never stored, and may
//! be lost or merged on their way.

mod board;
mod hint;
mod presence;

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::value::RawValue;

pub use board::{Board, HeldSignals, Noted, SignalNews};
pub use hint::{Hint, TicketHint};
pub use presence::Presence;

use super::frame::text_frame;
use crate::id::{AgentId, TicketId};

/// What an agent does at a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SignalKind {
    /// Has it on the screen, until said otherwise.
    Viewing,
    /// Writes. Ends by itself unless it is said again.
    Typing,
}

impl SignalKind {
    /// As on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Viewing => "viewing",
            Self::Typing => "typing",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        [Self::Viewing, Self::Typing].into_iter().find(|kind| kind.name() == name)
    }
}

impl fmt::Display for SignalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A signal as its sender says it.
#[derive(Debug, Clone, Copy)]
pub struct Signal<'a> {
    /// What.
    pub kind: SignalKind,
    /// Where.
    pub ticket: TicketId,
    /// Whether it begins or goes on, or ends.
    pub on: bool,
    /// More about it: a JSON object of at most [`crate::limits::SIGNAL_DATA_BYTES_MAX`] bytes, only where
    /// it is on.
    pub data: Option<&'a RawValue>,
}

/// What signals are merged by: of those with the same key only the newest matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SignalKey {
    /// What.
    pub kind: SignalKind,
    /// Where.
    pub ticket: TicketId,
    /// Who.
    pub agent: AgentId,
}

impl Signal<'_> {
    /// The frame that tells `agent`'s signal, the same bytes for all who are told.
    #[must_use]
    pub fn frame(&self, agent: AgentId) -> Bytes {
        let key = SignalKey { kind: self.kind, ticket: self.ticket, agent };
        frame(key, self.on, self.data.map(RawValue::get))
    }
}

impl SignalKey {
    /// The frame that tells its end.
    #[must_use]
    pub fn off_frame(&self) -> Bytes {
        frame(*self, false, None)
    }
}

fn frame(key: SignalKey, on: bool, data: Option<&str>) -> Bytes {
    use std::fmt::Write;
    let mut json = BytesMut::with_capacity(80 + data.map_or(0, str::len));
    let SignalKey { kind, ticket, agent } = key;
    // Writing to memory that grows does not fail.
    let _ = write!(json, r#"{{"type":"signal","kind":"{kind}","ticket":{ticket},"agent":{agent},"on":{on}"#);
    if let Some(data) = data {
        json.put_slice(br#","data":"#);
        json.put_slice(data.as_bytes());
    }
    json.put_u8(b'}');
    text_frame(&json)
}

/// Frames that tell who is there (`true`) and who is not: several where there are more than
/// [`crate::limits::PRESENCE_AGENTS_MAX`]. Where these are `all` who are there, the first one says so, and
/// it is there even for nobody.
#[must_use]
pub fn presence_frames(agents: &[(AgentId, bool)], all: bool) -> Vec<Bytes> {
    use std::fmt::Write;
    let nobody = (all && agents.is_empty()).then_some(agents);
    let chunks = agents.chunks(crate::limits::PRESENCE_AGENTS_MAX).chain(nobody);
    let frames = chunks.enumerate().map(|(number, chunk)| {
        let mut json = BytesMut::with_capacity(64 + 36 * chunk.len());
        json.put_slice(br#"{"type":"signal","kind":"presence","#);
        if all && number == 0 {
            json.put_slice(br#""all":true,"#);
        }
        json.put_slice(br#""agents":["#);
        for (place, (agent, online)) in chunk.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            let state = if *online { "online" } else { "offline" };
            // Writing to memory that grows does not fail.
            let _ = write!(json, r#"{comma}{{"agent":{agent},"state":"{state}"}}"#);
        }
        json.put_slice(b"]}");
        text_frame(&json)
    });
    frames.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::PRESENCE_AGENTS_MAX;

    #[test]
    fn frames_tell_who_and_what() {
        let data = RawValue::from_string(r#"{"at":[1, 2]}"#.to_owned()).unwrap();
        let signal =
            Signal { kind: SignalKind::Typing, ticket: TicketId(17), on: true, data: Some(data.as_ref()) };
        let frame = signal.frame(AgentId(5));
        let text =
            r#"{"type":"signal","kind":"typing","ticket":17,"agent":5,"on":true,"data":{"at":[1, 2]}}"#;
        assert_eq!(frame, text_frame(text.as_bytes()));
        let key = SignalKey { kind: SignalKind::Viewing, ticket: TicketId(1), agent: AgentId(2) };
        let text = r#"{"type":"signal","kind":"viewing","ticket":1,"agent":2,"on":false}"#;
        assert_eq!(key.off_frame(), text_frame(text.as_bytes()));
    }

    #[test]
    fn presence_comes_in_bounded_messages() {
        assert!(presence_frames(&[], false).is_empty());
        let nobody = r#"{"type":"signal","kind":"presence","all":true,"agents":[]}"#;
        assert_eq!(presence_frames(&[], true), [text_frame(nobody.as_bytes())]);
        let text = r#"{"type":"signal","kind":"presence","agents":[{"agent":1,"state":"online"},{"agent":2,"state":"offline"}]}"#;
        let frames = presence_frames(&[(AgentId(1), true), (AgentId(2), false)], false);
        assert_eq!(frames, [text_frame(text.as_bytes())]);
        let many: Vec<_> = (1..=2 * PRESENCE_AGENTS_MAX as u32 + 1).map(|id| (AgentId(id), true)).collect();
        let marked = presence_frames(&many, true)
            .iter()
            .map(|frame| frame.windows(5).any(|five| five == b"\"all\""))
            .collect::<Vec<_>>();
        assert_eq!(marked, [true, false, false]);
    }
}
