//! What is counted for a message: once, in its own queue, and on the right clock.

use std::collections::BTreeMap;

use serde_json::json;

use super::desk::{Desk, OWN, QUESTION, fold, judges, lessons, made_of, uses};
use super::learning::taught;
use crate::id::{AgentId, QueueId, Version};
use crate::learn::dialogue::{Person, wording_of};
use crate::learn::intent::IntentId;
use crate::learn::lesson::{Judged, Replied};
use crate::learn::suggestion::{Source, SuggestedReply};
use crate::ticket::Verdict;

/// A ticket with the question, and the reply that is suggested for it.
fn asks(desk: &mut Desk) -> (u64, SuggestedReply) {
    let ticket = desk.opens("Bob <bob@y.example>", QUESTION);
    let reply = desk.suggest(ticket).replies.first().unwrap().clone();
    (ticket, reply)
}

/// What happens to a ticket, of a suggested reply and another one's number.
type Step = fn(&mut Desk, u64, &SuggestedReply, u64);

#[test]
fn a_message_has_one_use_whatever_the_order() {
    let sends: Step = |desk, ticket, reply, _| {
        desk.replies_by(ticket, 2, &reply.text, made_of(reply.id));
    };
    let writes: Step = |desk, ticket, reply, _| {
        desk.replies(ticket, 2, &reply.text);
    };
    let writes_own: Step = |desk, ticket, _, _| {
        desk.replies(ticket, 2, OWN);
    };
    let changes: Step = |desk, ticket, reply, _| {
        desk.replies_by(ticket, 2, OWN, made_of(reply.id));
    };
    let accepts: Step = |desk, ticket, reply, _| judges(desk, ticket, reply.id, "accepted");
    let edits: Step = |desk, ticket, reply, _| judges(desk, ticket, reply.id, "edited");
    let accepts_other: Step = |desk, ticket, _, other| judges(desk, ticket, other, "accepted");
    let orders: [(&str, &[Step], [u32; 3]); 11] = [
        ("sent, accepted", &[sends, accepts], [1, 0, 0]),
        ("accepted, sent", &[accepts, sends], [1, 0, 0]),
        ("written, accepted", &[writes, accepts], [0, 0, 1]),
        ("accepted, another accepted", &[accepts, accepts_other], [1, 0, 0]),
        ("another accepted, sent", &[accepts_other, sends], [1, 0, 0]),
        ("another accepted, changed", &[accepts_other, changes], [0, 1, 1]),
        ("sent, another accepted", &[sends, accepts_other], [1, 0, 0]),
        ("accepted, another text written", &[accepts, writes_own], [0, 0, 1]),
        // What a suggestion was changed into is the use; that it was changed is noted beside it, once.
        ("edited, another text written", &[edits, writes_own], [0, 1, 1]),
        ("another text written, edited", &[writes_own, edits], [0, 1, 1]),
        ("changed, edited", &[changes, edits], [0, 1, 1]),
    ];
    for (order, steps, more) in orders {
        let mut desk = taught(2);
        let (ticket, reply) = asks(&mut desk);
        let other = desk.model.replies.all().map(|other| other.id).find(|other| *other != reply.id).unwrap();
        let before = uses(&desk);
        steps.iter().for_each(|step| step(&mut desk, ticket, &reply, other));
        let [accepted, edited, written] = uses(&desk);
        assert_eq!([accepted - before[0], edited - before[1], written - before[2]], more, "{order}");
        assert_eq!(fold(&desk.log, |_| true).encode(), desk.model.encode(), "{order}");
    }
}

#[test]
fn no_verdict_brings_a_reply_into_a_queue_where_it_was_never_sent() {
    let mut desk = taught(4);
    let (ticket, reply) = asks(&mut desk);
    let mut asked = desk.ask(ticket).asked;
    asked.context.queue = QueueId(2);
    let (context, intent) = (asked.context.clone(), desk.model.replies.find(reply.id).unwrap().0);
    let (agent, before) = (AgentId(2), uses(&desk));
    for verdict in [Verdict::Accepted, Verdict::Edited, Verdict::Rejected] {
        let judged = Judged { asked: asked.clone(), agent, reply: reply.id, verdict };
        assert!(!desk.model.judge(&judged));
    }
    assert_eq!((uses(&desk), desk.model.replies.ranked(intent, &context).len()), (before, 0));
    let replied = Replied {
        source: Source { ticket: asked.ticket, version: Version(2) },
        asked,
        agent,
        wording: Some(wording_of(OWN, &Person::of("", None))),
        made_of: Some(reply.id),
        made_with: None,
        corrects: Some(reply.id),
    };
    desk.model.reply(&replied, &mut Vec::new());
    assert_eq!(uses(&desk), [before[0], before[1], before[2] + 1]);
    let mut shown = desk.model.names.entries.keys().flat_map(|of| desk.model.replies.ranked(*of, &context));
    assert!(shown.all(|shown| shown.id != reply.id), "what it corrects does not come over, either");
}

#[test]
fn a_message_votes_for_the_name_that_it_was_given_last() {
    let mut desk = Desk::default();
    for text in [
        "my saddle squeaks",
        "the bell is broken",
        "which pump fits",
        "is the lamp bright",
        "a wheel wobbles",
    ] {
        let ticket = desk.opens("Ana <ana@x.example>", text);
        desk.replies(ticket, 1, "We can look at that for you, please tell us more about the whole matter.");
    }
    let unnamed = desk.model.report().intents.first().unwrap().name.clone();
    let votes = |desk: &Desk| -> BTreeMap<IntentId, u32> {
        let entry = &desk.model.names.entries[&desk.model.names.find(&unnamed).unwrap()];
        entry.votes.iter().filter(|(_, votes)| **votes > 0).map(|(name, votes)| (*name, *votes)).collect()
    };
    desk.labels(1, 1, 1, Some("saddles"));
    desk.labels(1, 1, 1, Some("wheels"));
    let [saddles, wheels] = ["saddles", "wheels"].map(|name| desk.model.names.find(name).unwrap());
    assert_eq!(votes(&desk), BTreeMap::from([(wheels, 1)]));
    assert_eq!(lessons(&desk, &unnamed), 4, "one of five is no majority");
    desk.labels(2, 1, 1, Some("saddles"));
    // One that never was of it takes no vote of others away.
    let ticket = desk.opens("Ana <ana@x.example>", "my seat is torn");
    desk.labels(ticket, 1, 1, Some("saddles"));
    desk.labels(ticket, 1, 1, Some(&unnamed));
    assert_eq!(votes(&desk), BTreeMap::from([(saddles, 1), (wheels, 1)]));
    desk.labels(2, 1, 1, None);
    assert_eq!(votes(&desk), BTreeMap::from([(wheels, 1)]));
    assert_eq!(fold(&desk.log, |_| true).encode(), desk.model.encode());
}

#[test]
fn an_accepted_reply_is_of_the_intent_that_its_message_is_said_to_be_of() {
    for is_verdict_first in [true, false] {
        let mut desk = taught(4);
        let (ticket, reply) = asks(&mut desk);
        let invoice = desk.model.names.find("invoice").unwrap();
        let (before, used) = (desk.model.replies.count(invoice), uses(&desk));
        desk.labels(ticket, 2, 1, Some("invoice"));
        if is_verdict_first {
            judges(&mut desk, ticket, reply.id, "accepted");
        }
        desk.replies_by(ticket, 2, &reply.text, made_of(reply.id));
        judges(&mut desk, ticket, reply.id, "accepted");
        assert_eq!(uses(&desk), [used[0] + 1, used[1], used[2]], "{is_verdict_first}");
        assert_eq!(desk.model.replies.count(invoice), before + 1, "{is_verdict_first}");
        let known = desk.model.replies.find(reply.id).unwrap().1;
        assert_eq!(known.accepted, 0, "{is_verdict_first}");
    }
}

#[test]
fn a_macro_counts_after_a_label_of_nothing_known() {
    let mut desk = taught(4);
    let (ticket, reply) = asks(&mut desk);
    desk.labels(ticket, 2, 1, None);
    judges(&mut desk, ticket, reply.id, "accepted");
    let (before, used) = (lessons(&desk, "invoice"), uses(&desk));
    desk.replies_by(ticket, 2, &reply.text, json!({"macro": "invoice"}));
    assert_eq!((lessons(&desk, "invoice"), uses(&desk)), (before + 1, used));
}

#[test]
fn a_long_reply_with_a_macro_takes_the_use_along() {
    let mut desk = taught(4);
    let (ticket, reply) = asks(&mut desk);
    judges(&mut desk, ticket, reply.id, "accepted");
    let invoice = desk.model.names.find("invoice").unwrap();
    let (before, used) = (desk.model.replies.count(invoice), uses(&desk));
    desk.replies_by(ticket, 2, &"so many words ".repeat(400), json!({"macro": "invoice"}));
    assert_eq!((desk.model.replies.count(invoice), uses(&desk)), (before + 1, used));
}

#[test]
fn what_makes_up_a_half_lesson_is_no_second_one() {
    let mut desk = taught(4);
    let (ticket, reply) = asks(&mut desk);
    let before = desk.model.newest.len();
    desk.replies(ticket, 2, &reply.text);
    desk.labels(ticket, 2, 1, Some("card_arrival"));
    let agents = desk.model.report().agents;
    let agent = agents.iter().find(|known| known.agent == AgentId(2)).unwrap();
    assert_eq!((agent.lessons, desk.model.newest.len()), (1, before + 1));
    desk.labels(ticket, 2, 1, Some("invoice"));
    assert_eq!(desk.model.newest.len(), before + 2, "another label is another lesson");
}

#[test]
fn a_name_is_made_as_it_is_shown_and_an_intent_is_not_lost_in_itself() {
    let mut desk = taught(2);
    desk.teaches(&json!({"teach": "create", "name": "#refunds "}));
    assert_eq!(desk.model.names.name(desk.model.names.find("refunds").unwrap()), "refunds");
    let invoice = desk.model.names.find("invoice").unwrap();
    let before = desk.model.replies.count(invoice);
    assert!(desk.model.replies.merge(invoice, invoice).became.is_empty() && before > 0);
    assert_eq!(desk.model.replies.count(invoice), before);
}
