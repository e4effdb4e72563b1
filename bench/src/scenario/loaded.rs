//! What scenarios of moves with or without sessions have in common.

use std::time::Duration;

use anyhow::{Context, Result};

use super::{Bench, Settings};
use crate::fsync::Tracer;
use crate::load::{Load, Outcome, Plan, Watch};
use crate::process::{Probe, check_descriptors};
use crate::result::Run;
use crate::scrape::Counters;

/// A gateway's memory is read when it has been left alone for this long.
const SETTLE: Duration = Duration::from_secs(1);
/// The load while a tracer is attached.
const TRACED: Duration = Duration::from_secs(2);

/// Prepares tickets and sessions once, then runs as often as the settings say.
pub(super) fn run(bench: &Bench, watch: Option<&Watch>) -> Result<Vec<Run>> {
    let settings = &bench.settings;
    check_descriptors(settings.sessions, settings.connections, bench.targets.len())?;
    let probe = Probe::new(bench.targets.iter().filter_map(|target| target.pid).collect());
    let mut load = Load::connect(&bench.targets, settings.connections, settings.seed)?;
    prepare_tickets(bench, &mut load)?;
    let bytes_per_session = match watch {
        Some(watch) => open_sessions(&mut load, settings.sessions, watch, &probe)?,
        None => None,
    };
    let plan = plan(settings)?;
    let mut runs = Vec::new();
    for number in 1..=settings.repeat {
        let before = Counters::read(&bench.targets);
        let outcome = load.run(&plan, &probe)?;
        let counters = Counters::read(&bench.targets).since(&before);
        let mut run = figures(&outcome, &plan, counters);
        run.add("gateway_bytes_per_session", bytes_per_session);
        let errors = outcome.recorder.error_count();
        let total = settings.repeat;
        let rate = run.figures.get("commands_per_second").copied().unwrap_or(0.0);
        eprintln!("run {number} of {total}: {rate:.0} commands/s, {errors} errors");
        runs.push(run);
    }
    if bench.count_fsync {
        let counted = count_fsync(bench, &mut load, &plan, &probe);
        match (counted, runs.last_mut()) {
            (Ok((calls, commits)), Some(run)) => {
                run.add("traced_fsyncs", Some(calls));
                run.add("traced_commits", commits);
                run.add("fsyncs_per_commit", commits.map(|commits| calls / commits));
            }
            (Err(error), _) => eprintln!("fsync calls are not counted: {error:#}"),
            _ => {}
        }
    }
    Ok(runs)
}

/// The tickets that are moved: seeded ones, or new ones.
pub(super) fn prepare_tickets(bench: &Bench, load: &mut Load) -> Result<()> {
    let count = bench.settings.tickets;
    match &bench.seeded {
        Some(manifest) => load.take_tickets(manifest.to_move(count)),
        None => load.create_tickets(count, &bench.queues)?,
    }
    Ok(())
}

pub(super) fn plan(settings: &Settings) -> Result<Plan> {
    Ok(Plan {
        rate: settings.rate,
        arrivals: settings.arrivals,
        warm_up: Duration::try_from_secs_f64(settings.warm_up_s).context("warm-up")?,
        duration: Duration::try_from_secs_f64(settings.duration_s).context("duration")?,
        losses: None,
    })
}

/// Opens sessions; returns the gateways' growth in resident bytes for each.
pub(super) fn open_sessions(
    load: &mut Load,
    count: usize,
    watch: &Watch,
    probe: &Probe,
) -> Result<Option<f64>> {
    load.rest(SETTLE)?;
    let before = probe.resident_bytes();
    load.open_sessions(count, watch)?;
    load.rest(SETTLE)?;
    let after = probe.resident_bytes();
    let growth = after.zip(before).map(|(after, before)| after as f64 - before as f64);
    Ok(growth.filter(|_| count > 0).map(|growth| growth / count as f64))
}

pub(super) fn figures(outcome: &Outcome, plan: &Plan, counters: Counters) -> Run {
    let Outcome { recorder, usage, first_error, .. } = outcome;
    let mut run = Run {
        errors: recorder.errors.clone(),
        first_error: first_error.clone(),
        steps: recorder
            .steps
            .iter()
            .map(|step| (step.answers, step.deliveries, step.slowest_ns / 1_000))
            .collect(),
        ..Run::default()
    };
    run.add_latencies("answer", &recorder.answers);
    run.add_latencies("delivery", &recorder.deliveries);
    // With one session per event this would be the same again.
    if recorder.last.len() < recorder.deliveries.len() {
        run.add_latencies("last", &recorder.last);
    }
    let seconds = plan.duration.as_secs_f64();
    let answers = recorder.answers_in_window as f64;
    run.add("commands_per_second", Some(answers / seconds));
    run.add("errors", Some(recorder.error_count() as f64));
    let gateway_us = usage.gateway_ns.map(|ns| ns as f64 / 1e3);
    let generator_us = usage.generator_ns as f64 / 1e3;
    run.add("gateway_cpu_percent", gateway_us.map(|us| us / 1e4 / seconds));
    run.add("generator_cpu_percent", Some(generator_us / 1e4 / seconds));
    run.add("gateway_cpu_us_per_command", gateway_us.map(|us| us / answers));
    run.add("generator_cpu_us_per_command", Some(generator_us / answers));
    if recorder.deliveries_in_window > 0 {
        let deliveries = recorder.deliveries_in_window as f64;
        run.add("deliveries_per_second", Some(deliveries / seconds));
        run.add("gateway_cpu_us_per_delivery", gateway_us.map(|us| us / deliveries));
        run.add("generator_cpu_us_per_delivery", Some(generator_us / deliveries));
    }
    if let (Some(commits), Some(commands)) =
        (counters.commits(), counters.get("waggle_ledger_commands_total"))
    {
        run.add("commands_per_commit", Some(commands / commits));
        run.add("commits_with_warm_up", Some(commits));
    }
    run.counters = counters.into_map();
    run
}

/// A short phase under a tracer: how many calls for durability, and in how many commits.
fn count_fsync(bench: &Bench, load: &mut Load, plan: &Plan, probe: &Probe) -> Result<(f64, Option<f64>)> {
    let pid =
        bench.targets.first().and_then(|target| target.pid).context("the gateway's pid is not known")?;
    let before = Counters::read(&bench.targets);
    let tracer = Tracer::attach(pid)?;
    let plan = Plan { warm_up: Duration::ZERO, duration: TRACED, ..*plan };
    load.run(&plan, probe)?;
    let calls = tracer.detach()?;
    let commits = Counters::read(&bench.targets).since(&before).commits();
    eprintln!("traced for {} s: {calls} fdatasync and fsync calls in {commits:?} commits", TRACED.as_secs());
    Ok((calls as f64, commits))
}
