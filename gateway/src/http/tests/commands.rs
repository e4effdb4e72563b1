//! Commands over HTTP.

use http::StatusCode;
use serde_json::{Value, json};

use super::{World, create};

#[tokio::test]
async fn a_ticket_is_made_and_read_back() {
    let world = World::new().await;
    let made = world.post("/v1/tickets", create()).await;
    assert_eq!((made.status, made.header("location")), (StatusCode::CREATED, "/v1/tickets/1"));
    assert_eq!((made.header("etag"), made.header("content-type")), ("\"1\"", "application/json"));
    let event = made.json();
    assert_eq!((event["type"].as_str(), event["kind"].as_str()), (Some("event"), Some("created")));
    assert_eq!((event["actor"].as_str(), event["offset"].as_u64()), (Some("agent:1"), Some(1)));

    let ticket = world.get("/v1/tickets/1").await;
    assert_eq!((ticket.status, ticket.header("etag")), (StatusCode::OK, "\"1\""));
    let ticket = ticket.json();
    assert_eq!(ticket["subject"], "Lost card");
    assert_eq!((ticket["status"].as_str(), ticket["assignee"].is_null()), (Some("new"), true));
    let events = world.get("/v1/tickets/1/events").await.json();
    assert_eq!(events["events"], json!([event]), "the answer is the event itself");
}

#[tokio::test]
async fn what_is_no_command_is_refused_with_its_code() {
    let world = World::new().await;
    world.create().await;
    let long = "x".repeat(64 * 1024 + 1);
    let with = |field: &str, value: Value| {
        let mut command = create();
        command[field] = value;
        command.to_string()
    };
    let without = |field: &str| {
        let mut command = create();
        command.as_object_mut().unwrap().remove(field);
        command.to_string()
    };
    let creates = [
        ("".to_owned(), "malformed"),
        ("{".to_owned(), "malformed"),
        ("[]".to_owned(), "malformed"),
        ("17".to_owned(), "malformed"),
        (format!("{} x", create()), "malformed"),
        (with("colour", json!("red")), "malformed"),
        (with("queue", json!("1")), "malformed"),
        (with("queue", json!(-1)), "malformed"),
        (with("subject", json!(17)), "malformed"),
        (with("priority", json!("soon")), "malformed"),
        (with("text", json!("a\u{0}b")), "malformed"),
        (r#"{"type":"create","type":"create"}"#.to_owned(), "malformed"),
        (with("type", json!("destroy")), "unknown_command"),
        (without("text"), "missing_field"),
        (without("queue"), "missing_field"),
        (with("fence", json!(1)), "extra_field"),
        (with("expect", json!(1)), "extra_field"),
        (with("text", json!(long)), "text_too_long"),
        (with("subject", json!("s".repeat(513))), "text_too_long"),
        (with("subject", json!(" \n\u{a0}")), "blank_text"),
        (with("queue", json!(9)), "no_such_queue"),
        (with("follow_up_of", json!(9)), "no_such_ticket"),
        (with("follow_up_of", json!(1)), "not_closed"),
        (r#"{"type":"claim"}"#.to_owned(), "wrong_target"),
    ];
    for (body, code) in creates {
        let answer = world.post_as(&world.ana, "/v1/tickets", &[], body.clone()).await;
        assert_eq!(answer.code(), code, "{}", body.chars().take(200).collect::<String>());
    }
    let commands = [
        (create(), "wrong_target"),
        (json!({"type": "move", "to": "done", "expect": 1}), "unknown_status"),
        (json!({"type": "reply", "text": "x", "status": "done"}), "unknown_status"),
        (json!({"type": "set", "expect": 1}), "nothing_to_set"),
        (json!({"type": "set", "seen": 1, "priority": "low", "expect": 1}), "extra_field"),
        (json!({"type": "set", "queue": 9, "expect": 1}), "no_such_queue"),
        (json!({"type": "assign", "agent": 9, "expect": 1}), "no_such_agent"),
    ];
    for (body, code) in commands {
        assert_eq!(world.post("/v1/tickets/1/commands", body.clone()).await.code(), code, "{body}");
    }
    assert_eq!(world.get("/v1/tickets/1").await.header("etag"), "\"1\"", "nothing has changed");
}

#[tokio::test]
async fn bad_utf8_and_oversized_bodies_are_refused() {
    let world = World::new().await;
    let mut bytes = create().to_string().into_bytes();
    let at = bytes.iter().position(|byte| *byte == b'M').unwrap();
    bytes[at] = 0xff;
    assert_eq!(world.post_as(&world.ana, "/v1/tickets", &[], bytes).await.code(), "malformed");
    let body = vec![b' '; 96 * 1024 + 1];
    let answer = world.post_as(&world.ana, "/v1/tickets", &[], body).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (413, "command_too_large".to_owned()));
}

#[tokio::test]
async fn only_json_as_it_is_is_taken() {
    let world = World::new().await;
    for (headers, wanted) in [
        (&[("content-type", "text/plain")][..], 415),
        (&[][..], 415),
        (&[("content-type", "application/json"), ("content-encoding", "gzip")][..], 415),
        (&[("content-type", "application/jsonp")][..], 415),
        (&[("content-type", "Application/JSON; charset=utf-8")][..], 201),
    ] {
        let mut request =
            http::Request::post("/v1/tickets").header("authorization", format!("Bearer {}", world.ana));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = world.send(request.body(create().to_string().into()).unwrap()).await;
        assert_eq!(answer.status.as_u16(), wanted, "{headers:?}");
        if wanted == 415 {
            assert_eq!(answer.code(), "unsupported_media_type");
        }
    }
}

#[tokio::test]
async fn whoever_overwrites_says_what_he_saw() {
    let world = World::new().await;
    world.create().await;
    let path = "/v1/tickets/1/commands";
    let to = |status: &str| json!({"type": "move", "to": status}).to_string();
    let with = |if_match: &'static str, body: String| {
        let world = &world;
        async move { world.post_as(&world.ana, path, &[("if-match", if_match)], body).await }
    };
    for body in [
        to("open"),
        json!({"type": "set", "priority": "high"}).to_string(),
        json!({"type": "assign", "agent": 2}).to_string(),
    ] {
        let answer = world.post_as(&world.ana, path, &[], body).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (428, "version_required".to_owned()));
    }
    for bad in ["1", "W/\"1\"", "\"1\", \"2\"", "\"one\"", "\"0\""] {
        assert_eq!(with(bad, to("open")).await.code(), "bad_if_match", "{bad}");
    }
    let both = json!({"type": "move", "to": "open", "expect": 2}).to_string();
    assert_eq!(with("\"1\"", both.clone()).await.code(), "version_conflict");
    assert_eq!(with("*", both).await.code(), "version_conflict");

    let stale = with("\"7\"", to("open")).await;
    assert_eq!((stale.status.as_u16(), stale.code()), (412, "stale_version".to_owned()));
    assert_eq!(stale.json()["current"], 1);
    let moved = with("\"1\"", to("open")).await;
    assert_eq!((moved.status.as_u16(), moved.header("etag")), (200, "\"2\""));
    assert_eq!(with("*", to("pending")).await.status, 200);
    assert_eq!(world.post(path, json!({"type": "move", "to": "open", "expect": 3})).await.status, 200);
    // A note overwrites nothing, and may still say what its author saw.
    assert_eq!(world.post(path, json!({"type": "note", "text": "x"})).await.status, 200);
    let note = json!({"type": "note", "text": "x"}).to_string();
    assert_eq!(with("\"1\"", note).await.code(), "stale_version");
    let create = world.post_as(&world.ana, "/v1/tickets", &[("if-match", "*")], create().to_string()).await;
    assert_eq!(create.code(), "bad_if_match");
}

#[tokio::test]
async fn edges_and_claims_are_the_lifecycles() {
    let world = World::new().await;
    world.create().await;
    let path = "/v1/tickets/1/commands";
    let refused = world.post(path, json!({"type": "move", "to": "closed", "expect": 1})).await;
    assert_eq!(refused.code(), "forbidden_edge");
    assert_eq!(refused.json()["allowed"], json!(["open", "pending", "on_hold", "solved"]));
    assert_eq!(world.post(path, json!({"type": "release"})).await.code(), "not_claimed");

    let claimed = world.post(path, json!({"type": "claim"})).await.json();
    assert_eq!((claimed["data"]["agent"].as_u64(), claimed["data"]["fence"].as_u64()), (Some(1), Some(1)));
    let as_ben = |body: Value| {
        let world = &world;
        async move { world.post_as(&world.ben, path, &[], body.to_string()).await }
    };
    assert_eq!(as_ben(json!({"type": "claim"})).await.code(), "already_claimed");
    assert_eq!(as_ben(json!({"type": "reply", "text": "x"})).await.code(), "fence_required");
    assert_eq!(as_ben(json!({"type": "reply", "text": "x", "fence": 1})).await.code(), "not_holder");
    let stale = as_ben(json!({"type": "reply", "text": "x", "fence": 7})).await;
    assert_eq!((stale.code().as_str(), stale.json()["current"].as_u64()), ("stale_fence", Some(1)));
    assert_eq!(world.post(path, json!({"type": "reply", "text": "x", "fence": 1})).await.status, 200);

    // An administrator needs no fence.
    let solve = json!({"type": "move", "to": "solved"}).to_string();
    let solved = world.post_as(&world.admin, path, &[("if-match", "*")], solve).await;
    assert_eq!(solved.status, 200, "{:?}", solved.bytes);
    let close = json!({"type": "move", "to": "closed"}).to_string();
    assert_eq!(world.post_as(&world.admin, path, &[("if-match", "*")], close).await.status, 200);
    assert_eq!(as_ben(json!({"type": "message", "text": "again"})).await.code(), "ticket_closed");
    let mut follow_up = create();
    follow_up["follow_up_of"] = json!(1);
    assert_eq!(world.post("/v1/tickets", follow_up).await.status, 201);
    assert_eq!(world.get("/v1/tickets/2").await.json()["follow_up_of"], 1);
}

#[tokio::test]
async fn a_key_has_one_effect_and_one_answer() {
    let world = World::new().await;
    let body = create().to_string();
    let ask = |key: &'static str, body: String| {
        let world = &world;
        async move { world.post_as(&world.ana, "/v1/tickets", &[("idempotency-key", key)], body).await }
    };
    let first = ask("order-1", body.clone()).await;
    let again = ask("order-1", body.clone()).await;
    assert_eq!((first.status, &first.bytes), (again.status, &again.bytes));
    assert_eq!((first.header("idempotency-replayed"), again.header("idempotency-replayed")), ("", "true"));
    let mut other = create();
    other["subject"] = json!("Another");
    assert_eq!(ask("order-1", other.to_string()).await.code(), "idempotency_mismatch");
    assert_eq!(ask("order-2", body.clone()).await.json()["ticket"], 2);
    // Callers do not share keys.
    let bens =
        world.post_as(&world.ben, "/v1/tickets", &[("idempotency-key", "order-1")], body.clone()).await;
    assert_eq!(bens.json()["ticket"], 3);
    let claim = json!({"type": "claim"}).to_string();
    let path = "/v1/tickets/1/commands";
    let claimed = world.post_as(&world.ana, path, &[("idempotency-key", "c")], claim.clone()).await;
    let replayed = world.post_as(&world.ana, path, &[("idempotency-key", "c")], claim).await;
    assert_eq!((claimed.status, &claimed.bytes), (replayed.status, &replayed.bytes));

    let long: &'static str = "k".repeat(129).leak();
    for bad in ["", "two words", long, "caf\u{e9}"] {
        assert_eq!(ask(bad, body.clone()).await.code(), "bad_idempotency_key", "{bad}");
    }
    let two = [("idempotency-key", "a"), ("idempotency-key", "b")];
    assert_eq!(world.post_as(&world.ana, "/v1/tickets", &two, body).await.code(), "bad_idempotency_key");
}
