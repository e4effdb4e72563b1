//! A set of slots that takes and gives up members in a bounded number of steps, however large it is.

/// While it is small, a list; from then on one bit per slot. A list is never longer than a sixty-fourth of
/// its highest slot or [`LIST_MAX`], so a scan of it is short, and bits take at most twice the memory that a
/// list of the same members would.
#[derive(Debug, Default)]
pub(super) struct SlotSet {
    list: Vec<u32>,
    words: Vec<u64>,
    bits: usize,
}

const LIST_MAX: usize = 64;
const WORD_BITS: u32 = u64::BITS;

impl SlotSet {
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty() && self.bits == 0
    }

    /// Adds a slot that is not in it.
    pub(super) fn insert(&mut self, slot: u32) {
        if self.words.is_empty() && (self.list.len() < LIST_MAX || self.list.len() < slot as usize / 64) {
            self.list.push(slot);
            return;
        }
        for slot in std::mem::take(&mut self.list) {
            self.set(slot);
        }
        self.set(slot);
    }

    pub(super) fn remove(&mut self, slot: u32) {
        if let Some(place) = self.list.iter().position(|other| *other == slot) {
            self.list.swap_remove(place);
            return;
        }
        let bit = 1 << (slot % WORD_BITS);
        if let Some(word) = self.words.get_mut((slot / WORD_BITS) as usize)
            && *word & bit != 0
        {
            *word &= !bit;
            self.bits -= 1;
            if self.bits == 0 {
                self.words = Vec::new();
            }
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = u32> {
        let words = (0..).zip(&self.words).flat_map(|(place, word)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros())?;
                left &= left - 1;
                Some(place * WORD_BITS + bit)
            })
        });
        self.list.iter().copied().chain(words)
    }

    fn set(&mut self, slot: u32) {
        let place = (slot / WORD_BITS) as usize;
        if place >= self.words.len() {
            self.words.resize(place + 1, 0);
        }
        if let Some(word) = self.words.get_mut(place) {
            *word |= 1 << (slot % WORD_BITS);
            self.bits += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn agrees_with_a_set() {
        let mut state = 7_u64;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for scale in [1, 7, 1000] {
            let (mut set, mut model) = (SlotSet::default(), BTreeSet::new());
            for step in 0..20_000 {
                // It grows, and shrinks to nothing, and so on.
                let is_insert = random(10) < if step / 1000 % 2 == 0 { 8 } else { 1 };
                let slot = random(300) as u32 * scale;
                if !is_insert {
                    model.remove(&slot);
                    set.remove(slot);
                } else if model.insert(slot) {
                    set.insert(slot);
                }
                assert_eq!(set.is_empty(), model.is_empty());
                if step % 100 == 0 {
                    let mut found: Vec<u32> = set.iter().collect();
                    found.sort_unstable();
                    assert!(found.iter().eq(&model), "{found:?} is not {model:?}");
                }
            }
        }
    }

    #[test]
    fn all_leave_at_once() {
        let mut set = SlotSet::default();
        (0..200_000).for_each(|slot| set.insert(slot));
        (0..200_000).for_each(|slot| set.remove(slot));
        assert!(set.is_empty() && set.words.capacity() == 0);
    }
}
