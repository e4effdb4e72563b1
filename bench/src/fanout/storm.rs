//! All sessions but a few lose their connections at once and connect again; the few get messages meanwhile.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::{Context, Result};

use super::Plan;
use super::load::{Care, Load, SETTLE, Traffic};
use super::server::Running;
use super::{Reach, STEADY};
use crate::clock::{Random, nanos};
use crate::process::Group;
use crate::result::Run;

/// Connections that are cut, and such that are begun, in a turn: those that stay are read in between.
const CUTS_PER_TURN: usize = 64;
const OPENS_PER_TURN: usize = 16;
/// Connections that are being made at a time.
const CONNECTING_MAX: usize = 256;
/// After an attempt that failed.
const PAUSE: Duration = Duration::from_millis(100);
/// All have to be back by then.
const WHOLE: Duration = Duration::from_secs(60);

pub(super) fn run(server: &Running, plan: &Plan, seed: u64) -> Result<Run> {
    let settings = &plan.settings;
    let mut load = Load::new(server.dialect.peer, Care::Messages)?;
    load.rest(SETTLE)?;
    load.connect(server, STEADY + settings.sessions, |number| number, plan.publishers())?;
    load.rest(SETTLE)?;
    let quiet = Traffic {
        rate: settings.rate,
        arrivals: settings.arrivals,
        warm_up: Duration::try_from_secs_f64(settings.warm_up_s).context("warm-up")?,
        window: Duration::try_from_secs_f64(settings.duration_s).context("duration")?,
        reach: Reach::One,
        topics: STEADY,
        watchers: 1,
        random: Random::new(settings.seed ^ seed),
    };
    let before = load.send(server, &quiet, |_| Ok(false))?;

    load.lost = Some(Vec::new());
    load.greeted = 0;
    load.resumed = 0;
    let during = Traffic { warm_up: Duration::ZERO, window: WHOLE, ..quiet };
    let mut strike = Strike::of(settings.sessions, &load);
    let cpu_before_ns = Group::of(server.pid()).cpu_ns();
    let meanwhile = load.send(server, &during, |load| strike.turn(load, server))?;
    let cpu_ns = Group::of(server.pid()).cpu_ns().saturating_sub(cpu_before_ns);

    let mut run = Run::default();
    run.add_latencies("quiet_signal", &before.deliveries);
    run.add_latencies("storm_signal", &meanwhile.deliveries);
    let p99 = |name: &str| run.figures.get(name).copied();
    let ratio =
        p99("storm_signal_p99_us").zip(p99("quiet_signal_p99_us")).map(|(storm, quiet)| storm / quiet);
    run.add("signal_p99_ratio", ratio);
    run.add("whole_after_ms", strike.whole_ns.map(|whole_ns| (whole_ns - strike.begun_ns) as f64 / 1e6));
    run.add("attempts", Some(strike.attempts as f64));
    run.add("resumed", Some(load.resumed as f64));
    run.add("gateway_cpu_us_per_return", Some(cpu_ns as f64 / 1e3 / settings.sessions as f64));
    let lost = before.lost + meanwhile.lost;
    let missing = (settings.sessions - strike.live.min(settings.sessions)) as u64;
    for (what, count) in
        [("messages lost", lost), ("errors", load.errors), ("sessions not live at the end", missing)]
    {
        if count > 0 {
            run.errors.insert(what.to_owned(), count);
        }
    }
    run.add("errors", Some((lost + load.errors + missing) as f64));
    Ok(run)
}

/// Those that are struck: all after the first [`STEADY`].
struct Strike {
    begun_ns: u64,
    /// All have been live again since.
    whole_ns: Option<u64>,
    uncut: std::ops::Range<u32>,
    /// When each may be tried again.
    waiting: VecDeque<(u64, u32)>,
    sessions: usize,
    attempts: usize,
    failed: usize,
    live: usize,
}

impl Strike {
    fn of(sessions: usize, load: &Load) -> Self {
        // Sessions are numbered by u32 everywhere.
        let uncut = STEADY as u32..(STEADY + sessions) as u32;
        Self {
            begun_ns: load.clock.now_ns(),
            whole_ns: None,
            uncut,
            waiting: VecDeque::new(),
            sessions,
            attempts: 0,
            failed: 0,
            live: 0,
        }
    }

    /// Cuts and connects some; whether all are live.
    fn turn(&mut self, load: &mut Load, server: &Running) -> Result<bool> {
        let now_ns = load.clock.now_ns();
        if self.attempts == 0 && self.waiting.is_empty() {
            self.begun_ns = now_ns;
        }
        for number in self.uncut.by_ref().take(CUTS_PER_TURN) {
            load.cut(number);
            self.waiting.push_back((now_ns, number));
        }
        for number in load.lost.as_mut().map(std::mem::take).unwrap_or_default() {
            let place = load.subscribers.get(number as usize).and_then(Option::as_ref);
            // One that was not cut yet, or has been tried again, is counted where it was.
            if place.is_none() || self.uncut.contains(&number) {
                continue;
            }
            if place.is_some_and(|connection| connection.is_live()) {
                self.sessions += 1;
            }
            load.cut(number);
            self.failed += 1;
            self.waiting.push_back((now_ns + nanos(PAUSE), number));
        }
        self.live = load.greeted;
        for _ in 0..OPENS_PER_TURN {
            let connecting = self.attempts.saturating_sub(self.failed + self.live);
            match self.waiting.front() {
                Some((due_ns, number)) if *due_ns <= now_ns && connecting < CONNECTING_MAX => {
                    load.reconnect(server, *number, *number as usize)?;
                    self.attempts += 1;
                    self.waiting.pop_front();
                }
                _ => break,
            }
        }
        let is_whole = self.uncut.is_empty() && self.live >= self.sessions;
        if is_whole {
            self.whole_ns.get_or_insert(now_ns);
        }
        Ok(is_whole)
    }
}
