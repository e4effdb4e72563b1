//! The tickets' events in the order of time: what core decides, with times of its own.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use anyhow::{Context, Result};
use rustc_hash::FxHashMap;
use waggle_core::id::{AgentId, Offset, TicketId};
use waggle_core::json::push_literal;
use waggle_core::right::Rights;
use waggle_core::ticket::{
    Actor, Authority, Expect, Followers, Hold, Lifecycles, NewEvent, Request, Route, Word, decide,
};
use waggle_core::time::Timestamp;
use waggle_gateway::store::CommitEvent;

use super::people::People;
use super::shape::{Outcome, Shape, Sizes};
use super::texts::Texts;

/// What happens to a ticket next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Claim,
    Message,
    Note,
    Reply,
    Close,
}

/// A ticket that more happens to.
struct Alive {
    shape: Shape,
    word: Word,
    holder: Option<AgentId>,
    newest: Offset,
    /// Steps that are done.
    done: usize,
}

/// All events of all tickets, batch by batch.
pub(super) struct Log<'a> {
    sizes: Sizes,
    end_ms: u64,
    lifecycles: Arc<Lifecycles>,
    people: &'a People,
    texts: &'a mut Texts,
    /// Next steps: when, of which ticket.
    due: BinaryHeap<Reverse<(u64, u64)>>,
    alive: FxHashMap<u64, Alive>,
    made: u64,
    offset: Offset,
    statuses: [u64; Outcome::ALL.len()],
    command: Vec<u8>,
}

impl<'a> Log<'a> {
    pub(super) fn new(sizes: &Sizes, end_ms: u64, people: &'a People, texts: &'a mut Texts) -> Self {
        Self {
            sizes: *sizes,
            end_ms,
            lifecycles: Lifecycles::built_in(),
            people,
            texts,
            due: BinaryHeap::new(),
            alive: FxHashMap::default(),
            made: 0,
            offset: Offset(0),
            statuses: [0; Outcome::ALL.len()],
            command: Vec::new(),
        }
    }

    /// The next events, at most `most`; none when all are made.
    ///
    /// # Errors
    /// Where core refuses one.
    pub(super) fn batch(&mut self, most: usize) -> Result<Vec<CommitEvent>> {
        let mut batch = Vec::with_capacity(most);
        let mut next = self.next_shape();
        while batch.len() < most {
            let due = self.due.peek().map(|Reverse((at_ms, _))| *at_ms);
            let is_step_next = match (due, &next) {
                (Some(at_ms), Some(shape)) => at_ms <= shape.created_ms,
                (Some(_), None) => true,
                (None, _) => false,
            };
            if is_step_next && let Some(Reverse((at_ms, number))) = self.due.pop() {
                batch.push(self.step(number, at_ms)?);
            } else if let Some(shape) = next.take() {
                batch.push(self.create(shape)?);
                next = self.next_shape();
            } else {
                break;
            }
        }
        Ok(batch)
    }

    pub(super) fn tickets(&self) -> u64 {
        self.made
    }

    pub(super) fn events(&self) -> u64 {
        self.offset.0
    }

    /// How many tickets have become what.
    pub(super) fn statuses(&self) -> &[u64] {
        &self.statuses
    }

    fn next_shape(&self) -> Option<Shape> {
        let number = self.made + 1;
        (number <= self.sizes.tickets).then(|| Shape::of(&self.sizes, self.end_ms, number))
    }

    fn create(&mut self, shape: Shape) -> Result<CommitEvent> {
        self.made += 1;
        let (subject, text) = self.texts.question(self.made);
        let requester = self.texts.requester(self.made, self.sizes.tickets);
        let queue = self.people.queue(shape.queue);
        let command = &mut self.command;
        command.clear();
        command.extend_from_slice(
            format!(r#"{{"type":"create","queue":{queue},"priority":"{}","#, shape.priority.name())
                .as_bytes(),
        );
        for (name, value) in [("subject", &subject), ("requester", &requester), ("text", &text)] {
            push_literal(command, name);
            command.push(b':');
            push_literal(command, value);
            command.push(if name == "text" { b'}' } else { b',' });
        }
        let request = Request::parse(&self.command).context("a create command of the seed")?;
        let ticket = TicketId(self.made);
        let at = Timestamp(shape.created_ms);
        let event = NewEvent::created(&self.lifecycles, ticket, &request.command, Actor::Requester, at)
            .context("a create command that creates nothing")?;
        let word = Word::pack(event.version, event.status, event.fence, Hold::Free);
        let route = Route { queue, ..Route::default() };
        let commit = self.commit(event, route, None, Some(subject), Some(requester));
        let alive = Alive { shape, word, holder: None, newest: commit.offset, done: 0 };
        self.alive.insert(self.made, alive);
        self.plan(self.made, shape.created_ms);
        Ok(commit)
    }

    fn step(&mut self, number: u64, at_ms: u64) -> Result<CommitEvent> {
        let mut alive = self.alive.remove(&number).context("a step of a ticket that is done")?;
        let shape = alive.shape;
        let step = step(&shape, alive.done).context("a step too many")?;
        let agent = self.people.agent(shape.agent);
        let queue = self.people.queue(shape.queue);
        self.command.clear();
        write_command(step, &shape, self.texts, number, alive.done, &mut self.command);
        let request = Request::parse(&self.command).context("a command of the seed")?;
        let actor = if step == Step::Message { Actor::Requester } else { Actor::Agent(agent) };
        let authority = Authority { actor, rights: Rights::ALL };
        let lifecycles = &*self.lifecycles;
        let intent = request.command.intent(lifecycles, alive.word.status());
        let intent = intent.ok().flatten().context("a command without an intent")?;
        let (word, transition) =
            decide(lifecycles, alive.word, alive.holder, authority, Expect::Any, None, intent)
                .with_context(|| format!("{step:?} of ticket {number}"))?;
        let event = NewEvent::admitted(
            lifecycles,
            TicketId(number),
            &request.command,
            &transition,
            actor,
            Timestamp(at_ms),
        )
        .context("a command that becomes no event")?;
        let held_before = alive.holder;
        alive.holder = transition.holder.unwrap_or(alive.holder);
        alive.word = word;
        let route = Route {
            queue,
            queue_from: None,
            agent: alive.holder,
            agent_from: held_before.filter(|_| held_before != alive.holder),
        };
        let commit = self.commit(event, route, Some(alive.newest), None, None);
        alive.newest = commit.offset;
        alive.done += 1;
        self.alive.insert(number, alive);
        self.plan(number, at_ms);
        Ok(commit)
    }

    /// When its next event is; a ticket that has had all is counted and forgotten.
    fn plan(&mut self, number: u64, at_ms: u64) {
        let Some(alive) = self.alive.get(&number) else { return };
        if step(&alive.shape, alive.done).is_some() {
            let wait_ms = alive.shape.waits_ms.get(alive.done).copied().unwrap_or(1);
            // Nothing happens after the end of the two years.
            self.due.push(Reverse(((at_ms + wait_ms).min(self.end_ms), number)));
            return;
        }
        let status = usize::from(alive.word.status().index());
        if let Some(count) = self.statuses.get_mut(status) {
            *count += 1;
        }
        self.alive.remove(&number);
    }

    fn commit(
        &mut self,
        event: NewEvent,
        route: Route,
        previous: Option<Offset>,
        subject: Option<String>,
        requester: Option<String>,
    ) -> CommitEvent {
        self.offset = self.offset.next();
        let (tenant, offset) = (self.people.tenant(), self.offset);
        CommitEvent {
            tenant,
            offset,
            event,
            followers: Followers::default(),
            route,
            previous,
            subject,
            requester,
            follow_up_of: None,
            key: None,
        }
    }
}

/// What happens after a ticket was created: the `done`-th step.
fn step(shape: &Shape, done: usize) -> Option<Step> {
    use Step::{Claim, Close, Message, Note, Reply};
    let messages: [Step; 2] = match shape.outcome {
        Outcome::New => [Message, Note],
        Outcome::Open => [Reply, Message],
        _ => [Message, Reply],
    };
    let claim = shape.is_held.then_some(Claim);
    let close = (shape.outcome == Outcome::Closed).then_some(Close);
    claim.into_iter().chain(messages).chain(close).nth(done)
}

fn write_command(step: Step, shape: &Shape, texts: &mut Texts, number: u64, done: usize, out: &mut Vec<u8>) {
    let (kind, status) = match step {
        Step::Claim => return out.extend_from_slice(br#"{"type":"claim"}"#),
        Step::Close => return out.extend_from_slice(br#"{"type":"move","to":"closed"}"#),
        Step::Message => ("message", None),
        Step::Note => ("note", None),
        Step::Reply => ("reply", reply_status(shape.outcome)),
    };
    let text = if step == Step::Message { texts.more(number, done) } else { texts.answer(number, done) };
    out.extend_from_slice(format!(r#"{{"type":"{kind}","text":"#).as_bytes());
    push_literal(out, &text);
    if let Some(status) = status {
        out.extend_from_slice(format!(r#","status":"{status}""#).as_bytes());
    }
    out.push(b'}');
}

/// What the agent's reply leaves, where it says so.
fn reply_status(outcome: Outcome) -> Option<&'static str> {
    match outcome {
        Outcome::New | Outcome::Open => None,
        Outcome::Closed => Some(Outcome::Solved.status_name()),
        other => Some(other.status_name()),
    }
}
