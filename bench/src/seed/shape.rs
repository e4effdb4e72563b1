//! What a ticket is like: a function of the seed and its number.

use serde::{Deserialize, Serialize};
use waggle_core::ticket::Priority;

use super::DAY_MS;
use crate::clock::Random;
use crate::tickets::{Phase, Ticket};

/// The days that tickets are spread over.
pub(super) const DAYS: u64 = 730;
const HOUR_MS: u64 = 3_600_000;
const MINUTE_MS: u64 = 60_000;

/// How much there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sizes {
    /// Tickets, numbered from one.
    pub tickets: u64,
    /// Queues.
    pub queues: u32,
    /// Agents.
    pub agents: u32,
    /// Of all randomness.
    pub seed: u64,
}

/// What became of a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nobody has answered it.
    New,
    /// The team's turn.
    Open,
    /// Its requester's turn.
    Pending,
    /// Waits for somebody else.
    OnHold,
    /// Answered.
    Solved,
    /// For good.
    Closed,
}

impl Outcome {
    /// All, in the order of the statuses' indexes.
    pub const ALL: [Self; 6] =
        [Self::New, Self::Open, Self::Pending, Self::OnHold, Self::Solved, Self::Closed];

    /// The status that it is.
    #[must_use]
    pub fn status_name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Open => "open",
            Self::Pending => "pending",
            Self::OnHold => "on_hold",
            Self::Solved => "solved",
            Self::Closed => "closed",
        }
    }
}

/// Of a thousand tickets: those of the newest month, and older ones. In the order of [`Outcome::ALL`].
const RECENT: [u32; 6] = [90, 220, 160, 50, 280, 200];
const OLDER: [u32; 6] = [1, 9, 25, 15, 150, 800];
/// Of a thousand: low, normal, high, urgent.
const PRIORITIES: [u32; 4] = [150, 650, 150, 50];
/// The newest days, in which [`RECENT`] holds.
const RECENT_DAYS: u64 = 30;

/// One ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Which of the queues, from zero.
    pub queue: u32,
    /// Which of the agents works on it, from zero.
    pub agent: u32,
    /// Whether that agent holds it.
    pub is_held: bool,
    /// How urgent.
    pub priority: Priority,
    /// What became of it.
    pub outcome: Outcome,
    /// When it came, in milliseconds since 1970.
    pub created_ms: u64,
    /// From each event to the next, in milliseconds.
    pub waits_ms: [u64; 4],
}

impl Shape {
    /// Ticket `number` (from one) of a desk whose two years end at `end_ms`.
    #[must_use]
    pub fn of(sizes: &Sizes, end_ms: u64, number: u64) -> Self {
        let mut random = Random::new(stream(sizes.seed, number));
        let random = &mut random;
        let created_ms = created_ms(sizes, end_ms, number, random);
        let is_recent = end_ms.saturating_sub(created_ms) < RECENT_DAYS * DAY_MS;
        let outcome = pick(if is_recent { &RECENT } else { &OLDER }, random);
        let outcome = Outcome::ALL.get(outcome).copied().unwrap_or(Outcome::Closed);
        let priority = match pick(&PRIORITIES, random) {
            0 => Priority::Low,
            1 => Priority::Normal,
            2 => Priority::High,
            _ => Priority::Urgent,
        };
        // Most desks: somebody has what is worked on; of what is done, it is known for some.
        let held_of_thousand = match outcome {
            Outcome::New => 0,
            Outcome::Open | Outcome::Pending | Outcome::OnHold => 700,
            Outcome::Solved | Outcome::Closed => 400,
        };
        Self {
            queue: skewed(sizes.queues, random),
            agent: skewed(sizes.agents, random),
            is_held: random.below(1_000) < held_of_thousand,
            priority,
            outcome,
            created_ms,
            waits_ms: [
                wait(5 * MINUTE_MS, 8 * HOUR_MS, random),
                wait(MINUTE_MS, 24 * HOUR_MS, random),
                wait(HOUR_MS, 48 * HOUR_MS, random),
                wait(24 * HOUR_MS, 96 * HOUR_MS, random),
            ],
        }
    }

    /// How many events it has: three messages, a claim where it is held, and what closes it.
    #[must_use]
    pub fn events(&self) -> u32 {
        3 + u32::from(self.is_held) + u32::from(self.outcome == Outcome::Closed)
    }

    /// The ticket as a load moves it; `None` where only its holder may, or nobody.
    #[must_use]
    pub fn to_move(&self, number: u64) -> Option<Ticket> {
        if self.is_held || self.outcome == Outcome::Closed {
            return None;
        }
        let phase = if self.outcome == Outcome::Open { Phase::Open } else { Phase::Other };
        Some(Ticket::at(number, self.events(), phase))
    }
}

/// The numbers of one ticket, whatever other tickets take.
pub(super) fn stream(seed: u64, number: u64) -> u64 {
    Random::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number).next_u64()
}

/// Numbers are given in the order of time, evenly over the days, and within a day around noon.
fn created_ms(sizes: &Sizes, end_ms: u64, number: u64, random: &mut Random) -> u64 {
    let start_ms = end_ms.saturating_sub(DAYS * DAY_MS);
    // Even places, each with a jitter below its distance: so that order holds. The newest have time for
    // their events.
    let span_ms = (DAYS - 1) * DAY_MS;
    let place = u128::from(number.saturating_sub(1)) * u128::from(span_ms) / u128::from(sizes.tickets.max(1));
    let distance = usize::try_from(span_ms / sizes.tickets.max(1)).unwrap_or(usize::MAX);
    // Below the span, so that it fits.
    start_ms + place as u64 + random.below(distance) as u64
}

/// Short mostly, long sometimes: the minimum of two draws.
fn wait(least_ms: u64, most_ms: u64, random: &mut Random) -> u64 {
    let range = usize::try_from(most_ms.saturating_sub(least_ms)).unwrap_or(usize::MAX);
    least_ms + random.below(range).min(random.below(range)) as u64
}

/// Below `count`, low numbers more often: the first of ten has a fifth of all.
fn skewed(count: u32, random: &mut Random) -> u32 {
    let count = count as usize;
    // Below `count`, which came from 32 bits.
    random.below(count).min(random.below(count)) as u32
}

/// An index, by shares of a thousand.
fn pick(shares: &[u32], random: &mut Random) -> usize {
    let mut left = random.below(1_000) as u32;
    for (index, share) in shares.iter().enumerate() {
        match left.checked_sub(*share) {
            Some(rest) => left = rest,
            None => return index,
        }
    }
    shares.len().saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: Sizes = Sizes { tickets: 40_000, queues: 12, agents: 40, seed: 7 };
    const END_MS: u64 = 1_790_000_000_000;

    #[test]
    fn a_seed_and_a_number_fix_a_ticket() {
        let all = |sizes: &Sizes| (1..=500).map(|n| Shape::of(sizes, END_MS, n)).collect::<Vec<_>>();
        assert_eq!(all(&SIZES), all(&SIZES));
        assert_ne!(all(&SIZES), all(&Sizes { seed: 8, ..SIZES }));
    }

    #[test]
    fn shares_are_as_told() {
        for shares in [&RECENT[..], &OLDER[..], &PRIORITIES[..]] {
            assert_eq!(shares.iter().sum::<u32>(), 1_000);
        }
        let shapes: Vec<_> = (1..=SIZES.tickets).map(|n| Shape::of(&SIZES, END_MS, n)).collect();
        let of = |is: &dyn Fn(&Shape) -> bool| shapes.iter().filter(|shape| is(shape)).count();
        // 700 of 730 days are older than the newest month.
        let closed = of(&|shape| shape.outcome == Outcome::Closed);
        assert!((30_400..31_800).contains(&closed), "{closed}");
        let new = of(&|shape| shape.outcome == Outcome::New);
        assert!((120..260).contains(&new), "{new}");
        let first = of(&|shape| shape.queue == 0);
        assert!((5_600..7_100).contains(&first), "{first}");
        assert!(shapes.iter().all(|shape| shape.queue < 12 && shape.agent < 40));
        assert!(shapes.is_sorted_by_key(|shape| shape.created_ms));
        let (first, last) = (shapes[0].created_ms, shapes[39_999].created_ms);
        assert!(first >= END_MS - DAYS * DAY_MS && last < END_MS && last > END_MS - 2 * DAY_MS);
    }

    #[test]
    fn only_free_tickets_that_are_not_closed_are_moved() {
        for number in 1..=2_000 {
            let shape = Shape::of(&SIZES, END_MS, number);
            let moves = shape.to_move(number);
            assert_eq!(moves.is_some(), !shape.is_held && shape.outcome != Outcome::Closed);
            if let Some(ticket) = moves {
                let next = if shape.outcome == Outcome::Open { "pending" } else { "open" };
                assert_eq!((ticket.version, ticket.next_status()), (3, next));
            }
        }
    }
}
