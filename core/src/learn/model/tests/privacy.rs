//! What one requester has said, or is called, is never in what is suggested for another.

use proptest::prelude::*;
use serde_json::json;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

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
        // Marks on letters, apart from them; hyphens and apostrophes, with capitals and without.
        "[A-Z][a-z]{2}ze\u{301}q[a-z]{2,4}u\u{308}",
        "[a-z]{2}qzo\u{308}x[a-z]{2,4}",
        "[A-Z][a-z]zq[-'’][A-Z][a-z]qz[a-z]{1,3}",
        "[a-z]zqx[-'’][a-z]qzw[a-z]{1,3}",
        // Scripts without capitals: Arabic, Devanagari, Thai, Hebrew, Georgian.
        "[ضظغقث]{2}[\u{64e}\u{651}]?[ضظغقث]{2,3}",
        "[घछझ][\u{93f}\u{947}]?[ठढण]\u{94d}[फभ][\u{93e}\u{940}]",
        "[ฆฌฎฏ][\u{e34}\u{e38}]?[ฐฒณ]{2,3}",
        "[קרץףם]{4,6}",
        "[ჭჯჟჰ]{4,6}",
    ]
}

/// One person, as channels tell of them.
const CHANNELS: [&str; 6] =
    ["Kim Novak", "kim@b.example", "+44 20 7946 0000", "", "Website Visitor", "Guest17"];

/// What of a canary must not be shown: all of it, and each part of a name that is hyphenated.
fn parts(canary: &str) -> Vec<String> {
    let shown = shown(canary);
    let parts = shown.split(['-', '\'', '’']).filter(|part| part.chars().count() >= 3).map(str::to_owned);
    parts.chain([shown.clone()]).collect()
}

/// A text as the eye compares it.
fn shown(text: &str) -> String {
    text.nfc().collect::<String>().to_lowercase()
}

/// Where the canary is: in the requester's name or address, a message, and what the agent writes.
fn dialogue() -> impl Strategy<Value = (usize, usize)> {
    (0..9_usize, 0..12_usize)
}

fn told(canary: &str, place: usize) -> (String, String) {
    let is_name = !canary.contains(|c: char| c.is_numeric() || matches!(c, '@' | '/'));
    match place {
        0 if is_name => (format!("{canary} <a@b.example>"), "Where is my new card?".to_owned()),
        1 if canary.chars().all(|c| c.is_ascii_alphabetic()) => {
            (format!("{canary}@b.example"), "Where is my new card?".to_owned())
        }
        2 => ("a@b.example".to_owned(), format!("Where is my new card {canary}?")),
        3 => ("a@b.example".to_owned(), format!("{canary} where is my new card")),
        4 => (String::new(), format!("我的卡还没到 {canary}")),
        7 => (String::new(), format!("คุณ{canary} รอบัตร")),
        8 => ("a@b.example".to_owned(), format!("मेरा नाम {canary} है, कार्ड कहाँ है")),
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
        8 if is_in_message => format!("مرحبا {canary}، بطاقتك في الطريق"),
        9 if is_in_message => format!("{canary} जी, आपका कार्ड रास्ते में है।"),
        10 if is_in_message => format!("สวัสดีคุณ{canary} บัตรกำลังจัดส่ง {canary}"),
        // As it is written by whoever has no such keys.
        11 if is_in_message => {
            let plain: String = canary.nfd().filter(|c| !is_combining_mark(*c)).collect();
            format!("We are sorry, {plain}, the card is on its way.")
        }
        _ => format!("Hello {canary}! Your card is on its way."),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(384))]

    #[test]
    fn nothing_of_one_requester_is_suggested_for_another(
        canary in canary(), places in proptest::collection::vec(dialogue(), 1..4), is_labelled: bool,
        is_accepted: bool, is_numbered: bool,
    ) {
        let mut desk = Desk::default();
        for (message, reply) in places {
            let (mut requester, mut text) = told(&canary, message);
            // All of one person: whatever the address where the number is known, else on channels that each tell
            // something of another kind.
            let mut data = json!({"queue": 1, "subject": ""});
            if is_numbered {
                data["requester_id"] = json!(5);
            } else {
                requester = CHANNELS[message % CHANNELS.len()].to_owned();
                text = format!("{text} {canary}");
            }
            data["requester"] = json!(requester);
            data["text"] = json!(text);
            let ticket = desk.creates(&data);
            if is_labelled {
                desk.labels(ticket, 1, 1, Some("card_arrival"));
            }
            let is_told = text.contains(&canary) || requester.contains(&canary);
            desk.replies(ticket, 1, &answered(&canary, reply, is_told));
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
            let suggestion = shown(&serde_json::to_string(&desk.suggest(other)).unwrap());
            for part in parts(&canary) {
                prop_assert!(!suggestion.contains(&part), "{part} of {canary} in {suggestion}");
            }
        }
        for reply in desk.model.replies.all() {
            for part in parts(&canary) {
                prop_assert!(!reply.template.has_word(&part), "{part} of {canary}: {reply:?}");
            }
        }
    }
}

#[test]
fn a_word_told_to_somebody_without_a_name_is_nobody_elses() {
    let mut desk = Desk::default();
    for requester in
        ["", "Guest 17", "Guest18", "kim@x.example", "visitor", "Kim", "+44 20 7946 0000", "Visitor 8f3a2"]
    {
        let ticket = desk.opens(requester, "Where is my parcel?");
        desk.labels(ticket, 1, 1, Some("parcel"));
        desk.replies(ticket, 1, "Your parcel is at the house of Zaqxon, please wait there.");
    }
    let shown = |desk: &mut Desk| {
        let ticket = desk.opens("Bob <bob@c.example>", "Where is my parcel?");
        serde_json::to_string(&desk.suggest(ticket)).unwrap()
    };
    let before = shown(&mut desk);
    assert!(before.contains("Your parcel is at the house of") && !before.contains("Zaqxon"), "{before}");
    let ticket = desk.opens("eve@y.example", "Where is my parcel?");
    desk.replies(ticket, 1, "Your parcel is at the house of Zaqxon, please wait there.");
    assert!(shown(&mut desk).contains("Zaqxon"), "two with an address were told");
}
