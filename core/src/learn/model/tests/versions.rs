//! Champions, rollbacks, and models as bytes.

use proptest::prelude::*;
use serde_json::json;

use super::desk::{Desk, fold};
use super::learning::taught;
use super::sample::ENGLISH;
use crate::id::Offset;
use crate::learn::{Dialogue, Model, Notice, Skips};

#[test]
fn promotion_bar_and_allow_are_part_of_the_fold() {
    let mut desk = taught(2);
    let (first, report) = (desk.model.version().recipe, desk.model.report());
    let second = report.challenger.unwrap().recipe;
    desk.teaches(&json!({"teach": "promote"}));
    assert_eq!(desk.model.version().recipe, second);
    assert_eq!(desk.model.version().version, Offset(desk.log.len() as u64));
    desk.teaches(&json!({"teach": "bar", "recipe": second}));
    assert_eq!(desk.model.version().recipe, first, "a barred champion goes");
    let third = desk.model.report().challenger.map(|challenger| challenger.recipe);
    assert!(third.is_some_and(|third| third != first && third != second), "another one challenges");
    desk.teaches(&json!({"teach": "promote", "recipe": second}));
    assert_eq!(desk.model.version().recipe, first);
    assert!(matches!(desk.notices.last(), Some(Notice::Ignored { .. })));
    desk.teaches(&json!({"teach": "bar", "recipe": third}));
    assert!(desk.model.report().challenger.is_none() && desk.model.report().barred.len() == 2);
    desk.teaches(&json!({"teach": "bar", "recipe": first}));
    assert!(matches!(desk.notices.last(), Some(Notice::Ignored { .. })), "one has to go on");
    desk.teaches(&json!({"teach": "allow", "recipe": second}));
    desk.teaches(&json!({"teach": "promote", "recipe": second}));
    assert_eq!(desk.model.version().recipe, second);
    assert_eq!(desk.model.report().promotions.len(), 3);
    desk.teaches(&json!({"teach": "settings", "challenger": false}));
    assert!(desk.model.report().challenger.is_none());
    assert_eq!(fold(&desk.log, |_| true).encode(), desk.model.encode());
}

#[test]
fn a_better_challenger_is_promoted_at_one_offset() {
    let mut desk = taught(3);
    let before = desk.model.version().recipe;
    // It alone is right in these, whatever the recipes are.
    (0..12).for_each(|text| desk.model.trial.note(text, true, false));
    let event = desk.opens("Bob <bob@y.example>", "Where is my card?");
    desk.labels(event, 1, 1, Some("card_arrival"));
    assert_ne!(desk.model.version().recipe, before);
    let promoted = desk.notices.iter().find(|notice| matches!(notice, Notice::Promoted { .. })).unwrap();
    assert!(matches!(promoted, Notice::Promoted { why, .. } if why.contains("e-value of")));
    let report = desk.model.report();
    assert_eq!(report.promotions.last().unwrap().offset, Offset(desk.log.len() as u64));
    assert!((report.trial.unwrap().e_value - 1.0).abs() < 1e-9, "evidence begins anew");
}

#[test]
fn a_rollback_is_the_model_as_it_was_and_settings_stay() {
    let mut desk = taught(2);
    let (to, then) = (desk.log.len() as u64, desk.model.encode());
    desk.teaches(&json!({"teach": "mode", "queue": 1, "mode": "off"}));
    for round in 0..20 {
        let ticket = desk.opens("Bob <bob@y.example>", ENGLISH[0].messages[round % 10]);
        desk.labels(ticket, 1, 1, Some("nonsense"));
    }
    assert!(desk.model.check(&json!({"teach": "rollback", "to": to}).to_string()).is_ok());
    desk.teaches(&json!({"teach": "rollback", "to": to}));
    let mut skips = Skips::default();
    desk.log.iter().for_each(|event| skips.note(&event.happening()));
    let mut anew = Model::new();
    let mut dialogues = std::collections::BTreeMap::<u64, Dialogue>::new();
    for event in &desk.log {
        let happening = event.happening();
        let dialogue = dialogues.entry(happening.ticket.0).or_default();
        match dialogue.apply(&happening).filter(|lesson| !skips.leaves_out(happening.offset, lesson)) {
            Some(lesson) => anew.learn(happening.offset, &lesson).clear(),
            None => anew.pass(happening.offset),
        }
    }
    assert_eq!(anew.mode(super::desk::QUEUE), crate::learn::Mode::Off);
    assert!(anew.report().intents.iter().all(|intent| intent.name != "nonsense"));
    assert_eq!(anew.version().version, Offset(desk.log.len() as u64));
    let then = Model::decode(&then).unwrap();
    assert_eq!(anew.report().champion, then.report().champion);
    assert_eq!(anew.report().intents, then.report().intents);
}

#[test]
fn what_cannot_be_taught_is_told() {
    let desk = taught(1);
    for (teaching, wanted) in [
        ("no json", "cannot be read"),
        (r#"{"teach":"fly"}"#, "cannot be read"),
        (r#"{"teach":"create","name":"Invoice"}"#, "is taken"),
        (r#"{"teach":"create","name":" # "}"#, "no name"),
        (r#"{"teach":"rename","name":"invoice","to":"refund_status"}"#, "is taken"),
        (r#"{"teach":"rename","name":"nothing","to":"x"}"#, "no intent"),
        (r#"{"teach":"merge","name":"invoice","into":"invoice"}"#, "itself"),
        (r#"{"teach":"remove","name":"x"}"#, "no intent"),
        (r#"{"teach":"bar","recipe":"soup"}"#, "no recipe"),
        (r#"{"teach":"mode","queue":1,"mode":"suggest","precision":0.2}"#, "0.5 to 0.999"),
        (
            r#"{"teach":"mode","queue":1,"mode":"auto","precision":0.9,"per_ticket":99,"per_hour":1}"#,
            "per_ticket",
        ),
        (r#"{"teach":"settings","alpha":0.9}"#, "alpha"),
        (r#"{"teach":"rollback","to":99999}"#, "earlier"),
    ] {
        let refused = desk.model.check(teaching).unwrap_err();
        assert!(refused.contains(wanted), "{teaching}: {refused}");
    }
    for teaching in [
        r#"{"teach":"rename","name":"invoice","to":"Invoices"}"#,
        r#"{"teach":"merge","name":"invoice","into":"refund_status"}"#,
        r#"{"teach":"mode","queue":9,"mode":"off"}"#,
        r#"{"teach":"promote"}"#,
    ] {
        assert_eq!(desk.model.check(teaching), Ok(()), "{teaching}");
    }
}

#[test]
fn a_snapshot_is_the_model_bit_for_bit_and_damage_is_seen() {
    let mut desk = taught(2);
    desk.teaches(&json!({"teach": "mode", "queue": 1, "mode": "auto", "precision": 0.9, "per_ticket": 1, "per_hour": 9}));
    let bytes = desk.model.encode();
    let mut model = Model::decode(&bytes).unwrap();
    assert_eq!(model.encode(), bytes);
    let ticket = desk.opens("Bob <bob@y.example>", "Where is my card?");
    assert_eq!(model.suggest(&desk.ask(ticket)).candidates, desk.suggest(ticket).candidates);
    // It goes on as the one that was never written down.
    let position = model.position();
    let mut dialogues = std::collections::BTreeMap::<u64, Dialogue>::new();
    desk.labels(ticket, 1, 1, Some("card_arrival"));
    for event in &desk.log {
        let happening = event.happening();
        let lesson = dialogues.entry(happening.ticket.0).or_default().apply(&happening);
        match lesson.filter(|_| happening.offset > position) {
            Some(lesson) => model.learn(happening.offset, &lesson).clear(),
            None => model.pass(happening.offset),
        }
    }
    assert_eq!(model.encode(), desk.model.encode());
    let step = (bytes.len() / 4_000).max(1);
    for end in (0..bytes.len()).step_by(step).chain(bytes.len().saturating_sub(64)..bytes.len()) {
        assert!(Model::decode(&bytes[..end]).is_err(), "cut at {end}");
    }
    let mut longer = bytes.clone();
    longer.push(0);
    assert!(Model::decode(&longer).is_err());
}

/// A snapshot with a checksum that is right, whatever is in it.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(bytes.len().saturating_sub(4));
    let checksum = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn damaged_snapshots_are_errors_and_never_panics(
        flips in proptest::collection::vec((0_usize..1 << 20, 0_u8..8), 1..6), cut in 0_usize..1 << 20, noise: Vec<u8>,
    ) {
        static BYTES: std::sync::LazyLock<(Vec<u8>, Desk)> = std::sync::LazyLock::new(|| {
            let mut desk = taught(1);
            desk.opens("Bob <bob@y.example>", "Where is my card?");
            (desk.model.encode(), desk)
        });
        let mut bytes = BYTES.0.clone();
        for (at, bit) in flips {
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
        }
        prop_assert!(bytes == BYTES.0 || Model::decode(&bytes).is_err());
        // Somebody who knows the format may write what is no model: it may be read, and does no harm.
        let ask = BYTES.1.ask(12);
        let mut shorter = bytes.clone();
        shorter.truncate(cut % bytes.len());
        for bytes in [sealed(bytes), sealed(shorter), noise] {
            if let Ok(mut model) = Model::decode(&bytes) {
                let _ = (model.suggest(&ask), model.automatic(&ask, crate::time::Timestamp(1)), model.report());
                model.learn(Offset(u64::MAX), &Dialogue::default().apply(&BYTES.1.log[1].happening()).unwrap_or_else(|| {
                    let data = BYTES.1.log[0].happening();
                    let mut dialogue = Dialogue::default();
                    dialogue.apply(&data);
                    dialogue.apply(&BYTES.1.log[1].happening()).unwrap()
                }));
                let _ = model.encode();
            }
        }
    }
}
