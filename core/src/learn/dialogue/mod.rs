//! One ticket as a dialogue: what was asked and not answered yet, and what there is to learn of each event.

mod person;
mod trouble;
mod vocabulary;
mod wording;

use std::collections::{BTreeSet, VecDeque};

pub(super) use person::{Person, PersonKey, hash_text};
pub(super) use trouble::Trouble;
pub(super) use vocabulary::is_common_word;
#[cfg(test)]
pub(super) use wording::wording_of;
pub(super) use wording::{Piece, SlotKind, Wording, said_word};

use wording::Said;

use super::ask::{Ask, Filling, Gate};
use super::automatic::HANDED_OVER_TAG;
use super::happening::{Happening, Told};
use super::language::Language;
use super::lesson::{self, Asked, Context, Judged, Label, Labelled, Lesson, Outcome, Replied, Teach, What};
use super::suggestion::Source;
use crate::id::{AgentId, QueueId, TicketId, Version};
use crate::limits::{
    DIALOGUE_MESSAGE_BYTES_MAX, DIALOGUE_MESSAGES_MAX, DIALOGUE_VERDICTS_MAX, TICKET_TAGS_MAX,
};
use crate::text::{Personal, composed, mask};
use crate::ticket::{Actor, Kind};

/// One ticket as a dialogue: a fold of its events in order. It may be dropped and made anew of them at any time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Dialogue {
    ticket: TicketId,
    queue: QueueId,
    tags: BTreeSet<String>,
    person: Person,
    /// All that the customer has said.
    said: Said,
    /// The newest of the customer's messages.
    messages: VecDeque<Message>,
    /// The customer's turns: messages without an answer between them are one.
    turns: u32,
    is_held: bool,
    is_out_of_sight: bool,
    is_from_machine: bool,
    trouble: Option<Trouble>,
    automatic: u32,
    /// The automatic reply that no human has followed.
    last_automatic: Option<Sent>,
    /// Verdicts that were given apart from the reply: message and reply.
    judged: VecDeque<(Version, u64)>,
}

/// An automatic reply.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Sent {
    message: Version,
    reply: u64,
    /// The customer has said how it did: that is said once.
    is_settled: bool,
}

#[derive(Debug, Clone, PartialEq)]
struct Message {
    version: Version,
    text: String,
    turn: u32,
    is_answered: bool,
}

impl Dialogue {
    /// Goes on with the ticket's next event, and tells what there is to learn of it.
    pub fn apply(&mut self, happening: &Happening<'_>) -> Option<Lesson> {
        if happening.kind == Kind::Taught {
            let teach = serde_json::from_str::<Teach>(happening.data);
            let what = teach.map_or_else(|error| What::Unreadable(error.to_string()), What::Teach);
            return Some(Lesson { what });
        }
        self.ticket = happening.ticket;
        self.queue = happening.queue;
        let told = happening.told();
        let agent = match happening.actor {
            Actor::Agent(agent) => Some(agent),
            Actor::Requester | Actor::System => None,
        };
        let what = match happening.kind {
            Kind::Created => self.created(happening, &told, agent),
            Kind::Message => self.message(happening, &told),
            Kind::Reply if told.automatic => self.replied_automatically(happening, &told),
            Kind::Reply => agent.and_then(|agent| self.replied(happening, &told, agent)),
            Kind::Set => self.set(&told, agent),
            Kind::Feedback => agent.and_then(|agent| self.judge(&told, agent)),
            Kind::Labelled => agent.and_then(|agent| self.label(&told, agent)),
            _ => {
                self.follow(happening.kind);
                None
            }
        };
        what.map(|what| Lesson { what })
    }

    /// The customer's newest message, where nobody has answered it.
    #[must_use]
    pub fn ask(&self) -> Option<Ask> {
        let newest = self.messages.back().filter(|newest| !newest.is_answered)?;
        self.ask_about(newest.version)
    }

    /// One of the customer's newest messages, by the version that it made.
    #[must_use]
    pub fn ask_about(&self, message: Version) -> Option<Ask> {
        let asked = self.asked(message)?;
        let found = self.messages.iter().find(|known| known.version == message)?;
        let is_newest = self.messages.back().is_some_and(|newest| newest.version == message);
        let gate = Gate {
            is_answered: found.is_answered || !is_newest,
            is_held: self.is_held,
            is_out_of_sight: self.is_out_of_sight,
            is_from_machine: self.is_from_machine,
            is_handed_over: self.tags.contains(HANDED_OVER_TAG),
            trouble: self.trouble,
            automatic: self.automatic,
            is_after_automatic: self.last_automatic.is_some(),
        };
        let filling = Filling::of(&self.person, self.order_number(found.turn));
        Some(Ask { asked, filling, gate })
    }

    fn created(
        &mut self,
        happening: &Happening<'_>,
        told: &Told<'_>,
        agent: Option<AgentId>,
    ) -> Option<What> {
        let requester = told.requester.as_deref().unwrap_or_default();
        self.person = Person::of(requester, told.requester_id);
        let subject = composed(told.subject.as_deref().unwrap_or_default());
        let (subject, text) = (subject.trim(), composed(told.text.as_deref().unwrap_or_default()));
        self.is_from_machine =
            trouble::is_automatic_sender(requester) || trouble::is_automatic_text(subject, &text);
        self.change_tags(told);
        // A subject that mail programs make of the text's beginning says nothing more.
        let is_said = subject.is_empty() || text.contains(subject);
        let text = if is_said { text.into_owned() } else { format!("{subject}\n{text}") };
        self.push(happening.version, &text);
        let tags: Vec<String> = self.tags.iter().cloned().collect();
        let asked = self.asked(happening.version)?;
        let label = Label::Tags(tags.clone());
        agent
            .filter(|_| !tags.is_empty())
            .map(|agent| What::Labelled(Box::new(Labelled { asked, agent, label })))
    }

    fn message(&mut self, happening: &Happening<'_>, told: &Told<'_>) -> Option<What> {
        let text = &*composed(told.text.as_deref().unwrap_or_default());
        let sent = self.last_automatic;
        let before = sent.and_then(|sent| self.asked(sent.message));
        self.push(happening.version, text);
        if trouble::is_automatic_text("", text) {
            self.is_from_machine = true;
            return None;
        }
        // Earlier than any automatic reply, an angry customer may still be helped; but not by a machine.
        let is_same = before
            .as_ref()
            .is_some_and(|asked| trouble::is_same_question(&asked.text, &mask(beginning(text)).text));
        self.trouble = self.trouble.or(is_same.then_some(Trouble::SameAgain));
        let (sent, asked) = sent.filter(|sent| !sent.is_settled).zip(before)?;
        // What this message says, whatever others have said before.
        let (is_bad, was_good) = (is_same || trouble::trouble(text).is_some(), trouble::is_thanks(text));
        if !is_bad && !was_good {
            return None;
        }
        self.last_automatic = Some(Sent { is_settled: true, ..sent });
        Some(What::Outcome(Box::new(Outcome { asked, reply: sent.reply, was_good: was_good && !is_bad })))
    }

    fn replied_automatically(&mut self, happening: &Happening<'_>, told: &Told<'_>) -> Option<What> {
        self.automatic = self.automatic.saturating_add(1);
        if let Some(newest) = self.messages.back() {
            let reply = told.suggestion.map_or(0, |suggested| suggested.reply);
            self.last_automatic = Some(Sent { message: newest.version, reply, is_settled: false });
        }
        self.answer();
        Some(What::Sent(lesson::Sent { queue: self.queue, at: happening.at }))
    }

    fn replied(&mut self, happening: &Happening<'_>, told: &Told<'_>, agent: AgentId) -> Option<What> {
        let corrected = self.last_automatic.take();
        let waiting = self.messages.back().filter(|newest| !newest.is_answered).map(|newest| newest.version);
        let corrects = corrected.filter(|_| waiting.is_none());
        self.answer();
        let message = waiting.or(corrects.map(|sent| sent.message))?;
        let asked = self.asked(message)?;
        let text = told.text.as_deref().unwrap_or_default();
        let wording = Wording::of(text, &self.person, &self.said);
        let made_of = told.suggestion.map(|suggested| suggested.reply);
        Some(What::Reply(Box::new(Replied {
            agent,
            source: Source { ticket: happening.ticket, version: happening.version },
            wording,
            made_of: made_of.filter(|reply| !self.judged.contains(&(message, *reply))),
            made_with: told.made_with.as_deref().map(str::to_owned),
            corrects: corrects.filter(|sent| !sent.is_settled).map(|sent| sent.reply),
            asked,
        })))
    }

    fn set(&mut self, told: &Told<'_>, agent: Option<AgentId>) -> Option<What> {
        let added = self.change_tags(told);
        self.person.identify(told.requester_id);
        let agent = agent.filter(|_| !added.is_empty())?;
        let asked = self.asked(self.messages.back()?.version)?;
        Some(What::Labelled(Box::new(Labelled { asked, agent, label: Label::Tags(added) })))
    }

    fn judge(&mut self, told: &Told<'_>, agent: AgentId) -> Option<What> {
        let (message, reply, verdict) = (told.message?, told.reply?, told.verdict?);
        let asked = self.asked(message)?;
        if self.judged.contains(&(message, reply)) {
            return None;
        }
        if self.judged.len() >= DIALOGUE_VERDICTS_MAX {
            self.judged.pop_front();
        }
        self.judged.push_back((message, reply));
        Some(What::Judged(Box::new(Judged { asked, agent, reply, verdict })))
    }

    fn label(&mut self, told: &Told<'_>, agent: AgentId) -> Option<What> {
        let asked = self.asked(told.message?)?;
        let label = told.intent.as_deref().map_or(Label::None, |name| Label::Named(name.to_owned()));
        Some(What::Labelled(Box::new(Labelled { asked, agent, label })))
    }

    /// Events that teach nothing.
    fn follow(&mut self, kind: Kind) {
        match kind {
            Kind::Claimed | Kind::Assigned => self.is_held = true,
            Kind::Released => self.is_held = false,
            Kind::Deleted | Kind::Merged => self.is_out_of_sight = true,
            Kind::Restored => self.is_out_of_sight = false,
            Kind::Erased => {
                self.messages.clear();
                self.tags.clear();
                self.said = Said::default();
                self.person = Person::default();
            }
            _ => {}
        }
    }

    /// Takes over changes of tags; those that are new are returned.
    fn change_tags(&mut self, told: &Told<'_>) -> Vec<String> {
        let mut added = Vec::new();
        for (tag, state) in told.tags.iter().flatten() {
            if state.is_none_or(|is_set| !is_set) {
                self.tags.remove(tag);
            } else if self.tags.len() < TICKET_TAGS_MAX && self.tags.insert(tag.clone()) {
                added.push(tag.clone());
            }
        }
        added
    }

    fn push(&mut self, version: Version, text: &str) {
        self.trouble = self.trouble.or(trouble::trouble(text));
        self.said.say(text);
        let is_answered = self.messages.back().is_none_or(|newest| newest.is_answered);
        self.turns = self.turns.saturating_add(u32::from(is_answered));
        if self.messages.len() >= DIALOGUE_MESSAGES_MAX {
            self.messages.pop_front();
        }
        let text = beginning(text).to_owned();
        self.messages.push_back(Message { version, text, turn: self.turns, is_answered: false });
    }

    fn answer(&mut self) {
        self.messages.iter_mut().for_each(|message| message.is_answered = true);
    }

    /// A message with those before it of the same turn, masked: the newest first, for only the beginning of long texts counts.
    fn asked(&self, message: Version) -> Option<Asked> {
        let found = self.messages.iter().find(|known| known.version == message)?;
        let mut text = String::new();
        let parts = self.messages.iter().rev();
        for part in parts.filter(|part| part.turn == found.turn && part.version <= message) {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(&mask(&part.text).text);
        }
        let text = self.person.hide(&text);
        let context = Context {
            language: Language::of(&text),
            queue: self.queue,
            turn: found.turn,
            tags: self.tags.iter().cloned().collect(),
        };
        Some(Asked { ticket: self.ticket, message, requester: self.person.key, text, context })
    }

    /// The order's number, where a turn's messages have exactly one.
    fn order_number(&self, turn: u32) -> Option<String> {
        let mut found: Option<String> = None;
        for message in self.messages.iter().filter(|message| message.turn == turn) {
            for span in mask(&message.text).spans.into_iter().filter(|span| span.kind == Personal::Order) {
                let number = message.text.get(span.was)?;
                match &found {
                    Some(other) if other != number => return None,
                    _ => found = Some(number.to_owned()),
                }
            }
        }
        found
    }
}

/// What of a message counts.
fn beginning(text: &str) -> &str {
    text.get(..text.floor_char_boundary(DIALOGUE_MESSAGE_BYTES_MAX)).unwrap_or_default()
}
