//! What of a text is counted: words, neighbouring words and short runs of characters, each as a hash.

use std::ops::Range;

use crate::limits::{FEATURE_TEXT_BYTES_MAX, FEATURES_MAX};
use crate::text::{dictionary_words, each_word, mask, normalise};

/// The shortest and longest run of characters within a word, its borders included.
const GRAM_CHARS: (usize, usize) = (2, 5);

/// What begins each kind of feature's hash.
mod seed {
    pub(super) const WORD: u32 = 0x57;
    pub(super) const MASKED: u32 = 0x4d;
    pub(super) const PAIR: u32 = 0x32;
    pub(super) const SIGN: u32 = 0x3a;
    pub(super) const ENTRY: u32 = 0x44;
    pub(super) const GRAM: u32 = 0x67;
}

/// How often a text has each feature.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Features {
    /// Words and pairs of them: hash and weight, by hash.
    pub(super) words: Vec<(u32, f32)>,
    /// Runs of characters.
    pub(super) grams: Vec<(u32, f32)>,
    /// The masked text, from which they can be made anew.
    pub(super) text: Box<str>,
    /// A hash of that.
    pub(super) fingerprint: u32,
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

    /// Bytes of memory that they take.
    pub(super) fn bytes(&self) -> usize {
        self.text.len() + (self.words.capacity() + self.grams.capacity()) * size_of::<(u32, f32)>()
    }
}

/// Makes [`Features`]; holds only room to work in.
#[derive(Debug, Default)]
pub struct Featurizer {
    words: Vec<u32>,
    grams: Vec<u32>,
}

impl Featurizer {
    /// A new one; it makes the same of a text as any other.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The features of `text`: what is about one person is masked first, and only its beginning counts where it is long.
    pub fn features(&mut self, text: &str) -> Features {
        let normal = normalise(text, FEATURE_TEXT_BYTES_MAX);
        let masked = mask(&normal).text;
        self.of_masked(&masked)
    }

    /// The features of a text that is normal and masked.
    pub(super) fn of_masked(&mut self, text: &str) -> Features {
        self.words.clear();
        self.grams.clear();
        let mut before = None;
        each_word(text, |word, range| {
            let is_masked = is_placeholder(text, &range);
            let seed = if is_masked { seed::MASKED } else { seed::WORD };
            let hash = finish(word.chars().fold(seed.into(), |state, c| mix(state, c.into())));
            self.words.push(hash);
            if let Some(before) = before {
                self.words.push(finish(mix(mix(seed::PAIR.into(), before), hash)));
            }
            before = Some(hash);
            if !is_masked {
                push_grams(&mut self.grams, word);
            }
        });
        if !text.is_ascii() {
            let signs = text.chars().filter(|c| is_sign(*c));
            self.words.extend(signs.map(|c| finish(mix(seed::SIGN.into(), c.into()))));
            dictionary_words(text, |word| {
                self.words
                    .push(finish(word.chars().fold(seed::ENTRY.into(), |state, c| mix(state, c.into()))));
            });
        }
        let fingerprint = finish(text.bytes().fold(0, |state, byte| mix(state, byte.into())));
        let (words, grams) = (counted(&mut self.words), counted(&mut self.grams));
        Features { words, grams, text: text.into(), fingerprint }
    }
}

/// Whether a word stands for what was masked: an address is no text about addresses.
fn is_placeholder(text: &str, word: &Range<usize>) -> bool {
    let before = word.start.checked_sub(1).and_then(|at| text.as_bytes().get(at));
    before == Some(&b'[') && text.as_bytes().get(word.end) == Some(&b']')
}

/// Pictures and symbols that stand for a word or a mood.
fn is_sign(c: char) -> bool {
    matches!(c, '\u{2600}'..='\u{27bf}' | '\u{2b00}'..='\u{2bff}' | '\u{1f000}'..='\u{1faff}')
}

/// Runs of characters of one word with a space at both ends.
fn push_grams(grams: &mut Vec<u32>, word: &str) {
    let mut rest = word.chars();
    let mut lead = Some(' ');
    loop {
        let from = lead.into_iter().chain(rest.clone()).chain([' ']);
        let mut state = u64::from(seed::GRAM);
        for (place, c) in from.take(GRAM_CHARS.1).enumerate() {
            state = mix(state, c.into());
            if place + 1 >= GRAM_CHARS.0 {
                grams.push(finish(state));
            }
        }
        if lead.take().is_none() && rest.next().is_none() || grams.len() >= FEATURES_MAX {
            return;
        }
    }
}

/// Each hash once, by hash, with the logarithm of how often it is there, and one.
fn counted(hashes: &mut Vec<u32>) -> Vec<(u32, f32)> {
    hashes.truncate(FEATURES_MAX / 2);
    hashes.sort_unstable();
    let mut counted = Vec::with_capacity(hashes.len());
    for same in hashes.chunk_by(|one, next| one == next) {
        let Some(hash) = same.first() else { continue };
        let count = u16::try_from(same.len()).unwrap_or(u16::MAX);
        counted.push((*hash, if count == 1 { 1.0 } else { 1.0 + libm::logf(count.into()) }));
    }
    counted
}

/// The constants are those of MurmurHash3's 64-bit finaliser.
fn mix(state: u64, number: u32) -> u64 {
    let state = (state ^ u64::from(number)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    state ^ state >> 33
}

/// A hash; it is never zero.
fn finish(state: u64) -> u32 {
    let mixed = state.wrapping_mul(0xc4ce_b9fe_1a85_ec53) >> 32;
    u32::try_from(mixed).unwrap_or_default().max(1)
}
