//! API tokens by the API.

use http::{Method, Request};
use http_body_util::Full;
use serde_json::{Value, json};

use super::{Answer, World, create};

async fn delete(world: &World, token: &str, path: &str) -> Answer {
    let request = Request::builder().method(Method::DELETE).uri(path);
    world
        .send(request.header("authorization", format!("Bearer {token}")).body(Full::default()).unwrap())
        .await
}

async fn make(world: &World, token: &str, body: Value) -> Answer {
    world.post_as(token, "/v1/tokens", &[], body.to_string()).await
}

#[tokio::test]
async fn agents_make_list_and_revoke_their_own_tokens() {
    let world = World::new().await;
    let made = make(&world, &world.ana, json!({"name": "import", "scopes": ["agent"]})).await;
    assert_eq!(made.status, 201, "{:?}", made.bytes);
    let (id, text) = (made.json()["id"].as_u64().unwrap(), made.json()["token"].as_str().unwrap().to_owned());
    assert_eq!(made.header("location"), format!("/v1/tokens/{id}"));
    assert_eq!(world.get_as(&text, "/v1/me", &[]).await.json()["agent"]["name"], "ana");

    let list = world.get("/v1/tokens").await;
    assert!(!String::from_utf8_lossy(&list.bytes).contains(&text));
    let list = list.json();
    let row = list["tokens"].as_array().unwrap().iter().find(|row| row["id"] == id).unwrap().clone();
    assert_eq!((&row["name"], &row["scopes"]), (&json!("import"), &json!(["agent"])));
    assert!(row["seen_at"].as_u64().unwrap() > 0 && row["expires_at"].is_null());
    let own = list["tokens"].as_array().unwrap();
    assert!(own.iter().all(|row| row["agent"] == 1));
    let all = world.get_as(&world.admin, "/v1/tokens", &[]).await.json();
    assert!(all["tokens"].as_array().unwrap().len() > own.len());

    let path = format!("/v1/tokens/{id}");
    for (token, code) in [(&world.ben, "no_such_token"), (&world.stranger, "no_such_token")] {
        assert_eq!(delete(&world, token, &path).await.code(), code);
    }
    assert_eq!(delete(&world, &world.ana, &path).await.status, 204);
    assert_eq!(world.get_as(&text, "/v1/me", &[]).await.code(), "unauthorized");
    assert_eq!(delete(&world, &world.ana, &path).await.code(), "no_such_token");
    let audit = world.get_as(&world.admin, "/v1/audit?action=token.", &[]).await.json();
    let actions: Vec<&str> =
        audit["entries"].as_array().unwrap().iter().map(|row| row["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["token.revoked", "token.created"]);
    assert!(!audit.to_string().contains(&text));
}

#[tokio::test]
async fn a_token_allows_no_more_than_what_it_was_made_with() {
    let world = World::new().await;
    for (body, code) in [
        (json!({"scopes": ["admin"]}), "needs_admin"),
        (json!({"scopes": ["agent"], "agent": 2}), "needs_admin"),
        (json!({"scopes": []}), "malformed"),
        (json!({"scopes": ["root"]}), "malformed"),
        (json!({"scopes": ["agent"], "expires_at": 1}), "bad_value"),
        (json!({"scopes": ["agent"], "name": "a\nb"}), "bad_value"),
        (json!({"scopes": ["agent"], "name": "x".repeat(129)}), "bad_value"),
        (json!({"scopes": ["agent"], "colour": "red"}), "malformed"),
        (json!({}), "malformed"),
    ] {
        assert_eq!(make(&world, &world.ana, body.clone()).await.code(), code, "{body}");
    }
    let bens = make(&world, &world.admin, json!({"scopes": ["agent"], "agent": 2})).await.json();
    let me = world.get_as(bens["token"].as_str().unwrap(), "/v1/me", &[]).await.json();
    assert_eq!(me["agent"]["name"], "ben");
    let nobodys = make(&world, &world.admin, json!({"scopes": ["agent"], "agent": 9})).await;
    assert_eq!(nobodys.code(), "no_such_agent");
    // What ends makes nothing that lasts longer.
    let end = crate::http::auth::now().0 + 60_000;
    let short = make(&world, &world.ana, json!({"scopes": ["agent"], "expires_at": end})).await.json();
    let short = short["token"].as_str().unwrap();
    assert_eq!(make(&world, short, json!({"scopes": ["agent"]})).await.code(), "bad_value");
    let same = make(&world, short, json!({"scopes": ["agent"], "expires_at": end})).await;
    assert_eq!(same.status, 201, "{:?}", same.bytes);
}

#[tokio::test]
async fn a_token_that_reads_changes_nothing() {
    let world = World::new().await;
    world.create().await;
    let made = make(&world, &world.ana, json!({"scopes": ["read"]})).await.json();
    let reader = made["token"].as_str().unwrap();
    for path in ["/v1/tickets", "/v1/tickets/1", "/v1/me", "/v1/tokens"] {
        assert_eq!(world.get_as(reader, path, &[]).await.status, 200, "{path}");
    }
    assert_eq!(world.get_as(reader, "/v1/me", &[]).await.json()["scope"], "read");
    assert_eq!(world.get_as(reader, "/v1/audit", &[]).await.code(), "needs_admin");
    let note = json!({"type": "note", "text": "x"}).to_string();
    for (path, body) in [
        ("/v1/tickets", create().to_string()),
        ("/v1/tickets/1/commands", note),
        ("/v1/tokens", json!({"scopes": ["agent"]}).to_string()),
        ("/v1/password", "{}".to_owned()),
    ] {
        assert_eq!(world.post_as(reader, path, &[], body).await.code(), "read_only", "{path}");
    }
    let path = format!("/v1/tokens/{}", made["id"]);
    assert_eq!(delete(&world, reader, &path).await.code(), "read_only");
}
