//! Logins at an identity provider, and what is done against them.

use std::sync::Arc;

use serde_json::{Value, json};
use waggle_core::id::TenantId;

use super::identity_provider::IdentityProvider;
use super::jwt::link;
use super::login::Browser;
use super::{Answer, World};
use crate::auth::{Provider, ProviderSettings, Strangers};
use crate::store::AuditFilter;

async fn furnished(change: impl FnOnce(&mut ProviderSettings)) -> (World, IdentityProvider) {
    let theirs = IdentityProvider::start().await;
    let mut settings = theirs.settings();
    change(&mut settings);
    let provider = Arc::new(Provider::new(settings).unwrap());
    provider.read().await.unwrap();
    (World::of(None, Some(provider)).await, theirs)
}

/// Sends a browser to the provider; gives the page that it sees there.
async fn begin(world: &World, browser: &mut Browser) -> String {
    let answer = browser.get(world, "/v1/login/oidc?return=/tickets/17").await;
    assert_eq!(answer.status, 302, "{:?}", answer.bytes);
    assert_eq!(answer.header("cache-control"), "no-store");
    answer.header("location").to_owned()
}

async fn come_back(world: &World, browser: &mut Browser, code: &str, state: &str) -> Answer {
    browser.get(world, &format!("/v1/login/oidc/callback?code={code}&state={state}&session_state=x")).await
}

/// All of it, with an ID token that says this.
async fn log_in(world: &World, theirs: &IdentityProvider, browser: &mut Browser, claims: Value) -> Answer {
    let page = begin(world, browser).await;
    let (code, state) = theirs.authorize(&page, &claims);
    come_back(world, browser, &code, &state).await
}

#[tokio::test]
async fn the_provider_lets_its_agents_in() {
    let (world, theirs) = furnished(|_| {}).await;
    link(&world, &theirs.issuer, "u-17", 1).await;
    let mut browser = Browser::at(1);
    let answer = log_in(&world, &theirs, &mut browser, json!({})).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("location")),
        (303, "/tickets/17"),
        "{:?}",
        answer.bytes
    );
    assert_eq!(answer.header("referrer-policy"), "no-referrer");
    assert!(browser.flow.is_empty(), "its cookie is taken away");
    assert_eq!(browser.get(&world, "/v1/me").await.json()["agent"]["name"], "ana");
    let session = browser.get(&world, "/v1/session").await;
    assert_eq!(session.status, 200);
    let sessions = browser.get(&world, "/v1/sessions").await.json();
    assert_eq!(sessions["sessions"][0]["method"], "oidc");
    assert_eq!(browser.post(&world, "/v1/logout", json!({})).await.status, 204);
    let rows = world.api.store.audit_rows(TenantId(1), &AuditFilter::default(), None, 9).await.unwrap();
    let actions: Vec<&str> = rows.iter().map(|row| row.action.as_str()).collect();
    assert_eq!(actions, ["logout", "login.ok", "identity.linked", "role.granted"]);
    assert!(rows[1].detail.contains(r#""method":"oidc""#));
}

#[tokio::test]
async fn a_login_is_finished_once_by_the_browser_that_began_it() {
    let (world, theirs) = furnished(|_| {}).await;
    link(&world, &theirs.issuer, "u-17", 1).await;
    let mut victim = Browser::at(1);
    let page = begin(&world, &mut victim).await;
    let (code, state) = theirs.authorize(&page, &json!({}));
    let cookie = victim.flow.clone();
    assert_eq!(come_back(&world, &mut victim, &code, &state).await.status, 303);
    // The same address again, with the same cookie.
    victim.flow = cookie;
    assert_eq!(come_back(&world, &mut victim, &code, &state).await.code(), "login_flow");
    let (code, _) = theirs.authorize(&page, &json!({}));
    assert_eq!(come_back(&world, &mut victim, &code, &state).await.code(), "login_flow");

    // An attacker's own code in the victim's browser would log it in as the attacker: the state is not the victim's.
    let mut attacker = Browser::at(9);
    let page = begin(&world, &mut attacker).await;
    let (code, state) = theirs.authorize(&page, &json!({}));
    let mut victim = Browser::at(2);
    assert_eq!(come_back(&world, &mut victim, &code, &state).await.code(), "login_flow");
    begin(&world, &mut victim).await;
    assert_eq!(come_back(&world, &mut victim, &code, &state).await.code(), "login_flow");
    assert_eq!(come_back(&world, &mut victim, "x", "wgf_unknown").await.code(), "login_flow");
    assert!(victim.session.is_empty());
}

#[tokio::test]
async fn a_code_or_token_of_another_login_is_not_taken() {
    let (world, theirs) = furnished(|_| {}).await;
    link(&world, &theirs.issuer, "u-17", 1).await;
    // A code that was stolen from another login: its challenge is not that of this one.
    let mut thief = Browser::at(9);
    let stolen = theirs.authorize(&begin(&world, &mut Browser::at(1)).await, &json!({})).0;
    let (_, state) = theirs.authorize(&begin(&world, &mut thief).await, &json!({}));
    assert_eq!(come_back(&world, &mut thief, &stolen, &state).await.code(), "provider_unavailable");
    for claims in [
        json!({"nonce": "another"}),
        json!({"nonce": null}),
        json!({"aud": "another-client"}),
        json!({"aud": ["waggle", "other"], "azp": "other"}),
        json!({"iss": "https://evil.example"}),
        json!({"exp": 1}),
    ] {
        let answer = log_in(&world, &theirs, &mut thief, claims.clone()).await;
        assert_eq!(answer.code(), "provider_unavailable", "{claims}");
    }
    assert!(thief.session.is_empty());
    // One of several providers that says it is another (mix-up): its code goes nowhere.
    let (code, state) = theirs.authorize(&begin(&world, &mut thief).await, &json!({}));
    let path = format!("/v1/login/oidc/callback?code={code}&state={state}&iss=https%3A%2F%2Fevil.example");
    assert_eq!(thief.get(&world, &path).await.code(), "login_flow");
}

#[tokio::test]
async fn refusals_and_nonsense_are_answered_clearly() {
    let (world, theirs) = furnished(|_| {}).await;
    let mut browser = Browser::at(1);
    let (_, state) = theirs.authorize(&begin(&world, &mut browser).await, &json!({}));
    let path = format!("/v1/login/oidc/callback?error=access_denied%3Cscript%3E&state={state}");
    let refused = browser.get(&world, &path).await;
    assert_eq!(refused.code(), "login_failed");
    assert_eq!(refused.json()["detail"], "the identity provider refuses: access_deniedscript");
    for (path, code) in [
        ("/v1/login/oidc/callback", "bad_query"),
        ("/v1/login/oidc/callback?state=x", "bad_query"),
        ("/v1/login/oidc/callback?state=x&state=y&code=z", "bad_query"),
        ("/v1/login/oidc?return=//evil.example", "bad_query"),
        ("/v1/login/oidc?return=https://evil.example", "bad_query"),
        ("/v1/login/oidc?colour=red", "bad_query"),
    ] {
        assert_eq!(browser.get(&world, path).await.code(), code, "{path}");
    }
    let without = World::new().await;
    assert_eq!(browser.get(&without, "/v1/login/oidc").await.code(), "no_provider");
    let silent = Provider::new(theirs.settings()).unwrap();
    let world = World::of(None, Some(Arc::new(silent))).await;
    assert_eq!(browser.get(&world, "/v1/login/oidc").await.code(), "provider_unavailable");
}

#[tokio::test]
async fn strangers_become_agents_only_where_that_is_configured() {
    let (world, theirs) = furnished(|_| {}).await;
    let kim = json!({"sub": "u-99", "preferred_username": "kim"});
    let mut browser = Browser::at(1);
    assert_eq!(log_in(&world, &theirs, &mut browser, kim.clone()).await.code(), "login_failed");
    assert!(browser.session.is_empty());

    let provisions = |settings: &mut ProviderSettings| {
        settings.login.as_mut().unwrap().strangers = Strangers::Provisioned;
    };
    let (world, theirs) = furnished(provisions).await;
    assert_eq!(log_in(&world, &theirs, &mut browser, kim.clone()).await.status, 303);
    let me = browser.get(&world, "/v1/me").await.json();
    assert_eq!((&me["agent"]["name"], &me["scope"]), (&json!("kim"), &json!("agent")));
    // The same one again; and nobody takes an agent's place by its name.
    assert_eq!(log_in(&world, &theirs, &mut Browser::at(2), kim).await.status, 303);
    let impostor = json!({"sub": "u-100", "preferred_username": "ana"});
    let mut browser = Browser::at(3);
    assert_eq!(log_in(&world, &theirs, &mut browser, impostor).await.code(), "login_failed");
    assert!(browser.session.is_empty());
    let agents = world.get("/v1/agents").await.json();
    assert_eq!(agents["agents"].as_array().unwrap().len(), 3);
}
