//! Agents whom texts name.

use serde_json::{Value, json};
use waggle_core::id::{AgentId, Offset, TenantId};
use waggle_core::name::Name;

use super::{Answer, World};
use crate::store::AuditActor;

async fn say(world: &World, command: Value) -> Answer {
    let answer = world.post("/v1/tickets/1/commands", command.clone()).await;
    assert_eq!(answer.status, 200, "{command}: {:?}", answer.bytes);
    answer
}

/// Agent 1 is ana, agent 2 ben; zed may see nothing.
#[tokio::test]
async fn whoever_is_named_follows_the_ticket() {
    let world = World::new().await;
    world.create().await;
    let (store, tenant) = (&world.api.store, TenantId(1));
    store.add_agent(AuditActor::Operator, tenant, &Name::parse("zed").unwrap(), None).await.unwrap();
    world.api.directory.refresh(store.as_ref()).await.unwrap();
    let blind = say(&world, json!({"type": "note", "text": "@zed, please"})).await.json();
    assert_eq!(blind["data"], json!({"text": "@zed, please"}), "he may not see it");

    let named =
        say(&world, json!({"type": "note", "text": "@BEN and kim@ben.example, @nobody", "expect": 1})).await;
    let data = &named.json()["data"];
    assert_eq!((&data["mentions"], &data["followers"]), (&json!({"2": true}), &json!({"2": true})));
    let again = say(&world, json!({"type": "reply", "text": "as @ben said"})).await.json();
    assert_eq!(
        (&again["data"]["mentions"], &again["data"]["followers"]),
        (&json!({"2": true}), &json!(null))
    );
    say(&world, json!({"type": "message", "text": "thank you"})).await;
    let left = say(&world, json!({"type": "set", "expect": 5, "followers": {"2": null}})).await;
    assert_eq!(left.json()["data"], json!({"followers": {"2": null}}));
    say(&world, json!({"type": "note", "text": "without him"})).await;

    let ticket = world.get("/v1/tickets/1").await.json();
    assert_eq!(ticket["followers"], json!(null));
    let messages = world.get("/v1/tickets/1/messages").await.json();
    assert_eq!(messages["messages"][2]["data"]["mentions"], json!({"2": true}));
    // Whom events concern, in memory and out of storage: what the push view `inbox` goes by.
    let memory = world.ledger.recent_after(tenant, Offset(0), 100).unwrap();
    let told: Vec<bool> = memory.iter().map(|entry| entry.followers.has(AgentId(2))).collect();
    assert_eq!(told, [false, false, true, true, true, true, false]);
    let stored = store.events_after(tenant, Offset(0), 100).await.unwrap();
    assert!(stored.iter().map(|event| &event.followers).eq(memory.iter().map(|entry| &entry.followers)));
}

#[tokio::test]
async fn tickets_are_found_by_who_was_named() {
    let world = World::new().await;
    world.create().await;
    say(&world, json!({"type": "note", "text": "for @ana"})).await;
    let found = world.get("/v1/tickets?query=follower:me").await.json();
    assert_eq!(found["count"], 1);
    // A gateway that starts knows whom to tell.
    let nobody = std::sync::Arc::new(crate::find::Publishers(Vec::new()));
    let store = std::sync::Arc::clone(&world.api.store);
    let ledger = crate::ledger::Ledger::open(store, world.api.directory.clone(), nobody).await.unwrap();
    let request = waggle_core::ticket::Request::parse(br#"{"type":"claim"}"#).unwrap();
    let actor = waggle_core::ticket::Actor::Agent(AgentId(1));
    let rights = waggle_core::right::Rights::ALL;
    let submission = crate::ledger::Submission {
        tenant: TenantId(1),
        authority: waggle_core::ticket::Authority { actor, rights },
        ticket: Some(waggle_core::id::TicketId(1)),
        request,
        key: None,
    };
    let claimed = ledger.submit(submission).await.unwrap();
    assert!(claimed.entry.followers.has(AgentId(1)));
}
