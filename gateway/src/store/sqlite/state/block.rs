//! The part of a ticket that changes all the time, in a fixed number of bytes: all tickets have it in memory.

use waggle_core::id::{AgentId, Fence, Offset, QueueId, TicketId, Version};
use waggle_core::ticket::{Priority, Status};
use waggle_core::time::Timestamp;

use crate::store::{StoreError, TicketFilter};

/// Tickets in a block. An encoded block and SQLite's overhead fit a page of 4,096 bytes.
pub(super) const TICKETS: usize = 96;
/// Bytes of an encoded ticket.
const BYTES: usize = 42;

/// A ticket as the newest of its events left it, without its texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct TicketState {
    /// 0 where there is no such ticket.
    pub(super) version: Version,
    pub(super) fence: Fence,
    pub(super) queue: QueueId,
    /// 0 is nobody: agents are counted from 1.
    assignee: u32,
    pub(super) newest: Offset,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
    status: u8,
    priority: u8,
    /// Whether what it has beyond this may say something that a command is decided by.
    pub(super) concerns: bool,
}

/// The bit beside an encoded priority that says so.
const CONCERNS: u8 = 0x80;

const PRIORITIES: [Priority; 4] = [Priority::Low, Priority::Normal, Priority::High, Priority::Urgent];

impl TicketState {
    pub(super) fn exists(&self) -> bool {
        self.version != Version(0)
    }

    pub(super) fn assignee(&self) -> Option<AgentId> {
        (self.assignee != 0).then_some(AgentId(self.assignee))
    }

    pub(super) fn set_assignee(&mut self, agent: Option<AgentId>) {
        self.assignee = agent.map_or(0, |agent| agent.0);
    }

    pub(super) fn status(&self) -> Status {
        Status::from_index(self.status)
    }

    pub(super) fn set_status(&mut self, status: Status) {
        self.status = status.index();
    }

    pub(super) fn priority(&self) -> Priority {
        PRIORITIES.get(usize::from(self.priority)).copied().unwrap_or_default()
    }

    pub(super) fn set_priority(&mut self, priority: Priority) {
        let place = PRIORITIES.iter().position(|known| *known == priority);
        self.priority = place.and_then(|place| u8::try_from(place).ok()).unwrap_or_default();
    }

    /// Whether a list with this filter shows it.
    pub(super) fn fits(&self, filter: &TicketFilter) -> bool {
        self.exists()
            && filter.queue.is_none_or(|queue| queue == self.queue)
            && filter.status.is_none_or(|statuses| statuses.contains(self.status()))
            && filter.assignee.is_none_or(|assignee| assignee == self.assignee())
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.newest.0.to_le_bytes());
        out.extend(self.created_at.0.to_le_bytes());
        out.extend(self.updated_at.0.to_le_bytes());
        for number in [self.version.0, self.fence.0, self.queue.0, self.assignee] {
            out.extend(number.to_le_bytes());
        }
        let concerns = if self.concerns { CONCERNS } else { 0 };
        out.extend([self.status, self.priority | concerns]);
    }

    fn decode(bytes: &[u8; BYTES]) -> Option<Self> {
        let (long, rest) = bytes.as_chunks::<8>().0.split_at_checked(3)?;
        debug_assert_eq!(rest.len(), 2, "the rest is shorter numbers");
        let (short, last) = bytes.split_at_checked(24)?.1.as_chunks::<4>();
        let long = |place: usize| long.get(place).map(|bytes| u64::from_le_bytes(*bytes));
        let short = |place: usize| short.get(place).map(|bytes| u32::from_le_bytes(*bytes));
        let [status, last] = last.first_chunk().copied()?;
        let priority = last & !CONCERNS;
        (usize::from(priority) < PRIORITIES.len()).then_some(Self {
            newest: Offset(long(0)?),
            created_at: Timestamp(long(1)?),
            updated_at: Timestamp(long(2)?),
            version: Version(short(0)?),
            fence: Fence(short(1)?),
            queue: QueueId(short(2)?),
            assignee: short(3)?,
            status,
            priority,
            concerns: last & CONCERNS != 0,
        })
    }
}

/// Neighbouring tickets, written together.
#[derive(Debug, Clone)]
pub(super) struct Block {
    tickets: [TicketState; TICKETS],
    /// Whether storage has it otherwise.
    pub(super) is_dirty: bool,
}

impl Default for Block {
    fn default() -> Self {
        Self { tickets: [TicketState::default(); TICKETS], is_dirty: false }
    }
}

impl Block {
    pub(super) fn get(&self, place: usize) -> Option<&TicketState> {
        self.tickets.get(place)
    }

    pub(super) fn get_mut(&mut self, place: usize) -> Option<&mut TicketState> {
        self.tickets.get_mut(place)
    }

    /// Notes in `dirty`, once, that this block, `number`, is to be written.
    pub(super) fn mark(&mut self, number: usize, dirty: &mut Vec<usize>) {
        if !self.is_dirty {
            self.is_dirty = true;
            dirty.push(number);
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(TICKETS * BYTES);
        self.tickets.iter().for_each(|ticket| ticket.encode(&mut out));
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let unknown =
            || StoreError::Unknown { what: "block of tickets", value: format!("{} bytes", bytes.len()) };
        let (encoded, rest) = bytes.as_chunks::<BYTES>();
        let mut block = Self::default();
        if encoded.len() != TICKETS || !rest.is_empty() {
            return Err(unknown());
        }
        for (ticket, bytes) in block.tickets.iter_mut().zip(encoded) {
            *ticket = TicketState::decode(bytes).ok_or_else(unknown)?;
        }
        Ok(block)
    }
}

/// Block and place of a ticket: tickets are counted from 1, without gaps but for those that failed; before them is
/// [`TicketId::TENANT`].
pub(super) fn place_of(ticket: TicketId) -> Option<(usize, usize)> {
    let index = usize::try_from(ticket.0).ok()?;
    Some((index / TICKETS, index % TICKETS))
}

/// The ticket at `place` of block number `block`.
pub(super) fn ticket_at(block: usize, place: usize) -> TicketId {
    TicketId(u64::try_from(block * TICKETS + place).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_comes_back_as_it_was() {
        let mut block = Block::default();
        let mut state = TicketState {
            version: Version(7),
            fence: Fence(3),
            queue: QueueId(u32::MAX),
            newest: Offset(u64::MAX),
            created_at: Timestamp(1),
            updated_at: Timestamp(2),
            ..TicketState::default()
        };
        state.set_assignee(Some(AgentId(9)));
        state.set_status(Status::from_index(5));
        state.set_priority(Priority::Urgent);
        state.concerns = true;
        *block.get_mut(TICKETS - 1).unwrap() = state;
        let encoded = block.encode();
        assert!(encoded.len() <= 4_061, "SQLite keeps a cell of this size on one page of 4,096 bytes");
        let back = Block::decode(&encoded).unwrap();
        assert_eq!(back.tickets, block.tickets);
        assert!(Block::decode(&encoded[1..]).is_err());
        assert!(Block::decode(&vec![255; encoded.len()]).is_err(), "a status that cannot be");
    }

    #[test]
    fn places_and_tickets_are_each_other() {
        for ticket in [0, 1, 2, 95, 96, 97, 1_000_000] {
            let (block, place) = place_of(TicketId(ticket)).unwrap();
            assert_eq!(ticket_at(block, place), TicketId(ticket));
        }
    }
}
