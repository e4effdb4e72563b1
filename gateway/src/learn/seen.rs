//! An event of the log, as the assistant reads it.

use serde::Deserialize;
use serde_json::value::RawValue;
use waggle_core::id::{Offset, QueueId, TicketId, Version};
use waggle_core::learn::Happening;
use waggle_core::ticket::{Actor, Entry, Kind};
use waggle_core::time::Timestamp;

/// An event with its data.
#[derive(Debug)]
pub(super) struct Seen {
    offset: Offset,
    ticket: TicketId,
    version: Version,
    kind: Kind,
    actor: Actor,
    at: Timestamp,
    queue: QueueId,
    data: Box<RawValue>,
}

#[derive(Deserialize)]
struct Message<'a> {
    at: Timestamp,
    actor: &'a str,
    data: Box<RawValue>,
}

impl Seen {
    /// `None` where it is of a kind that this version does not know.
    pub(super) fn of(entry: &Entry) -> Option<Self> {
        let kind = entry.kind()?;
        let json = entry.json();
        // It was written as JSON of this shape.
        let Message { at, actor, data } = serde_json::from_slice(&json).ok()?;
        Some(Self {
            offset: entry.offset,
            ticket: entry.ticket,
            version: entry.version,
            kind,
            actor: Actor::from_name(actor)?,
            at,
            queue: entry.route.queue,
            data,
        })
    }

    pub(super) fn happening(&self) -> Happening<'_> {
        Happening {
            offset: self.offset,
            ticket: self.ticket,
            version: self.version,
            kind: self.kind,
            actor: self.actor,
            at: self.at,
            queue: self.queue,
            data: self.data.get(),
        }
    }
}

/// Whether events of this kind may teach something. Of the others a dialogue that is not in memory needs to know nothing
/// before it is made of its ticket's events.
pub(super) fn may_teach(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Created
            | Kind::Message
            | Kind::Reply
            | Kind::Set
            | Kind::Feedback
            | Kind::Labelled
            | Kind::Taught
    )
}
