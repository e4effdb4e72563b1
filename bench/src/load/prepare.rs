//! Before a run: connections, tickets, sessions.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::Load;
use super::crowd::{Crowd, Tools};
use crate::clock::{Clock, Random, nanos};
use crate::lane::Lane;
use crate::measure::Recorder;
use crate::poller::{Key, Poller, Ready};
use crate::stop;
use crate::target::Target;
use crate::tickets::{Ticket, Tickets};

/// Tickets and sessions must be there after this long.
const PREPARE: Duration = Duration::from_secs(120);
/// Sessions that are in their handshakes at a time.
const OPENING_MAX: usize = 64;

/// What sessions watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Watch {
    /// Session `i` watches the `i`-th ticket only.
    OwnTicket,
    /// All sessions watch this view, which all tickets are in.
    All(String),
}

impl Load {
    /// Connects `connections` lanes, in turn to each of `targets`.
    ///
    /// # Errors
    /// Where a connection cannot be made.
    pub fn connect(targets: &[Target], connections: u32, seed: u64) -> Result<Self> {
        if targets.is_empty() {
            bail!("no targets: expected at least one");
        }
        let poller = Poller::new().context("cannot make a poller")?;
        let connect = |(index, target): (u32, &Target)| {
            Lane::connect(target, index, &poller)
                .with_context(|| format!("cannot connect to the gateway at {}", target.api))
        };
        let lanes = (0..connections).zip(targets.iter().cycle()).map(connect).collect::<Result<Vec<_>>>()?;
        Ok(Self {
            clock: Clock::start(),
            poller,
            ready: Vec::new(),
            random: Random::new(seed),
            targets: targets.to_vec(),
            jobs: vec![None; lanes.len()],
            idle: (0..connections).collect(),
            lanes,
            tickets: Tickets::default(),
            crowd: Crowd::new(Random::new(!seed)),
            broken: VecDeque::new(),
            forgives: false,
            stop: None,
            recorder: Recorder::new(0),
            watchers: 0,
            first_error: None,
        })
    }

    /// Creates `count` tickets, in turn in each of `queues`.
    ///
    /// # Errors
    /// Where one is refused, or it takes longer than two minutes.
    pub fn create_tickets(&mut self, count: usize, queues: &[u32]) -> Result<()> {
        let deadline_ns = self.clock.now_ns() + nanos(PREPARE);
        let mut made = Vec::with_capacity(count);
        let mut asked = 0;
        let mut ready = Vec::new();
        for index in 0..self.lanes.len() {
            asked += self.create(index, asked, count, queues)?;
        }
        while made.len() < count {
            self.wait(&mut ready, deadline_ns)
                .with_context(|| format!("{} of {count} tickets were created", made.len()))?;
            for socket in &ready {
                let Key::Lane(index) = socket.key else { continue };
                let index = index as usize;
                let Some(ticket) = self.created(index)? else { continue };
                made.push(ticket);
                asked += self.create(index, asked, count, queues)?;
            }
        }
        self.tickets = Tickets::new(made);
        Ok(())
    }

    /// Moves these tickets, which there are already.
    pub fn take_tickets(&mut self, tickets: Vec<Ticket>) {
        self.tickets = Tickets::new(tickets);
    }

    /// The tickets that it moves, as they are now.
    pub fn tickets(&self) -> impl Iterator<Item = Ticket> {
        self.tickets.iter()
    }

    /// Asks for the next ticket; returns how many were asked for: one, or none when all have been.
    fn create(&mut self, index: usize, asked: usize, count: usize, queues: &[u32]) -> Result<usize> {
        let Some(lane) = self.lanes.get_mut(index).filter(|_| asked < count) else { return Ok(0) };
        let queue = queues.get(asked % queues.len().max(1)).copied().unwrap_or(1);
        let body = format!(
            r#"{{"type":"create","queue":{queue},"subject":"Bench ticket {asked}","requester":"bench@example.org","text":"It does not work."}}"#
        );
        lane.send(&self.poller, |requests, out| requests.post(out, "/v1/tickets", body.as_bytes()))?;
        Ok(1)
    }

    fn created(&mut self, index: usize) -> Result<Option<Ticket>> {
        let Some(lane) = self.lanes.get_mut(index) else { return Ok(None) };
        // Under TLS a write may have waited for bytes to read.
        lane.flush(&self.poller)?;
        let Some(head) = lane.receive()? else { return Ok(None) };
        let body = lane.body(&head);
        let event = crate::wire::message::EventKey::parse(body).filter(|_| head.status == 201);
        let Some(event) = event else {
            let body = String::from_utf8_lossy(body);
            bail!("create answered {}, expected 201 and an event: {body}", head.status);
        };
        lane.done(&head);
        Ok(Some(Ticket::new(event.ticket)))
    }

    /// Opens `count` push sessions and waits until all are live.
    ///
    /// # Errors
    /// Where one is refused, or it takes longer than two minutes.
    pub fn open_sessions(&mut self, count: usize, watch: &Watch) -> Result<()> {
        let deadline_ns = self.clock.now_ns() + nanos(PREPARE);
        self.watchers = match watch {
            Watch::OwnTicket => 1,
            Watch::All(_) => u32::try_from(count).context("too many sessions")?,
        };
        let mut tickets = match watch {
            Watch::OwnTicket => self.tickets.ids().collect::<Vec<_>>(),
            Watch::All(_) => vec![0; count],
        }
        .into_iter();
        let shared: Arc<str> = match watch {
            Watch::OwnTicket => "".into(),
            Watch::All(view) => view.as_str().into(),
        };
        let mut ready = Vec::new();
        while self.crowd.live() < count {
            while self.crowd.len() < count && self.crowd.len() - self.crowd.live() < OPENING_MAX {
                let ticket = tickets.next().context("fewer tickets than sessions that watch one each")?;
                let view = match watch {
                    Watch::OwnTicket => format!("ticket:{ticket}").into(),
                    Watch::All(_) => Arc::clone(&shared),
                };
                // There is a target: `connect` takes none without.
                let target = &self.targets[self.crowd.len() % self.targets.len()];
                self.crowd.open(target, view, ticket, &self.poller)?;
            }
            self.wait(&mut ready, deadline_ns)
                .with_context(|| format!("{} of {count} sessions are live", self.crowd.live()))?;
            for socket in &ready {
                if let Key::Session(index) = socket.key {
                    let recorder = &mut self.recorder;
                    let with = &mut Tools { poller: &self.poller, clock: self.clock, recorder };
                    self.crowd.on_ready(index, *socket, with);
                }
            }
            if let Some(error) = self.crowd.take_first_error() {
                bail!("a session could not be opened, {} are live: {error}", self.crowd.live());
            }
        }
        Ok(())
    }

    fn wait(&mut self, ready: &mut Vec<Ready>, deadline_ns: u64) -> Result<()> {
        stop::check()?;
        let now_ns = self.clock.now_ns();
        if now_ns >= deadline_ns {
            bail!("not ready after {} s", PREPARE.as_secs());
        }
        Ok(self.poller.wait(None, ready)?)
    }
}
