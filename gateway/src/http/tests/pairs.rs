//! Links, merges, splits, and one command on many tickets.

use serde_json::{Value, json};

use super::{Answer, World};

async fn ask(world: &World, ticket: u64, command: Value) -> Answer {
    world.post(&format!("/v1/tickets/{ticket}/commands"), command).await
}

async fn links(world: &World, ticket: u64) -> Value {
    world.get(&format!("/v1/tickets/{ticket}")).await.json()["links"].clone()
}

#[tokio::test]
async fn both_tickets_have_a_link() {
    let world = World::new().await;
    for _ in 0..3 {
        world.create().await;
    }
    let linked = ask(&world, 1, json!({"type": "link", "as": "parent", "ticket": 2})).await;
    assert_eq!((linked.status.as_u16(), &linked.json()["kind"]), (200, &json!("linked")));
    assert_eq!(
        (links(&world, 1).await, links(&world, 2).await),
        (json!({"parent:2": true}), json!({"child:1": true}))
    );
    let one = world.get("/v1/tickets/1/events").await.json()["events"][1].clone();
    let other = world.get("/v1/tickets/2/events").await.json()["events"][1].clone();
    assert_eq!(one["offset"].as_u64().unwrap() + 1, other["offset"].as_u64().unwrap(), "of one transaction");
    assert_eq!(ask(&world, 2, json!({"type": "link", "as": "child", "ticket": 3})).await.status, 200);
    for (ticket, command, code) in [
        (1, json!({"type": "link", "as": "parent", "ticket": 3}), "bad_parent"),
        (2, json!({"type": "link", "as": "parent", "ticket": 1}), "bad_parent"),
        (1, json!({"type": "link", "as": "child", "ticket": 2}), "bad_parent"),
        (1, json!({"type": "link", "as": "related", "ticket": 1}), "same_ticket"),
        (1, json!({"type": "link", "as": "related", "ticket": 9}), "no_such_ticket"),
        (1, json!({"type": "link", "as": "friend", "ticket": 2}), "unknown_link"),
        (1, json!({"type": "link", "as": "merged", "ticket": 2}), "unknown_link"),
        (1, json!({"type": "link", "ticket": 2}), "missing_field"),
        (1, json!({"type": "unlink", "as": "related", "ticket": 2, "into": 3}), "extra_field"),
        (1, json!({"type": "merge", "into": 1, "expect": 2}), "same_ticket"),
        (1, json!({"type": "merge", "into": 2}), "version_required"),
        (1, json!({"type": "split", "message": 2, "subject": "x"}), "no_such_message"),
        (1, json!({"type": "split", "message": 1, "subject": " "}), "blank_text"),
        (1, json!({"type": "split", "message": 1, "subject": "x", "queue": 9}), "no_such_queue"),
    ] {
        let answer = ask(&world, ticket, command.clone()).await;
        assert_eq!(answer.code(), code, "{command}");
    }
    assert_eq!(ask(&world, 2, json!({"type": "unlink", "as": "child", "ticket": 1})).await.status, 200);
    assert_eq!((links(&world, 1).await, links(&world, 2).await), (json!(null), json!({"child:3": true})));
    // Another tenant's tickets are not there.
    let theirs = json!({"type": "link", "as": "related", "ticket": 1}).to_string();
    let theirs = world.post_as(&world.stranger, "/v1/tickets/1/commands", &[], theirs).await;
    assert_eq!(theirs.code(), "no_such_ticket");
}

#[tokio::test]
async fn a_merged_ticket_is_closed_and_names_the_other() {
    let world = World::new().await;
    for _ in 0..3 {
        world.create().await;
    }
    let merged = ask(&world, 1, json!({"type": "merge", "into": 2, "expect": 1})).await;
    assert_eq!(merged.status.as_u16(), 200, "{:?}", merged.bytes);
    let event = merged.json();
    assert_eq!((&event["kind"], &event["data"]["merged_into"]), (&json!("merged"), &json!(2)));
    let ticket = world.get("/v1/tickets/1").await.json();
    assert_eq!((&ticket["status"], &ticket["merged_into"]), (&json!("closed"), &json!(2)));
    assert_eq!(links(&world, 2).await, json!({"merged:1": true}));
    let refused = ask(&world, 1, json!({"type": "reply", "text": "x"})).await;
    assert_eq!((refused.code().as_str(), &refused.json()["into"]), ("merged", &json!(2)));
    let opposite = ask(&world, 2, json!({"type": "merge", "into": 1, "expect": 2})).await;
    assert_eq!((opposite.code().as_str(), &opposite.json()["into"]), ("merged", &json!(2)));
    assert_eq!(ask(&world, 2, json!({"type": "note", "text": "goes on"})).await.status, 200);
}

#[tokio::test]
async fn of_two_opposite_merges_one_is_made() {
    let world = World::new().await;
    for round in 0..8 {
        let (one, other) = (world.create().await, world.create().await);
        let merge = |from: u64, into: u64| {
            let world = &world;
            async move { ask(world, from, json!({"type": "merge", "into": into, "expect": 1})).await }
        };
        let (first, second) = tokio::join!(merge(one, other), merge(other, one));
        let made = [&first, &second].into_iter().filter(|answer| answer.status == 200).count();
        assert_eq!(made, 1, "{round}: {:?} {:?}", first.bytes, second.bytes);
    }
}

#[tokio::test]
async fn a_message_becomes_a_ticket_of_its_own() {
    let world = World::new().await;
    world.create().await;
    let text = "And my \"other\" card,\n\u{1f41d}";
    assert_eq!(ask(&world, 1, json!({"type": "message", "text": text})).await.status, 200);
    let split =
        ask(&world, 1, json!({"type": "split", "message": 2, "subject": "Other card", "queue": 2})).await;
    assert_eq!(
        (split.status.as_u16(), split.header("location")),
        (201, "/v1/tickets/2"),
        "{:?}",
        split.bytes
    );
    let ticket = world.get("/v1/tickets/2").await.json();
    assert_eq!((&ticket["subject"], &ticket["requester"]), (&json!("Other card"), &json!("kim@example.com")));
    assert_eq!((&ticket["queue"], &ticket["split_from"]), (&json!(2), &json!({"ticket": 1, "version": 2})));
    assert_eq!(world.get("/v1/tickets/2/messages").await.json()["messages"][0]["data"]["text"], text);
    assert_eq!(
        (links(&world, 1).await, links(&world, 2).await),
        (json!({"related:2": true}), json!({"related:1": true}))
    );
}

#[tokio::test]
async fn one_command_on_many_tickets_has_a_result_for_each() {
    let world = World::new().await;
    for _ in 0..3 {
        world.create().await;
    }
    let close = json!({"type": "merge", "into": 3, "expect": 1});
    assert_eq!(ask(&world, 2, close).await.status, 200);
    let bulk =
        json!({"tickets": [3, 1, 2, 9], "command": {"type": "set", "tags": {"spam": true}}}).to_string();
    let post = |body: String| {
        let world = &world;
        async move { world.post_as(&world.ana, "/v1/bulk", &[("idempotency-key", "b")], body).await }
    };
    let answer = post(bulk.clone()).await;
    let results = answer.json()["results"].clone();
    assert_eq!(
        (&results[0]["ticket"], &results[0]["event"]["data"]["tags"]),
        (&json!(3), &json!({"spam": true}))
    );
    assert_eq!(results[1]["event"]["version"], 2);
    assert_eq!(
        (&results[2]["error"]["code"], &results[3]["error"]["code"]),
        (&json!("merged"), &json!("no_such_ticket"))
    );
    assert_eq!(post(bulk).await.json()["results"][1], results[1], "the same key has one effect");
    let many: Vec<u64> = (1..=1_001).collect();
    for (body, code) in [
        (json!({"tickets": [], "command": {"type": "claim"}}), "bad_bulk"),
        (json!({"tickets": many, "command": {"type": "claim"}}), "bad_bulk"),
        (json!({"tickets": [1, 1], "command": {"type": "claim"}}), "bad_bulk"),
        (json!({"tickets": [1], "command": {"type": "claim", "expect": 1}}), "bad_bulk"),
        (json!({"tickets": [1], "command": super::create()}), "bad_bulk"),
        (json!({"tickets": [1], "command": {"type": "dance"}}), "unknown_command"),
        (json!({"tickets": ["1"], "command": {"type": "claim"}}), "malformed"),
        (json!({"command": {"type": "claim"}}), "malformed"),
    ] {
        assert_eq!(
            world.post("/v1/bulk", body.clone()).await.code(),
            code,
            "{}",
            &body.to_string()[..60.min(body.to_string().len())]
        );
    }
}

#[tokio::test]
async fn both_tickets_need_the_right() {
    use waggle_core::id::{QueueId, TenantId};
    use waggle_core::name::Name;
    use waggle_core::right::{Right, Rights};

    use super::token;
    use crate::store::{AuditActor, Grantee, Scope};

    let world = World::new().await;
    world.create().await;
    let mut there = super::create();
    there["queue"] = json!(2);
    assert_eq!(world.post("/v1/tickets", there).await.status, 201);
    let (tenant, by) = (TenantId(1), AuditActor::Operator);
    let store = &world.api.store;
    let kai = store.add_agent(by, tenant, &Name::parse("kai").unwrap(), None).await.unwrap().id;
    let may: Rights = [Right::See, Right::Merge].into_iter().collect();
    let merges = store.add_role(by, tenant, &Name::parse("merges").unwrap(), may).await.unwrap().id;
    store.grant(by, tenant, merges, Grantee::Agent(kai), Some(QueueId(1))).await.unwrap();
    let text = token(store.as_ref(), tenant, kai, Scope::Agent, None).await;
    world.api.directory.refresh(store.as_ref()).await.unwrap();
    let ask = |ticket: u64, command: Value| {
        let (world, text) = (&world, &text);
        let path = format!("/v1/tickets/{ticket}/commands");
        async move { world.post_as(text, &path, &[], command.to_string()).await }
    };
    let to = |ticket: u64| json!({"type": "link", "as": "related", "ticket": ticket});
    assert_eq!(ask(1, to(2)).await.code(), "no_such_ticket");
    assert_eq!(ask(2, to(1)).await.code(), "no_such_ticket");
    assert_eq!(ask(1, json!({"type": "merge", "into": 2, "expect": 1})).await.code(), "no_such_ticket");
    let split = json!({"type": "split", "message": 1, "subject": "x", "queue": 2});
    assert_eq!(ask(1, split).await.code(), "no_such_queue");
    let sees = Rights::one(Right::See);
    let looks = store.add_role(by, tenant, &Name::parse("looks").unwrap(), sees).await.unwrap().id;
    store.grant(by, tenant, looks, Grantee::Agent(kai), Some(QueueId(2))).await.unwrap();
    world.api.directory.refresh(store.as_ref()).await.unwrap();
    let refused = ask(1, to(2)).await;
    assert_eq!((refused.code().as_str(), &refused.json()["right"]), ("forbidden", &json!("merge")));
    let split = json!({"type": "split", "message": 1, "subject": "x", "queue": 2});
    assert_eq!(ask(1, split).await.code(), "forbidden");
    assert_eq!(world.get("/v1/tickets/1").await.header("etag"), "\"1\"", "nothing has changed");
    assert_eq!(world.get("/v1/tickets/2").await.header("etag"), "\"1\"");
}
