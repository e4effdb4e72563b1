//! A reply cut into words, runs without spaces, what is between them, and what is somebody's by its form.

use crate::text::{Personal, is_without_spaces, mask};

/// A part of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'a> {
    Word(&'a str),
    /// Characters of a script without spaces.
    Dense(&'a str),
    Gap(&'a str),
    Personal(Personal, &'a str),
}

impl<'a> Token<'a> {
    pub(super) fn word(&self) -> Option<&'a str> {
        match self {
            Self::Word(word) => Some(word),
            _ => None,
        }
    }
}

#[derive(PartialEq, Eq, Clone, Copy)]
enum Class {
    Word,
    Dense,
    Gap,
}

fn class(c: char) -> Class {
    match c {
        _ if is_without_spaces(c) && c.is_alphanumeric() => Class::Dense,
        _ if c.is_alphanumeric() || is_mark(c) => Class::Word,
        _ => Class::Gap,
    }
}

/// Marks on the letter before.
fn is_mark(c: char) -> bool {
    unicode_normalization::char::is_combining_mark(c)
}

/// All of `text`, in order.
pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut at = 0;
    for span in mask(text).spans {
        cut(text.get(at..span.was.start).unwrap_or_default(), &mut tokens);
        tokens.extend(text.get(span.was.clone()).map(|was| Token::Personal(span.kind, was)));
        at = span.was.end;
    }
    cut(text.get(at..).unwrap_or_default(), &mut tokens);
    tokens
}

fn cut<'a>(mut text: &'a str, tokens: &mut Vec<Token<'a>>) {
    while let Some(first) = text.chars().next() {
        let kind = class(first);
        let end = text.find(|c| class(c) != kind).unwrap_or(text.len());
        let (part, rest) = text.split_at(end);
        tokens.push(match kind {
            Class::Word => Token::Word(part),
            Class::Dense => Token::Dense(part),
            Class::Gap => Token::Gap(part),
        });
        text = rest;
    }
}
