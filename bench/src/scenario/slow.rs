//! Some of many sessions stop reading: what the others notice, what it costs, and how it ends.

use std::time::Duration;

use anyhow::Result;

use super::{Bench, Column, SLOW_PEERS, Scenario, Shape, Versus, loaded};
use crate::load::{Load, Watch};
use crate::pace::Rate;
use crate::process::{Probe, check_descriptors};
use crate::result::Run;

/// One in so many stops.
const ONE_IN: usize = 100;
/// Until those that stopped have to be ended, after the run.
const ENDS: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug)]
pub(super) struct Slow;

impl Scenario for Slow {
    fn name(&self) -> &'static str {
        "slow"
    }

    fn about(&self) -> &'static str {
        "each move goes to all sessions, first with all reading, then with one in a hundred stopped"
    }

    fn defaults(&self) -> Shape {
        Shape { rate: Rate::PerSecond(40.0), connections: 4, tickets: 64, sessions: 1_000 }
    }

    /// Those that stopped are there for 2.5 heartbeats.
    fn duration_s(&self) -> f64 {
        45.0
    }

    fn headline(&self) -> &'static str {
        "slow_p99_us"
    }

    fn columns(&self) -> &'static [Column] {
        &[
            Column { head: "p50 before ms", figure: "quiet_p50_us", per: 1e3 },
            Column { head: "p99 before ms", figure: "quiet_p99_us", per: 1e3 },
            Column { head: "p50 with slow ms", figure: "slow_p50_us", per: 1e3 },
            Column { head: "p99 with slow ms", figure: "slow_p99_us", per: 1e3 },
            Column { head: "ratio", figure: "p99_ratio", per: 1.0 },
            Column {
                head: "gateway KiB/slow session",
                figure: "gateway_bytes_per_slow_session",
                per: 1024.0,
            },
            Column { head: "slow", figure: "slow_sessions", per: 1.0 },
            Column { head: "ended", figure: "slow_ended", per: 1.0 },
            Column { head: "with a close frame", figure: "slow_told", per: 1.0 },
            Column { head: "errors", figure: "errors", per: 1.0 },
        ]
    }

    fn versus(&self) -> Result<&'static Versus, &'static str> {
        Ok(&SLOW_PEERS)
    }

    fn run(&self, bench: &mut Bench) -> Result<Vec<Run>> {
        let settings = &bench.settings;
        check_descriptors(settings.sessions, settings.connections, bench.targets.len())?;
        let probe = Probe::new(bench.targets.iter().filter_map(|target| target.pid).collect());
        let plan = loaded::plan(settings)?;
        let slow = settings.sessions.div_ceil(ONE_IN);
        let mut runs = Vec::new();
        for number in 1..=settings.repeat {
            let mut load = Load::connect(&bench.targets, settings.connections, settings.seed)?;
            load.create_tickets(settings.tickets, &bench.queues)?;
            load.open_sessions(settings.sessions, &Watch::All("tenant".into()))?;
            let quiet = load.run(&plan, &probe)?;
            let before = probe.resident_bytes();
            load.stop_reading(slow)?;
            let with_slow = load.run(&plan, &probe)?;
            let after = probe.resident_bytes();
            let ends = load.ends_of_stopped(ENDS)?;

            let mut run = loaded::figures(&with_slow, &plan, crate::scrape::Counters::default());
            for (what, count) in &quiet.recorder.errors {
                *run.errors.entry(format!("before: {what}")).or_default() += count;
            }
            run.curves.clear();
            run.figures.retain(|name, _| !name.starts_with("delivery_") && !name.starts_with("last_"));
            run.add_latencies("quiet", &quiet.recorder.deliveries);
            run.add_latencies("slow", &with_slow.recorder.deliveries);
            let p99 = |latencies: &crate::measure::Latencies| latencies.value_at_quantile(0.99) as f64;
            let ratio = p99(&with_slow.recorder.deliveries) / p99(&quiet.recorder.deliveries);
            run.add("p99_ratio", Some(ratio));
            let growth = after.zip(before).map(|(after, before)| after as f64 - before as f64);
            run.add("gateway_bytes_per_slow_session", growth.map(|growth| growth / slow as f64));
            run.add("slow_sessions", Some(slow as f64));
            let of = |is: fn(&str) -> bool| {
                ends.iter().filter(|(end, _)| is(end)).map(|(_, count)| count).sum::<u64>()
            };
            // One that never reads cannot be told why: its connection ends behind what it has not read.
            let told = of(|end| end.starts_with("session closed with 4"));
            let there = of(|end| end == "still there");
            run.add("slow_told", Some(told as f64));
            run.add("slow_ended", Some((slow as u64 - there) as f64));
            if there > 0 {
                run.errors.insert("slow sessions that were not ended".into(), there);
            }
            run.counters
                .extend(ends.into_iter().map(|(end, count)| (format!("slow ended: {end}"), count as f64)));
            run.add("errors", Some(run.errors.values().sum::<u64>() as f64));
            eprintln!(
                "run {number} of {}: p99 ratio {ratio:.2}, {there} of {slow} not ended",
                settings.repeat
            );
            runs.push(run);
        }
        Ok(runs)
    }
}
