//! The quarter through `core::learn` alone: events as a log would have them, without a gateway.

use anyhow::{Context, Result};
use serde_json::json;
use waggle_core::id::{AgentId, Offset, QueueId, TicketId, Version};
use waggle_core::learn::{Answer, Ask, Dialogue, Happening, Model, Suggestion};
use waggle_core::ticket::{Actor, Kind};
use waggle_core::time::Timestamp;

use super::tally::{Seen, Tally, Week};
use super::world::{Act, Contact, WEEKS, World};
use crate::stop;

/// Weeks whose model is kept as it was at their end, and asked in all later ones.
pub(super) const FROZEN: [usize; 3] = [1, 4, 8];
/// When the quarter begins: a Monday.
const BEGIN_MS: u64 = 1_767_571_200_000;
const WEEK_MS: u64 = 7 * 24 * 3_600_000;
/// Between two dialogues' events.
const STEP_MS: u64 = 60_000;
const QUEUE: QueueId = QueueId(1);

/// The log that grows, and the model that follows it.
struct Log {
    model: Model,
    offset: u64,
}

/// One ticket of it.
struct Thread {
    ticket: TicketId,
    version: u32,
    dialogue: Dialogue,
}

/// Runs one quarter.
///
/// # Errors
/// Where a snapshot cannot be read back, or the bench was told to stop.
pub(super) fn run(world: &World) -> Result<Vec<Week>> {
    let mut log = Log { model: Model::new(), offset: 0 };
    let mut frozen: Vec<(usize, Model)> = Vec::new();
    let mut weeks = Vec::new();
    for (number, contacts) in world.weeks.iter().enumerate().take(WEEKS) {
        let mut week = Week::default();
        let mut at = BEGIN_MS + number as u64 * WEEK_MS;
        for contact in contacts {
            stop::check()?;
            let mut thread = Thread::new(TicketId(log.offset + 1));
            at += STEP_MS;
            log.add(&mut thread, Kind::Created, Actor::Requester, at, &created(contact));
            let Some(ask) = thread.dialogue.ask() else { continue };
            let suggestion = log.model.suggest(&ask);
            let act = world.act(contact, first(&suggestion));
            week.live.add(&seen(world, contact, &suggestion));
            week.live.add_act(&act);
            for (since, model) in &frozen {
                let tally = week.frozen.entry(*since).or_default();
                tally.add(&seen(world, contact, &model.suggest(&ask)));
            }
            answer(&mut log, &mut thread, at, contact, &act, &suggestion);
        }
        week.held_out = asked(world, &log.model);
        week.model_mib = log.model.encode().len() as f64 / f64::from(1 << 20);
        weeks.push(week);
        if FROZEN.contains(&(number + 1)) {
            // By way of its snapshot, as another node would have it.
            let copy = Model::decode(&log.model.encode()).context("the model cannot be read back")?;
            frozen.push((number + 1, copy));
        }
    }
    Ok(weeks)
}

impl Thread {
    fn new(ticket: TicketId) -> Self {
        Self { ticket, version: 0, dialogue: Dialogue::default() }
    }
}

impl Log {
    fn add(&mut self, thread: &mut Thread, kind: Kind, actor: Actor, at_ms: u64, data: &str) {
        self.offset += 1;
        thread.version += 1;
        let happening = Happening {
            offset: Offset(self.offset),
            ticket: thread.ticket,
            version: Version(thread.version),
            kind,
            actor,
            at: Timestamp(at_ms),
            queue: QUEUE,
            data,
        };
        match thread.dialogue.apply(&happening) {
            Some(lesson) => drop(self.model.learn(happening.offset, &lesson)),
            None => self.model.pass(happening.offset),
        }
    }
}

fn created(contact: &Contact) -> String {
    json!({"subject": "", "requester": contact.requester, "text": contact.text}).to_string()
}

/// What an agent did, as events.
fn answer(
    log: &mut Log,
    thread: &mut Thread,
    at: u64,
    contact: &Contact,
    act: &Act,
    suggestion: &Suggestion,
) {
    let actor = Actor::Agent(AgentId(contact.agent));
    if let Some(label) = &act.label {
        let data = json!({"message": suggestion.message, "intent": label}).to_string();
        log.add(thread, Kind::Labelled, actor, at + 1, &data);
    }
    let mut data = json!({"text": act.reply});
    let made_of = suggestion.replies.first().filter(|_| act.is_suggested);
    if let Some(members) = data.as_object_mut() {
        if let Some(reply) = made_of {
            let origin = json!({"model": suggestion.model.version, "reply": reply.id});
            members.insert("suggestion".to_owned(), origin);
        }
        if let Some(name) = &act.made_with {
            members.insert("macro".to_owned(), json!(name));
        }
    }
    log.add(thread, Kind::Reply, actor, at + 2, &data.to_string());
}

fn first(suggestion: &Suggestion) -> Option<&str> {
    let is_known = suggestion.answer == Answer::Known;
    suggestion.replies.first().filter(|_| is_known).map(|reply| reply.text.as_str())
}

fn seen(world: &World, contact: &Contact, suggestion: &Suggestion) -> Seen {
    let is_right = |text: &str| world.is_right(contact, text);
    let intent = contact.intent.and_then(|intent| world.intents.get(intent));
    let named = suggestion.candidates.first().zip(intent);
    Seen {
        is_known: first(suggestion).is_some(),
        is_right: first(suggestion).is_some_and(is_right),
        is_in_three: suggestion.replies.iter().any(|reply| is_right(&reply.text)),
        is_intent: named.is_some_and(|(one, intent)| one.intent.eq_ignore_ascii_case(&intent.name)),
    }
}

/// What the model says of the messages that nobody answers.
fn asked(world: &World, model: &Model) -> Tally {
    let mut tally = Tally::default();
    for contact in &world.held_out {
        if let Some(ask) = ask(contact) {
            tally.add(&seen(world, contact, &model.suggest(&ask)));
        }
    }
    tally
}

/// The message as it would be in a ticket of its own.
fn ask(contact: &Contact) -> Option<Ask> {
    let mut dialogue = Dialogue::default();
    let data = created(contact);
    dialogue.apply(&Happening {
        offset: Offset(0),
        ticket: TicketId(1),
        version: Version(1),
        kind: Kind::Created,
        actor: Actor::Requester,
        at: Timestamp(BEGIN_MS),
        queue: QUEUE,
        data: &data,
    });
    dialogue.ask()
}

#[cfg(test)]
mod tests {
    use super::super::world::tests::{SHAPE, task};
    use super::*;

    #[test]
    fn a_quarter_is_learned() {
        let world = World::new(&task(), SHAPE, 50, 3).unwrap();
        let weeks = run(&world).unwrap();
        assert_eq!(weeks.len(), WEEKS);
        let (first, last) = (&weeks[0], &weeks[WEEKS - 1]);
        assert_eq!(last.live.asked, SHAPE.per_week as u64);
        assert_eq!(last.frozen.keys().copied().collect::<Vec<_>>(), FROZEN);
        assert!(last.held_out.right > first.held_out.right / 2, "{first:?} {last:?}");
        assert!(last.live.accepted > 0, "{last:?}");
    }
}
