//! A second gateway takes over from the first while sessions watch.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use waggle_core::limits::DRAIN_SESSIONS_PER_SECOND;

use super::{Bench, Column, Scenario, Shape, Versus, loaded};
use crate::load::{Load, Watch};
use crate::pace::Rate;
use crate::process::{Probe, check_descriptors};
use crate::result::Run;

/// From the start of the window to the successor's start.
const BEGIN: Duration = Duration::from_secs(2);
/// From there until the first is told to end.
const WARM: Duration = Duration::from_secs(1);
/// The first must have ended by then.
const END: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug)]
pub(super) struct Drain;

impl Scenario for Drain {
    fn name(&self) -> &'static str {
        "drain"
    }

    fn about(&self) -> &'static str {
        "a second gateway takes over while all sessions watch the tenant: who misses something, and how fast they come"
    }

    fn defaults(&self) -> Shape {
        Shape { rate: Rate::PerSecond(2.0), connections: 2, tickets: 16, sessions: 10_000 }
    }

    fn duration_s(&self) -> f64 {
        25.0
    }

    fn gateway_arguments(&self) -> &'static [&'static str] {
        &["--heartbeat-ms", "25000"]
    }

    fn headline(&self) -> &'static str {
        "most_returns_per_second"
    }

    fn columns(&self) -> &'static [Column] {
        &[
            Column { head: "moved", figure: "returned", per: 1.0 },
            Column { head: "most moves per s", figure: "most_returns_per_second", per: 1.0 },
            Column { head: "budget per s", figure: "budget_per_second", per: 1.0 },
            Column { head: "resets", figure: "resets", per: 1.0 },
            Column { head: "without the API ms", figure: "answer_max_us", per: 1e3 },
            Column { head: "event p50 ms", figure: "delivery_p50_us", per: 1e3 },
            Column { head: "event max ms", figure: "delivery_max_us", per: 1e3 },
            Column { head: "lost or repeated", figure: "errors", per: 1.0 },
        ]
    }

    fn versus(&self) -> Result<&'static Versus, &'static str> {
        Err(
            "none of the others hands its sessions to a second process; when they stop, it is a storm (`storm --peers`)",
        )
    }

    fn run(&self, bench: &mut Bench) -> Result<Vec<Run>> {
        let settings = &bench.settings;
        let own = bench.own.as_mut().context("drain starts both gateways itself: run it without --target")?;
        check_descriptors(settings.sessions, settings.connections, 1)?;
        let plan = loaded::plan(settings)?;
        let mut load = Load::connect(&bench.targets, settings.connections, settings.seed)?;
        load.create_tickets(settings.tickets, &bench.queues)?;
        load.open_sessions(settings.sessions, &Watch::All("tenant".into()))?;
        load.allow_losses(Duration::from_millis(500));
        let mut runs = Vec::new();
        for number in 1..=settings.repeat {
            let outcome = thread::scope(|scope| {
                let running = scope.spawn(|| load.run(&plan, &Probe::default()));
                thread::sleep(plan.warm_up + BEGIN);
                let successor = own.gateway.successor(&own.start)?;
                thread::sleep(WARM);
                own.gateway.terminate()?;
                let successor = successor.wait_ready()?;
                own.gateway.wait_end(END)?;
                own.gateway = successor;
                running.join().ok().context("the thread of the load has panicked")?
            })?;
            let returns = &outcome.returns;
            let mut run = loaded::figures(&outcome, &plan, crate::scrape::Counters::default());
            run.add("returned", Some(returns.returned as f64));
            run.add("attempts", Some(returns.attempts as f64));
            run.add("most_returns_per_second", Some(returns.most_per_second() as f64));
            run.add("budget_per_second", Some(DRAIN_SESSIONS_PER_SECOND as f64));
            run.add("resets", Some(returns.resets as f64));
            if returns.returned != settings.sessions as u64 {
                let odd = returns.returned.abs_diff(settings.sessions as u64);
                run.errors.insert("sessions that did not move, or more than once".into(), odd);
            }
            for (name, count) in &returns.ends {
                run.counters.insert(format!("ended: {name}"), *count as f64);
            }
            run.add("errors", Some(run.errors.values().sum::<u64>() as f64));
            let errors = run.errors.values().sum::<u64>();
            eprintln!(
                "run {number} of {}: {} moved, at most {} in a second, {} resets, {errors} errors",
                settings.repeat,
                returns.returned,
                returns.most_per_second(),
                returns.resets
            );
            runs.push(run);
        }
        Ok(runs)
    }
}
