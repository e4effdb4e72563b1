//! Messages to all sessions, or each to one of them.

use std::time::Duration;

use anyhow::{Context, Result};

use super::load::{Care, Load, SETTLE, Traffic};
use super::server::Running;
use super::{Plan, Reach};
use crate::clock::Random;
use crate::process::Group;
use crate::result::Run;

/// Loads one server for one run; `ready` is told when all is connected and the load begins.
pub(super) fn run(
    server: &Running,
    plan: &Plan,
    reach: Reach,
    seed: u64,
    ready: impl FnOnce(),
) -> Result<Run> {
    let settings = &plan.settings;
    let sessions = settings.sessions;
    let mut load = Load::new(server.dialect.peer, Care::Messages)?;
    let group = Group::of(server.pid());
    load.rest(SETTLE)?;
    let empty = group.memory_bytes();
    let topic = |number| if reach == Reach::All { 0 } else { number };
    load.connect(server, sessions, topic, plan.publishers())?;
    load.rest(SETTLE)?;
    let full = group.memory_bytes();
    ready();

    let traffic = Traffic {
        rate: settings.rate,
        arrivals: settings.arrivals,
        warm_up: Duration::try_from_secs_f64(settings.warm_up_s).context("warm-up")?,
        window: Duration::try_from_secs_f64(settings.duration_s).context("duration")?,
        reach,
        topics: sessions,
        watchers: if reach == Reach::All { u32::try_from(sessions)? } else { 1 },
        random: Random::new(settings.seed ^ seed),
    };
    let sent = load.send(server, &traffic, |_| Ok(false))?;
    let mut run = Run::default();
    run.add_latencies("delivery", &sent.deliveries);
    if reach == Reach::All {
        run.add_latencies("first", &sent.first);
        run.add_latencies("last", &sent.last);
    }
    for (what, count) in [("messages lost", sent.lost), ("errors", load.errors)] {
        if count > 0 {
            run.errors.insert(what.to_owned(), count);
        }
    }
    let deliveries = sent.deliveries.len() as f64;
    run.add("deliveries_per_second", Some(deliveries / settings.duration_s));
    run.add("gateway_cpu_us_per_delivery", Some(sent.cpu_ns as f64 / 1e3 / deliveries));
    run.add("gateway_cpu_percent", Some(sent.cpu_ns as f64 / 1e7 / settings.duration_s));
    run.add("gateway_bytes_per_session", Some((full as f64 - empty as f64) / sessions as f64));
    run.add("errors", Some((sent.lost + load.errors) as f64));
    Ok(run)
}
