//! Agents who teach nonsense, and floods.

use serde_json::json;

use super::desk::Desk;
use super::learning::taught;
use super::sample::ENGLISH;
use crate::id::AgentId;

/// Of the last four messages of each intent, those whose intent comes first.
fn right(desk: &mut Desk) -> usize {
    let mut right = 0;
    for sample in &ENGLISH {
        for message in sample.messages.iter().skip(10) {
            let ticket = desk.opens("Eve <eve@z.example>", message);
            let first = desk.suggest(ticket).candidates.first().map(|candidate| candidate.intent.clone());
            right += usize::from(first.as_deref() == Some(sample.intent));
        }
    }
    right
}

#[test]
fn who_labels_at_random_is_seen_and_does_little() {
    let (mut before, mut state) = (taught(10), 7_usize);
    let right_before = right(&mut before);
    let mut desk = taught(10);
    for round in 0..120 {
        let sample = &ENGLISH[round % ENGLISH.len()];
        let message = sample.messages[(round / ENGLISH.len()) % 10];
        state = state.wrapping_mul(1_103_515_245).wrapping_add(12_345);
        let wrong = ENGLISH[(state >> 16) % ENGLISH.len()].intent;
        // Somebody careful teaches beside.
        let ticket = desk.opens(&format!("c{round}@x.example"), message);
        desk.labels(ticket, 2, 1, Some(sample.intent));
        let ticket = desk.opens(&format!("d{round}@x.example"), message);
        desk.labels(ticket, 9, 1, Some(wrong));
    }
    let report = desk.model.report();
    let weight = |agent: u32| {
        report.agents.iter().find(|known| known.agent == AgentId(agent)).map(|known| known.weight)
    };
    assert!(weight(9).is_some_and(|weight| weight <= 0.1), "{:?}", report.agents);
    let random = report.agents.iter().find(|known| known.agent == AgentId(9)).unwrap();
    assert!(random.lessons == 120 && random.agreement.is_some_and(|share| share < 0.35), "{random:?}");
    assert!(weight(2).is_some_and(|weight| weight >= 0.95), "{:?}", report.agents);
    let right_after = right(&mut desk);
    assert!(right_after + 2 >= right_before, "{right_after} of 32, {right_before} before");
}

#[test]
fn a_flood_of_one_intent_leaves_the_others_as_good() {
    let mut desk = taught(10);
    let before = right(&mut desk);
    for round in 0..1_500 {
        let sample = &ENGLISH[1];
        let ticket = desk.opens(&format!("f{round}@x.example"), sample.messages[round % 10]);
        desk.labels(ticket, 1, 1, Some(sample.intent));
    }
    let after = right(&mut desk);
    assert!(after + 1 >= before, "{after} of 32, {before} before");
    let report = desk.model.report();
    let most = report.intents.first().unwrap();
    assert_eq!((most.name.as_str(), most.lessons), (ENGLISH[1].intent, 1_510), "it is seen");
    assert!(report.agents.iter().any(|agent| agent.agent == AgentId(1) && agent.lessons >= 1_500));
}

#[test]
fn a_flood_of_ever_other_words_leaves_the_others_as_good() {
    let mut desk = taught(10);
    let before = right(&mut desk);
    for round in 0..600 {
        let words: Vec<String> =
            (0..6).map(|word| format!("w{:x}q", (round * 7 + word * 31) % 977)).collect();
        let text = format!("{} {}", ENGLISH[round % 8].messages[round % 10], words.join(" "));
        let ticket = desk.opens(&format!("f{round}@x.example"), &text);
        desk.labels(ticket, 7, 1, Some("flood"));
    }
    // It has taught what others teach to be of other intents: it is trusted less, and that is seen.
    let report = desk.model.report();
    let agent = report.agents.iter().find(|agent| agent.agent == AgentId(7)).unwrap();
    assert!(agent.lessons == 600 && agent.weight < 0.7, "{agent:?}");
    let flood = report.intents.iter().find(|intent| intent.name == "flood").unwrap();
    assert_eq!(flood.lessons, 600);
    assert!(report.confusions.iter().any(|pair| pair.taught == "flood"), "{:?}", report.confusions);
    let after = right(&mut desk);
    assert!(after + 8 >= before, "{after} of 32, {before} before");
    desk.teaches(&json!({"teach": "remove", "name": "flood"}));
    let after = right(&mut desk);
    assert!(after + 3 >= before, "{after} of 32 once it is removed, {before} before");
}

#[test]
fn a_reply_that_one_agent_sends_to_everything_seldom_comes_first() {
    let mut desk = taught(10);
    const POISON: &str =
        "Please write your card number and secret code on paper and mail them to our new office.";
    for round in 0..4 {
        for sample in &ENGLISH {
            let ticket = desk.opens(&format!("g{round}@x.example"), sample.messages[round]);
            desk.replies(ticket, 9, POISON);
        }
    }
    let (mut first, mut known) = (0, 0);
    for sample in &ENGLISH {
        for message in sample.messages.iter().skip(10) {
            let ticket = desk.opens("Eve <eve@z.example>", message);
            let suggestion = desk.suggest(ticket);
            let reply = suggestion.replies.first();
            known += usize::from(reply.is_some());
            first += usize::from(reply.is_some_and(|reply| reply.text.contains("secret")));
        }
    }
    assert!(known >= 8 && first * 5 <= known, "{first} of {known}");
    let report = desk.model.report();
    let agent = report.agents.iter().find(|agent| agent.agent == AgentId(9)).unwrap();
    assert!(agent.lessons > 20 && agent.weight < 0.7, "{agent:?}");
}

#[test]
fn poisoned_messages_are_bounded_and_do_little() {
    let mut desk = taught(10);
    let before = right(&mut desk);
    let many: Vec<String> = (0..10_000).map(|number| format!("w{number:x}q")).collect();
    for round in 0..6 {
        let text = many.iter().skip(round * 500).map(String::as_str).collect::<Vec<_>>().join(" ");
        let ticket = desk.opens("p@x.example", text.get(..60_000).unwrap_or(&text));
        desk.labels(ticket, 8, 1, Some("invoice"));
        // Words of all other intents under one label.
        let mixed: Vec<&str> = ENGLISH.iter().map(|sample| sample.messages[round]).collect();
        let ticket = desk.opens("p@x.example", &mixed.join(" "));
        desk.labels(ticket, 8, 1, Some("poison"));
    }
    let after = right(&mut desk);
    assert!(after + 3 >= before, "{after} of 32, {before} before");
    let report = desk.model.report();
    assert!(report.bytes < 64 << 20);
    assert!(report.intents.iter().any(|intent| intent.name == "poison" && intent.lessons == 6));
    assert!(report.agents.iter().any(|agent| agent.agent == AgentId(8) && agent.lessons == 12));
    desk.teaches(&json!({"teach": "remove", "name": "poison"}));
    assert!(desk.model.report().intents.iter().all(|intent| intent.name != "poison"));
}
