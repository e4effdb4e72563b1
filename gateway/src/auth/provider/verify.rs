//! Verifies JSON Web Tokens, after RFC 8725 (best current practices): algorithms are fixed here and by the key, never
//! by the token; issuer, audience and times are checked.

use std::sync::Arc;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use serde::Deserialize;
use serde_json::{Map, Value};
use waggle_core::limits::{JWT_BYTES_MAX, JWT_LEEWAY_S, PROVIDER_SUBJECT_BYTES_MAX};
use waggle_core::time::Timestamp;

use super::keys::{Keys, NoKey};
use crate::directory::AuthError;

/// What a good token says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Claims {
    pub(super) expires_at: Timestamp,
    all: Map<String, Value>,
}

#[derive(Deserialize)]
struct Raw {
    exp: f64,
    /// One, and no list: it is the name that identities are kept by.
    iss: String,
    #[serde(flatten)]
    all: Map<String, Value>,
}

/// Verifies a token of `issuer` for `audience`.
pub(super) fn verify(
    token: &str,
    keys: &Keys,
    allowed: &[Algorithm],
    issuer: &str,
    audience: &str,
) -> Result<Claims, AuthError> {
    if token.len() > JWT_BYTES_MAX {
        return Err(AuthError::NotForUs("it is too long"));
    }
    // `none` and other names that are not known are no header.
    let header = decode_header(token).map_err(|_| AuthError::Malformed)?;
    if !allowed.contains(&header.alg) {
        return Err(AuthError::NotForUs("its algorithm is not among those that are configured"));
    }
    if header.crit.is_some() || header.enc.is_some() || header.zip.is_some() {
        return Err(AuthError::NotForUs("its header wants something that is not known here"));
    }
    let key = keys.find(header.kid.as_deref(), header.alg).map_err(|error| match error {
        NoKey::Unknown => AuthError::KeyUnknown,
        NoKey::OtherAlgorithm => AuthError::NotForUs("its key is not for its algorithm"),
    })?;
    let mut validation = Validation::new(header.alg);
    validation.set_issuer(&[issuer]);
    validation.set_audience(&[audience]);
    validation.set_required_spec_claims(&["exp", "iss", "aud"]);
    validation.validate_nbf = true;
    validation.leeway = JWT_LEEWAY_S;
    let decoded = decode::<Raw>(token, key, &validation).map_err(|error| refused(error.kind()))?;
    let Raw { exp, iss, all } = decoded.claims;
    if iss != issuer {
        return Err(AuthError::NotForUs("its issuer is another"));
    }
    // A float above what fits is the highest that does.
    Ok(Claims { expires_at: Timestamp((exp.max(0.0) as u64).saturating_mul(1_000)), all })
}

fn refused(error: &ErrorKind) -> AuthError {
    match error {
        ErrorKind::InvalidSignature => AuthError::Forged,
        ErrorKind::ExpiredSignature => AuthError::Expired,
        ErrorKind::ImmatureSignature => AuthError::NotForUs("it is not valid yet"),
        ErrorKind::InvalidIssuer => AuthError::NotForUs("its issuer is another"),
        ErrorKind::InvalidAudience => AuthError::NotForUs("it is for another audience"),
        ErrorKind::MissingRequiredClaim(_) => AuthError::NotForUs("it lacks one of exp, iss, aud"),
        ErrorKind::InvalidAlgorithm => AuthError::NotForUs("its key is not for its algorithm"),
        _ => AuthError::Malformed,
    }
}

impl Claims {
    /// A claim's text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.all.get(name)?.as_str()
    }

    /// What agents are known by. An e-mail address counts where the provider says that it is verified: else anybody
    /// could claim anybody's.
    pub(super) fn subject(&self, claim: &str) -> Result<String, AuthError> {
        let subject =
            self.text(claim).filter(|text| !text.is_empty() && text.len() <= PROVIDER_SUBJECT_BYTES_MAX);
        let subject = subject.ok_or(AuthError::NotForUs("it lacks the claim that agents are known by"))?;
        if claim != "email" {
            return Ok(subject.to_owned());
        }
        let is_verified = match self.all.get("email_verified") {
            Some(Value::Bool(is_verified)) => *is_verified,
            Some(Value::String(text)) => text == "true",
            _ => false,
        };
        if is_verified {
            Ok(subject.to_lowercase())
        } else {
            Err(AuthError::NotForUs("its e-mail address is not verified"))
        }
    }
}

/// A claim that must be this and nothing else.
pub(super) fn is_claimed(claims: &Claims, name: &str, wanted: &str) -> bool {
    use subtle::ConstantTimeEq;
    claims.text(name).is_some_and(|found| bool::from(found.as_bytes().ct_eq(wanted.as_bytes())))
}

/// The algorithms of these names, of which there is at least one.
///
/// # Errors
/// Says which one is not taken: secrets that are shared with the provider sign nothing here.
pub fn algorithms(names: &[String]) -> Result<Vec<Algorithm>, String> {
    const TAKEN: [(&str, Algorithm); 9] = [
        ("RS256", Algorithm::RS256),
        ("RS384", Algorithm::RS384),
        ("RS512", Algorithm::RS512),
        ("PS256", Algorithm::PS256),
        ("PS384", Algorithm::PS384),
        ("PS512", Algorithm::PS512),
        ("ES256", Algorithm::ES256),
        ("ES384", Algorithm::ES384),
        ("EdDSA", Algorithm::EdDSA),
    ];
    let find = |name: &String| TAKEN.iter().find(|(taken, _)| taken == name).map(|(_, algorithm)| *algorithm);
    let found: Result<Vec<Algorithm>, String> =
        names.iter().map(|name| find(name).ok_or_else(|| name.clone())).collect();
    found.and_then(|found| if found.is_empty() { Err("empty".to_owned()) } else { Ok(found) })
}

/// A token that was verified is remembered by its hash.
pub(super) type Remembered = (Arc<str>, String, Timestamp);
