//! Messages to all sessions, first with all reading, then with some stopped.

use std::time::Duration;

use anyhow::{Context, Result};

use super::load::{Care, Load, SETTLE, Traffic};
use super::server::Running;
use super::{Plan, Reach};
use crate::clock::Random;
use crate::process::Group;
use crate::result::Run;

/// One in so many stops.
const ONE_IN: usize = 20;

pub(super) fn run(server: &Running, plan: &Plan, seed: u64) -> Result<Run> {
    let settings = &plan.settings;
    let slow = settings.sessions.div_ceil(ONE_IN);
    let mut load = Load::new(server.dialect.peer, Care::Messages)?;
    load.connect(server, settings.sessions, |_| 0, plan.publishers())?;
    load.rest(SETTLE)?;
    let quiet = Traffic {
        rate: settings.rate,
        arrivals: settings.arrivals,
        warm_up: Duration::try_from_secs_f64(settings.warm_up_s).context("warm-up")?,
        window: Duration::try_from_secs_f64(settings.duration_s).context("duration")?,
        reach: Reach::All,
        topics: 1,
        watchers: u32::try_from(settings.sessions)?,
        random: Random::new(settings.seed ^ seed),
    };
    let before = load.send(server, &quiet, |_| Ok(false))?;
    let group = Group::of(server.pid());
    let empty = group.memory_bytes();
    for number in 0..slow {
        load.stop_reading(number)?;
    }
    let with_slow = Traffic { watchers: u32::try_from(settings.sessions - slow)?, ..quiet };
    let meanwhile = load.send(server, &with_slow, |_| Ok(false))?;
    let full = group.memory_bytes();
    let ended = (0..slow).filter(|number| load.has_ended(*number)).count();

    let mut run = Run::default();
    run.add_latencies("quiet", &before.deliveries);
    run.add_latencies("slow", &meanwhile.deliveries);
    let p99 = |name: &str| run.figures.get(name).copied();
    let ratio = p99("slow_p99_us").zip(p99("quiet_p99_us")).map(|(slow, quiet)| slow / quiet);
    run.add("p99_ratio", ratio);
    run.add("gateway_bytes_per_slow_session", Some((full as f64 - empty as f64) / slow as f64));
    run.add("slow_sessions", Some(slow as f64));
    run.add("slow_ended", Some(ended as f64));
    let lost = before.lost + meanwhile.lost;
    for (what, count) in [("messages lost by those that read", lost), ("errors", load.errors)] {
        if count > 0 {
            run.errors.insert(what.to_owned(), count);
        }
    }
    run.add("errors", Some((lost + load.errors) as f64));
    Ok(run)
}
