//! Identifiers and the numbers that order things, each a type of its own.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text that should have been a number of the named kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {kind}; expected a whole number from 1 to {max}")]
pub struct ParseIdError {
    text: String,
    kind: &'static str,
    max: u64,
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident, $inner:ty, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                match text.parse::<$inner>() {
                    Ok(number) if number > 0 => Ok(Self(number)),
                    _ => Err(ParseIdError {
                        text: text.chars().take(40).collect(),
                        kind: $kind,
                        max: u64::from(<$inner>::MAX),
                    }),
                }
            }
        }
    };
}

number!(
    /// One customer organisation.
    TenantId, u32, "tenant id"
);
number!(
    /// A queue, counted from 1 within its tenant.
    QueueId, u32, "queue id"
);
number!(
    /// An agent, counted from 1 within its tenant.
    AgentId, u32, "agent id"
);
number!(
    /// A team, counted from 1 within its tenant.
    TeamId, u32, "team id"
);
number!(
    /// A role, counted from 1 within its tenant.
    RoleId, u32, "role id"
);
number!(
    /// A role that an agent or a team has been given, counted from 1 within its tenant.
    GrantId, u32, "grant id"
);
number!(
    /// A requester, counted from 1 within its tenant.
    RequesterId, u64, "requester id"
);
number!(
    /// A lifecycle, counted from 1 within its tenant.
    LifecycleId, u32, "lifecycle id"
);
number!(
    /// A saved view, counted from 1 within its tenant.
    SavedViewId, u32, "view id"
);
number!(
    /// A ticket, counted from 1 within its tenant: the number that people read aloud.
    TicketId, u64, "ticket id"
);
number!(
    /// How many events a ticket has; 1 is its creation, 0 a ticket that does not exist yet.
    Version, u32, "version"
);
number!(
    /// An event's place in its tenant's log, from 1, without gaps, in commit order; 0 is before all.
    Offset, u64, "offset"
);
number!(
    /// Raised by every new claim of a ticket; 0 is a ticket that was never claimed.
    Fence, u32, "fence"
);
number!(
    /// One authenticated push connection, unique within a running gateway.
    SessionId, u64, "session id"
);

impl Version {
    /// The version after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl Offset {
    /// The offset after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Which log an offset belongs to. It changes when a tenant's log is restored; offsets of different
/// epochs do not compare. Written as 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A text that should have been an epoch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an epoch; expected 16 hexadecimal digits, as in a welcome message")]
pub struct ParseEpochError(String);

impl FromStr for Epoch {
    type Err = ParseEpochError;

    fn from_str(text: &str) -> Result<Self, ParseEpochError> {
        let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u64::from_str_radix(text, 16).ok().filter(|_| digits);
        number.map(Self).ok_or_else(|| ParseEpochError(text.chars().take(40).collect()))
    }
}

impl Serialize for Epoch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Epoch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Epoch;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an epoch of 16 hexadecimal digits")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Epoch, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

/// All events of one log up to here have been delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cursor {
    /// The log.
    pub epoch: Epoch,
    /// The last offset delivered; 0 for none.
    pub offset: Offset,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_survive_text_and_refuse_other_text() {
        let epoch = Epoch(0x00c0_ffee);
        assert_eq!(epoch.to_string().parse(), Ok(epoch));
        for text in ["", "c0ffee", "00000000000c0ffeX", "+000000000c0ffee", "00000000000c0ffee0"] {
            assert!(text.parse::<Epoch>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn ids_start_at_one() {
        assert_eq!("17".parse(), Ok(TicketId(17)));
        let refused = "0".parse::<QueueId>().unwrap_err().to_string();
        assert_eq!(refused, r#""0" is not a queue id; expected a whole number from 1 to 4294967295"#);
    }
}
