//! Time as it enters decisions: always an argument, never read here.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Wall-clock time: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

/// A text that is no time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no time; expected milliseconds since 1970, or RFC 3339 such as 2026-01-31T12:30:00Z")]
pub struct BadTimestamp(String);

impl FromStr for Timestamp {
    type Err = BadTimestamp;

    /// Reads milliseconds since 1970, or a date and time of RFC 3339 not before that.
    fn from_str(text: &str) -> Result<Self, BadTimestamp> {
        let ms = match text.bytes().all(|byte| byte.is_ascii_digit()) {
            true => text.parse().ok(),
            false => OffsetDateTime::parse(text, &Rfc3339)
                .ok()
                .and_then(|at| u64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok()),
        };
        ms.map(Self).ok_or_else(|| BadTimestamp(text.chars().take(40).collect()))
    }
}

/// Time that only moves forward: milliseconds since an arbitrary start of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Tick(pub u64);

impl Tick {
    /// Milliseconds from `earlier` to this, 0 where `earlier` is later.
    #[must_use]
    pub fn since_ms(self, earlier: Tick) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// This time plus `ms` milliseconds.
    #[must_use]
    pub fn after_ms(self, ms: u64) -> Tick {
        Tick(self.0.saturating_add(ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_numbers_or_dates() {
        for (text, ms) in [
            ("0", Some(0)),
            ("1790000000000", Some(1_790_000_000_000)),
            ("1970-01-01T00:00:01.5Z", Some(1_500)),
            ("1970-01-01T02:00:00+02:00", Some(0)),
            ("2026-01-31T12:30:00Z", Some(1_769_862_600_000)),
            ("", None),
            ("-1", None),
            ("2026-01-31", None),
            ("1969-12-31T23:59:59Z", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(text.parse().ok(), ms.map(Timestamp), "{text}");
        }
    }
}
