//! Questions made of parts, for want of real ones.

use crate::clock::Random;

const OPENINGS: [&str; 10] = [
    "Hello,",
    "Hi there,",
    "Good morning,",
    "Dear team,",
    "To whom it may concern,",
    "Excuse me,",
    "Please help:",
    "Urgent:",
    "A question:",
    "Once more:",
];
const THINGS: [&str; 32] = [
    "card",
    "invoice",
    "parcel",
    "password",
    "refund",
    "subscription",
    "mattress",
    "router",
    "ticket",
    "transfer",
    "statement",
    "voucher",
    "delivery",
    "account",
    "contract",
    "phone",
    "charger",
    "receipt",
    "booking",
    "luggage",
    "warranty",
    "discount",
    "top-up",
    "exchange",
    "certificate",
    "address",
    "signature",
    "newsletter",
    "keyboard",
    "licence",
    "insurance",
    "payment",
];
const TROUBLES: [&str; 24] = [
    "has not arrived",
    "was charged twice",
    "is broken",
    "does not work any more",
    "was declined",
    "is missing",
    "is still pending",
    "shows the wrong amount",
    "was cancelled without a reason",
    "came in the wrong colour",
    "is later than promised",
    "cannot be opened",
    "has expired",
    "was sent to my old address",
    "is too expensive",
    "has a mistake in it",
    "was lost on the way",
    "stopped after the update",
    "is not what I ordered",
    "needs to be replaced",
    "was stolen",
    "is locked",
    "keeps failing",
    "has no tracking number",
];
const WHENS: [&str; 12] = [
    "since yesterday",
    "since Monday",
    "for two weeks",
    "after the weekend",
    "again",
    "for the third time",
    "since the last update",
    "this morning",
    "before my holiday",
    "although I paid in advance",
    "in spite of your promise",
    "as of today",
];
const WISHES: [&str; 16] = [
    "Can you check it?",
    "What should I do?",
    "When will it be solved?",
    "I would like my money back.",
    "Please send a new one.",
    "Whom can I call?",
    "How long does it take?",
    "Please change it.",
    "Is there another way?",
    "I need it by Friday.",
    "Please confirm by e-mail.",
    "Could somebody explain this?",
    "I want to cancel.",
    "Where do I find the form?",
    "Do I have to pay for that?",
    "Please close my account.",
];
const ANSWERS: [&str; 16] = [
    "Thank you for your message. We have looked into it.",
    "We are sorry for the trouble.",
    "A replacement is on its way to you.",
    "The amount goes back to you within five working days.",
    "Please try it again and tell us if it still fails.",
    "I have passed this on to my colleagues.",
    "Could you send us a photo of it?",
    "Your account is open again.",
    "The carrier says that it arrives tomorrow.",
    "I have changed the address as you asked.",
    "This needs the number on the back of the receipt.",
    "You will find the form on your account page.",
    "It was a mistake of ours, and it is corrected now.",
    "We have cancelled it, free of charge.",
    "Please allow up to two days for this.",
    "Is there anything else that we can do for you?",
];

fn one<'a>(of: &[&'a str], random: &mut Random) -> &'a str {
    of.get(random.below(of.len())).copied().unwrap_or("")
}

/// What somebody asks.
pub(super) fn question(random: &mut Random) -> String {
    let thing = one(&THINGS, random);
    let trouble = one(&TROUBLES, random);
    match random.below(3) {
        0 => format!("My {thing} {trouble} {}", one(&WHENS, random)),
        1 => format!("{thing} {trouble}. {}", one(&WISHES, random)),
        _ => format!("The {thing} that I got {} {trouble}", one(&WHENS, random)),
    }
}

/// Something before a question.
pub(super) fn opening(random: &mut Random) -> &'static str {
    one(&OPENINGS, random)
}

/// Something after it.
pub(super) fn wish(random: &mut Random) -> &'static str {
    one(&WISHES, random)
}

/// What an agent says.
pub(super) fn answer(random: &mut Random) -> &'static str {
    one(&ANSWERS, random)
}
