//! The generator: one thread, one poller; commands over keep-alive connections and push sessions together,
//! so that both ends of a latency are read off the same clock.

mod answer;
mod prepare;

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::clock::{Clock, Random, nanos};
use crate::lane::Lane;
use crate::measure::{Recorder, Window};
use crate::pace::{Arrivals, Pace, Rate};
use crate::poller::{Key, Poller, Ready};
use crate::process::{Probe, Usage};
use crate::session::{Reading, Seen, Session};
use crate::stop;
use crate::target::Target;
use crate::tickets::Tickets;

pub use prepare::Watch;

/// Answers and events that are late by more than this after the end of sending are given up.
const DRAIN: Duration = Duration::from_secs(10);
const SCRATCH_BYTES: usize = 64 * 1024;

/// How one run goes.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Commands per second, or as many as are answered.
    pub rate: Rate,
    /// Spacing, in open loop.
    pub arrivals: Arrivals,
    /// Load that does not count.
    pub warm_up: Duration,
    /// Load that counts.
    pub duration: Duration,
}

/// A command on its way.
#[derive(Debug, Clone, Copy)]
struct Job {
    /// Its place among the tickets.
    place: usize,
    ticket: u64,
    /// The version that the command will make.
    version: u32,
    intended_ns: u64,
}

/// A generator with its connections.
pub struct Load {
    clock: Clock,
    poller: Poller,
    ready: Vec<Ready>,
    random: Random,
    targets: Vec<Target>,
    lanes: Vec<Lane>,
    jobs: Vec<Option<Job>>,
    idle: VecDeque<u32>,
    tickets: Tickets,
    sessions: Vec<Option<Session>>,
    sessions_live: usize,
    scratch: Vec<u8>,
    recorder: Recorder,
    /// Sessions that see each event.
    watchers: u32,
    first_error: Option<String>,
}

/// What one run brought.
#[derive(Debug)]
pub struct Outcome {
    /// Histograms and counts.
    pub recorder: Recorder,
    /// CPU time within the window.
    pub usage: Usage,
    /// The first answer that was an error, or the first error of a connection.
    pub first_error: Option<String>,
}

impl Load {
    /// One run: warm-up, window, and the wait for what is still on its way.
    ///
    /// # Errors
    /// Where it cannot go on, or was interrupted.
    pub fn run(&mut self, plan: &Plan, probe: &Probe) -> Result<Outcome> {
        let begin_ns = self.clock.now_ns();
        let start_ns = begin_ns + nanos(plan.warm_up);
        let end_ns = start_ns + nanos(plan.duration);
        self.recorder = Recorder::new(self.watchers);
        self.recorder.window = Window { start_ns, end_ns };
        let arrivals = Random::new(self.random.next_u64());
        let mut pace = Pace::new(plan.rate, plan.arrivals, begin_ns, end_ns, arrivals);
        let mut usage = probe.begin();
        let mut is_measuring = false;
        loop {
            let now_ns = self.clock.now_ns();
            if !is_measuring && now_ns >= start_ns {
                usage = probe.begin();
                is_measuring = true;
            }
            if now_ns >= end_ns {
                break;
            }
            self.dispatch(&mut pace)?;
            let wake_ns = if is_measuring { end_ns } else { start_ns }.saturating_sub(now_ns);
            self.turn(&mut pace, wake_ns)?;
        }
        let usage = probe.end(&usage);
        self.drain(&mut pace, end_ns + nanos(DRAIN))?;
        let recorder = std::mem::replace(&mut self.recorder, Recorder::new(self.watchers));
        Ok(Outcome { recorder, usage, first_error: self.first_error.take() })
    }

    /// Sessions that are live.
    #[must_use]
    pub fn sessions_live(&self) -> usize {
        self.sessions_live
    }

    /// Takes what went wrong since it was last taken, and the first error in full.
    pub fn take_errors(&mut self) -> (std::collections::BTreeMap<String, u64>, Option<String>) {
        (std::mem::take(&mut self.recorder.errors), self.first_error.take())
    }

    /// Keeps sessions alive without sending anything.
    ///
    /// # Errors
    /// Where it cannot go on, or was interrupted.
    pub fn rest(&mut self, time: Duration) -> Result<()> {
        let end_ns = self.clock.now_ns() + nanos(time);
        let mut nothing = Pace::new(Rate::Max, Arrivals::Even, 0, 0, Random::new(0));
        while self.clock.now_ns() < end_ns {
            let left_ns = end_ns.saturating_sub(self.clock.now_ns());
            self.turn(&mut nothing, left_ns)?;
        }
        Ok(())
    }

    fn drain(&mut self, pace: &mut Pace, until_ns: u64) -> Result<()> {
        loop {
            // Sends that were due before the end and found no connection free are still made.
            self.dispatch(pace)?;
            let now_ns = self.clock.now_ns();
            let is_sent = pace.until_next(now_ns).is_none();
            let is_answered = self.jobs.iter().all(Option::is_none);
            if is_sent && is_answered && (self.recorder.all_delivered() || self.sessions_live == 0) {
                break;
            }
            if now_ns >= until_ns {
                break;
            }
            self.turn(pace, until_ns - now_ns)?;
        }
        let now_ns = self.clock.now_ns();
        let unsent = std::iter::from_fn(|| pace.due(now_ns));
        let unanswered = self.jobs.iter().flatten().map(|job| job.intended_ns);
        self.recorder.give_up(unanswered.chain(unsent), now_ns);
        Ok(())
    }

    /// Waits for sockets, the next send, or `wake_ns`; handles what is ready.
    fn turn(&mut self, pace: &mut Pace, wake_ns: u64) -> Result<()> {
        stop::check()?;
        let can_send = !self.idle.is_empty() && self.tickets.has_idle();
        let next_ns = if can_send { pace.until_next(self.clock.now_ns()) } else { None };
        let mut ready = std::mem::take(&mut self.ready);
        self.poller.wait(Some(next_ns.map_or(wake_ns, |next_ns| next_ns.min(wake_ns))), &mut ready)?;
        for socket in &ready {
            match socket.key {
                Key::Lane(index) => self.on_lane(index, *socket)?,
                Key::Session(index) => self.on_session(index, *socket),
            }
            self.dispatch(pace)?;
        }
        self.ready = ready;
        Ok(())
    }

    /// Sends what is due, as far as connections are free.
    fn dispatch(&mut self, pace: &mut Pace) -> Result<()> {
        while !self.idle.is_empty() && self.tickets.has_idle() {
            let Some(intended_ns) = pace.due(self.clock.now_ns()) else { break };
            let Some(index) = self.idle.pop_front() else { break };
            let Some((place, ticket)) = self.tickets.take(&mut self.random) else { break };
            let version = ticket.version + 1;
            self.recorder.sent(ticket.id, version, intended_ns);
            // Lanes and jobs have the same length, and `idle` holds indices of theirs.
            let (lane, job) = (&mut self.lanes[index as usize], &mut self.jobs[index as usize]);
            *job = Some(Job { place, ticket: ticket.id, version, intended_ns });
            let sent = lane.send(&self.poller, |requests, out| {
                requests.move_to(out, ticket.id, ticket.next_status(), u64::from(ticket.version));
            });
            if let Err(error) = sent {
                self.replace(index, &error)?;
            }
        }
        if !self.lanes.is_empty() && self.tickets.all_retired() {
            let error = self.first_error.as_deref().unwrap_or("none was created");
            bail!("no ticket is left to move; the first error: {error}");
        }
        Ok(())
    }

    fn on_session(&mut self, index: u32, ready: Ready) {
        let Some(place) = self.sessions.get_mut(index as usize) else { return };
        let Some(session) = place else { return };
        let (recorder, live) = (&mut self.recorder, &mut self.sessions_live);
        let mut result = if ready.writable { session.flush(&self.poller) } else { Ok(()) };
        if result.is_ok() && ready.readable {
            let mut with = Reading {
                poller: &self.poller,
                clock: self.clock,
                scratch: &mut self.scratch,
                random: &mut self.random,
            };
            result = session.receive(&mut with, |seen| match seen {
                Seen::Live => *live += 1,
                Seen::Event { event, now_ns } => recorder.delivered(event, now_ns),
                Seen::Fault(fault) => recorder.error(fault),
            });
        }
        if let Err(error) = result {
            if session.is_live() {
                *live -= 1;
            }
            *place = None;
            let error = error.to_string();
            recorder.error(&error);
            self.first_error.get_or_insert(error);
        }
    }
}
