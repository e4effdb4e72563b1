//! A reply as it is kept: text with slots, and nothing of anybody.

use rustc_hash::FxHashSet;
use serde::{Deserialize, Serialize};

use crate::learn::ask::Filling;
use crate::learn::dialogue::{Piece, SlotKind, Wording, hash_text, is_common_word, said_word};
use crate::learn::suggestion::Filled;
use crate::limits::REPLY_TOKENS_MAX;
use crate::text::{Stretch, stretches};

/// Twice the words that two replies share, of all words of both: from here on they are one with small changes.
const NEAR_PERCENT: usize = 85;
/// Words that one slot stands for, at most.
const SLOT_WORDS_MAX: usize = 4;
/// Words that turn a sentence into its opposite.
const NEGATIONS: [&str; 22] = [
    "not", "no", "never", "cannot", "t", "don", "without", "unable", "nicht", "kein", "keine", "ne", "pas",
    "non", "não", "不", "没", "无", "未", "别", "勿", "否",
];

/// Words that may come and go in a reply that stays the same.
const LITTLE: [&str; 112] = [
    "a", "an", "the", "this", "that", "these", "those", "i", "we", "you", "he", "she", "it", "they", "me",
    "us", "them", "my", "our", "your", "its", "their", "and", "or", "but", "so", "as", "of", "to", "in",
    "on", "at", "by", "for", "with", "from", "up", "into", "there", "here", "is", "are", "was", "were", "be",
    "been", "am", "do", "does", "did", "have", "has", "had", "will", "would", "can", "could", "please",
    "very", "really", "just", "also", "now", "kindly", "much", "hi", "hello", "hey", "dear", "thanks",
    "thank", "sorry", "regards", "best", "kind", "s", "ll", "ve", "re", "d", "m", "der", "die", "das", "ein",
    "eine", "bitte", "und", "的", "了", "您", "你", "我", "们", "请", "吧", "啊", "呢", "哦", "就", "也",
    "都", "很", "非", "常", "好", "这", "那", "是", "在", "有", "和",
];

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Part {
    Text(String),
    Slot(SlotKind),
}

/// A reply as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Template(Vec<Part>);

/// The least hashes of a reply's words under eight orders (Broder 1997): near-duplicates share most of them.
pub(super) type Sketch = [u32; 8];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit<'a> {
    Word(&'a str),
    Gap(&'a str),
    Slot(SlotKind),
}

impl Template {
    /// Of a reply, where `is_public` tells which words were said to two requesters.
    pub(super) fn of(wording: &Wording, is_public: impl Fn(u64) -> bool) -> Self {
        let mut template = Self(Vec::new());
        for piece in &wording.pieces {
            match piece {
                Piece::Plain(text) => template.text(text),
                Piece::Suspect(word) if is_public(said_word(word)) => template.text(word),
                Piece::Suspect(word) if word.contains("://") => template.slot(SlotKind::Url),
                Piece::Suspect(word) if word.chars().any(char::is_numeric) => template.slot(SlotKind::Number),
                Piece::Suspect(_) => template.slot(SlotKind::Text),
                Piece::Slot(kind) => template.slot(*kind),
            }
        }
        template
    }

    fn text(&mut self, text: &str) {
        match self.0.last_mut() {
            Some(Part::Text(before)) => before.push_str(text),
            _ => self.0.push(Part::Text(text.to_owned())),
        }
    }

    /// Neighbouring words that nobody may see are one slot.
    fn slot(&mut self, kind: SlotKind) {
        if let [.., Part::Slot(SlotKind::Text), Part::Text(gap)] = self.0.as_slice()
            && kind == SlotKind::Text
            && matches!(gap.as_str(), " " | "-" | "'" | "’")
        {
            self.0.pop();
        } else if self.0.last() != Some(&Part::Slot(SlotKind::Text)) || kind != SlotKind::Text {
            self.0.push(Part::Slot(kind));
        }
    }

    /// Slots that only whoever sends it can fill.
    pub(super) fn open_slots(&self) -> usize {
        let is_open = |part: &&Part| {
            !matches!(part, Part::Text(_))
                && !matches!(
                    part,
                    Part::Slot(
                        SlotKind::Name
                            | SlotKind::LastName
                            | SlotKind::FullName
                            | SlotKind::Email
                            | SlotKind::OrderNumber
                    )
                )
        };
        self.0.iter().filter(is_open).count()
    }

    /// The text for one ticket, and what its slots have.
    pub(super) fn fill(&self, filling: &Filling) -> (String, Vec<Filled>) {
        let mut text = String::new();
        let mut slots = Vec::new();
        for part in &self.0 {
            let kind = match part {
                Part::Text(part) => {
                    text.push_str(part);
                    continue;
                }
                Part::Slot(kind) => *kind,
            };
            let value = match kind {
                SlotKind::Name => filling.first_name.clone(),
                SlotKind::LastName => filling.last_name.clone(),
                SlotKind::FullName => filling.full_name.clone(),
                SlotKind::Email => filling.email.clone(),
                SlotKind::OrderNumber => filling.order_number.clone(),
                _ => None,
            };
            match &value {
                Some(value) => text.push_str(value),
                None => {
                    text.push('{');
                    text.push_str(kind.name());
                    text.push('}');
                }
            }
            slots.push(Filled { kind: kind.name(), value });
        }
        (text, slots)
    }

    /// The same words and slots, whatever is between them.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let plain = |template: &Self| -> Vec<u64> {
            let units = template.units();
            units.iter().filter_map(|unit| unit.hash()).collect()
        };
        plain(self) == plain(other)
    }

    pub(super) fn sketch(&self) -> Sketch {
        let mut sketch = [u32::MAX; 8];
        for hash in self
            .units()
            .iter()
            .filter_map(|unit| unit.word())
            .map(|word| hash_text(0x6b, &word.to_lowercase()))
        {
            for (place, least) in (1_u64..).zip(&mut sketch) {
                let mixed =
                    (hash ^ place.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xff51_afd7_ed55_8ccd);
                *least = (*least).min(u32::try_from(mixed >> 32).unwrap_or(u32::MAX));
            }
        }
        sketch
    }

    /// Whether the two are one reply with small changes: what one has between words that both have is a slot in the
    /// other, or says little, or is a word for a word that not everybody writes, such as a name.
    pub(super) fn is_near(&self, other: &Self) -> bool {
        let (one, two) = (self.tokens(), other.tokens());
        let hashes = |tokens: &[Unit<'_>]| -> Vec<u64> { tokens.iter().filter_map(Unit::hash).collect() };
        let mut pairs = Alignment::of(&hashes(&one), &hashes(&two)).pairs;
        let shared = pairs
            .iter()
            .filter(|(place, _)| one.get(*place).is_some_and(|unit| unit.word().is_some()))
            .count();
        pairs.push((one.len(), two.len()));
        let (mut from, mut differ) = ((0, 0), 0);
        for (in_one, in_two) in pairs {
            let (gap, other_gap) = (one.get(from.0..in_one), two.get(from.1..in_two));
            let Some(words) = gap.zip(other_gap).and_then(|(gap, other)| difference(gap, other)) else {
                return false;
            };
            differ += words;
            from = (in_one + 1, in_two + 1);
        }
        let longest = one.len().max(two.len());
        // Where a reply is nearly all slots, its words tell little.
        let is_like = 200 * shared >= NEAR_PERCENT * (2 * shared + differ);
        if shared == 0 { self.is_same(other) } else { is_like && shared * 2 >= longest.saturating_sub(2) }
    }

    /// A newer reply's words, with slots where an older one of the same has other ones that not everybody writes.
    pub(super) fn fold(&self, newer: &Self) -> Self {
        if newer.hidden() > self.hidden() {
            return self.clone();
        }
        let (old, new) = (self.units(), newer.units());
        let hashes = |units: &[Unit<'_>]| -> Vec<u64> { units.iter().filter_map(Unit::hash).collect() };
        let (a, b) = (hashes(&old), hashes(&new));
        if a == b || a.len().max(b.len()) > REPLY_TOKENS_MAX {
            return newer.clone();
        }
        let alignment = Alignment::of(&a, &b);
        let old_words: Vec<&Unit<'_>> = old.iter().filter(|unit| unit.hash().is_some()).collect();
        let mut template = Self(Vec::new());
        let mut place = 0;
        for unit in &new {
            match unit {
                Unit::Gap(gap) => template.text(gap),
                Unit::Slot(kind) => {
                    template.slot(*kind);
                    place += 1;
                }
                Unit::Word(word) => {
                    let replaced = alignment.replaced(place).and_then(|place| old_words.get(place)?.word());
                    let differs = replaced.is_some_and(|old| !is_common_word(old) || !is_common_word(word));
                    if differs {
                        template.slot(SlotKind::Text)
                    } else {
                        template.text(word)
                    }
                    place += 1;
                }
            }
        }
        template
    }

    /// Slots that stand for words which nobody may see.
    fn hidden(&self) -> usize {
        let is_hidden =
            |part: &&Part| matches!(part, Part::Slot(SlotKind::Text | SlotKind::Number | SlotKind::Url));
        self.0.iter().filter(is_hidden).count()
    }

    fn units(&self) -> Vec<Unit<'_>> {
        let mut units = Vec::new();
        for part in &self.0 {
            match part {
                Part::Slot(kind) => units.push(Unit::Slot(*kind)),
                Part::Text(text) => cut(text, &mut units),
            }
        }
        units
    }

    /// Words and slots, as many as are compared.
    fn tokens(&self) -> Vec<Unit<'_>> {
        let mut units = self.units();
        units.retain(|unit| unit.hash().is_some());
        units.truncate(REPLY_TOKENS_MAX);
        units
    }

    /// Words of it, in lower case: for tests of what it must not have.
    #[cfg(test)]
    pub(super) fn has_word(&self, wanted: &str) -> bool {
        let wanted = wanted.to_lowercase();
        self.0.iter().any(|part| matches!(part, Part::Text(text) if text.to_lowercase().contains(&wanted)))
    }

    /// Distinct words.
    pub(super) fn word_count(&self) -> usize {
        let words: FxHashSet<u64> =
            self.units().iter().filter(|unit| unit.word().is_some()).filter_map(Unit::hash).collect();
        words.len()
    }
}

impl<'a> Unit<'a> {
    fn word(&self) -> Option<&'a str> {
        match self {
            Self::Word(word) => Some(word),
            _ => None,
        }
    }

    /// All slots are alike; gaps do not count.
    fn hash(&self) -> Option<u64> {
        match self {
            Self::Word(word) => Some(hash_text(0x75, &word.to_lowercase())),
            Self::Slot(_) => Some(0),
            Self::Gap(_) => None,
        }
    }
}

/// Words in which two stretches between shared words differ, where that is no other meaning.
fn difference(one: &[Unit<'_>], other: &[Unit<'_>]) -> Option<usize> {
    let words = |units: &[Unit<'_>]| -> Vec<String> {
        units.iter().filter_map(|unit| unit.word()).map(str::to_lowercase).collect()
    };
    let has_slot = |units: &[Unit<'_>]| units.iter().any(|unit| matches!(unit, Unit::Slot(_)));
    let (a, b) = (words(one), words(other));
    if a.iter().chain(&b).any(|word| NEGATIONS.contains(&word.as_str())) {
        return None;
    }
    if a.len().max(b.len()) <= SLOT_WORDS_MAX
        && (b.is_empty() || has_slot(one))
        && (a.is_empty() || has_slot(other))
    {
        return Some(0);
    }
    let is_name_for_name =
        a.len() == 1 && b.len() == 1 && !a.iter().chain(&b).any(|word| is_common_word(word));
    let says_little = |word: &String| LITTLE.contains(&word.as_str());
    (is_name_for_name || a.iter().chain(&b).all(says_little)).then_some(a.len() + b.len())
}

/// Dense scripts are compared character by character, each with its marks.
fn cut<'a>(text: &'a str, units: &mut Vec<Unit<'a>>) {
    for part in stretches(text) {
        match part {
            Stretch::Word(word) => units.push(Unit::Word(word)),
            Stretch::Gap(gap) => units.push(Unit::Gap(gap)),
            Stretch::Dense(mut run) => {
                while let Some(first) = run.chars().next() {
                    let begin = first.len_utf8();
                    let marks = run.get(begin..).and_then(|rest| rest.find(char::is_alphanumeric));
                    let (letter, rest) = run.split_at(marks.map_or(run.len(), |marks| begin + marks));
                    units.push(Unit::Word(letter));
                    run = rest;
                }
            }
        }
    }
}

/// A longest common subsequence of two sequences.
struct Alignment {
    /// Places in the one and the other, rising.
    pairs: Vec<(usize, usize)>,
}

impl Alignment {
    fn of(a: &[u64], b: &[u64]) -> Self {
        let width = b.len() + 1;
        let mut lengths = vec![0_u16; (a.len() + 1) * width];
        let at =
            |lengths: &[u16], i: usize, j: usize| lengths.get(i * width + j).copied().unwrap_or_default();
        for (i, one) in a.iter().enumerate().rev() {
            for (j, other) in b.iter().enumerate().rev() {
                let length = if one == other {
                    at(&lengths, i + 1, j + 1) + 1
                } else {
                    at(&lengths, i + 1, j).max(at(&lengths, i, j + 1))
                };
                if let Some(cell) = lengths.get_mut(i * width + j) {
                    *cell = length;
                }
            }
        }
        let (mut i, mut j, mut pairs) = (0, 0, Vec::new());
        while let (Some(one), Some(other)) = (a.get(i), b.get(j)) {
            if one == other {
                pairs.push((i, j));
                (i, j) = (i + 1, j + 1);
            } else if at(&lengths, i + 1, j) >= at(&lengths, i, j + 1) {
                i += 1;
            } else {
                j += 1;
            }
        }
        Self { pairs }
    }

    /// The place in the one of what stands at `place` in the other, where one stands for one between two shared ones.
    fn replaced(&self, place: usize) -> Option<usize> {
        let next = self.pairs.partition_point(|(_, other)| *other < place);
        if self.pairs.get(next).is_some_and(|(_, other)| *other == place) {
            return None;
        }
        let before = next.checked_sub(1).and_then(|before| self.pairs.get(before));
        let from = before.map_or((0, 0), |(one, other)| (one + 1, other + 1));
        let until = self.pairs.get(next);
        let is_single = |count: Option<usize>| count.is_none_or(|count| count == 1);
        (from.1 == place
            && is_single(until.map(|(one, _)| one.saturating_sub(from.0)))
            && is_single(until.map(|(_, other)| other.saturating_sub(from.1))))
        .then_some(from.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::dialogue::{Person, wording_of};

    fn template(reply: &str) -> Template {
        Template::of(&wording_of(reply, &Person::of("Kim <kim@x.example>", None)), |_| false)
    }

    fn text(template: &Template) -> String {
        template.fill(&Filling::default()).0
    }

    #[test]
    fn replies_that_differ_in_names_and_numbers_are_one() {
        for (one, other, are_near) in [
            ("Hi Kim, order A-1044 ships today.", "Hi Bob, order B-2077 ships today.", true),
            ("Your card is on its way.", "Your card is on its way!", true),
            ("Your card is on its way.", "Your refund is on its way.", false),
            ("You can get a refund for this order.", "You can not get a refund for this order.", false),
            ("您的退款已到账，请查收。", "您的退款没到账，请查收。", false),
            ("您的退款已到账，请您查收。", "您的退款已到账，请查收。", true),
            ("Hi Kim, your card is on its way.", "Hi Bob, your refund is on its way.", false),
            (
                "Thank you for writing about your new card. Here is what to do: please open the app and look.",
                "Thank you for writing about your refund. Here is what to do: please open the app and look.",
                false,
            ),
            (
                "we have given it to the marmot at the door today",
                "we have given it to the ferret at the door today",
                true,
            ),
            (
                "We are sorry for the delay of your order and have asked the carrier where it is now",
                "We are very sorry for the delay of your order and have asked the carrier where it is",
                true,
            ),
            ("Yes", "No", false),
            ("", "Yes", false),
        ] {
            let (one, other) = (template(one), template(other));
            assert_eq!(one.is_near(&other), are_near, "{} / {}", text(&one), text(&other));
            assert_eq!(one.is_near(&other), other.is_near(&one));
            let shared = one.sketch().iter().zip(other.sketch()).filter(|(a, b)| *a == b).count();
            assert!(!are_near || shared >= 2, "the sketch finds it: {shared}");
        }
    }

    #[test]
    fn what_differs_becomes_a_slot() {
        let old = template(
            "we have asked the carrier where your order is and will write again once the marmot is there",
        );
        let new = template(
            "we have asked the carrier where your order is and will write again when the ferret is there",
        );
        let wanted =
            "we have asked the carrier where your order is and will write again when the {text} is there";
        assert_eq!(text(&old.fold(&new)), wanted);
        assert_eq!(text(&old.fold(&old)), text(&old));
    }
}
