//! Which words of replies were said to two requesters: they tell of nobody.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::learn::dialogue::PersonKey;
use crate::limits::SAID_WORDS_MAX;

/// To whom a word was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum To {
    /// One requester, in the lesson of this number.
    One {
        requester: PersonKey,
        lesson: u64,
    },
    Several,
}

/// Words of replies, by their hashes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SaidWords(BTreeMap<u64, To>);

impl SaidWords {
    /// Takes note of a word in a reply to this requester.
    pub(super) fn say(&mut self, word: u64, requester: PersonKey, lesson: u64) {
        match self.0.get_mut(&word) {
            Some(To::Several) => {}
            // Whoever was nobody may have been this one.
            Some(To::One { requester: before, .. }) if before.is_nobody() => *before = requester,
            Some(To::One { requester: before, .. }) if !before.is_another(requester) => {}
            Some(to) => *to = To::Several,
            None => {
                if self.0.len() >= SAID_WORDS_MAX {
                    self.forget();
                }
                self.0.insert(word, To::One { requester, lesson });
            }
        }
    }

    /// Whether it was said to two.
    pub(super) fn is_public(&self, word: u64) -> bool {
        self.0.get(&word) == Some(&To::Several)
    }

    /// Forgets the older half of the words that were said to one only; where there are few of them, every second one of
    /// the others: a word that is forgotten is hidden until it is said to two again.
    fn forget(&mut self) {
        let mut lessons: Vec<u64> = self
            .0
            .values()
            .filter_map(|to| match to {
                To::One { lesson, .. } => Some(*lesson),
                To::Several => None,
            })
            .collect();
        if lessons.len() < SAID_WORDS_MAX / 4 {
            let mut is_kept = false;
            self.0.retain(|_, _| {
                is_kept = !is_kept;
                is_kept
            });
            return;
        }
        lessons.sort_unstable();
        let middle = lessons.get(lessons.len() / 2).copied().unwrap_or_default();
        self.0.retain(|_, to| !matches!(to, To::One { lesson, .. } if *lesson <= middle));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::dialogue::Person;

    #[test]
    fn a_word_is_public_once_two_have_heard_it_and_memory_is_bounded() {
        let [one, two] = ["a@b.c", "b@b.c"].map(|requester| Person::of(requester, None).key);
        let mut said = SaidWords::default();
        said.say(7, one, 1);
        said.say(7, one, 2);
        assert!(!said.is_public(7));
        said.say(7, two, 3);
        assert!(said.is_public(7) && !said.is_public(8));
        let nobody = Person::of("", None).key;
        for requester in [nobody, nobody, one, nobody] {
            said.say(9, requester, 3);
            assert!(!said.is_public(9), "who has no name is no second person");
        }
        said.say(9, two, 4);
        assert!(said.is_public(9));
        for word in 0..200_000_u64 {
            said.say(1_000 + word, one, word);
        }
        assert!(said.is_public(7) && said.0.len() <= SAID_WORDS_MAX);
        for word in 0..200_000_u64 {
            said.say(word, one, word);
            said.say(word, two, word);
        }
        assert!(said.0.len() <= SAID_WORDS_MAX);
    }
}
