//! How people are let in.

use serde::{Deserialize, Serialize};

use super::{ConfigError, range};
use crate::auth::SessionRules;

/// See `Config::auth`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthConfig {
    /// Minutes without use after which a session ends.
    pub session_idle_minutes: u32,
    /// Hours after which it ends in any case.
    pub session_hours: u32,
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self { session_idle_minutes: 8 * 60, session_hours: 7 * 24 }
    }
}

impl AuthConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        range("auth.session_idle_minutes", self.session_idle_minutes.into(), 5, 43_200)?;
        range("auth.session_hours", self.session_hours.into(), 1, 8_760)
    }

    /// How long sessions last.
    #[must_use]
    pub fn sessions(&self) -> SessionRules {
        SessionRules {
            idle_ms: u64::from(self.session_idle_minutes) * 60_000,
            lasts_ms: u64::from(self.session_hours) * 3_600_000,
        }
    }
}
