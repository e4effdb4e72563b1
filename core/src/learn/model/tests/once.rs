//! Each dialogue counts once, and for the intent that it was last said to be of.

use serde_json::json;

use super::super::Predicted;
use super::desk::{Desk, OWN, QUESTION, fold, judges, lessons, made_of, uses};
use super::learning::taught;
use crate::id::AgentId;

/// Intents of the report: name, messages, replies.
fn intents(desk: &Desk) -> Vec<(String, u32, usize)> {
    let intents = desk.model.report().intents.into_iter();
    intents.map(|intent| (intent.name, intent.lessons, intent.replies)).collect()
}

#[test]
fn a_label_a_verdict_and_the_reply_are_one_use() {
    let mut desk = taught(4);
    let ticket = desk.opens("Bob <bob@y.example>", QUESTION);
    let reply = desk.suggest(ticket).replies.first().unwrap().clone();
    let ([accepted, edited, written], known) = (uses(&desk), lessons(&desk, "card_arrival"));
    desk.labels(ticket, 2, 1, Some("card_arrival"));
    judges(&mut desk, ticket, reply.id, "accepted");
    desk.replies_by(ticket, 2, &reply.text, made_of(reply.id));
    assert_eq!(uses(&desk), [accepted + 1, edited, written]);
    assert_eq!(lessons(&desk, "card_arrival"), known + 1);
    // A macro of the same name and a second label say nothing new.
    let ticket = desk.opens("Eve <eve@y.example>", QUESTION);
    desk.labels(ticket, 2, 1, Some("card_arrival"));
    desk.replies_by(ticket, 2, &reply.text, json!({"macro": "card_arrival"}));
    desk.labels(ticket, 1, 1, Some("Card_Arrival"));
    assert_eq!(lessons(&desk, "card_arrival"), known + 2);
    assert_eq!(uses(&desk).iter().sum::<u32>(), accepted + edited + written + 2);
    assert_eq!(fold(&desk.log, |_| true).encode(), desk.model.encode());
}

#[test]
fn a_reply_after_the_verdict_edited_founds_nothing() {
    let mut desk = taught(4);
    let ticket = desk.opens("Bob <bob@y.example>", QUESTION);
    let reply = desk.suggest(ticket).replies.first().unwrap().clone();
    let ([accepted, edited, written], before) = (uses(&desk), intents(&desk).len());
    judges(&mut desk, ticket, reply.id, "edited");
    desk.replies_by(ticket, 2, OWN, made_of(reply.id));
    assert_eq!(intents(&desk).len(), before);
    assert_eq!(uses(&desk), [accepted, edited + 1, written + 1]);
    // One that is still the suggestion but for small changes is no second use.
    for (is_told_apart, word) in [(true, " Thanks"), (false, " Please")] {
        let ticket = desk.opens("Eve <eve@y.example>", QUESTION);
        let [accepted, edited, written] = uses(&desk);
        if is_told_apart {
            judges(&mut desk, ticket, reply.id, "edited");
        }
        let text = reply.text.replace("Bob", "Eve") + word;
        desk.replies_by(ticket, 2, &text, made_of(reply.id));
        assert_eq!(uses(&desk), [accepted, edited + 1, written], "{is_told_apart}");
    }
    assert_eq!(fold(&desk.log, |_| true).encode(), desk.model.encode());
}

#[test]
fn a_new_label_moves_what_was_learned() {
    let mut desk = taught(4);
    let ticket = desk.opens("Bob <bob@y.example>", QUESTION);
    let reply = desk.suggest(ticket).replies.first().unwrap().clone();
    desk.replies_by(ticket, 2, &reply.text, made_of(reply.id));
    let (before, used) = (intents(&desk), uses(&desk));
    let names = ["invoice", "card_arrival", "invoice", "refund_status", "card_arrival"];
    for name in names {
        desk.labels(ticket, 2, 1, Some(name));
        assert_eq!(uses(&desk), used, "{name}");
        let all =
            |intents: &[(String, u32, usize)]| intents.iter().map(|(_, lessons, _)| lessons).sum::<u32>();
        assert_eq!(all(&intents(&desk)), all(&before), "{name}");
    }
    assert_eq!(intents(&desk), before, "it is what it was first");
    desk.labels(ticket, 2, 1, Some("invoice"));
    let invoice = intents(&desk).into_iter().find(|(name, ..)| name == "invoice").unwrap();
    let was = before.iter().find(|(name, ..)| name == "invoice").unwrap();
    assert_eq!((invoice.1, invoice.2), (was.1 + 1, was.2 + 1), "with its reply");
    assert_eq!(fold(&desk.log, |place| place % 3 == 0).encode(), desk.model.encode());
}

#[test]
fn a_vote_for_a_name_counts_once_for_each_message() {
    let mut desk = Desk::default();
    let reply = "We can look at that for you, please tell us more about the whole matter.";
    for text in [
        "my saddle squeaks",
        "the bell is broken",
        "which pump fits",
        "is the lamp bright",
        "a wheel wobbles",
    ] {
        let ticket = desk.opens("Ana <ana@x.example>", text);
        desk.replies(ticket, 1, reply);
    }
    let unnamed = intents(&desk).first().unwrap().0.clone();
    assert_eq!(intents(&desk), [(unnamed.clone(), 5, 1)]);
    for name in ["saddles", &unnamed, "saddles", &unnamed, "saddles", &unnamed, "saddles"] {
        desk.labels(1, 1, 1, Some(name));
    }
    assert_eq!((lessons(&desk, &unnamed), lessons(&desk, "saddles")), (4, 1), "one of five is no majority");
    for ticket in 2..4 {
        desk.labels(ticket, 1, 1, Some("saddles"));
    }
    assert_eq!(intents(&desk), [("saddles".to_owned(), 5, 1)], "three of five are");
}

/// A desk whose model knows the question, by many that were answered as suggested.
fn sure() -> Desk {
    let mut desk = taught(10);
    for round in 0..60 {
        let ticket = desk.opens(&format!("Ann <a{round}@x.example>"), &format!("{QUESTION} {round}"));
        let reply = desk.suggest(ticket).replies.first().unwrap().clone();
        desk.replies_by(ticket, 2, &reply.text, made_of(reply.id));
    }
    desk
}

#[test]
fn what_was_answered_like_nothing_before_was_suggested_wrongly() {
    let mut desk = sure();
    let of = |desk: &Desk| {
        let report = desk.model.report();
        let intent = report.intents.into_iter().find(|intent| intent.name == "card_arrival").unwrap();
        (report.labelled, intent.precision.unwrap())
    };
    let (labelled, precision) = of(&desk);
    let answers = [
        "Birds like these nest below the roof until autumn; nobody may disturb them there.",
        "Tomorrow the mayor opens another tunnel, so every tram stops at the harbour instead.",
        "Your aunt left an umbrella near window nine; somebody keeps it behind the counter.",
        "Snow fell overnight and three villages lost power, engineers hope to repair lines soon.",
    ];
    for (round, answer) in answers.iter().enumerate() {
        let ticket =
            desk.opens(&format!("Cy <c{round}@x.example>"), &format!("Where is my new card then, {round}?"));
        assert_eq!(desk.suggest(ticket).answer, crate::learn::Answer::Known);
        desk.replies(ticket, 2, answer);
    }
    let (labelled_after, precision_after) = of(&desk);
    assert_eq!(labelled_after, labelled + 4);
    assert!(precision_after < precision - 0.03, "{precision_after} of {precision}");
    // A few words tell nothing of what was wanted.
    let ticket = desk.opens("Di <d@x.example>", "Where is my new card then?");
    desk.replies(ticket, 2, "One moment!");
    assert_eq!(of(&desk), (labelled_after, precision_after));
}

#[test]
fn the_same_text_of_one_requester_is_evidence_once() {
    let mut desk = taught(3);
    let [right, wrong] = ["invoice", "card_arrival"].map(|name| desk.model.names.find(name).unwrap());
    let predicted = Predicted { champion: Some((wrong, 0.9)), challenger: Some((right, 0.9)) };
    let before = desk.model.report().trial.unwrap().challenger_only;
    for (requester, text, wanted) in [
        ("Bob <bob@y.example>", "send me the bill", 1),
        ("Bob <bob@y.example>", "send me the bill", 1),
        ("Eve <eve@y.example>", "send me the bill", 2),
        ("Bob <bob@y.example>", "send me that bill", 3),
        ("Bob Ray <bob@y.example>", "send me the bill", 3),
    ] {
        let ticket = desk.opens(requester, text);
        let asked = desk.ask(ticket).asked;
        desk.model.score(&predicted, Some(right), &asked, AgentId(1));
        let after = desk.model.report().trial.unwrap().challenger_only;
        assert_eq!(after - before, wanted, "{requester}: {text}");
    }
}
