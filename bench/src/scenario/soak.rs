//! A long run under churn: what grows.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::{Bench, Column, Scenario, Shape, loaded};
use crate::load::{Load, Losses, Plan, Watch};
use crate::pace::Rate;
use crate::process::{Probe, check_descriptors, descriptors, threads};
use crate::result::Run;
use crate::scrape::Counters;

/// Each second, one in so many sessions loses its connection.
const ONE_IN: usize = 20;
const EVERY: Duration = Duration::from_secs(1);
/// A session that was lost is back within this.
const SPREAD: Duration = Duration::from_secs(1);
/// The slope is of the samples after this part: before it, the log in memory fills (32,768 events).
const FILLING: f64 = 0.25;
/// From the end of all sessions until nothing of them may be left.
const GONE: Duration = Duration::from_secs(20);

/// See the module.
#[derive(Debug)]
pub(super) struct Soak;

impl Scenario for Soak {
    fn name(&self) -> &'static str {
        "soak"
    }

    fn about(&self) -> &'static str {
        "each move goes to all sessions, and each second one in twenty loses its connection and resumes: what grows"
    }

    fn defaults(&self) -> Shape {
        Shape { rate: Rate::PerSecond(120.0), connections: 4, tickets: 256, sessions: 250 }
    }

    fn duration_s(&self) -> f64 {
        1_200.0
    }

    fn gateway_arguments(&self) -> &'static [&'static str] {
        &["--heartbeat-ms", "5000"]
    }

    fn headline(&self) -> &'static str {
        "gateway_slope_kib_per_minute"
    }

    fn columns(&self) -> &'static [Column] {
        &[
            Column { head: "minutes", figure: "minutes", per: 1.0 },
            Column { head: "returns", figure: "returned", per: 1.0 },
            Column { head: "deliveries/s", figure: "deliveries_per_second", per: 1.0 },
            Column { head: "MiB at the end", figure: "gateway_mib", per: 1.0 },
            Column { head: "slope KiB/min", figure: "gateway_slope_kib_per_minute", per: 1.0 },
            Column { head: "descriptors before, after", figure: "descriptors_before", per: 1.0 },
            Column { head: "", figure: "descriptors_after", per: 1.0 },
            Column { head: "tasks before, after", figure: "tasks_before", per: 1.0 },
            Column { head: "", figure: "tasks_after", per: 1.0 },
            Column { head: "timers after", figure: "timers_after", per: 1.0 },
            Column { head: "threads before, after", figure: "threads_before", per: 1.0 },
            Column { head: "", figure: "threads_after", per: 1.0 },
            Column { head: "errors", figure: "errors", per: 1.0 },
        ]
    }

    fn run(&self, bench: &mut Bench) -> Result<Vec<Run>> {
        let settings = &bench.settings;
        check_descriptors(settings.sessions, settings.connections, bench.targets.len())?;
        let pid =
            bench.targets.first().and_then(|target| target.pid).context("soak needs the gateway's --pid")?;
        let probe = Probe::new(vec![pid]);
        let losses =
            Losses { after: EVERY, every: Some(EVERY), sessions: settings.sessions.div_ceil(ONE_IN) };
        let plan = Plan { losses: Some(losses), ..loaded::plan(settings)? };
        let mut runs = Vec::new();
        for _ in 0..settings.repeat {
            // What there is only once something was done is there before the first look.
            let mut load = Load::connect(&bench.targets, settings.connections, settings.seed)?;
            load.create_tickets(settings.tickets, &bench.queues)?;
            drop(load);
            let before = settled(bench, pid);
            let mut load = Load::connect(&bench.targets, settings.connections, settings.seed)?;
            load.create_tickets(settings.tickets, &bench.queues)?;
            load.open_sessions(settings.sessions, &Watch::All("tenant".into()))?;
            load.allow_losses(SPREAD);
            let is_over = AtomicBool::new(false);
            let (outcome, memory) = thread::scope(|scope| {
                let sampling = scope.spawn(|| sample(&probe, &is_over));
                let outcome = load.run(&plan, &probe);
                is_over.store(true, Ordering::Relaxed);
                (outcome, sampling.join().unwrap_or_default())
            });
            let outcome = outcome?;
            load.wait_whole(GONE)?;
            drop(load);
            let after = settled(bench, pid);

            let mut run = loaded::figures(&outcome, &plan, Counters::default());
            run.steps.clear();
            run.add("minutes", Some(settings.duration_s / 60.0));
            run.add("returned", Some(outcome.returns.returned as f64));
            run.add("resets", Some(outcome.returns.resets as f64));
            run.add("gateway_mib", memory.last().map(|(_, mib)| *mib));
            run.add(
                "gateway_slope_kib_per_minute",
                slope(&memory).map(|mib_per_s| mib_per_s * 1024.0 * 60.0),
            );
            run.memory = memory;
            for (name, before, after) in [
                ("descriptors", before.descriptors, after.descriptors),
                ("threads", before.threads, after.threads),
                ("tasks", before.tasks, after.tasks),
                ("timers", before.timers, after.timers),
            ] {
                run.add(&format!("{name}_before"), before);
                run.add(&format!("{name}_after"), after);
                if after > before {
                    run.errors.insert(format!("more {name} than before"), 1);
                }
            }
            run.add("errors", Some(run.errors.values().sum::<u64>() as f64));
            runs.push(run);
        }
        Ok(runs)
    }
}

/// What a gateway without sessions holds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Held {
    descriptors: Option<f64>,
    threads: Option<f64>,
    tasks: Option<f64>,
    timers: Option<f64>,
}

/// Waits until it has not changed for a while.
fn settled(bench: &Bench, pid: u32) -> Held {
    let look = || {
        let gauges = Counters::gauges(&bench.targets);
        Held {
            descriptors: descriptors(pid).map(|count| count as f64),
            threads: threads(pid).map(|count| count as f64),
            tasks: gauges.get("waggle_runtime_tasks"),
            timers: gauges.get("waggle_push_timers"),
        }
    };
    let start = Instant::now();
    let (mut held, mut since) = (look(), Instant::now());
    while start.elapsed() < GONE && since.elapsed() < GONE / 4 {
        thread::sleep(Duration::from_millis(500));
        let now = look();
        if now != held {
            (held, since) = (now, Instant::now());
        }
    }
    held
}

/// Once a second: seconds since the start, and resident MiB.
fn sample(probe: &Probe, is_over: &AtomicBool) -> Vec<(f64, f64)> {
    let start = Instant::now();
    let mut samples = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        if let Some(bytes) = probe.resident_bytes() {
            samples.push((start.elapsed().as_secs_f64().round(), bytes as f64 / (1024.0 * 1024.0)));
        }
        thread::sleep(Duration::from_secs(1));
    }
    samples
}

/// Least squares over the samples after [`FILLING`].
fn slope(samples: &[(f64, f64)]) -> Option<f64> {
    let samples = samples.get((samples.len() as f64 * FILLING) as usize..)?;
    let count = samples.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| samples.iter().map(of).sum::<f64>() / count;
    let (mean_x, mean_y) = (mean(|at| at.0), mean(|at| at.1));
    let above: f64 = samples.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let below: f64 = samples.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    (below > 0.0).then(|| above / below)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_is_of_what_follows_the_filling() {
        let filling = (0..25).map(|second| (f64::from(second), 10.0 * f64::from(second)));
        let steady = (25..100).map(|second| (f64::from(second), 250.0 + 0.5 * f64::from(second)));
        let samples: Vec<_> = filling.chain(steady).collect();
        assert!((slope(&samples).unwrap() - 0.5).abs() < 1e-9);
        assert_eq!(slope(&[]), None);
    }
}
