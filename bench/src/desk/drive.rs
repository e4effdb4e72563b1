//! The generator: one thread, one poller, many keep-alive connections with at most one request each.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::tally::Tally;
use super::work::{Ask, Work};
use crate::clock::{Clock, Random, nanos};
use crate::lane::{Lane, LaneError};
use crate::measure::Window;
use crate::pace::{Arrivals, Pace, Rate};
use crate::poller::{Key, Poller, Ready};
use crate::process::thread_cpu_ns;
use crate::stop;
use crate::target::Target;
use crate::wire::http::Head;

/// All connections must have had an answer after this long.
const CONNECT: Duration = Duration::from_secs(120);
/// Connections that wait for their first answer at a time.
const CONNECTING_MAX: usize = 128;
/// Answers that are late by more than this after the end of sending are given up.
const DRAIN: Duration = Duration::from_secs(10);
/// Characters of an answer that an error shows.
const SHOWN_CHARS_MAX: usize = 400;

/// When requests are sent.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// Requests per second, or as many as are answered.
    pub rate: Rate,
    /// Spacing, in open loop.
    pub arrivals: Arrivals,
    /// Load that does not count.
    pub warm_up: Duration,
    /// Load that counts.
    pub duration: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Job {
    ask: Ask,
    intended_ns: u64,
}

/// A generator with its connections.
pub struct Drive<W> {
    clock: Clock,
    poller: Poller,
    ready: Vec<Ready>,
    random: Random,
    targets: Vec<Target>,
    /// The number of the first connection's client.
    first_client: u32,
    lanes: Vec<Lane>,
    jobs: Vec<Option<Job>>,
    idle: Vec<u32>,
    work: W,
    tally: Tally,
}

impl<W: Work> Drive<W> {
    /// Connects `connections` lanes, in turn to each of `targets`, and waits until each has had an answer:
    /// the gateway has all of them then. Clients come from an address of their own each, from `first_client`
    /// on.
    ///
    /// # Errors
    /// Where a connection cannot be made or is refused.
    pub fn connect(
        targets: &[Target],
        connections: u32,
        first_client: u32,
        work: W,
        seed: u64,
    ) -> Result<Self> {
        if targets.is_empty() || connections == 0 {
            bail!("no targets or no connections: expected at least one of each");
        }
        let mut drive = Self {
            clock: Clock::start(),
            poller: Poller::new().context("cannot make a poller")?,
            ready: Vec::new(),
            random: Random::new(seed),
            targets: targets.to_vec(),
            first_client,
            lanes: Vec::with_capacity(connections as usize),
            jobs: vec![None; connections as usize],
            idle: Vec::with_capacity(connections as usize),
            tally: Tally::new(work.kinds(), Window::default()),
            work,
        };
        drive.connect_all(connections as usize)?;
        Ok(drive)
    }

    /// One run: warm-up, window, and the wait for what is still on its way. `measured` is called at the start
    /// of the window and at its end.
    ///
    /// # Errors
    /// Where it cannot go on, or was interrupted.
    pub fn run(&mut self, schedule: &Schedule, mut measured: impl FnMut()) -> Result<Tally> {
        let begin_ns = self.clock.now_ns();
        let start_ns = begin_ns + nanos(schedule.warm_up);
        let end_ns = start_ns + nanos(schedule.duration);
        self.tally = Tally::new(self.work.kinds(), Window { start_ns, end_ns });
        let arrivals = Random::new(self.random.next_u64());
        let mut pace = Pace::new(schedule.rate, schedule.arrivals, begin_ns, end_ns, arrivals);
        let mut cpu_ns = None;
        loop {
            let now_ns = self.clock.now_ns();
            if now_ns >= end_ns {
                break;
            }
            if now_ns >= start_ns && cpu_ns.is_none() {
                measured();
                cpu_ns = thread_cpu_ns().or(Some(0));
            }
            self.dispatch(&mut pace)?;
            let next_ns = if cpu_ns.is_some() { end_ns } else { start_ns };
            self.turn(&mut pace, next_ns.saturating_sub(now_ns))?;
        }
        let used_ns = thread_cpu_ns().zip(cpu_ns).map(|(now, begin)| now.saturating_sub(begin));
        measured();
        self.drain(&mut pace)?;
        let empty = Tally::new(self.work.kinds(), Window::default());
        let mut tally = std::mem::replace(&mut self.tally, empty);
        tally.generator_ns = used_ns.unwrap_or_default();
        Ok(tally)
    }

    fn connect_all(&mut self, count: usize) -> Result<()> {
        let deadline_ns = self.clock.now_ns() + nanos(CONNECT);
        let mut ready = Vec::new();
        while self.idle.len() < count {
            while self.lanes.len() < count && self.lanes.len() - self.idle.len() < CONNECTING_MAX {
                let index = self.lanes.len() as u32;
                let mut lane = self.begin(index)?;
                lane.send(&self.poller, |requests, out| requests.get(out, "/v1/me"))?;
                self.lanes.push(lane);
            }
            stop::check()?;
            if self.clock.now_ns() >= deadline_ns {
                bail!("{} of {count} connections were answered in {} s", self.idle.len(), CONNECT.as_secs());
            }
            self.poller.wait(None, &mut ready)?;
            for socket in &ready {
                let Key::Lane(index) = socket.key else { continue };
                let live = self.idle.len();
                let made = self.greeted(index, *socket);
                if made.with_context(|| format!("connection {index} of {count} ({live} are there)"))? {
                    self.idle.push(index);
                }
            }
        }
        Ok(())
    }

    fn begin(&self, index: u32) -> Result<Lane> {
        // There is a target: `connect` takes none without.
        let target = &self.targets[index as usize % self.targets.len()];
        Lane::begin(target, index, self.first_client + index, &self.poller)
            .with_context(|| format!("cannot connect to the gateway at {}", target.api))
    }

    fn greeted(&mut self, index: u32, socket: Ready) -> Result<bool> {
        let Some(lane) = self.lanes.get_mut(index as usize) else { return Ok(false) };
        let Some(head) = lane.on_ready(&self.poller, socket)? else { return Ok(false) };
        if head.status != 200 || head.close {
            let (body, status) = (shown(lane.body(&head)), head.status);
            bail!("the first answer was {status}, expected 200 and a connection that stays: {body}");
        }
        lane.done(&head);
        Ok(true)
    }

    /// Sends what is due, as far as connections are free: each over one of those at random.
    fn dispatch(&mut self, pace: &mut Pace) -> Result<()> {
        while !self.idle.is_empty() {
            let Some(intended_ns) = pace.due(self.clock.now_ns()) else { break };
            let index = self.idle.swap_remove(self.random.below(self.idle.len()));
            // Lanes and jobs have the same length, and `idle` holds indices of theirs.
            let lane = &mut self.lanes[index as usize];
            let (work, random) = (&mut self.work, &mut self.random);
            let mut ask = None;
            let sent = lane.send(&self.poller, |requests, out| ask = work.ask(requests, out, random));
            let Some(ask) = ask else {
                self.tally.error("nothing left to ask for", || "no ticket is free".into());
                self.idle.push(index);
                continue;
            };
            self.jobs[index as usize] = Some(Job { ask, intended_ns });
            if let Err(error) = sent {
                self.replace(index, &error)?;
            }
        }
        Ok(())
    }

    /// Waits for sockets, the next send, or `wake_ns`; handles what is ready.
    fn turn(&mut self, pace: &mut Pace, wake_ns: u64) -> Result<()> {
        stop::check()?;
        let next_ns = if self.idle.is_empty() { None } else { pace.until_next(self.clock.now_ns()) };
        let wake_ns = next_ns.map_or(wake_ns, |next_ns| next_ns.min(wake_ns));
        let mut ready = std::mem::take(&mut self.ready);
        self.poller.wait(Some(wake_ns), &mut ready)?;
        for socket in &ready {
            if let Key::Lane(index) = socket.key {
                self.on_lane(index, *socket)?;
            }
            self.dispatch(pace)?;
        }
        self.ready = ready;
        Ok(())
    }

    fn on_lane(&mut self, index: u32, ready: Ready) -> Result<()> {
        let Some(lane) = self.lanes.get_mut(index as usize) else { return Ok(()) };
        match lane.on_ready(&self.poller, ready) {
            Ok(None) => Ok(()),
            Ok(Some(head)) => self.answer(index, head),
            Err(error) => self.replace(index, &error),
        }
    }

    fn answer(&mut self, index: u32, head: Head) -> Result<()> {
        let now_ns = self.clock.now_ns();
        // As in `dispatch`.
        let (lane, job) = (&mut self.lanes[index as usize], self.jobs[index as usize].take());
        let Some(Job { ask, intended_ns }) = job else {
            return self.replace(index, &LaneError::Unasked);
        };
        let body = lane.body(&head);
        match self.work.answered(ask, &head, body) {
            Ok(()) => self.tally.answered(ask.kind, intended_ns, now_ns),
            Err(what) => self.tally.error(&what, || format!("{what}: {}", shown(body))),
        }
        lane.done(&head);
        if head.close {
            self.lanes[index as usize] = self.begin(index)?;
        }
        self.idle.push(index);
        Ok(())
    }

    /// A connection is lost, and made anew.
    fn replace(&mut self, index: u32, error: &LaneError) -> Result<()> {
        let error = error.to_string();
        self.tally.error(&error, || error.clone());
        // As in `dispatch`.
        match self.jobs[index as usize].take() {
            Some(job) => self.work.lost(job.ask),
            // It waited among the idle ones.
            None => self.idle.retain(|idle| *idle != index),
        }
        self.lanes[index as usize] = self.begin(index)?;
        self.idle.push(index);
        Ok(())
    }

    fn drain(&mut self, pace: &mut Pace) -> Result<()> {
        let until_ns = self.clock.now_ns() + nanos(DRAIN);
        loop {
            // Sends that were due before the end and found no connection free are still made.
            self.dispatch(pace)?;
            let now_ns = self.clock.now_ns();
            let is_sent = pace.until_next(now_ns).is_none();
            if (is_sent && self.idle.len() == self.lanes.len()) || now_ns >= until_ns {
                break;
            }
            self.turn(pace, until_ns - now_ns)?;
        }
        let now_ns = self.clock.now_ns();
        for index in 0..self.lanes.len() {
            let Some(Job { ask, intended_ns }) = self.jobs[index].take() else { continue };
            // It counts with its wait so far; its answer would be taken for the next one's.
            self.tally.answered(ask.kind, intended_ns, now_ns);
            self.tally
                .error("no answer in time", || format!("no answer {} s after the end", DRAIN.as_secs()));
            self.work.lost(ask);
            self.lanes[index] = self.begin(index as u32)?;
            self.idle.push(index as u32);
        }
        while pace.due(now_ns).is_some() {
            self.tally.error("not sent in time", || "no connection was free".into());
        }
        Ok(())
    }
}

fn shown(body: &[u8]) -> String {
    String::from_utf8_lossy(body).chars().take(SHOWN_CHARS_MAX).collect()
}
