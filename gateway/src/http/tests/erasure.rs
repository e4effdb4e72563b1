//! A person is erased: from what is shown, from memory, and from every file of the data directory.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use waggle_core::id::{Offset, RequesterId, TenantId, TicketId};
use waggle_core::name::Name;

use super::{Answer, World, create};
use crate::erasure::Eraser;
use crate::http::auth;
use crate::store::{AuditActor, ErasureRow, SqliteStore, Store, TicketRow};

const ACME: TenantId = TenantId(1);

/// Words that nobody else has; each is somewhere else.
const WORDS: [&str; 13] = [
    "quagga", "narwhal", "okapi", "echidna", "wombat", "ibexes", "pangolin", "axolotl", "tarsier", "dugong",
    "kakapo", "numbat", "saola",
];

fn eraser(world: &World) -> Eraser {
    Eraser {
        directory: world.api.directory.clone(),
        ledger: world.ledger.clone(),
        store: Arc::clone(&world.api.store),
        find: world.api.find.clone(),
        search: world.api.search.clone(),
        learn: world.api.learn.clone(),
        attachments: Arc::clone(&world.api.attachments),
        grace: Duration::ZERO,
    }
}

async fn ask(world: &World, ticket: u64, command: Value) -> Answer {
    let answer = world.post(&format!("/v1/tickets/{ticket}/commands"), command.clone()).await;
    assert_eq!(answer.status, 200, "{command}: {:?}", answer.bytes);
    answer
}

async fn attach(world: &World, ticket: u64, name: &str, bytes: &str) {
    let path = format!("/v1/tickets/{ticket}/attachments?name={name}");
    let added = world.post_as(&world.ana, &path, &[], bytes.to_owned()).await;
    assert_eq!(added.status, 201, "{:?}", added.bytes);
}

async fn put(world: &World, path: &str, body: Value) {
    let request = http::Request::put(path)
        .header("authorization", format!("Bearer {}", world.ana))
        .header("content-type", "application/json");
    assert_eq!(world.send(request.body(body.to_string().into()).unwrap()).await.status, 204);
}

/// Kim, who has tickets 1 and 2; ticket 3 is Lee's, who has sent one of Kim's files, too. Then many of others.
async fn furnish(world: &World) {
    let kim = json!({"name": "Quagga", "identities": [{"kind": "email", "value": "narwhal@example.com"}]});
    assert_eq!(world.post("/v1/requesters", kim).await.status, 201);
    let field = json!({"key": "order_no", "name": "Order", "type": "text"});
    assert_eq!(world.post_as(&world.admin, "/v1/fields", &[], field.to_string()).await.status, 201);
    let mut first = create();
    first["requester"] = json!("Kim <Narwhal@example.com>");
    first["subject"] = json!("my okapi");
    // Longer than a page of the database.
    first["text"] = json!("an echidna ".repeat(2_000));
    first["fields"] = json!({"order_no": "wombat"});
    let keyed = world.post_as(&world.ana, "/v1/tickets", &[("idempotency-key", "ibexes")], first.to_string());
    assert_eq!(keyed.await.status, 201);
    let mut second = create();
    second["requester"] = json!("somebody");
    second["requester_id"] = json!(1);
    assert_eq!(world.post("/v1/tickets", second).await.status, 201);
    assert_eq!(world.create().await, 3);
    ask(world, 1, json!({"type": "reply", "text": "a pangolin"})).await;
    ask(world, 1, json!({"type": "set", "expect": 2, "tags": {"axolotl": true}, "subject": "a tarsier"}))
        .await;
    ask(world, 2, json!({"type": "note", "text": "a dugong"})).await;
    ask(world, 3, json!({"type": "note", "text": "a lemur"})).await;
    attach(world, 1, "kakapo.txt", "numbat").await;
    attach(world, 1, "shared.txt", "shared").await;
    attach(world, 3, "other.txt", "shared").await;
    put(world, "/v1/tickets/2/draft", json!({"as": "note", "text": "a saola"})).await;
    // More than one batch, with others' between them on the database's pages.
    for number in 0..240 {
        let mut command = create();
        if number % 3 == 1 {
            command["requester"] = json!("narwhal@example.com");
            command["text"] = json!(format!("saola {number}, {}", "okapi ".repeat(number % 50)));
        }
        assert_eq!(world.post("/v1/tickets", command).await.status, 201);
    }
    let all = world.get("/v1/search?q=echidna").await.json();
    assert_eq!((&all["count"], &all["behind"]), (&json!(1), &json!(0)), "it is searchable");
}

/// Which of the words are in a file below `folder`, in either case.
fn left(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(left(&path));
            continue;
        }
        let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).to_lowercase();
        let name = path.display().to_string();
        found
            .extend(WORDS.iter().filter(|word| text.contains(*word)).map(|word| format!("{word} in {name}")));
    }
    found
}

/// Whether the full text index knows a term: in the file it is in pieces.
async fn terms(world: &World) -> Vec<String> {
    let mut connection =
        SqliteConnectOptions::new().filename(world.dir.path().join("search.db")).connect().await.unwrap();
    sqlx::query("CREATE VIRTUAL TABLE temp.term USING fts5vocab('main', 'text_1', 'row')")
        .execute(&mut connection)
        .await
        .unwrap();
    sqlx::query_scalar("SELECT term FROM temp.term ORDER BY term").fetch_all(&mut connection).await.unwrap()
}

async fn rows(store: &dyn Store) -> Vec<Option<TicketRow>> {
    let mut rows = Vec::new();
    for ticket in 1..=4 {
        rows.push(store.ticket(ACME, TicketId(ticket)).await.unwrap());
    }
    rows
}

#[tokio::test]
async fn nothing_is_left_of_whom_is_erased() {
    let world = World::new().await;
    furnish(&world).await;
    let hash = world.get("/v1/tickets/1/attachments").await.json()["attachments"][0]["hash"].clone();
    let others = rows(&*world.api.store).await[2..].to_vec();
    assert!(!left(world.dir.path()).is_empty(), "the test looks where it is");
    tokio::time::sleep(Duration::from_millis(3)).await;
    let before = auth::now().0;
    tokio::time::sleep(Duration::from_millis(3)).await;

    let asked = world.post_as(&world.admin, "/v1/requesters/1/erase", &[], "").await;
    assert_eq!((asked.status.as_u16(), asked.json()), (202, json!({"requester": 1, "state": "erasing"})));
    let mut late = create();
    late["requester_id"] = json!(1);
    assert_eq!(world.post("/v1/tickets", late).await.code(), "no_such_requester");
    eraser(&world).turn().await.unwrap();
    let again = world.post_as(&world.admin, "/v1/requesters/1/erase", &[], "").await;
    assert_eq!((again.status.as_u16(), &again.json()["state"]), (200, &json!("erased")));

    assert_eq!(left(world.dir.path()), Vec::<String>::new(), "in files");
    let terms = terms(&world).await;
    assert!(terms.contains(&"lemur".to_owned()), "what others wrote is found: {terms:?}");
    assert!(WORDS.iter().all(|word| !terms.iter().any(|term| term.contains(word))), "{terms:?}");
    let memory = world.ledger.recent_after(ACME, Offset(0), 1_000).unwrap();
    let said: String =
        memory.iter().map(|entry| String::from_utf8_lossy(&entry.json()).to_lowercase()).collect();
    assert!(WORDS.iter().all(|word| !said.contains(word)), "in memory");
    assert_eq!(memory.len() as u64, world.ledger.head(ACME).unwrap().offset.0, "every event is there");

    // What is shown is what is left, and the same as is folded from the log.
    let ticket = world.get("/v1/tickets/1").await.json();
    let shown = (&ticket["subject"], &ticket["requester"], &ticket["erased"], &ticket["status"]);
    assert_eq!(shown, (&json!(""), &json!(""), &json!(true), &json!("open")));
    assert_eq!(
        (&ticket["tags"], &ticket["fields"], &ticket["version"]),
        (&json!(null), &json!(null), &json!(6))
    );
    let events = world.get("/v1/tickets/1/events").await.json()["events"].clone();
    let kinds: Vec<_> =
        events.as_array().unwrap().iter().map(|event| event["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["created", "reply", "set", "attached", "attached", "erased"]);
    assert_eq!(events[0]["data"], json!({"erased": true, "queue": 1, "priority": "normal", "status": "new"}));
    assert!(events.as_array().unwrap().iter().all(|event| event["data"]["erased"] == true));
    assert_eq!(world.get("/v1/tickets/1/attachments").await.json()["attachments"], json!([]));
    assert_eq!(world.get("/v1/tickets/2/draft").await.code(), "no_such_draft");
    assert_eq!(rows(&*world.api.store).await[2..], others, "others' tickets are as they were");
    let file = world.get_as(&world.ana, "/v1/tickets/3/attachments", &[]).await.json();
    let file = file["attachments"][0]["hash"].as_str().unwrap().to_owned();
    assert_ne!(json!(file), hash);
    assert_eq!(world.get(&format!("/v1/tickets/3/attachments/{file}")).await.bytes, "shared");
    for (query, count) in
        [("has:attachment", 1), ("requester:kim*", 161), ("requester:narwhal*", 0), ("tag:axolotl", 0)]
    {
        let found = world.get(&format!("/v1/tickets?query={query}")).await.json();
        assert_eq!(found["count"], count, "{query}");
    }
    // What it was is what is left of it.
    let then = world.get(&format!("/v1/tickets/1?at={before}")).await.json();
    let shown = (&then["subject"], &then["requester"], &then["tags"], &then["version"]);
    assert_eq!(shown, (&json!(""), &json!(""), &json!(null), &json!(5)));
    for (query, count) in [("has:attachment", 1), ("requester:narwhal*", 0), ("tag:axolotl", 0)] {
        let found = world.get(&format!("/v1/tickets?query={query}&at={before}")).await.json();
        assert_eq!(found["count"], count, "{query} before");
    }
    let kim = world.get("/v1/requesters/1").await.json();
    assert_eq!(
        (&kim["name"], &kim["identities"], &kim["erasure"]),
        (&json!(""), &json!([]), &json!("erased"))
    );

    let audit = world.get_as(&world.admin, "/v1/audit?object=requester:1", &[]).await.json();
    let proof = &audit["entries"][0];
    assert_eq!((&proof["action"], &proof["actor"]), (&json!("requester.erased"), &json!("agent:1")));
    let detail = &proof["detail"];
    assert_eq!(
        (&detail["tickets"], &detail["events"], &detail["files"]),
        (&json!(82), &json!(87), &json!(2))
    );
    assert_eq!(detail["compacted"], true);
    assert!(detail["finished_at"].as_u64() >= detail["asked_at"].as_u64(), "{detail}");
    assert_eq!(audit["entries"][1]["action"], "requester.erasing");

    let folded = tempfile::tempdir().unwrap();
    std::fs::copy(world.dir.path().join("db"), folded.path().join("db")).unwrap();
    std::fs::copy(world.dir.path().join("db-wal"), folded.path().join("db-wal")).unwrap();
    let anew = SqliteStore::open(&folded.path().join("db")).await.unwrap();
    assert_eq!(rows(&anew).await, rows(&*world.api.store).await);
}

#[tokio::test]
async fn an_erasure_that_was_cut_off_is_finished() {
    let world = World::new().await;
    furnish(&world).await;
    for (requester, code) in [("9", "not_found"), ("x", "not_found")] {
        let path = format!("/v1/requesters/{requester}/erase");
        assert_eq!(world.post_as(&world.admin, &path, &[], "").await.code(), code);
    }
    assert_eq!(world.post("/v1/requesters/1/erase", json!({})).await.code(), "needs_admin");
    assert_eq!(world.post_as(&world.admin, "/v1/requesters/1/erase", &[], "").await.status, 202);
    let store = &world.api.store;
    // As it is when the gateway is killed after it has redacted the log, and has told nobody yet.
    let row =
        ErasureRow { tenant: ACME, requester: RequesterId(1), after: TicketId(1), batch: vec![TicketId(1)] };
    store.note_erasure(&row).await.unwrap();
    for hash in store.sole_files(ACME, TicketId(1)).await.unwrap() {
        world.api.attachments.alone().await.remove(hash).await.unwrap();
    }
    assert!(!store.erase_ticket(&row, TicketId(1)).await.unwrap().is_empty());
    assert_eq!(store.erasures().await.unwrap(), [row]);
    let lee = json!({"name": "Lee"});
    assert_eq!(world.post("/v1/requesters", lee).await.json()["id"], 2);
    let merge = |from: u64, into: u64| {
        let world = &world;
        async move {
            let path = format!("/v1/requesters/{from}/merge");
            world.post_as(&world.admin, &path, &[], json!({"into": into}).to_string()).await.code()
        }
    };
    assert_eq!(
        (merge(1, 2).await, merge(2, 1).await),
        ("requester_erased".to_owned(), "requester_erased".to_owned())
    );
    // One who has asked nothing, of a tenant that has nothing.
    let empty = store.create_tenant("empty").await.unwrap().id;
    let operator = AuditActor::Operator;
    let nobody = store.create_requester(operator, empty, &Name::parse("Nobody").unwrap(), &[]).await.unwrap();
    store.begin_erasure(operator, empty, nobody.id).await.unwrap();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let running = tokio::spawn(eraser(&world).run(stopped));
    let began = std::time::Instant::now();
    while !store.erasures().await.unwrap().is_empty() {
        assert!(began.elapsed() < Duration::from_secs(60), "it is finished");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // It waits for the next one to be asked for.
    stop.send_replace(true);
    running.await.unwrap();
    assert_eq!(left(world.dir.path()), Vec::<String>::new());
    assert!(store.erasures().await.unwrap().is_empty());
    let audit = world.get_as(&world.admin, "/v1/audit?action=requester.erased", &[]).await.json();
    let detail = &audit["entries"][0]["detail"];
    assert_eq!(
        (&detail["tickets"], &detail["events"], &detail["files"]),
        (&json!(82), &json!(87), &json!(2))
    );
}
