//! Lists, pages and conditional reads.

use http::{Method, Request};
use http_body_util::Full;
use serde_json::{Value, json};

use super::{World, create};

fn ids(page: &Value) -> Vec<u64> {
    page["tickets"].as_array().unwrap().iter().map(|ticket| ticket["id"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn tickets_come_in_pages_newest_first() {
    let world = World::new().await;
    for _ in 0..5 {
        world.create().await;
    }
    let first = world.get("/v1/tickets?limit=2").await.json();
    assert_eq!((ids(&first), first["cursor"]["offset"].as_u64()), (vec![5, 4], Some(5)));
    let mut seen = ids(&first);
    let mut next = first["next"].clone();
    while let Some(cursor) = next.as_str() {
        let page = world.get(&format!("/v1/tickets?limit=2&cursor={cursor}")).await.json();
        seen.extend(ids(&page));
        next = page["next"].clone();
    }
    assert_eq!(seen, [5, 4, 3, 2, 1]);
}

#[tokio::test]
async fn lists_are_filtered() {
    let world = World::new().await;
    for _ in 0..3 {
        world.create().await;
    }
    let mut billing = create();
    billing["queue"] = json!(2);
    world.post("/v1/tickets", billing).await;
    world.post("/v1/tickets/2/commands", json!({"type": "claim"})).await;
    for (query, wanted) in [
        ("queue=2", vec![4]),
        ("status=open", vec![2]),
        ("status=new&queue=1", vec![3, 1]),
        ("assignee=me", vec![2]),
        ("assignee=1", vec![2]),
        ("assignee=2", vec![]),
        ("assignee=none", vec![4, 3, 1]),
    ] {
        let page = world.get(&format!("/v1/tickets?{query}")).await.json();
        assert_eq!(ids(&page), wanted, "{query}");
    }
}

#[tokio::test]
async fn a_query_that_is_not_understood_is_refused() {
    let world = World::new().await;
    world.create().await;
    for query in [
        "colour=red",
        "queue=x",
        "queue=0",
        "status=done",
        "assignee=you",
        "limit=0",
        "limit=201",
        "limit=2&limit=2",
        "status=%zz",
    ] {
        assert_eq!(world.get(&format!("/v1/tickets?{query}")).await.code(), "bad_query", "{query}");
    }
    for path in ["/v1/me", "/v1/queues", "/v1/agents", "/v1/tickets/1"] {
        assert_eq!(world.get(&format!("{path}?x=1")).await.code(), "bad_query", "{path}");
    }
    let answer = world.post_as(&world.ana, "/v1/tickets?x=1", &[], create().to_string()).await;
    assert_eq!(answer.code(), "bad_query");
    for cursor in ["17", "before-", "before-x", "after-1", ""] {
        let path = format!("/v1/tickets?cursor={cursor}");
        assert_eq!(world.get(&path).await.code(), "bad_cursor", "{cursor}");
    }
    assert_eq!(world.get("/v1/tickets/1/events?cursor=before-1").await.code(), "bad_cursor");
}

#[tokio::test]
async fn messages_are_the_events_that_people_read() {
    let world = World::new().await;
    world.create().await;
    let path = "/v1/tickets/1/commands";
    for command in [
        json!({"type": "set", "priority": "high", "expect": 1}),
        json!({"type": "note", "text": "one"}),
        json!({"type": "reply", "text": "two"}),
    ] {
        assert_eq!(world.post(path, command).await.status, 200);
    }
    let kinds = |page: &Value, member: &str| -> Vec<String> {
        page[member]
            .as_array()
            .unwrap()
            .iter()
            .map(|event| event["kind"].as_str().unwrap().to_owned())
            .collect()
    };
    let events = world.get("/v1/tickets/1/events").await.json();
    assert_eq!(kinds(&events, "events"), ["created", "set", "note", "reply"]);
    assert_eq!(events["next"], Value::Null);
    let first = world.get("/v1/tickets/1/messages?limit=2").await.json();
    assert_eq!(kinds(&first, "messages"), ["created", "note"]);
    let next = first["next"].as_str().unwrap();
    let second = world.get(&format!("/v1/tickets/1/messages?limit=2&cursor={next}")).await.json();
    assert_eq!(kinds(&second, "messages"), ["reply"]);
    let past = world.get("/v1/tickets/1/events?cursor=after-4").await.json();
    assert_eq!(past, json!({"events": [], "next": null}));
    assert_eq!(world.get("/v1/tickets/9/events").await.code(), "no_such_ticket");
}

#[tokio::test]
async fn what_has_not_changed_is_not_sent_again() {
    let world = World::new().await;
    world.create().await;
    for (header, wanted) in
        [("\"1\"", 304), ("W/\"1\"", 304), ("\"0\", \"1\"", 304), ("*", 304), ("\"2\"", 200)]
    {
        let answer = world.get_as(&world.ana, "/v1/tickets/1", &[("if-none-match", header)]).await;
        assert_eq!((answer.status.as_u16(), answer.header("etag")), (wanted, "\"1\""), "{header}");
        assert_eq!(answer.bytes.is_empty(), wanted == 304);
    }
}

#[tokio::test]
async fn paths_and_methods_that_do_not_exist_are_told_apart() {
    let world = World::new().await;
    world.create().await;
    for path in ["/", "/v1", "/v1/ticket", "/v1/tickets/1/x", "/v2/tickets"] {
        assert_eq!(world.get(path).await.code(), "not_found", "{path}");
    }
    for path in ["/v1/tickets/0", "/v1/tickets/x", "/v1/tickets/99999999999999999999"] {
        assert_eq!(world.get(path).await.code(), "no_such_ticket", "{path}");
    }
    for (method, path, allow) in [
        (Method::DELETE, "/v1/tickets/1", "GET, HEAD"),
        (Method::PUT, "/v1/tickets", "GET, HEAD, POST"),
        (Method::GET, "/v1/tickets/1/commands", "POST"),
        (Method::POST, "/v1/me", "GET, HEAD"),
        (Method::OPTIONS, "/v1/queues", "GET, HEAD, POST"),
        (Method::POST, "/v1/push", "GET"),
        (Method::HEAD, "/v1/push", "GET"),
    ] {
        let request = Request::builder().method(method.clone()).uri(path).body(Full::default()).unwrap();
        let answer = world.send(request).await;
        assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, allow), "{method} {path}");
        if method != Method::HEAD {
            assert_eq!(answer.code(), "method_not_allowed");
        }
    }
    let head = Request::head("/v1/tickets/1").header("authorization", format!("Bearer {}", world.ana));
    let head = world.send(head.body(Full::default()).unwrap()).await;
    let get = world.get("/v1/tickets/1").await;
    assert_eq!((head.status, head.bytes.len()), (get.status, 0));
    assert_eq!(head.header("content-length"), get.bytes.len().to_string());
}

#[tokio::test]
async fn only_administrators_see_the_sessions() {
    let world = World::new().await;
    let path = "/v1/push/sessions";
    for (token, query, status, found) in [
        (&world.admin, "", 200, json!({"sessions": [], "total": 1050})),
        (&world.admin, "?order=queued&limit=7", 200, json!({"sessions": [], "total": 1507})),
        (&world.admin, "?order=size", 400, "bad_query".into()),
        (&world.admin, "?limit=201", 400, "bad_query".into()),
        (&world.ana, "", 403, "needs_admin".into()),
    ] {
        let answer = world.get_as(token, &format!("{path}{query}"), &[]).await;
        let body = answer.json();
        let shown = if status == 200 { &body } else { &body["code"] };
        assert_eq!((answer.status.as_u16(), shown), (status, &found), "{query}");
    }
}

#[tokio::test]
async fn messages_are_shown_as_html_where_asked_for() {
    let world = World::new().await;
    world.create().await;
    let note = json!({"type": "note", "text": "**vip** <script>alert(1)</script>"});
    world.post("/v1/tickets/1/commands", note).await;
    let plain = world.get("/v1/tickets/1/messages").await.json();
    assert!(plain["messages"][1].get("html").is_none());
    let page = world.get("/v1/tickets/1/messages?render=html").await.json();
    let html = "<p><strong>vip</strong> &lt;script&gt;alert(1)&lt;/script&gt;</p>\n";
    assert_eq!(page["messages"][1]["html"], html);
    assert_eq!(page["messages"][1]["data"], plain["messages"][1]["data"]);
    assert_eq!(world.get("/v1/tickets/1/messages?render=pdf").await.code(), "bad_query");
    assert_eq!(world.get("/v1/tickets/1/events?render=html").await.code(), "bad_query");
}
