//! An identity provider's keys: a JSON Web Key Set (RFC 7517), each key with the algorithms that it may verify.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;
use waggle_core::limits::JWKS_KEYS_MAX;

/// Keys that verify.
pub(super) struct Keys(Vec<Key>);

struct Key {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

/// Why there is no key for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoKey {
    /// None of that name: there may be one by now.
    Unknown,
    /// There is one of that name, which is not for this algorithm.
    OtherAlgorithm,
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

impl Keys {
    /// Those of a set that verify signatures by one of the algorithms that are allowed. Others are left out, as RFC
    /// 7517 section 5 wants it: a provider may have keys of kinds that are not known here.
    pub(super) fn parse(json: &[u8], allowed: &[Algorithm]) -> Result<Self, String> {
        let set: Set = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        let known = set.keys.into_iter().filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
        let set = JwkSet { keys: known.take(JWKS_KEYS_MAX).collect() };
        let keys: Vec<Key> = set.keys.iter().filter_map(|jwk| Key::of(jwk, allowed)).collect();
        if keys.is_empty() {
            let names: Vec<String> = allowed.iter().map(|algorithm| format!("{algorithm:?}")).collect();
            return Err(format!("there is no key that verifies {}", names.join(", ")));
        }
        Ok(Self(keys))
    }

    /// The key for a token. One that names none is verified by the only key that there is for its algorithm.
    pub(super) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Result<&DecodingKey, NoKey> {
        let mut named = self.0.iter().filter(|key| id.is_none() || key.id.as_deref() == id).peekable();
        if named.peek().is_none() {
            return Err(NoKey::Unknown);
        }
        let mut fitting = named.filter(|key| key.algorithms.contains(&algorithm));
        match (fitting.next(), fitting.next(), id) {
            (Some(_), Some(_), None) => Err(NoKey::Unknown),
            (Some(key), _, _) => Ok(&key.key),
            (None, _, _) => Err(NoKey::OtherAlgorithm),
        }
    }
}

impl Key {
    fn of(jwk: &Jwk, allowed: &[Algorithm]) -> Option<Self> {
        if !matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
            return None;
        }
        let fit: &[Algorithm] = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => &[
                Algorithm::RS256,
                Algorithm::RS384,
                Algorithm::RS512,
                Algorithm::PS256,
                Algorithm::PS384,
                Algorithm::PS512,
            ],
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
                &[Algorithm::ES256]
            }
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => {
                &[Algorithm::ES384]
            }
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
                &[Algorithm::EdDSA]
            }
            // A secret is no public key, and whoever publishes it has none.
            _ => return None,
        };
        // A key that says what it is for is for nothing else.
        let only = jwk.common.key_algorithm.map(|algorithm| algorithm.to_string());
        let is_meant =
            |algorithm: &Algorithm| only.as_ref().is_none_or(|only| *only == format!("{algorithm:?}"));
        let algorithms: Vec<Algorithm> = fit
            .iter()
            .copied()
            .filter(|algorithm| allowed.contains(algorithm) && is_meant(algorithm))
            .collect();
        if algorithms.is_empty() {
            return None;
        }
        Some(Self { id: jwk.common.key_id.clone(), algorithms, key: DecodingKey::from_jwk(jwk).ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EC: &str = r#"{"kty":"EC","crv":"P-256","kid":"a","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
    const RSA: &str = r#"{"kty":"RSA","kid":"b","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB"}"#;
    const ALLOWED: [Algorithm; 2] = [Algorithm::RS256, Algorithm::ES256];

    fn keys(list: &[&str]) -> Result<Keys, String> {
        Keys::parse(format!(r#"{{"keys":[{}]}}"#, list.join(",")).as_bytes(), &ALLOWED)
    }

    #[test]
    fn a_key_verifies_what_it_is_for() {
        let keys = keys(&[EC, RSA]).unwrap();
        assert!(keys.find(Some("a"), Algorithm::ES256).is_ok());
        assert!(keys.find(Some("b"), Algorithm::RS256).is_ok());
        assert!(keys.find(None, Algorithm::ES256).is_ok());
        assert_eq!(keys.find(Some("b"), Algorithm::ES256).err(), Some(NoKey::OtherAlgorithm));
        assert_eq!(keys.find(Some("b"), Algorithm::PS256).err(), Some(NoKey::OtherAlgorithm));
        // The public key as the secret of an HMAC: the oldest confusion of all.
        assert_eq!(keys.find(Some("b"), Algorithm::HS256).err(), Some(NoKey::OtherAlgorithm));
        assert_eq!(keys.find(Some("c"), Algorithm::ES256).err(), Some(NoKey::Unknown));
    }

    #[test]
    fn keys_of_other_kinds_are_left_out() {
        let secret = r#"{"kty":"oct","kid":"s","alg":"HS256","k":"c2VjcmV0"}"#;
        let for_encryption = RSA.replace(r#""kid":"b""#, r#""kid":"e","use":"enc""#);
        let unknown = r#"{"kty":"future","kid":"f"}"#;
        let all = keys(&[secret, unknown, "7", &for_encryption, EC]).unwrap();
        assert_eq!(all.0.len(), 1);
        for none in [vec![], vec![secret], vec![unknown], vec![for_encryption.as_str()]] {
            assert!(keys(&none).is_err());
        }
        let other = RSA.replace(r#""kid":"b""#, r#""kid":"b","alg":"PS256""#);
        assert!(keys(&[&other]).is_err(), "it says that it is for PS256");
        assert!(Keys::parse(b"[]", &ALLOWED).is_err() && Keys::parse(b"", &ALLOWED).is_err());
    }

    #[test]
    fn a_token_without_a_key_id_is_verified_by_the_only_key() {
        let two = keys(&[EC, &EC.replace(r#""kid":"a""#, r#""kid":"a2""#)]).unwrap();
        assert_eq!(two.find(None, Algorithm::ES256).err(), Some(NoKey::Unknown));
        assert!(two.find(Some("a2"), Algorithm::ES256).is_ok());
    }
}
