//! Drafts.

use http::StatusCode;
use serde_json::{Value, json};

use super::{Answer, World};

async fn ask(world: &World, token: &str, method: &str, path: &str, body: &Value) -> Answer {
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json");
    world.send(request.body(body.to_string().into()).unwrap()).await
}

#[tokio::test]
async fn a_draft_stays_whatever_becomes_of_its_ticket() {
    let world = World::new().await;
    world.create().await;
    let path = "/v1/tickets/1/draft";
    assert_eq!(world.get(path).await.code(), "no_such_draft");
    let draft = json!({"as": "reply", "text": "Dear Kim,\n", "seen": 1});
    for text in ["x", "Dear Kim,\n"] {
        let body = json!({"as": "reply", "text": text, "seen": 1});
        assert_eq!(ask(&world, &world.ana, "PUT", path, &body).await.status, StatusCode::NO_CONTENT);
    }
    let note = json!({"type": "note", "text": "x"}).to_string();
    world.post_as(&world.ben, "/v1/tickets/1/commands", &[], note).await;
    let kept = world.get(path).await.json();
    assert_eq!((&kept["as"], &kept["text"], &kept["seen"]), (&draft["as"], &draft["text"], &draft["seen"]));
    assert_eq!(world.get_as(&world.ben, path, &[]).await.code(), "no_such_draft", "it is ana's");
    assert_eq!(world.get_as(&world.stranger, path, &[]).await.code(), "no_such_ticket");
    assert_eq!(world.get("/v1/drafts").await.json()["drafts"][0]["ticket"], 1);

    let commands = "/v1/tickets/1/commands";
    let reply = json!({"type": "reply", "text": "Dear Kim,", "seen": 1});
    let discard = format!("{commands}?draft=discard");
    assert_eq!(world.post(&discard, reply.clone()).await.code(), "stale_reply");
    assert_eq!(world.get(path).await.status, 200, "nothing was sent");
    assert_eq!(world.post(&format!("{commands}?draft=keep"), reply).await.code(), "bad_query");
    assert_eq!(world.post(commands, json!({"type": "reply", "text": "a"})).await.status, 200);
    assert_eq!(world.get(path).await.status, 200, "it was not told to go");
    assert_eq!(world.post(&discard, json!({"type": "reply", "text": "b"})).await.status, 200);
    assert_eq!(world.get(path).await.code(), "no_such_draft");
    assert_eq!(ask(&world, &world.ana, "DELETE", path, &json!({})).await.code(), "no_such_draft");
}

#[tokio::test]
async fn what_is_no_draft_is_refused() {
    let world = World::new().await;
    world.create().await;
    for (body, code) in [
        (json!({"as": "mail", "text": "x"}), "malformed"),
        (json!({"as": "note"}), "malformed"),
        (json!({"as": "note", "text": 1}), "malformed"),
        (json!({"as": "note", "text": "x", "colour": "red"}), "malformed"),
        (json!({"as": "note", "text": "x".repeat(64 * 1024 + 1)}), "text_too_long"),
        (json!({"as": "note", "text": "x".repeat(96 * 1024)}), "command_too_large"),
    ] {
        let answer = ask(&world, &world.ana, "PUT", "/v1/tickets/1/draft", &body).await;
        assert_eq!(answer.code(), code);
    }
    let body = json!({"as": "note", "text": "x"});
    assert_eq!(ask(&world, &world.ana, "PUT", "/v1/tickets/9/draft", &body).await.code(), "no_such_ticket");
}

#[tokio::test]
async fn an_agent_has_a_bounded_number_of_drafts() {
    use waggle_core::id::{AgentId, TenantId, TicketId};
    use waggle_core::limits::DRAFTS_PER_AGENT_MAX;
    use waggle_core::time::Timestamp;

    let world = World::new().await;
    world.create().await;
    let row = |ticket: usize| crate::store::DraftRow {
        ticket: TicketId(ticket as u64),
        at: Timestamp(1),
        body: json!({"as": "note", "text": "x"}).to_string(),
    };
    for ticket in 2..=DRAFTS_PER_AGENT_MAX {
        world.api.store.keep_draft(TenantId(1), AgentId(1), &row(ticket)).await.unwrap();
    }
    let body = json!({"as": "note", "text": "x"});
    let path = "/v1/tickets/1/draft";
    assert_eq!(ask(&world, &world.ana, "PUT", path, &body).await.status, 204, "the last one");
    assert_eq!(ask(&world, &world.ana, "PUT", path, &body).await.status, 204, "in place of itself");
    world.create().await;
    ask(&world, &world.ana, "DELETE", path, &body).await;
    world.api.store.keep_draft(TenantId(1), AgentId(1), &row(DRAFTS_PER_AGENT_MAX + 1)).await.unwrap();
    assert_eq!(ask(&world, &world.ana, "PUT", path, &body).await.code(), "limit_reached");
}
