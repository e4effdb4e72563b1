//! Logins and sessions, and what is done against them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use waggle_core::id::{AgentId, TenantId};
use waggle_core::limits::{LOGIN_FAILURES_MAX, LOGIN_SOURCE_FAILURES_MAX};

use super::{Answer, World};
use crate::auth::{Password, hash_password};
use crate::store::{AuditActor, AuditEntry, AuditFilter, Keep, PasswordKind, PasswordRow};

pub(super) const PASSWORD: &str = "correct horse battery";

/// A browser: it keeps cookies, and sends what browsers send.
pub(super) struct Browser {
    pub(super) address: [u8; 4],
    pub(super) session: String,
    pub(super) device: String,
    pub(super) csrf: String,
    /// What ties it to a login at an identity provider.
    pub(super) flow: String,
}

impl Browser {
    pub(super) fn at(last: u8) -> Self {
        Self {
            address: [203, 0, 113, last],
            session: String::new(),
            device: String::new(),
            csrf: String::new(),
            flow: String::new(),
        }
    }

    pub(super) async fn send(&mut self, world: &World, method: Method, path: &str, body: Value) -> Answer {
        let mut headers = vec![
            ("host", "desk.example".to_owned()),
            ("origin", "https://desk.example".to_owned()),
            ("sec-fetch-site", "same-origin".to_owned()),
            ("content-type", "application/json".to_owned()),
        ];
        if !self.csrf.is_empty() {
            headers.push(("x-csrf-token", self.csrf.clone()));
        }
        let answer = self.send_with(world, method, path, headers, body).await;
        if answer.status == 200
            && let Some(token) = answer.json()["csrf_token"].as_str()
        {
            token.clone_into(&mut self.csrf);
        }
        answer
    }

    pub(super) async fn send_with(
        &mut self,
        world: &World,
        method: Method,
        path: &str,
        headers: Vec<(&str, String)>,
        body: Value,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let cookies = [
            ("__Host-waggle", &self.session),
            ("__Host-waggle-device", &self.device),
            ("__Host-waggle-login", &self.flow),
        ];
        let cookies = cookies.iter().filter(|(_, value)| !value.is_empty());
        let cookies: Vec<String> = cookies.map(|(name, value)| format!("{name}={value}")).collect();
        if !cookies.is_empty() {
            request = request.header("cookie", cookies.join("; "));
        }
        let request = request.body(Full::new(body.to_string().into())).unwrap();
        let response = Arc::clone(&world.api).handle(request, SocketAddr::from((self.address, 1))).await;
        let (parts, body) = response.into_parts();
        self.keep_cookies(&parts.headers);
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status, headers: parts.headers, bytes }
    }

    fn keep_cookies(&mut self, headers: &HeaderMap) {
        for header in headers.get_all("set-cookie") {
            let (name, rest) = header.to_str().unwrap().split_once('=').unwrap();
            let value = rest.split(';').next().unwrap().to_owned();
            match name {
                "__Host-waggle" => self.session = value,
                "__Host-waggle-device" => self.device = value,
                "__Host-waggle-login" => self.flow = value,
                other => panic!("{other}"),
            }
        }
    }

    pub(super) async fn get(&mut self, world: &World, path: &str) -> Answer {
        self.send(world, Method::GET, path, Value::Null).await
    }

    pub(super) async fn post(&mut self, world: &World, path: &str, body: Value) -> Answer {
        self.send(world, Method::POST, path, body).await
    }

    pub(super) async fn log_in(&mut self, world: &World, name: &str, password: &str) -> Answer {
        self.post(world, "/v1/login", json!({"tenant": "acme", "name": name, "password": password})).await
    }
}

pub(super) async fn set_password(world: &World, agent: u32, kind: PasswordKind) {
    let hash = hash_password(&Password::new(PASSWORD.to_owned())).unwrap();
    let (tenant, agent) = (TenantId(1), AgentId(agent));
    let audit = AuditEntry::new(tenant, AuditActor::Operator, "password.reset", format!("agent:{agent}"));
    let row = PasswordRow { hash, kind };
    world.api.store.set_password(tenant, agent, row, Keep::Nothing, audit).await.unwrap();
}

/// The actions in a tenant's audit log, once `wanted` is among them so many times, oldest first.
async fn audited(world: &World, wanted: &str, times: usize) -> Vec<String> {
    loop {
        let rows = world.api.store.audit_rows(TenantId(1), &AuditFilter::default(), None, 200).await.unwrap();
        let actions: Vec<String> = rows.into_iter().rev().map(|row| row.action).collect();
        if actions.iter().filter(|action| *action == wanted).count() >= times {
            return actions;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_password_opens_a_session_that_ends_when_it_is_told_to() {
    let world = World::new().await;
    set_password(&world, 1, PasswordKind::Own).await;
    let mut browser = Browser::at(1);
    let answer = browser.log_in(&world, "ana", PASSWORD).await;
    assert_eq!(answer.status, 200, "{:?}", answer.bytes);
    assert_eq!((answer.json()["agent"].as_u64(), answer.json()["tenant"].as_u64()), (Some(1), Some(1)));
    for header in answer.headers.get_all("set-cookie") {
        let text = header.to_str().unwrap();
        for wanted in ["__Host-", "; Path=/;", "; Secure;", "; HttpOnly;", "; SameSite=Lax;", "; Max-Age="] {
            assert!(text.contains(wanted), "{text}");
        }
    }
    let me = browser.get(&world, "/v1/me").await.json();
    assert_eq!(me["agent"]["name"], "ana");
    let sessions = browser.get(&world, "/v1/sessions").await.json();
    assert_eq!(
        (sessions["sessions"][0]["current"].as_bool(), &sessions["sessions"][0]["method"]),
        (Some(true), &json!("password"))
    );
    // A session works on tickets like a token does.
    let made = browser.post(&world, "/v1/tickets", super::create()).await;
    assert_eq!(made.status, 201, "{:?}", made.bytes);

    let stolen = browser.session.clone();
    assert_eq!(browser.post(&world, "/v1/logout", json!({})).await.status, 204);
    assert!(browser.session.is_empty());
    browser.session = stolen;
    assert_eq!(browser.get(&world, "/v1/me").await.code(), "unauthorized");
    assert_eq!(audited(&world, "logout", 1).await, ["role.granted", "password.reset", "login.ok", "logout"]);
}

#[tokio::test]
async fn nobody_learns_what_was_wrong() {
    let world = World::new().await;
    set_password(&world, 1, PasswordKind::Own).await;
    let mut answers = Vec::new();
    // Ben has no password.
    for (tenant, name, password) in [
        ("acme", "ana", "wrong horse battery"),
        ("acme", "ben", PASSWORD),
        ("acme", "nobody", PASSWORD),
        ("nowhere", "ana", PASSWORD),
        ("acme", "ana", ""),
        ("acme", "ana", &"x".repeat(9_000)),
    ] {
        let body = json!({"tenant": tenant, "name": name, "password": password});
        let answer = Browser::at(1).post(&world, "/v1/login", body).await;
        assert_eq!(answer.code(), "login_failed", "{tenant} {name}");
        assert!(!answer.headers.contains_key("set-cookie"));
        answers.push(answer.json()["detail"].clone());
    }
    answers.dedup();
    assert_eq!(answers.len(), 1);
    for body in [json!({}), json!({"tenant": "acme", "name": "ana"}), json!(PASSWORD), json!({"password": 7})]
    {
        assert_eq!(Browser::at(1).post(&world, "/v1/login", body).await.code(), "malformed");
    }
}

/// Who does not exist takes as long as who does: as many passwords are compared with a hash of the same settings. Clocks
/// are not asked: other tests run beside this one.
#[tokio::test]
async fn an_unknown_account_takes_as_long_as_a_known_one() {
    let world = World::new().await;
    set_password(&world, 1, PasswordKind::Own).await;
    let compared = &world.api.auth.stats().compared;
    for (tenant, name) in [("acme", "ana"), ("acme", "ben"), ("acme", "nobody"), ("nowhere", "ana")] {
        let body = json!({"tenant": tenant, "name": name, "password": "wrong horse battery"});
        let before = compared.load(Ordering::SeqCst);
        assert_eq!(Browser::at(1).post(&world, "/v1/login", body).await.code(), "login_failed");
        assert_eq!(compared.load(Ordering::SeqCst) - before, 1, "{tenant} {name}");
    }
}

/// Whoever works here no more is not let in by what he has: not by his password, and not by a session.
#[tokio::test]
async fn a_deactivated_agent_is_nobody() {
    let world = World::new().await;
    set_password(&world, 1, PasswordKind::Own).await;
    let mut browser = Browser::at(1);
    assert_eq!(browser.log_in(&world, "ana", PASSWORD).await.status, 200);
    let deactivate = "UPDATE agent SET deactivated_at = 1 WHERE tenant = 1 AND id = 1";
    let url = format!("sqlite:{}", world.dir.path().join("db").display());
    let database = sqlx::SqlitePool::connect(&url).await.unwrap();
    sqlx::query(deactivate).execute(&database).await.unwrap();
    world.api.directory.refresh(world.api.store.as_ref()).await.unwrap();
    assert_eq!(browser.get(&world, "/v1/me").await.code(), "unauthorized");
    browser.csrf.clear();
    assert_eq!(browser.log_in(&world, "ana", PASSWORD).await.code(), "login_failed");
}

#[tokio::test]
async fn attackers_do_not_lock_an_agent_out_of_its_own_browser() {
    let world = World::new().await;
    set_password(&world, 1, PasswordKind::Own).await;
    let mut own = Browser::at(1);
    assert_eq!(own.log_in(&world, "ana", PASSWORD).await.status, 200);
    assert_eq!(own.post(&world, "/v1/logout", json!({})).await.status, 204);
    own.csrf.clear();
    // From as many addresses as attempts.
    for last in 0..LOGIN_FAILURES_MAX as u8 {
        let answer = Browser::at(100 + last).log_in(&world, "ana", "wrong horse battery").await;
        assert_eq!(answer.code(), "login_failed");
    }
    // A stranger is not let in now, not even with the right password, and is told when to come back.
    let answer = Browser::at(99).log_in(&world, "ana", PASSWORD).await;
    assert_eq!(answer.code(), "too_many_logins");
    let seconds: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=900).contains(&seconds), "{seconds}");
    // Other accounts are not concerned; nor is the browser that has logged in before.
    assert_eq!(Browser::at(99).log_in(&world, "ben", PASSWORD).await.code(), "login_failed");
    let device = own.device.clone();
    assert_eq!(own.log_in(&world, "ana", PASSWORD).await.status, 200);
    assert_eq!(own.device, device, "a known device is not made anew");
    // A device cookie of one account opens no door of another's; nor does one that nobody made.
    let mut thief = Browser { device, ..Browser::at(98) };
    for _ in 1..LOGIN_FAILURES_MAX {
        assert_eq!(thief.log_in(&world, "ben", "wrong horse battery").await.code(), "login_failed");
    }
    assert_eq!(thief.log_in(&world, "ben", "wrong horse battery").await.code(), "too_many_logins");
    // Once for each account, and not again for what was not tried.
    let actions = audited(&world, "login.locked", 2).await;
    assert_eq!(actions.iter().filter(|action| *action == "login.failed").count(), 10 + 10);
}

#[tokio::test]
async fn who_tries_on_and_on_is_told_to_whoever_denies_sources() {
    let mut world = World::new().await;
    let told = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&told);
    Arc::get_mut(&mut world.api).unwrap().unauthorized = Box::new(move |peer| {
        assert_eq!(peer.to_string(), "203.0.113.66");
        count.fetch_add(1, Ordering::SeqCst);
    });
    // Absurd passwords are not hashed, so that this test is quick; they count like all others.
    let absurd = "x".repeat(1_000);
    for index in 0..LOGIN_SOURCE_FAILURES_MAX {
        let answer = Browser::at(66).log_in(&world, &format!("agent{index}"), &absurd).await;
        assert_eq!(answer.code(), "login_failed");
    }
    assert_eq!(told.load(Ordering::SeqCst), 0);
    for _ in 0..3 {
        assert_eq!(Browser::at(66).log_in(&world, "another", &absurd).await.code(), "too_many_logins");
    }
    assert_eq!(told.load(Ordering::SeqCst), 3);
    assert_eq!(Browser::at(67).log_in(&world, "another", &absurd).await.code(), "login_failed");
}

#[tokio::test]
async fn a_secret_that_was_there_before_the_login_opens_nothing_after_it() {
    let world = World::new().await;
    set_password(&world, 1, PasswordKind::Own).await;
    let mut attacker = Browser::at(9);
    assert_eq!(attacker.log_in(&world, "ana", PASSWORD).await.status, 200);
    // The attacker plants the secret of its own session in the victim's browser.
    let planted = attacker.session.clone();
    let mut victim = Browser { session: planted.clone(), ..Browser::at(1) };
    assert_eq!(victim.log_in(&world, "ana", PASSWORD).await.status, 200);
    assert_ne!(victim.session, planted);
    assert_eq!(attacker.get(&world, "/v1/me").await.code(), "unauthorized");
    assert_eq!(victim.get(&world, "/v1/me").await.status, 200);
}

#[tokio::test]
async fn other_sites_do_nothing_with_a_session() {
    let world = World::new().await;
    set_password(&world, 1, PasswordKind::Own).await;
    let mut browser = Browser::at(1);
    browser.log_in(&world, "ana", PASSWORD).await;
    let csrf = browser.csrf.clone();
    let headers = |origin: &str, csrf: &str| {
        let mut headers = vec![
            ("host", "desk.example".to_owned()),
            ("content-type", "application/json".to_owned()),
            ("origin", origin.to_owned()),
        ];
        if !csrf.is_empty() {
            headers.push(("x-csrf-token", csrf.to_owned()));
        }
        headers
    };
    let own = "https://desk.example";
    for (path, body) in [
        ("/v1/tickets", super::create()),
        ("/v1/tickets/1/commands", json!({"type": "note", "text": "x"})),
        ("/v1/tokens", json!({"scopes": ["agent"]})),
        ("/v1/push/tokens", json!({})),
        ("/v1/password", json!({"password": PASSWORD, "new_password": "another horse entirely"})),
        ("/v1/logout", json!({})),
    ] {
        for (headers, code) in [
            (headers("https://evil.example", &csrf), "cross_site"),
            (headers(own, ""), "csrf_token"),
            (headers(own, "wrong"), "csrf_token"),
        ] {
            let answer = browser.send_with(&world, Method::POST, path, headers, body.clone()).await;
            assert_eq!(answer.code(), code, "{path}");
        }
    }
    let answer =
        browser.send_with(&world, Method::DELETE, "/v1/sessions/1", headers(own, ""), Value::Null).await;
    assert_eq!(answer.code(), "csrf_token");
    assert_eq!(browser.get(&world, "/v1/me").await.status, 200);
    // Nobody is logged in to somebody else's account by another site.
    let body = json!({"tenant": "acme", "name": "ana", "password": PASSWORD});
    let foreign = headers("https://evil.example", "");
    let answer = Browser::at(2).send_with(&world, Method::POST, "/v1/login", foreign, body).await;
    assert_eq!(answer.code(), "cross_site");
}

#[tokio::test]
async fn a_password_that_somebody_else_chose_opens_nothing_until_it_is_changed() {
    let world = World::new().await;
    let path = "/v1/agents/2/password";
    assert_eq!(world.post(path, json!({})).await.code(), "needs_admin");
    let answer = world.post_as(&world.admin, path, &[], "{}").await;
    let temporary = answer.json()["temporary_password"].as_str().unwrap().to_owned();
    let missing = world.post_as(&world.admin, "/v1/agents/99/password", &[], "{}").await;
    assert_eq!(missing.code(), "no_such_agent");

    let mut ben = Browser::at(2);
    assert_eq!(ben.log_in(&world, "ben", &temporary).await.code(), "password_change_required");
    let body =
        |new: &str| json!({"tenant": "acme", "name": "ben", "password": temporary, "new_password": new});
    assert_eq!(ben.post(&world, "/v1/login", body("short")).await.code(), "weak_password");
    assert_eq!(ben.post(&world, "/v1/login", body("battery staple horse")).await.status, 200);
    assert_eq!(ben.get(&world, "/v1/me").await.json()["agent"]["name"], "ben");
    assert_eq!(Browser::at(3).log_in(&world, "ben", &temporary).await.code(), "login_failed");
    // Reset again: the sessions that there were are over.
    world.post_as(&world.admin, path, &[], "{}").await;
    assert_eq!(ben.get(&world, "/v1/me").await.code(), "unauthorized");
}

#[tokio::test]
async fn a_changed_password_ends_all_other_sessions() {
    let world = World::new().await;
    set_password(&world, 1, PasswordKind::Own).await;
    let (mut here, mut there) = (Browser::at(1), Browser::at(2));
    here.log_in(&world, "ana", PASSWORD).await;
    there.log_in(&world, "ana", PASSWORD).await;
    let body = |old: &str, new: &str| json!({"password": old, "new_password": new});
    let wrong =
        here.post(&world, "/v1/password", body("wrong horse battery", "another horse entirely")).await;
    assert_eq!(wrong.code(), "login_failed");
    assert_eq!(here.post(&world, "/v1/password", body(PASSWORD, "ana")).await.code(), "weak_password");
    let changed = here.post(&world, "/v1/password", body(PASSWORD, "another horse entirely")).await;
    assert_eq!(changed.status, 204, "{:?}", changed.bytes);
    assert_eq!(here.get(&world, "/v1/me").await.status, 200);
    assert_eq!(there.get(&world, "/v1/me").await.code(), "unauthorized");
    assert_eq!(there.get(&world, "/v1/sessions").await.code(), "unauthorized");
    assert_eq!(Browser::at(3).log_in(&world, "ana", PASSWORD).await.code(), "login_failed");
}

#[tokio::test]
async fn one_ends_ones_own_sessions_and_no_others() {
    let world = World::new().await;
    set_password(&world, 1, PasswordKind::Own).await;
    set_password(&world, 2, PasswordKind::Own).await;
    let (mut here, mut there, mut ben) = (Browser::at(1), Browser::at(2), Browser::at(3));
    here.log_in(&world, "ana", PASSWORD).await;
    let number = there.log_in(&world, "ana", PASSWORD).await.json()["session"].as_u64().unwrap();
    ben.log_in(&world, "ben", PASSWORD).await;
    let path = format!("/v1/sessions/{number}");
    assert_eq!(ben.send(&world, Method::DELETE, &path, Value::Null).await.code(), "no_such_session");
    assert_eq!(here.send(&world, Method::DELETE, &path, Value::Null).await.status, 204);
    assert_eq!(there.get(&world, "/v1/me").await.code(), "unauthorized");
    assert_eq!(
        here.send(&world, Method::DELETE, "/v1/sessions/x", Value::Null).await.code(),
        "no_such_session"
    );
    assert_eq!(world.get("/v1/session").await.code(), "needs_session");
    // A session's secret is no token, and a token is no session.
    assert_eq!(world.get_as(&here.session, "/v1/me", &[]).await.code(), "unauthorized");
    here.session.clone_from(&world.ana);
    assert_eq!(here.get(&world, "/v1/me").await.code(), "unauthorized");
}

#[tokio::test]
async fn a_push_token_is_for_one_connection_of_one_session() {
    let world = World::new().await;
    set_password(&world, 1, PasswordKind::Own).await;
    let mut browser = Browser::at(1);
    browser.log_in(&world, "ana", PASSWORD).await;
    assert_eq!(world.post("/v1/push/tokens", json!({})).await.code(), "needs_session");
    let directory = &world.api.directory;
    let mut made = Vec::new();
    for _ in 0..3 {
        let answer = browser.post(&world, "/v1/push/tokens", json!({})).await.json();
        made.push(answer["token"].as_str().unwrap().to_owned());
    }
    let now = crate::http::auth::now();
    let principal = directory.authenticate_push(&made[0], now).unwrap();
    assert_eq!((principal.tenant, principal.agent), (TenantId(1), AgentId(1)));
    assert!(directory.authenticate_push(&made[0], now).is_err(), "used twice");
    assert!(directory.still_valid(&principal, now));
    // It is for push connections only, and for a minute.
    assert_eq!(world.get_as(&made[1], "/v1/me", &[]).await.code(), "unauthorized");
    let later = waggle_core::time::Timestamp(now.0 + 61_000);
    assert!(directory.authenticate_push(&made[1], later).is_err());
    browser.post(&world, "/v1/logout", json!({})).await;
    assert!(directory.authenticate_push(&made[2], now).is_err(), "its session has ended");
    assert!(!directory.still_valid(&principal, now), "the connection ends with its session");
}

#[tokio::test]
async fn sessions_end_when_they_are_not_used_or_their_time_is_over() {
    let world = World::new().await;
    set_password(&world, 1, PasswordKind::Own).await;
    let mut browser = Browser::at(1);
    browser.log_in(&world, "ana", PASSWORD).await;
    let at = |ms: u64| waggle_core::time::Timestamp(crate::http::auth::now().0 + ms);
    let directory = &world.api.directory;
    let show = |ms| directory.authenticate_session(&browser.session, at(ms)).is_ok();
    assert!(show(3_500_000));
    assert!(show(7_000_000), "it was used meanwhile");
    assert!(!show(11_000_000), "an hour without use");
    // What was used is written; what is over is ended.
    let seen = directory.unwritten(9);
    assert_eq!(seen.sessions.len(), 1);
    world.api.store.seen(&seen).await.unwrap();
    directory.written(&seen);
    assert!(directory.unwritten(9).sessions.is_empty());
    assert_eq!(world.api.store.end_old_sessions(at(7_000_000)).await.unwrap(), 0);
    assert_eq!(world.api.store.end_old_sessions(at(11_000_000)).await.unwrap(), 1);
    directory.refresh(world.api.store.as_ref()).await.unwrap();
    assert!(!show(0));
}
