//! Signs in customers' messages that a machine must not go on, and senders that are machines themselves.

use serde::{Deserialize, Serialize};

use crate::text::words;

/// Why a human has to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::learn) enum Trouble {
    WantsHuman,
    Complaint,
    Anger,
    NoHelp,
    SameAgain,
}

impl Trouble {
    /// The reason as people read it.
    pub(in crate::learn) fn why(self) -> &'static str {
        match self {
            Self::WantsHuman => "the customer asks for a human",
            Self::Complaint => "the customer complains",
            Self::Anger => "the customer is angry",
            Self::NoHelp => "the customer says that the answer did not help",
            Self::SameAgain => "the customer asks the same question again after an automatic reply",
        }
    }
}

const SIGNS: [(Trouble, &[&str]); 4] = [
    (
        Trouble::WantsHuman,
        &[
            "human",
            "real person",
            "speak to someone",
            "talk to someone",
            "speak with someone",
            "talk to a person",
            "speak to a person",
            "speak to an agent",
            "talk to an agent",
            "live agent",
            "representative",
            "your manager",
            "a supervisor",
            "call me",
            "stop the bot",
            "not a bot",
            "转人工",
            "人工客服",
            "人工服务",
            "真人",
            "找人工",
            "要人工",
            "给我打电话",
            "你们经理",
            "你们主管",
        ],
    ),
    (
        Trouble::Complaint,
        &[
            "complaint",
            "complain",
            "lawyer",
            "solicitor",
            "attorney",
            "sue you",
            "legal action",
            "ombudsman",
            "trading standards",
            "chargeback",
            "report you",
            "fraudsters",
            "consumer protection",
            "投诉",
            "律师",
            "起诉",
            "12315",
            "消费者协会",
            "曝光",
            "维权",
            "举报",
        ],
    ),
    (
        Trouble::Anger,
        &[
            "ridiculous",
            "unacceptable",
            "disgusting",
            "terrible",
            "worst",
            "pathetic",
            "useless",
            "scam",
            "stupid",
            "idiots",
            "idiot",
            "furious",
            "angry",
            "fed up",
            "fuck",
            "fucking",
            "bullshit",
            "shit",
            "wtf",
            "damn",
            "outrageous",
            "shame on you",
            "how dare",
            "sick of",
            "骗子",
            "垃圾",
            "气死",
            "太差",
            "什么破",
            "无语",
            "恶心",
            "滚",
            "傻",
            "他妈",
            "妈的",
            "受够",
            "忍无可忍",
            "差评",
        ],
    ),
    (
        Trouble::NoHelp,
        &[
            "didn't help",
            "did not help",
            "doesn't help",
            "does not help",
            "not helpful",
            "no help",
            "didn't work",
            "did not work",
            "doesn't work",
            "does not work",
            "still not",
            "still doesn't",
            "still can't",
            "not what i",
            "wrong answer",
            "already told",
            "already said",
            "already tried",
            "not my question",
            "you don't understand",
            "没用",
            "没有用",
            "不管用",
            "还是不行",
            "还是没",
            "答非所问",
            "不是这个",
            "不是我要",
            "没解决",
            "没有解决",
            "听不懂",
            "说过了",
        ],
    ),
];

const THANKS: [&str; 22] = [
    "thanks",
    "thank you",
    "thx",
    "cheers",
    "that helped",
    "that works",
    "works now",
    "it worked",
    "solved",
    "perfect",
    "great",
    "got it",
    "awesome",
    "appreciate",
    "谢谢",
    "多谢",
    "感谢",
    "好的",
    "解决了",
    "明白了",
    "知道了",
    "可以了",
];

/// The first sign of trouble in a customer's message.
pub(in crate::learn) fn trouble(text: &str) -> Option<Trouble> {
    let plain = plain(text);
    let found = SIGNS.iter().find(|(_, signs)| signs.iter().any(|sign| says(&plain, sign)));
    found.map(|(trouble, _)| *trouble).or_else(|| shouts(text).then_some(Trouble::Anger))
}

/// Whether a message says thanks and nothing else of weight.
pub(in crate::learn) fn is_thanks(text: &str) -> bool {
    let plain = plain(text);
    let is_short = plain.chars().count() <= 80 && !text.contains(['?', '？']);
    is_short && trouble(text).is_none() && THANKS.iter().any(|sign| says(&plain, sign))
}

/// Whether two messages ask the same: most words of the shorter one are in the other.
pub(in crate::learn) fn is_same_question(one: &str, other: &str) -> bool {
    let set = |text: &str| {
        let mut words: Vec<String> = words(text).into_iter().map(|word| word.text).collect();
        words.sort_unstable();
        words.dedup();
        words
    };
    let (one, other) = (set(one), set(other));
    let shared = one.iter().filter(|word| other.binary_search(word).is_ok()).count();
    let least = one.len().min(other.len());
    least >= 2 && shared * 10 >= least * 7
}

/// Whether nobody reads what is sent to this address.
pub(in crate::learn) fn is_automatic_sender(requester: &str) -> bool {
    let address = requester.rsplit('<').next().unwrap_or_default();
    let Some((local, _)) = address.rsplit_once('@') else { return false };
    let local: String = local.to_lowercase().chars().filter(|c| c.is_alphanumeric() || *c == '+').collect();
    let starts =
        ["noreply", "donotreply", "dontreply", "mailerdaemon", "postmaster", "bounce", "autoreply", "nobody"];
    starts.iter().any(|start| local.starts_with(start)) || local.ends_with("noreply")
}

/// Whether a machine wrote this: an absence note, a bounced mail, an automatic confirmation (RFC 3834 has the headers for
/// it, which tickets do not keep).
pub(in crate::learn) fn is_automatic_text(subject: &str, text: &str) -> bool {
    const SIGNS: [&str; 24] = [
        "out of office",
        "out of the office",
        "automatic reply",
        "auto reply",
        "autoreply",
        "auto response",
        "automated response",
        "this is an automated",
        "do not reply to this",
        "undeliverable",
        "undelivered mail",
        "delivery status notification",
        "mail delivery failed",
        "delivery has failed",
        "returned mail",
        "mailer daemon",
        "on annual leave",
        "am on vacation",
        "自动回复",
        "自动答复",
        "退信",
        "投递失败",
        "不在办公室",
        "休假中",
    ];
    let start = text.get(..text.floor_char_boundary(1_024)).unwrap_or_default();
    let (subject, start) = (plain(subject), plain(start));
    SIGNS.iter().any(|sign| says(&subject, sign) || says(&start, sign))
}

/// Words in lower case with one space between and around them; apostrophes stay, as one sign.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len() + 2);
    plain.push(' ');
    for c in text.chars() {
        match c {
            '\'' | '’' | '＇' => plain.push('\''),
            _ if c.is_alphanumeric() => plain.extend(c.to_lowercase()),
            _ if !plain.ends_with(' ') => plain.push(' '),
            _ => {}
        }
    }
    if !plain.ends_with(' ') {
        plain.push(' ');
    }
    plain
}

/// Whether a plain text has these words. Those of a dense script may be within others.
fn says(plain: &str, sign: &str) -> bool {
    let is_dense = !sign.is_ascii();
    plain.match_indices(sign).any(|(at, _)| {
        let before = plain.get(..at).is_some_and(|before| before.ends_with(' '));
        let after = plain.get(at + sign.len()..).is_some_and(|after| after.starts_with(' '));
        is_dense || (before && after)
    })
}

/// Most letters are capitals, or three signs stand together: nobody shouts a single word's abbreviation.
fn shouts(text: &str) -> bool {
    let letters = text.chars().filter(|c| c.is_lowercase() || c.is_uppercase()).count();
    let capitals = text.chars().filter(|c| c.is_uppercase()).count();
    let signs =
        text.contains("!!!") || text.contains("！！！") || text.contains("???") || text.contains("？？？");
    signs || (letters >= 16 && capitals * 10 >= letters * 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_seen_at_its_first_sign() {
        for (text, wanted) in [
            ("I want to speak to a person", Some(Trouble::WantsHuman)),
            ("转人工", Some(Trouble::WantsHuman)),
            ("This is a formal complaint.", Some(Trouble::Complaint)),
            ("我要投诉你们", Some(Trouble::Complaint)),
            ("You are ridiculous", Some(Trouble::Anger)),
            ("WHERE IS MY MONEY NOW", Some(Trouble::Anger)),
            ("where is it!!!", Some(Trouble::Anger)),
            ("That didn’t help at all", Some(Trouble::NoHelp)),
            ("还是不行啊", Some(Trouble::NoHelp)),
            ("Where is my card?", None),
            ("My PIN and IBAN, please", None),
            ("Is it humane?", None),
            ("", None),
        ] {
            assert_eq!(trouble(text), wanted, "{text}");
        }
    }

    #[test]
    fn thanks_and_repeated_questions_are_told() {
        assert!(is_thanks("Thank you, that works!") && is_thanks("好的，谢谢"));
        assert!(!is_thanks("Thanks, but where is it?") && !is_thanks("Thanks for nothing, still not here"));
        assert!(is_same_question("where is my new card", "Hello, where is my new card please?"));
        assert!(!is_same_question("where is my new card", "how do I change my address"));
        assert!(is_same_question("我的卡还没有到", "我的卡还没有到啊"));
    }

    #[test]
    fn machines_are_known_as_such() {
        for sender in [
            "no-reply@shop.example",
            "Shop <NoReply@shop.example>",
            "MAILER-DAEMON@mx.example",
            "bounces+17@x.example",
        ] {
            assert!(is_automatic_sender(sender), "{sender}");
        }
        assert!(!is_automatic_sender("norepinephrine <kim@x.example>") && !is_automatic_sender("Kim"));
        assert!(is_automatic_text("Automatic reply: your ticket", "I am away."));
        assert!(is_automatic_text("", "您好，这是自动回复，我休假中"));
        assert!(!is_automatic_text("Card", "My office is out of cards"));
    }
}
