//! Close codes: one table, used by servers and clients.

use crate::limits::RETRY_HINT_S_MAX;

/// What a client does after a close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Reconnect now, with jitter.
    Now,
    /// Reconnect with growing pauses.
    BackOff,
    /// Do not come back: something must change first.
    Never,
}

/// Why the server closes. The number's range fixes what the client does: 4000–4099 reconnect now,
/// 4100–4199 back off, 4200–4299 do not come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseCode {
    /// The gateway drains; another, or the next start, takes over.
    Drain,
    /// The client was silent, or its acks made no sense.
    Unresponsive,
    /// The session fell behind what can be replayed in order.
    Lagging,
    /// Too many sessions, or no room for this one now.
    Overload,
    /// The gateway has failed inside.
    Internal,
    /// No `hello` in time.
    HelloTimeout,
    /// The token is unknown, expired or revoked.
    Unauthorized,
    /// A message that the protocol does not allow.
    ProtocolError,
    /// A message over its limit.
    TooLarge,
    /// Messages faster than the session may send them.
    RateLimited,
}

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub struct CloseEntry {
    /// Which.
    pub code: CloseCode,
    /// The number on the wire.
    pub number: u16,
    /// The reason on the wire, unless there is a better one.
    pub reason: &'static str,
}

/// All close codes. Append-only.
pub const CLOSE_CODES: [CloseEntry; 10] = [
    CloseEntry { code: CloseCode::Drain, number: 4000, reason: "draining" },
    CloseEntry { code: CloseCode::Unresponsive, number: 4001, reason: "unresponsive" },
    CloseEntry { code: CloseCode::Lagging, number: 4002, reason: "lagging" },
    CloseEntry { code: CloseCode::Overload, number: 4100, reason: "overload" },
    CloseEntry { code: CloseCode::Internal, number: 4101, reason: "internal error" },
    CloseEntry { code: CloseCode::HelloTimeout, number: 4102, reason: "no hello in time" },
    CloseEntry { code: CloseCode::RateLimited, number: 4103, reason: "rate limited" },
    CloseEntry { code: CloseCode::Unauthorized, number: 4200, reason: "unauthorized" },
    CloseEntry { code: CloseCode::ProtocolError, number: 4201, reason: "protocol error" },
    CloseEntry { code: CloseCode::TooLarge, number: 4202, reason: "message too large" },
];

impl CloseCode {
    /// Its row.
    #[must_use]
    pub fn entry(self) -> CloseEntry {
        CLOSE_CODES.into_iter().find(|entry| entry.code == self).unwrap_or(CloseEntry {
            code: self,
            number: 4101,
            reason: "internal error",
        })
    }

    /// The number on the wire.
    #[must_use]
    pub fn number(self) -> u16 {
        self.entry().number
    }
}

/// A close's reason with a hint when to come back, in seconds. [`retry_after_s`] reads it.
#[must_use]
pub fn with_retry_after(reason: &str, seconds: u32) -> String {
    format!("{reason}{RETRY_AFTER}{seconds} s")
}

/// The hint at the end of a close's reason, in seconds, at most [`RETRY_HINT_S_MAX`].
#[must_use]
pub fn retry_after_s(reason: &str) -> Option<u32> {
    let (_, hint) = reason.rsplit_once(RETRY_AFTER)?;
    let seconds: u32 = hint.strip_suffix(" s")?.parse().ok()?;
    Some(seconds.min(RETRY_HINT_S_MAX))
}

const RETRY_AFTER: &str = "; retry after ";

impl Retry {
    /// What a client does after a close with `number`: by range, so that codes of a newer server are
    /// understood; anything outside the ranges (a proxy's 1001, a cut connection) backs off.
    #[must_use]
    pub fn for_number(number: u16) -> Self {
        match number {
            4000..=4099 => Self::Now,
            4200..=4299 => Self::Never,
            _ => Self::BackOff,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_has_every_code() {
        let reference = include_str!("../../../docs/PROTOCOL.md");
        let rows = reference.lines().filter(|line| line.starts_with("| 4"));
        assert_eq!(rows.clone().count(), CLOSE_CODES.len());
        for (row, entry) in rows.zip(CLOSE_CODES) {
            let wanted = format!("| {} | {}", entry.number, entry.reason);
            assert!(row.starts_with(&wanted), "docs/PROTOCOL.md has {row:?}, expected {wanted:?}");
        }
    }

    #[test]
    fn a_hint_is_read_back() {
        assert_eq!(retry_after_s(&with_retry_after("too many; retry after all", 3)), Some(3));
        assert_eq!(retry_after_s(&with_retry_after("too many", 100_000)), Some(RETRY_HINT_S_MAX));
        for none in ["too many", "; retry after 3", "; retry after -1 s", "; retry after 3 s or so"] {
            assert_eq!(retry_after_s(none), None, "{none}");
        }
    }

    #[test]
    fn every_code_has_one_row_in_range() {
        for entry in CLOSE_CODES {
            let rows =
                CLOSE_CODES.iter().filter(|other| other.number == entry.number || other.code == entry.code);
            assert_eq!(rows.count(), 1, "{entry:?}");
            assert_eq!(entry.code.number(), entry.number);
            assert!((4000..4300).contains(&entry.number));
        }
        assert_eq!(Retry::for_number(CloseCode::Unauthorized.number()), Retry::Never);
        assert_eq!(Retry::for_number(1006), Retry::BackOff);
        assert_eq!(Retry::for_number(4050), Retry::Now);
    }
}
