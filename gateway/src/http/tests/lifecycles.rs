//! Lifecycles over HTTP.

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};

use super::{Answer, World, create};

impl World {
    async fn setting(&self, token: &str, method: Method, path: &str, body: &Value) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json");
        self.send(request.body(Full::new(Bytes::from(body.to_string()))).unwrap()).await
    }

    async fn put(&self, path: &str, body: &Value) -> Answer {
        self.setting(&self.admin, Method::PUT, path, body).await
    }
}

fn returns() -> Value {
    json!({
        "statuses": [
            {"name": "triage", "category": "new"},
            {"name": "working", "category": "open"},
            {"name": "done", "category": "closed"},
        ],
        "edges": [
            {"from": "triage", "to": "working"},
            {"from": "working", "to": "done", "right": "close", "guard": "reply"},
        ],
        "defaults": {"initial": "triage", "taken": "working", "message": "working", "reopen": "working"},
    })
}

#[tokio::test]
async fn a_lifecycle_is_saved_shown_given_and_deleted() {
    let world = World::new().await;
    let path = "/v1/lifecycles/returns";
    let saved = world.put(path, &returns()).await;
    assert_eq!(saved.status, StatusCode::CREATED, "{:?}", saved.bytes);
    assert_eq!(world.put(path, &returns()).await.status, StatusCode::OK);
    let shown = world.get(path).await.json();
    assert_eq!((&shown["name"], &shown["queues"]), (&json!("returns"), &json!([])));
    assert_eq!(shown["edges"], returns()["edges"]);
    let all = world.get("/v1/lifecycles").await.json();
    let names: Vec<&str> =
        all["lifecycles"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["default", "returns"]);
    // Another tenant has its own.
    assert_eq!(world.get_as(&world.stranger, path, &[]).await.code(), "no_such_lifecycle");

    let given = world.put("/v1/queues/2/lifecycle", &json!({"lifecycle": "returns"})).await;
    assert_eq!(given.status, StatusCode::OK, "{:?}", given.bytes);
    let mut new = create();
    new["queue"] = json!(2);
    assert_eq!(world.post("/v1/tickets", new).await.json()["data"]["status"], "triage");
    let ticket = world.get("/v1/tickets/1").await.json();
    assert_eq!((&ticket["status"], &ticket["category"]), (&json!("triage"), &json!("new")));
    let page = world.get("/v1/tickets?status=triage").await.json();
    assert_eq!(page["tickets"].as_array().unwrap().len(), 1);
    let refused = world.get("/v1/tickets?status=lost").await;
    assert!(refused.json()["detail"].as_str().unwrap().contains("done, new, on_hold, open"));

    let moved = |to: &'static str| {
        world.post_as(
            &world.ana,
            "/v1/tickets/1/commands",
            &[("if-match", "*")],
            json!({"type": "move", "to": to}).to_string(),
        )
    };
    let forbidden = moved("done").await;
    assert_eq!(forbidden.code(), "forbidden_edge");
    assert_eq!(forbidden.json()["allowed"], json!(["working"]));
    assert_eq!(moved("open").await.code(), "unknown_status");
    assert_eq!(moved("working").await.status, StatusCode::OK);
    assert_eq!(moved("done").await.code(), "guard_unmet");
    let crossing = json!({"type": "set", "queue": 1});
    let set =
        world.post_as(&world.ana, "/v1/tickets/1/commands", &[("if-match", "*")], crossing.to_string()).await;
    assert_eq!((set.code().as_str(), &set.json()["from"]), ("status_required", &json!("working")));
    let reply = json!({"type": "reply", "text": "done", "status": "done"});
    assert_eq!(world.post("/v1/tickets/1/commands", reply).await.status, StatusCode::OK);
    let in_use = world.setting(&world.admin, Method::DELETE, path, &json!({})).await;
    assert_eq!(in_use.code(), "lifecycle_in_use");
    let built_in = world.setting(&world.admin, Method::DELETE, "/v1/lifecycles/default", &json!({})).await;
    assert_eq!(built_in.code(), "lifecycle_in_use");
    world.put("/v1/lifecycles/spare", &returns()).await;
    let gone = world.setting(&world.admin, Method::DELETE, "/v1/lifecycles/spare", &json!({})).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    assert_eq!(world.get("/v1/lifecycles/spare").await.code(), "no_such_lifecycle");
}

#[tokio::test]
async fn what_is_wrong_is_told_whole_and_nothing_is_saved() {
    let world = World::new().await;
    let mut faulty = returns();
    faulty["statuses"][1]["category"] = json!("busy");
    faulty["edges"][0]["to"] = json!("lost");
    let refused = world.put("/v1/lifecycles/returns", &faulty).await;
    assert_eq!(refused.code(), "bad_lifecycle");
    let faults = refused.json()["faults"].as_array().unwrap().len();
    assert!(faults >= 4, "{:?}", refused.json());
    assert_eq!(world.get("/v1/lifecycles/returns").await.code(), "no_such_lifecycle");
    let mut checked = faulty.clone();
    checked["name"] = json!("returns");
    let checked = world.setting(&world.admin, Method::POST, "/v1/lifecycles/check", &checked).await;
    assert_eq!(
        (checked.status, checked.json()["faults"].as_array().unwrap().len()),
        (StatusCode::OK, faults)
    );
    let mut sound = returns();
    sound["name"] = json!("returns");
    let sound = world.setting(&world.admin, Method::POST, "/v1/lifecycles/check", &sound).await;
    assert_eq!(sound.json(), json!({"ok": true, "faults": []}));
}

#[tokio::test]
async fn only_administrators_change_lifecycles_and_bad_bodies_are_told() {
    let world = World::new().await;
    let path = "/v1/lifecycles/returns";
    for (method, path, body) in [
        (Method::PUT, path, returns()),
        (Method::DELETE, "/v1/lifecycles/default", json!({})),
        (Method::POST, "/v1/lifecycles/check", returns()),
        (Method::PUT, "/v1/queues/1/lifecycle", json!({"lifecycle": "default"})),
    ] {
        assert_eq!(world.setting(&world.ana, method.clone(), path, &body).await.code(), "needs_admin");
        assert_eq!(world.setting("wgl_x", method, path, &body).await.code(), "unauthorized");
    }
    let other_name = json!({"name": "other", "statuses": [], "edges": []});
    let extra = json!({"statuses": [], "edges": [], "colour": "red"});
    for (path, body, code) in [
        (path, json!([1]), "malformed"),
        (path, extra, "malformed"),
        (path, other_name, "malformed"),
        ("/v1/lifecycles/A%20b", returns(), "bad_lifecycle"),
        ("/v1/queues/9/lifecycle", json!({"lifecycle": "default"}), "no_such_queue"),
        ("/v1/queues/x/lifecycle", json!({"lifecycle": "default"}), "no_such_queue"),
        ("/v1/queues/1/lifecycle", json!({"lifecycle": "lost"}), "no_such_lifecycle"),
        ("/v1/queues/1/lifecycle", json!({}), "malformed"),
    ] {
        assert_eq!(world.put(path, &body).await.code(), code, "{path} {body}");
    }
}
