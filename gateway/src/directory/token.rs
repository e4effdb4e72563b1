//! Secrets that Waggle gives out: how they are made, written and recognised.

use std::fmt;

use sha2::{Digest, Sha256};

/// What every API token starts with, so that leak scanners and people know one.
pub const PREFIX: &str = "wgl_";

/// What a secret is for: one of another kind is not taken in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretKind {
    /// An API token.
    Token,
    /// A session's cookie.
    Session,
    /// For one push connection.
    Push,
    /// A device's cookie.
    Device,
    /// What ties a login at an identity provider to the browser that began it.
    Flow,
    /// A password that its agent has to change.
    Password,
}

impl SecretKind {
    const ALL: [Self; 6] = [Self::Token, Self::Session, Self::Push, Self::Device, Self::Flow, Self::Password];

    fn prefix(self) -> &'static str {
        match self {
            Self::Token => PREFIX,
            Self::Session => "wgs_",
            Self::Push => "wgp_",
            Self::Device => "wgd_",
            Self::Flow => "wgf_",
            Self::Password => "wgt_",
        }
    }

    /// What kind of secret a text has the form of: cheap, before it is hashed.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        let kind = Self::ALL.into_iter().find(|kind| text.starts_with(kind.prefix()));
        kind.filter(|_| text.len() == TOKEN_CHARS && text.is_ascii())
    }
}
const SECRET_BYTES: usize = 32;
/// 32 bytes in base64 without padding.
const SECRET_CHARS: usize = 43;
/// Characters of a token.
pub const TOKEN_CHARS: usize = PREFIX.len() + SECRET_CHARS;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A new token's text: shown once, never stored. Its hash is what storage keeps.
pub struct Token(String);

impl Token {
    /// Makes an API token of 256 random bits.
    ///
    /// # Errors
    /// Where the system gives no random bytes.
    pub fn make() -> Result<Self, getrandom::Error> {
        Self::make_for(SecretKind::Token)
    }

    /// Makes a secret of 256 random bits.
    ///
    /// # Errors
    /// Where the system gives no random bytes.
    pub fn make_for(kind: SecretKind) -> Result<Self, getrandom::Error> {
        let mut secret = [0_u8; SECRET_BYTES];
        getrandom::fill(&mut secret)?;
        let mut text = String::with_capacity(TOKEN_CHARS);
        text.push_str(kind.prefix());
        push_base64url(&mut text, &secret);
        Ok(Self(text))
    }

    /// The text, to be shown to its owner.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// SHA-256 of the text.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        hash(&self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// SHA-256 of a token's text. The text has 256 random bits: it needs no salt and no slow hash.
#[must_use]
pub fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// Appends bytes as URL-safe base64 (RFC 4648 section 5) without padding.
pub fn push_base64url(out: &mut String, bytes: &[u8]) {
    for chunk in bytes.chunks(3) {
        let mut word = 0_u32;
        for index in 0..3 {
            word = word << 8 | u32::from(chunk.get(index).copied().unwrap_or_default());
        }
        for position in 0..=chunk.len() {
            let sextet = word >> (18 - 6 * position) & 63;
            // Six bits are below 64.
            out.push(char::from(ALPHABET[sextet as usize]));
        }
    }
}

/// RFC 4648 section 4: with the other two characters, and padded.
#[must_use]
pub fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    push_base64url(&mut text, bytes);
    let mut text = text.replace('-', "+").replace('_', "/");
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_base64url_of_32_bytes() {
        let write = |bytes: &[u8]| {
            let mut text = PREFIX.to_owned();
            push_base64url(&mut text, bytes);
            text
        };
        assert_eq!(write(&[0; 32]), format!("wgl_{}", "A".repeat(43)));
        assert_eq!(write(&[0xff; 32]), format!("wgl_{}8", "_".repeat(42)));
        let mut counted = [0_u8; 32];
        for (index, byte) in counted.iter_mut().enumerate() {
            *byte = index as u8;
        }
        assert_eq!(write(&counted), "wgl_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8");
    }

    #[test]
    fn tokens_differ_and_do_not_show_themselves() {
        let (one, other) = (Token::make().unwrap(), Token::make().unwrap());
        assert_ne!(one.reveal(), other.reveal());
        assert_eq!(SecretKind::of(one.reveal()), Some(SecretKind::Token));
        let session = Token::make_for(SecretKind::Session).unwrap();
        assert_eq!(SecretKind::of(session.reveal()), Some(SecretKind::Session));
        for none in ["", "wgl_short", &format!("{}x", one.reveal()), &one.reveal().replace("wgl_", "wgx_")] {
            assert_eq!(SecretKind::of(none), None, "{none}");
        }
        assert!(!format!("{one:?}").contains(one.reveal()));
        assert_eq!(one.hash(), hash(one.reveal()));
    }
}
