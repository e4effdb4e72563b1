//! Where words begin and end as people write them: one answer for all that hides names and keeps replies. What is learned
//! and compared of messages is cut by [`super::words`], into smaller parts. Nothing is left out: the stretches of a text
//! are the text.

use std::borrow::Cow;

use unicode_normalization::char::is_combining_mark;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use super::words::is_without_spaces;

/// A part of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stretch<'a> {
    /// Letters and digits, with their marks.
    Word(&'a str),
    /// Letters of a script without spaces.
    Dense(&'a str),
    /// What is between them.
    Gap(&'a str),
}

impl<'a> Stretch<'a> {
    /// Its letters, where it has any.
    pub(crate) fn letters(self) -> Option<&'a str> {
        match self {
            Self::Word(text) | Self::Dense(text) => Some(text),
            Self::Gap(_) => None,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Word,
    /// Of a script whose words run on: what is of another one begins a word, as a name in it does.
    RunOn,
    Dense,
    Gap,
}

/// What a character is of; nothing where it belongs to the one before it, whatever that is.
fn class(c: char) -> Option<Class> {
    match c {
        _ if c.is_ascii() => Some(if c.is_ascii_alphanumeric() { Class::Word } else { Class::Gap }),
        // Zero-width joiners stand within words of Persian and Hindi, and within pictures.
        '\u{200c}' | '\u{200d}' => None,
        // Signs of a text's direction.
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => None,
        _ if is_combining_mark(c) => None,
        _ if !c.is_alphanumeric() => Some(Class::Gap),
        _ if is_without_spaces(c) => Some(Class::Dense),
        _ if is_run_on(c) => Some(Class::RunOn),
        _ => Some(Class::Word),
    }
}

/// The stretches of a text in order; all together are the text. What looks the same is the same only where the text is
/// [`composed`].
pub(crate) fn stretches(text: &str) -> impl Iterator<Item = Stretch<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let kind = class(rest.chars().next()?).unwrap_or(Class::Gap);
        let end = rest.find(|c| class(c).is_some_and(|class| class != kind)).unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        rest = after;
        Some(match kind {
            Class::Word | Class::RunOn => Stretch::Word(part),
            Class::Dense => Stretch::Dense(part),
            Class::Gap => Stretch::Gap(part),
        })
    })
}

/// A text with each letter and its marks as one character where there is such a one (Unicode's form NFC), without what
/// only says where a line may break: nobody sees it within a word.
pub(crate) fn composed(text: &str) -> Cow<'_, str> {
    let may_break = |c: char| matches!(c, '\u{ad}' | '\u{200b}' | '\u{2060}' | '\u{feff}');
    if text.is_ascii() || !text.contains(may_break) && is_nfc_quick(text.chars()) == IsNormalized::Yes {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.chars().filter(|c| !may_break(*c)).nfc().collect())
    }
}

/// Whether a name may stand within a longer row of letters: in scripts that put no spaces between words, Thai, Lao,
/// Tibetan, Burmese and Khmer among them.
pub(crate) fn is_run_on(c: char) -> bool {
    is_without_spaces(c)
        || matches!(c, '\u{0e00}'..='\u{0fff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}')
}

/// Whether a word has letters of a script whose names have no capital. Georgian has capitals, but for whole lines only.
pub(crate) fn is_without_capitals(word: &str) -> bool {
    let is_georgian = |c: char| matches!(c, '\u{10a0}'..='\u{10ff}' | '\u{1c90}'..='\u{1cbf}');
    word.chars().any(|c| c.is_alphabetic() && (is_georgian(c) || !c.is_lowercase() && !c.is_uppercase()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str) -> String {
        let parts = stretches(text).map(|part| match part {
            Stretch::Word(word) => format!("w({word})"),
            Stretch::Dense(run) => format!("d({run})"),
            Stretch::Gap(gap) => format!("g({gap})"),
        });
        parts.collect()
    }

    #[test]
    fn words_are_cut_alike_in_every_script() {
        for (text, wanted) in [
            ("", ""),
            ("Hi O'Neil, 3x!", "w(Hi)g( )w(O)g(')w(Neil)g(, )w(3x)g(!)"),
            ("我的Visa卡。", "d(我的)w(Visa)d(卡)g(。)"),
            ("श्री प्रिया", "w(श्री)g( )w(प्रिया)"),
            ("สวัสดีคุณ สมชาย", "w(สวัสดีคุณ)g( )w(สมชาย)"),
            ("คุณkim", "w(คุณ)w(kim)"),
            ("مُحَمَّد علی\u{200c}رضا", "w(مُحَمَّد)g( )w(علی\u{200c}رضا)"),
            ("Jose\u{301} e", "w(Jose\u{301})g( )w(e)"),
            ("ok ❤\u{fe0f}", "w(ok)g( ❤\u{fe0f})"),
            ("か\u{3099}x", "d(か\u{3099})w(x)"),
            ("\u{301}a", "g(\u{301})w(a)"),
        ] {
            assert_eq!(shown(text), wanted, "{text}");
        }
    }

    #[test]
    fn what_looks_the_same_is_composed_alike() {
        assert_eq!(composed("Jose\u{301}"), "José");
        assert_eq!(composed("\u{feff}Jo\u{ad}s\u{200b}e\u{2060}\u{301}"), "José");
        assert!(matches!(composed("José, 王"), Cow::Borrowed(_)));
    }

    #[test]
    fn scripts_without_capitals_are_known() {
        for (word, wanted) in [
            ("kim", false),
            ("Kim", false),
            ("мария", false),
            ("ნინო", true),
            ("محمد", true),
            ("प्रिया", true),
            ("สมชาย", true),
            ("3", false),
            ("ኣበበ", true),
            ("דוד", true),
        ] {
            assert_eq!(is_without_capitals(word), wanted, "{word}");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_left_out(text in "(\\PC|[a-z ]|[\\u{300}-\\u{303}]){0,40}") {
            let all: String = stretches(&text).map(|part| match part {
                Stretch::Word(part) | Stretch::Dense(part) | Stretch::Gap(part) => part,
            }).collect();
            prop_assert_eq!(all, text);
        }
    }
}
