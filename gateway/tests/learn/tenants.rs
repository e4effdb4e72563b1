//! Several tenants on one gateway: what one has learned, another never sees.

use serde_json::{Value, json};

use crate::dialogue::{ASKED, ASKED_AGAIN};
use crate::gateway::{Desk, Gateway, ask_text, check};
use crate::screen::Screen;

/// What a tenant calls the question, and what it answers.
struct Ways {
    intent: &'static str,
    answer: &'static str,
    /// Words that are only in what the other one has.
    foreign: [&'static str; 2],
}

const WAYS: [Ways; 2] = [
    Ways {
        intent: "pangolin_arrival",
        answer: "Your pangolin is on its way: it arrives within five working days.",
        foreign: ["wombat", "burrow"],
    },
    Ways {
        intent: "wombat_missing",
        answer: "We never send wombats by post. Please fetch yours at the burrow.",
        foreign: ["pangolin", "working days"],
    },
];

fn work(desk: &Desk, ways: &Ways) {
    for number in 0..5 {
        let ticket = desk.create(&format!("{ASKED} This is number {number}."));
        desk.command(ticket, &json!({"type": "label", "message": 1, "intent": ways.intent}));
        desk.command(ticket, &json!({"type": "reply", "text": ways.answer}));
    }
}

fn is_own(told: &Value, ways: &Ways) -> bool {
    let text = told.to_string().to_lowercase();
    ways.foreign.iter().all(|word| !text.contains(word))
}

#[test]
fn tenants_on_one_gateway_learn_apart() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path());
    let other = gateway.tenant(folder.path(), "other");
    // Nothing has happened there yet: it takes teaching as soon as its model is there.
    assert_eq!(other.learned()["ready"], true);
    assert_eq!(other.teach_when_ready(&json!({"teach": "create", "name": WAYS[1].intent})).0, 200);
    let desks: [&Desk; 2] = [&gateway, &other];
    std::thread::scope(|scope| {
        desks.iter().zip(&WAYS).for_each(|(desk, ways)| drop(scope.spawn(|| work(desk, ways))));
    });
    let tickets = desks.map(|desk| desk.create("Good morning"));
    assert_eq!(tickets[0], tickets[1], "numbers are each tenant's own");
    for (desk, ways) in desks.iter().zip(&WAYS) {
        let learned = desk.learned();
        assert!(learned["report"].to_string().contains(ways.intent), "{learned}");
        assert!(is_own(&learned, ways), "{learned}");
    }
    let view = format!("ticket:{}", tickets[0]);
    let mut screens = desks.map(|desk| Screen::open_as(&gateway, &desk.token, &[&view]));
    for ((desk, ways), screen) in desks.iter().zip(&WAYS).zip(&mut screens) {
        desk.command(tickets[0], &json!({"type": "message", "text": ASKED_AGAIN}));
        let mut told = screen.hear("suggestion");
        while told["message"] != 2 {
            assert!(is_own(&told, ways), "{told}");
            told = screen.hear("suggestion");
        }
        assert_eq!(told["replies"][0]["text"], ways.answer, "{told}");
        assert!(is_own(&told, ways), "{told}");
        let (status, asked) = desk.get(&format!("/v1/tickets/{}/suggestions", tickets[0]));
        assert_eq!((status, &asked["replies"]), (200, &told["replies"]), "{asked}");
    }
    let (_, metrics) = ask_text(gateway.api, &gateway.admin, "GET", "/metrics", "").unwrap();
    assert!(metrics.contains("waggle_learn_lessons_total"));
    assert!(WAYS.iter().all(|ways| ways.foreign.iter().all(|word| !metrics.contains(word))));

    // Modes and rollbacks are of one.
    let before = other.learned();
    let off = json!({"teach": "mode", "queue": 1, "mode": "off"});
    assert_eq!(gateway.teach(&off).0, 200);
    assert_eq!(gateway.teach_when_ready(&json!({"teach": "rollback", "to": 1})).0, 200);
    let learned = gateway.learned();
    assert!(!learned["report"].to_string().contains(WAYS[0].intent), "{learned}");
    let path = format!("/v1/tickets/{}/suggestions", tickets[0]);
    assert_eq!(gateway.get(&path).1["code"], "suggestions_off");
    assert_eq!(other.get(&path).1["replies"][0]["text"], WAYS[1].answer);
    assert_eq!(other.learned()["digest"], before["digest"]);
    assert_eq!(check(folder.path())["digest"], learned["digest"]);
    let (_, audit) = other.get("/v1/audit?action=learn.");
    assert_eq!(audit["entries"].as_array().map(Vec::len), Some(1), "{audit}");
}
