//! Names that people give to agents, queues, teams, roles and requesters: safe to show beside each other.
//!
//! The ideas are those of Unicode Technical Standard 39 (security mechanisms): words of one script, and a
//! skeleton that is the same for names that look alike.

use std::fmt;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;
use unicode_security::general_security_profile::IdentifierType;
use unicode_security::{GeneralSecurityProfile, MixedScript, skeleton};

use crate::limits::{NAME_BYTES_MAX, NAME_MARKS_MAX};

/// A name: composed (NFC), trimmed, with single spaces, of 1 to [`NAME_BYTES_MAX`] bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Name(String);

/// Why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing to see.
    #[error("the name is blank; give it at least one visible character")]
    Blank,
    /// Too long.
    #[error("the name has {bytes} bytes; at most {NAME_BYTES_MAX} are taken")]
    TooLong {
        /// As it would be stored.
        bytes: usize,
    },
    /// A character that is not seen, or changes how its neighbours are seen.
    #[error(
        "the name has {} (U+{:04X}); control, direction and other invisible characters are not taken",
        what(*.0),
        *.0 as u32
    )]
    Invisible(char),
    /// A character that means nothing, or not the same to all.
    #[error("the name has the character U+{:04X}, which is not assigned or of private use", *.0 as u32)]
    Unassigned(char),
    /// Marks upon marks.
    #[error("the name has more than {NAME_MARKS_MAX} combining marks on one letter")]
    TooManyMarks,
    /// A word of several scripts, which looks like another one.
    #[error("the word {0:?} of the name mixes letters of several scripts; write each word in one")]
    MixedScripts(String),
}

impl Name {
    /// Takes a text as a name, normalised.
    ///
    /// # Errors
    /// Says what of it is not taken.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        // Normalising makes a text longer by a known factor at most; far beyond the limit it is not tried.
        if text.len() > 16 * NAME_BYTES_MAX {
            return Err(NameError::TooLong { bytes: text.len() });
        }
        let mut name = String::with_capacity(text.len());
        for character in text.nfc() {
            match character {
                // How an emoji is drawn.
                '\u{fe0e}' | '\u{fe0f}' => {}
                '\u{2028}' | '\u{2029}' => return Err(NameError::Invisible(character)),
                _ if character.is_control() => return Err(NameError::Invisible(character)),
                _ if character.is_whitespace() && name.is_empty() => {}
                _ if character.is_whitespace() && name.ends_with(' ') => {}
                _ if character.is_whitespace() => name.push(' '),
                _ => name.push(checked(character)?),
            }
        }
        if name.ends_with(' ') {
            name.pop();
        }
        check_marks(&name)?;
        for word in
            name.split(|character: char| !character.is_alphanumeric() && !is_combining_mark(character))
        {
            check_scripts(word)?;
        }
        match name.len() {
            0 => Err(NameError::Blank),
            bytes if bytes > NAME_BYTES_MAX => Err(NameError::TooLong { bytes }),
            _ => Ok(Self(name)),
        }
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same for all names that look alike, whatever their scripts and cases; not for people to see.
    #[must_use]
    pub fn skeleton(&self) -> String {
        skeleton_of(&self.0)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The skeleton of a name that was stored before names were checked.
#[must_use]
pub fn skeleton_of(name: &str) -> String {
    let lower: String = skeleton(name).flat_map(char::to_lowercase).collect();
    // What a capital looks like is another letter's form now and then: A and а (Cyrillic).
    skeleton(&lower).collect()
}

fn checked(character: char) -> Result<char, NameError> {
    match character.identifier_type() {
        Some(IdentifierType::Default_Ignorable) => Err(NameError::Invisible(character)),
        Some(IdentifierType::Not_Character) | None => Err(NameError::Unassigned(character)),
        _ => Ok(character),
    }
}

fn check_marks(name: &str) -> Result<(), NameError> {
    let mut marks = 0;
    for character in name.chars() {
        marks = if is_combining_mark(character) { marks + 1 } else { 0 };
        if marks > NAME_MARKS_MAX {
            return Err(NameError::TooManyMarks);
        }
    }
    // A mark alone stands on whatever is shown before the name.
    if name.starts_with(is_combining_mark) { Err(NameError::TooManyMarks) } else { Ok(()) }
}

/// One script, or Latin beside Chinese, Japanese or Korean, as people write there ("VIP客户").
fn check_scripts(word: &str) -> Result<(), NameError> {
    if word.is_ascii() || word.is_single_script() {
        return Ok(());
    }
    let is_latin = |character: char| {
        let mut with_latin = String::from("a");
        with_latin.push(character);
        with_latin.as_str().is_single_script()
    };
    let mut others: String = word.chars().filter(|character| !is_latin(*character)).collect();
    others.push('漢');
    if others.as_str().is_single_script() { Ok(()) } else { Err(NameError::MixedScripts(word.to_owned())) }
}

fn what(character: char) -> &'static str {
    match character {
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{61c}' => {
            "a character that changes the direction of text"
        }
        _ if character.is_control() => "a control character",
        _ => "an invisible character",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_normalised() {
        for (text, wanted) in [
            ("Ana", "Ana"),
            ("  Ana \u{a0}\u{3000} Petrova ", "Ana Petrova"),
            ("Jose\u{301}", "José"),
            ("Billing & Refunds (EU) #2", "Billing & Refunds (EU) #2"),
            ("Ana Петрова", "Ana Петрова"),
            ("VIP客户サポート", "VIP客户サポート"),
            ("고객지원팀", "고객지원팀"),
            ("عملاء", "عملاء"),
            ("हिन्दी", "हिन्दी"),
            ("❤\u{fe0f} fans", "❤ fans"),
            ("Ångström-O'Neil", "Ångström-O'Neil"),
        ] {
            assert_eq!(Name::parse(text).map(|name| name.0), Ok(wanted.to_owned()), "{text:?}");
        }
    }

    #[test]
    fn what_deceives_is_refused_with_its_reason() {
        for (text, wanted) in [
            ("", "blank"),
            (" \u{a0} ", "blank"),
            ("a\nb", "a control character (U+000A)"),
            ("a\0b", "a control character (U+0000)"),
            ("a\u{7f}", "a control character (U+007F)"),
            ("a\u{2028}b", "an invisible character (U+2028)"),
            ("nimda\u{202e}", "a character that changes the direction of text (U+202E)"),
            ("a\u{2066}b\u{2069}", "a character that changes the direction of text (U+2066)"),
            ("a\u{200f}", "a character that changes the direction of text (U+200F)"),
            ("ad\u{200b}min", "an invisible character (U+200B)"),
            ("ad\u{ad}min", "an invisible character (U+00AD)"),
            ("ad\u{2060}min", "an invisible character (U+2060)"),
            ("a\u{e0041}", "an invisible character (U+E0041)"),
            ("a\u{e000}", "U+E000, which is not assigned"),
            ("a\u{fdd0}", "U+FDD0, which is not assigned"),
            // Cyrillic а, е and о among Latin letters; Greek ο.
            ("\u{430}dmin", "the word \"\u{430}dmin\" of the name mixes"),
            ("the \u{441}l\u{435}rk", "the word \"\u{441}l\u{435}rk\""),
            ("g\u{3bf}\u{3bf}gle", "mixes letters of several scripts"),
            ("\u{430}漢", "mixes letters of several scripts"),
            ("a\u{300}\u{301}\u{302}\u{303}\u{304}\u{305}", "combining marks"),
            ("\u{301}a", "combining marks"),
        ] {
            let refused = Name::parse(text).map_err(|error| error.to_string());
            assert!(refused.as_ref().is_err_and(|error| error.contains(wanted)), "{text:?}: {refused:?}");
        }
        assert!(Name::parse(&"x".repeat(NAME_BYTES_MAX)).is_ok());
        let long = NameError::TooLong { bytes: NAME_BYTES_MAX + 1 };
        assert_eq!(Name::parse(&"x".repeat(NAME_BYTES_MAX + 1)), Err(long));
        assert!(matches!(Name::parse(&"x".repeat(1_000_000)), Err(NameError::TooLong { .. })));
    }

    #[test]
    fn names_that_look_alike_have_one_skeleton() {
        let skeleton = |text| Name::parse(text).unwrap().skeleton();
        for (one, other) in [
            ("admin", "Admin"),
            ("support", "SUPPORT"),
            // Wholly Cyrillic: раура, СОРЕ.
            ("paypa", "\u{440}\u{430}\u{443}\u{440}\u{430}"),
            ("cope", "\u{421}\u{41e}\u{420}\u{415}"),
            ("bill", "bi\u{217c}\u{217c}"),
            ("José", "Jose\u{301}"),
            ("team 1", "team l"),
        ] {
            assert_eq!(skeleton(one), skeleton(other), "{one} {other}");
        }
        for (one, other) in [("admin", "admit"), ("team 1", "team 2"), ("ana", "anna"), ("客户", "客人")]
        {
            assert_ne!(skeleton(one), skeleton(other), "{one} {other}");
        }
    }
}
