//! A log of a small desk, written event by event.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::id::{AgentId, Offset, QueueId, TicketId, Version};
use crate::learn::{Ask, Dialogue, Happening, Model, Notice, Suggestion};
use crate::ticket::{Actor, Kind};
use crate::time::Timestamp;

pub(super) const QUEUE: QueueId = QueueId(1);

/// An event as it is written down.
#[derive(Debug, Clone)]
pub(super) struct Event {
    offset: u64,
    ticket: u64,
    version: u32,
    kind: Kind,
    actor: Actor,
    at: u64,
    data: String,
}

impl Event {
    pub(super) fn happening(&self) -> Happening<'_> {
        Happening {
            offset: Offset(self.offset),
            ticket: TicketId(self.ticket),
            version: Version(self.version),
            kind: self.kind,
            actor: self.actor,
            at: Timestamp(self.at),
            queue: QUEUE,
            data: &self.data,
        }
    }
}

/// The desk: a log, its dialogues and its model.
#[derive(Debug, Default)]
pub(super) struct Desk {
    pub(super) log: Vec<Event>,
    pub(super) model: Model,
    dialogues: BTreeMap<u64, Dialogue>,
    tickets: u64,
    pub(super) now: u64,
    pub(super) notices: Vec<Notice>,
}

impl Desk {
    pub(super) fn happens(&mut self, ticket: u64, kind: Kind, actor: Actor, data: &Value) -> u32 {
        let version = 1 + self.log.iter().filter(|event| event.ticket == ticket).count();
        let version = u32::try_from(version).unwrap();
        self.now += 1_000;
        let offset = self.log.len() as u64 + 1;
        let event = Event { offset, ticket, version, kind, actor, at: self.now, data: data.to_string() };
        let lesson = self.dialogues.entry(ticket).or_default().apply(&event.happening());
        match lesson {
            Some(lesson) => self.notices.extend(self.model.learn(Offset(event.offset), &lesson)),
            None => self.model.pass(Offset(event.offset)),
        }
        self.log.push(event);
        version
    }

    pub(super) fn opens(&mut self, requester: &str, text: &str) -> u64 {
        self.tickets += 1;
        let data = json!({"queue": 1, "subject": "", "requester": requester, "text": text});
        self.happens(self.tickets, Kind::Created, Actor::Requester, &data);
        self.tickets
    }

    pub(super) fn creates(&mut self, data: &Value) -> u64 {
        self.tickets += 1;
        self.happens(self.tickets, Kind::Created, Actor::Requester, data);
        self.tickets
    }

    pub(super) fn writes(&mut self, ticket: u64, text: &str) -> u32 {
        self.happens(ticket, Kind::Message, Actor::Requester, &json!({"text": text}))
    }

    pub(super) fn replies(&mut self, ticket: u64, agent: u32, text: &str) -> u32 {
        self.happens(ticket, Kind::Reply, Actor::Agent(AgentId(agent)), &json!({"text": text}))
    }

    pub(super) fn replies_by(&mut self, ticket: u64, agent: u32, text: &str, origin: Value) -> u32 {
        let mut data = origin;
        data["text"] = json!(text);
        self.happens(ticket, Kind::Reply, Actor::Agent(AgentId(agent)), &data)
    }

    pub(super) fn labels(&mut self, ticket: u64, agent: u32, message: u32, intent: Option<&str>) {
        let data = json!({"message": message, "intent": intent});
        self.happens(ticket, Kind::Labelled, Actor::Agent(AgentId(agent)), &data);
    }

    pub(super) fn teaches(&mut self, data: &Value) {
        self.happens(0, Kind::Taught, Actor::Agent(AgentId(1)), data);
    }

    /// A dialogue of one question, one label and one reply.
    pub(super) fn dialogue(&mut self, requester: &str, text: &str, intent: &str, reply: &str) -> u64 {
        let ticket = self.opens(requester, text);
        self.labels(ticket, 1, 1, Some(intent));
        self.replies(ticket, 1, reply);
        ticket
    }

    pub(super) fn ask(&self, ticket: u64) -> Ask {
        self.dialogues.get(&ticket).and_then(Dialogue::ask).unwrap()
    }

    pub(super) fn suggest(&self, ticket: u64) -> Suggestion {
        self.model.suggest(&self.ask(ticket))
    }
}

/// The fold of a log, whenever `drops` says so, dialogues are dropped and made anew of their tickets' events, and the model is
/// written down and read again.
pub(super) fn fold(log: &[Event], mut drops: impl FnMut(usize) -> bool) -> Model {
    let mut model = Model::new();
    let mut dialogues: BTreeMap<u64, Dialogue> = BTreeMap::new();
    for (place, event) in log.iter().enumerate() {
        if drops(place) {
            dialogues.clear();
            model = Model::decode(&model.encode()).unwrap();
        }
        let dialogue = dialogues.entry(event.ticket).or_insert_with(|| {
            let mut dialogue = Dialogue::default();
            for before in log.iter().take(place).filter(|before| before.ticket == event.ticket) {
                dialogue.apply(&before.happening());
            }
            dialogue
        });
        match dialogue.apply(&event.happening()) {
            Some(lesson) => {
                model.learn(Offset(event.offset), &lesson);
            }
            None => model.pass(Offset(event.offset)),
        }
    }
    model
}

/// A question that the sample's first intent is about.
pub(super) const QUESTION: &str = "Where is my new card?";
/// A reply to it that is like none of the sample's.
pub(super) const OWN: &str =
    "Sorry about that, the courier lost the envelope and we print a second one tonight.";

/// Agent 2 says what became of a reply that was suggested for a ticket's first message.
pub(super) fn judges(desk: &mut Desk, ticket: u64, reply: u64, verdict: &str) {
    let data = json!({"message": 1, "reply": reply, "model": 1, "verdict": verdict});
    desk.happens(ticket, Kind::Feedback, Actor::Agent(AgentId(2)), &data);
}

/// The origin of a reply that was made of a suggested one.
pub(super) fn made_of(reply: u64) -> Value {
    json!({"suggestion": {"model": 1, "reply": reply}})
}

/// Uses of all replies: accepted, edited, written.
pub(super) fn uses(desk: &Desk) -> [u32; 3] {
    desk.model.replies.all().fold([0; 3], |[accepted, edited, written], reply| {
        [accepted + reply.accepted, edited + reply.edited, written + reply.written]
    })
}

/// Messages of an intent, by the report.
pub(super) fn lessons(desk: &Desk, name: &str) -> u32 {
    let intents = desk.model.report().intents;
    intents.iter().find(|intent| intent.name == name).map_or(0, |intent| intent.lessons)
}
