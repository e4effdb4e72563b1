//! What is learned of dialogues, and how soon.

use serde_json::json;

use super::desk::{Desk, fold};
use super::sample::{CHINESE, ENGLISH, OTHER, Sample};
use crate::learn::{Answer, Notice, Suggestion};
use crate::ticket::{Actor, Kind};

fn samples() -> impl Iterator<Item = &'static Sample> {
    ENGLISH.iter().chain(&CHINESE)
}

/// A desk that has had so many dialogues of each intent.
pub(super) fn taught(examples: usize) -> Desk {
    let mut desk = Desk::default();
    for round in 0..examples {
        for (place, sample) in samples().enumerate() {
            let requester = format!("Kim <kim{place}@x{round}.example>");
            let Some(message) = sample.messages.get(round) else { continue };
            desk.dialogue(&requester, message, sample.intent, sample.reply);
        }
    }
    desk
}

fn ranks_among(suggestion: &Suggestion, intent: &str, most: usize) -> bool {
    suggestion.candidates.iter().take(most).any(|candidate| candidate.intent == intent)
}

/// Shares of 44 paraphrases, four of each intent, whose intent is the first candidate and among the first three.
fn shares(examples: usize) -> (f32, f32) {
    let mut desk = taught(examples);
    let (mut first, mut three, mut all) = (0.0, 0.0, 0.0);
    for sample in samples() {
        for message in sample.messages.iter().skip(10) {
            let ticket = desk.opens("Bob <bob@y.example>", message);
            let suggestion = desk.suggest(ticket);
            first += f32::from(u8::from(ranks_among(&suggestion, sample.intent, 1)));
            three += f32::from(u8::from(ranks_among(&suggestion, sample.intent, 3)));
            all += 1.0;
        }
    }
    (first / all, three / all)
}

#[test]
fn paraphrases_are_known_after_one_and_better_after_five_and_ten() {
    let shares: Vec<(usize, (f32, f32))> = [1, 5, 10].map(|examples| (examples, shares(examples))).into();
    for ((_, (first, three)), (wanted_first, wanted_three)) in
        shares.iter().zip([(0.6, 0.8), (0.85, 0.93), (0.9, 0.95)])
    {
        assert!(*first >= wanted_first && *three >= wanted_three, "{shares:?}");
    }
}

#[test]
fn one_reply_to_a_new_question_is_suggested_for_its_paraphrases() {
    let mut desk = taught(3);
    let ticket = desk.opens("Ana <ana@x.example>", "Can I gift wrap my purchase?");
    desk.replies(ticket, 1, "Hi Ana, yes: tick the box for gift wrap in your basket.");
    let mut found = 0;
    let paraphrases = [
        "can you gift wrap it",
        "do you offer gift wrapping?",
        "I want my purchase gift wrapped",
        "is gift wrap available",
        "Please wrap it as a gift",
    ];
    for text in paraphrases {
        let ticket = desk.opens("Bob Ray <bob@y.example>", text);
        let suggestion = desk.suggest(ticket);
        found += usize::from(
            suggestion.candidates.iter().take(3).any(|candidate| candidate.intent.starts_with('#')),
        );
    }
    assert!(found >= 4, "{found} of {}", paraphrases.len());
    let ticket = desk.opens("Bob Ray <bob@y.example>", "Can I gift wrap my purchase?");
    let suggestion = desk.suggest(ticket);
    let text = suggestion.replies.first().map(|reply| reply.text.as_str());
    assert_eq!(text, Some("Hi Bob, yes: tick the box for gift {text} in your basket."), "{suggestion:?}");
    // A second customer who hears the same words makes them everybody's, and a label names the intent.
    desk.replies(ticket, 1, "Hi Bob, yes: tick the box for gift wrap in your basket.");
    desk.labels(ticket, 1, 1, Some("gift_wrap"));
    assert!(
        desk.notices
            .iter()
            .any(|notice| matches!(notice, Notice::Merged { into, .. } if into == "gift_wrap"))
    );
    let ticket = desk.opens("Eve <eve@z.example>", "Can I gift wrap my purchase?");
    let suggestion = desk.suggest(ticket);
    assert_eq!(
        suggestion.intent.as_ref().map(|intent| intent.name.as_str()),
        Some("gift_wrap"),
        "{suggestion:?}"
    );
    let reply = suggestion.replies.first().unwrap();
    assert_eq!(reply.text, "Hi Eve, yes: tick the box for gift wrap in your basket.");
    assert_eq!((reply.written, reply.from.len()), (2, 2));
    assert!(
        suggestion.why.contains("gift_wrap at") && suggestion.why.contains("tickets 4"),
        "{}",
        suggestion.why
    );
}

#[test]
fn what_was_never_asked_is_unknown() {
    let mut desk = taught(10);
    let mut unknown = 0;
    for text in OTHER {
        let ticket = desk.opens("Bob <bob@y.example>", text);
        let suggestion = desk.suggest(ticket);
        unknown += usize::from(suggestion.answer == Answer::Unknown && suggestion.replies.is_empty());
    }
    assert!(unknown >= 9, "{unknown} of {}", OTHER.len());
    let ticket = desk.opens("Bob <bob@y.example>", "");
    assert_eq!(desk.suggest(ticket).answer, Answer::Unknown);
}

#[test]
fn suggestions_are_counted_by_what_became_of_them() {
    let mut desk = taught(4);
    let ask = |desk: &mut Desk| {
        let ticket = desk.opens("Bob <bob@y.example>", "Where is my new card?");
        let reply = desk.suggest(ticket).replies.first().unwrap().clone();
        (ticket, reply)
    };
    let (ticket, reply) = ask(&mut desk);
    let origin = |id: u64| json!({"suggestion": {"model": 1, "reply": id}});
    desk.replies_by(ticket, 2, &format!("{}\n", reply.text), origin(reply.id));
    let (ticket, accepted) = ask(&mut desk);
    assert_eq!(
        (accepted.id, accepted.accepted, accepted.edited),
        (reply.id, reply.accepted + 1, reply.edited)
    );
    desk.replies_by(
        ticket,
        2,
        &format!("{} We are sorry that it took so long and thank you for waiting.", reply.text),
        origin(reply.id),
    );
    let (ticket, edited) = ask(&mut desk);
    assert_eq!((edited.accepted, edited.edited), (accepted.accepted, reply.edited + 1));
    // A verdict that comes apart from its reply counts once.
    let data = json!({"message": 1, "reply": reply.id, "model": 1, "verdict": "accepted"});
    desk.happens(ticket, Kind::Feedback, Actor::Agent(crate::id::AgentId(2)), &data);
    desk.replies_by(ticket, 2, &reply.text, origin(reply.id));
    let (ticket, judged) = ask(&mut desk);
    assert_eq!((judged.accepted, judged.written), (edited.accepted + 1, edited.written));
    let data = json!({"message": 1, "reply": reply.id, "model": 1, "verdict": "rejected"});
    desk.happens(ticket, Kind::Feedback, Actor::Agent(crate::id::AgentId(2)), &data);
    let (_, rejected) = ask(&mut desk);
    assert_eq!(rejected.rejected, reply.rejected + 1);
}

#[test]
fn intents_come_from_tags_macros_and_labels_and_the_newest_label_counts() {
    let mut desk = taught(3);
    let agent = Actor::Agent(crate::id::AgentId(3));
    let names =
        |desk: &Desk| desk.model.report().intents.into_iter().map(|intent| intent.name).collect::<Vec<_>>();
    let ticket = desk.opens("Bob <bob@y.example>", "do you sell bicycle bells");
    desk.happens(ticket, Kind::Set, agent, &json!({"tags": {"vip": true}}));
    assert!(!names(&desk).contains(&"vip".to_owned()), "a tag without the prefix is none");
    desk.happens(ticket, Kind::Set, agent, &json!({"tags": {"intent:bells": true}}));
    desk.happens(ticket, Kind::Set, Actor::Requester, &json!({"tags": {"intent:mine": true}}));
    let ticket = desk.opens("Bob <bob@y.example>", "which saddle fits my bicycle");
    desk.replies_by(ticket, 1, "All of our saddles fit.", json!({"macro": "Saddles"}));
    let known = names(&desk);
    assert!(["bells", "Saddles"].iter().all(|name| known.contains(&(*name).to_owned())), "{known:?}");
    assert!(!known.contains(&"mine".to_owned()));
    desk.teaches(&json!({"teach": "settings", "tag_prefix": ""}));
    let ticket = desk.opens("Bob <bob@y.example>", "my bicycle has a flat tyre");
    desk.happens(ticket, Kind::Set, agent, &json!({"tags": {"flat-tyre": true}}));
    assert!(names(&desk).contains(&"flat-tyre".to_owned()));
    // It was a mistake: the second label of the same message is the one that counts.
    desk.labels(ticket, 1, 1, Some("repairs"));
    let again = desk.opens("Eve <eve@y.example>", "my bicycle has a flat tyre");
    let first = desk.suggest(again).candidates.first().map(|candidate| candidate.intent.clone());
    assert_eq!(first.as_deref(), Some("repairs"));
    desk.labels(again, 1, 1, None);
    assert!(desk.model.report().labelled > 0);
}

#[test]
fn the_same_log_gives_the_same_bytes_whenever_dialogues_are_dropped() {
    let mut desk = taught(3);
    let ticket = desk.opens("Bob <bob@y.example>", "Where is my card?");
    desk.writes(ticket, "I mean the new one");
    desk.replies(ticket, 2, "Hi Bob, it is on its way.");
    desk.writes(ticket, "thanks");
    desk.labels(ticket, 2, 2, Some("card_arrival"));
    let bytes = desk.model.encode();
    assert_eq!(fold(&desk.log, |_| false).encode(), bytes);
    assert_eq!(fold(&desk.log, |_| true).encode(), bytes);
    assert_eq!(fold(&desk.log, |place| place % 7 == 3).encode(), bytes);
}
