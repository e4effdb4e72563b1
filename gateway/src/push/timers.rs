//! When which session is next due: a hashed timing wheel (Varghese and Lauck, "Hashed and Hierarchical
//! Timing Wheels", 1987, scheme 6).
//!
//! Deadlines are met in slots: up to [`SLOT_MS`] late, never early. So sessions that are due about the
//! same time cost one wake-up of the thread together, and the answers to their marks come together, too.

use std::cell::RefCell;

use tokio::sync::Notify;
use waggle_core::time::Tick;

use super::shard::Key;

/// Milliseconds that one slot stands for. 15,000 sessions with a heartbeat of 25 s have 77 in each.
const SLOT_MS: u64 = 128;
/// Slots of one turn, a multiple of 64: 131 s, more than a heartbeat. What is due later goes round.
const SLOTS: usize = 1_024;
/// Room that an emptied slot keeps.
const SLOT_CAPACITY_KEPT: usize = 64;

/// Deadlines in slots. A session may have stale ones here: whoever takes one out compares it with the
/// session's own.
#[derive(Debug)]
pub(super) struct Timers {
    wheel: RefCell<Wheel>,
    /// The first slot is an earlier one than before.
    sooner: Notify,
}

#[derive(Debug)]
struct Wheel {
    slots: Vec<Vec<(Tick, Key)>>,
    /// A bit for each slot that is not empty.
    occupied: [u64; SLOTS / 64],
    /// All turns' slots before this one are empty.
    first: u64,
}

impl Default for Timers {
    fn default() -> Self {
        let wheel = Wheel { slots: vec![Vec::new(); SLOTS], occupied: [0; SLOTS / 64], first: 0 };
        Self { wheel: RefCell::new(wheel), sooner: Notify::new() }
    }
}

impl Timers {
    pub(super) fn push(&self, at: Tick, key: Key) {
        let mut wheel = self.wheel.borrow_mut();
        let next = wheel.next();
        let number = wheel.push(at, key);
        if next.is_none_or(|next| number < next) {
            self.sooner.notify_one();
        }
    }

    /// Takes one that is due.
    pub(super) fn pop_due(&self, now: Tick) -> Option<(Tick, Key)> {
        self.wheel.borrow_mut().pop_due(now)
    }

    /// Waits until the first slot is due, `instant` being when a tick is there.
    pub(super) async fn wait(&self, instant: impl Fn(Tick) -> tokio::time::Instant) {
        loop {
            let next = self.wheel.borrow().next();
            match next {
                None => self.sooner.notified().await,
                Some(number) => tokio::select! {
                    () = tokio::time::sleep_until(instant(Tick(number * SLOT_MS))) => return,
                    () = self.sooner.notified() => {}
                },
            }
        }
    }
}

impl Wheel {
    /// Returns the number of its slot.
    fn push(&mut self, at: Tick, key: Key) -> u64 {
        let last = self.first + SLOTS as u64 - 1;
        let number = at.0.div_ceil(SLOT_MS).clamp(self.first, last);
        let place = place(number);
        if let Some(slot) = self.slots.get_mut(place) {
            slot.push((at, key));
            self.occupied[place / 64] |= 1 << (place % 64);
        }
        number
    }

    fn pop_due(&mut self, now: Tick) -> Option<(Tick, Key)> {
        while let Some(number) = self.next().filter(|number| number * SLOT_MS <= now.0) {
            self.first = number;
            let place = place(number);
            let slot = self.slots.get_mut(place)?;
            let due = slot.pop();
            if slot.is_empty() {
                slot.shrink_to(SLOT_CAPACITY_KEPT);
                self.occupied[place / 64] &= !(1 << (place % 64));
            }
            match due {
                // It goes round once more.
                Some((at, key)) if at > now => {
                    self.first += u64::from(self.occupied[place / 64] & (1 << (place % 64)) == 0);
                    self.push(at, key);
                }
                due => return due,
            }
        }
        None
    }

    /// The number of the first slot that is not empty.
    fn next(&self) -> Option<u64> {
        let from = place(self.first);
        let words = self.occupied.len();
        let (word, bit) = (from / 64, from % 64);
        // The word that the turn begins in comes first from its bit on, and last up to it.
        let at_or_after = (0..=words).find_map(|step| {
            let index = (word + step) % words;
            let mask = match step {
                0 => u64::MAX << bit,
                _ if step == words => !(u64::MAX << bit),
                _ => u64::MAX,
            };
            let found = self.occupied[index] & mask;
            (found != 0).then(|| index * 64 + found.trailing_zeros() as usize)
        })?;
        Some(self.first + ((at_or_after + SLOTS - from) % SLOTS) as u64)
    }
}

fn place(number: u64) -> usize {
    (number % SLOTS as u64) as usize
}

#[cfg(test)]
mod tests {
    use waggle_core::id::SessionId;

    use super::*;

    fn key(number: u64) -> Key {
        Key { session: SessionId(number), slot: 0 }
    }

    /// A generator of numbers (Steele, Lea and Flood, "Fast splittable pseudorandom number generators").
    fn random(state: &mut u64) -> u64 {
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    #[test]
    fn each_is_due_once_never_early_and_at_most_a_slot_late() {
        let mut state = 1;
        let timers = Timers::default();
        let mut waiting = std::collections::BTreeMap::new();
        let (mut now, mut made, mut fired) = (0, 0, 0);
        while fired < 20_000 {
            for _ in 0..random(&mut state) % 4 {
                // Past, near, and further than one turn.
                let reach = [1, 100, 5_000, 200_000][(random(&mut state) % 4) as usize];
                let at = (now + random(&mut state) % reach).saturating_sub(10);
                made += 1;
                timers.push(Tick(at), key(made));
                waiting.insert(made, (at, at.max(now)));
            }
            now += random(&mut state) % 200;
            while let Some((Tick(at), key)) = timers.pop_due(Tick(now)) {
                assert!(at <= now);
                assert_eq!(waiting.remove(&key.session.0).map(|(at, _)| at), Some(at));
                fired += 1;
            }
            let overdue = waiting.values().find(|(_, from)| from + SLOT_MS <= now);
            assert_eq!(overdue, None, "at {now}");
        }
    }

    #[test]
    fn the_next_slot_is_the_first_that_is_not_empty() {
        let mut wheel = Wheel { slots: vec![Vec::new(); SLOTS], occupied: [0; SLOTS / 64], first: 1_000 };
        assert_eq!(wheel.next(), None);
        for number in [1_000 + SLOTS as u64 - 1, 1_500, 1_023, 1_000] {
            wheel.push(Tick(number * SLOT_MS), key(1));
            assert_eq!(wheel.next(), Some(number));
        }
        wheel.push(Tick(u64::MAX), key(2));
        wheel.push(Tick(0), key(3));
        assert_eq!(wheel.next(), Some(1_000));
    }
}
