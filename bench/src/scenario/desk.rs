//! What scenarios of work at the desk have in common: one process, requests of several kinds.

use std::time::Duration;

use anyhow::{Context, Result};

use super::{Bench, Settings};
use crate::desk::{Desk, Drive, Jumps, Schedule, Tally, Work};
use crate::fetch;
use crate::process::{Probe, check_descriptors};
use crate::result::Run;
use crate::scrape::Counters;
use crate::seed::Manifest;

/// Connects once, then runs as often as the settings say.
pub(super) fn run<W: Work>(bench: &Bench, work: W) -> Result<Vec<Run>> {
    let settings = &bench.settings;
    check_descriptors(0, settings.connections, bench.targets.len())?;
    let schedule = schedule(settings)?;
    let mut drive = Drive::connect(&bench.targets, settings.connections, 0, work, settings.seed)?;
    (1..=settings.repeat).map(|number| measured(bench, number, |mark| drive.run(&schedule, mark))).collect()
}

/// One run with the gateway's CPU time and counters beside what `load` has seen; that calls its argument at the
/// start of the window and at its end.
pub(super) fn measured(
    bench: &Bench,
    number: u32,
    load: impl FnOnce(&mut dyn FnMut()) -> Result<Tally>,
) -> Result<Run> {
    let probe = Probe::new(bench.targets.iter().filter_map(|target| target.pid).collect());
    let counted = Counters::read(&bench.targets);
    let mut used = Vec::with_capacity(2);
    let tally = load(&mut || used.push(probe.begin().gateway_ns))?;
    let gateway_ns = match used.as_slice() {
        [Some(begin), Some(end)] => Some(end.saturating_sub(*begin)),
        _ => None,
    };
    let mut run = tally.run(bench.settings.duration_s, gateway_ns);
    run.counters = Counters::read(&bench.targets).since(&counted).into_map();
    let (mean_ms, errors) = (run.figures.get("mean_us").map_or(0.0, |us| us / 1e3), tally.error_count());
    eprintln!("run {number} of {}: mean {mean_ms:.2} ms, {errors} errors", bench.settings.repeat);
    Ok(run)
}

pub(super) fn schedule(settings: &Settings) -> Result<Schedule> {
    Ok(Schedule {
        rate: settings.rate,
        arrivals: settings.arrivals,
        warm_up: Duration::try_from_secs_f64(settings.warm_up_s).context("warm-up")?,
        duration: Duration::try_from_secs_f64(settings.duration_s).context("duration")?,
    })
}

/// What was seeded.
pub(super) fn seeded(bench: &Bench) -> Result<&Manifest> {
    bench.seeded.as_ref().context("no seeded data: give --seeded DIRECTORY, which `waggle-bench seed` makes")
}

/// What lists are asked for.
pub(super) fn desk(bench: &Bench, manifest: &Manifest) -> Desk {
    let sizes = &manifest.sizes;
    Desk { queues: bench.queues.clone(), agents: sizes.agents, tickets: sizes.tickets }
}

/// Whether a cursor may be made of a ticket's number here.
pub(super) fn jumps(bench: &Bench) -> Result<Jumps> {
    let target = bench.targets.first().context("no targets: expected at least one")?;
    let page = fetch::get(target, "/v1/tickets?limit=1&cursor=before-2")?;
    Ok(if page.status == 200 { Jumps::ByNumber } else { Jumps::No })
}
