//! Passwords: read, judged, hashed and verified. They show themselves nowhere.

use std::fmt;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use serde::{Deserialize, Deserializer};
use waggle_core::limits::{PASSWORD_BYTES_MAX, PASSWORD_CHARS_MIN};
use zeroize::Zeroizing;

/// A password as somebody typed it; wiped from memory when it is dropped.
pub struct Password(Zeroizing<String>);

impl Password {
    /// Takes a password as it is.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// Whether it may become an account's password. There are no rules about kinds of characters: they make
    /// passwords worse (NIST SP 800-63B, section 5.1.1.2).
    ///
    /// # Errors
    /// Says what is wrong with it, without saying what it is.
    pub fn check_new(&self, name: &str) -> Result<(), WeakPassword> {
        let chars = self.0.chars().count();
        if chars < PASSWORD_CHARS_MIN {
            return Err(WeakPassword::Short { chars });
        }
        if self.0.len() > PASSWORD_BYTES_MAX {
            return Err(WeakPassword::Long { bytes: self.0.len() });
        }
        let lower = Zeroizing::new(self.0.to_lowercase());
        let mut seen: Vec<char> = lower.chars().collect();
        seen.sort_unstable();
        seen.dedup();
        let is_name = !name.is_empty() && lower.replace(&name.to_lowercase(), "").chars().count() < 4;
        if seen.len() < 5 || is_name {
            return Err(WeakPassword::Obvious);
        }
        Ok(())
    }

    /// Whether it is so long that nobody's password can be it: not worth hashing.
    pub(super) fn is_absurd(&self) -> bool {
        self.0.len() > PASSWORD_BYTES_MAX
    }

    fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

impl<'de> Deserialize<'de> for Password {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Never through an error that would show what it is.
        String::deserialize(deserializer)
            .map(Self::new)
            .map_err(|_| serde::de::Error::custom("a password is a text"))
    }
}

/// Why a password is not taken as a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WeakPassword {
    /// Too short.
    #[error(
        "the new password has {chars} characters; expected at least {PASSWORD_CHARS_MIN}: take some words"
    )]
    Short {
        /// As many it has.
        chars: usize,
    },
    /// Too long.
    #[error("the new password has {bytes} bytes; expected at most {PASSWORD_BYTES_MAX}")]
    Long {
        /// As many it has.
        bytes: usize,
    },
    /// The name, or a few characters again and again.
    #[error(
        "the new password is the name, or a few characters again and again; expected one that nobody guesses"
    )]
    Obvious,
}

/// Argon2id with 19 MiB of memory, 2 passes and 1 lane: the second of the settings in OWASP's Password Storage Cheat
/// Sheet, <https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html>.
fn argon2() -> Argon2<'static> {
    const MEMORY_KIB: u32 = 19 * 1024;
    const PASSES: u32 = 2;
    const LANES: u32 = 1;
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).unwrap_or_default();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

const SALT_BYTES: usize = 16;

/// Why a password could not be hashed.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// No random bytes for the salt.
    #[error("the system gives no random bytes: {0}")]
    Random(getrandom::Error),
    /// Of the algorithm: no memory.
    #[error("the password could not be hashed: {0}")]
    Argon2(argon2::password_hash::Error),
}

/// A password's hash as a PHC string, which says how it was made.
///
/// # Errors
/// Where the system has no memory or no random bytes.
pub fn hash(password: &Password) -> Result<String, HashError> {
    let mut salt = [0; SALT_BYTES];
    getrandom::fill(&mut salt).map_err(HashError::Random)?;
    let hash = argon2().hash_password_with_salt(password.bytes(), &salt).map_err(HashError::Argon2)?;
    Ok(hash.to_string())
}

/// Whether a password is the one that `hash` was made of, with the settings that it was made with. What is no
/// hash is nobody's.
pub(super) fn verify(password: &Password, hash: &str) -> bool {
    let Ok(hash) = PasswordHash::new(hash) else { return false };
    argon2().verify_password(password.bytes(), &hash).is_ok()
}

/// Whether a hash was made with other settings than today's.
pub(super) fn is_outdated(hash: &str) -> bool {
    let today = argon2();
    let Ok(hash) = PasswordHash::new(hash) else { return true };
    let Ok(params) = Params::try_from(&hash) else { return true };
    let of = |params: &Params| (params.m_cost(), params.t_cost(), params.p_cost());
    hash.algorithm != argon2::ARGON2ID_IDENT || of(&params) != of(today.params())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_of_one_password_and_says_how_it_was_made() {
        let password = Password::new("correct horse battery".to_owned());
        let made = hash(&password).unwrap();
        assert!(made.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{made}");
        assert!(verify(&password, &made));
        assert!(!verify(&Password::new("correct horse batterz".to_owned()), &made));
        assert_ne!(hash(&password).unwrap(), made);
        for no_hash in ["", "plain", "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA"] {
            assert!(!verify(&password, no_hash), "{no_hash}");
        }
        assert!(!is_outdated(&made) && is_outdated(&made.replace("t=2", "t=1")) && is_outdated("plain"));
    }

    #[test]
    fn weak_passwords_are_named_without_being_shown() {
        let check = |text: &str| Password::new(text.to_owned()).check_new("ana.lopez");
        assert_eq!(check("correct horse"), Ok(()));
        assert_eq!(
            check("\u{1f41d}\u{1f41e}\u{1f98b}\u{1f99f}\u{1f997}ab"),
            Err(WeakPassword::Short { chars: 7 })
        );
        assert_eq!(check("elevenchars"), Err(WeakPassword::Short { chars: 11 }));
        assert_eq!(check("aaaabbbbcccc"), Err(WeakPassword::Obvious));
        assert_eq!(check("Ana.Lopez123"), Err(WeakPassword::Obvious));
        assert_eq!(check(&"abcde fg".repeat(64)), Ok(()));
        let long = format!("{}x", "abcde fg".repeat(64));
        assert_eq!(check(&long), Err(WeakPassword::Long { bytes: 513 }));
        assert_eq!(format!("{:?}", Password::new(long)), "Password(…)");
    }
}
