//! Whoever asks, as far as replies name that person.

use std::hash::Hasher;

use rustc_hash::FxHasher;

use super::vocabulary::is_common_word;
use crate::limits::PERSON_PARTS_MAX;
use crate::text::is_without_spaces;

/// Whoever asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::learn) struct Person {
    /// Tells requesters apart; of one person it may be several.
    pub(in crate::learn) key: u64,
    /// As they call themselves.
    pub(in crate::learn) name: Option<String>,
    /// Their address, in lower case.
    pub(in crate::learn) email: Option<String>,
    /// What of name and address a reply may use, in lower case.
    pub(in crate::learn) parts: Vec<String>,
}

impl Person {
    /// Out of a ticket's `requester`, such as `Kim Lee <kim@example.com>`, and its `requester_id`.
    pub(in crate::learn) fn of(requester: &str, id: Option<u64>) -> Self {
        let (before, address) = match requester.split_once('<') {
            Some((before, rest)) => (before, rest.split('>').next().unwrap_or_default()),
            None if requester.contains('@') => ("", requester),
            None => (requester, ""),
        };
        let name = before.trim().trim_matches(['"', '\'']).trim();
        let is_name = !name.is_empty() && !name.contains(['@', '/']) && !name.chars().any(char::is_numeric);
        let email = Some(address.trim().to_lowercase()).filter(|address| address.contains('@'));
        let mut parts: Vec<String> = Vec::new();
        let local = email.as_deref().and_then(|email| email.split('@').next()).unwrap_or_default();
        let words =
            before.split(|c: char| !c.is_alphanumeric()).chain(local.split(|c: char| !c.is_alphanumeric()));
        for part in words.map(str::to_lowercase).filter(|part| is_telling(part)) {
            if parts.len() < PERSON_PARTS_MAX && !parts.contains(&part) {
                parts.push(part);
            }
        }
        let key = id.map_or_else(
            || hash_text(0x70, &email.clone().unwrap_or_else(|| requester.trim().to_lowercase())),
            |id| hash_text(0x69, &id.to_string()),
        );
        Self { key, name: is_name.then(|| name.to_owned()), email, parts }
    }

    /// A text without this person's name: what is learned is about the matter.
    pub(in crate::learn) fn hide(&self, text: &str) -> String {
        let mut hidden = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find(|c: char| c.is_alphanumeric()) {
            let (before, from) = rest.split_at(start);
            let end = from.find(|c: char| !c.is_alphanumeric()).unwrap_or(from.len());
            let (word, after) = from.split_at(end);
            hidden.push_str(before);
            let is_name = self.parts.iter().any(|part| word.to_lowercase() == *part) && !is_common_word(word);
            hidden.push_str(if is_name { "[name]" } else { word });
            rest = after;
        }
        hidden.push_str(rest);
        match self.name.as_deref().filter(|name| name.chars().any(is_without_spaces)) {
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

/// One letter tells nobody apart; one character of a dense script is a surname.
fn is_telling(part: &str) -> bool {
    part.chars().count() > 1 || part.chars().any(is_without_spaces)
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
        ] {
            let person = Person::of(requester, None);
            assert_eq!((person.name.as_deref(), person.email.as_deref()), (name, email), "{requester}");
            assert_eq!(person.parts, parts, "{requester}");
        }
        assert_eq!(Person::of("a@b.c", Some(3)).key, Person::of("Kim", Some(3)).key);
        assert_eq!(Person::of("Kim <a@b.c>", None).key, Person::of("A@B.c", None).key);
        assert_ne!(Person::of("a@b.c", None).key, Person::of("b@b.c", None).key);
    }
}
