//! Tags, custom fields and the like; field-level merge; replies that come too late.

use http::StatusCode;
use serde_json::{Value, json};

use super::{Answer, World, create};

const COMMANDS: &str = "/v1/tickets/1/commands";

async fn define(world: &World, field: Value) -> Answer {
    world.post_as(&world.admin, "/v1/fields", &[], field.to_string()).await
}

async fn ask(world: &World, method: &str, path: &str, body: Value) -> Answer {
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", format!("Bearer {}", world.admin))
        .header("content-type", "application/json");
    world.send(request.body(body.to_string().into()).unwrap()).await
}

#[tokio::test]
async fn administrators_define_fields() {
    let world = World::new().await;
    let size =
        json!({"key": "size", "name": " Size ", "type": "choice", "choices": ["S", "M"], "default": "M"});
    assert_eq!(world.post("/v1/fields", size.clone()).await.code(), "needs_admin");
    let made = define(&world, size.clone()).await;
    assert_eq!((made.status, &made.json()["name"]), (StatusCode::CREATED, &json!("Size")));
    assert_eq!(define(&world, size).await.code(), "name_taken");
    for (field, code) in [
        (json!({"key": "x", "name": "X"}), "malformed"),
        (json!({"key": "x", "name": "X", "type": "colour"}), "malformed"),
        (json!({"key": "x", "name": "X", "type": "text", "wide": true}), "malformed"),
        (json!({"key": "X", "name": "X", "type": "text"}), "bad_field"),
        (json!({"key": "x", "name": "\u{200b}", "type": "text"}), "bad_field"),
        (json!({"key": "x", "name": "X", "type": "choice"}), "bad_field"),
    ] {
        assert_eq!(define(&world, field.clone()).await.code(), code, "{field}");
    }
    let path = "/v1/fields/size";
    let changed = ask(&world, "PATCH", path, json!({"choices": ["S", "M", "L"], "default": null})).await;
    assert_eq!(changed.json()["choices"], json!(["S", "M", "L"]));
    assert_eq!(
        ask(&world, "PATCH", path, json!({"type": "text", "choices": null})).await.code(),
        "bad_field"
    );
    assert_eq!(ask(&world, "PATCH", path, json!({"choices": []})).await.code(), "bad_field");
    assert_eq!(ask(&world, "PATCH", "/v1/fields/nope", json!({})).await.code(), "no_such_field");
    let listed = world.get("/v1/fields").await.json();
    let wanted = json!([{"key": "size", "name": "Size", "type": "choice", "choices": ["S", "M", "L"], "required": "never"}]);
    assert_eq!(listed["fields"], wanted);
    let theirs = world.get_as(&world.stranger, "/v1/fields", &[]).await.json();
    assert_eq!(theirs["fields"], json!([]), "another tenant's are none of this one's");
    assert_eq!(ask(&world, "DELETE", path, json!({})).await.status, StatusCode::NO_CONTENT);
    assert_eq!(ask(&world, "DELETE", path, json!({})).await.code(), "no_such_field");
    let audit = world.get_as(&world.admin, "/v1/audit?action=field.", &[]).await.json();
    let actions: Vec<&str> =
        audit["entries"].as_array().unwrap().iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["field.deleted", "field.changed", "field.created"]);
}

#[tokio::test]
async fn a_ticket_has_what_it_is_given() {
    let world = World::new().await;
    define(&world, json!({"key": "order_no", "name": "Order", "type": "text", "required": "at_create"}))
        .await;
    define(&world, json!({"key": "size", "name": "Size", "type": "number", "default": 3})).await;
    assert_eq!(world.post("/v1/tickets", create()).await.code(), "required_fields");
    let mut command = create();
    command["fields"] = json!({"order_no": "A17"});
    command["tags"] = json!({"refund": true});
    command["channel"] = json!("email");
    let made = world.post("/v1/tickets", command).await.json();
    assert_eq!(made["data"]["fields"], json!({"order_no": "A17", "size": 3}), "{made}");

    let set = json!({
        "type": "set", "expect": 1, "tags": {"vip": true, "refund": null}, "followers": {"2": true},
        "due_at": 1_790_000_000_000_u64, "fields": {"size": null}, "priority": "high",
    });
    let event = world.post(COMMANDS, set).await.json();
    assert_eq!(event["data"]["tags"], json!({"vip": true, "refund": null}));
    let ticket = world.get("/v1/tickets/1").await.json();
    assert_eq!(ticket["tags"], json!({"vip": true}));
    assert_eq!((&ticket["fields"], &ticket["followers"]), (&json!({"order_no": "A17"}), &json!({"2": true})));
    assert_eq!((&ticket["channel"], &ticket["due_at"]), (&json!("email"), &json!(1_790_000_000_000_u64)));
    assert_eq!(world.get("/v1/tickets").await.json()["tickets"][0]["tags"], json!({"vip": true}));
    for (members, code) in [
        (json!({"tags": ["vip"]}), "bad_value"),
        (json!({"fields": {"nope": 1}}), "unknown_field"),
        (json!({"fields": {"size": "big"}}), "bad_value"),
        (json!({"fields": {"order_no": null}}), "required_fields"),
        (json!({"followers": {"9": true}}), "no_such_agent"),
        (
            json!({"tags": (0..100).map(|n| (format!("t{n}"), json!(true))).collect::<serde_json::Map<_, _>>()}),
            "too_many_details",
        ),
    ] {
        let mut command = members;
        command["type"] = json!("set");
        command["expect"] = json!(2);
        assert_eq!(world.post(COMMANDS, command.clone()).await.code(), code, "{command}");
    }
    assert_eq!(world.get("/v1/tickets/1").await.header("etag"), "\"2\"", "nothing has changed");
}

#[tokio::test]
async fn a_ticket_is_solved_with_what_that_needs() {
    let world = World::new().await;
    define(&world, json!({"key": "cause", "name": "Cause", "type": "text", "required": "at_solve"})).await;
    world.create().await;
    for solve in [
        json!({"type": "move", "to": "solved", "expect": 1}),
        json!({"type": "reply", "text": "Done", "status": "solved"}),
    ] {
        let refused = world.post(COMMANDS, solve).await;
        assert_eq!(refused.code(), "required_fields");
        assert_eq!(refused.json()["fields"], json!(["cause"]));
    }
    let set = json!({"type": "set", "fields": {"cause": "worn out"}, "expect": 1});
    assert_eq!(world.post(COMMANDS, set).await.status, 200);
    let solved = world.post(COMMANDS, json!({"type": "reply", "text": "Done", "status": "solved"})).await;
    assert_eq!(solved.status, 200, "{:?}", solved.bytes);
    // What it was solved with stays while it is.
    let taken_out = json!({"type": "set", "fields": {"cause": null}, "expect": 3}).to_string();
    let refused = world.post_as(&world.ana, COMMANDS, &[], taken_out.clone()).await;
    assert_eq!((refused.code().as_str(), &refused.json()["fields"]), ("required_fields", &json!(["cause"])));
    assert_eq!(world.post(COMMANDS, json!({"type": "message", "text": "Again"})).await.status, 200);
    assert_eq!(
        world.post(COMMANDS, json!({"type": "set", "fields": {"cause": null}, "expect": 4})).await.status,
        200
    );
}

/// Solved by default, and closed without ever being solved.
fn direct() -> Value {
    json!({
        "statuses": [
            {"name": "triage", "category": "new"},
            {"name": "working", "category": "open"},
            {"name": "fixed", "category": "solved"},
            {"name": "done", "category": "closed"},
        ],
        "edges": [
            {"from": "triage", "to": "working"},
            {"from": "working", "to": "fixed"},
            {"from": "working", "to": "done"},
            {"from": "fixed", "to": "done"},
        ],
        "defaults": {
            "initial": "triage", "taken": "working", "message": "working", "reopen": "working", "reply": "fixed",
        },
        "from": {"default": {"new": "fixed", "open": "working", "pending": "working", "on_hold": "working",
            "solved": "fixed", "closed": "done"}},
    })
}

#[tokio::test]
async fn no_way_to_solved_or_closed_goes_past_what_solving_needs() {
    let world = World::new().await;
    assert_eq!(ask(&world, "PUT", "/v1/lifecycles/direct", direct()).await.status, StatusCode::CREATED);
    let given = ask(&world, "PUT", "/v1/queues/2/lifecycle", json!({"lifecycle": "direct"})).await;
    assert_eq!(given.status, 200, "{:?}", given.bytes);
    define(&world, json!({"key": "cause", "name": "Cause", "type": "text", "required": "at_solve"})).await;
    // One in each queue, and one that the others may be merged into.
    for queue in [1, 2, 1] {
        let mut new = super::create();
        new["queue"] = json!(queue);
        assert_eq!(world.post("/v1/tickets", new).await.status, StatusCode::CREATED);
    }
    let open = json!({"type": "move", "to": "working"}).to_string();
    let any = &[("if-match", "*")];
    assert_eq!(world.post_as(&world.admin, "/v1/tickets/2/commands", any, open).await.status, 200);
    for (ticket, command) in [
        (1, json!({"type": "move", "to": "solved"})),
        (1, json!({"type": "set", "queue": 2, "status": "fixed"})),
        (1, json!({"type": "set", "queue": 2, "status": "done"})),
        // New becomes fixed there.
        (1, json!({"type": "set", "queue": 2})),
        (2, json!({"type": "move", "to": "fixed"})),
        (2, json!({"type": "move", "to": "done"})),
        (2, json!({"type": "set", "queue": 2, "status": "fixed"})),
        (2, json!({"type": "reply", "text": "Done", "status": "fixed"})),
        // It is the default.
        (2, json!({"type": "reply", "text": "Done"})),
    ] {
        let path = format!("/v1/tickets/{ticket}/commands");
        let refused = world.post_as(&world.admin, &path, any, command.to_string()).await;
        assert_eq!(refused.code(), "required_fields", "{command}");
        let bulk = json!({"tickets": [ticket], "command": command});
        let many = world.post_as(&world.admin, "/v1/bulk", &[], bulk.to_string()).await.json();
        assert_eq!(many["results"][0]["error"]["code"], "required_fields", "{many}");
    }
    // What does not solve needs nothing, and the change may bring what is missing.
    let stays = json!({"type": "set", "queue": 2, "status": "working"}).to_string();
    assert_eq!(world.post_as(&world.admin, "/v1/tickets/1/commands", any, stays).await.status, 200);
    let brings =
        json!({"type": "set", "queue": 1, "status": "solved", "fields": {"cause": "worn out"}}).to_string();
    let solved = world.post_as(&world.admin, "/v1/tickets/1/commands", any, brings).await;
    assert_eq!(solved.status, 200, "{:?}", solved.bytes);
    // A ticket that another one goes on for is not solved.
    let merged = json!({"type": "merge", "into": 3}).to_string();
    let merged = world.post_as(&world.admin, "/v1/tickets/2/commands", any, merged).await;
    assert_eq!(merged.status, 200, "{:?}", merged.bytes);
}

#[tokio::test]
async fn changes_to_different_fields_go_through_and_to_the_same_do_not() {
    let world = World::new().await;
    world.create().await;
    let set = |members: Value| {
        let mut command = members;
        command["type"] = json!("set");
        command["expect"] = json!(1);
        let world = &world;
        async move { world.post(COMMANDS, command).await }
    };
    assert_eq!(set(json!({"priority": "high", "tags": {"a": true}})).await.status, 200);
    assert_eq!(set(json!({"subject": "Card", "tags": {"b": true}})).await.status, 200);
    assert_eq!(world.post(COMMANDS, json!({"type": "move", "to": "open", "expect": 1})).await.status, 200);
    let refused = set(json!({"subject": "Other", "priority": "low"})).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::CONFLICT, "field_conflict".to_owned()));
    let problem = refused.json();
    assert_eq!(
        (&problem["field"], &problem["theirs"], &problem["yours"]),
        (&json!("subject"), &json!("Card"), &json!("Other"))
    );
    assert_eq!(
        (&problem["by"], &problem["version"], &problem["current"]),
        (&json!("agent:1"), &json!(3), &json!(4))
    );
    let moved = world.post(COMMANDS, json!({"type": "move", "to": "pending", "expect": 1})).await;
    assert_eq!((moved.code().as_str(), &moved.json()["theirs"]), ("field_conflict", &json!("open")));
    // The header stays strict, whatever has changed.
    let strict = json!({"type": "set", "tags": {"c": true}}).to_string();
    let strict = world.post_as(&world.ana, COMMANDS, &[("if-match", "\"1\"")], strict).await;
    assert_eq!((strict.code().as_str(), &strict.json()["current"]), ("stale_version", &json!(4)));
    let both = json!({"type": "set", "tags": {"c": true}, "expect": 1}).to_string();
    let both = world.post_as(&world.ana, COMMANDS, &[("if-match", "\"1\"")], both).await;
    assert_eq!(both.code(), "stale_version");
    assert_eq!(
        world.post(COMMANDS, json!({"type": "note", "text": "x", "expect": 9})).await.code(),
        "stale_version"
    );
    let ticket = world.get("/v1/tickets/1").await.json();
    assert_eq!((&ticket["tags"], &ticket["priority"]), (&json!({"a": true, "b": true}), &json!("high")));
}

#[tokio::test]
async fn many_changes_of_different_fields_at_once_are_all_applied() {
    const AUTHORS: usize = 24;
    let world = World::new().await;
    world.create().await;
    let commands = (0..AUTHORS).map(|number| {
        let tags = json!({ format!("t{number}"): true });
        world.post(COMMANDS, json!({"type": "set", "tags": tags, "expect": 1}))
    });
    let answers = futures_util::future::join_all(commands).await;
    for answer in &answers {
        assert_eq!(answer.status, 200, "{:?}", answer.bytes);
    }
    let ticket = world.get("/v1/tickets/1").await.json();
    assert_eq!(ticket["tags"].as_object().unwrap().len(), AUTHORS);
    assert_eq!(ticket["version"], 1 + AUTHORS);
    // Of as many changes of one field, all but one are told what it is now.
    let expect = ticket["version"].clone();
    let commands = (0..AUTHORS)
        .map(|number| world.post(COMMANDS, json!({"type": "set", "due_at": number + 1, "expect": expect})));
    let answers = futures_util::future::join_all(commands).await;
    let (taken, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!((taken.len(), refused.len()), (1, AUTHORS - 1));
    for answer in refused {
        let problem = answer.json();
        assert_eq!(
            (answer.code().as_str(), &problem["theirs"]),
            ("field_conflict", &taken[0].json()["data"]["due_at"])
        );
    }
}

#[tokio::test]
async fn a_reply_is_held_where_something_was_said_since() {
    let world = World::new().await;
    world.create().await;
    let reply = |members: Value| {
        let mut command = members;
        command["type"] = json!("reply");
        command["text"] = json!("Yes.");
        let world = &world;
        async move { world.post(COMMANDS, command).await }
    };
    assert_eq!(
        world.post(COMMANDS, json!({"type": "set", "priority": "high", "expect": 1})).await.status,
        200
    );
    assert_eq!(reply(json!({"seen": 1})).await.status, 200, "nothing was said");
    let note = json!({"type": "note", "text": "wait"}).to_string();
    assert_eq!(world.post_as(&world.ben, COMMANDS, &[], note).await.status, 200);
    let held = reply(json!({"seen": 3})).await;
    assert_eq!((held.status, held.code()), (StatusCode::CONFLICT, "stale_reply".to_owned()));
    let newer = &held.json()["newer"];
    assert_eq!(
        (&newer["version"], &newer["kind"], &newer["actor"]),
        (&json!(4), &json!("note"), &json!("agent:2"))
    );
    assert_eq!(held.json()["current"], 4);
    assert_eq!(reply(json!({"seen": 3, "expect": 3})).await.code(), "stale_reply");
    assert_eq!(reply(json!({"seen": 9})).await.code(), "stale_version");
    assert_eq!(reply(json!({"seen": 3, "force": true})).await.status, 200);
    assert_eq!(reply(json!({"seen": 5})).await.status, 200);
    assert_eq!(reply(json!({})).await.status, 200, "whoever says nothing of it is not held");
}

#[tokio::test]
async fn a_claim_that_is_refused_tells_who_has_the_ticket() {
    let world = World::new().await;
    world.create().await;
    let claimed = world.post(COMMANDS, json!({"type": "claim"})).await.json();
    let claim = json!({"type": "claim"}).to_string();
    let refused = world.post_as(&world.ben, COMMANDS, &[], claim.clone()).await;
    assert_eq!(refused.code(), "already_claimed");
    let problem = refused.json();
    assert_eq!(problem["holder"], json!({"id": 1, "name": "ana"}));
    assert_eq!(problem["since"], claimed["at"]);
    assert!(problem["detail"].as_str().unwrap().contains("claimed by ana"), "{problem}");
}
