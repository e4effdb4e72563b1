//! Tokens of an identity provider, and what is done to have false ones taken.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use waggle_core::id::{AgentId, TenantId};

use super::World;
use super::identity_provider::{AUDIENCE, IdentityProvider, Key, base64url, now_s};
use crate::auth::Provider;
use crate::directory::Credential;
use crate::store::{AuditActor, AuditEntry, IdentityRow};

pub(super) async fn link(world: &World, issuer: &str, subject: &str, agent: u32) {
    let (tenant, agent) = (TenantId(1), AgentId(agent));
    let audit = AuditEntry::new(tenant, AuditActor::Operator, "identity.linked", format!("agent:{agent}"));
    let (issuer, subject) = (issuer.to_owned(), subject.to_owned());
    let row = IdentityRow { tenant, issuer, subject, agent };
    world.api.store.link_identity(row, audit).await.unwrap();
    world.api.directory.refresh(world.api.store.as_ref()).await.unwrap();
}

/// A world whose directory takes the tokens of a provider, which means Ana by `u-17`.
async fn furnished() -> (World, IdentityProvider, Arc<Provider>) {
    let theirs = IdentityProvider::start().await;
    let provider = Arc::new(Provider::new(theirs.settings()).unwrap());
    let world = World::of(None, Some(Arc::clone(&provider))).await;
    link(&world, &theirs.issuer, "u-17", 1).await;
    (world, theirs, provider)
}

fn with(claims: &Value, name: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    claims[name] = value;
    claims
}

#[tokio::test]
async fn a_token_of_the_provider_is_its_agents() {
    let (world, theirs, provider) = furnished().await;
    let token = theirs.key().sign(&theirs.claims());
    // Before its keys are read nobody can tell.
    let answer = world.get_as(&token, "/v1/me", &[]).await;
    assert_eq!((answer.code().as_str(), answer.header("retry-after")), ("keys_unknown", "1"));
    provider.read().await.unwrap();
    for _ in 0..2 {
        let me = world.get_as(&token, "/v1/me", &[]).await.json();
        assert_eq!((&me["agent"]["name"], &me["tenant"]["name"]), (&json!("ana"), &json!("acme")));
    }
    let made = world.post_as(&token, "/v1/tickets", &[], super::create().to_string()).await;
    assert_eq!(made.status, 201);
    // Push clients show it as they show any token, and are let go when it ends.
    let now = crate::http::auth::now();
    let principal = world.api.directory.authenticate_push(&token, now).unwrap();
    assert_eq!((principal.agent, principal.credential), (AgentId(1), Credential::Provider));
    assert!(world.api.directory.still_valid(&principal, now));
    assert!(!world.api.directory.still_valid(&principal, principal.expires_at.unwrap()));
    // It is an agent's, not a browser's session, and makes no token that lasts longer than itself.
    assert_eq!(world.get_as(&token, "/v1/session", &[]).await.code(), "needs_session");
    link(&world, &theirs.issuer, "u-18", 2).await;
    let bens = theirs.key().sign(&with(&theirs.claims(), "sub", json!("u-18")));
    let endless = world.post_as(&bens, "/v1/tokens", &[], r#"{"scopes":["agent"]}"#).await;
    assert_eq!(endless.code(), "bad_value");
}

#[tokio::test]
async fn tokens_for_others_and_other_times_are_not_taken() {
    let (world, theirs, provider) = furnished().await;
    provider.read().await.unwrap();
    let (key, good) = (theirs.key(), theirs.claims());
    let without = |name: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(name);
        claims
    };
    let taken = [
        with(&good, "aud", json!(["other", AUDIENCE])),
        // Clocks differ a little.
        with(&good, "exp", json!(now_s() - 20)),
        with(&good, "nbf", json!(now_s() + 20)),
        without("nbf"),
    ];
    for claims in taken {
        assert!(
            world.api.directory.authenticate(&key.sign(&claims), crate::http::auth::now()).is_ok(),
            "{claims}"
        );
    }
    let refused = [
        with(&good, "aud", json!("another-api")),
        with(&good, "aud", json!(["a", "b"])),
        with(&good, "aud", json!([])),
        without("aud"),
        with(&good, "iss", json!("https://evil.example")),
        with(&good, "iss", json!([theirs.issuer, "https://evil.example"])),
        without("iss"),
        with(&good, "exp", json!(now_s() - 60)),
        with(&good, "exp", json!("never")),
        with(&good, "exp", json!(-1)),
        without("exp"),
        with(&good, "nbf", json!(now_s() + 60)),
        with(&good, "sub", json!("u-18")),
        with(&good, "sub", json!(17)),
        with(&good, "sub", json!("x".repeat(300))),
        without("sub"),
    ];
    for claims in refused {
        let answer = world.get_as(&key.sign(&claims), "/v1/me", &[]).await;
        assert_eq!(answer.code(), "unauthorized", "{claims}");
    }
}

#[tokio::test]
async fn only_the_providers_own_key_and_algorithm_sign() {
    let (mut world, theirs, provider) = furnished().await;
    provider.read().await.unwrap();
    let told = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&told);
    Arc::get_mut(&mut world.api).unwrap().unauthorized = Box::new(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
    });
    let (key, good) = (theirs.key(), theirs.claims());
    let part = |value: &Value| base64url(value.to_string().as_bytes());
    let none =
        |algorithm: &str| format!("{}.{}.", part(&json!({"alg": algorithm, "kid": "first"})), part(&good));
    // The public key, in each form that somebody may take for a secret.
    let public = key.public();
    let point = public["x"].as_str().unwrap().to_owned() + public["y"].as_str().unwrap();
    let hmac = |secret: &[u8]| {
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some("first".to_owned());
        encode(&header, &good, &EncodingKey::from_secret(secret)).unwrap()
    };
    let signed = key.sign(&good);
    let (head, rest) = signed.split_once('.').unwrap();
    let (_, signature) = rest.split_once('.').unwrap();
    let own_key = Key::make("first");
    let not_guesses = [
        none("none"),
        none("None"),
        none("ES256"),
        hmac(public.to_string().as_bytes()),
        hmac(point.as_bytes()),
        key.sign_with(&good, |header| header.kid = Some("../first".to_owned())),
        key.sign_with(&good, |header| header.crit = Some(vec!["exp".to_owned()])),
        // A key that the token brings with it is not looked at.
        own_key.sign_with(&good, |header| {
            header.kid = Some("mine".to_owned());
            header.jwk = serde_json::from_value(own_key.public()).ok();
            header.jku = Some("https://evil.example/jwks".to_owned());
        }),
        "a.b.c".to_owned(),
        "..".to_owned(),
        key.sign(&with(&good, "padding", json!("x".repeat(9_000)))),
    ];
    for token in &not_guesses {
        assert_eq!(world.get_as(token, "/v1/me", &[]).await.code(), "unauthorized", "{token}");
    }
    let before = told.load(Ordering::SeqCst);
    // Forged ones: whoever shows them is told of to whom it is that denies sources.
    let forged =
        [own_key.sign(&good), format!("{head}.{}.{signature}", part(&with(&good, "sub", json!("u-1"))))];
    for token in &forged {
        assert_eq!(world.get_as(token, "/v1/me", &[]).await.code(), "unauthorized", "{token}");
    }
    assert_eq!(told.load(Ordering::SeqCst) - before, forged.len());
    assert_eq!(world.get_as(&signed, "/v1/me", &[]).await.status, 200);
}

#[tokio::test]
async fn a_key_that_the_provider_takes_back_signs_no_more() {
    let (world, theirs, provider) = furnished().await;
    provider.read().await.unwrap();
    let (old, new) = (theirs.key(), Key::make("second"));
    let (before, after) = (old.sign(&theirs.claims()), new.sign(&theirs.claims()));
    assert_eq!(world.get_as(&before, "/v1/me", &[]).await.status, 200);
    theirs.rotate(new);
    // The keys were read just now: an unknown one makes nobody ask again, whoever sends it how often.
    for _ in 0..3 {
        assert_eq!(world.get_as(&after, "/v1/me", &[]).await.code(), "unauthorized");
    }
    provider.read().await.unwrap();
    assert_eq!(world.get_as(&after, "/v1/me", &[]).await.status, 200);
    // What was verified by the old key is forgotten with it.
    assert_eq!(world.get_as(&before, "/v1/me", &[]).await.code(), "unauthorized");
}

#[tokio::test]
async fn an_address_counts_when_the_provider_has_verified_it() {
    let theirs = IdentityProvider::start().await;
    let mut settings = theirs.settings();
    settings.claim = "email".to_owned();
    let provider = Arc::new(Provider::new(settings).unwrap());
    let world = World::of(None, Some(Arc::clone(&provider))).await;
    provider.read().await.unwrap();
    link(&world, &theirs.issuer, "ana@example.com", 1).await;
    let (key, good) = (theirs.key(), with(&theirs.claims(), "email", json!("Ana@Example.com")));
    for (verified, status) in [(json!(true), 200), (json!("true"), 200), (json!(false), 401), (json!(1), 401)]
    {
        let token = key.sign(&with(&good, "email_verified", verified));
        assert_eq!(world.get_as(&token, "/v1/me", &[]).await.status, status);
    }
    assert_eq!(world.get_as(&key.sign(&good), "/v1/me", &[]).await.code(), "unauthorized");
}

#[tokio::test]
async fn the_provider_is_who_its_certificate_says() {
    let (theirs, certificate) = IdentityProvider::start_tls().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, certificate).unwrap();
    let stranger = Provider::new(theirs.settings()).unwrap();
    assert!(stranger.read().await.unwrap_err().to_string().contains("cannot be reached"));
    let mut settings = theirs.settings();
    settings.roots = Some(file);
    Provider::new(settings.clone()).unwrap().read().await.unwrap();
    // Metadata that name another issuer are another provider's.
    settings.issuer.push('/');
    let other = Provider::new(settings).unwrap().read().await.unwrap_err().to_string();
    assert!(other.contains("its issuer is"), "{other}");
    let mut missing = theirs.settings();
    missing.roots = Some(folder.path().join("none.pem"));
    assert!(Provider::new(missing).is_err());
}
