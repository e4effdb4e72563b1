//! A time of every ticket. Neighbouring tickets are a zone whose earliest and latest time are known, so that most of
//! them are taken or left out whole: tickets that were made one after the other change at about the same time.

use std::collections::BinaryHeap;

use roaring::RoaringBitmap;

use super::bits::Bits;
use super::order::Direction;

/// Tickets in a zone.
const ZONE: usize = 1_024;
/// Fewer candidates than one of so many tickets are looked at one by one.
const FEW_OF: u64 = 16;

/// Times by ticket; 0 where there is none.
#[derive(Debug, Default)]
pub(super) struct TimeColumn {
    values: Vec<u64>,
    zones: Vec<Zone>,
}

/// Bounds of a zone's times. They may be wider than the times are.
#[derive(Debug, Clone, Copy)]
struct Zone {
    earliest: u64,
    latest: u64,
}

/// A ticket's place in an order that begins with the least.
pub(super) type Rank = (u64, u32);

impl TimeColumn {
    pub(super) fn get(&self, ticket: u32) -> u64 {
        usize::try_from(ticket).ok().and_then(|place| self.values.get(place)).copied().unwrap_or_default()
    }

    pub(super) fn set(&mut self, ticket: u32, value: u64) {
        let Ok(place) = usize::try_from(ticket) else { return };
        if place >= self.values.len() {
            self.values.resize(place + 1, 0);
        }
        let zone = place / ZONE;
        if zone >= self.zones.len() {
            self.zones.resize(zone + 1, Zone { earliest: u64::MAX, latest: 0 });
        }
        if let (Some(known), Some(zone)) = (self.values.get_mut(place), self.zones.get_mut(zone)) {
            *known = value;
            zone.earliest = zone.earliest.min(value);
            zone.latest = zone.latest.max(value);
        }
    }

    /// Those of `candidates` whose time is in `from..until`.
    pub(super) fn within(&self, from: u64, until: u64, candidates: &RoaringBitmap) -> RoaringBitmap {
        if candidates.len() * FEW_OF < self.values.len() as u64 {
            let fits = |ticket: &u32| (from..until).contains(&self.get(*ticket));
            return RoaringBitmap::from_sorted_iter(candidates.iter().filter(fits)).unwrap_or_default();
        }
        let mut bits = Bits::below(self.values.len());
        for (number, (zone, values)) in self.zones.iter().zip(self.values.chunks(ZONE)).enumerate() {
            let first = number * ZONE;
            if zone.earliest >= from && zone.latest < until {
                bits.insert_range(first..first + ZONE);
            } else if zone.latest >= from && zone.earliest < until {
                bits.insert_within(first, values, &(from..until));
            }
        }
        // Those that have no time, and those in a zone that nobody asked for, go.
        bits.into_bitmap() & candidates
    }

    /// The first `limit` of `tickets` behind `after`, in order of their times and then numbers.
    pub(super) fn first(
        &self,
        tickets: &RoaringBitmap,
        direction: Direction,
        after: Option<Rank>,
        limit: usize,
    ) -> Vec<u32> {
        let mut zones: Vec<_> = self
            .zones()
            .map(|(numbers, zone)| match direction {
                Direction::Ascending => (zone.earliest, zone.latest, numbers),
                Direction::Descending => (!zone.latest, !zone.earliest, numbers),
            })
            .filter(|(_, last, _)| after.is_none_or(|(time, _)| *last >= time))
            .collect();
        zones.sort_unstable_by_key(|(first, _, _)| *first);
        let mut best: BinaryHeap<Rank> = BinaryHeap::with_capacity(limit + 1);
        let mut buffer = [0; ZONE];
        for (first, _, numbers) in zones {
            if best.len() >= limit && best.peek().is_none_or(|worst| first > worst.0) {
                break;
            }
            for &ticket in &*tickets.range(numbers).next_many(&mut buffer) {
                let rank = direction.rank(self.get(ticket), ticket);
                if after.is_some_and(|after| rank <= after) {
                    continue;
                }
                if best.len() < limit {
                    best.push(rank);
                } else if let Some(mut worst) = best.peek_mut().filter(|worst| rank < **worst) {
                    *worst = rank;
                }
            }
        }
        best.into_sorted_vec().into_iter().map(|rank| direction.ticket(rank)).collect()
    }

    /// Zones with the numbers of their tickets.
    fn zones(&self) -> impl Iterator<Item = (std::ops::Range<u32>, Zone)> {
        (0_u32..).step_by(ZONE).zip(&self.zones).map(|(first, zone)| {
            (first..first.saturating_add(u32::try_from(ZONE).unwrap_or(u32::MAX)), *zone)
        })
    }
}
