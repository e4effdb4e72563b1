//! Words of a text, so that what reads the same is found: in lower case, without accents. What is written without spaces
//! (Chinese, Japanese, Korean) is cut into pairs of neighbouring characters. That needs no dictionary, finds every
//! part of such a text and never disagrees with itself about where a word ends; a dictionary's segmentation does,
//! and then a word is not found in a sentence that it is in.

use std::ops::Range;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use crate::limits::WORD_CHARS_MAX;

/// A word, and the bytes of the text that it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// As it is compared.
    pub text: String,
    /// Where it was.
    pub range: Range<usize>,
}

/// The words of a text that is looked through, in order.
#[must_use]
pub fn words(text: &str) -> Vec<Word> {
    let mut words = Vec::new();
    each_word(text, |word, range| words.push(Word { text: word.to_owned(), range }));
    words
}

/// The same words without a copy of each: a text is cut in microseconds where nothing else is kept of them.
pub(crate) fn each_word(text: &str, mut found: impl FnMut(&str, Range<usize>)) {
    let mut run = Run::default();
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(rest) = text.get(at..)
        && let Some(c) = rest.chars().next()
    {
        if run.ranges.is_empty() && c.is_ascii_alphanumeric() {
            let plain = rest.bytes().take_while(u8::is_ascii_alphanumeric).count();
            // What follows a plain word may be a mark on its last letter, or another letter of it.
            if bytes.get(at + plain).is_none_or(u8::is_ascii) {
                run.letters.push_str(rest.get(..plain.min(WORD_CHARS_MAX)).unwrap_or_default());
                run.letters.make_ascii_lowercase();
                found(&run.letters, at..at + plain);
                run.letters.clear();
                at += plain;
                continue;
            }
        }
        let range = at..at + c.len_utf8();
        at = range.end;
        let before = run.letters.len();
        fold(c, &mut run.letters);
        if run.letters.len() == before {
            // A mark on the letter before it.
            if is_combining_mark(c)
                && let Some(last) = run.ranges.last_mut()
            {
                last.1.end = range.end;
                continue;
            }
            run.finish(&mut found);
            continue;
        }
        if run.is_dense != is_without_spaces(c) {
            let letter = run.letters.split_off(before);
            run.finish(&mut found);
            run.letters.push_str(&letter);
            run.is_dense = is_without_spaces(c);
        }
        run.ranges.push((run.letters.len(), range));
    }
    run.finish(&mut found);
}

/// Neighbouring letters of one kind of script.
#[derive(Default)]
struct Run {
    letters: String,
    /// Of each character: where its letters end, and where it is in the text.
    ranges: Vec<(usize, Range<usize>)>,
    is_dense: bool,
}

impl Run {
    /// Tells the words of a run, and begins the next one.
    fn finish(&mut self, found: &mut impl FnMut(&str, Range<usize>)) {
        if self.is_dense {
            let mut start = 0;
            for pair in self.ranges.windows(2) {
                if let [one, next] = pair {
                    let word = self.letters.get(start..next.0).unwrap_or_default();
                    found(word, one.1.start..next.1.end);
                    start = one.0;
                }
            }
            if let Some(last) = self.ranges.last() {
                found(self.letters.get(start..).unwrap_or_default(), last.1.clone());
            }
        } else if let Some((first, last)) = self.ranges.first().zip(self.ranges.last()) {
            let end = self.ranges.get(WORD_CHARS_MAX - 1).map_or(self.letters.len(), |last| last.0);
            found(self.letters.get(..end).unwrap_or_default(), first.1.start..last.1.end);
        }
        self.letters.clear();
        self.ranges.clear();
    }
}

/// Letters and digits of a word in lower case, without marks: what reads nearly the same.
pub(crate) fn folded(word: &str) -> String {
    let mut letters = String::with_capacity(word.len());
    fold_word(word, &mut letters);
    letters
}

/// Appends the same to `letters`.
pub(crate) fn fold_word(word: &str, letters: &mut String) {
    word.chars().for_each(|c| fold(c, letters));
}

/// Letters and digits of one character, in lower case, without marks; nothing where it has none.
fn fold(c: char, letters: &mut String) {
    if c.is_ascii() {
        if c.is_ascii_alphanumeric() {
            letters.push(c.to_ascii_lowercase());
        }
        return;
    }
    let parts = std::iter::once(c).nfkd().filter(|part| !is_combining_mark(*part)).nfc();
    letters.extend(parts.filter(|part| part.is_alphanumeric()).flat_map(char::to_lowercase));
}

/// Whether texts of this script have no spaces between words, or words that grow by endings.
pub(crate) fn is_without_spaces(c: char) -> bool {
    matches!(c,
        '\u{3040}'..='\u{30ff}' | '\u{31f0}'..='\u{31ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}'
        | '\u{ac00}'..='\u{d7af}' | '\u{f900}'..='\u{faff}' | '\u{ff66}'..='\u{ff9d}' | '\u{20000}'..='\u{323af}'
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(text: &str) -> Vec<String> {
        words(text).into_iter().map(|word| word.text).collect()
    }

    #[test]
    fn words_are_folded_and_cut() {
        for (text, wanted) in [
            ("", vec![]),
            ("Café CRÈME, n°7!", vec!["cafe", "creme", "n", "7"]),
            ("e\u{301}te\u{301}", vec!["ete"]),
            ("order A-17 at foo@example.com", vec!["order", "a", "17", "at", "foo", "example", "com"]),
            ("ﬁne Ⅷ", vec!["fine", "viii"]),
            ("我要退款", vec!["我要", "要退", "退款", "款"]),
            ("卡abc丢", vec!["卡", "abc", "丢"]),
            ("한국어", vec!["한국", "국어", "어"]),
            ("*\"' OR NEAR( -x", vec!["or", "near", "x"]),
        ] {
            assert_eq!(texts(text), wanted, "{text}");
        }
        let word = &words("un CAFÉ!")[1];
        assert_eq!(&"un CAFÉ!"[word.range.clone()], "CAFÉ");
    }

    #[test]
    fn a_word_is_cut_at_its_limit() {
        let word = &words(&"ß".repeat(WORD_CHARS_MAX + 1))[0];
        assert_eq!((word.text.chars().count(), word.range.len()), (WORD_CHARS_MAX, 2 * (WORD_CHARS_MAX + 1)));
    }

    proptest! {
        #[test]
        fn plain_letters_are_words_as_all_others(text in "([a-zA-Z0-9]{1,6}|[ ,.]|é|\u{301}|卡|ß){0,20}") {
            let is_plain = |c: &char| c.is_ascii_alphanumeric();
            let wide = |c: char| if is_plain(&c) { char::from_u32(u32::from(c) + 0xfee0).unwrap() } else { c };
            let other: String = text.chars().map(wide).collect();
            prop_assert_eq!(texts(&text), texts(&other));
        }

        #[test]
        fn ranges_are_in_the_text(text in "\\PC{0,40}") {
            for word in words(&text) {
                prop_assert!(text.get(word.range.clone()).is_some());
                prop_assert!(!word.text.is_empty());
            }
        }
    }
}
