//! A start: what is asked before the log is read, and a file of a model that cannot be used.

use std::fs::File;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::dialogue::{ASKED, ASKED_AGAIN, teach_by_work};
use crate::gateway::{Gateway, check};
use crate::screen::Screen;

#[test]
fn nothing_is_decided_before_the_log_is_read_and_a_damaged_file_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start(folder.path());
    teach_by_work(&gateway);
    // Often enough to be sure.
    for number in 0..5 {
        let ticket = gateway.create(&format!("{ASKED} This is number {number}."));
        gateway.command(ticket, &json!({"type": "label", "message": 1, "intent": "card_arrival"}));
        gateway.command(ticket, &json!({"type": "reply", "text": "It arrives within five working days."}));
    }
    gateway.learned();
    let asked = gateway.create(ASKED_AGAIN);
    let suggestions = format!("/v1/tickets/{asked}/suggestions");
    let (_, told) = gateway.get(&suggestions);
    let (model, reply) = (&told["model"]["version"], &told["replies"][0]["id"]);
    assert!(reply.is_u64(), "{told}");
    let feedback =
        json!({"type": "feedback", "message": 1, "reply": reply, "model": model, "verdict": "accepted"});
    assert_eq!(gateway.teach(&json!({"teach": "mode", "queue": 1, "mode": "off"})).0, 200);
    gateway.learned();
    gateway.stop();

    // A file that takes as long to read as the test wants.
    let (model, log) = (folder.path().join("learn/1.model"), folder.path().join("log"));
    std::fs::remove_file(&model).unwrap();
    assert!(Command::new("mkfifo").arg(&model).status().unwrap().success());
    let gateway = Gateway::start_telling(folder.path(), "warn", Stdio::from(File::create(&log).unwrap()));
    assert_eq!(gateway.get("/readyz").0, 200, "the gateway does not wait for it");
    let commands = format!("/v1/tickets/{asked}/commands");
    let rename = json!({"teach": "rename", "name": "card_arrival", "to": "card_delivery"});
    for (status, refused) in
        [gateway.get(&suggestions), gateway.post(&commands, &feedback), gateway.teach(&rename)]
    {
        assert_eq!((status, &refused["code"]), (503, &json!("assistant_behind")), "{refused}");
    }
    let (_, learn) = gateway.get("/v1/learn");
    assert_eq!((&learn["ready"], learn["folding"].is_string()), (&json!(false), true), "{learn}");
    let mut screen = Screen::open(&gateway, &[&format!("ticket:{asked}")]);
    assert_eq!(screen.command(asked, &feedback)["error"]["code"], "assistant_behind");
    gateway.command(asked, &json!({"type": "message", "text": ASKED_AGAIN}));
    std::thread::sleep(Duration::from_millis(200));
    // What only the log is asked for.
    gateway.command(asked, &json!({"type": "label", "message": 1, "intent": "card_arrival"}));
    for event in ["message", "labelled"] {
        assert!(screen.hears_no_suggestion_before("event"), "it may be off, for all that is known: {event}");
    }

    drop(File::options().write(true).open(&model).unwrap());
    std::fs::remove_file(&model).unwrap();
    let learned = gateway.learned();
    assert_eq!((&learned["ready"], &learned["snapshot"]["state"]), (&json!(true), &json!("damaged")));
    assert_eq!(check(folder.path())["digest"], learned["digest"]);
    assert_eq!(gateway.get(&suggestions).1["code"], "suggestions_off");
    gateway.command(asked, &feedback);
    let taken = screen.command(asked, &feedback);
    assert!(taken["event"].is_object() && taken["error"].is_null(), "{taken}");
    let mut unknown = feedback.clone();
    unknown["reply"] = json!(123_456);
    assert_eq!(screen.command(asked, &unknown)["error"]["code"], "unknown_suggestion");
    assert_eq!(screen.command(9_999, &unknown)["error"]["code"], "no_such_ticket");
    assert_eq!(gateway.teach_when_ready(&rename).0, 200);
    let log = std::fs::read_to_string(&log).unwrap();
    assert!(log.contains("the file of a model is not used") && log.contains("damaged"), "{log}");
}
