//! What of a text is about one person, so that nothing of it is learned: addresses, numbers of phones, cards and
//! orders, links. Rather too much is taken for such than too little.

use std::borrow::Cow;
use std::ops::Range;

use super::is_without_spaces;

/// What a part of a text is of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Personal {
    /// An address for e-mail.
    Email,
    /// Seven to fifteen digits as a phone's number is written (ITU-T E.164 has at most fifteen).
    Phone,
    /// Thirteen to nineteen digits that pass Luhn's check (ISO/IEC 7812-1).
    Card,
    /// Letters and digits in one word, or a number after `#`.
    Order,
    /// A link.
    Url,
    /// Another number of four digits or more.
    Number,
}

impl Personal {
    /// Every kind.
    pub const ALL: [Self; 6] = [Self::Email, Self::Phone, Self::Card, Self::Order, Self::Url, Self::Number];

    /// What stands in a masked text.
    #[must_use]
    pub fn placeholder(self) -> &'static str {
        match self {
            Self::Email => "[email]",
            Self::Phone => "[phone]",
            Self::Card => "[card]",
            Self::Order => "[order]",
            Self::Url => "[url]",
            Self::Number => "[number]",
        }
    }

    /// Its name, as a slot of a reply has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.placeholder().trim_matches(['[', ']'])
    }
}

/// A part that was masked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// What it was.
    pub kind: Personal,
    /// Bytes of the text as it was.
    pub was: Range<usize>,
    /// Bytes of the masked text: the placeholder.
    pub is: Range<usize>,
}

/// A text without what is about one person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Masked<'a> {
    /// With placeholders.
    pub text: Cow<'a, str>,
    /// What they stand for, in order.
    pub spans: Vec<Span>,
}

/// Masks `text`. No run of four or more digits and no address with `@` is left in the result.
#[must_use]
pub fn mask(text: &str) -> Masked<'_> {
    let is_suspect = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'@' | b':') || !byte.is_ascii();
    if !text.bytes().any(is_suspect) && !text.contains("www.") && !text.contains("WWW.") {
        return Masked { text: Cow::Borrowed(text), spans: Vec::new() };
    }
    let mut masked = String::with_capacity(text.len());
    let mut spans = Vec::new();
    let mut at = 0;
    let mut before = None;
    while let Some(rest) = text.get(at..)
        && let Some(c) = rest.chars().next()
    {
        let may_begin =
            before.is_none_or(|before| !is_local(before)) || is_digit(c) && !before.is_some_and(is_digit);
        if may_begin && let Some((kind, length)) = personal(rest) {
            let start = masked.len();
            masked.push_str(kind.placeholder());
            spans.push(Span { kind, was: at..at + length, is: start..masked.len() });
            before = Some(']');
            at += length;
        } else {
            masked.push(c);
            before = Some(c);
            at += c.len_utf8();
        }
    }
    if spans.is_empty() {
        return Masked { text: Cow::Borrowed(text), spans };
    }
    Masked { text: Cow::Owned(masked), spans }
}

/// What `rest` begins with, and its bytes.
fn personal(rest: &str) -> Option<(Personal, usize)> {
    url(rest)
        .map(|length| (Personal::Url, length))
        .or_else(|| email(rest).map(|length| (Personal::Email, length)))
        .or_else(|| order(rest).map(|length| (Personal::Order, length)))
        .or_else(|| number(rest))
}

/// Bytes at the beginning of `text` whose characters are `wanted`.
fn while_is(text: &str, wanted: impl Fn(char) -> bool) -> usize {
    text.find(|c| !wanted(c)).unwrap_or(text.len())
}

fn is_digit(c: char) -> bool {
    c.is_ascii_digit() || !c.is_ascii() && c.is_numeric()
}

fn is_letter(c: char) -> bool {
    c.is_alphanumeric() && !is_without_spaces(c)
}

/// Characters of an address before its `@`.
fn is_local(c: char) -> bool {
    is_letter(c) || matches!(c, '.' | '_' | '%' | '+' | '-' | '\'' | '＋' | '．')
}

fn is_at_sign(c: char) -> bool {
    matches!(c, '@' | '＠' | '﹫')
}

fn url(rest: &str) -> Option<usize> {
    let has_scheme = || {
        let scheme = while_is(rest, |c| c.is_ascii_alphabetic());
        (2..=10).contains(&scheme) && rest.get(scheme..).is_some_and(|rest| rest.starts_with("://"))
    };
    let has_www = || rest.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("www."));
    if !has_www() && !has_scheme() {
        return None;
    }
    let length =
        while_is(rest, |c| !c.is_whitespace() && !matches!(c, '<' | '>' | '"') && !is_without_spaces(c));
    let link = rest.get(..length)?.trim_end_matches(['.', ',', '!', '?', ')', ';', ':', '\'']);
    Some(link.len())
}

fn email(rest: &str) -> Option<usize> {
    let local = while_is(rest, is_local);
    let domain = rest.get(local..).filter(|domain| domain.starts_with(is_at_sign))?;
    let domain = while_is(domain, |c| is_letter(c) || is_at_sign(c) || matches!(c, '.' | '-' | '_'));
    let address = rest.get(..local + domain)?;
    let trimmed = address.trim_end_matches(|c| is_at_sign(c) || matches!(c, '.' | '-' | '_'));
    (local > 0 && trimmed.len() > local).then_some(trimmed.len())
}

/// A word that has letters and digits: `A-10442`, `#77120`, `1Z999AA10123456784`.
fn order(rest: &str) -> Option<usize> {
    let sign = while_is(rest, |c| c == '#');
    let after = rest.get(sign..)?;
    let length = while_is(after, |c| is_letter(c) || matches!(c, '-' | '_' | '/'));
    let word = after.get(..length)?.trim_end_matches(['-', '_', '/']);
    let digits = word.chars().filter(|c| is_digit(*c)).count();
    let has_letters = word.chars().any(|c| c.is_alphabetic());
    let is_order = has_letters && digits >= 4 || sign > 0 && digits >= 2 && !has_letters;
    is_order.then_some(sign + word.len())
}

/// Digits, with what is written between them.
fn number(rest: &str) -> Option<(Personal, usize)> {
    let mut digits: Vec<u32> = Vec::new();
    // Bytes up to the last digit, and of the first run of digits.
    let (mut end, mut run, mut run_longest) = (0, 0, 0);
    let mut first_run = None;
    let mut between = 0;
    for (at, c) in rest.char_indices() {
        if is_digit(c) {
            digits.push(c.to_digit(10).unwrap_or_default());
            run += 1;
            run_longest = run_longest.max(run);
            between = 0;
            end = at + c.len_utf8();
            continue;
        }
        if run > 0 {
            first_run.get_or_insert((end, run));
        }
        run = 0;
        between += 1;
        let may_lead = digits.is_empty() && matches!(c, '+' | '(');
        let may_part =
            !digits.is_empty() && matches!(c, ' ' | '-' | '.' | '(' | ')' | '/' | '\u{a0}' | '\u{2011}');
        if between > 2 || !may_lead && !may_part {
            break;
        }
    }
    let (first_end, first) = first_run.unwrap_or((end, run));
    let is_parted = digits.len() > first;
    let is_phone = is_parted || rest.starts_with(['+', '0', '(']);
    match digits.len() {
        13..=19 if luhn(&digits) => Some((Personal::Card, end)),
        7..=15 if is_phone => Some((Personal::Phone, end)),
        7.. if run_longest >= 3 => Some((Personal::Number, end)),
        _ if first >= 4 => Some((Personal::Number, first_end)),
        _ => None,
    }
}

/// Whether the last digit is the check of those before it.
fn luhn(digits: &[u32]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match (place % 2, digit * 2) {
            (0, _) => *digit,
            (_, double) => double / 10 + double % 10,
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_about_a_person_is_masked() {
        for (text, wanted) in [
            ("", ""),
            ("my card has 3 chips, at 10:30", "my card has 3 chips, at 10:30"),
            ("Write to Kim.Lee+x@example.co.uk.", "Write to [email]."),
            ("联系我kim@example.com谢谢", "联系我[email]谢谢"),
            ("ask @kim, a@b@c, d@e@", "ask @kim, [email], [email]@"),
            ("call +44 20 7946 0958 or (030) 123-4567", "call [phone] or [phone]"),
            ("0800123456", "[phone]"),
            ("card 4111 1111 1111 1111, not 4111 1111 1111 1112", "card [card], not [number]"),
            ("4111-1111-1111-1111.", "[card]."),
            ("order A-10442, #77 and 1Z999AA10123456784", "order [order], [order] and [order]"),
            ("see https://example.com/a?b=1, or www.example.com.", "see [url], or [url]."),
            ("pin 560034 in 2026", "pin [number] in [number]"),
            ("код １２３４５６", "код [number]"),
            ("a12345", "[order]"),
            ("1 2 3", "1 2 3"),
        ] {
            assert_eq!(mask(text).text, wanted, "{text}");
        }
    }

    #[test]
    fn spans_tell_what_was_masked() {
        let text = "I am é@example.com, #4411";
        let masked = mask(text);
        let spans: Vec<_> = masked.spans.iter().map(|span| (&text[span.was.clone()], span.kind)).collect();
        assert_eq!(spans, [("é@example.com", Personal::Email), ("#4411", Personal::Order)]);
        for span in &masked.spans {
            assert_eq!(&masked.text[span.is.clone()], span.kind.placeholder());
        }
    }

    fn digits_longest(text: &str) -> usize {
        text.split(|c: char| !c.is_numeric()).map(|run| run.chars().count()).max().unwrap_or_default()
    }

    fn has_address(text: &str) -> bool {
        let chars: Vec<char> = text.chars().collect();
        chars.windows(3).any(|three| match three {
            [before, '@', after] => is_letter(*before) && is_letter(*after),
            _ => false,
        })
    }

    proptest! {
        #[test]
        fn no_long_number_and_no_address_is_left(
            text in "([0-9]{1,9}|[a-z@.+# /()é１-]{1,4}|退|https://|\\PC){0,12}",
        ) {
            let masked = mask(&text);
            prop_assert!(digits_longest(&masked.text) < 4, "{}", masked.text);
            prop_assert!(!has_address(&masked.text), "{}", masked.text);
            prop_assert_eq!(mask(&masked.text).text, masked.text.clone());
            let mut end = 0;
            for span in &masked.spans {
                prop_assert!(span.was.start >= end && text.get(span.was.clone()).is_some());
                end = span.was.end;
            }
        }
    }
}
