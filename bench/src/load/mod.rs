//! The generator: one thread, one poller; commands over keep-alive connections and push sessions together,
//! so that both ends of a latency are read off the same clock.

mod answer;
mod crowd;
mod prepare;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};

use crate::clock::{Clock, Random, nanos};
use crate::lane::Lane;
use crate::measure::{Recorder, Window};
use crate::pace::{Arrivals, Pace, Rate};
use crate::poller::{Key, Poller, Ready};
use crate::process::{Probe, Usage};
use crate::stop;
use crate::target::Target;
use crate::tickets::Tickets;

use crowd::{Crowd, Ends, Tools};

pub use crowd::Returns;
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
    /// Connections that are lost on the way.
    pub losses: Option<Losses>,
}

/// Sessions that lose their connections, all at once, and come back.
#[derive(Debug, Clone, Copy)]
pub struct Losses {
    /// The first time, after the start of the window.
    pub after: Duration,
    /// Again and again.
    pub every: Option<Duration>,
    /// How many each time; those are chosen at random, where it is not all of them.
    pub sessions: usize,
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
    status: &'static str,
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
    crowd: Crowd,
    /// Lanes that wait to be connected again: when, which.
    broken: VecDeque<(u64, u32)>,
    /// Lanes may be lost: their commands are sent again.
    forgives: bool,
    /// Ends a run before its time.
    stop: Option<Arc<AtomicBool>>,
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
    /// Sessions that were lost and came back.
    pub returns: Returns,
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
        let mut next_loss_ns = plan.losses.map(|losses| start_ns + nanos(losses.after));
        self.crowd.take_returns();
        loop {
            let now_ns = self.clock.now_ns();
            if !is_measuring && now_ns >= start_ns {
                usage = probe.begin();
                is_measuring = true;
            }
            if now_ns >= end_ns {
                break;
            }
            if self.stop.as_ref().is_some_and(|stop| stop.load(Ordering::Relaxed)) {
                self.recorder.window.end_ns = now_ns;
                pace = nothing();
                break;
            }
            if let (Some(losses), Some(loss_ns)) = (plan.losses, next_loss_ns)
                && now_ns >= loss_ns
            {
                self.crowd.lose(losses.sessions, now_ns);
                next_loss_ns = losses.every.map(|every| loss_ns + nanos(every));
            }
            self.dispatch(&mut pace)?;
            let next_ns = if is_measuring { end_ns } else { start_ns };
            let wake_ns = next_loss_ns.map_or(next_ns, |loss_ns| loss_ns.min(next_ns));
            self.turn(&mut pace, wake_ns.saturating_sub(now_ns))?;
        }
        let usage = probe.end(&usage);
        let until_ns = self.clock.now_ns() + nanos(DRAIN);
        self.drain(&mut pace, until_ns)?;
        let recorder = std::mem::replace(&mut self.recorder, Recorder::new(self.watchers));
        let first_error = self.first_error.take().or(self.crowd.take_first_error());
        Ok(Outcome { recorder, usage, first_error, returns: self.crowd.take_returns() })
    }

    /// What is done next, and when, follows from `seed`, and no more from what was done before; with which ticket, also from
    /// which are free.
    pub fn begin_anew(&mut self, seed: u64) {
        self.random = Random::new(seed);
    }

    /// From now on a lost session comes back after a random part of `spread`, and a lost command is sent
    /// again.
    pub fn allow_losses(&mut self, spread: Duration) {
        self.crowd.set_ends(Ends::Losses { spread_ns: nanos(spread) });
        self.forgives = true;
    }

    /// Ends the next runs early, when the flag is set.
    pub fn stop_on(&mut self, flag: Option<Arc<AtomicBool>>) {
        self.stop = flag;
    }

    /// Sets the flag once sessions that were lost are all back.
    pub fn tell_when_whole(&mut self, flag: Arc<AtomicBool>) {
        self.crowd.tell_when_whole(flag);
    }

    /// The first `count` sessions read no more; the others are those that events have to reach.
    ///
    /// # Errors
    /// As the kernel tells them.
    pub fn stop_reading(&mut self, count: usize) -> Result<()> {
        self.crowd.stop_reading(count, &self.poller)?;
        self.watchers = u32::try_from(self.crowd.len().saturating_sub(count)).unwrap_or(u32::MAX);
        self.recorder = Recorder::new(self.watchers);
        Ok(())
    }

    /// Reads what was sent to those that had stopped until all have ended or `most` has passed; how they
    /// ended, with counts.
    ///
    /// # Errors
    /// Where it cannot go on, or was interrupted.
    pub fn ends_of_stopped(&mut self, most: Duration) -> Result<std::collections::BTreeMap<String, u64>> {
        self.crowd.set_ends(Ends::Expected);
        self.crowd.take_returns();
        self.crowd.read_on(&self.poller)?;
        let until_ns = self.clock.now_ns() + nanos(most);
        while self.crowd.stopped() > 0 && self.clock.now_ns() < until_ns {
            self.rest(Duration::from_millis(50))?;
        }
        let mut ends = self.crowd.take_returns().ends;
        if self.crowd.stopped() > 0 {
            ends.insert("still there".into(), self.crowd.stopped() as u64);
        }
        Ok(ends)
    }

    /// Waits until all sessions are live.
    ///
    /// # Errors
    /// Where they are not within `most`.
    pub fn wait_whole(&mut self, most: Duration) -> Result<()> {
        let until_ns = self.clock.now_ns() + nanos(most);
        while self.crowd.live() < self.crowd.len() {
            if self.clock.now_ns() >= until_ns {
                bail!("{} of {} sessions are live", self.crowd.live(), self.crowd.len());
            }
            self.rest(Duration::from_millis(20))?;
        }
        Ok(())
    }

    /// Sessions that are live.
    #[must_use]
    pub fn sessions_live(&self) -> usize {
        self.crowd.live()
    }

    /// Takes what went wrong since it was last taken, and the first error in full.
    pub fn take_errors(&mut self) -> (std::collections::BTreeMap<String, u64>, Option<String>) {
        let first_error = self.first_error.take().or(self.crowd.take_first_error());
        (std::mem::take(&mut self.recorder.errors), first_error)
    }

    /// Keeps sessions alive without sending anything.
    ///
    /// # Errors
    /// Where it cannot go on, or was interrupted.
    pub fn rest(&mut self, time: Duration) -> Result<()> {
        let end_ns = self.clock.now_ns() + nanos(time);
        let mut pace = nothing();
        while self.clock.now_ns() < end_ns {
            let left_ns = end_ns.saturating_sub(self.clock.now_ns());
            self.turn(&mut pace, left_ns)?;
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
            if is_sent && is_answered && (self.recorder.all_delivered() || self.crowd.len() == 0) {
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
        let now_ns = self.clock.now_ns();
        let later = [self.crowd.next_due(), self.broken.front().map(|(due_ns, _)| *due_ns)];
        let later = later.into_iter().flatten().map(|due_ns| due_ns.saturating_sub(now_ns));
        let wake_ns = later.chain(next_ns).fold(wake_ns, u64::min);
        let mut ready = std::mem::take(&mut self.ready);
        self.poller.wait(Some(wake_ns), &mut ready)?;
        for socket in &ready {
            let with = &mut Tools { poller: &self.poller, clock: self.clock, recorder: &mut self.recorder };
            match socket.key {
                Key::Session(index) => self.crowd.on_ready(index, *socket, with),
                Key::Former(index) => self.crowd.on_former(index, *socket, with),
                Key::Lane(index) => self.on_lane(index, *socket)?,
            }
            self.dispatch(pace)?;
        }
        self.ready = ready;
        let with = &mut Tools { poller: &self.poller, clock: self.clock, recorder: &mut self.recorder };
        self.crowd.reopen(&self.targets, with);
        self.mend()
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
            let status = ticket.next_status();
            *job = Some(Job { place, ticket: ticket.id, version, intended_ns, status });
            let sent = lane.send(&self.poller, |requests, out| {
                requests.move_to(out, ticket.id, status, u64::from(ticket.version));
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
}

/// Nothing to send.
fn nothing() -> Pace {
    Pace::new(Rate::Max, Arrivals::Even, 0, 0, Random::new(0))
}
