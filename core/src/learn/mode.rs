//! What the assistant may do in a queue.

use serde::{Deserialize, Serialize};

use crate::limits::{AUTOMATIC_PER_HOUR_MAX, AUTOMATIC_PER_TICKET_MAX};

/// The precision that is wanted where nobody said another one.
pub const PRECISION_WANTED: f32 = 0.9;

/// What the assistant may do in a queue.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "snake_case")]
pub enum Mode {
    /// Nothing; it learns all the same.
    Off,
    /// Suggest replies to agents.
    Suggest {
        /// The share of answers that shall be right, from 0.5 to 0.999.
        precision: f32,
    },
    /// Reply by itself, too.
    Auto {
        /// The share of answers that shall be right, from 0.5 to 0.999.
        precision: f32,
        /// Automatic replies of one ticket, at most.
        per_ticket: u32,
        /// Automatic replies of the queue within an hour, at most.
        per_hour: u32,
    },
}

/// A mode that there is not.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ModeError {
    /// A precision that is none.
    #[error("a precision of {0} is none; expected 0.5 to 0.999")]
    Precision(f32),
    /// A cap that is none.
    #[error("{what} of {given} is too many; expected at most {most}")]
    Cap {
        /// Which cap.
        what: &'static str,
        /// As given.
        given: u32,
        /// What is allowed.
        most: u32,
    },
}

impl Default for Mode {
    fn default() -> Self {
        Self::Suggest { precision: PRECISION_WANTED }
    }
}

impl Mode {
    /// The wanted precision.
    #[must_use]
    pub fn precision(self) -> f32 {
        match self {
            Self::Off => PRECISION_WANTED,
            Self::Suggest { precision } | Self::Auto { precision, .. } => precision,
        }
    }

    /// The mode itself, where its numbers are within their limits.
    ///
    /// # Errors
    /// Where one is not.
    pub fn check(self) -> Result<Self, ModeError> {
        // Written so that a number that is none fails, too.
        if !(0.5..=0.999).contains(&self.precision()) {
            return Err(ModeError::Precision(self.precision()));
        }
        if let Self::Auto { per_ticket, per_hour, .. } = self {
            if per_ticket > AUTOMATIC_PER_TICKET_MAX {
                let most = AUTOMATIC_PER_TICKET_MAX;
                return Err(ModeError::Cap { what: "per_ticket", given: per_ticket, most });
            }
            if per_hour > AUTOMATIC_PER_HOUR_MAX {
                let most = AUTOMATIC_PER_HOUR_MAX;
                return Err(ModeError::Cap { what: "per_hour", given: per_hour, most });
            }
        }
        Ok(self)
    }
}
