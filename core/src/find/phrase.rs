//! What is looked for as a row of words.

use super::query::PatternEnd;
use crate::text::{is_without_spaces, words};

/// Neighbouring words that are looked for together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WordPhrase {
    /// At least one.
    pub words: Vec<String>,
    /// What may follow the last one.
    pub ends: PatternEnd,
}

/// What to look for, so that `text` is found: `None` where it has no word. A star at its end stands for the rest of a
/// word.
#[must_use]
pub fn phrase(text: &str) -> Option<WordPhrase> {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
            let texts: Vec<String> = words(&text).into_iter().map(|word| word.text).collect();
            prop_assert!(is_in(&phrase(&part).unwrap(), &texts), "{part} in {text}");
        }
    }
}
