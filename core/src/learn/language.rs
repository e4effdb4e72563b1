//! Which language a text is in: by its script, and in Latin script by the words that every text has.

use serde::{Deserialize, Serialize};

use crate::limits::LANGUAGE_CHARS_MAX;
use crate::text::{Stretch, stretches};

/// A language, as far as the assistant tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub enum Language {
    /// Not told: no letters, or too few words.
    #[default]
    Unknown,
    /// Arabic script.
    Arabic,
    /// Chinese.
    Chinese,
    /// Dutch.
    Dutch,
    /// English.
    English,
    /// French.
    French,
    /// German.
    German,
    /// Italian.
    Italian,
    /// Japanese.
    Japanese,
    /// Korean.
    Korean,
    /// Portuguese.
    Portuguese,
    /// Russian, and what else is written in Cyrillic.
    Russian,
    /// Spanish.
    Spanish,
}

/// Words that are in nearly every text of their language and in few of the others.
const MARKERS: [(Language, &[&str]); 7] = [
    (
        Language::English,
        &[
            "the", "is", "my", "you", "your", "i", "have", "has", "and", "to", "it", "not", "what", "how",
            "can", "please", "of", "do", "does", "was", "with", "for", "why", "where", "when", "we", "are",
            "this",
        ],
    ),
    (
        Language::German,
        &[
            "der", "die", "das", "ich", "ist", "nicht", "und", "mein", "meine", "sie", "wie", "wir", "ein",
            "eine", "bitte", "habe", "mit", "für", "auf", "kann", "warum", "wo",
        ],
    ),
    (
        Language::French,
        &[
            "le", "les", "je", "est", "ma", "mon", "vous", "votre", "et", "pas", "une", "des", "pour", "ai",
            "ne", "comment", "pourquoi", "avec", "bonjour", "nous",
        ],
    ),
    (
        Language::Spanish,
        &[
            "el", "los", "mi", "es", "y", "una", "por", "para", "usted", "su", "cómo", "qué", "está",
            "tengo", "hola", "las", "gracias", "puedo", "nosotros",
        ],
    ),
    (
        Language::Portuguese,
        &[
            "o", "os", "meu", "minha", "não", "e", "uma", "você", "seu", "como", "está", "obrigado", "eu",
            "em", "olá", "com", "posso",
        ],
    ),
    (
        Language::Italian,
        &[
            "il", "gli", "mio", "mia", "non", "è", "e", "di", "che", "una", "per", "come", "ho", "grazie",
            "ciao", "perché", "posso", "sono",
        ],
    ),
    (
        Language::Dutch,
        &[
            "de", "het", "ik", "mijn", "niet", "en", "een", "u", "uw", "is", "hoe", "wat", "van", "voor",
            "met", "wij", "waarom", "kan", "naar",
        ],
    ),
];

/// No marker is longer.
const MARKER_BYTES_MAX: usize = 10;

impl Language {
    /// Every one.
    pub(super) const ALL: [Self; 13] = [
        Self::Unknown,
        Self::Arabic,
        Self::Chinese,
        Self::Dutch,
        Self::English,
        Self::French,
        Self::German,
        Self::Italian,
        Self::Japanese,
        Self::Korean,
        Self::Portuguese,
        Self::Russian,
        Self::Spanish,
    ];

    /// Its code: two letters of ISO 639-1, or `und`.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Unknown => "und",
            Self::Arabic => "ar",
            Self::Chinese => "zh",
            Self::Dutch => "nl",
            Self::English => "en",
            Self::French => "fr",
            Self::German => "de",
            Self::Italian => "it",
            Self::Japanese => "ja",
            Self::Korean => "ko",
            Self::Portuguese => "pt",
            Self::Russian => "ru",
            Self::Spanish => "es",
        }
    }

    /// The language of a text, by its first [`LANGUAGE_CHARS_MAX`] characters.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let end = text.char_indices().nth(LANGUAGE_CHARS_MAX).map_or(text.len(), |(at, _)| at);
        let text = text.get(..end).unwrap_or(text);
        let (mut han, mut kana, mut hangul, mut cyrillic, mut arabic, mut latin) = (0, 0, 0, 0, 0, 0);
        for c in text.chars() {
            match c {
                '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{20000}'..='\u{323af}' => han += 1,
                '\u{3040}'..='\u{30ff}' => kana += 1,
                '\u{ac00}'..='\u{d7af}' => hangul += 1,
                '\u{0400}'..='\u{052f}' => cyrillic += 1,
                '\u{0600}'..='\u{06ff}' => arabic += 1,
                _ if c.is_alphabetic() => latin += 1,
                _ => {}
            }
        }
        // A character of a dense script says as much as a short word.
        let dense = 3 * (han + kana);
        if dense > 0 && dense >= latin {
            return if kana * 4 >= han { Self::Japanese } else { Self::Chinese };
        }
        for (count, language) in
            [(2 * hangul, Self::Korean), (cyrillic, Self::Russian), (arabic, Self::Arabic)]
        {
            if count > 0 && count >= latin {
                return language;
            }
        }
        Self::of_latin(text)
    }

    fn of_latin(text: &str) -> Self {
        let mut hits = [0_u32; MARKERS.len()];
        let mut word = String::new();
        for letters in stretches(text).filter_map(Stretch::letters) {
            if letters.len() > MARKER_BYTES_MAX {
                continue;
            }
            word.clear();
            if letters.is_ascii() {
                word.push_str(letters);
                word.make_ascii_lowercase();
            } else {
                word.extend(letters.chars().flat_map(char::to_lowercase));
            }
            for ((_, markers), count) in MARKERS.iter().zip(&mut hits) {
                *count += u32::from(markers.contains(&word.as_str()));
            }
        }
        // The first of equals: the order is that of how many customers write it.
        let best = MARKERS.iter().zip(hits).rev().max_by_key(|(_, count)| *count);
        best.filter(|(_, count)| *count > 0).map_or(Self::Unknown, |((language, _), _)| *language)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_marker_is_longer_than_what_is_looked_at() {
        let longest = MARKERS.iter().flat_map(|(_, words)| *words).map(|word| word.len()).max();
        assert!(longest.is_some_and(|longest| longest <= MARKER_BYTES_MAX), "{longest:?}");
    }

    #[test]
    fn languages_are_told_by_script_and_frequent_words() {
        for (text, wanted) in [
            ("", "und"),
            ("🎉🎉 123", "und"),
            ("Where is my card?", "en"),
            ("我的卡还没有到", "zh"),
            ("我的 Visa card 还没到", "zh"),
            ("カードが届いていません", "ja"),
            ("카드가 아직 도착하지 않았어요", "ko"),
            ("Где моя карта?", "ru"),
            ("أين بطاقتي؟", "ar"),
            ("Wo ist meine Karte?", "de"),
            ("Je n'ai pas reçu ma carte", "fr"),
            ("¿Dónde está mi tarjeta? No la tengo", "es"),
            ("Non ho ricevuto la mia carta", "it"),
            ("Waar is mijn kaart?", "nl"),
            ("Não recebi o meu cartão", "pt"),
        ] {
            assert_eq!(Language::of(text).code(), wanted, "{text}");
        }
    }
}
