//! Whoever asks, as far as replies name that person.

use std::hash::Hasher;

use rustc_hash::FxHasher;
use serde::{Deserialize, Serialize};

use super::vocabulary::is_common_word;
use crate::limits::PERSON_PARTS_MAX;
use crate::text::{
    Personal, Stretch, composed, fold_word, folded, is_run_on, is_without_spaces, mask, stretches,
};

/// What channels call whom they do not know.
const NOBODY: [&str; 16] = [
    "anonymous",
    "caller",
    "client",
    "customer",
    "guest",
    "none",
    "null",
    "requester",
    "unknown",
    "user",
    "visitor",
    "匿名",
    "客户",
    "游客",
    "用户",
    "访客",
];

/// A phone's number is written with its country's number and without: these last digits are there each time.
const PHONE_DIGITS: usize = 7;

/// By what requesters are told apart: hashes of address, phone, number and name; 0 where that is not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::learn) struct PersonKey([u32; 4]);

impl PersonKey {
    /// Whether the two are surely not one person: something of one kind is known of both, and all such differs.
    /// Of whom nothing is known is nobody else.
    pub(in crate::learn) fn is_another(self, other: Self) -> bool {
        let both = self.0.iter().zip(other.0).filter(|(one, other)| **one != 0 && *other != 0);
        let differ: Vec<bool> = both.map(|(one, other)| *one != other).collect();
        !differ.is_empty() && differ.iter().all(|differs| *differs)
    }

    /// Whether nothing is known.
    pub(in crate::learn) fn is_nobody(self) -> bool {
        self == Self::default()
    }

    /// What is known, best first: one number for whoever comes the same way again.
    pub(in crate::learn) fn number(self) -> u32 {
        let [email, phone, id, name] = self.0;
        [id, email, phone, name].into_iter().find(|known| *known != 0).unwrap_or_default()
    }
}

/// Whoever asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::learn) struct Person {
    pub(in crate::learn) key: PersonKey,
    /// As they call themselves.
    pub(in crate::learn) name: Option<String>,
    /// Their address, in lower case.
    pub(in crate::learn) email: Option<String>,
    /// What of name and address a reply may use, in lower case and without marks.
    parts: Vec<String>,
    /// Neighbouring characters of a name that is written without spaces.
    pairs: Vec<(char, char)>,
}

impl Person {
    /// Out of a ticket's `requester`, such as `Kim Lee <kim@example.com>`, and its `requester_id`.
    pub(in crate::learn) fn of(requester: &str, id: Option<u64>) -> Self {
        let requester = &*composed(requester);
        let (before, address) = match requester.split_once('<') {
            Some((before, rest)) => (before, rest.split('>').next().unwrap_or_default()),
            None if requester.contains('@') => ("", requester),
            None => (requester, ""),
        };
        let name = before.trim().trim_matches(['"', '\'']).trim();
        let is_name = !name.is_empty()
            && !name.contains(['@', '/'])
            && !name.chars().any(char::is_numeric)
            && !is_nobody(name);
        let email = Some(address.trim().to_lowercase()).filter(|address| address.contains('@'));
        let mut parts: Vec<String> = Vec::new();
        let local = email.as_deref().and_then(|email| email.split('@').next()).unwrap_or_default();
        let words = stretches(before).chain(stretches(local)).filter_map(Stretch::letters);
        for part in words.filter(|part| is_telling(part)).map(folded) {
            if parts.len() < PERSON_PARTS_MAX && !part.is_empty() && !parts.contains(&part) {
                parts.push(part);
            }
        }
        let runs = stretches(before).filter_map(|part| match part {
            Stretch::Dense(run) => Some(run),
            Stretch::Word(_) | Stretch::Gap(_) => None,
        });
        let pairs =
            runs.flat_map(|run| run.chars().zip(run.chars().skip(1))).take(PERSON_PARTS_MAX).collect();
        // `Lee, Kim` is how directories write `Kim Lee`.
        let name = match name.split_once(", ") {
            Some((last, first)) if !first.contains(',') => format!("{first} {last}"),
            _ => name.to_owned(),
        };
        let name = is_name.then_some(name);
        // What is neither an address nor a phone nor a name, such as a session's number, tells nobody apart.
        let key = PersonKey([
            hash_short(0x70, email.as_deref().unwrap_or_default()),
            hash_short(0x74, &phone(before).unwrap_or_default()),
            0,
            // `Kim` may be `Kim Lee`.
            hash_short(0x6e, &folded(name.as_deref().and_then(first_word).unwrap_or_default())),
        ]);
        let mut person = Self { key, name, email, parts, pairs };
        person.identify(id);
        person
    }

    /// Takes over the requester's number, where there is one.
    pub(in crate::learn) fn identify(&mut self, id: Option<u64>) {
        if let (Some(id), [_, _, known, _]) = (id, &mut self.key.0) {
            *known = hash_short(0x69, &id.to_string());
        }
    }

    /// Whether a word is of the name.
    pub(in crate::learn) fn is_called(&self, word: &str) -> bool {
        let mut names = self.name.iter().flat_map(|name| stretches(name)).filter_map(Stretch::letters);
        is_telling(word) && names.any(|name| folded(name) == folded(word))
    }

    /// Whether a word is of the name or the address.
    pub(super) fn has_part(&self, word: &str) -> bool {
        self.parts.contains(&folded(word))
    }

    /// Whether two neighbouring characters are of the name.
    pub(super) fn has_pair(&self, pair: (char, char)) -> bool {
        self.pairs.contains(&pair)
    }

    /// A text without this person's name: what is learned is about the matter.
    pub(in crate::learn) fn hide(&self, text: &str) -> String {
        if self.parts.is_empty() {
            return text.to_owned();
        }
        let (mut hidden, mut plain) = (String::with_capacity(text.len()), String::new());
        for part in stretches(text) {
            let (Stretch::Word(shown) | Stretch::Dense(shown) | Stretch::Gap(shown)) = part;
            plain.clear();
            part.letters().into_iter().for_each(|word| fold_word(word, &mut plain));
            let is_name = self.parts.contains(&plain) && !is_common_word(shown);
            hidden.push_str(if is_name { "[name]" } else { shown });
        }
        match self.name.as_deref().filter(|name| name.chars().any(is_run_on)) {
            Some(name) => hidden.replace(name, "[name]"),
            None => hidden,
        }
    }

    /// What one calls this person: the first word of the name, all of it where it is written without spaces.
    pub(in crate::learn) fn first_name(&self) -> Option<&str> {
        self.name.as_deref().and_then(first_word)
    }

    /// The last word of the name.
    pub(in crate::learn) fn last_name(&self) -> Option<&str> {
        self.name.as_deref()?.split_whitespace().next_back()
    }
}

fn first_word(name: &str) -> Option<&str> {
    name.split_whitespace().next()
}

/// Whether a requester's text tells of nobody: it has no letters or digits, or a word that channels write instead, with a
/// number behind it or not.
fn is_nobody(requester: &str) -> bool {
    let mut words = stretches(requester).filter_map(Stretch::letters).peekable();
    let is_instead = |word: &str| {
        let word = word.split(char::is_numeric).next().unwrap_or_default().to_lowercase();
        NOBODY.iter().any(|nobody| word == *nobody || (!nobody.is_ascii() && word.contains(nobody)))
    };
    words.peek().is_none() || words.any(is_instead)
}

/// The last digits of a phone's number, where a requester's text has one.
fn phone(requester: &str) -> Option<String> {
    if is_nobody(requester) {
        return None;
    }
    let has_letters = requester.contains(char::is_alphabetic);
    let is_phone = |kind: Personal| match kind {
        Personal::Phone => true,
        // The same without a sign that it is one.
        Personal::Card | Personal::Number => !has_letters,
        Personal::Email | Personal::Order | Personal::Url => false,
    };
    let span = mask(requester).spans.into_iter().find(|span| is_phone(span.kind))?;
    let digits = folded(requester.get(span.was)?);
    let (start, _) = digits.char_indices().rev().nth(PHONE_DIGITS - 1)?;
    digits.get(start..).map(str::to_owned)
}

/// One letter tells nobody apart; one character of a dense script is a surname.
fn is_telling(part: &str) -> bool {
    part.chars().count() > 1 || part.chars().any(is_without_spaces)
}

/// Never 0 for a text; 0 for none.
fn hash_short(seed: u64, text: &str) -> u32 {
    let hash = u32::try_from(hash_text(seed, text) >> 32).unwrap_or(u32::MAX);
    if text.is_empty() { 0 } else { hash.max(1) }
}

/// A hash of a text that is the same on every machine.
pub(in crate::learn) fn hash_text(seed: u64, text: &str) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write_u64(seed);
    for byte in text.bytes() {
        hasher.write_u8(byte);
    }
    // The finaliser of MurmurHash3: the low bits of FxHasher depend on few of the input's.
    let mut state = hasher.finish();
    state = (state ^ (state >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    state = (state ^ (state >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    state ^ (state >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_read_out_of_what_the_ticket_has() {
        for (requester, name, email, parts) in [
            ("Kim Lee <Kim.L@Example.com>", Some("Kim Lee"), Some("kim.l@example.com"), vec!["kim", "lee"]),
            ("kim_lee7@example.com", None, Some("kim_lee7@example.com"), vec!["kim", "lee7"]),
            ("王小明", Some("王小明"), None, vec!["王小明"]),
            ("+44 20 7946 0000", None, None, vec!["44", "20", "7946", "0000"]),
            ("", None, None, vec![]),
            ("Guest 1044", None, None, vec!["guest", "1044"]),
            (
                "Jose\u{301} O'Neil-Paz <j@b.c>",
                Some("José O'Neil-Paz"),
                Some("j@b.c"),
                vec!["jose", "neil", "paz"],
            ),
        ] {
            let person = Person::of(requester, None);
            assert_eq!((person.name.as_deref(), person.email.as_deref()), (name, email), "{requester}");
            assert_eq!(person.parts, parts, "{requester}");
        }
        assert_eq!(Person::of("Lee, Kim <a@b.c>", None).name.as_deref(), Some("Kim Lee"));
    }

    #[test]
    fn two_are_two_only_where_nothing_says_that_they_are_one() {
        let is_another = |one: (&str, Option<u64>), other: (&str, Option<u64>)| {
            Person::of(one.0, one.1).key.is_another(Person::of(other.0, other.1).key)
        };
        assert!(is_another(("a@b.c", None), ("b@b.c", None)));
        assert!(is_another(("Kim <a@b.c>", Some(1)), ("Bob <b@b.c>", Some(2))));
        assert!(!is_another(("a@b.c", Some(3)), ("Kim", Some(3))));
        assert!(!is_another(("Kim <a@b.c>", None), ("A@B.c", None)));
        assert!(!is_another(("Kim Lee <a@b.c>", None), ("kim lee <b@b.c>", None)));
        for nobody in [
            "",
            " ",
            "\"\" <>",
            "Guest",
            "Guest17",
            "visitor 1044",
            "Visitor 8f3a2",
            "Website Visitor",
            "Anonymous User",
            "8f3a2",
            "匿名用户",
            "访客",
            "微信用户17",
        ] {
            assert!(
                !is_another((nobody, None), ("b@b.c", None)),
                "{nobody} is not known to be somebody else"
            );
            assert!(!is_another(("b@b.c", None), (nobody, None)), "{nobody}");
        }
        // One person on two channels: what is known of the one is of another kind than what is known of the other.
        let channels = ["Kim", "kim@home.org", "+44 20 7946 0000"];
        for (one, other) in channels.iter().flat_map(|one| channels.map(|other| (*one, other))) {
            assert!(!is_another((one, None), (other, None)), "{one}, {other}");
        }
        for (one, other) in [
            ("+44 20 7946 0000", "020 7946 0000"),
            ("+44 20 7946 0000", "442079460000"),
            ("José Paz", "jose paz"),
            ("Kim", "Kim Lee <kim@home.org>"),
            ("Visitor 8f3a2", "Visitor 17b03"),
            ("Guest17", "Guest18"),
            ("Website Visitor", "Guest"),
        ] {
            assert!(!is_another((one, None), (other, None)), "{one}, {other}");
        }
        for (one, other) in [("+44 20 7946 0000", "+44 20 7946 0001"), ("Kim", "Bob"), ("王小明", "李伟")]
        {
            assert!(is_another((one, None), (other, None)), "{one}, {other}");
        }
    }
}
