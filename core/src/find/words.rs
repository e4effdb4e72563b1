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

/// Neighbouring words that are looked for together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WordPhrase {
    /// At least one.
    pub words: Vec<String>,
    /// What may follow the last one.
    pub ends: super::query::PatternEnd,
}

/// The words of a text that is looked through, in order.
#[must_use]
pub fn words(text: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut run: Vec<Word> = Vec::new();
    let mut is_dense = false;
    for (at, c) in text.char_indices() {
        let range = at..at + c.len_utf8();
        let folded = fold(c);
        if folded.is_empty() {
            // A mark on the letter before it.
            if is_combining_mark(c)
                && let Some(last) = run.last_mut()
            {
                last.range.end = range.end;
                continue;
            }
            finish(&mut words, &mut run, is_dense);
            continue;
        }
        if is_dense != is_without_spaces(c) {
            finish(&mut words, &mut run, is_dense);
            is_dense = is_without_spaces(c);
        }
        run.push(Word { text: folded, range });
    }
    finish(&mut words, &mut run, is_dense);
    words
}

/// What to look for, so that `text` is found: `None` where it has no word. A star at its end stands for the rest of a
/// word.
#[must_use]
pub fn phrase(text: &str) -> Option<WordPhrase> {
    use super::query::PatternEnd;

    let mut found = words(text);
    let last = found.pop()?;
    let is_dense = text.get(last.range.clone()).is_some_and(|last| last.contains(is_without_spaces));
    if !is_dense {
        let ends = if text.ends_with('*') { PatternEnd::Anywhere } else { PatternEnd::Here };
        let words = found.into_iter().chain([last]).map(|word| word.text).collect();
        return Some(WordPhrase { words, ends });
    }
    // The last character alone follows its pair only where the text ends there: it is looked for when it is all.
    let is_alone = found.last().is_none_or(|before| before.range.end != last.range.end);
    let ends = if is_alone { PatternEnd::Anywhere } else { PatternEnd::Here };
    let words = found.into_iter().chain(is_alone.then_some(last)).map(|word| word.text).collect();
    Some(WordPhrase { words, ends })
}

/// Letters and digits of one character, in lower case, without marks; nothing where it has none.
fn fold(c: char) -> String {
    if c.is_ascii() {
        return if c.is_ascii_alphanumeric() { c.to_ascii_lowercase().to_string() } else { String::new() };
    }
    let letters = std::iter::once(c).nfkd().filter(|part| !is_combining_mark(*part)).nfc();
    letters.filter(|part| part.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Whether texts of this script have no spaces between words, or words that grow by endings.
fn is_without_spaces(c: char) -> bool {
    matches!(c,
        '\u{3040}'..='\u{30ff}' | '\u{31f0}'..='\u{31ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}'
        | '\u{ac00}'..='\u{d7af}' | '\u{f900}'..='\u{faff}' | '\u{ff66}'..='\u{ff9d}' | '\u{20000}'..='\u{323af}'
    )
}

/// The words of a run of letters.
fn finish(words: &mut Vec<Word>, run: &mut Vec<Word>, is_dense: bool) {
    let letters = std::mem::take(run);
    if is_dense {
        for pair in letters.windows(2) {
            if let [one, next] = pair {
                let range = one.range.start..next.range.end;
                words.push(Word { text: format!("{}{}", one.text, next.text), range });
            }
        }
        words.extend(letters.into_iter().next_back());
        return;
    }
    let Some((first, last)) = letters.first().zip(letters.last()) else { return };
    let range = first.range.start..last.range.end;
    let text = letters.iter().take(WORD_CHARS_MAX).map(|letter| letter.text.as_str()).collect();
    words.push(Word { text, range });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::query::PatternEnd;
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
    fn a_phrase_is_what_its_text_has_anywhere() {
        let parts = |text: &str| phrase(text).map(|phrase| (phrase.words.join(" "), phrase.ends));
        assert_eq!(parts("退款"), Some(("退款".to_owned(), PatternEnd::Here)));
        assert_eq!(parts("我要退款"), Some(("我要 要退 退款".to_owned(), PatternEnd::Here)));
        assert_eq!(parts("款"), Some(("款".to_owned(), PatternEnd::Anywhere)));
        assert_eq!(parts("iphone 款"), Some(("iphone 款".to_owned(), PatternEnd::Anywhere)));
        assert_eq!(parts("refu*"), Some(("refu".to_owned(), PatternEnd::Anywhere)));
        assert_eq!(parts("lost card"), Some(("lost card".to_owned(), PatternEnd::Here)));
        assert_eq!(parts("!?"), None);
    }

    fn is_in(phrase: &WordPhrase, text: &[String]) -> bool {
        let fits = |(place, (word, wanted)): (usize, (&String, &String))| {
            let may_go_on = place + 1 == phrase.words.len() && phrase.ends == PatternEnd::Anywhere;
            word == wanted || may_go_on && word.starts_with(wanted.as_str())
        };
        text.windows(phrase.words.len()).any(|window| window.iter().zip(&phrase.words).enumerate().all(fits))
    }

    proptest! {
        #[test]
        fn every_part_of_a_dense_text_is_found(text in "[退款失败卡我要]{2,12}", from in 0_usize..12, length in 1_usize..12) {
            let chars: Vec<char> = text.chars().collect();
            let from = from % chars.len();
            let part: String = chars[from..chars.len().min(from + length)].iter().collect();
            prop_assert!(is_in(&phrase(&part).unwrap(), &texts(&text)), "{part} in {text}");
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
