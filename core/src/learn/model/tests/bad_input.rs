//! Whatever is written, nothing breaks, and every number is one.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::desk::{Desk, fold};
use crate::id::AgentId;
use crate::learn::{Ask, Automatic, Suggestion};
use crate::ticket::{Actor, Kind};
use crate::time::Timestamp;

fn is_sound(suggestion: &Suggestion) -> bool {
    let is_share = |number: f32| number.is_finite() && (0.0..=1.0).contains(&number);
    suggestion.candidates.len() <= 5
        && suggestion.replies.len() <= 3
        && suggestion.candidates.iter().all(|candidate| is_share(candidate.confidence))
        && suggestion
            .intent
            .as_ref()
            .is_none_or(|intent| is_share(intent.confidence) && intent.threshold.is_finite())
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        ".{0,60}",
        "[a-z ]{0,40}",
        "[退款卡我的还没到，。 ]{0,20}",
        "[🎉😀👍🏽]{0,8}",
        "[\\x00-\\x1f\\x7f-\\u{ffff}]{0,40}",
        "(where is my|refund|card|[A-Z][a-z]+|[0-9]{1,9}| |\\?|!){0,12}",
        Just("x".repeat(70_000)),
        Just("word ".repeat(13_000)),
        Just("卡".repeat(20_000)),
    ]
}

#[derive(Debug, Clone)]
enum Step {
    Opens(String, String),
    Writes(u64, String),
    Replies(u64, u32, String, Option<u64>, bool),
    Labels(u64, u32, Option<String>),
    Judges(u64, u32, u64, &'static str),
    Tags(u64, String),
    Teaches(Value),
    Raw(u64, &'static str, String),
}

fn step() -> impl Strategy<Value = Step> {
    let ticket = || 1_u64..6;
    prop_oneof![
        3 => (text(), text()).prop_map(|(requester, text)| Step::Opens(requester, text)),
        3 => (ticket(), text()).prop_map(|(ticket, text)| Step::Writes(ticket, text)),
        4 => (ticket(), 1_u32..4, text(), proptest::option::of(0_u64..6), any::<bool>())
            .prop_map(|(ticket, agent, text, reply, automatic)| Step::Replies(ticket, agent, text, reply, automatic)),
        2 => (ticket(), 0_u32..6, proptest::option::of(text())).prop_map(|(ticket, message, name)| Step::Labels(ticket, message, name)),
        1 => (ticket(), 0_u32..6, 0_u64..6, prop_oneof![Just("accepted"), Just("edited"), Just("rejected")])
            .prop_map(|(ticket, message, reply, verdict)| Step::Judges(ticket, message, reply, verdict)),
        1 => (ticket(), text()).prop_map(|(ticket, tag)| Step::Tags(ticket, tag)),
        1 => prop_oneof![
            Just(json!({"teach": "promote"})),
            Just(json!({"teach": "settings", "tag_prefix": "", "alpha": 0.5})),
            Just(json!({"teach": "mode", "queue": 1, "mode": "auto", "precision": 0.5, "per_ticket": 9, "per_hour": 9})),
            Just(json!({"teach": "rollback", "to": 1})),
            text().prop_map(|name| json!({"teach": "remove", "name": name})),
        ].prop_map(Step::Teaches),
        1 => (ticket(), prop_oneof![Just("created"), Just("message"), Just("reply"), Just("set"), Just("feedback"), Just("labelled"), Just("taught"), Just("erased")], ".{0,30}")
            .prop_map(|(ticket, kind, data)| Step::Raw(ticket, kind, data)),
    ]
}

fn happens(desk: &mut Desk, step: &Step) {
    let agent = |agent: u32| Actor::Agent(AgentId(agent));
    match step {
        Step::Opens(requester, text) => {
            desk.opens(requester, text);
        }
        Step::Writes(ticket, text) => {
            desk.writes(*ticket, text);
        }
        Step::Replies(ticket, by, text, reply, automatic) => {
            let actor = if *automatic { Actor::System } else { agent(*by) };
            let suggestion = reply.map(|reply| json!({"model": 1, "reply": reply}));
            let data = json!({"text": text, "automatic": automatic, "suggestion": suggestion});
            desk.happens(*ticket, Kind::Reply, actor, &data);
        }
        Step::Labels(ticket, message, name) => desk.labels(*ticket, 1, *message, name.as_deref()),
        Step::Judges(ticket, message, reply, verdict) => {
            let data = json!({"message": message, "reply": reply, "model": 1, "verdict": verdict});
            desk.happens(*ticket, Kind::Feedback, agent(1), &data);
        }
        Step::Tags(ticket, tag) => {
            desk.happens(*ticket, Kind::Set, agent(1), &json!({"tags": {tag: true}}));
        }
        Step::Teaches(data) => desk.teaches(data),
        Step::Raw(ticket, kind, data) => {
            desk.happens(*ticket, Kind::from_name(kind).unwrap(), agent(1), &json!(data));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_log_is_folded_the_same_and_suggests_soundly(
        steps in proptest::collection::vec(step(), 1..30), asked in text(), drop in 1_usize..6,
    ) {
        let mut desk = Desk::default();
        for step in &steps {
            happens(&mut desk, step);
        }
        let ask = Ask::of_text(super::desk::QUEUE, &asked);
        prop_assert!(is_sound(&desk.model.suggest(&ask)));
        if let Automatic::Send { text, confidence, .. } = desk.model.automatic(&ask, Timestamp(desk.now)) {
            let is_filled = !text.contains('{');
            prop_assert!(confidence.is_finite() && (is_filled || steps.len() > 1));
        }
        let report = serde_json::to_string(&desk.model.report()).unwrap();
        prop_assert!(!report.contains("NaN"));
        prop_assert_eq!(fold(&desk.log, |place| place % drop == 0).encode(), desk.model.encode());
    }
}
