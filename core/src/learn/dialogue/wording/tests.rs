use super::*;

/// Slots as `{kind}`, what may be somebody's in `<>`.
fn shown(reply: &str, requester: &str, customer: &str) -> String {
    let person = Person::of(requester, None);
    let mut said = Said::default();
    said.say(customer);
    let wording = Wording::of(reply, &person, &said).unwrap();
    wording.pieces.iter().fold(String::new(), |text, piece| match piece {
        Piece::Plain(plain) => text + plain,
        Piece::Suspect(word) => text + "<" + word + ">",
        Piece::Slot(kind) => text + "{" + kind.name() + "}",
    })
}

#[test]
fn what_is_about_the_customer_is_a_slot() {
    let kim = "Kim Lee <kim.lee@mail.example>";
    for (reply, customer, wanted) in [
        ("Hi Kim, your card is on its way.", "", "Hi {name}, your card is on its way."),
        ("Dear Ms Lee,\nwe refunded you.", "", "Dear {full_name},\nwe refunded you."),
        ("Hello Bob, hello there", "", "Hello {name}, hello there"),
        ("Hi there, please wait", "", "Hi there, please wait"),
        ("Hi will, ok", "", "Hi will, ok"),
        ("Hi Will, ok", "", "Hi {name}, ok"),
        ("Good morning Mary-Jane O'Neil!", "", "Good morning {full_name}!"),
        ("We wrote to KIM.LEE@mail.example and bob@x.example", "", "We wrote to {email} and {other_email}"),
        (
            "Order A-10442 ships in 3-5 working days for $12",
            "",
            "Order {order_number} ships in 3-5 working days for $<12>",
        ),
        ("Card 4111 1111 1111 1111, call +44 20 7946 0958", "", "Card {card}, call {phone}"),
        (
            "See https://help.example/cards or https://x.example/reset?t=abc",
            "",
            "See <https://help.example/cards> or {url}",
        ),
        ("Your marmot is lost", "my marmot is lost", "Your <marmot> is lost"),
        ("Please call Anna at the desk. Zed knows.", "", "Please call <Anna> at the desk. <Zed> knows."),
        ("Thank you, Lee", "", "Thank you, {last_name}"),
        ("Mr. Bob Ross will call you in May", "", "{full_name} will call you in <May>"),
    ] {
        assert_eq!(shown(reply, kim, customer), wanted, "{reply}");
    }
}

#[test]
fn chinese_replies_are_masked_alike() {
    for (reply, customer, wanted) in [
        ("王小明您好，您的卡已经发货。", "", "{full_name}您好，您的卡已经发货。"),
        ("李女士您好，退款已到账", "", "{full_name}您好，退款已到账"),
        ("尊敬的张伟先生，您好", "", "尊敬的{full_name}，您好"),
        ("您好，请问您的订单号是多少？", "", "您好，请问您的订单号是多少？"),
        ("您的蓝牙耳机已发货", "我的蓝牙耳机呢", "您<的蓝牙耳机>已发货"),
        ("请联系王小明，3天内回复", "", "请联系{full_name}，3天内回复"),
    ] {
        assert_eq!(shown(reply, "王小明", customer), wanted, "{reply}");
    }
}

#[test]
fn parts_of_names_without_spaces_are_somebodys() {
    for (requester, reply, wanted) in [
        ("王小明", "小明，您的卡已发货", "<小明>，您的卡已发货"),
        ("王小新", "请小新等待", "请<小新>等待"),
        ("王小明", "请小明明天等待", "请<小明>明天等待"),
        ("王小明88", "小明，您的卡已发货", "<小明>，您的卡已发货"),
        ("김민수", "민수님, 카드가 발송되었습니다", "<민수>님, 카드가 발송되었습니다"),
        ("田中太郎", "太郎のカード", "<太郎>のカード"),
        ("张安全", "您的账户安全", "您的账户安全"),
    ] {
        assert_eq!(shown(reply, requester, ""), wanted, "{requester}");
    }
}

#[test]
fn what_nobody_sees_parts_no_word() {
    let requester = "Zoe\u{200b}lla <z@x.example>";
    for (reply, wanted) in [
        ("We told Ale\u{ad}xan\u{ad}drina.", "We told <Alexandrina>."),
        ("We told \u{feff}Zo\u{2060}ella.", "We told {name}."),
        ("Call 020\u{200b}7946\u{200b}0958", "Call {phone}"),
        ("It is mar\u{ad}mot", "It is <marmot>"),
    ] {
        assert_eq!(shown(reply, requester, "my marmot"), wanted, "{reply}");
    }
    for mark in ['\u{200e}', '\u{200f}', '\u{202a}', '\u{2068}'] {
        let reply = format!("We told Ale{mark}xandrina.");
        assert_eq!(shown(&reply, requester, ""), format!("We told <Ale{mark}xandrina>."));
    }
}

#[test]
fn who_has_said_too_much_may_have_said_every_word() {
    let mut said = Said::default();
    said.say(&(0..CUSTOMER_WORDS_MAX + 1).map(|number| format!("w{number} ")).collect::<String>());
    assert!(said.words.is_empty() && said.has_word("marmot"));
    let wording = Wording::of("your marmot is lost", &Person::default(), &said).unwrap();
    assert!(wording.pieces.contains(&Piece::Suspect("marmot".to_owned())));
}

#[test]
fn long_and_empty_replies_are_not_learned() {
    let person = Person::default();
    for reply in ["", " \n", "\u{200b} \u{feff}", &"x".repeat(LEARNED_REPLY_BYTES_MAX + 1)] {
        assert_eq!(Wording::of(reply, &person, &Said::default()), None);
    }
}
