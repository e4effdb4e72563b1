//! Queries, orders and pages over the index.

use serde_json::{Value, json};

use super::{World, create};

fn ids(page: &Value) -> Vec<u64> {
    page["tickets"].as_array().unwrap().iter().map(|ticket| ticket["id"].as_u64().unwrap()).collect()
}

/// A query in a path.
fn path(query: &str) -> String {
    let escaped: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
    format!("/v1/tickets?query={escaped}")
}

#[tokio::test]
async fn queries_see_what_was_just_done() {
    let world = World::new().await;
    for priority in ["low", "urgent", "normal"] {
        let mut ticket = create();
        ticket["priority"] = json!(priority);
        world.post("/v1/tickets", ticket).await;
    }
    let mut billing = create();
    (billing["queue"], billing["requester"]) = (json!(2), json!("Lee@Example.com"));
    world.post("/v1/tickets", billing).await;
    world.post("/v1/tickets/2/commands", json!({"type": "claim"})).await;
    for (query, wanted) in [
        ("", vec![4, 3, 2, 1]),
        ("queue:billing", vec![4]),
        ("queue:1 -assignee:me", vec![3, 1]),
        ("status:open OR priority:low", vec![2, 1]),
        ("is:unassigned requester:kim*", vec![3, 1]),
        ("requester:lee@example.com", vec![4]),
        ("assignee:ana", vec![2]),
        ("created<2026-01-01 created:today", vec![]),
        ("tag:none-has-it", vec![]),
        ("category:new priority>=normal", vec![4, 3]),
    ] {
        let page = world.get(&path(query)).await.json();
        assert_eq!(
            (ids(&page), page["count"].as_u64()),
            (wanted.clone(), Some(wanted.len() as u64)),
            "{query}"
        );
    }
    let page = world.get("/v1/tickets?sort=-priority&limit=3").await.json();
    assert_eq!(ids(&page), [2, 4, 3]);
    let next = page["next"].as_str().unwrap().to_owned();
    // Whatever becomes of the ticket at which the page ended.
    world.post("/v1/tickets/3/commands", json!({"type": "set", "priority": "low", "expect": 1})).await;
    let page = world.get(&format!("/v1/tickets?sort=-priority&limit=3&cursor={next}")).await.json();
    assert_eq!((ids(&page), page["next"].clone()), (vec![3, 1], Value::Null));
    let wrong = world.get(&format!("/v1/tickets?sort=priority&cursor={next}")).await;
    assert!(
        wrong.json()["detail"].as_str().unwrap().contains("sorted by -priority, this one is by priority")
    );
}

#[tokio::test]
async fn what_is_wrong_with_a_query_is_said() {
    let world = World::new().await;
    for (query, wanted) in [
        ("colour:red", "there is no \"colour\" to ask for; expected one of status, category"),
        ("status:opne", "there is no status \"opne\"; expected one of closed, new, on_hold"),
        ("queue:sales", "there is no queue \"sales\"; expected one of support, billing"),
        ("assignee:zoe", "there is no agent \"zoe\"; expected one of ana, ben"),
        ("(status:open", "at character 1: the bracket is not closed"),
        ("created>soon", "expected a day or time"),
    ] {
        let answer = world.get(&path(query)).await;
        assert_eq!(answer.code(), "bad_query", "{query}");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(wanted), "{query}: {detail}");
    }
    assert_eq!(world.get("/v1/tickets?sort=size").await.code(), "bad_query");
}

#[tokio::test]
async fn tenants_do_not_see_each_other() {
    let world = World::new().await;
    world.create().await;
    let page = world.get_as(&world.stranger, "/v1/tickets?query=id%3A1", &[]).await.json();
    assert_eq!((ids(&page), page["count"].as_u64()), (vec![], Some(0)));
    // A name of another tenant's is none here.
    assert_eq!(world.get_as(&world.stranger, &path("queue:billing"), &[]).await.code(), "bad_query");
}

/// A search.
fn search(text: &str) -> String {
    path(text).replace("/v1/tickets?query=", "/v1/search?q=")
}

fn hits(page: &Value) -> Vec<u64> {
    page["hits"].as_array().unwrap().iter().map(|hit| hit["ticket"]["id"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn texts_are_found_a_moment_after_they_are_written() {
    let world = World::new().await;
    for (subject, text) in [
        ("Lost card", "I left it in a café"),
        ("Rechnung", "我要退款，订单 A17"),
        ("Order", "the card was late, AND OR NEAR( \" *"),
    ] {
        let mut ticket = create();
        (ticket["subject"], ticket["text"]) = (json!(subject), json!(text));
        world.post("/v1/tickets", ticket).await;
    }
    world.post("/v1/tickets/2/commands", json!({"type": "note", "text": "ask the bank"})).await;
    for (text, wanted) in [
        ("card", vec![1, 3]),
        ("CAFE", vec![1]),
        ("退款", vec![2]),
        ("款", vec![2]),
        ("退 订单", vec![2]),
        ("款退", vec![]),
        ("\"card was\"", vec![3]),
        ("\"was card\"", vec![]),
        ("card -late", vec![1]),
        ("bank", vec![2]),
        ("rech*", vec![2]),
        ("card status:open", vec![]),
        ("card OR bank", vec![1, 3, 2]),
        ("near \"or near\"", vec![3]),
        ("kim@example.com id:1", vec![1]),
    ] {
        let answer = world.get(&search(text)).await.json();
        let mut found = hits(&answer);
        if text == "card OR bank" {
            found.sort_unstable();
            assert_eq!(found, [1, 2, 3]);
            continue;
        }
        assert_eq!(found, wanted, "{text}: {answer}");
        assert_eq!((answer["behind"].as_u64(), answer["is_partial"].as_bool()), (Some(0), Some(false)));
    }
    let hit = world.get(&search("退款")).await.json()["hits"][0].clone();
    assert_eq!(hit["snippet"], json!({"text": "我要退款，订单 A17", "marks": [[2, 4]]}));
    assert_eq!(hit["version"], 1);
    // A list has the same words.
    assert_eq!(ids(&world.get(&path("card sort")).await.json()), Vec::<u64>::new());
    assert_eq!(ids(&world.get(&path("card")).await.json()), [3, 1]);
    assert!(hits(&world.get_as(&world.stranger, &search("card"), &[]).await.json()).is_empty());
    for (text, wanted) in [("status:open", "no word"), ("-card", "no word"), ("***", "a letter or digit")] {
        let answer = world.get(&search(text)).await;
        assert_eq!(answer.code(), "bad_query");
        assert!(answer.json()["detail"].as_str().unwrap().contains(wanted), "{text}");
    }
    let first = world.get("/v1/search?q=card&limit=1").await.json();
    let next = first["next"].as_str().unwrap();
    let second = world.get(&format!("/v1/search?q=card&limit=1&cursor={next}")).await.json();
    assert_eq!((hits(&first), hits(&second), second["next"].clone()), (vec![1], vec![3], Value::Null));
}

#[tokio::test]
async fn a_new_subject_takes_the_old_ones_place() {
    let world = World::new().await;
    world.create().await;
    let set = json!({"type": "set", "subject": "Found again", "expect": 1});
    world.post("/v1/tickets/1/commands", set).await;
    assert!(hits(&world.get(&search("\"lost card\"")).await.json()).is_empty());
    let hit = world.get(&search("again")).await.json()["hits"][0].clone();
    assert_eq!(hit["snippet"]["text"].as_str().unwrap().lines().next(), Some("Found again kim@example.com"));
    assert_eq!((hit["version"].clone(), hit["snippet"]["marks"].clone()), (Value::Null, json!([[6, 11]])));
}

#[tokio::test]
async fn views_are_saved_and_shared() {
    let world = World::new().await;
    for _ in 0..3 {
        world.create().await;
    }
    world.post("/v1/tickets/2/commands", json!({"type": "claim"})).await;
    let made = world
        .post("/v1/views", json!({"name": "Mine", "query": "  assignee:me  (status:open)"}))
        .await
        .json();
    let view = |id: &Value, of: &str| format!("/v1/views/{id}{of}");
    let id = made["id"].clone();
    assert_eq!(
        (made["query"].as_str(), made["sort"].as_str()),
        (Some("assignee:me status:open"), Some("-id"))
    );
    assert_eq!(made["audience"], "private");
    assert_eq!(ids(&world.get(&view(&id, "/tickets")).await.json()), [2]);
    assert_eq!(world.get(&view(&id, "/count")).await.json()["count"], 1);
    // It is nobody else's.
    for of in ["", "/tickets", "/count"] {
        assert_eq!(world.get_as(&world.ben, &view(&id, of), &[]).await.code(), "no_such_view", "{of}");
    }
    let everybodys = json!({"name": "New", "query": "category:new", "sort": "created", "audience": "tenant"});
    let refused = world.post_as(&world.ben, "/v1/views", &[], everybodys.to_string()).await;
    assert_eq!(refused.code(), "needs_admin");
    let made = world.post_as(&world.admin, "/v1/views", &[], everybodys.to_string()).await.json();
    let page = world.get_as(&world.ben, &view(&made["id"], "/tickets?limit=1"), &[]).await.json();
    assert_eq!((ids(&page), page["count"].as_u64()), (vec![1], Some(2)));
    let listed = world.get_as(&world.ben, "/v1/views", &[]).await.json();
    assert_eq!(listed["views"].as_array().unwrap().len(), 1);
    for (body, wanted) in [
        (json!({"query": "a:b", "name": "x"}), "there is no \"a\" to ask for"),
        (json!({"query": "card", "name": "x"}), "takes no words"),
        (json!({"query": "queue:none", "name": "x"}), "there is no queue"),
        (json!({"query": "", "name": "x", "sort": "size"}), "is no order"),
        (json!({"query": "", "name": "x", "audience": "all"}), "is no audience"),
        (json!({"query": "", "name": " "}), "blank"),
        (json!({"name": "x"}), "needs \"query\""),
        (json!({"query": "", "name": "x", "colour": "red"}), "unknown field"),
        (json!({"query": "", "name": "x", "audience": "team:9"}), "no team 9"),
    ] {
        let answer = world.post("/v1/views", body.clone()).await.json();
        assert!(answer["detail"].as_str().unwrap().contains(wanted), "{body}: {answer}");
    }
}
