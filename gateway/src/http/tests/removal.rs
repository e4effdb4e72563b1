//! Tickets that are deleted and brought back.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Answer, World, create};
use crate::http::auth;

async fn ask_as(world: &World, token: &str, ticket: u64, command: Value) -> Answer {
    world.post_as(token, &format!("/v1/tickets/{ticket}/commands"), &[], command.to_string()).await
}

async fn found(world: &World, token: &str, path: &str) -> Vec<u64> {
    let page = world.get_as(token, path, &[]).await.json();
    let (list, of) = if path.contains("/search") { ("hits", "/ticket/id") } else { ("tickets", "/id") };
    let rows = page[list].as_array().unwrap_or_else(|| panic!("{path}: {page}"));
    rows.iter().map(|row| row.pointer(of).unwrap().as_u64().unwrap()).collect()
}

#[tokio::test]
async fn a_deleted_ticket_is_out_of_sight_and_comes_back_as_it_was() {
    let world = World::new().await;
    let (one, other) = (world.create().await, world.create().await);
    let claimed = ask_as(&world, &world.ana, one, json!({"type": "claim"})).await;
    assert_eq!(claimed.status, 200);
    let before = world.get("/v1/tickets/1").await.json();
    for (token, command, code) in [
        (&world.ana, json!({"type": "delete", "expect": 2}), "forbidden"),
        (&world.admin, json!({"type": "delete"}), "version_required"),
        (&world.admin, json!({"type": "delete", "expect": 1}), "stale_version"),
        (&world.admin, json!({"type": "delete", "expect": 2, "fence": 1}), "extra_field"),
        (&world.admin, json!({"type": "restore"}), "not_deleted"),
        (&world.ana, json!({"type": "restore"}), "forbidden"),
    ] {
        assert_eq!(ask_as(&world, token, one, command.clone()).await.code(), code, "{command}");
    }
    let deleted = ask_as(&world, &world.admin, one, json!({"type": "delete", "expect": 2})).await;
    let event = deleted.json();
    assert_eq!((deleted.status.as_u16(), &event["kind"]), (200, &json!("deleted")));
    assert_eq!(event["data"], json!({"deleted": true}));

    // Whoever may not delete: as if there were no such ticket.
    for path in ["", "/events", "/messages", "/attachments", "/draft", "/suggestions"] {
        let path = format!("/v1/tickets/1{path}");
        assert_eq!(world.get(&path).await.code(), "no_such_ticket", "{path}");
    }
    let follow_up = json!({"follow_up_of": one});
    let mut follow_up = [create(), follow_up].into_iter().fold(json!({}), |mut all, part| {
        all.as_object_mut().unwrap().extend(part.as_object().unwrap().clone());
        all
    });
    follow_up["type"] = json!("create");
    assert_eq!(world.post("/v1/tickets", follow_up).await.code(), "no_such_ticket");
    for command in [
        json!({"type": "note", "text": "x"}),
        json!({"type": "message", "text": "x"}),
        json!({"type": "set", "tags": {"x": true}, "expect": 3}),
        json!({"type": "restore"}),
        json!({"type": "delete", "expect": 3}),
        json!({"type": "link", "as": "related", "ticket": other}),
        json!({"type": "merge", "into": other, "expect": 3}),
        json!({"type": "split", "message": 1, "subject": "x"}),
        json!({"type": "label", "message": 1, "intent": "x"}),
        json!({"type": "label", "message": 9, "intent": "x"}),
        json!({"type": "reply", "text": "x", "suggestion": {"model": 99, "reply": 1}}),
    ] {
        let refused = ask_as(&world, &world.ana, one, command.clone()).await;
        assert_eq!(refused.code(), "no_such_ticket", "{command}");
        if command["type"] != "restore" {
            let refused = ask_as(&world, &world.admin, one, command.clone()).await;
            assert_eq!(refused.code(), "ticket_deleted", "{command}");
        }
    }
    for command in [
        json!({"type": "link", "as": "child", "ticket": one}),
        json!({"type": "merge", "into": one, "expect": 1}),
    ] {
        let refused = ask_as(&world, &world.ana, other, command.clone()).await;
        assert_eq!(refused.code(), "no_such_ticket", "{command}");
        assert_eq!(ask_as(&world, &world.admin, other, command.clone()).await.code(), "ticket_deleted");
    }
    for path in ["/v1/tickets", "/v1/tickets?query=assignee:ana", "/v1/search?q=card"] {
        assert!(!found(&world, &world.admin, path).await.contains(&one), "{path}");
    }
    assert!(found(&world, &world.ana, "/v1/tickets?query=is:deleted").await.is_empty());
    assert!(found(&world, &world.ana, "/v1/tickets?query=is:deleted%20OR%20id:1").await.is_empty());
    assert_eq!(found(&world, &world.admin, "/v1/tickets?query=is:deleted").await, [one]);
    let shown = world.get_as(&world.admin, "/v1/tickets/1", &[]).await.json();
    assert_eq!((&shown["deleted"], &shown["version"]), (&json!(true), &json!(3)));

    let restored = ask_as(&world, &world.admin, one, json!({"type": "restore"})).await;
    assert_eq!(restored.json()["data"], json!({"deleted": null}));
    let mut after = world.get("/v1/tickets/1").await.json();
    assert_eq!(after["version"], 4);
    for moved in ["version", "updated_at"] {
        after[moved] = before[moved].clone();
    }
    assert_eq!(after, before, "its holder has it again");
    assert_eq!(found(&world, &world.ana, "/v1/tickets").await, [other, one]);
    let audit = world.get_as(&world.admin, "/v1/audit?action=ticket.", &[]).await.json();
    let actions: Vec<_> =
        audit["entries"].as_array().unwrap().iter().map(|row| (&row["action"], &row["object"])).collect();
    let object = json!("ticket:1");
    assert_eq!(actions, [(&json!("ticket.restored"), &object), (&json!("ticket.deleted"), &object)]);
}

#[tokio::test]
async fn many_are_deleted_at_once_and_stay_so_over_a_start() {
    let world = World::new().await;
    for _ in 0..3 {
        world.create().await;
    }
    let bulk = json!({"tickets": [1, 3, 9], "command": {"type": "delete"}}).to_string();
    let answer = world.post_as(&world.admin, "/v1/bulk", &[], bulk.clone()).await.json();
    let results = answer["results"].as_array().unwrap();
    let told: Vec<_> =
        results.iter().map(|result| (&result["event"]["kind"], &result["error"]["code"])).collect();
    let none = json!(null);
    let kind = json!("deleted");
    assert_eq!(told, [(&kind, &none), (&kind, &none), (&none, &json!("no_such_ticket"))]);
    let refused = world.post_as(&world.ana, "/v1/bulk", &[], bulk.replace("[1,3,9]", "[2]")).await.json();
    assert_eq!(refused["results"][0]["error"]["code"], "forbidden");
    assert_eq!(found(&world, &world.ana, "/v1/tickets").await, [2]);
    // As a gateway that starts sees them: out of the log, with new cells.
    let store = std::sync::Arc::clone(&world.api.store);
    let directory = world.api.directory.clone();
    let nobody = std::sync::Arc::new(crate::find::Publishers(Vec::new()));
    let ledger = crate::ledger::Ledger::open(store, directory, nobody).await.unwrap();
    assert_eq!(
        ledger.queue_of(waggle_core::id::TenantId(1), waggle_core::id::TicketId(1)).await.unwrap(),
        None
    );
    let command = waggle_core::ticket::Request::parse(br#"{"type":"note","text":"x"}"#).unwrap();
    let authority = waggle_core::ticket::Authority {
        actor: waggle_core::ticket::Actor::Agent(waggle_core::id::AgentId(1)),
        rights: waggle_core::right::Rights::ALL,
    };
    let submission = crate::ledger::Submission {
        tenant: waggle_core::id::TenantId(1),
        authority,
        ticket: Some(waggle_core::id::TicketId(1)),
        request: command,
        key: None,
    };
    let refused = ledger.submit(submission).await.unwrap_err().to_string();
    assert!(refused.contains("deleted"), "{refused}");
}

#[tokio::test]
async fn tickets_are_of_requesters_that_there_are() {
    let world = World::new().await;
    world.create().await;
    let mut command = create();
    command["requester_id"] = json!(1);
    assert_eq!(world.post("/v1/tickets", command.clone()).await.code(), "no_such_requester");
    let set = json!({"type": "set", "expect": 1, "requester_id": 1});
    assert_eq!(ask_as(&world, &world.ana, 1, set.clone()).await.code(), "no_such_requester");
    let kim = world.post("/v1/requesters", json!({"name": "Kim"})).await;
    assert_eq!((kim.status.as_u16(), &kim.json()["id"]), (201, &json!(1)));
    assert_eq!(world.post("/v1/tickets", command).await.json()["data"]["requester_id"], 1);
    assert_eq!(ask_as(&world, &world.ana, 1, set).await.status, 200);
    let nobody = json!({"type": "set", "expect": 2, "requester_id": null});
    assert_eq!(ask_as(&world, &world.ana, 1, nobody).await.status, 200);
}

#[tokio::test]
async fn what_is_deleted_is_out_of_the_past_until_it_is_restored() {
    let world = World::new().await;
    let (one, other) = (world.create().await, world.create().await);
    // No two things are of one millisecond.
    let instant = async || {
        tokio::time::sleep(Duration::from_millis(3)).await;
        let at = auth::now().0;
        tokio::time::sleep(Duration::from_millis(3)).await;
        at
    };
    let before = instant().await;
    let deleted = ask_as(&world, &world.admin, one, json!({"type": "delete", "expect": 1})).await;
    assert_eq!(deleted.status, 200);
    let between = instant().await;
    let list = |at: u64| format!("/v1/tickets?at={at}");
    let gone = |at: u64| format!("/v1/tickets?query=is:deleted&at={at}");
    assert_eq!(found(&world, &world.ana, &list(before)).await, [other]);
    assert_eq!(found(&world, &world.admin, &gone(between)).await, [one]);
    assert_eq!(world.get(&format!("/v1/tickets/1?at={before}")).await.code(), "no_such_ticket");
    let restored = ask_as(&world, &world.admin, one, json!({"type": "restore"})).await;
    assert_eq!(restored.status, 200);
    assert_eq!(found(&world, &world.ana, &list(before)).await, [other, one]);
    assert_eq!(found(&world, &world.ana, &list(between)).await, [other]);
    assert_eq!(found(&world, &world.admin, &gone(between)).await, [one]);
    assert!(found(&world, &world.ana, &gone(between)).await.is_empty());
}
