//! Replies without a human: when, and above all when not.

use serde_json::json;

use super::desk::{Desk, QUEUE};
use super::learning::taught;
use super::sample::{ENGLISH, OTHER};
use crate::id::AgentId;
use crate::learn::{Automatic, HANDED_OVER_TAG};
use crate::ticket::{Actor, Kind};
use crate::time::Timestamp;

/// A desk that may reply by itself, and has agreed with what it was suggested.
fn desk(per_ticket: u32, per_hour: u32) -> Desk {
    let mut desk = taught(10);
    for round in 0..60 {
        let sample = &ENGLISH[round % ENGLISH.len()];
        let ticket = desk.opens(&format!("Ann <a{round}@x.example>"), sample.messages[(round / 8) % 10]);
        let suggested = desk.suggest(ticket).replies.first().cloned();
        match suggested {
            Some(reply) => {
                let origin = json!({"suggestion": {"model": 1, "reply": reply.id}});
                desk.replies_by(ticket, 2, &reply.text, origin);
            }
            None => {
                desk.labels(ticket, 2, 1, Some(sample.intent));
                desk.replies(ticket, 2, sample.reply);
            }
        }
    }
    let mode = json!({"teach": "mode", "queue": 1, "mode": "auto", "precision": 0.8, "per_ticket": per_ticket, "per_hour": per_hour});
    desk.teaches(&mode);
    desk
}

fn decided(desk: &Desk, ticket: u64) -> Automatic {
    desk.model.automatic(&desk.ask(ticket), Timestamp(desk.now))
}

fn sends(desk: &mut Desk, ticket: u64) -> bool {
    let Automatic::Send { reply, text, .. } = decided(desk, ticket) else { return false };
    let data = json!({"text": text, "automatic": true, "suggestion": {"model": 1, "reply": reply}});
    desk.happens(ticket, Kind::Reply, Actor::System, &data);
    true
}

const QUESTION: &str = "Where is my new card?";

#[test]
fn a_known_question_is_answered_with_what_the_ticket_has() {
    let mut desk = desk(2, 10);
    let ticket = desk.opens("Bob Ray <bob@y.example>", QUESTION);
    let Automatic::Send { text, intent, .. } = decided(&desk, ticket) else {
        panic!("{:?}", decided(&desk, ticket))
    };
    assert_eq!(intent, "card_arrival");
    assert_eq!(text, "Hi Bob, your new card is on its way and will be with you within 5 working days.");
    let nameless = desk.opens("bob@y.example", QUESTION);
    assert!(matches!(decided(&desk, nameless), Automatic::No { .. }), "nobody's name is in the ticket");
    let off = json!({"teach": "mode", "queue": 1, "mode": "suggest", "precision": 0.8});
    desk.teaches(&off);
    assert!(matches!(decided(&desk, ticket), Automatic::No { .. }));
    assert!(matches!(desk.model.mode(QUEUE), crate::learn::Mode::Suggest { .. }));
}

#[test]
fn a_human_comes_between_two_and_caps_hold() {
    let mut desk = desk(2, 3);
    let ticket = desk.opens("Bob Ray <bob@y.example>", QUESTION);
    assert!(sends(&mut desk, ticket));
    desk.writes(ticket, "And when are you open?");
    assert!(matches!(decided(&desk, ticket), Automatic::No { .. }), "no human since the last one");
    desk.replies(ticket, 1, "Hello! Our shop is open Monday to Saturday from morning to evening.");
    desk.writes(ticket, "How do I reset my password?");
    assert!(sends(&mut desk, ticket), "{:?}", decided(&desk, ticket));
    desk.replies(ticket, 1, "Anything else?");
    desk.writes(ticket, "Where is my refund?");
    assert!(matches!(decided(&desk, ticket), Automatic::No { .. }), "two are enough for a ticket");
    let next = desk.opens("Cy Ray <cy@y.example>", QUESTION);
    assert!(sends(&mut desk, next));
    let next = desk.opens("Di Ray <di@y.example>", QUESTION);
    assert!(matches!(decided(&desk, next), Automatic::No { .. }), "three are enough for an hour");
    desk.now += 3_600_000;
    assert!(sends(&mut desk, next));
}

#[test]
fn the_first_sign_of_trouble_hands_over_for_good() {
    for (sign, is_handed_over) in [
        ("I want to talk to a human", true),
        ("This is ridiculous, I will complain", true),
        ("Where is my new card??? Where is my new card!!!", true),
        ("where is my new card", true),
        ("Thanks, that helped", false),
    ] {
        let mut desk = desk(5, 50);
        let ticket = desk.opens("Bob Ray <bob@y.example>", QUESTION);
        let rejected = |desk: &Desk| {
            let Automatic::Send { reply, .. } = decided(desk, ticket) else { return 0 };
            desk.model.replies.find(reply).unwrap().1.rejected
        };
        let before = rejected(&desk);
        assert!(sends(&mut desk, ticket));
        desk.writes(ticket, sign);
        let handed_over = |desk: &Desk| matches!(decided(desk, ticket), Automatic::HandOver { .. });
        assert_eq!(handed_over(&desk), is_handed_over, "{sign}");
        desk.replies(ticket, 1, "I am looking into it for you now.");
        desk.writes(ticket, "What are your opening hours?");
        assert_eq!(handed_over(&desk), is_handed_over, "{sign}: also after a human has replied");
        let counted: u32 = desk.model.replies.all().map(|reply| reply.rejected).sum();
        assert_eq!(counted > before, is_handed_over, "{sign}: the reply is counted as wrong");
    }
}

#[test]
fn held_tickets_machines_and_tickets_of_humans_get_none() {
    let mut desk = desk(5, 50);
    for sender in ["no-reply@y.example", "Mailer <MAILER-DAEMON@y.example>"] {
        let ticket = desk.opens(sender, QUESTION);
        assert!(matches!(decided(&desk, ticket), Automatic::No { why } if why.contains("human")));
    }
    let ticket = desk.opens("Bob <bob@y.example>", "Out of office: where is my new card?");
    assert!(matches!(decided(&desk, ticket), Automatic::No { .. }));
    let ticket = desk.opens("Bob <bob@y.example>", QUESTION);
    let agent = Actor::Agent(AgentId(4));
    desk.happens(ticket, Kind::Claimed, agent, &json!({"agent": 4, "fence": 1}));
    assert!(matches!(decided(&desk, ticket), Automatic::No { why } if why.contains("holds")));
    desk.happens(ticket, Kind::Released, agent, &json!({}));
    assert!(matches!(decided(&desk, ticket), Automatic::Send { .. }));
    desk.happens(ticket, Kind::Set, Actor::System, &json!({"tags": {HANDED_OVER_TAG: true}}));
    assert!(matches!(decided(&desk, ticket), Automatic::No { .. }));
    let foreign: Vec<&str> = OTHER
        .into_iter()
        .filter(|text| {
            let ticket = desk.opens("Bob <bob@y.example>", text);
            matches!(decided(&desk, ticket), Automatic::Send { .. })
        })
        .collect();
    assert!(foreign.len() <= 1, "{foreign:?}");
}

/// Rejections of all replies, and what their uses count.
fn counted(desk: &Desk) -> (u32, String) {
    let rejected = desk.model.replies.all().map(|reply| reply.rejected).sum();
    (rejected, format!("{:?}", desk.model.replies))
}

#[test]
fn an_automatic_reply_has_one_outcome() {
    let mut desk = desk(5, 50);
    let ticket = desk.opens("Bob Ray <bob@y.example>", QUESTION);
    assert!(sends(&mut desk, ticket));
    let (before, _) = counted(&desk);
    for number in 0..10 {
        desk.writes(ticket, &format!("This is ridiculous, {number} days!!!"));
    }
    let (rejected, state) = counted(&desk);
    assert_eq!(rejected, before + 1, "ten angry messages are one rejection");
    desk.writes(ticket, "Still waiting");
    desk.writes(ticket, "Thanks, that helped");
    assert_eq!(counted(&desk).1, state, "thanks after trouble are for what came after it");
    desk.replies(ticket, 1, "I am looking into it for you now.");
    // Another automatic reply has an outcome of its own, whatever was before.
    let reply = desk.model.replies.all().next().unwrap().id;
    let data = json!({"text": "Hi", "automatic": true, "suggestion": {"model": 1, "reply": reply}});
    for (message, is_rejected) in [("and when does it come", false), ("thank you", false), ("useless", true)]
    {
        desk.writes(ticket, "Where is my refund?");
        desk.happens(ticket, Kind::Reply, Actor::System, &data);
        let before = counted(&desk).0;
        desk.writes(ticket, message);
        assert_eq!(counted(&desk).0 > before, is_rejected, "{message}");
    }
    let mut other = self::desk(5, 50);
    let ticket = other.opens("Bob Ray <bob@y.example>", QUESTION);
    assert!(sends(&mut other, ticket));
    other.writes(ticket, "thank you so much");
    let (before, _) = counted(&other);
    other.writes(ticket, "you are all idiots");
    other.replies(ticket, 1, "I am looking into it for you now.");
    assert_eq!(counted(&other).0, before, "it was thanked for");
}
