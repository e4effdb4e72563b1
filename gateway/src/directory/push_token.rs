//! Tokens for one push connection each: what a page that has a session gives to `hello`, so that the session's own
//! secret stays in its cookie, where no script reads it, and no cookie opens a connection.

use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use waggle_core::limits::{PUSH_TOKEN_MS, PUSH_TOKENS_MAX};
use waggle_core::time::Timestamp;

use super::token::{self, SecretKind, Token};
use super::{AuthError, Principal};

/// Those that were given out and not used yet.
#[derive(Default)]
pub(super) struct PushTokens(Mutex<FxHashMap<[u8; 32], Waiting>>);

struct Waiting {
    principal: Principal,
    expires_at: Timestamp,
}

/// Why there is no push token.
#[derive(Debug, thiserror::Error)]
pub enum PushTokenError {
    /// Too many were asked for and not used.
    #[error("{PUSH_TOKENS_MAX} push tokens wait to be used")]
    TooMany,
    /// No random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(getrandom::Error),
}

impl PushTokens {
    /// Makes one, and says when it ends.
    pub(super) fn make(
        &self,
        principal: Principal,
        now: Timestamp,
    ) -> Result<(Token, Timestamp), PushTokenError> {
        let token = Token::make_for(SecretKind::Push).map_err(PushTokenError::Random)?;
        let expires_at = Timestamp(now.0.saturating_add(PUSH_TOKEN_MS));
        let mut waiting = self.0.lock();
        if waiting.len() >= PUSH_TOKENS_MAX {
            waiting.retain(|_, waiting| waiting.expires_at > now);
        }
        if waiting.len() >= PUSH_TOKENS_MAX {
            return Err(PushTokenError::TooMany);
        }
        waiting.insert(token.hash(), Waiting { principal, expires_at });
        Ok((token, expires_at))
    }

    /// Takes one: it is used then.
    pub(super) fn take(&self, text: &str, now: Timestamp) -> Result<Principal, AuthError> {
        let waiting = self.0.lock().remove(&token::hash(text));
        match waiting {
            Some(waiting) if waiting.expires_at > now => Ok(waiting.principal),
            // Used, too old, or of the gateway before this one: nobody guesses 256 bits that last a minute.
            _ => Err(AuthError::Expired),
        }
    }
}
