//! What an event changes of its ticket: from a command as it is committed, or from the log.

use memchr::memmem;
use serde::Deserialize;
use waggle_core::id::{AgentId, Fence, Offset, QueueId, TicketId, Version};
use waggle_core::ticket::{Kind, Priority, Status};
use waggle_core::time::Timestamp;

use super::block::TicketState;
use super::conflict;
use super::text::TextChange;
use crate::store::{CommitEvent, StoreError};

/// One event's part in the fold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store::sqlite) struct Change {
    pub(in crate::store::sqlite) offset: Offset,
    pub(in crate::store::sqlite) ticket: TicketId,
    pub(in crate::store::sqlite) version: Version,
    pub(in crate::store::sqlite) at: Timestamp,
    pub(in crate::store::sqlite) queue: QueueId,
    pub(in crate::store::sqlite) agent: Option<AgentId>,
    /// These where they change.
    pub(in crate::store::sqlite) status: Option<Status>,
    pub(in crate::store::sqlite) fence: Option<Fence>,
    pub(in crate::store::sqlite) priority: Option<Priority>,
    pub(in crate::store::sqlite) text: Option<TextChange>,
    /// Whether the texts may say something that a command is decided by.
    pub(in crate::store::sqlite) concerns: bool,
}

/// Members of a ticket's object that commands are decided by.
const CONCERNING: [&[u8]; 2] = [b"\"followers\"", b"\"deleted\""];

/// The members of an event's data that are texts of its ticket.
#[derive(Debug, Default, Deserialize)]
struct Texts {
    subject: Option<String>,
    requester: Option<String>,
    follow_up_of: Option<u64>,
}

impl Change {
    /// Of an event that has just been committed.
    pub(super) fn of(commit: &CommitEvent) -> Self {
        let CommitEvent { offset, event, route, subject, requester, follow_up_of, .. } = commit;
        let text = TextChange {
            newest: *offset,
            created: (event.kind == Kind::Created)
                .then(|| (requester.clone().unwrap_or_default(), *follow_up_of)),
            subject: subject.clone(),
            patches: event.patch.iter().map(|patch| patch.to_vec()).collect(),
            erases: event.kind == Kind::Erased,
        };
        Self {
            offset: *offset,
            ticket: event.ticket,
            version: event.version,
            at: event.at,
            queue: route.queue,
            agent: route.agent,
            status: event.changed_status(),
            fence: event.changed_fence(),
            priority: event.priority,
            concerns: concerns(&text),
            text: (!text.is_empty()).then_some(text),
        }
    }

    /// Adds the texts that an event in the log has in its data.
    ///
    /// # Errors
    /// Where the data is not what such an event has.
    pub(in crate::store::sqlite) fn with_texts(
        mut self,
        kind: Kind,
        data: &str,
        patch: Option<String>,
    ) -> Result<Self, StoreError> {
        let texts: Texts = match kind {
            Kind::Created | Kind::Set => serde_json::from_str(data)
                .map_err(|error| StoreError::Unknown { what: "event data", value: error.to_string() })?,
            _ => Texts::default(),
        };
        let text = TextChange {
            newest: self.offset,
            created: (kind == Kind::Created)
                .then(|| (texts.requester.unwrap_or_default(), texts.follow_up_of.map(TicketId))),
            subject: texts.subject,
            patches: patch.map(String::into_bytes).into_iter().collect(),
            erases: kind == Kind::Erased,
        };
        self.concerns = concerns(&text);
        self.text = (!text.is_empty()).then_some(text);
        Ok(self)
    }

    /// The state after the event; it must be the next of its ticket.
    pub(super) fn apply(&self, state: &mut TicketState) -> Result<(), StoreError> {
        if self.version != state.version.next() {
            return Err(conflict("an event of a ticket is missing in the log"));
        }
        if !state.exists() {
            state.created_at = self.at;
            state.set_priority(Priority::default());
        }
        state.version = self.version;
        state.newest = self.offset;
        state.updated_at = self.at;
        state.queue = self.queue;
        state.set_assignee(self.agent);
        state.fence = self.fence.unwrap_or(state.fence);
        if let Some(status) = self.status {
            state.set_status(status);
        }
        if let Some(priority) = self.priority {
            state.set_priority(priority);
        }
        state.concerns |= self.concerns;
        Ok(())
    }
}

/// What is found may be anything's name or value: then the ticket's texts are read for nothing.
fn concerns(text: &TextChange) -> bool {
    let found = |patch: &[u8]| CONCERNING.iter().any(|name| memmem::find(patch, name).is_some());
    text.patches.iter().any(|patch| found(patch))
}
