//! JSON texts that stay where they were received.

use std::borrow::Cow;
use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// A JSON string literal, quotes and escapes included, borrowed from the received bytes.
///
/// It is checked as it is parsed (escapes, surrogate pairs, no NUL) and is written into events as it
/// came, so that a text with escapes costs no allocation on its way to the log.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct JsonText<'a> {
    literal: &'a str,
    decoded_bytes: usize,
}

impl<'a> JsonText<'a> {
    /// The literal as received, quotes included: valid JSON on its own.
    #[must_use]
    pub fn literal(&self) -> &'a str {
        self.literal
    }

    /// Length of the text in bytes of UTF-8, escapes undone.
    #[must_use]
    pub fn decoded_bytes(&self) -> usize {
        self.decoded_bytes
    }

    /// Whether the text is empty or only white space.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        Decoder::new(self.inner()).all(|step| step.is_ok_and(char::is_whitespace))
    }

    /// The text, escapes undone; borrowed where there are none.
    #[must_use]
    pub fn decode(&self) -> Cow<'a, str> {
        if self.inner().len() == self.decoded_bytes && !self.inner().contains('\\') {
            return Cow::Borrowed(self.inner());
        }
        Cow::Owned(Decoder::new(self.inner()).filter_map(Result::ok).collect())
    }

    fn inner(&self) -> &'a str {
        // Parsing made sure of both quotes.
        self.literal.get(1..self.literal.len() - 1).unwrap_or_default()
    }

    /// Takes a literal, quotes included.
    ///
    /// # Errors
    /// Where it is no string literal, has a lone surrogate, or a NUL.
    pub fn from_literal(literal: &'a str) -> Result<Self, JsonTextError> {
        let inner = literal
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'))
            .ok_or(JsonTextError::NotText)?;
        let mut decoded_bytes = 0;
        if inner.contains('\\') {
            for step in Decoder::new(inner) {
                decoded_bytes += step?.len_utf8();
            }
        } else {
            decoded_bytes = inner.len();
        }
        Ok(Self { literal, decoded_bytes })
    }
}

impl fmt::Debug for JsonText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.literal)
    }
}

impl Serialize for JsonText<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.decode().serialize(serializer)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for JsonText<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw: &'de RawValue = Deserialize::deserialize(deserializer)?;
        JsonText::from_literal(raw.get()).map_err(D::Error::custom)
    }
}

/// Why a JSON value is not a text that Waggle takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JsonTextError {
    /// Another kind of value.
    #[error("expected a string in double quotes")]
    NotText,
    /// Half of a surrogate pair.
    #[error("the string has half of a surrogate pair; expected both \\u escapes or the character itself")]
    LoneSurrogate,
    /// U+0000.
    #[error("the string has the character U+0000, which no message may hold")]
    Nul,
    /// An escape that JSON does not know.
    #[error(
        "the string has an escape that JSON does not know; expected one of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX"
    )]
    BadEscape,
}

struct Decoder<'a> {
    rest: std::str::Chars<'a>,
}

impl<'a> Decoder<'a> {
    fn new(inner: &'a str) -> Self {
        Self { rest: inner.chars() }
    }

    fn hex4(&mut self) -> Result<u32, JsonTextError> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = self.rest.next().and_then(|c| c.to_digit(16)).ok_or(JsonTextError::BadEscape)?;
            unit = unit << 4 | digit;
        }
        Ok(unit)
    }

    fn escape(&mut self) -> Result<char, JsonTextError> {
        match self.rest.next() {
            Some(plain @ ('"' | '\\' | '/')) => Ok(plain),
            Some('b') => Ok('\u{8}'),
            Some('f') => Ok('\u{c}'),
            Some('n') => Ok('\n'),
            Some('r') => Ok('\r'),
            Some('t') => Ok('\t'),
            Some('u') => self.unicode(),
            _ => Err(JsonTextError::BadEscape),
        }
    }

    fn unicode(&mut self) -> Result<char, JsonTextError> {
        let unit = self.hex4()?;
        let scalar = match unit {
            0 => return Err(JsonTextError::Nul),
            0xD800..=0xDBFF => {
                if (self.rest.next(), self.rest.next()) != (Some('\\'), Some('u')) {
                    return Err(JsonTextError::LoneSurrogate);
                }
                match self.hex4()? {
                    low @ 0xDC00..=0xDFFF => 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00),
                    _ => return Err(JsonTextError::LoneSurrogate),
                }
            }
            other => other,
        };
        char::from_u32(scalar).ok_or(JsonTextError::LoneSurrogate)
    }
}

impl Iterator for Decoder<'_> {
    type Item = Result<char, JsonTextError>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(match self.rest.next()? {
            '\\' => self.escape(),
            plain => Ok(plain),
        })
    }
}

/// Appends `text` to `out` as a JSON string literal.
pub fn push_literal(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut clean_from = 0;
    let bytes = text.as_bytes();
    for (index, byte) in bytes.iter().enumerate() {
        let short = match byte {
            b'"' => b'"',
            b'\\' => b'\\',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0..=0x1f => b'u',
            _ => continue,
        };
        out.extend_from_slice(bytes.get(clean_from..index).unwrap_or_default());
        out.push(b'\\');
        out.push(short);
        if short == b'u' {
            const HEX: &[u8; 16] = b"0123456789abcdef";
            out.extend_from_slice(&[b'0', b'0', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
        clean_from = index + 1;
    }
    out.extend_from_slice(bytes.get(clean_from..).unwrap_or_default());
    out.push(b'"');
}

/// Appends a whole number to `out` in decimal.
pub fn push_number(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0_u8; 20];
    let mut start = digits.len();
    let mut rest = number;
    loop {
        start -= 1;
        // `rest % 10` is below 10.
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn agrees_with_serde_json(text in any::<String>()) {
            let literal = serde_json::to_string(&text).unwrap();
            match serde_json::from_str::<JsonText<'_>>(&literal) {
                Ok(taken) => {
                    prop_assert_eq!(taken.decode(), text.as_str());
                    prop_assert_eq!(taken.decoded_bytes(), text.len());
                }
                Err(_) => prop_assert!(text.contains('\0')),
            }
            let mut ours = Vec::new();
            push_literal(&mut ours, &text);
            prop_assert_eq!(serde_json::from_slice::<String>(&ours).unwrap(), text);
        }

        #[test]
        fn numbers_are_decimal(number in any::<u64>()) {
            let mut out = Vec::new();
            push_number(&mut out, number);
            prop_assert_eq!(out, number.to_string().into_bytes());
        }
    }

    #[test]
    fn refuses_what_is_no_text() {
        for (literal, wanted) in [
            ("17", "expected a string"),
            (r#""\ud800""#, "surrogate"),
            (r#""\ud800x""#, "surrogate"),
            (r#""\ud800\u0041""#, "surrogate"),
            (r#""\udc00""#, "surrogate"),
            (r#""a\u0000b""#, "U+0000"),
        ] {
            let error = serde_json::from_str::<JsonText<'_>>(literal).unwrap_err().to_string();
            assert!(error.contains(wanted), "{literal}: {error}");
        }
    }

    #[test]
    fn escapes_and_pairs_are_undone() {
        let text: JsonText<'_> = serde_json::from_str(r#""a\n\"\/\u00e9\ud83d\udc1d""#).unwrap();
        assert_eq!(text.decode(), "a\n\"/\u{e9}\u{1f41d}");
        assert_eq!(text.decoded_bytes(), 10);
        assert!(serde_json::from_str::<JsonText<'_>>(r#"" \t\u2003""#).unwrap().is_blank());
    }
}
