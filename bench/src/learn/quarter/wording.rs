//! What this made-up team answers: a handful of replies for each intent, of the bench's own making.

use crate::clock::Random;

/// Replies of an intent.
pub(super) const REPLIES: usize = 3;

/// Each names the matter between words that are the same for all, so that a reply is known again.
const MATTER: [(&str, &str); REPLIES] =
    [("This is about ", "."), ("Your question on ", " has an answer."), ("Thank you for asking about ", "!")];
const ACTIONS: [&str; 16] = [
    "Open your account, choose the entry for it and confirm what you see there.",
    "We have looked at your case and everything is on its way.",
    "Please check your settings, where it can be switched on with one click.",
    "It is done as soon as our partner has confirmed it, which they do every night.",
    "You find it in the menu under your profile, below your documents.",
    "A colleague of the second line is on it and will write to you directly.",
    "Nothing is lost: it is held back until the check is over.",
    "Please send us a photograph of it, and we take care of the rest.",
    "There is no fee for it, whatever your plan is.",
    "We have started it anew; the old one can be thrown away.",
    "It works in every country where our service is offered.",
    "Close the app, open it again and try once more with a good connection.",
    "Our system shows no fault, so please tell us what the screen says.",
    "The limit is reached for the moment and is lifted tomorrow.",
    "Please sign in on the web, since the app cannot do it yet.",
    "We owe you an apology here; it was our mistake and is corrected.",
];
const NEXT: [&str; 12] = [
    "You get a message when it is finished.",
    "Should it not help, just answer here.",
    "It takes three working days at most.",
    "You need not do anything else.",
    "Please keep the letter until then.",
    "The page on it in our help centre has pictures of each step.",
    "We keep the case open until you tell us that all is well.",
    "After that it can be used at once.",
    "The change shows on your next statement.",
    "Please let us know when you have it.",
    "We are sorry for the wait.",
    "If it is urgent, call us at any hour.",
];
/// What an agent adds to a suggestion.
const ADDED: [&str; 4] = [
    "Have a good day!",
    "I have made a note of it in your account.",
    "Greetings from the whole team.",
    "Write to me directly if anything is unclear.",
];
/// What is written where nothing of the stock fits.
const APART: [&str; 6] = [
    "That is not what we do, I am afraid, but thank you for writing.",
    "I have to ask a colleague and come back to you.",
    "Could you tell me a little more of what you mean?",
    "This is the help desk of the service only; please ask elsewhere.",
    "I have passed your note on to those who decide on it.",
    "We cannot say anything on that here.",
];
const OPENINGS: [&str; 5] = ["Hello,", "Hi!", "Good morning,", "Hi there,", "Hello everyone,"];
const ENDINGS: [&str; 5] = ["Thanks!", "Please help.", "Thank you in advance.", "Best regards", ""];

/// An intent's name as people say it.
fn spoken(intent: &str) -> String {
    intent.replace(['_', '-'], " ").to_lowercase()
}

/// The replies of an intent, without the greeting.
pub(super) fn replies(intent: &str, random: &mut Random) -> [String; REPLIES] {
    let matter = spoken(intent);
    std::array::from_fn(|variant| {
        let (before, after) = MATTER[variant];
        let (action, next) = (pick(&ACTIONS, random), pick(&NEXT, random));
        format!("{before}{matter}{after} {action} {next}")
    })
}

/// Whether `text` is one of the intent's replies, whatever was added to it.
pub(super) fn is_reply_of(intent: &str, text: &str) -> bool {
    let matter = spoken(intent);
    MATTER.iter().any(|(before, after)| text.contains(&format!("{before}{matter}{after}")))
}

/// The greeting that replies begin with.
pub(super) fn greeted(name: &str, reply: &str) -> String {
    format!("Hi {name}, {reply}")
}

pub(super) fn added(random: &mut Random) -> &'static str {
    pick(&ADDED, random)
}

pub(super) fn apart(random: &mut Random) -> &'static str {
    pick(&APART, random)
}

/// A customer's message around a question.
pub(super) fn message(question: &str, random: &mut Random) -> String {
    format!("{} {question} {}", pick(&OPENINGS, random), pick(&ENDINGS, random)).trim_end().to_owned()
}

fn pick(list: &'static [&'static str], random: &mut Random) -> &'static str {
    list.get(random.below(list.len())).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_known_again_and_only_for_their_intent() {
        let all =
            ["card_arrival", "arrival", "card"].map(|intent| (intent, replies(intent, &mut Random::new(1))));
        for (intent, replies) in &all {
            for reply in replies.iter().map(|reply| greeted("Kim", reply) + " Have a good day!") {
                let owners = all.iter().filter(|(other, _)| is_reply_of(other, &reply));
                assert_eq!(owners.map(|(other, _)| other).collect::<Vec<_>>(), [intent], "{reply}");
            }
        }
        assert!(!is_reply_of("card", apart(&mut Random::new(1))));
    }
}
