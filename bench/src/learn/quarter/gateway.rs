//! The quarter through a gateway: tickets, suggestions and replies over HTTP, as agents' screens have them.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::tally::{Seen, Tally, Week};
use super::world::{AGENTS, Contact, World};
use crate::gateway::{Gateway, PushPath, Start, find_binary};
use crate::learn::desk::Desk;
use crate::stop;

/// The assistant has learned all by then.
const PATIENCE: Duration = Duration::from_secs(60);
/// Messages that nobody answers, at most: each is a ticket, and asked about at each week's end.
pub(super) const HELD_OUT_MAX: usize = 100;

/// Runs one quarter against a gateway of the bench's own.
///
/// # Errors
/// Where it does not start or does not answer as it should.
pub(super) fn run(world: &World, gateway: Option<PathBuf>) -> Result<Vec<Week>> {
    let start = Start {
        binary: find_binary(gateway)?,
        arguments: Vec::new(),
        parent: std::env::temp_dir(),
        path: PushPath::Tcp,
        host: std::net::Ipv4Addr::LOCALHOST,
        seeded: None,
    };
    let gateway = Gateway::start(&start)?;
    let target = gateway.target()?;
    let queue = gateway.queues().first().copied().unwrap_or(1);
    let mut agents = Vec::new();
    for agent in 0..AGENTS as usize {
        agents.push(Desk::connect(&target, agent)?);
    }
    let weeks = weeks(world, &mut agents, queue);
    let stopped = gateway.stop();
    let weeks = weeks?;
    stopped?;
    Ok(weeks)
}

fn weeks(world: &World, agents: &mut [Desk], queue: u32) -> Result<Vec<Week>> {
    // Their tickets are there from the start, so that they are only asked about.
    let mut held_out = Vec::new();
    let reader = agents.first_mut().context("no agents")?;
    reader.wait_learned(PATIENCE)?;
    for contact in &world.held_out {
        held_out.push((contact, reader.open(queue, &contact.requester, &contact.text)?));
    }
    let mut weeks = Vec::new();
    for (number, contacts) in world.weeks.iter().enumerate() {
        let mut week = Week::default();
        for contact in contacts {
            stop::check()?;
            let place = contact.agent as usize % agents.len();
            let desk = agents.get_mut(place).context("no agents")?;
            dialogue(world, contact, desk, queue, &mut week.live)?;
        }
        let reader = agents.first_mut().context("no agents")?;
        reader.wait_learned(PATIENCE)?;
        for (contact, ticket) in &held_out {
            let said = suggestion(reader, *ticket)?;
            week.held_out.add(&seen(world, contact, &said));
        }
        eprintln!("week {}: {} of {} suggestions right", number + 1, week.live.right, week.live.asked);
        weeks.push(week);
    }
    Ok(weeks)
}

/// One ticket from the customer's message to the agent's reply.
fn dialogue(world: &World, contact: &Contact, desk: &mut Desk, queue: u32, tally: &mut Tally) -> Result<()> {
    let ticket = desk.open(queue, &contact.requester, &contact.text)?;
    let said = suggestion(desk, ticket)?;
    tally.add(&seen(world, contact, &said));
    let act = world.act(contact, first(&said));
    tally.add_act(&act);
    if let Some(label) = &act.label {
        desk.command(ticket, &json!({"type": "label", "message": said.get("message"), "intent": label}))?;
    }
    let mut reply = json!({"type": "reply", "text": act.reply});
    if let Some(members) = reply.as_object_mut() {
        if act.is_suggested {
            let id = said.pointer("/replies/0/id").cloned().unwrap_or_default();
            let model = said.pointer("/model/version").cloned().unwrap_or_default();
            members.insert("suggestion".to_owned(), json!({"model": model, "reply": id}));
        }
        if let Some(name) = &act.made_with {
            members.insert("macro".to_owned(), json!(name));
        }
    }
    desk.command(ticket, &reply)?;
    Ok(())
}

fn suggestion(desk: &mut Desk, ticket: u64) -> Result<Value> {
    match desk.get(&format!("/v1/tickets/{ticket}/suggestions"))? {
        (200, said) => Ok(said),
        (status, said) => {
            bail!("the suggestions of ticket {ticket} were answered {status}, expected 200: {said}")
        }
    }
}

fn first(said: &Value) -> Option<&str> {
    let is_known = said.get("answer").and_then(Value::as_str) == Some("known");
    said.pointer("/replies/0/text").and_then(Value::as_str).filter(|_| is_known)
}

fn seen(world: &World, contact: &Contact, said: &Value) -> Seen {
    let replies = said.get("replies").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let texts = replies.iter().filter_map(|reply| reply.get("text")?.as_str());
    let intent = contact.intent.and_then(|intent| world.intents.get(intent));
    let named = said.pointer("/candidates/0/intent").and_then(Value::as_str).zip(intent);
    Seen {
        is_known: first(said).is_some(),
        is_right: first(said).is_some_and(|text| world.is_right(contact, text)),
        is_in_three: texts.into_iter().any(|text| world.is_right(contact, text)),
        is_intent: named.is_some_and(|(name, intent)| name.eq_ignore_ascii_case(&intent.name)),
    }
}
