//! Query strings: known parameters only, each at most once.

use std::borrow::Cow;
use std::str::FromStr;

use smallvec::SmallVec;
use waggle_core::limits::{HTTP_QUERY_PARAMETERS_MAX, PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX};

use crate::problem::Problem;

/// The parameters of one request.
pub(super) struct Query<'a>(SmallVec<[(&'static str, Cow<'a, str>); 6]>);

impl<'a> Query<'a> {
    /// Takes a query apart of which only some parameters matter.
    pub(super) fn parse_some(text: Option<&'a str>, known: &[&'static str]) -> Result<Self, Problem> {
        let is_known = |pair: &&str| known.contains(&pair.split('=').next().unwrap_or_default());
        Self::of(text.unwrap_or_default().split('&').filter(is_known), known)
    }

    /// Takes a query apart.
    pub(super) fn parse(text: Option<&'a str>, known: &[&'static str]) -> Result<Self, Problem> {
        Self::of(text.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()), known)
    }

    fn of(pairs: impl Iterator<Item = &'a str>, known: &[&'static str]) -> Result<Self, Problem> {
        let mut found: SmallVec<[(&'static str, Cow<'a, str>); 6]> = SmallVec::new();
        for pair in pairs {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name).ok_or_else(|| bad("a name has a broken % escape"))?;
            let Some(known_name) = known.iter().find(|known| **known == name) else {
                let shown: String = name.chars().take(40).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                return Err(bad(&format!("unknown parameter {shown:?}; this path takes {known}")));
            };
            if found.iter().any(|(name, _)| name == known_name) || found.len() == HTTP_QUERY_PARAMETERS_MAX {
                return Err(bad(&format!("{known_name:?} is given more than once")));
            }
            let value = decode(value).ok_or_else(|| bad(&format!("{known_name:?} has a broken % escape")))?;
            found.push((known_name, value));
        }
        Ok(Self(found))
    }

    /// A parameter's text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| *found == name).map(|(_, value)| value.as_ref())
    }

    /// A parameter of a type that can be parsed.
    pub(super) fn parsed<T: FromStr>(&self, name: &str) -> Result<Option<T>, Problem>
    where
        T::Err: std::fmt::Display,
    {
        let parse = |text: &str| text.parse().map_err(|error: T::Err| bad(&format!("{name}: {error}")));
        self.text(name).map(parse).transpose()
    }

    /// How many rows a page shall have.
    pub(super) fn limit(&self) -> Result<u32, Problem> {
        let Some(text) = self.text("limit") else { return Ok(PAGE_ROWS_DEFAULT) };
        match text.parse() {
            Ok(limit) if (1..=PAGE_ROWS_MAX).contains(&limit) => Ok(limit),
            _ => Err(bad(&format!("limit is {text:?}; expected a whole number from 1 to {PAGE_ROWS_MAX}"))),
        }
    }

    /// Where the page before ended: `prefix` and a number, as `next` gave it.
    pub(super) fn cursor<T: FromStr>(&self, prefix: &str) -> Result<Option<T>, Problem> {
        let Some(text) = self.text("cursor") else { return Ok(None) };
        match text.strip_prefix(prefix).map(str::parse) {
            Some(Ok(number)) => Ok(Some(number)),
            _ => {
                let shown: String = text.chars().take(40).collect();
                Err(Problem::new(
                    "bad_cursor",
                    format!("the cursor {shown:?} is not one of this list; expected its `next`"),
                ))
            }
        }
    }
}

/// A parameter whose value is not taken.
pub(super) fn bad(detail: &str) -> Problem {
    Problem::new("bad_query", detail)
}

/// Undoes `%xx` and `+`; `None` where an escape is broken or the bytes are no UTF-8.
fn decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains(['%', '+']) {
        return Some(Cow::Borrowed(text));
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || bytes.next().and_then(|digit| char::from(digit).to_digit(16));
                let (high, low) = (digit()?, digit()?);
                // Two digits of four bits.
                (high << 4 | low) as u8
            }
            plain => plain,
        });
    }
    String::from_utf8(out).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_known_once_and_decoded() {
        let query = Query::parse(Some("status=on%5Fhold&queue=3"), &["status", "queue"]).unwrap();
        assert_eq!(query.text("status"), Some("on_hold"));
        assert_eq!(query.parsed::<u32>("queue"), Ok(Some(3)));
        for (text, wanted) in [
            ("colour=red", "unknown parameter \"colour\"; this path takes status, queue"),
            ("status=a&status=b", "more than once"),
            ("status=%4", "broken % escape"),
            ("%zz=1", "broken % escape"),
            ("status=%ff", "broken % escape"),
        ] {
            let problem = Query::parse(Some(text), &["status", "queue"]).err().unwrap();
            assert!(problem.code == "bad_query" && problem.detail.contains(wanted), "{text}: {problem:?}");
        }
    }

    #[test]
    fn limits_and_cursors_have_a_range() {
        let limit = |text| Query::parse(Some(text), &["limit", "cursor"]).unwrap().limit().ok();
        assert_eq!((limit(""), limit("limit=1"), limit("limit=200")), (Some(50), Some(1), Some(200)));
        assert_eq!((limit("limit=0"), limit("limit=201"), limit("limit=x")), (None, None, None));
        let cursor = |text| Query::parse(Some(text), &["cursor"]).unwrap().cursor::<u64>("before-");
        assert_eq!(cursor("cursor=before-7"), Ok(Some(7)));
        assert_eq!(cursor("cursor=after-7").unwrap_err().code, "bad_cursor");
    }
}
