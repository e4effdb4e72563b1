//! Somebody is erased: the model has nothing of him, and the audit log proves it.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::gateway::{Gateway, PATIENCE, ask, check};

#[test]
fn a_person_that_is_erased_is_in_no_model() {
    let folder = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start(folder.path());
    let kim = json!({"name": "Kim", "identities": [{"kind": "email", "value": "quagga@example.com"}]});
    let (status, kim) = gateway.post("/v1/requesters", &kim);
    assert_eq!(status, 201, "{kim}");
    let body = json!({"type": "create", "queue": 1, "subject": "okapi", "requester": "quagga@example.com",
        "requester_id": kim["id"], "text": "my narwhal does not echidna any more, please wombat it"});
    let (status, event) = gateway.post("/v1/tickets", &body);
    assert_eq!(status, 201, "{event}");
    let ticket = event["ticket"].as_u64().unwrap();
    gateway.command(ticket, &json!({"type": "label", "message": 1, "intent": "narwhal_broken"}));
    gateway.command(ticket, &json!({"type": "reply", "text": "We pangolin narwhals within a day."}));
    let other = gateway.create("the parcel has not come");
    gateway.command(other, &json!({"type": "reply", "text": "It comes tomorrow."}));
    let before = gateway.learned();
    assert!(before["report"].to_string().contains("narwhal_broken"), "{before}");

    let path = format!("/v1/requesters/{}/erase", kim["id"]);
    let (status, _) = ask(gateway.api, &gateway.admin, "POST", &path, &json!({})).unwrap();
    assert_eq!(status, 202);
    let start = Instant::now();
    let proof = loop {
        let (_, audit) = gateway.get("/v1/audit?action=requester.erased");
        if let Some(entry) = audit["entries"].get(0) {
            break entry["detail"].clone();
        }
        assert!(start.elapsed() < PATIENCE, "it is not erased");
        std::thread::sleep(Duration::from_millis(20));
    };
    let after = gateway.learned();
    assert!(!after["report"].to_string().contains("narwhal"), "{after}");
    assert_ne!(proof["model_before"], proof["model_after"], "{proof}");
    assert!(proof["model_before"].is_string(), "{proof}");
    assert_eq!(proof["model_after"], after["digest"], "nothing has happened since: {proof}");
    let checked = check(folder.path());
    assert_eq!(checked["digest"], after["digest"], "{checked}");
    gateway.stop();
    let file = std::fs::read(folder.path().join("learn/1.model")).unwrap();
    let text = String::from_utf8_lossy(&file).to_lowercase();
    for word in ["narwhal", "echidna", "wombat", "pangolin", "okapi", "quagga"] {
        assert!(!text.contains(word), "{word} is in the file of the model");
    }
}
