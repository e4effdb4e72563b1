//! A reply cut into words, runs without spaces, what is between them, and what is somebody's by its form.

use crate::text::{Personal, Stretch, mask, stretches};

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

fn cut<'a>(text: &'a str, tokens: &mut Vec<Token<'a>>) {
    tokens.extend(stretches(text).map(|part| match part {
        Stretch::Word(word) => Token::Word(word),
        Stretch::Dense(run) => Token::Dense(run),
        Stretch::Gap(gap) => Token::Gap(gap),
    }));
}
