//! Authors of commands: each asks again with the same key until it gets an answer.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::value::RawValue;
use waggle_core::id::{AgentId, Fence, TenantId, TicketId};
use waggle_core::push::EventMessage;
use waggle_core::right::Rights;
use waggle_core::ticket::{Actor, Authority, Lifecycles};

use crate::agenda::Event;
use crate::ledger::{Answer, Failure, Origin, Request};
use crate::plan::Plan;
use crate::random::Random;
use crate::store::{Row, key_of};
use crate::world::World;

/// Milliseconds that a patient author waits for an answer.
pub(crate) const PATIENCE_MS: u64 = 4_000;

/// A command that is to have one effect.
#[derive(Clone)]
struct Draft {
    ticket: Option<TicketId>,
    body: Rc<str>,
    key: Option<String>,
    is_first_attempt: bool,
    /// Milliseconds that the author waits for an answer: longer with every attempt.
    patience_ms: u64,
}

pub(crate) struct Author {
    pub(crate) tenant: TenantId,
    actor: Actor,
    rights: Rights,
    /// Sends over this viewer's connection, where that is up.
    viewer: Option<usize>,
    left: u32,
    drafts: u32,
    current: Option<Draft>,
    attempt: u32,
    /// Fences of its own claims, as it last heard of them.
    fences: BTreeMap<TicketId, Fence>,
}

#[derive(serde::Deserialize)]
struct ClaimData {
    fence: Fence,
    agent: AgentId,
}

impl Author {
    pub(crate) fn draw(random: &mut Random, plan: &Plan) -> Self {
        let tenant = TenantId(random.between(1, plan.tenants.into()) as u32);
        let agent = Actor::Agent(AgentId(random.between(1, plan.agents.into()) as u32));
        let actor = if random.chance(150) { Actor::Requester } else { agent };
        let rights = if random.chance(150) { Rights::ALL } else { Rights::AGENT };
        Self {
            tenant,
            actor,
            rights,
            viewer: None,
            left: plan.commands_per_author,
            drafts: 0,
            current: None,
            attempt: 0,
            fences: BTreeMap::new(),
        }
    }

    /// One that works where a viewer watches.
    pub(crate) fn at_viewer(mut self, viewer: usize, tenant: TenantId, agent: AgentId) -> Self {
        (self.tenant, self.actor, self.rights) = (tenant, Actor::Agent(agent), Rights::AGENT);
        self.viewer = Some(viewer);
        self
    }

    pub(crate) fn is_done(&self) -> bool {
        self.left == 0 && self.current.is_none()
    }
}

impl World {
    pub(crate) fn author_acts(&mut self, author: usize) {
        if self.authors[author].current.is_none() {
            if self.authors[author].left == 0 {
                return;
            }
            let draft = self.draft(author);
            let place = &mut self.authors[author];
            place.left -= 1;
            place.current = Some(draft);
        }
        let place = &mut self.authors[author];
        place.attempt += 1;
        let attempt = place.attempt;
        let viewer = place.viewer;
        let draft = place.current.as_mut().expect("a command");
        let patience_ms = draft.patience_ms;
        draft.patience_ms = (patience_ms * 2).min(PATIENCE_MS);
        let draft = draft.clone();
        self.agenda.add(self.now + patience_ms, Event::AuthorTimesOut { author, attempt });
        let link = viewer.and_then(|viewer| {
            let link = self.viewers[viewer].client.as_ref()?.live_link()?;
            self.conn_of(viewer, link)
        });
        match link {
            Some(conn) => {
                let ticket = draft.ticket.map(|ticket| format!(r#""ticket":{ticket},"#)).unwrap_or_default();
                let key = draft.key.as_ref().map(|key| format!(r#""key":"{key}","#)).unwrap_or_default();
                let text = format!(
                    r#"{{"type":"command","id":"{author}.{attempt}",{ticket}{key}"command":{}}}"#,
                    draft.body
                );
                self.send_up(conn, &text);
            }
            None => {
                let at = self.now + self.random.below(self.plan.network_ms);
                self.agenda.add(at, Event::RequestArrives { author, attempt });
            }
        }
    }

    pub(crate) fn request_arrives(&mut self, author: usize, attempt: u32) {
        let place = &self.authors[author];
        let Some(draft) = place.current.as_ref().filter(|_| place.attempt == attempt) else { return };
        if self.gateway.is_none() {
            return self.answer_author(author, attempt, Err(Failure::Again));
        }
        let (tenant, actor) = (place.tenant, place.actor);
        let request = Request {
            origin: Origin::Author { author, attempt },
            tenant,
            authority: Authority { actor, rights: place.rights },
            ticket: draft.ticket,
            body: Rc::clone(&draft.body),
            key: draft.key.as_deref().map(|key| key_of(tenant, actor, key)),
            has_lease: false,
        };
        self.submit(request);
    }

    pub(crate) fn answer_author(&mut self, author: usize, attempt: u32, answer: Answer) {
        if !self.goes_wrong(self.plan.answer_lost_per_mille) {
            let at = self.now + self.random.below(self.plan.network_ms);
            self.agenda.add(at, Event::AnswerArrives { author, attempt, answer });
        }
    }

    /// The answer to a command that was sent over a push connection.
    pub(crate) fn session_result(&mut self, id: &str, event: Option<&RawValue>, error: Option<&RawValue>) {
        let (author, attempt) = id.split_once('.').expect("an id of ours");
        let (author, attempt) = (author.parse().expect("an author"), attempt.parse().expect("an attempt"));
        match (event, error) {
            (Some(event), None) => self.author_hears(author, attempt, Ok(event.get().as_bytes())),
            (None, Some(error)) if error.get().contains("refused") => {
                self.author_hears(author, attempt, Err(Failure::Refused));
            }
            (None, Some(_)) => self.author_hears(author, attempt, Err(Failure::Again)),
            other => panic!("a result with neither or both: {other:?}"),
        }
    }

    pub(crate) fn answer_arrives(&mut self, author: usize, attempt: u32, answer: Answer) {
        match answer {
            Ok(entry) => self.author_hears(author, attempt, Ok(&entry.json())),
            Err(failure) => self.author_hears(author, attempt, Err(failure)),
        }
    }

    fn author_hears(&mut self, author: usize, attempt: u32, answer: Result<&[u8], Failure>) {
        let place = &mut self.authors[author];
        if place.attempt != attempt {
            return;
        }
        let Some(draft) = &mut place.current else { return };
        // What comes for this attempt from here on comes too late.
        place.attempt += 1;
        let key = draft.key.as_deref().map(|key| key_of(place.tenant, place.actor, key));
        match answer {
            Err(Failure::Again) if key.is_some() => {
                draft.is_first_attempt = false;
                let pause = self.random.between(1, 400);
                return self.agenda.add(self.now + pause, Event::AuthorActs(author));
            }
            Err(Failure::Again) => {}
            Err(Failure::Refused) => {
                // An earlier attempt may still be under way, and may yet be admitted.
                if let Some(key) = key.filter(|_| draft.is_first_attempt) {
                    self.model.refused(key);
                }
            }
            Ok(json) => {
                let event: EventMessage = serde_json::from_slice(json).expect("an event");
                place.learn(&event);
            }
        }
        place.current = None;
        let think = self.random.below(self.plan.think_ms);
        self.agenda.add(self.now + think, Event::AuthorActs(author));
    }

    pub(crate) fn author_times_out(&mut self, author: usize, attempt: u32) {
        let place = &mut self.authors[author];
        if place.attempt == attempt && place.current.is_some() {
            self.author_hears(author, attempt, Err(Failure::Again));
        }
    }

    fn draft(&mut self, author: usize) -> Draft {
        let place = &mut self.authors[author];
        place.drafts += 1;
        let name = format!("a{author}-{}", place.drafts);
        let has_key = self.random.chance(850);
        let table = &self.store.tenants[&place.tenant];
        let tickets: Vec<(TicketId, Row)> = table.rows.iter().map(|(ticket, row)| (*ticket, *row)).collect();
        let is_new = tickets.is_empty()
            || (tickets.len() < self.plan.tickets_per_tenant && self.random.chance(300))
            || self.random.chance(20);
        let text = match self.random.chance(self.plan.long_text_per_mille) {
            true => format!("{name} {}", "x".repeat(self.random.between(300, 2_500) as usize)),
            false => name.clone(),
        };
        let (ticket, body) = if is_new {
            let queue = self.random.between(1, self.plan.queues.into());
            let create = format!(
                r#"{{"type":"create","queue":{queue},"subject":"s","requester":"r","text":"{text}"}}"#
            );
            (None, create)
        } else {
            let (ticket, row) = self.random.pick(&tickets);
            (Some(ticket), self.command(author, ticket, row, &text))
        };
        Draft {
            ticket,
            body: body.into(),
            key: has_key.then_some(name),
            is_first_attempt: true,
            patience_ms: self.plan.patience_ms,
        }
    }

    /// A command by what the author knows of the ticket, or thinks it knows.
    fn command(&mut self, author: usize, ticket: TicketId, row: Row, text: &str) -> String {
        let random = &mut self.random;
        let place = &self.authors[author];
        let is_agent = matches!(place.actor, Actor::Agent(_));
        let kind = match random.below(100) {
            _ if !is_agent && random.chance(900) => "message",
            0..=9 => "note",
            10..=29 => "reply",
            30..=49 => "claim",
            50..=64 => "move",
            65..=79 => "set",
            80..=89 => "release",
            90..=94 => "assign",
            _ => "message",
        };
        let mut body = format!(r#"{{"type":"{kind}""#);
        match kind {
            "message" | "note" | "reply" => body += &format!(r#","text":"{text}""#),
            "move" => {
                let lifecycles = Lifecycles::built_in();
                let targets: Vec<_> = lifecycles.targets(row.status).collect();
                let to = if targets.is_empty() { "open" } else { random.pick(&targets) };
                // Closed is the end of a ticket: seldom.
                let to = if to == "closed" && random.chance(900) { "open" } else { to };
                body += &format!(r#","to":"{to}""#);
            }
            "set" => body += &format!(r#","queue":{}"#, random.between(1, self.plan.queues.into())),
            "assign" => body += &format!(r#","agent":{}"#, random.between(1, self.plan.agents.into())),
            _ => {}
        }
        if random.chance(300) {
            let seen = row.version.0 - u32::from(row.version.0 > 1 && random.chance(200));
            body += &format!(r#","expect":{seen}"#);
        }
        let takes_fence = matches!(kind, "reply" | "set" | "move" | "release" | "assign" | "claim");
        let fence = match place.fences.get(&ticket) {
            Some(fence) if kind != "claim" && random.chance(900) => Some(*fence),
            _ if row.assignee.is_some() && random.chance(400) => Some(row.fence),
            _ => None,
        };
        if let Some(fence) = fence.filter(|_| takes_fence) {
            body += &format!(r#","fence":{fence}"#);
        }
        body + "}"
    }
}

impl Author {
    fn learn(&mut self, event: &EventMessage) {
        match event.kind.as_str() {
            "claimed" | "assigned" => {
                let claim: ClaimData = serde_json::from_str(event.data.get()).expect("a claim's data");
                if self.actor == Actor::Agent(claim.agent) {
                    self.fences.insert(event.ticket, claim.fence);
                }
            }
            "released" => {
                self.fences.remove(&event.ticket);
            }
            _ => {}
        }
    }
}
