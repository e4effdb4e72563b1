//! One ticket in memory: the cell that admission races on, and what the writer has made of it so far.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::id::{AgentId, Offset, QueueId, Version};
use crate::ticket::{Cell, Followers, NewEvent, Route};
use crate::time::Timestamp;

/// A ticket's cell, and the writer's own notes beside it.
#[derive(Debug)]
pub struct Slot {
    /// Where admission decides.
    pub cell: Cell,
    /// Touched by the one writer alone; a lock only because the slot is shared.
    written: Mutex<(Written, Followers)>,
    /// The same queue, for those who ask what may be done in it: without waiting for the writer.
    queue: AtomicU32,
}

/// A ticket after the newest of its events that has a place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Written {
    /// That event's version; 0 before the first.
    pub version: Version,
    /// That event's offset; 0 before the first.
    pub offset: Offset,
    /// Where it waits.
    pub queue: QueueId,
    /// Who holds it.
    pub agent: Option<AgentId>,
    /// Since when; 0 where that was before the ticket was read from storage.
    pub held_since: Timestamp,
}

impl Slot {
    /// A slot for a ticket whose events up to `written.version` are in the log.
    #[must_use]
    pub fn new(cell: Cell, written: Written) -> Self {
        let queue = AtomicU32::new(written.queue.0);
        Self { cell, written: Mutex::new((written, Followers::default())), queue }
    }

    /// The same for a ticket that is followed.
    #[must_use]
    pub fn followed_by(self, followers: Followers) -> Self {
        let written = (self.written(), followers);
        Self { written: Mutex::new(written), ..self }
    }

    /// What the writer knows.
    pub fn written(&self) -> Written {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    /// Where the ticket waits after the newest of its events that has a place in the log.
    #[must_use]
    pub fn queue(&self) -> QueueId {
        QueueId(self.queue.load(Ordering::Acquire))
    }

    /// Whether `event` is the next.
    pub(super) fn is_due(&self, event: &NewEvent) -> bool {
        event.version == self.written().version.next()
    }

    /// Takes the next event in, with the offset that it gets: returns whose views it belongs to, whom it concerns
    /// besides, and the offset of the ticket's event before it. `None` where another version is due.
    pub(super) fn write(
        &self,
        event: &NewEvent,
        offset: Offset,
    ) -> Option<(Route, Followers, Option<Offset>)> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let (written, followers) = &mut *written;
        if event.version != written.version.next() {
            return None;
        }
        let before = *written;
        written.version = event.version;
        written.offset = offset;
        written.queue = event.queue.unwrap_or(before.queue);
        written.agent = event.holder.unwrap_or(before.agent);
        self.queue.store(written.queue.0, Ordering::Release);
        written.held_since = event.holder.map_or(before.held_since, |_| event.at);
        let is_first = before.version == Version(0);
        let route = Route {
            queue: written.queue,
            queue_from: (before.queue != written.queue && !is_first).then_some(before.queue),
            agent: written.agent,
            agent_from: before.agent.filter(|_| before.agent != written.agent),
        };
        let mut concerned = followers.clone();
        if let Some(concerns) = &event.concerns {
            // Who ends to follow sees that he does.
            *followers = followers.after(&concerns.follows);
            concerned = concerned.with(followers.iter().chain(concerns.mentions.iter().copied()));
        }
        Some((route, concerned, (!is_first).then_some(before.offset)))
    }
}
