//! An identity provider: its keys, its tokens, and logins at it by OpenID Connect.

mod fetch;
mod flow;
mod keys;
mod verify;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use http::HeaderValue;
use jsonwebtoken::Algorithm;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::{Notify, watch};
use waggle_core::limits::{JWKS_AGAIN_MS, JWKS_REFRESH_MS, JWT_CACHE_MAX};
use waggle_core::time::Timestamp;

pub use crate::trust::RootsError;
pub use fetch::{FetchError, check_address};
pub(super) use flow::{Flow, Flows};
pub use verify::algorithms;

use self::fetch::Fetch;
use self::keys::Keys;
use self::verify::{Claims, Remembered, is_claimed, verify};
use crate::directory::{self, AuthError, Claimed, hash_secret};

/// What is known of a provider before it is asked.
#[derive(Debug, Clone)]
pub struct ProviderSettings {
    /// Its name, as its tokens have it in `iss`, and its address.
    pub issuer: String,
    /// Whose agents it lets in.
    pub tenant: String,
    /// The claim that agents are known by.
    pub claim: String,
    /// The algorithms that its tokens may be signed by.
    pub algorithms: Vec<Algorithm>,
    /// Where its keys are; as it says itself where not set.
    pub jwks_url: Option<String>,
    /// The audience of tokens that are taken as API tokens; none are where not set.
    pub audience: Option<String>,
    /// Login by OpenID Connect.
    pub login: Option<LoginSettings>,
    /// Certificate authorities (PEM) besides the system's.
    pub roots: Option<PathBuf>,
}

/// What this gateway is to the provider.
#[derive(Clone)]
pub struct LoginSettings {
    /// Its name there.
    pub client_id: String,
    /// What it proves to be that with, where it was given something.
    pub client_secret: Option<Arc<str>>,
    /// Where browsers come back to: this gateway's `/v1/login/oidc/callback`, as they see it.
    pub redirect_url: String,
    /// What is asked for; `openid` is among it.
    pub scopes: String,
    /// What becomes of somebody whom no agent is linked to.
    pub strangers: Strangers,
}

/// What becomes of somebody whom the provider knows, and nobody here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strangers {
    /// Is not let in.
    Refused,
    /// Becomes an agent.
    Provisioned,
}

impl std::fmt::Debug for LoginSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoginSettings").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

/// What a provider says of itself (OpenID Connect Discovery 1.0, section 3), as far as it is used.
#[derive(Debug, Clone, Deserialize)]
struct Discovered {
    issuer: String,
    jwks_uri: String,
    #[serde(default)]
    authorization_endpoint: Option<String>,
    #[serde(default)]
    token_endpoint: Option<String>,
}

struct Current {
    keys: Keys,
    discovered: Option<Discovered>,
    read: Instant,
    /// What was verified with these keys: it is not computed again for each request.
    verified: Mutex<FxHashMap<[u8; 32], Remembered>>,
}

/// An identity provider. Its keys are read by [`Provider::keep`].
pub struct Provider {
    settings: ProviderSettings,
    issuer: Arc<str>,
    tenant: Arc<str>,
    fetch: Fetch,
    current: ArcSwapOption<Current>,
    /// A token has come with a key that is not known.
    wanted: Notify,
    pub(super) flows: Flows,
}

/// What the ID token of a login says.
pub(super) struct Identified {
    pub(super) subject: String,
    /// What to call somebody who becomes an agent.
    pub(super) name: Option<String>,
}

/// Why a login at the provider came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// It was not asked yet, or does not answer.
    #[error("the identity provider has not said yet where it is")]
    NotReady,
    /// It does not answer as it should.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// Its ID token is not taken.
    #[error("the identity provider's ID token is not taken: {0}")]
    Token(#[from] AuthError),
    /// Its ID token is of another login.
    #[error("the identity provider's ID token is of another login or for another client")]
    OtherLogin,
}

impl Provider {
    /// A provider that was not asked yet.
    ///
    /// # Errors
    /// Where the certificate authorities cannot be read.
    pub fn new(settings: ProviderSettings) -> Result<Self, RootsError> {
        let fetch = Fetch::new(settings.roots.as_deref())?;
        Ok(Self {
            issuer: settings.issuer.as_str().into(),
            tenant: settings.tenant.as_str().into(),
            settings,
            fetch,
            current: ArcSwapOption::empty(),
            wanted: Notify::new(),
            flows: Flows::new(),
        })
    }

    /// Whether its tokens are taken as API tokens.
    #[must_use]
    pub fn gives_tokens(&self) -> bool {
        self.settings.audience.is_some()
    }

    /// Reads its keys now, and where it is.
    ///
    /// # Errors
    /// Where it does not answer as it should; what was known before stays in force.
    pub async fn read(&self) -> Result<(), FetchError> {
        let discovered = match (&self.settings.jwks_url, &self.settings.login) {
            (Some(_), None) => None,
            _ => Some(self.discover().await?),
        };
        let said = discovered.as_ref().map(|said| said.jwks_uri.as_str());
        let url = self.settings.jwks_url.as_deref().or(said).unwrap_or_default();
        let json = self.fetch.get(url).await?;
        let shape = |why| FetchError::Shape { host: url.to_owned(), wanted: "a set of keys", why };
        let keys = Keys::parse(&json, &self.settings.algorithms).map_err(shape)?;
        let verified = Mutex::default();
        self.current.store(Some(Arc::new(Current { keys, discovered, read: Instant::now(), verified })));
        Ok(())
    }

    async fn discover(&self) -> Result<Discovered, FetchError> {
        let issuer = self.settings.issuer.trim_end_matches('/');
        let url = format!("{issuer}/.well-known/openid-configuration");
        let found: Discovered = parse(&url, "a provider's metadata", &self.fetch.get(&url).await?)?;
        if found.issuer == self.settings.issuer {
            return Ok(found);
        }
        let why = format!("its issuer is {:?}; expected {:?}", found.issuer, self.settings.issuer);
        Err(FetchError::Shape { host: url, wanted: "its own metadata", why })
    }

    /// Reads its keys once an hour, and when a token comes with one that is not known, but not more often than every
    /// half minute, until `stop` changes or its sender is gone.
    pub async fn keep(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        loop {
            let read = self.read().await;
            let next_ms = match &read {
                Ok(()) => JWKS_REFRESH_MS,
                Err(error) => {
                    let cause = std::error::Error::source(error).map(ToString::to_string);
                    tracing::warn!(%error, cause, "the identity provider cannot be asked; its old keys stay");
                    JWKS_AGAIN_MS
                }
            };
            let pause = tokio::time::sleep(Duration::from_millis(JWKS_AGAIN_MS));
            let next = tokio::time::sleep(Duration::from_millis(next_ms));
            tokio::select! {
                _ = stop.changed() => return,
                () = pause => {}
            }
            tokio::select! {
                _ = stop.changed() => return,
                () = next => {}
                () = self.wanted.notified() => {}
            }
        }
    }

    fn verified(&self, token: &str, audience: &str) -> Result<Claims, AuthError> {
        let Some(current) = self.current.load_full() else { return Err(AuthError::KeyUnknown) };
        let allowed = &self.settings.algorithms;
        let claims = verify(token, &current.keys, allowed, &self.settings.issuer, audience);
        match claims {
            // They were read just now: there is no such key.
            Err(AuthError::KeyUnknown) if current.read.elapsed() < Duration::from_millis(JWKS_AGAIN_MS) => {
                Err(AuthError::NotForUs("the provider has no such key"))
            }
            Err(AuthError::KeyUnknown) => {
                self.wanted.notify_one();
                Err(AuthError::KeyUnknown)
            }
            other => other,
        }
    }

    fn claimed(&self, subject: String, expires_at: Timestamp) -> Claimed {
        let (tenant, issuer) = (Arc::clone(&self.tenant), Arc::clone(&self.issuer));
        Claimed { tenant, issuer, subject, expires_at }
    }

    /// Where browsers log in by OpenID Connect.
    pub(super) fn login(&self) -> Option<&LoginSettings> {
        self.settings.login.as_ref()
    }

    pub(super) fn issuer(&self) -> &str {
        &self.issuer
    }

    pub(super) fn tenant(&self) -> &str {
        &self.tenant
    }

    /// The provider's page to which a browser is sent.
    pub(super) fn authorization_url(&self, query: &str) -> Result<String, ProviderError> {
        let current = self.current.load_full().ok_or(ProviderError::NotReady)?;
        let said = current.discovered.as_ref().and_then(|said| said.authorization_endpoint.as_deref());
        let endpoint = said.ok_or(ProviderError::NotReady)?;
        check_address(endpoint)?;
        let joint = if endpoint.contains('?') { '&' } else { '?' };
        Ok(format!("{endpoint}{joint}{query}"))
    }

    /// Exchanges the code that a browser has brought for an ID token, and verifies it.
    pub(super) async fn exchange(
        &self,
        settings: &LoginSettings,
        code: &str,
        flow: &Flow,
    ) -> Result<Identified, ProviderError> {
        #[derive(Deserialize)]
        struct Answer {
            id_token: String,
        }
        let current = self.current.load_full().ok_or(ProviderError::NotReady)?;
        let said = current.discovered.as_ref().and_then(|said| said.token_endpoint.as_deref());
        let endpoint = said.ok_or(ProviderError::NotReady)?;
        let basic = settings.client_secret.as_deref().and_then(|secret| basic(&settings.client_id, secret));
        // A client without a secret says who it is in the form.
        let id = basic.is_none().then_some(("client_id", settings.client_id.as_str()));
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "authorization_code")
            .append_pair("code", code)
            .append_pair("redirect_uri", &settings.redirect_url)
            .append_pair("code_verifier", &flow.verifier)
            .extend_pairs(id)
            .finish();
        let json = self.fetch.post(endpoint, basic.as_ref(), form).await?;
        // What else is in it, an access token among it, is not looked at.
        let answer: Answer = parse(endpoint, "an answer with an id_token", &json)?;
        let claims = self.verified(&answer.id_token, &settings.client_id)?;
        let is_ours = claims.text("azp").is_none_or(|party| party == settings.client_id);
        if !is_claimed(&claims, "nonce", &flow.nonce) || !is_ours {
            return Err(ProviderError::OtherLogin);
        }
        let name = ["preferred_username", "email", "name"].iter().find_map(|name| claims.text(name));
        let name = name.map(str::to_owned);
        Ok(Identified { subject: claims.subject(&self.settings.claim)?, name })
    }
}

impl directory::Provider for Provider {
    fn verify(&self, token: &str, now: Timestamp) -> Result<Claimed, AuthError> {
        let Some(audience) = &self.settings.audience else { return Err(AuthError::Malformed) };
        let Some(current) = self.current.load_full() else {
            self.wanted.notify_one();
            return Err(AuthError::KeyUnknown);
        };
        let hash = hash_secret(token);
        let known = current.verified.lock().get(&hash).cloned();
        if let Some((_, subject, expires_at)) = known.filter(|(_, _, expires_at)| *expires_at > now) {
            return Ok(self.claimed(subject, expires_at));
        }
        let claims = self.verified(token, audience)?;
        let subject = claims.subject(&self.settings.claim)?;
        let mut verified = current.verified.lock();
        if verified.len() >= JWT_CACHE_MAX {
            verified.retain(|_, (_, _, expires_at)| *expires_at > now);
        }
        if verified.len() < JWT_CACHE_MAX {
            verified.insert(hash, (Arc::clone(&self.issuer), subject.clone(), claims.expires_at));
        }
        Ok(self.claimed(subject, claims.expires_at))
    }
}

fn parse<T: DeserializeOwned>(url: &str, wanted: &'static str, json: &[u8]) -> Result<T, FetchError> {
    // Where it is wrong is said, and not what there is: it may be a token.
    let why = |error: serde_json::Error| format!("line {}, column {}", error.line(), error.column());
    serde_json::from_slice(json).map_err(|error| FetchError::Shape {
        host: url.to_owned(),
        wanted,
        why: why(error),
    })
}

/// RFC 6749 section 2.3.1: name and secret are encoded as in a form before they are joined.
fn basic(name: &str, secret: &str) -> Option<HeaderValue> {
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let joined = format!("{}:{}", encode(name), encode(secret));
    let mut header = HeaderValue::try_from(format!("Basic {}", directory::base64(joined.as_bytes()))).ok()?;
    header.set_sensitive(true);
    Some(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_says_who_it_is_as_rfc_6749_wants_it() {
        // RFC 7617's own example, and characters that have to be encoded.
        assert_eq!(directory::base64(b"Aladdin:open sesame"), "QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!(basic("a:b", "c d").unwrap(), format!("Basic {}", directory::base64(b"a%3Ab:c+d")));
    }
}
