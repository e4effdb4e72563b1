//! Tokens: how they are made, written and recognised.

use std::fmt;

use sha2::{Digest, Sha256};

/// What every token starts with, so that leak scanners and people know one.
pub const PREFIX: &str = "wgl_";
const SECRET_BYTES: usize = 32;
/// 32 bytes in base64 without padding.
const SECRET_CHARS: usize = 43;
/// Characters of a token.
pub const TOKEN_CHARS: usize = PREFIX.len() + SECRET_CHARS;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A new token's text: shown once, never stored. Its hash is what storage keeps.
pub struct Token(String);

impl Token {
    /// Makes a token of 256 random bits.
    ///
    /// # Errors
    /// Where the system gives no random bytes.
    pub fn make() -> Result<Self, getrandom::Error> {
        let mut secret = [0_u8; SECRET_BYTES];
        getrandom::fill(&mut secret)?;
        Ok(Self(write(&secret)))
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
        f.write_str("Token(wgl_…)")
    }
}

/// SHA-256 of a token's text. The text has 256 random bits: it needs no salt and no slow hash.
#[must_use]
pub(super) fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// Whether a text could be a token at all: cheap, before it is hashed.
#[must_use]
pub(super) fn is_token_shaped(text: &str) -> bool {
    text.len() == TOKEN_CHARS && text.starts_with(PREFIX)
}

/// URL-safe base64 (RFC 4648 section 5) without padding, after the prefix.
fn write(secret: &[u8; SECRET_BYTES]) -> String {
    let mut out = String::with_capacity(TOKEN_CHARS);
    out.push_str(PREFIX);
    for chunk in secret.chunks(3) {
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
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_base64url_of_32_bytes() {
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
        assert!(is_token_shaped(one.reveal()) && !is_token_shaped("wgl_short"));
        assert!(!format!("{one:?}").contains(one.reveal()));
        assert_eq!(one.hash(), hash(one.reveal()));
    }
}
