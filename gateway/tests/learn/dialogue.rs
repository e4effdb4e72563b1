//! What is learned from dialogues, and what is suggested then.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::gateway::{Gateway, check};
use crate::screen::Screen;

pub(crate) const ASKED: &str = "My new debit card has not arrived yet. I ordered it two weeks ago.";
pub(crate) const ASKED_AGAIN: &str =
    "Hello, I ordered a debit card and it has still not arrived. Where is it?";
const ANSWER: &str = "Your card is on its way: it arrives within five working days.";

/// Damages a file.
type Spoil = fn(&mut Vec<u8>);

/// Somebody asks, and is answered; and others ask other things.
pub(crate) fn teach_by_work(gateway: &Gateway) {
    for (asked, intent, answer) in [
        (ASKED, "card_arrival", ANSWER),
        (
            "I forgot the PIN of my card, how can I see it?",
            "pin",
            "Open the app, tap the card, then Show PIN.",
        ),
        ("Please close my account for good.", "close_account", "We are sorry. Your account closes tonight."),
    ] {
        let ticket = gateway.create(asked);
        gateway.command(ticket, &json!({"type": "label", "message": 1, "intent": intent}));
        gateway.command(ticket, &json!({"type": "reply", "text": answer}));
    }
    gateway.learned();
}

#[test]
fn the_second_customer_gets_the_first_ones_answer() {
    let folder = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start(folder.path());
    let first = gateway.create(ASKED);
    gateway.command(first, &json!({"type": "reply", "text": ANSWER}));
    gateway.learned();
    let second = gateway.create("Good morning");
    let mut screen = Screen::open(&gateway, &[&format!("ticket:{second}")]);
    gateway.command(second, &json!({"type": "message", "text": ASKED_AGAIN}));
    let mut told = screen.hear("suggestion");
    if told["message"] == 1 {
        // The first message was looked at after the screen was opened.
        told = screen.hear("suggestion");
    }
    assert_eq!((&told["ticket"], &told["message"]), (&json!(second), &json!(2)), "{told}");
    assert_eq!(told["replies"][0]["text"], ANSWER, "{told}");
    let (status, asked) = gateway.get(&format!("/v1/tickets/{second}/suggestions?message=2"));
    assert_eq!((status, &asked["replies"]), (200, &told["replies"]), "{asked}");

    // Accepted: said with the reply.
    let (model, reply) = (told["model"]["version"].clone(), told["replies"][0]["id"].clone());
    let suggestion = json!({"model": model, "reply": reply});
    gateway.command(second, &json!({"type": "reply", "text": ANSWER, "seen": 2, "suggestion": suggestion}));
    let learned = gateway.learned();
    assert!(learned["version"].as_u64() > model.as_u64(), "{learned}");
    let (status, answered) = gateway.get(&format!("/v1/tickets/{second}/suggestions"));
    assert_eq!((status, &answered["code"]), (409, &json!("nothing_asked")));

    // A restart learns nothing else, with the file and without it.
    let digest = learned["digest"].clone();
    gateway.stop();
    let checked = check(folder.path());
    assert_eq!((&checked["digest"], &checked["snapshot"]["state"]), (&digest, &json!("same")), "{checked}");
    let file = folder.path().join("learn/1.model");
    let flip: Spoil = |bytes| *bytes.last_mut().unwrap() ^= 1;
    let cut: Spoil = |bytes| bytes.truncate(40);
    let other_log: Spoil = |bytes| bytes[8] ^= 1;
    let other_version: Spoil = |bytes| bytes[0] ^= 1;
    for (spoil, state) in [
        (None, "written"),
        (Some(flip), "damaged"),
        (Some(cut), "damaged"),
        (Some(other_log), "foreign"),
        (Some(other_version), "outdated"),
    ] {
        if let Some(spoil) = spoil {
            let mut bytes = std::fs::read(&file).unwrap();
            spoil(&mut bytes);
            std::fs::write(&file, bytes).unwrap();
        }
        let mut gateway = Gateway::start(folder.path());
        let learned = gateway.learned();
        assert_eq!(
            (&learned["snapshot"]["state"], &learned["digest"]),
            (&json!(state), &digest),
            "{learned}"
        );
        gateway.stop();
    }
}

#[test]
fn administrators_teach_and_take_back() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path());
    teach_by_work(&gateway);
    let before = gateway.learned();
    let names = |learned: &Value| -> Vec<String> {
        let intents = learned["report"]["intents"].as_array().unwrap();
        intents.iter().map(|intent| intent["name"].as_str().unwrap().to_owned()).collect()
    };
    assert!(names(&before).contains(&"card_arrival".to_owned()), "{before}");
    let taught = |body: Value| {
        let (status, event) = gateway.teach(&body);
        assert_eq!(
            (status, &event["kind"], &event["ticket"]),
            (200, &json!("taught"), &json!(0)),
            "{body}: {event}"
        );
        gateway.learned()
    };
    let renamed = taught(json!({"teach": "rename", "name": "card_arrival", "to": "card_delivery"}));
    assert!(names(&renamed).contains(&"card_delivery".to_owned()), "{renamed}");
    assert!(!names(&renamed).contains(&"card_arrival".to_owned()), "{renamed}");
    let removed = taught(json!({"teach": "remove", "name": "pin"}));
    assert!(!names(&removed).contains(&"pin".to_owned()), "{removed}");
    let back = taught(json!({"teach": "rollback", "to": before["position"]}));
    assert_eq!(names(&back), names(&before), "{back}");
    let checked = check(folder.path());
    assert_eq!(checked["digest"], back["digest"], "{checked}");

    for (body, code) in [
        (json!({"teach": "rename", "name": "nobody", "to": "x"}), "bad_teaching"),
        (json!({"teach": "merge", "name": "pin", "into": "nobody"}), "bad_teaching"),
        (json!({"teach": "rollback", "to": 1_000_000}), "bad_teaching"),
        (
            json!({"teach": "mode", "queue": 1, "mode": "auto", "precision": 7, "per_ticket": 1, "per_hour": 1}),
            "bad_teaching",
        ),
        (json!({"teach": "mode", "queue": 77, "mode": "off"}), "no_such_queue"),
        (json!({"teach": "dance"}), "bad_teaching"),
        (json!([1]), "malformed"),
    ] {
        let (status, problem) = gateway.teach(&body);
        assert!(status == 422 || status == 400, "{body}: {status}");
        assert_eq!(problem["code"], code, "{body}: {problem}");
    }
    let (status, audit) = gateway.get("/v1/audit?action=learn.taught");
    assert_eq!((status, audit["entries"].as_array().map(Vec::len)), (200, Some(3)), "{audit}");
    assert_eq!(audit["entries"][2]["detail"]["teaching"]["to"], "card_delivery");
}

#[test]
fn a_queue_whose_mode_is_off_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path());
    teach_by_work(&gateway);
    assert_eq!(gateway.teach(&json!({"teach": "mode", "queue": 1, "mode": "off"})).0, 200);
    gateway.learned();
    let ticket = gateway.create("Good morning");
    let mut screen = Screen::open(&gateway, &[&format!("ticket:{ticket}")]);
    gateway.command(ticket, &json!({"type": "message", "text": ASKED_AGAIN}));
    std::thread::sleep(Duration::from_millis(200));
    gateway.command(ticket, &json!({"type": "claim"}));
    screen.hear("event");
    assert!(screen.hears_no_suggestion_before("event"));
    let (status, problem) = gateway.get(&format!("/v1/tickets/{ticket}/suggestions"));
    assert_eq!((status, &problem["code"]), (409, &json!("suggestions_off")));
    assert_eq!(
        gateway.teach(&json!({"teach": "mode", "queue": 1, "mode": "suggest", "precision": 0.9})).0,
        200
    );
    gateway.learned();
    gateway.command(ticket, &json!({"type": "message", "text": "Well?"}));
    screen.hear("suggestion");
}

#[test]
fn it_replies_by_itself_where_it_may_and_gives_back_what_it_should_not_answer() {
    let folder = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start(folder.path());
    let asked = |number: usize| {
        let who = ["I", "We", "My wife and I"][number % 3];
        format!("{who} ordered a debit card {number} days ago and it has not arrived. Where is the card?")
    };
    for number in 0..60 {
        let ticket = gateway.create(&asked(number));
        gateway.command(ticket, &json!({"type": "label", "message": 1, "intent": "card_arrival"}));
        let mut reply = json!({"type": "reply", "text": ANSWER});
        if number >= 50 {
            let (_, told) = gateway.get(&format!("/v1/tickets/{ticket}/suggestions"));
            assert_eq!(told["replies"][0]["text"], ANSWER, "{told}");
            reply["suggestion"] =
                json!({"model": told["model"]["version"], "reply": told["replies"][0]["id"]});
        }
        gateway.command(ticket, &reply);
        let other = gateway.create(&format!("Please show me the PIN of the account, attempt {number}"));
        gateway.command(other, &json!({"type": "label", "message": 1, "intent": "pin"}));
        gateway
            .command(other, &json!({"type": "reply", "text": "Open the app, tap the card, then Show PIN."}));
    }
    let mode = json!({"teach": "mode", "queue": 1, "mode": "auto", "precision": 0.8, "per_ticket": 1, "per_hour": 2});
    assert_eq!(gateway.teach(&mode).0, 200);
    gateway.learned();

    let replied = |gateway: &Gateway, ticket: u64| {
        let (_, page) = gateway.get(&format!("/v1/tickets/{ticket}/events"));
        let events = page["events"].as_array().unwrap().clone();
        events.into_iter().filter(|event| event["data"]["automatic"] == true).collect::<Vec<_>>()
    };
    let wait = |gateway: &Gateway, ticket: u64, what: &dyn Fn(&Value) -> bool| {
        let start = Instant::now();
        loop {
            let (_, shown) = gateway.get(&format!("/v1/tickets/{ticket}"));
            if what(&shown) || start.elapsed() > Duration::from_secs(10) {
                return what(&shown);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    let first = gateway.create(&asked(100));
    assert!(wait(&gateway, first, &|shown| shown["version"].as_u64() >= Some(2)), "it replies");
    let sent = replied(&gateway, first);
    assert_eq!(sent.len(), 1);
    assert_eq!((&sent[0]["actor"], &sent[0]["data"]["text"]), (&json!("system"), &json!(ANSWER)));
    assert!(sent[0]["data"]["suggestion"]["model"].is_u64(), "{}", sent[0]);
    // Never twice in a row; and who is angry gets a human.
    gateway.command(
        first,
        &json!({"type": "message", "text": "This is ridiculous, I want to speak to a human!"}),
    );
    assert!(wait(&gateway, first, &|shown| shown["tags"]["handed-over"] == true), "it gives the ticket back");
    assert_eq!(replied(&gateway, first).len(), 1);
    // What an agent holds is his.
    let held = gateway.create("Hello");
    gateway.command(held, &json!({"type": "claim"}));
    gateway.command(held, &json!({"type": "message", "text": asked(101)}));
    // The cap of the hour holds after a restart, too.
    let second = gateway.create(&asked(102));
    assert!(wait(&gateway, second, &|shown| shown["version"].as_u64() >= Some(2)), "it replies");
    gateway.kill();
    gateway = Gateway::start(folder.path());
    gateway.learned();
    let third = gateway.create(&asked(103));
    assert!(!wait(&gateway, third, &|shown| shown["version"].as_u64() >= Some(2)), "two an hour");
    assert_eq!((replied(&gateway, held).len(), replied(&gateway, second).len()), (0, 1));
}

/// Prints how long it takes from a command's answer to the suggestion on the screen.
#[test]
fn suggestions_are_there_at_once() {
    const TIMES: usize = 200;
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path());
    teach_by_work(&gateway);
    let ticket = gateway.create("Good morning");
    let mut screen = Screen::open(&gateway, &[&format!("ticket:{ticket}")]);
    let mut took: Vec<Duration> = (0..TIMES)
        .map(|number| {
            let text = format!("{ASKED_AGAIN} This is the {number}th time that I ask.");
            gateway.command(ticket, &json!({"type": "message", "text": text}));
            // The event is committed when the answer is here.
            let committed = Instant::now();
            screen.hear("suggestion");
            committed.elapsed()
        })
        .collect();
    took.sort_unstable();
    println!("p50 {:?}, p99 {:?}", took[TIMES / 2], took[TIMES * 99 / 100]);
    assert!(took[TIMES / 2] < Duration::from_millis(50), "{:?}", took[TIMES / 2]);
}
