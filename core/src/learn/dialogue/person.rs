//! Whoever asks, as far as replies name that person.

use std::hash::Hasher;

use rustc_hash::FxHasher;
use serde::{Deserialize, Serialize};

use super::vocabulary::is_common_word;
use crate::limits::PERSON_PARTS_MAX;
use crate::text::{Stretch, composed, fold_word, folded, is_run_on, is_without_spaces, stretches};

/// What channels call whom they do not know.
const NOBODY: [&str; 17] = [
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
    "匿名用户",
    "客户",
    "游客",
    "用户",
    "访客",
];

/// By what requesters are told apart: hashes of address, number and name; 0 where that is not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::learn) struct PersonKey([u32; 3]);

impl PersonKey {
    /// Whether the two are surely not one person: all that is known of both differs.
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
        let [contact, id, name] = self.0;
        [id, contact, name].into_iter().find(|known| *known != 0).unwrap_or_default()
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
        // `Lee, Kim` is how directories write `Kim Lee`.
        let name = match name.split_once(", ") {
            Some((last, first)) if !first.contains(',') => format!("{first} {last}"),
            _ => name.to_owned(),
        };
        let name = is_name.then_some(name);
        let contact = email.clone().unwrap_or_else(|| match is_nobody(requester) {
            true => String::new(),
            false => requester.trim().to_lowercase(),
        });
        let mut person = Self { key: PersonKey::default(), name, email, parts };
        let called = person.name.as_deref().unwrap_or_default().to_lowercase();
        person.key = PersonKey([hash_short(0x70, &contact), 0, hash_short(0x6e, &called)]);
        person.identify(id);
        person
    }

    /// Takes over the requester's number, where there is one.
    pub(in crate::learn) fn identify(&mut self, id: Option<u64>) {
        if let (Some(id), [_, known, _]) = (id, &mut self.key.0) {
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
        self.name.as_deref()?.split_whitespace().next()
    }

    /// The last word of the name.
    pub(in crate::learn) fn last_name(&self) -> Option<&str> {
        self.name.as_deref()?.split_whitespace().next_back()
    }
}

/// Whether a requester's text tells of nobody: it has no letters or digits, or is what channels write instead, with a number
/// or not.
fn is_nobody(requester: &str) -> bool {
    let mut words = stretches(requester).filter_map(Stretch::letters).peekable();
    if words.peek().is_none() {
        return true;
    }
    let mut named = words.filter(|word| !word.chars().all(char::is_numeric)).peekable();
    named.peek().is_some() && named.all(|word| NOBODY.contains(&word.to_lowercase().as_str()))
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
        for nobody in ["", " ", "\"\" <>", "Guest", "visitor 1044", "Anonymous User", "匿名用户", "访客"]
        {
            assert!(
                !is_another((nobody, None), ("b@b.c", None)),
                "{nobody} is not known to be somebody else"
            );
            assert!(!is_another(("b@b.c", None), (nobody, None)), "{nobody}");
        }
        assert!(is_another(("+44 20 7946 0000", None), ("+44 20 7946 0001", None)));
    }
}
