//! Which words customers have used in messages that were learned. A linear learner is as sure of a message by three
//! frequent words as by all; where most of its words were never heard, nothing is known of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::learn::dialogue::hash_text;
use crate::limits::{FEATURE_TEXT_BYTES_MAX, HEARD_WORDS_MAX};
use crate::text::each_word;

/// Words that are in messages of every kind.
const FREQUENT: [&str; 78] = [
    "a", "an", "the", "this", "that", "it", "i", "you", "we", "my", "your", "me", "is", "are", "was", "am",
    "be", "been", "do", "does", "did", "have", "has", "had", "will", "would", "can", "could", "should", "to",
    "of", "in", "on", "at", "for", "with", "from", "about", "by", "and", "or", "but", "if", "so", "not",
    "no", "what", "when", "where", "who", "why", "how", "which", "please", "hi", "hello", "thanks", "any",
    "some", "there", "name", "email", "order", "number", "phone", "url", "s", "t", "m", "ve", "don", "der",
    "die", "das", "ich", "的", "了", "吗",
];

/// How often each word was heard, up to 255, by its hash.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HeardWords(BTreeMap<u32, u8>);

impl HeardWords {
    pub(super) fn hear(&mut self, text: &str) {
        for word in telling(text) {
            if self.0.len() >= HEARD_WORDS_MAX && !self.0.contains_key(&word) {
                self.forget();
            }
            let times = self.0.entry(word).or_default();
            *times = times.saturating_add(1);
        }
    }

    /// The share of a text's words that were heard before; 1 where it has none that tell anything.
    pub(super) fn share(&self, text: &str) -> f32 {
        let words = telling(text);
        let known = words.iter().filter(|word| self.0.contains_key(word)).count();
        if words.is_empty() { 1.0 } else { known as f32 / words.len() as f32 }
    }

    /// Words that were heard often stay longest.
    fn forget(&mut self) {
        while self.0.len() > HEARD_WORDS_MAX / 4 * 3 {
            self.0.retain(|_, times| {
                *times /= 2;
                *times > 0
            });
        }
    }
}

/// Hashes of the different words of a text that are not in messages of every kind.
fn telling(text: &str) -> Vec<u32> {
    let start = text.get(..text.floor_char_boundary(FEATURE_TEXT_BYTES_MAX)).unwrap_or_default();
    let hash = |word: &str| u32::try_from(hash_text(0x68, word) >> 32).unwrap_or_default();
    let mut hashes: Vec<u32> = Vec::new();
    each_word(start, |word, range| {
        // `[card]` stands for what was masked: it is no word of the customer's.
        let before = start.get(..range.start).unwrap_or_default();
        let after = start.get(range.end..).unwrap_or_default();
        let is_placeholder = before.ends_with('[') && after.starts_with(']');
        if !is_placeholder && !FREQUENT.contains(&word) {
            hashes.push(hash(word));
        }
    });
    hashes.sort_unstable();
    hashes.dedup();
    hashes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_telling_words_and_memory_is_bounded() {
        let mut heard = HeardWords::default();
        assert_eq!((heard.share("is it the one"), heard.share("what is it")), (0.0, 1.0));
        heard.hear("my [card] is [order]");
        assert_eq!((heard.share("card"), heard.share("[card] and [phone]")), (0.0, 1.0));
        (0..200).for_each(|_| heard.hear("Where is my new card?"));
        assert_eq!((heard.share("the NEW card"), heard.share("my card is wet")), (1.0, 0.5));
        for number in 0..100_000 {
            heard.hear(&format!("w{number}"));
        }
        assert!(heard.0.len() <= HEARD_WORDS_MAX && heard.share("new card") > 0.9);
    }
}
