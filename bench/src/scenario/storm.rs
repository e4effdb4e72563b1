//! All of many sessions lose their connections at once, and come back where they were.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::{Bench, Column, STORM_PEERS, Scenario, Settings, Shape, Versus, loaded};
use crate::fanout;
use crate::load::{Load, Losses, Outcome, Plan, Watch};
use crate::pace::{Arrivals, Rate};
use crate::process::{Probe, check_descriptors};
use crate::result::Run;

/// Moves per second of tickets of those who are struck.
const STRUCK_RATE: f64 = 200.0;
const STRUCK_CONNECTIONS: u32 = 4;
/// About as long as the sessions take to come back.
const SIGNALS_S: f64 = 1.5;
/// The load around it: shorter than a gateway keeps connections for that send nothing.
const SIGNALS_LOAD_MAX: Duration = Duration::from_secs(6);

/// See the module.
#[derive(Debug)]
pub(super) struct Storm;

impl Scenario for Storm {
    fn name(&self) -> &'static str {
        "storm"
    }

    fn about(&self) -> &'static str {
        "all sessions of a queue lose their connections at once and resume, under load; others, one for each ticket, stay"
    }

    fn defaults(&self) -> Shape {
        Shape { rate: Rate::PerSecond(500.0), connections: 8, tickets: 100, sessions: 15_000 }
    }

    fn gateway_arguments(&self) -> &'static [&'static str] {
        &["--heartbeat-ms", "25000"]
    }

    fn headline(&self) -> &'static str {
        "whole_after_ms"
    }

    fn columns(&self) -> &'static [Column] {
        &[
            Column { head: "all live after s", figure: "whole_after_ms", per: 1e3 },
            Column { head: "away p50 s", figure: "away_p50_us", per: 1e6 },
            Column { head: "connections made", figure: "attempts", per: 1.0 },
            Column { head: "steady p99 before ms", figure: "quiet_p99_us", per: 1e3 },
            Column { head: "steady p99 meanwhile ms", figure: "storm_p99_us", per: 1e3 },
            Column { head: "ratio", figure: "p99_ratio", per: 1.0 },
            Column { head: "signal p99 before ms", figure: "quiet_signal_p99_us", per: 1e3 },
            Column { head: "signal p99 meanwhile ms", figure: "storm_signal_p99_us", per: 1e3 },
            Column { head: "answer p99 before ms", figure: "quiet_answer_p99_us", per: 1e3 },
            Column { head: "answer p99 meanwhile ms", figure: "storm_answer_p99_us", per: 1e3 },
            Column { head: "gateway CPU µs/return", figure: "gateway_cpu_us_per_return", per: 1.0 },
            Column { head: "lost, repeated or refused", figure: "errors", per: 1.0 },
        ]
    }

    fn versus(&self) -> Result<&'static Versus, &'static str> {
        Ok(&STORM_PEERS)
    }

    fn run(&self, bench: &mut Bench) -> Result<Vec<Run>> {
        let settings = &bench.settings;
        let [shared_queue, steady_queue, ..] = bench.queues[..] else {
            bail!("storm needs two queues, as in the demo tenant: give --queue twice");
        };
        let steady = settings.tickets;
        check_descriptors(settings.sessions + steady, settings.connections, bench.targets.len())?;
        let probe = Probe::new(bench.targets.iter().filter_map(|target| target.pid).collect());
        let mut stay = Load::connect(&bench.targets, settings.connections, settings.seed)?;
        stay.create_tickets(steady, &[steady_queue])?;
        stay.open_sessions(steady, &Watch::OwnTicket)?;
        let mut struck = Load::connect(&bench.targets, STRUCK_CONNECTIONS, settings.seed + 1)?;
        struck.create_tickets(settings.sessions, &[shared_queue])?;
        struck.open_sessions(settings.sessions, &Watch::OwnTicket)?;
        struck.allow_losses(Duration::ZERO);

        let plan = loaded::plan(settings)?;
        let shared = Plan { rate: Rate::PerSecond(STRUCK_RATE), arrivals: Arrivals::Even, ..plan };
        let strike = Losses { after: Duration::ZERO, every: None, sessions: settings.sessions };
        let mut runs = Vec::new();
        for number in 1..=settings.repeat {
            let (quiet, still) = both(&mut stay, &plan, &mut struck, &shared, &probe)?;
            let whole = Arc::new(AtomicBool::new(false));
            struck.tell_when_whole(Arc::clone(&whole));
            stay.stop_on(Some(whole));
            let during = Plan { warm_up: Duration::ZERO, ..plan };
            let strike = Plan { warm_up: Duration::ZERO, losses: Some(strike), ..shared };
            let (storm, back) = both(&mut stay, &during, &mut struck, &strike, &probe)?;
            stay.stop_on(None);
            let mut run = figures([&quiet, &still, &storm, &back], settings.sessions);
            let strike = Plan { duration: strike.duration.min(SIGNALS_LOAD_MAX), ..strike };
            let calm = Plan { losses: None, ..strike };
            for (name, plan) in [("quiet_signal", &calm), ("storm_signal", &strike)] {
                let signals = signals(bench, &mut struck, plan, &probe)?;
                for (figure, value) in &signals.figures {
                    if let Some(end) = figure.strip_prefix("delivery_") {
                        run.add(&format!("{name}_{end}"), Some(*value));
                    }
                }
                for (error, count) in &signals.errors {
                    run.errors.insert(format!("{name}: {error}"), *count);
                }
            }
            let p99 = |name: &str| run.figures.get(name).copied();
            let ratio = p99("storm_signal_p99_us").zip(p99("quiet_signal_p99_us"));
            run.add("signal_p99_ratio", ratio.map(|(storm, quiet)| storm / quiet));
            run.add("errors", Some(run.errors.values().sum::<u64>() as f64));
            let shown = |name: &str| run.figures.get(name).copied().unwrap_or(f64::NAN);
            eprintln!(
                "run {number} of {}: all live after {:.0} ms, p99 {:.2} -> {:.2} ms, {} errors",
                settings.repeat,
                shown("whole_after_ms"),
                shown("quiet_p99_us") / 1e3,
                shown("storm_p99_us") / 1e3,
                shown("errors"),
            );
            runs.push(run);
        }
        Ok(runs)
    }
}

/// Signals to sessions that stay, from right before the strike for [`SIGNALS_S`]: what the push path does by
/// itself, without the disk.
fn signals(bench: &Bench, struck: &mut Load, plan: &Plan, probe: &Probe) -> Result<Run> {
    let target = bench.targets.first().context("there is a target")?;
    let settings = Settings {
        sessions: bench.settings.tickets,
        warm_up_s: 0.0,
        duration_s: SIGNALS_S,
        ..bench.settings.clone()
    };
    let (begin, begun) = mpsc::sync_channel(1);
    thread::scope(|scope| {
        let other = scope.spawn(move || {
            crate::process::be_nice();
            // It is told, or the other one has failed.
            let _ = begun.recv();
            struck.run(plan, probe)
        });
        let signals = fanout::signals_at(target, settings, || {
            // The other end waits.
            let _ = begin.send(());
        });
        let outcome = other.join().ok().context("the thread of a load has panicked")??;
        let mut run = signals?;
        run.errors.extend(outcome.recorder.errors);
        Ok(run)
    })
}

/// Two loads side by side, each with a thread of its own.
fn both(
    one: &mut Load,
    plan: &Plan,
    other: &mut Load,
    other_plan: &Plan,
    probe: &Probe,
) -> Result<(Outcome, Outcome)> {
    thread::scope(|scope| {
        // Where it may, the one that measures goes before the one that strikes: clients that stay are on
        // machines of their own.
        let other = scope.spawn(|| {
            crate::process::be_nice();
            other.run(other_plan, probe)
        });
        let one = one.run(plan, probe);
        let other = other.join().ok().context("the thread of a load has panicked")?;
        Ok((one?, other?))
    })
}

fn figures([quiet, still, storm, back]: [&Outcome; 4], sessions: usize) -> Run {
    let mut run = Run::default();
    for outcome in [quiet, still, storm, back] {
        for (what, count) in &outcome.recorder.errors {
            *run.errors.entry(what.clone()).or_default() += count;
        }
        run.first_error = run.first_error.or_else(|| outcome.first_error.clone());
    }
    run.add_latencies("quiet", &quiet.recorder.deliveries);
    run.add_latencies("storm", &storm.recorder.deliveries);
    run.add_latencies("quiet_answer", &quiet.recorder.answers);
    run.add_latencies("storm_answer", &storm.recorder.answers);
    // These follow the frames' so closely that a picture has no room for both.
    run.curves.retain(|what, _| !what.ends_with("answer"));
    let returns = &back.returns;
    run.add_latencies("away", &returns.away);
    let p99 = |outcome: &Outcome| outcome.recorder.deliveries.value_at_quantile(0.99) as f64;
    run.add("p99_ratio", Some(p99(storm) / p99(quiet)));
    let span = returns.whole_ns.zip(returns.lost_ns).filter(|_| returns.returned >= sessions as u64);
    run.add("whole_after_ms", span.map(|(whole_ns, lost_ns)| whole_ns.saturating_sub(lost_ns) as f64 / 1e6));
    if span.is_none() {
        run.errors.insert("sessions were not all live at the end".into(), 1);
    }
    run.add("attempts", Some(returns.attempts as f64));
    run.add("returned", Some(returns.returned as f64));
    run.add("most_returns_per_second", Some(returns.most_per_second() as f64));
    for (name, count) in &returns.ends {
        run.counters.insert(format!("attempt ended: {name}"), *count as f64);
    }
    let cpu_us = storm.usage.gateway_ns.map(|ns| ns as f64 / 1e3);
    run.add("gateway_cpu_us_per_return", cpu_us.map(|us| us / returns.returned as f64));
    run.add("errors", Some(run.errors.values().sum::<u64>() as f64));
    run
}
