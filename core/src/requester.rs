//! Requesters: whoever asks, and by what one is known again.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::limits::IDENTITY_BYTES_MAX;

/// What kind of identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdentityKind {
    /// An e-mail address.
    Email,
    /// A telephone number.
    Phone,
    /// A number or name in another system.
    External,
}

/// By what a requester is known: unique within a tenant, in its normal form.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Identity {
    kind: IdentityKind,
    value: String,
}

/// Why a text is no identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// Not an e-mail address.
    #[error("{0:?} is no e-mail address; expected name@domain, without spaces")]
    Email(String),
    /// Not a telephone number.
    #[error(
        "{0:?} is no international telephone number; expected + and 7 to 15 digits, as in +44 20 7946 0000"
    )]
    Phone(String),
    /// Not an external id.
    #[error("{0:?} is no external id; expected visible characters, without control characters")]
    External(String),
    /// Too long.
    #[error("an identity has at most {IDENTITY_BYTES_MAX} bytes; this one has {bytes}")]
    TooLong {
        /// As given.
        bytes: usize,
    },
}

impl IdentityKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Email, Self::Phone, Self::External];

    /// Its name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Phone => "phone",
            Self::External => "external",
        }
    }

    /// The kind called `name`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl fmt::Display for IdentityKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Identity {
    /// Takes a text as an identity, normalised: addresses in lower case, numbers without spaces and signs but
    /// their plus, external ids as they are.
    ///
    /// # Errors
    /// Where it is none of its kind.
    pub fn parse(kind: IdentityKind, text: &str) -> Result<Self, IdentityError> {
        let text = text.trim();
        if text.len() > IDENTITY_BYTES_MAX {
            return Err(IdentityError::TooLong { bytes: text.len() });
        }
        let value = match kind {
            IdentityKind::Email => email(text).ok_or_else(|| IdentityError::Email(shown(text)))?,
            IdentityKind::Phone => phone(text).ok_or_else(|| IdentityError::Phone(shown(text)))?,
            IdentityKind::External => external(text).ok_or_else(|| IdentityError::External(shown(text)))?,
        };
        match value.len() {
            bytes if bytes > IDENTITY_BYTES_MAX => Err(IdentityError::TooLong { bytes }),
            _ => Ok(Self { kind, value }),
        }
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> IdentityKind {
        self.kind
    }

    /// Its normal form.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }
}

fn shown(text: &str) -> String {
    text.chars().take(60).collect()
}

fn is_plain(character: char) -> bool {
    !character.is_whitespace()
        && !character.is_control()
        && !matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// The part before the @ is in truth the receiving server's to compare; none that matters tells cases apart.
fn email(text: &str) -> Option<String> {
    let (local, domain) = text.rsplit_once('@')?;
    let is_local = !local.is_empty() && !local.contains(['@', '<', '>', '"', ',']);
    let labels_fit = domain.split('.').all(|label| {
        let dash = label.starts_with('-') || label.ends_with('-');
        !label.is_empty() && !dash && label.chars().all(|part| part == '-' || part.is_alphanumeric())
    });
    (is_local && labels_fit && text.chars().all(is_plain)).then(|| text.to_lowercase())
}

/// The form of the standard E.164.
fn phone(text: &str) -> Option<String> {
    let mut number = String::from("+");
    let digits = text.strip_prefix('+').or_else(|| text.strip_prefix("00"))?;
    for character in digits.chars() {
        match character {
            '0'..='9' => number.push(character),
            ' ' | '\u{a0}' | '-' | '.' | '/' | '(' | ')' => {}
            _ => return None,
        }
    }
    // No country's code begins with 0.
    ((8..=16).contains(&number.len()) && !number.starts_with("+0")).then_some(number)
}

fn external(text: &str) -> Option<String> {
    (!text.is_empty() && text.chars().all(|character| character == ' ' || is_plain(character)))
        .then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_have_one_normal_form() {
        for (kind, text, wanted) in [
            (IdentityKind::Email, " Kim@Example.COM ", "kim@example.com"),
            (IdentityKind::Email, "kim+shop@mail.example.com", "kim+shop@mail.example.com"),
            (IdentityKind::Email, "KIM@BÜCHER.example", "kim@bücher.example"),
            (IdentityKind::Phone, "+44 20 7946-0000", "+442079460000"),
            (IdentityKind::Phone, "0044 (20) 7946.0000", "+442079460000"),
            (IdentityKind::External, " Cust 17/A ", "Cust 17/A"),
        ] {
            let identity = Identity::parse(kind, text).unwrap();
            assert_eq!((identity.kind(), identity.value()), (kind, wanted));
            assert_eq!(
                Identity::parse(kind, identity.value()),
                Ok(identity.clone()),
                "it is its own normal form"
            );
        }
    }

    #[test]
    fn what_is_no_identity_is_refused() {
        let long = "x".repeat(300);
        for (kind, text) in [
            (IdentityKind::Email, ""),
            (IdentityKind::Email, "kim"),
            (IdentityKind::Email, "kim@"),
            (IdentityKind::Email, "@example.com"),
            (IdentityKind::Email, "a b@example.com"),
            (IdentityKind::Email, "a@b@example.com"),
            (IdentityKind::Email, "<kim@example.com>"),
            (IdentityKind::Email, "kim@example..com"),
            (IdentityKind::Email, "kim@-example.com"),
            (IdentityKind::Email, "kim\u{202e}@example.com"),
            (IdentityKind::Phone, "020 7946 0000"),
            (IdentityKind::Phone, "+44"),
            (IdentityKind::Phone, "+1234567890123456"),
            (IdentityKind::Phone, "+44 CALL ME"),
            (IdentityKind::Phone, "+0442079460000"),
            (IdentityKind::External, " "),
            (IdentityKind::External, "a\nb"),
            (IdentityKind::External, &long),
        ] {
            let refused = Identity::parse(kind, text).unwrap_err().to_string();
            assert!(refused.contains("expected") || refused.contains("at most"), "{refused}");
        }
        for kind in IdentityKind::ALL {
            assert_eq!(IdentityKind::from_name(kind.name()), Some(kind));
        }
    }
}
