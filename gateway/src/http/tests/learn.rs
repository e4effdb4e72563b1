//! What people tell the assistant, and the tenant itself.

use serde_json::{Value, json};
use waggle_core::id::{AgentId, Offset, TenantId, TicketId};
use waggle_core::right::Rights;
use waggle_core::ticket::{Actor, Authority, Command, Kind, Request};

use super::{Answer, World};
use crate::ledger::{Outcome, Submission, SubmitError};

const ACME: TenantId = TenantId(1);

impl World {
    /// A command of Ana's on ticket 1, past the HTTP API.
    async fn submit(&self, command: Value) -> Result<Outcome, SubmitError> {
        let text = command.to_string();
        let authority = Authority { actor: Actor::Agent(AgentId(1)), rights: Rights::AGENT };
        let request = Request::parse(text.as_bytes()).unwrap();
        let submission =
            Submission { tenant: ACME, authority, ticket: Some(TicketId(1)), request, key: None };
        self.ledger.submit(submission).await
    }
}

async fn ask(world: &World, command: Value) -> Answer {
    world.post("/v1/tickets/1/commands", command).await
}

#[tokio::test]
async fn feedback_and_labels_are_events_that_disturb_nobody() {
    let world = World::new().await;
    world.create().await;
    let label = ask(&world, json!({"type": "label", "message": 1, "intent": "card_lost"})).await;
    assert_eq!((label.status.as_u16(), &label.json()["kind"]), (200, &json!("labelled")));
    assert_eq!(label.json()["data"], json!({"message": 1, "intent": "card_lost"}));
    let none = ask(&world, json!({"type": "label", "message": 1, "intent": null})).await;
    assert_eq!(none.json()["data"], json!({"message": 1, "intent": null}));
    let feedback = json!({"type": "feedback", "message": 1, "reply": 7, "model": 1, "verdict": "rejected"});
    assert_eq!(ask(&world, feedback.clone()).await.code(), "unknown_suggestion");
    // The ledger alone takes it, and nothing is learned of it.
    let outcome = world.submit(feedback.clone()).await.unwrap();
    assert_eq!(outcome.entry.kind(), Some(Kind::Feedback));
    // Nobody wrote anything since.
    let reply = json!({"type": "reply", "text": "We send a new one.", "seen": 1, "macro": "card_lost",
        "suggestion": {"model": 1, "reply": 7}});
    let replied = ask(&world, reply.clone()).await;
    assert_eq!(replied.status, 200, "{:?}", replied.bytes);
    let data = replied.json()["data"].clone();
    assert_eq!((&data["suggestion"], &data["macro"]), (&reply["suggestion"], &json!("card_lost")));
    for (command, code) in [
        (json!({"type": "label", "message": 1}), "missing_field"),
        (json!({"type": "label", "message": 1, "intent": " "}), "blank_text"),
        (json!({"type": "label", "message": 1, "intent": "x".repeat(65)}), "text_too_long"),
        (json!({"type": "label", "message": 5, "intent": "x"}), "no_such_message"),
        (json!({"type": "label", "message": 0, "intent": "x"}), "no_such_message"),
        (json!({"type": "label", "message": 9, "intent": "x"}), "no_such_message"),
        (
            json!({"type": "feedback", "message": 1, "reply": 1, "model": 99, "verdict": "edited"}),
            "unknown_suggestion",
        ),
        (json!({"type": "feedback", "message": 1, "reply": 1, "model": 1, "verdict": "good"}), "malformed"),
        (json!({"type": "feedback", "message": 1, "reply": 1, "verdict": "edited"}), "missing_field"),
        (
            json!({"type": "reply", "text": "x", "suggestion": {"model": 99, "reply": 1}}),
            "unknown_suggestion",
        ),
        (json!({"type": "note", "text": "x", "macro": "y"}), "extra_field"),
    ] {
        assert_eq!(ask(&world, command.clone()).await.code(), code, "{command}");
    }
    let elsewhere = world.post("/v1/tickets/9/commands", feedback.clone()).await;
    assert_eq!(elsewhere.code(), "no_such_ticket", "whatever is said of the suggestion");
    let all = json!({"tickets": [1], "command": feedback});
    assert_eq!(world.post("/v1/bulk", all).await.code(), "bad_bulk");
}

#[tokio::test]
async fn a_digest_is_made_for_whoever_asks_for_it() {
    let world = World::new().await;
    world.create().await;
    let told = async |query: &str| world.get_as(&world.admin, &format!("/v1/learn{query}"), &[]).await;
    for (query, has_digest) in [("", false), ("?digest=false", false), ("?digest=true", true)] {
        assert_eq!(told(query).await.json()["digest"].is_string(), has_digest, "{query}");
    }
    assert_eq!(told("?digest=1").await.code(), "bad_query");
}

#[tokio::test]
async fn the_tenant_takes_teaching_from_its_administrators_and_is_no_ticket() {
    let world = World::new().await;
    let teach = async |teaching: &str, ticket: u64, actor: Actor, rights: Rights| {
        let command = Command::Teach { teaching };
        let submission = Submission {
            tenant: ACME,
            authority: Authority { actor, rights },
            ticket: Some(TicketId(ticket)),
            request: Request { command, expect: None, fence: None },
            key: None,
        };
        world.ledger.submit(submission).await
    };
    let text = r#"{"teach":"create","intent":"card_lost"}"#;
    let ana = Actor::Agent(AgentId(1));
    let ben = Actor::Agent(AgentId(2));
    for version in 1..3 {
        let outcome = teach(text, 0, ana, Rights::ALL).await.unwrap();
        let event: Value = serde_json::from_slice(&outcome.entry.json()).unwrap();
        assert_eq!((&event["ticket"], &event["version"]), (&json!(0), &json!(version)));
        assert_eq!(
            (&event["kind"], event["data"].to_string().as_str()),
            (&json!("taught"), r#"{"intent":"card_lost","teach":"create"}"#)
        );
    }
    assert!(matches!(teach(text, 0, ben, Rights::ALL).await, Err(SubmitError::Refused(_))));
    assert!(matches!(teach(text, 0, ana, Rights::AGENT).await, Err(SubmitError::Refused(_))));
    world.create().await;
    assert!(matches!(teach(text, 1, ana, Rights::ALL).await, Err(SubmitError::WrongTarget)));

    let keyed = async || {
        let body = json!({"teach": "create", "name": "refund"});
        post_teaching(&world, &[("idempotency-key", "k1")], body).await
    };
    let (first, again) = (keyed().await, keyed().await);
    assert_eq!((first.status.as_u16(), again.status.as_u16()), (200, 200), "{:?}", again.bytes);
    assert_eq!(first.bytes, again.bytes, "the same key is the same answer");

    let admin = async |command: Value| {
        world.post_as(&world.admin, "/v1/tickets/0/commands", &[("if-match", "*")], command.to_string()).await
    };
    assert_eq!(admin(json!({"type": "note", "text": "x"})).await.code(), "no_such_ticket");
    for path in ["", "/events", "/messages"] {
        assert_eq!(world.get(&format!("/v1/tickets/0{path}")).await.code(), "no_such_ticket");
    }
    let related = json!({"type": "link", "as": "related", "ticket": 0});
    assert_eq!(ask(&world, related).await.code(), "no_such_ticket");
    let merged = json!({"type": "merge", "into": 0, "expect": 1});
    assert_eq!(ask(&world, merged).await.code(), "no_such_ticket");
    let bulk = json!({"tickets": [0], "command": {"type": "note", "text": "x"}});
    assert_eq!(world.post("/v1/bulk", bulk).await.json()["results"][0]["error"]["code"], "no_such_ticket");
    let listed = world.get("/v1/tickets").await.json();
    assert_eq!(listed["tickets"].as_array().map(Vec::len), Some(1));
    assert_eq!(world.ledger.queue_of(ACME, TicketId::TENANT).await.unwrap(), None);
    assert_eq!(world.ledger.head(ACME).unwrap().offset, Offset(4));
}

/// Waits for the model where it is behind.
async fn post_teaching(world: &World, headers: &[(&str, &str)], body: Value) -> Answer {
    for _ in 0..60 {
        let answer = world.post_as(&world.admin, "/v1/learn", headers, body.to_string()).await;
        if answer.status != 503 {
            return answer;
        }
    }
    panic!("the model does not catch up: {body}");
}

#[tokio::test]
async fn teaching_is_checked_by_all_that_was_taught_before() {
    let world = World::new().await;
    let teach = async |body: Value| post_teaching(&world, &[], body).await;
    for _ in 0..10 {
        let create = teach(json!({"teach": "create", "name": "refund"})).await;
        let rename = teach(json!({"teach": "rename", "name": "refund", "to": "money"})).await;
        let again = teach(json!({"teach": "rename", "name": "refund", "to": "cash"})).await;
        let remove = teach(json!({"teach": "remove", "name": "money"})).await;
        let all = [&create, &rename, &again, &remove].map(|answer| answer.status.as_u16());
        assert_eq!(all, [200, 200, 422, 200]);
    }
}

#[tokio::test]
async fn feedback_on_a_deleted_ticket_is_answered_as_any_command() {
    let world = World::new().await;
    world.create().await;
    let delete = json!({"type": "delete", "expect": 1}).to_string();
    let deleted = world.post_as(&world.admin, "/v1/tickets/1/commands", &[], delete).await;
    assert_eq!(deleted.status, 200, "{:?}", deleted.bytes);
    let label = ask(&world, json!({"type": "label", "message": 1, "intent": "card_lost"})).await.code();
    let feedback = json!({"type": "feedback", "message": 1, "reply": 7, "model": 1, "verdict": "rejected"});
    assert_eq!(ask(&world, feedback).await.code(), label);
}
