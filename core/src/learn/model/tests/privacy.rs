//! What one requester has said, or is called, is never in what is suggested for another.

use proptest::prelude::*;
use serde_json::json;

use super::desk::Desk;

/// Something of one requester that is nobody else's business.
fn canary() -> impl Strategy<Value = String> {
    prop_oneof![
        "[A-Z][a-z]{2}zq[a-z]{2,5}",
        "[a-z]{2}qzx[a-z]{2,6}",
        "[A-Z]{2}-[0-9]{5,9}",
        "[0-9]{6,12}",
        "[a-z]{3,8}qz@[a-z]{3,8}\\.example",
        "https://x\\.example/r\\?t=[a-z]{8}qz",
        "[龘靐齉麤]{2,3}",
    ]
}

/// Where the canary is: in the requester's name or address, a message, and what the agent writes.
fn dialogue() -> impl Strategy<Value = (usize, usize)> {
    (0..7_usize, 0..8_usize)
}

fn told(canary: &str, place: usize) -> (String, String) {
    let is_name = canary.chars().all(char::is_alphabetic);
    match place {
        0 if is_name => (format!("{canary} <a@b.example>"), "Where is my new card?".to_owned()),
        1 if is_name && canary.is_ascii() => {
            (format!("{canary}@b.example"), "Where is my new card?".to_owned())
        }
        2 => ("a@b.example".to_owned(), format!("Where is my new card {canary}?")),
        3 => ("a@b.example".to_owned(), format!("{canary} where is my new card")),
        4 => (String::new(), format!("我的卡还没到 {canary}")),
        5 => ("a@b.example".to_owned(), format!("my name is {canary}, where is my card")),
        _ => ("+44 20 7946 0000".to_owned(), format!("order {canary}: where is my card?")),
    }
}

fn answered(canary: &str, place: usize, is_in_message: bool) -> String {
    match place {
        0 => format!("Hi {canary}, your card is on its way and will be with you in 5 days."),
        1 => format!("Dear Ms {canary},\nyour card is on its way to you today."),
        2 if is_in_message => format!("your card {canary} is on its way, {canary}!"),
        3 if is_in_message => format!("{canary}您好，您的卡已经发货，请{canary}耐心等待。"),
        4 if is_in_message => format!("尊敬的{canary}先生，您的卡已经发货"),
        5 if is_in_message => format!("We have told \"{canary}\" that the card is on its way.\n{canary}\n"),
        6 if is_in_message => format!("Thanks {canary} - the card ({canary}) is on its way. Bye, {canary}."),
        _ => format!("Hello {canary}! Your card is on its way."),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn nothing_of_one_requester_is_suggested_for_another(
        canary in canary(), places in proptest::collection::vec(dialogue(), 1..4), is_labelled: bool, is_accepted: bool,
    ) {
        let mut desk = Desk::default();
        for (message, reply) in places {
            let (requester, text) = told(&canary, message);
            // All of one person, whatever the address.
            let data = json!({"queue": 1, "subject": "", "requester": requester, "requester_id": 5, "text": text});
            let ticket = desk.creates(&data);
            if is_labelled {
                desk.labels(ticket, 1, 1, Some("card_arrival"));
            }
            desk.replies(ticket, 1, &answered(&canary, reply, text.contains(&canary)));
            if is_accepted {
                let again = desk.creates(&data);
                let suggestion = desk.suggest(again);
                if let Some(reply) = suggestion.replies.first() {
                    let origin = json!({"suggestion": {"model": 1, "reply": reply.id}});
                    let text = reply.text.clone();
                    desk.replies_by(again, 1, &format!("{text} {canary}"), origin);
                }
            }
        }
        for text in ["Where is my new card?", "我的卡还没到", "my name is Bob, where is my card"] {
            let other = desk.opens("Bob <bob@c.example>", text);
            let shown = serde_json::to_string(&desk.suggest(other)).unwrap().to_lowercase();
            prop_assert!(!shown.contains(&canary.to_lowercase()), "{canary} in {shown}");
        }
        for reply in desk.model.replies.all() {
            prop_assert!(!reply.template.has_word(&canary));
        }
    }
}
