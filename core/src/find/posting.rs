//! The tickets that have one value: most values have few.

use roaring::RoaringBitmap;
use smallvec::SmallVec;

use super::bits::Bits;

/// Tickets that are kept in place.
const INLINE: usize = 4;
/// Tickets that are kept without a bitmap: one look into memory finds them, a bitmap of few needs four.
const FEW: usize = 64;
/// Of a bitmap with more than one of so many tickets, whole words are merged.
const DENSE: u64 = 16;

/// A set of tickets.
#[derive(Debug, Clone)]
pub(super) enum Posting {
    /// In order.
    Few(SmallVec<[u32; INLINE]>),
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

    /// The tickets of all of these, whose numbers are below `end`.
    pub(super) fn union<'a>(mut postings: impl Iterator<Item = &'a Self>, end: usize) -> RoaringBitmap {
        let Some(first) = postings.next() else { return RoaringBitmap::new() };
        let Some(second) = postings.next() else { return first.to_bitmap() };
        // Merged in order, one after the other, many small sets would take ten times as long.
        let (mut bits, mut large) = (Bits::below(end), RoaringBitmap::new());
        for posting in [first, second].into_iter().chain(postings) {
            match posting {
                Self::Few(tickets) => tickets.iter().for_each(|ticket| bits.insert(*ticket)),
                Self::Many(tickets) if tickets.len() * DENSE > end as u64 => large |= &**tickets,
                Self::Many(tickets) => tickets.iter().for_each(|ticket| bits.insert(ticket)),
            }
        }
        large | bits.into_bitmap()
    }

    fn to_bitmap(&self) -> RoaringBitmap {
        match self {
            Self::Few(tickets) => tickets.iter().copied().collect(),
            Self::Many(tickets) => RoaringBitmap::clone(tickets),
        }
    }
}
