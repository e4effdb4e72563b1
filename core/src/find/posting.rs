//! The tickets that have one value: most values have few.

use roaring::RoaringBitmap;
use smallvec::SmallVec;

/// Tickets that are kept without a bitmap.
const FEW: usize = 4;

/// A set of tickets.
#[derive(Debug, Clone)]
pub(super) enum Posting {
    /// In order.
    Few(SmallVec<[u32; FEW]>),
    Many(Box<RoaringBitmap>),
}

impl Default for Posting {
    fn default() -> Self {
        Self::Few(SmallVec::new())
    }
}

impl Posting {
    pub(super) fn insert(&mut self, ticket: u32) {
        match self {
            Self::Many(tickets) => {
                tickets.insert(ticket);
            }
            Self::Few(tickets) => match tickets.binary_search(&ticket) {
                Ok(_) => {}
                Err(place) if tickets.len() < FEW => tickets.insert(place, ticket),
                Err(_) => {
                    let mut many: RoaringBitmap = tickets.iter().copied().collect();
                    many.insert(ticket);
                    *self = Self::Many(Box::new(many));
                }
            },
        }
    }

    pub(super) fn remove(&mut self, ticket: u32) {
        match self {
            Self::Many(tickets) => {
                tickets.remove(ticket);
            }
            Self::Few(tickets) => tickets.retain(|known| *known != ticket),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Few(tickets) => tickets.is_empty(),
            Self::Many(tickets) => tickets.is_empty(),
        }
    }

    /// The tickets of all of these.
    pub(super) fn union<'a>(postings: impl Iterator<Item = &'a Self>) -> RoaringBitmap {
        let (mut few, mut found) = (Vec::new(), RoaringBitmap::new());
        for posting in postings {
            match posting {
                Self::Few(tickets) => few.extend_from_slice(tickets),
                Self::Many(tickets) => found |= &**tickets,
            }
        }
        // One by one, out of order, they would take ten times as long.
        few.sort_unstable();
        few.dedup();
        found | RoaringBitmap::from_sorted_iter(few).unwrap_or_default()
    }
}
