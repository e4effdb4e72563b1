//! Tokens and tenants.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::Request;
use http_body_util::Full;
use serde_json::json;

use super::{World, create};

#[tokio::test]
async fn without_a_good_token_nothing_is_told() {
    let world = World::new().await;
    world.create().await;
    let long = format!("Bearer wgl_{}", "x".repeat(9_000));
    let headers = [
        None,
        Some("Bearer".to_owned()),
        Some("Bearer ".to_owned()),
        Some("Bearer wgl_wrong".to_owned()),
        Some(format!("Basic {}", world.ana)),
        Some(world.ana.clone()),
        Some(format!("Bearer {}x", world.ana)),
        Some(format!("Bearer {}", world.expired)),
        Some(long),
    ];
    let paths = [
        "/v1/tickets",
        "/v1/tickets/1",
        "/v1/tickets/1/messages",
        "/v1/tickets/1/events",
        "/v1/me",
        "/v1/queues",
        "/v1/agents",
    ];
    for header in headers {
        for path in paths {
            let mut request = Request::get(path);
            if let Some(header) = &header {
                request = request.header("authorization", header);
            }
            let answer = world.send(request.body(Full::default()).unwrap()).await;
            assert_eq!(answer.code(), "unauthorized", "{path} {header:?}");
            assert_eq!(answer.header("www-authenticate"), "Bearer");
        }
    }
    let twice = [("authorization", "Bearer x")];
    assert_eq!(world.get_as(&world.ana, "/v1/me", &twice).await.code(), "unauthorized");
    assert_eq!(
        world.post_as(&world.expired, "/v1/tickets", &[], create().to_string()).await.code(),
        "unauthorized"
    );
}

/// Any page makes a browser send requests without a token, and an agent whose token has ended tries on: neither
/// may have an office denied.
#[tokio::test]
async fn only_a_token_that_nobody_has_is_told_of() {
    let mut world = World::new().await;
    let told = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&told);
    Arc::get_mut(&mut world.api).unwrap().unauthorized = Box::new(move |peer| {
        assert!(peer.is_loopback());
        count.fetch_add(1, Ordering::SeqCst);
    });
    let rows = world.api.store.directory().await.unwrap();
    world.api.store.revoke_token(rows.tokens[1].tenant, rows.tokens[1].id).await.unwrap();
    world.api.directory.refresh(world.api.store.as_ref()).await.unwrap();
    let unknown = crate::directory::Token::make().unwrap().reveal().to_owned();
    let bearer = |token: &str| Some(format!("Bearer {token}"));
    for (header, is_told) in [
        (None, false),
        (Some("Bearer".to_owned()), false),
        (Some(format!("Basic {unknown}")), false),
        (bearer("wgl_wrong"), false),
        (bearer(&world.expired), false),
        (bearer(&world.ben), false),
        (bearer(&world.ana), false),
        (bearer(&unknown), true),
    ] {
        let mut request = Request::get("/v1/me");
        if let Some(header) = &header {
            request = request.header("authorization", header);
        }
        let before = told.load(Ordering::SeqCst);
        let answer = world.send(request.body(Full::default()).unwrap()).await;
        let is_good = header == bearer(&world.ana);
        assert_eq!(answer.status, if is_good { 200 } else { 401 }, "{header:?}");
        assert_eq!(told.load(Ordering::SeqCst) - before, usize::from(is_told), "{header:?}");
    }
}

#[tokio::test]
async fn a_revoked_token_ends_with_the_next_refresh() {
    let world = World::new().await;
    assert_eq!(world.get("/v1/me").await.status, 200);
    let rows = world.api.store.directory().await.unwrap();
    let first = &rows.tokens[0];
    world.api.store.revoke_token(first.tenant, first.id).await.unwrap();
    assert!(world.api.directory.refresh(world.api.store.as_ref()).await.unwrap());
    assert!(!world.api.directory.refresh(world.api.store.as_ref()).await.unwrap());
    assert_eq!(world.get("/v1/me").await.code(), "unauthorized");
}

#[tokio::test]
async fn another_tenants_tickets_look_like_missing_ones() {
    let world = World::new().await;
    world.create().await;
    for path in ["/v1/tickets/1", "/v1/tickets/1/messages", "/v1/tickets/1/events"] {
        let foreign = world.get_as(&world.stranger, path, &[]).await;
        let missing = world.get(&path.replace("/1", "/99")).await;
        assert_eq!(
            (foreign.code(), missing.code()),
            ("no_such_ticket".to_owned(), "no_such_ticket".to_owned())
        );
        let (foreign, missing) = (foreign.json(), missing.json());
        assert_eq!(
            foreign["detail"].as_str().unwrap().replace('1', "99"),
            missing["detail"].as_str().unwrap()
        );
    }
    let note = json!({"type": "note", "text": "x"}).to_string();
    let answer = world.post_as(&world.stranger, "/v1/tickets/1/commands", &[], note).await;
    assert_eq!(answer.code(), "no_such_ticket");
    let list = world.get_as(&world.stranger, "/v1/tickets", &[]).await.json();
    assert_eq!(list["tickets"], json!([]));
    // The first tenant's second queue does not exist in the other.
    let mut command = create();
    command["queue"] = json!(2);
    let answer = world.post_as(&world.stranger, "/v1/tickets", &[], command.to_string()).await;
    assert_eq!(answer.code(), "no_such_queue");
}

#[tokio::test]
async fn one_learns_who_one_is() {
    let world = World::new().await;
    world.create().await;
    let me = world.get("/v1/me").await.json();
    assert_eq!(me["tenant"], json!({"id": 1, "name": "acme"}));
    assert_eq!(me["agent"], json!({"id": 1, "name": "ana"}));
    assert_eq!((me["scope"].as_str(), me["expires_at"].is_null()), (Some("agent"), true));
    assert_eq!(me["cursor"]["offset"], 1);
    assert_eq!(world.get_as(&world.admin, "/v1/me", &[]).await.json()["scope"], "admin");
    assert_eq!(me["rights"].as_array().map(Vec::len), Some(10), "an agent's token leaves an agent's rights");
    let queues = world.get("/v1/queues").await.json();
    let queue =
        |place: usize| (queues["queues"][place]["id"].as_u64(), queues["queues"][place]["name"].as_str());
    assert_eq!((queue(0), queue(1)), ((Some(1), Some("support")), (Some(2), Some("billing"))));
    assert_eq!(queues["queues"][0]["rights"], me["rights"]);
    let agents = world.get_as(&world.stranger, "/v1/agents", &[]).await.json();
    assert_eq!(agents["agents"], json!([{"id": 1, "name": "zoe", "active": true}]));
}

#[tokio::test]
async fn who_is_there_is_told_within_the_tenant() {
    let world = World::new().await;
    let there = world.get("/v1/presence").await.json();
    let agents = json!([{"agent": 2, "state": "online"}, {"agent": 5, "state": "online"}]);
    assert_eq!(there, json!({"agents": agents}));
    assert_eq!(world.get_as(&world.stranger, "/v1/presence", &[]).await.json(), json!({"agents": []}));
    assert_eq!(world.get_as("x", "/v1/presence", &[]).await.code(), "unauthorized");
}
