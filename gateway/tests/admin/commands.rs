//! Fields, queues, requesters and views.

use waggle_core::id::{AgentId, SavedViewId, TenantId};
use waggle_core::name::Name;
use waggle_core::requester::{Identity, IdentityKind};
use waggle_gateway::store::{Audience, AuditActor, PeopleStore, SavedViewRow, SavedViewStore};

use super::*;

const NAME: i32 = 7;
const ACME: [&str; 2] = ["--tenant", "acme"];

fn with<'a>(first: &[&'a str], last: &[&'a str]) -> Vec<&'a str> {
    first.iter().copied().chain(ACME).chain(last.iter().copied()).collect()
}

#[tokio::test]
async fn fields_are_set_listed_and_deleted() {
    let desk = Desk::new().await;
    let set = |field: &Value| desk.json_with(&with(&["field", "set"], &["-"]), &field.to_string());
    let mut field =
        json!({"key": "cause", "name": "Cause", "type": "choice", "choices": ["a"], "required": "at_solve"});
    assert_eq!(set(&field), json!({"key": "cause", "new": true}));
    assert_eq!(desk.audited(), ("field.created".to_owned(), "field:cause".to_owned()));
    field["choices"] = json!(["a", "b"]);
    assert_eq!(set(&field)["new"], false);
    assert_eq!(desk.json(&with(&["field", "list"], &[])), json!([field]));

    let path = desk.folder.path().join("field.json");
    for (wrong, why) in [
        (json!({"key": "cause", "name": "Cause", "type": "text"}), "stays as it is"),
        (json!({"key": "Cause", "name": "Cause", "type": "text"}), "small letter"),
        (json!({"key": "other", "name": "Other", "type": "txt"}), "is no definition of a field"),
        (json!({"key": "other", "name": "Other", "type": "text", "requird": "never"}), "requird"),
    ] {
        std::fs::write(&path, wrong.to_string()).unwrap();
        let (_, said) = desk.fails(&with(&["field", "set"], &[path.to_str().unwrap()]));
        assert!(said.contains(why), "{said}");
    }
    assert_eq!(desk.fails(&with(&["field", "delete"], &["gone"])).0, NAME);
    desk.json(&with(&["field", "delete"], &["cause"]));
    assert_eq!(desk.audited().0, "field.deleted");
    assert_eq!(desk.json(&with(&["field", "list"], &[])), json!([]));
}

#[tokio::test]
async fn queues_are_made_listed_and_renamed() {
    let desk = Desk::new().await;
    desk.json(&with(&["queue", "create"], &["billing"]));
    assert_eq!(
        desk.json(&with(&["queue", "rename"], &["billing", "money"])),
        json!({"id": 2, "name": "money"})
    );
    assert_eq!(desk.audited().1, "queue:2");
    let list = desk.json(&with(&["queue", "list"], &[]));
    assert_eq!(list, json!([{"id": 1, "name": "support"}, {"id": 2, "name": "money"}]));
    let (code, said) = desk.fails(&with(&["queue", "rename"], &["2", "SUPPORT"]));
    assert!(code == NAME && said.contains("looks like"), "{said}");
    assert_eq!(desk.fails(&with(&["queue", "rename"], &["gone", "x"])).0, NAME);
}

#[tokio::test]
async fn requesters_are_found_and_merged() {
    let desk = Desk::new().await;
    let store = desk.store().await;
    for (name, email) in [("Kim", "kim@example.com"), ("Kim Lee", "lee@example.com")] {
        let identity = Identity::parse(IdentityKind::Email, email).unwrap();
        let name = Name::parse(name).unwrap();
        store.create_requester(AuditActor::Operator, TenantId(1), &name, &[identity]).await.unwrap();
    }
    store.close().await;
    let find = with(&["requester", "find"], &["--email", "KIM@example.com"]);
    assert_eq!(desk.json(&find)["id"], 1);
    assert_eq!(desk.fails(&with(&["requester", "find"], &["--email", "nobody@example.com"])).0, NAME);
    assert!(desk.fails(&with(&["requester", "find"], &["--phone", "5"])).1.contains("international"));
    assert_eq!(desk.fails(&with(&["requester", "find"], &[])).0, 2);
    let merged = desk.json(&with(&["requester", "merge"], &["1", "--into", "2"]));
    assert_eq!((&merged["id"], &merged["merged"]), (&json!(2), &json!([1])));
    assert_eq!(desk.json(&find)["id"], 2);
    assert_eq!(desk.json(&with(&["requester", "show"], &["1"]))["name"], "Kim Lee");
    assert!(desk.fails(&with(&["requester", "merge"], &["1", "--into", "2"])).1.contains("same one already"));
    let human = desk.run(&with(&["requester", "show"], &["2"]));
    let human = String::from_utf8(human.stdout).unwrap();
    assert!(human.contains("email kim@example.com") && human.contains("was also 1"), "{human}");
    // The next gateway does it.
    let erase = with(&["requester", "erase"], &["1"]);
    for _ in 0..2 {
        assert_eq!(desk.json(&erase), json!({"requester": 1, "state": "erasing"}));
        assert_eq!(desk.audited(), ("requester.erasing".to_owned(), "requester:2".to_owned()));
    }
    assert_eq!(desk.json(&with(&["requester", "show"], &["2"]))["erasure"], "erasing");
    assert_eq!(desk.fails(&with(&["requester", "erase"], &["9"])).0, NAME);
}

#[tokio::test]
async fn views_are_listed_and_deleted_whoever_owns_them() {
    let desk = Desk::new().await;
    let store = desk.store().await;
    let view = SavedViewRow {
        id: SavedViewId(0),
        name: "Mine".to_owned(),
        owner: AgentId(1),
        audience: Audience::Private,
        query: "status:open".to_owned(),
        sort: "-id".to_owned(),
    };
    store.create_saved_view(TenantId(1), &view, None).await.unwrap();
    store.close().await;
    let list = desk.json(&with(&["view", "list"], &[]));
    assert_eq!(
        list,
        json!([{"id": 1, "name": "Mine", "owner": 1, "audience": "private", "query": "status:open", "sort": "-id"}])
    );
    desk.json(&with(&["view", "delete"], &["1"]));
    assert_eq!(desk.audited(), ("view.deleted".to_owned(), "view:1".to_owned()));
    assert_eq!(desk.fails(&with(&["view", "delete"], &["1"])).0, NAME);
}
