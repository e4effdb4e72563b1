//! An agent's reply without what is about its customer: names, addresses and numbers are slots from the start; what may be
//! about somebody is marked, and shown only once it was said to two requesters.

mod dense;
mod tokens;

use rustc_hash::FxHashSet;
use serde::{Deserialize, Serialize};

use super::person::{Person, hash_text};
use super::vocabulary::{is_common_word, may_be_name};
use crate::learn::language::Language;
use crate::limits::{CUSTOMER_WORDS_MAX, LEARNED_REPLY_BYTES_MAX};
use crate::text::{Personal, Stretch, composed, folded, is_without_capitals, stretches};
use tokens::{Token, tokens};

/// What belongs into a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(in crate::learn) enum SlotKind {
    Name,
    LastName,
    FullName,
    /// The customer's own address.
    Email,
    OtherEmail,
    Phone,
    Card,
    OrderNumber,
    Url,
    Number,
    Text,
}

impl SlotKind {
    pub(in crate::learn) fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::LastName => "last_name",
            Self::FullName => "full_name",
            Self::Email => "email",
            Self::OtherEmail => "other_email",
            Self::Phone => "phone",
            Self::Card => "card",
            Self::OrderNumber => "order_number",
            Self::Url => "url",
            Self::Number => "number",
            Self::Text => "text",
        }
    }
}

/// A part of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::learn) enum Piece {
    Plain(String),
    /// Somebody's, unless it was said to two requesters.
    Suspect(String),
    Slot(SlotKind),
}

/// An agent's reply, masked as far as its own ticket tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::learn) struct Wording {
    pub(in crate::learn) pieces: Vec<Piece>,
    /// Hashes of the words that not everybody writes: see [`said_word`].
    pub(in crate::learn) said: Vec<u64>,
    pub(in crate::learn) language: Language,
}

/// A word as it is remembered.
pub(in crate::learn) fn said_word(word: &str) -> u64 {
    hash_text(0x77, &word.to_lowercase())
}

/// A customer's word: without its marks, for an agent may write it without them.
fn heard_word(word: &str) -> u64 {
    hash_text(0x77, &folded(word))
}

/// What a customer has said in a ticket: of words and of pairs of characters, their hashes.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Said {
    words: FxHashSet<u64>,
    pairs: FxHashSet<(char, char)>,
    /// There was more than is remembered: every word may be one of theirs.
    is_too_much: bool,
}

impl Said {
    pub(super) fn say(&mut self, text: &str) {
        for part in stretches(text) {
            match part {
                Stretch::Word(word) => drop(self.words.insert(heard_word(word))),
                Stretch::Dense(run) => self.pairs.extend(run.chars().zip(run.chars().skip(1))),
                Stretch::Gap(_) => {}
            }
        }
        if self.words.len() > CUSTOMER_WORDS_MAX || self.pairs.len() > CUSTOMER_WORDS_MAX {
            *self = Self { is_too_much: true, ..Self::default() };
        }
    }

    fn has_word(&self, word: &str) -> bool {
        self.is_too_much || self.words.contains(&heard_word(word))
    }

    fn has_pair(&self, pair: (char, char)) -> bool {
        self.is_too_much || self.pairs.contains(&pair)
    }
}

const GREETINGS: [&str; 22] = [
    "hi",
    "hello",
    "dear",
    "hey",
    "morning",
    "afternoon",
    "evening",
    "hallo",
    "liebe",
    "lieber",
    "bonjour",
    "cher",
    "chère",
    "hola",
    "estimado",
    "estimada",
    "querido",
    "ciao",
    "caro",
    "cara",
    "beste",
    "olá",
];
/// Whom one greets without a name.
const GREETED: [&str; 14] = [
    "there",
    "all",
    "everyone",
    "team",
    "customer",
    "customers",
    "sir",
    "madam",
    "again",
    "friend",
    "friends",
    "valued",
    "and",
    "dear",
];
const TITLES: [&str; 16] = [
    "mr", "mrs", "ms", "miss", "dr", "prof", "mister", "herr", "frau", "monsieur", "madame", "señor",
    "señora", "signor", "signora", "mx",
];
/// What is counted in small numbers that are nobody's.
const UNITS: [&str; 26] = [
    "day",
    "days",
    "hour",
    "hours",
    "hr",
    "hrs",
    "minute",
    "minutes",
    "min",
    "mins",
    "second",
    "seconds",
    "week",
    "weeks",
    "month",
    "months",
    "business",
    "working",
    "workdays",
    "calendar",
    "tage",
    "tagen",
    "werktage",
    "werktagen",
    "stunden",
    "minuten",
];
const DENSE_UNITS: [&str; 8] = ["天", "小时", "个工作日", "工作日", "分钟", "个小时", "周", "个月"];
const NAME_WORDS_MAX: usize = 4;

impl Wording {
    /// Masks a reply; nothing where it is empty, or longer than what is suggested.
    pub(super) fn of(reply: &str, person: &Person, said: &Said) -> Option<Self> {
        let reply = reply.trim();
        if reply.len() > LEARNED_REPLY_BYTES_MAX {
            return None;
        }
        let clean: String = composed(reply).chars().filter(|c| !c.is_control() || *c == '\n').collect();
        let clean = clean.trim();
        if clean.is_empty() {
            return None;
        }
        let tokens = tokens(clean);
        let mut masker = Masker { tokens: &tokens, person, said, pieces: Vec::new(), words: Vec::new() };
        masker.run();
        let Masker { pieces, words, .. } = masker;
        Some(Self { pieces, said: words, language: Language::of(clean) })
    }
}

struct Masker<'a> {
    tokens: &'a [Token<'a>],
    person: &'a Person,
    said: &'a Said,
    pieces: Vec<Piece>,
    words: Vec<u64>,
}

impl<'a> Masker<'a> {
    fn run(&mut self) {
        let (mut at, mut starts_sentence) = (0, true);
        while let Some(token) = self.tokens.get(at) {
            let (next, starts) = match token {
                Token::Gap(gap) => {
                    self.plain(gap);
                    (
                        at + 1,
                        gap.contains(['.', '!', '?', ':', '\n', '•', '*', '。', '！', '？', '：'])
                            || starts_sentence,
                    )
                }
                Token::Personal(kind, text) => {
                    self.personal(*kind, text);
                    (at + 1, false)
                }
                Token::Dense(run) => {
                    let (pieces, words) = dense::mask(run, self.person, self.said, starts_sentence);
                    self.words.extend(words);
                    pieces.into_iter().for_each(|piece| self.push(piece));
                    (at + 1, false)
                }
                Token::Word(word) => (self.word(at, word, starts_sentence), false),
            };
            (at, starts_sentence) = (next, starts);
        }
    }

    /// Masks the word at `at`, and those that belong to it; tells where it goes on.
    fn word(&mut self, at: usize, word: &'a str, starts_sentence: bool) -> usize {
        let lower = word.to_lowercase();
        if let Some(next) = self.titled(at, &lower).or_else(|| self.own_name(at, starts_sentence)) {
            return next;
        }
        if GREETINGS.contains(&lower.as_str()) && self.may_greet(at, starts_sentence) {
            self.plain(word);
            return self.greeted(at + 1);
        }
        if word.chars().any(char::is_numeric) {
            if word.len() <= 2 && self.counts(at + 1) {
                self.plain(word);
            } else {
                self.suspect(word);
            }
            return at + 1;
        }
        let is_capital = word.contains(char::is_uppercase);
        let is_common = is_common_word(word) && !(is_capital && !starts_sentence && may_be_name(word));
        // Where a script has no capitals, nothing tells a name from other words.
        let is_capital = is_capital || is_without_capitals(word);
        let is_told = self.said.has_word(word) || self.person.has_part(word);
        if is_common || !(is_capital || is_told) {
            if !is_common {
                self.words.push(said_word(word));
            }
            self.plain(word);
        } else {
            self.suspect(word);
        }
        at + 1
    }

    /// `Ms Lee`, `Dr. Kim Lee`: title and name are one slot, for the next customer may have another title.
    fn titled(&mut self, at: usize, lower: &str) -> Option<usize> {
        let Some(Token::Word(title)) = self.tokens.get(at) else { return None };
        if !TITLES.contains(&lower) || !title.starts_with(char::is_uppercase) {
            return None;
        }
        let Some(Token::Gap(" " | ". " | ".")) = self.tokens.get(at + 1) else { return None };
        let end = self.name_end(at + 2, |word, _| word.starts_with(char::is_uppercase))?;
        self.push(Piece::Slot(SlotKind::FullName));
        Some(end)
    }

    /// The customer's own name.
    fn own_name(&mut self, at: usize, starts_sentence: bool) -> Option<usize> {
        let end = self.name_end(at, |word, is_first| {
            let is_plain_word = is_common_word(word)
                && (!word.starts_with(char::is_uppercase)
                    || (is_first && starts_sentence && !may_be_name(word)));
            self.person.is_called(word) && !is_plain_word
        })?;
        let names: Vec<&str> = self.tokens.get(at..end)?.iter().filter_map(Token::word).collect();
        let is = |name: Option<&str>| {
            name.is_some_and(|name| {
                names.first().is_some_and(|word| name.to_lowercase() == word.to_lowercase())
            })
        };
        let kind = match names.len() {
            1 if is(self.person.last_name()) && !is(self.person.first_name()) => SlotKind::LastName,
            1 => SlotKind::Name,
            _ => SlotKind::FullName,
        };
        self.push(Piece::Slot(kind));
        Some(end)
    }

    /// Whom a greeting names, whoever that is.
    fn greeted(&mut self, at: usize) -> usize {
        let Some(Token::Gap(" ")) = self.tokens.get(at) else { return at };
        let Some(Token::Word(first)) = self.tokens.get(at + 1) else { return at };
        if self.tokens.get(at + 1).is_none_or(|token| token.word().is_none()) || is_title(first) {
            return at;
        }
        let ends_clause = |place: usize| match self.tokens.get(place) {
            None => true,
            Some(Token::Gap(gap)) => gap.starts_with([',', '!', '.', ':', '\n', '，', '-', ';']),
            Some(_) => false,
        };
        let is_name = |word: &str, place: usize| {
            let is_capital = word.starts_with(char::is_uppercase);
            let is_nobody = GREETED.contains(&word.to_lowercase().as_str());
            !is_nobody && (!is_common_word(word) || (is_capital && ends_clause(place + 1)))
        };
        if !is_name(first, at + 1) {
            return at;
        }
        let mut end = at + 2;
        let mut count = 1;
        while count < NAME_WORDS_MAX
            && let Some(Token::Gap(" " | "-" | "'" | "’" | ". ")) = self.tokens.get(end)
            && let Some(Token::Word(word)) = self.tokens.get(end + 1)
            && word.starts_with(char::is_uppercase)
            && is_name(word, end + 1)
        {
            (end, count) = (end + 2, count + 1);
        }
        self.plain(" ");
        self.push(Piece::Slot(if count == 1 { SlotKind::Name } else { SlotKind::FullName }));
        end
    }

    /// Behind the last of the words from `at` on that are of one name.
    fn name_end(&self, at: usize, is_of_it: impl Fn(&str, bool) -> bool) -> Option<usize> {
        let mut end = None;
        let mut place = at;
        for count in 0..NAME_WORDS_MAX {
            let Some(Token::Word(word)) = self.tokens.get(place) else { break };
            if !is_of_it(word, count == 0) {
                break;
            }
            end = Some(place + 1);
            let Some(Token::Gap(" " | "-" | "'" | "’" | ". ")) = self.tokens.get(place + 1) else { break };
            place += 2;
        }
        end
    }

    /// A greeting begins a sentence; `Good morning` has a word in front.
    fn may_greet(&self, at: usize, starts_sentence: bool) -> bool {
        let before = at.checked_sub(2).and_then(|before| self.tokens.get(before)).and_then(Token::word);
        starts_sentence || before.is_some_and(|word| word.eq_ignore_ascii_case("good"))
    }

    /// Whether what follows a small number says that it counts days or hours.
    fn counts(&self, mut at: usize) -> bool {
        for _ in 0..2 {
            at += usize::from(matches!(
                self.tokens.get(at),
                Some(Token::Gap(" " | "-" | "–" | " - " | "~" | "到"))
            ));
            match self.tokens.get(at) {
                Some(Token::Word(word)) if word.len() <= 2 && word.chars().all(|c| c.is_ascii_digit()) => {
                    at += 1
                }
                Some(Token::Word(word)) => return UNITS.contains(&word.to_lowercase().as_str()),
                Some(Token::Dense(run)) => return DENSE_UNITS.iter().any(|unit| run.starts_with(unit)),
                _ => return false,
            }
        }
        false
    }

    fn personal(&mut self, kind: Personal, text: &str) {
        match kind {
            Personal::Email if self.person.email.as_deref() == Some(text.to_lowercase().as_str()) => {
                self.push(Piece::Slot(SlotKind::Email));
            }
            Personal::Email => self.push(Piece::Slot(SlotKind::OtherEmail)),
            Personal::Phone => self.push(Piece::Slot(SlotKind::Phone)),
            Personal::Card => self.push(Piece::Slot(SlotKind::Card)),
            Personal::Order => self.push(Piece::Slot(SlotKind::OrderNumber)),
            Personal::Number => self.push(Piece::Slot(SlotKind::Number)),
            // A page of the shop's help has neither questions nor numbers in its address.
            Personal::Url if has_token(text) => self.push(Piece::Slot(SlotKind::Url)),
            Personal::Url => self.suspect(text),
        }
    }

    fn suspect(&mut self, word: &str) {
        self.words.push(said_word(word));
        self.push(Piece::Suspect(word.to_owned()));
    }

    fn plain(&mut self, text: &str) {
        self.push(Piece::Plain(text.to_owned()));
    }

    fn push(&mut self, piece: Piece) {
        match (self.pieces.last_mut(), piece) {
            (Some(Piece::Plain(before)), Piece::Plain(text)) => before.push_str(&text),
            (_, piece) => self.pieces.push(piece),
        }
    }
}

fn is_title(word: &str) -> bool {
    TITLES.contains(&word.to_lowercase().as_str())
}

/// Whether a link may open something of one person: it has a query, a fragment, a user, a number or a long word.
fn has_token(url: &str) -> bool {
    url.contains(['?', '#', '@', '=', '%', ';'])
        || url.chars().filter(|c| c.is_numeric()).count() >= 3
        || url.split(['/', '.', '-', '_']).any(|part| part.len() > 24)
}

/// A reply to somebody who has said nothing.
#[cfg(test)]
pub(in crate::learn) fn wording_of(reply: &str, person: &Person) -> Wording {
    let empty = Wording { pieces: Vec::new(), said: Vec::new(), language: Language::Unknown };
    Wording::of(reply, person, &Said::default()).unwrap_or(empty)
}

#[cfg(test)]
mod tests;
