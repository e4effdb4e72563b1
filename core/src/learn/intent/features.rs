//! What of a text is counted: words, neighbouring words and short runs of characters, each as a hash.

use crate::limits::{FEATURE_TEXT_BYTES_MAX, FEATURES_MAX};
use crate::text::{each_word, mask, normalise};

/// Characters of the runs within a word, its borders included.
const GRAM_CHARS: std::ops::RangeInclusive<usize> = 2..=5;

/// How often a text has each feature.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Features {
    /// Words and pairs of them: hash and weight, by hash.
    pub(super) words: Vec<(u32, f32)>,
    /// Runs of characters.
    pub(super) grams: Vec<(u32, f32)>,
}

impl Features {
    /// How many different ones there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.words.len() + self.grams.len()
    }

    /// Whether the text has nothing that could be learned.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Makes [`Features`]; holds only room to work in.
#[derive(Debug, Default)]
pub struct Featurizer {
    hashes: Vec<u32>,
    grams: Vec<u32>,
    word: Vec<u32>,
}

impl Featurizer {
    /// A new one; it makes the same of a text as any other.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The features of `text`: what is about one person is masked first, and only its beginning counts where it is long.
    pub fn features(&mut self, text: &str) -> Features {
        let start = text.get(..text.floor_char_boundary(FEATURE_TEXT_BYTES_MAX)).unwrap_or_default();
        let text = normalise(&mask(start).text, FEATURE_TEXT_BYTES_MAX);
        self.hashes.clear();
        self.grams.clear();
        let mut before = None;
        each_word(&text, |word, _| {
            let hash = hash(0x57, word.chars().map(u32::from));
            self.hashes.push(hash);
            if let Some(before) = before {
                self.hashes.push(self::hash(0x32, [before, hash]));
            }
            before = Some(hash);
            self.word.clear();
            self.word.push(u32::from(' '));
            self.word.extend(word.chars().map(u32::from));
            self.word.push(u32::from(' '));
            for length in GRAM_CHARS {
                self.grams
                    .extend(self.word.windows(length).map(|gram| self::hash(0x67, gram.iter().copied())));
            }
        });
        Features { words: counted(&mut self.hashes), grams: counted(&mut self.grams) }
    }
}

/// Each hash once, with the logarithm of how often it is there, and one.
fn counted(hashes: &mut Vec<u32>) -> Vec<(u32, f32)> {
    hashes.truncate(FEATURES_MAX / 2);
    hashes.sort_unstable();
    hashes
        .chunk_by(|one, next| one == next)
        .filter_map(|same| {
            let count = u16::try_from(same.len()).unwrap_or(u16::MAX);
            same.first().map(|hash| (*hash, if count == 1 { 1.0 } else { 1.0 + libm::logf(count.into()) }))
        })
        .collect()
}

/// A hash of numbers: multiplied and mixed (the constants are those of MurmurHash3's 64-bit finaliser).
fn hash(seed: u64, numbers: impl IntoIterator<Item = u32>) -> u32 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for number in numbers {
        state = (state ^ u64::from(number)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        state ^= state >> 33;
    }
    state = state.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    u32::try_from(state >> 32).unwrap_or_default()
}
