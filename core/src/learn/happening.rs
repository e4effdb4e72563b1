//! What a tenant's log says, as far as the assistant reads it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;

use crate::id::{Offset, QueueId, TicketId, Version};
use crate::ticket::{Actor, Kind, StoredEvent, Suggested, Verdict};
use crate::time::Timestamp;

/// One event of the log.
#[derive(Debug, Clone, Copy)]
pub struct Happening<'a> {
    /// Its place in the log.
    pub offset: Offset,
    /// Of which ticket; [`TicketId::TENANT`] is the tenant itself.
    pub ticket: TicketId,
    /// The version that it made.
    pub version: Version,
    /// What happened.
    pub kind: Kind,
    /// By whom.
    pub actor: Actor,
    /// When.
    pub at: Timestamp,
    /// The ticket's queue after it.
    pub queue: QueueId,
    /// The event's `data` object, as JSON.
    pub data: &'a str,
}

impl<'a> Happening<'a> {
    /// The event as it is in the log.
    #[must_use]
    pub fn of(event: &'a StoredEvent) -> Self {
        Self {
            offset: event.offset,
            ticket: event.ticket,
            version: event.version,
            kind: event.kind,
            actor: event.actor,
            at: event.at,
            queue: event.route.queue,
            data: &event.data,
        }
    }

    /// Its data; nothing where it cannot be read, as in an event of a later version.
    pub(super) fn told(&self) -> Told<'a> {
        serde_json::from_str(self.data).unwrap_or_default()
    }
}

/// The members of events' data that the assistant looks at.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Told<'a> {
    #[serde(borrow)]
    pub(super) subject: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) requester: Option<Cow<'a, str>>,
    pub(super) requester_id: Option<u64>,
    #[serde(borrow)]
    pub(super) text: Option<Cow<'a, str>>,
    pub(super) tags: Option<BTreeMap<String, Option<bool>>>,
    pub(super) agent: Option<u32>,
    pub(super) suggestion: Option<Suggested>,
    #[serde(rename = "macro", borrow)]
    pub(super) made_with: Option<Cow<'a, str>>,
    pub(super) automatic: bool,
    pub(super) message: Option<Version>,
    pub(super) reply: Option<u64>,
    pub(super) verdict: Option<Verdict>,
    #[serde(borrow)]
    pub(super) intent: Option<Cow<'a, str>>,
    pub(super) erased: bool,
}
