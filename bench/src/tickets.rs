//! The tickets that commands go to, and what is known of each.

use serde::{Deserialize, Serialize};

use crate::clock::Random;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Use {
    #[default]
    Idle,
    /// A command is on its way.
    Busy,
    /// Its version is not known any more.
    Retired,
}

/// Where a ticket is before its first move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Open.
    Open,
    /// Elsewhere, from where it may become open.
    Other,
}

/// A ticket that moves between open and pending for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// Its id.
    pub id: u64,
    /// Its version.
    pub version: u32,
    is_open: bool,
    #[serde(skip)]
    state: Use,
}

impl Ticket {
    /// A new ticket.
    #[must_use]
    pub fn new(id: u64) -> Self {
        Self::at(id, 1, Phase::Other)
    }

    /// One that has had its part already.
    #[must_use]
    pub fn at(id: u64, version: u32, phase: Phase) -> Self {
        Self { id, version, is_open: phase == Phase::Open, state: Use::Idle }
    }

    /// Where the next move goes: from new to open, then to and fro.
    #[must_use]
    pub fn next_status(&self) -> &'static str {
        if self.is_open { "pending" } else { "open" }
    }
}

/// All of them.
#[derive(Debug, Default)]
pub struct Tickets {
    all: Vec<Ticket>,
    /// How many are idle.
    idle: usize,
    retired: usize,
}

impl Tickets {
    /// These.
    #[must_use]
    pub fn new(all: Vec<Ticket>) -> Self {
        Self { idle: all.len(), retired: 0, all }
    }

    /// Their ids.
    pub fn ids(&self) -> impl Iterator<Item = u64> {
        self.all.iter().map(|ticket| ticket.id)
    }

    /// All, as they are now.
    pub fn iter(&self) -> impl Iterator<Item = Ticket> {
        self.all.iter().copied()
    }

    /// One at random, whatever is on its way to it, with its place.
    #[must_use]
    pub fn look(&self, random: &mut Random) -> Option<(usize, Ticket)> {
        let index = random.below(self.all.len());
        self.all.get(index).map(|ticket| (index, *ticket))
    }

    /// Whether one can be taken.
    #[must_use]
    pub fn has_idle(&self) -> bool {
        self.idle > 0
    }

    /// Whether none can ever be taken again.
    #[must_use]
    pub fn all_retired(&self) -> bool {
        self.retired == self.all.len()
    }

    /// Takes one at random that has no command on its way, with its place.
    pub fn take(&mut self, random: &mut Random) -> Option<(usize, Ticket)> {
        if self.idle == 0 {
            return None;
        }
        let start = random.below(self.all.len());
        for index in (start..self.all.len()).chain(0..start) {
            if let Some(ticket) = self.all.get_mut(index)
                && ticket.state == Use::Idle
            {
                ticket.state = Use::Busy;
                self.idle -= 1;
                return Some((index, *ticket));
            }
        }
        None
    }

    /// The move was made.
    pub fn moved(&mut self, index: usize, version: u32) {
        if let Some(ticket) = self.all.get_mut(index) {
            ticket.version = version;
            ticket.is_open = !ticket.is_open;
            ticket.state = Use::Idle;
            self.idle += 1;
        }
    }

    /// The move was refused, and the ticket is as it was.
    pub fn unmoved(&mut self, index: usize) {
        if let Some(ticket) = self.all.get_mut(index) {
            ticket.state = Use::Idle;
            self.idle += 1;
        }
    }

    /// What became of the move is not known.
    pub fn retire(&mut self, index: usize) {
        if let Some(ticket) = self.all.get_mut(index) {
            ticket.state = Use::Retired;
            self.retired += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_or_retired_ticket_is_not_taken() {
        let mut tickets = Tickets::new(vec![Ticket::new(1), Ticket::new(2), Ticket::new(3)]);
        let mut random = Random::new(1);
        let taken = [(); 3].map(|()| tickets.take(&mut random).unwrap());
        assert!(tickets.take(&mut random).is_none());
        tickets.retire(taken[0].0);
        tickets.moved(taken[1].0, 2);
        let (index, again) = tickets.take(&mut random).unwrap();
        assert_eq!((index, again.version, again.next_status()), (taken[1].0, 2, "pending"));
    }
}
