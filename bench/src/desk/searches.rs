//! Searches for words that the texts have.

use super::work::{Ask, Work, unexpected};
use crate::clock::Random;
use crate::wire::http::{Head, Requests};

/// One word, two words, and a word in open tickets.
const KINDS: [&str; 3] = ["word", "words", "filtered"];

/// `GET /v1/search?q=…` with random words, frequent and rare ones.
#[derive(Debug)]
pub struct Searches {
    words: Vec<String>,
}

impl Searches {
    /// For these; never none.
    #[must_use]
    pub fn new(words: Vec<String>) -> Self {
        Self { words }
    }

    /// A search's path.
    pub(super) fn path(&self, kind: usize, random: &mut Random) -> String {
        let mut path = "/v1/search?q=".to_owned();
        encode(self.word(random), &mut path);
        match kind {
            0 => {}
            1 => {
                path.push('+');
                encode(self.word(random), &mut path);
            }
            _ => path.push_str("+status%3Aopen"),
        }
        path
    }

    pub(super) fn word(&self, random: &mut Random) -> &str {
        self.words.get(random.below(self.words.len())).map_or("refund", String::as_str)
    }

    pub(super) fn kind(random: &mut Random) -> usize {
        random.below(KINDS.len())
    }
}

impl Work for Searches {
    fn kinds(&self) -> &[&'static str] {
        &KINDS
    }

    fn ask(&mut self, requests: &Requests, out: &mut Vec<u8>, random: &mut Random) -> Option<Ask> {
        let kind = Self::kind(random);
        requests.get(out, &self.path(kind, random));
        Some(Ask { kind, place: 0, version: 0 })
    }

    fn answered(&mut self, _: Ask, head: &Head, _: &[u8]) -> Result<(), String> {
        if head.status == 200 { Ok(()) } else { Err(unexpected(head)) }
    }

    fn lost(&mut self, _: Ask) {}
}

/// As part of a query.
fn encode(text: &str, out: &mut String) {
    const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            out.push(char::from(byte));
        } else {
            // Two halves of four bits.
            out.extend(['%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_encoded() {
        let searches = Searches::new(vec!["über".into()]);
        let mut random = Random::new(1);
        let paths = [0, 1, 2].map(|kind| searches.path(kind, &mut random));
        assert_eq!(paths[0], "/v1/search?q=%C3%BCber");
        assert_eq!(paths[1], "/v1/search?q=%C3%BCber+%C3%BCber");
        assert_eq!(paths[2], "/v1/search?q=%C3%BCber+status%3Aopen");
    }
}
