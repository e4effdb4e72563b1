//! Tickets as bits, one for each number from 0 on: what is added to it may come in any order, and costs the same.

use std::ops::Range;

use roaring::RoaringBitmap;

/// Bits in a byte.
const BYTE: usize = 8;

/// A set that is being made.
pub(super) struct Bits(Vec<u8>);

impl Bits {
    /// None of the tickets whose numbers are below `end`.
    pub(super) fn below(end: usize) -> Self {
        Self(vec![0; end.div_ceil(BYTE)])
    }

    pub(super) fn insert(&mut self, ticket: u32) {
        let Ok(place) = usize::try_from(ticket) else { return };
        if let Some(byte) = self.0.get_mut(place / BYTE) {
            *byte |= 1 << (place % BYTE);
        }
    }

    /// Adds those of the tickets from `first` on, a multiple of eight, whose values are in `wanted`.
    pub(super) fn insert_within(&mut self, first: usize, values: &[u64], wanted: &Range<u64>) {
        // One comparison for both ends.
        let (from, wide) = (wanted.start, wanted.end.saturating_sub(wanted.start));
        let bytes = self.0.get_mut(first / BYTE..).unwrap_or_default();
        for (byte, values) in bytes.iter_mut().zip(values.chunks(BYTE)) {
            let fits = |(place, value): (usize, &u64)| u8::from(value.wrapping_sub(from) < wide) << place;
            *byte |= values.iter().enumerate().map(fits).fold(0, |all, bit| all | bit);
        }
    }

    /// Adds the tickets from `first` to before `end`, multiples of eight.
    pub(super) fn insert_range(&mut self, tickets: Range<usize>) {
        let end = (tickets.end / BYTE).min(self.0.len());
        if let Some(bytes) = self.0.get_mut(tickets.start / BYTE..end) {
            bytes.fill(u8::MAX);
        }
    }

    pub(super) fn into_bitmap(self) -> RoaringBitmap {
        RoaringBitmap::from_lsb0_bytes(0, &self.0)
    }
}
