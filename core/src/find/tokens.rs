//! Cuts a query into its pieces.

use super::error::{QueryError, QueryFault};
use super::query::{COMPARES, Compare};

/// A piece, with its place in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) at: usize,
    pub(super) piece: Piece<'a>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Open,
    Close,
    Or,
    Minus,
    Word(&'a str),
    Phrase(String),
    /// A name, a sign, and a value with its place; whether the value was in quotes.
    Pair {
        key: &'a str,
        compare: Compare,
        value: String,
        value_at: usize,
        is_quoted: bool,
    },
}

/// All pieces of `text`.
pub(super) fn cut(text: &str) -> Result<Vec<Token<'_>>, QueryError> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = rest(text, at).chars().next() {
        let begin = at;
        let piece = match first {
            space if space.is_whitespace() => {
                at += space.len_utf8();
                continue;
            }
            '(' => single(&mut at, Piece::Open),
            ')' => single(&mut at, Piece::Close),
            '-' => single(&mut at, Piece::Minus),
            '"' => Piece::Phrase(quoted(text, &mut at)?),
            _ => word(text, &mut at)?,
        };
        tokens.push(Token { at: begin, piece });
    }
    Ok(tokens)
}

fn single<'a>(at: &mut usize, piece: Piece<'a>) -> Piece<'a> {
    *at += 1;
    piece
}

fn rest(text: &str, at: usize) -> &str {
    text.get(at..).unwrap_or_default()
}

/// A word, `OR`, or a name with its value.
fn word<'a>(text: &'a str, at: &mut usize) -> Result<Piece<'a>, QueryError> {
    let here = rest(text, *at);
    let end = here.find(|c: char| c.is_whitespace() || matches!(c, '(' | ')' | '"')).unwrap_or(here.len());
    let whole = here.get(..end).unwrap_or_default();
    if let Some((key, compare, sign)) = key(whole) {
        let value_at = *at + key.len() + sign;
        *at = value_at;
        let is_quoted = rest(text, value_at).starts_with('"');
        let value = if is_quoted {
            quoted(text, at)?
        } else {
            let value = whole.get(key.len() + sign..).unwrap_or_default();
            *at += value.len();
            value.to_owned()
        };
        return Ok(Piece::Pair { key, compare, value, value_at, is_quoted });
    }
    *at += end;
    Ok(match whole {
        "OR" | "or" => Piece::Or,
        word => Piece::Word(word),
    })
}

/// The name before a sign. What is no name in front of one, as in `12:30`, is a word.
fn key(word: &str) -> Option<(&str, Compare, usize)> {
    let end = word.find([':', '<', '>'])?;
    let (key, tail) = word.split_at_checked(end)?;
    let starts_like_a_name = key.chars().next().is_some_and(|first| first.is_ascii_alphabetic());
    let is_name = starts_like_a_name
        && (key.starts_with("field.") || key.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_'));
    // A link is text.
    if !is_name || tail.starts_with("://") {
        return None;
    }
    let (compare, sign) = COMPARES.iter().find(|(_, sign)| tail.starts_with(sign))?;
    Some((key, *compare, sign.len()))
}

/// The text between quotes, in which `\"` and `\\` stand for `"` and `\`.
fn quoted(text: &str, at: &mut usize) -> Result<String, QueryError> {
    let begin = *at;
    let mut value = String::new();
    let mut chars = rest(text, begin + 1).char_indices();
    while let Some((place, c)) = chars.next() {
        match c {
            '"' => {
                *at = begin + 1 + place + 1;
                return Ok(value);
            }
            '\\' => match chars.next() {
                Some((_, escaped @ ('"' | '\\'))) => value.push(escaped),
                Some((_, other)) => value.extend(['\\', other]),
                None => break,
            },
            other => value.push(other),
        }
    }
    Err(QueryError { position: position(text, begin), fault: QueryFault::Unquoted })
}

/// A place in bytes as people count: in characters, from 1.
pub(super) fn position(text: &str, at: usize) -> usize {
    text.get(..at).map_or(0, |before| before.chars().count()) + 1
}
