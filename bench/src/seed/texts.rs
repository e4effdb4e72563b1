//! The tickets' texts: a function of the seed, the ticket's number and the message's.

use std::collections::BTreeMap;

use super::corpus::Corpus;
use super::phrase;
use super::shape::stream;
use crate::clock::Random;

/// Apart from the streams that shapes are drawn from.
const APART: u64 = 0x7465_7874;
/// Characters of a subject; what is longer is cut.
const SUBJECT_CHARS_MAX: usize = 120;
/// Words that a search may ask for.
const WORDS_MAX: usize = 2_000;
/// Letters of such a word, at least.
const WORD_CHARS_MIN: usize = 4;
/// Of a hundred tickets, so many different requesters.
const REQUESTERS_OF_HUNDRED: u64 = 30;
const GIVEN: [&str; 12] =
    ["mia", "noah", "li", "aisha", "jan", "sofia", "omar", "yuki", "lena", "raj", "eva", "tom"];
const FAMILY: [&str; 12] = [
    "smith", "garcia", "chen", "mueller", "silva", "kim", "rossi", "khan", "novak", "dubois", "ito", "brown",
];

/// What people write.
pub(super) struct Texts {
    corpus: Corpus,
    seed: u64,
}

impl Texts {
    pub(super) fn new(corpus: Corpus, seed: u64) -> Self {
        Self { corpus, seed: seed ^ APART }
    }

    /// A ticket's subject and its first message.
    pub(super) fn question(&mut self, number: u64) -> (String, String) {
        let mut random = self.random(number, 0);
        let question = self.corpus.get(&mut random);
        let subject = question.chars().take(SUBJECT_CHARS_MAX).collect();
        let opening = phrase::opening(&mut random);
        let order = 100_000 + random.below(900_000);
        let wish = phrase::wish(&mut random);
        (subject, format!("{opening} {question}\n\nIt is about number {order}. {wish}"))
    }

    /// What the requester adds.
    pub(super) fn more(&mut self, number: u64, done: usize) -> String {
        let mut random = self.random(number, done + 1);
        let question = self.corpus.get(&mut random);
        format!("{question} {}", phrase::wish(&mut random))
    }

    /// What an agent writes.
    pub(super) fn answer(&mut self, number: u64, done: usize) -> String {
        let mut random = self.random(number, done + 1);
        let (one, other) = (phrase::answer(&mut random), phrase::answer(&mut random));
        format!("{one} {other}")
    }

    /// Who asks: some come again.
    pub(super) fn requester(&mut self, number: u64, tickets: u64) -> String {
        let mut random = self.random(number, 9);
        let people = usize::try_from(tickets * REQUESTERS_OF_HUNDRED / 100).unwrap_or(usize::MAX).max(1);
        let person = random.below(people);
        let given = GIVEN.get(person % GIVEN.len()).copied().unwrap_or("x");
        let family = FAMILY.get(person / GIVEN.len() % FAMILY.len()).copied().unwrap_or("y");
        format!("{given}.{family}{person}@example.org")
    }

    /// Words of the questions, frequent and rare ones.
    pub(super) fn words(&self) -> Vec<String> {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for question in self.corpus.iter() {
            let words = question.split(|c: char| !c.is_alphabetic());
            for word in words.filter(|word| word.chars().count() >= WORD_CHARS_MIN) {
                *counts.entry(word.to_lowercase()).or_default() += 1;
            }
        }
        // Evenly over all ranks: searches are for rare words as well.
        let mut words: Vec<_> = counts.into_iter().collect();
        words.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
        let step = words.len().div_ceil(WORDS_MAX).max(1);
        words.into_iter().step_by(step).map(|(word, _)| word).collect()
    }

    fn random(&self, number: u64, message: usize) -> Random {
        Random::new(stream(self.seed, number).wrapping_add(message as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_follow_from_the_seed() {
        let all = |seed| {
            let mut texts = Texts::new(Corpus::phrases(seed), seed);
            (1..50)
                .map(|n| (texts.question(n), texts.more(n, 1), texts.answer(n, 2), texts.requester(n, 1_000)))
                .collect::<Vec<_>>()
        };
        assert_eq!(all(1), all(1));
        assert_ne!(all(1), all(2));
        assert!(all(1).iter().all(|(question, ..)| question.0.len() <= SUBJECT_CHARS_MAX));
    }

    #[test]
    fn words_are_of_the_questions() {
        let texts = Texts::new(Corpus::phrases(1), 1);
        let words = texts.words();
        assert!((100..=WORDS_MAX).contains(&words.len()), "{}", words.len());
        assert!(words.iter().any(|word| word == "refund"));
    }
}
