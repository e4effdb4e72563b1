//! `If-Match`, `If-None-Match` and `Idempotency-Key`.

use http::header::{IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName};
use waggle_core::id::Version;
use waggle_core::limits::IDEMPOTENCY_KEY_BYTES_MAX;
use waggle_core::ticket::Expect;

use crate::problem::Problem;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What `If-Match` says; only one version can be right, so lists and weak tags are refused.
pub(super) fn if_match(headers: &HeaderMap) -> Result<Option<Expect>, Problem> {
    let mut values = headers.get_all(IF_MATCH).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().ok().filter(|_| values.next().is_none());
    match text.map(str::trim) {
        Some("*") => Ok(Some(Expect::Any)),
        Some(text) => match text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).map(str::parse) {
            Some(Ok(version)) => Ok(Some(Expect::Version(version))),
            _ => Err(bad_if_match(text)),
        },
        None => Err(bad_if_match("several values, or one that is no text")),
    }
}

fn bad_if_match(text: &str) -> Problem {
    let shown: String = text.chars().take(40).collect();
    Problem::new("bad_if_match", format!("If-Match is {shown:?}; expected one version, \"7\", or *"))
}

/// Joins what the header says with what the command says: the header is the stricter.
pub(super) fn expectation(
    header: Option<Expect>,
    command: Option<Expect>,
) -> Result<Option<Expect>, Problem> {
    match (header, command) {
        (Some(header), Some(command)) if header.version() != command.version() => {
            Err(Problem::new("version_conflict", "If-Match and expect name different versions; give one"))
        }
        (header, command) => Ok(header.or(command)),
    }
}

/// Whether the caller has this version already: any of the tags, weak or strong, or a star.
pub(super) fn has_already(headers: &HeaderMap, version: Version) -> bool {
    has_already_tag(headers, super::answer::etag(version).as_bytes())
}

/// The same, of any tag, with its quotes.
pub(super) fn has_already_tag(headers: &HeaderMap, wanted: &[u8]) -> bool {
    headers.get_all(IF_NONE_MATCH).iter().any(|value| {
        value.as_bytes().split(|byte| *byte == b',').any(|tag| {
            let tag = tag.trim_ascii();
            tag == b"*" || tag.strip_prefix(b"W/").unwrap_or(tag) == wanted
        })
    })
}

/// The caller's Idempotency-Key, where there is one.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let bytes = value.as_bytes();
    let good = values.next().is_none()
        && (1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&bytes.len())
        && bytes.iter().all(u8::is_ascii_graphic);
    match std::str::from_utf8(bytes) {
        Ok(key) if good => Ok(Some(key)),
        _ => Err(Problem::new(
            "bad_idempotency_key",
            format!(
                "expected one Idempotency-Key of 1 to {IDEMPOTENCY_KEY_BYTES_MAX} visible ASCII characters"
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn if_match_is_one_version_or_a_star() {
        let parse = |value: &'static str| {
            let headers = HeaderMap::from_iter([(IF_MATCH, HeaderValue::from_static(value))]);
            if_match(&headers).map_err(|problem| problem.code)
        };
        assert_eq!(parse("*"), Ok(Some(Expect::Any)));
        assert_eq!(parse(r#" "7" "#), Ok(Some(Expect::Version(Version(7)))));
        for bad in ["7", r#"W/"7""#, r#""7", "8""#, r#""0""#, r#""""#, "", r#""x""#, r#"""#] {
            assert_eq!(parse(bad), Err("bad_if_match"), "{bad}");
        }
        assert_eq!(if_match(&HeaderMap::new()), Ok(None));
    }

    #[test]
    fn if_none_match_compares_weakly() {
        let has = |value: &'static str| {
            has_already(&HeaderMap::from_iter([(IF_NONE_MATCH, HeaderValue::from_static(value))]), Version(7))
        };
        assert!(has("*") && has(r#""7""#) && has(r#"W/"7""#) && has(r#""6", "7""#));
        assert!(!has(r#""8""#) && !has("7") && !has(r#""77""#));
    }
}
