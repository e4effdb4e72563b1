//! The part of a text that shows why it was found.

use std::ops::Range;

use super::phrase::WordPhrase;
use super::query::PatternEnd;
use crate::limits::{SNIPPET_CHARS, SNIPPET_MARKS_MAX};
use crate::text::{Word, words};

/// A part of a text, and the places in it that were looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snippet {
    /// The part; `…` stands for what is left out.
    pub text: String,
    /// In characters of `text`: from, and until.
    pub marks: Vec<(usize, usize)>,
}

impl Snippet {
    /// Of `text`, around the first place that has one of `phrases`; its beginning where none has.
    #[must_use]
    pub fn of(text: &str, phrases: &[WordPhrase]) -> Self {
        let marks = marks(&words(text), phrases);
        let first = marks.first().map_or(0, |mark| mark.start);
        let shown = window(text, first);
        let mut out = String::new();
        let part = text.get(shown.clone()).unwrap_or_default();
        if shown.start > 0 {
            out.push('…');
        }
        let lead = out.chars().count();
        // One line: what stands for a break is one character as well.
        out.extend(part.chars().map(|c| if c.is_control() { ' ' } else { c }));
        if shown.end < text.len() {
            out.push('…');
        }
        let place = |at: usize| lead + text.get(shown.start..at).map_or(0, |before| before.chars().count());
        let seen = marks.into_iter().filter(|mark| mark.start >= shown.start && mark.end <= shown.end);
        let marks = seen.take(SNIPPET_MARKS_MAX).map(|mark| (place(mark.start), place(mark.end))).collect();
        Self { text: out, marks }
    }
}

/// Bytes of the text that are shown.
fn window(text: &str, around: usize) -> Range<usize> {
    let before = text.get(..around).unwrap_or_default();
    let start = before.char_indices().rev().nth(SNIPPET_CHARS / 4).map_or(0, |(at, _)| at);
    let rest = text.get(start..).unwrap_or_default();
    let end = rest.char_indices().nth(SNIPPET_CHARS).map_or(text.len(), |(at, _)| start + at);
    start..end
}

/// Where phrases are, in order, what touches or overlaps as one.
fn marks(words: &[Word], phrases: &[WordPhrase]) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for phrase in phrases.iter().filter(|phrase| !phrase.words.is_empty()) {
        for window in words.windows(phrase.words.len()) {
            if let Some((first, last)) = window.first().zip(window.last())
                && is_at(phrase, window)
            {
                found.push(first.range.start..last.range.end);
            }
        }
    }
    found.sort_unstable_by_key(|mark| (mark.start, mark.end));
    let mut joined: Vec<Range<usize>> = Vec::new();
    for mark in found {
        match joined.last_mut().filter(|last| mark.start <= last.end) {
            Some(last) => last.end = last.end.max(mark.end),
            None => joined.push(mark),
        }
    }
    joined
}

fn is_at(phrase: &WordPhrase, window: &[Word]) -> bool {
    let last = phrase.words.len().saturating_sub(1);
    phrase.words.iter().zip(window).enumerate().all(|(place, (wanted, word))| match phrase.ends {
        PatternEnd::Anywhere if place == last => word.text.starts_with(wanted.as_str()),
        _ => word.text == *wanted,
    })
}

#[cfg(test)]
mod tests {
    use super::super::phrase::phrase;
    use super::*;

    fn shown(text: &str, looked_for: &[&str]) -> String {
        let phrases: Vec<_> = looked_for.iter().filter_map(|text| phrase(text)).collect();
        let snippet = Snippet::of(text, &phrases);
        let chars: Vec<char> = snippet.text.chars().collect();
        let mut out = String::new();
        for (place, c) in chars.iter().enumerate() {
            out.extend(snippet.marks.iter().filter(|(from, _)| *from == place).map(|_| '['));
            out.push(*c);
            out.extend(snippet.marks.iter().filter(|(_, until)| *until == place + 1).map(|_| ']'));
        }
        out
    }

    #[test]
    fn what_was_looked_for_is_marked() {
        assert_eq!(shown("My CAFÉ order\nis late", &["cafe", "late"]), "My [CAFÉ] order is [late]");
        assert_eq!(shown("我要退款，退款失败", &["退款"]), "我要[退款]，[退款]失败");
        assert_eq!(shown("refunded and refund", &["refu*"]), "[refunded] and [refund]");
        assert_eq!(shown("nothing here", &["card"]), "nothing here");
        let long = format!("{}card {}", "word ".repeat(100), "tail ".repeat(100));
        let snippet = shown(&long, &["card"]);
        assert!(
            snippet.starts_with('…') && snippet.ends_with('…') && snippet.contains("[card]"),
            "{snippet}"
        );
        assert!(snippet.chars().count() < SNIPPET_CHARS + 8);
    }
}
