//! Customers who write, and agents who see suggestions and answer: one thread, one clock.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::json;

use super::World;
use super::lanes::{Answered, Lanes};
use crate::clock::{Clock, Random, nanos};
use crate::measure::{Latencies, latencies};
use crate::pace::{Arrivals, Pace, Rate};
use crate::poller::{Key, Poller, Ready};
use crate::session::{Opening, Reading, Seen, Session};
use crate::stop;
use crate::stream::Stream;
use crate::target::Target;

/// Connections that messages and replies go over.
const LANES: u32 = 8;
/// An agent answers so long after the message is committed, or later, once the suggestion is there: with suggestions and
/// without, replies come at the same times.
const REPLY_AFTER: Duration = Duration::from_millis(10);
/// What has not come by then, after the window, is an error.
const DRAIN: Duration = Duration::from_secs(5);
const OPEN: Duration = Duration::from_secs(30);
const SCRATCH_BYTES: usize = 64 * 1024;

/// One window of the load.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub rate: Rate,
    /// Messages that do not count.
    pub warm_up: Duration,
    /// Messages that count.
    pub duration: Duration,
    pub is_on: bool,
    pub seed: u64,
}

/// What was seen in it.
pub(super) struct Outcome {
    /// From the command's answer, which comes when the message is committed, to the suggestion; zero where that was
    /// there before.
    pub suggestions: Latencies,
    /// From the intended send of the message.
    pub from_send: Latencies,
    /// Suggestions that say that they know.
    pub known: u64,
    pub errors: BTreeMap<String, u64>,
}

/// A customer's message on its way, and what it has come to.
#[derive(Debug, Clone, Copy, Default)]
struct Asked {
    intended_ns: u64,
    version: u32,
    answered_ns: Option<u64>,
    /// The version that it is about, and when it came.
    suggested: Option<(u32, u64)>,
    is_known: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Job {
    Message(usize),
    Reply(usize),
}

/// Its connections.
pub(super) struct Front {
    clock: Clock,
    poller: Poller,
    random: Random,
    /// Picks what customers write: nothing else draws from it, so that it is the same in both windows of a pair.
    messages: Random,
    world: World,
    tickets: Vec<u64>,
    sessions: Vec<Session>,
    lanes: Lanes<Job>,
    /// When the messages of this window that count begin.
    start_ns: u64,
    /// Tickets that wait for nothing.
    idle: VecDeque<usize>,
    asked: Vec<Option<Asked>>,
    /// What each ticket's agent will answer.
    replies: Vec<String>,
    /// Tickets whose message is to be answered by an agent, by the time of that.
    to_reply: BinaryHeap<Reverse<(u64, usize)>>,
    outcome: Outcome,
    scratch: Vec<u8>,
}

impl Outcome {
    fn new() -> Self {
        Self { suggestions: latencies(), from_send: latencies(), known: 0, errors: BTreeMap::new() }
    }

    fn error(&mut self, what: &str) {
        *self.errors.entry(what.to_owned()).or_default() += 1;
    }
}

impl Front {
    /// Opens a session for each ticket, and connections for commands.
    pub(super) fn open(target: &Target, tickets: Vec<u64>, world: World) -> Result<Self> {
        let poller = Poller::new().context("cannot make a poller")?;
        let mut sessions = Vec::new();
        for (place, ticket) in (0_u32..).zip(&tickets) {
            let stream = Stream::connect(&target.push)?;
            let view = format!("ticket:{ticket}");
            let (host, token) = (&target.host, target.token(place as usize));
            let opening = Opening { host, token, view: &view, ticket: *ticket, resume: None };
            sessions.push(Session::open(stream, Key::Session(place), &poller, opening)?);
        }
        let lanes = Lanes::connect(target, LANES, &poller)?;
        let mut front = Self {
            clock: Clock::start(),
            poller,
            random: Random::new(1),
            messages: Random::new(1),
            world,
            idle: (0..tickets.len()).collect(),
            asked: vec![None; tickets.len()],
            replies: vec![String::new(); tickets.len()],
            tickets,
            sessions,
            lanes,
            start_ns: 0,
            to_reply: BinaryHeap::new(),
            outcome: Outcome::new(),
            scratch: vec![0; SCRATCH_BYTES],
        };
        let until_ns = front.clock.now_ns() + nanos(OPEN);
        let mut ready = Vec::new();
        while !front.sessions.iter().all(Session::is_live) {
            if front.clock.now_ns() >= until_ns {
                bail!("not all {} sessions are live after {} s", front.tickets.len(), OPEN.as_secs());
            }
            front.turn(&mut ready, None, true)?;
        }
        Ok(front)
    }

    /// Messages at their times, each with its reply.
    pub(super) fn run(&mut self, window: &Window) -> Result<Outcome> {
        let mut ready = Vec::new();
        // What came since the last window, connections that were closed meanwhile among it.
        self.turn(&mut ready, Some(0), window.is_on)?;
        let begin_ns = self.clock.now_ns();
        self.start_ns = begin_ns + nanos(window.warm_up);
        let end_ns = self.start_ns + nanos(window.duration);
        self.random = Random::new(window.seed);
        self.outcome = Outcome::new();
        let arrivals = Random::new(self.random.next_u64());
        self.messages = Random::new(self.random.next_u64());
        let mut pace = Pace::new(window.rate, Arrivals::Poisson, begin_ns, end_ns, arrivals);
        loop {
            let now_ns = self.clock.now_ns();
            let is_quiet = self.lanes.is_quiet() && self.to_reply.is_empty();
            let is_done = is_quiet && self.asked.iter().all(Option::is_none);
            if now_ns >= end_ns && (is_done || now_ns >= end_ns + nanos(DRAIN)) {
                break;
            }
            self.reply()?;
            self.ask(&mut pace)?;
            let can_ask = self.lanes.has_free() && !self.idle.is_empty();
            let now_ns = self.clock.now_ns();
            let next_ns = pace.until_next(now_ns).filter(|_| can_ask);
            let reply = self.to_reply.peek().filter(|_| self.lanes.has_free());
            let reply_ns = reply.map(|Reverse((due_ns, _))| due_ns.saturating_sub(now_ns));
            self.turn(&mut ready, next_ns.into_iter().chain(reply_ns).min(), window.is_on)?;
        }
        for place in 0..self.asked.len() {
            if self.asked.get_mut(place).and_then(Option::take).is_some() {
                self.outcome.error("a message without its answer or suggestion");
                self.idle.push_back(place);
            }
        }
        Ok(std::mem::replace(&mut self.outcome, Outcome::new()))
    }

    /// Sends messages that are due.
    fn ask(&mut self, pace: &mut Pace) -> Result<()> {
        while self.lanes.has_free() && !self.idle.is_empty() {
            let Some(intended_ns) = pace.due(self.clock.now_ns()) else { break };
            let Some(place) = self.idle.pop_front() else { break };
            let contact = self.world.any(&mut self.messages).context("no messages")?;
            let body = json!({"type": "message", "text": contact.text});
            let reply = self.world.act(contact, None).reply;
            let reply = json!({"type": "reply", "text": reply, "macro": self.world.intent_of(contact)});
            if let Some(slot) = self.replies.get_mut(place) {
                *slot = reply.to_string();
            }
            self.send(Job::Message(place), place, &body.to_string())?;
            if let Some(asked) = self.asked.get_mut(place) {
                *asked = Some(Asked { intended_ns, ..Asked::default() });
            }
        }
        Ok(())
    }

    /// Sends replies that agents have ready.
    fn reply(&mut self) -> Result<()> {
        while self.lanes.has_free() {
            let now_ns = self.clock.now_ns();
            let is_due = self.to_reply.peek().is_some_and(|Reverse((due_ns, _))| *due_ns <= now_ns);
            if !is_due {
                break;
            }
            let Some(Reverse((_, place))) = self.to_reply.pop() else { break };
            let body = self.replies.get_mut(place).map(std::mem::take).unwrap_or_default();
            self.send(Job::Reply(place), place, &body)?;
        }
        Ok(())
    }

    fn send(&mut self, job: Job, place: usize, body: &str) -> Result<()> {
        let ticket = self.tickets.get(place).copied().unwrap_or_default();
        self.lanes.send(&self.poller, job, &format!("/v1/tickets/{ticket}/commands"), body)
    }

    fn turn(&mut self, ready: &mut Vec<Ready>, wake_ns: Option<u64>, is_on: bool) -> Result<()> {
        stop::check()?;
        self.poller.wait(wake_ns, ready)?;
        for socket in ready.iter() {
            match socket.key {
                Key::Lane(index) => self.on_lane(index, *socket, is_on)?,
                Key::Session(index) => self.on_session(index as usize, is_on)?,
                Key::Former(_) => {}
            }
        }
        Ok(())
    }

    fn on_lane(&mut self, index: u32, socket: Ready, is_on: bool) -> Result<()> {
        let Some(Answered { job, event }) = self.lanes.on_ready(&self.poller, index, socket)? else {
            return Ok(());
        };
        let now_ns = self.clock.now_ns();
        let event = event.map_err(|said| anyhow!("{job:?} was answered {said}"))?;
        match job {
            Job::Message(place) => {
                if let Some(asked) = self.asked.get_mut(place).and_then(Option::as_mut) {
                    asked.answered_ns = Some(now_ns);
                    asked.version = event.version;
                }
                self.settle(place, is_on);
            }
            Job::Reply(place) => self.idle.push_back(place),
        }
        Ok(())
    }

    fn on_session(&mut self, place: usize, is_on: bool) -> Result<()> {
        let Some(session) = self.sessions.get_mut(place) else { return Ok(()) };
        let with = &mut Reading {
            poller: &self.poller,
            clock: self.clock,
            scratch: &mut self.scratch,
            random: &mut self.random,
        };
        let (mut suggestions, mut faults) = (Vec::new(), Vec::new());
        session.receive(with, |seen| match seen {
            Seen::Suggestion { message, is_known, now_ns } => suggestions.push((message, is_known, now_ns)),
            Seen::Fault(fault) => faults.push(fault),
            Seen::Live | Seen::Event { .. } | Seen::Drain { .. } => {}
        })?;
        faults.into_iter().for_each(|fault| self.outcome.error(fault));
        for (message, is_known, now_ns) in suggestions {
            if !is_on {
                self.outcome.error("a suggestion while the assistant is off");
            } else if let Some(asked) = self.asked.get_mut(place).and_then(Option::as_mut) {
                asked.suggested = Some((message, now_ns));
                asked.is_known = is_known;
            }
        }
        self.settle(place, is_on);
        Ok(())
    }

    /// Once a message is answered and its suggestion is there, its agent replies.
    fn settle(&mut self, place: usize, is_on: bool) {
        let Some(slot) = self.asked.get_mut(place) else { return };
        let Some(asked) = *slot else { return };
        let Some(answered_ns) = asked.answered_ns else { return };
        if is_on {
            // One about an earlier message may still come.
            let Some((_, suggested_ns)) = asked.suggested.filter(|(about, _)| *about == asked.version) else {
                return;
            };
            if asked.intended_ns >= self.start_ns {
                // Less is not told apart: one turn of the loop takes longer.
                let after_ns = |start_ns: u64| suggested_ns.saturating_sub(start_ns).max(1_000);
                self.outcome.suggestions.saturating_record(after_ns(answered_ns));
                self.outcome.from_send.saturating_record(after_ns(asked.intended_ns));
                self.outcome.known += u64::from(asked.is_known);
            }
        }
        *slot = None;
        self.to_reply.push(Reverse((answered_ns + nanos(REPLY_AFTER), place)));
    }
}
