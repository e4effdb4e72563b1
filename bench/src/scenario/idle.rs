//! Many sessions that have nothing to do.

use std::time::Duration;

use anyhow::{Context, Result};

use super::{Bench, Column, IDLE_PEERS, Scenario, Shape, Versus, loaded};
use crate::load::{Load, Watch};
use crate::pace::Rate;
use crate::process::{Probe, check_descriptors};
use crate::result::Run;

/// See the module.
#[derive(Debug)]
pub(super) struct Idle;

impl Scenario for Idle {
    fn name(&self) -> &'static str {
        "idle"
    }

    fn about(&self) -> &'static str {
        "sessions that watch their agent's tickets while nothing happens: memory and CPU for each"
    }

    fn defaults(&self) -> Shape {
        Shape { rate: Rate::Max, connections: 1, tickets: 0, sessions: 15_000 }
    }

    // Two heartbeats and what their spread may take.
    fn duration_s(&self) -> f64 {
        55.0
    }

    fn gateway_arguments(&self) -> &'static [&'static str] {
        &["--heartbeat-ms", "25000"]
    }

    fn headline(&self) -> &'static str {
        "gateway_bytes_per_session"
    }

    fn columns(&self) -> &'static [Column] {
        &[
            Column { head: "KiB/session", figure: "gateway_bytes_per_session", per: 1024.0 },
            Column { head: "CPU µs/s/session", figure: "gateway_cpu_us_per_second_per_session", per: 1.0 },
            Column { head: "live", figure: "sessions_live", per: 1.0 },
            Column { head: "errors", figure: "errors", per: 1.0 },
        ]
    }

    fn versus(&self) -> Result<&'static Versus, &'static str> {
        Ok(&IDLE_PEERS)
    }

    fn run(&self, bench: &mut Bench) -> Result<Vec<Run>> {
        let settings = &bench.settings;
        check_descriptors(settings.sessions, 0, bench.targets.len())?;
        let probe = Probe::new(bench.targets.iter().filter_map(|target| target.pid).collect());
        // No command is sent, and the API would close a connection that stays quiet.
        let mut load = Load::connect(&bench.targets, 0, settings.seed)?;
        let watch = Watch::All("mine".into());
        let bytes = loaded::open_sessions(&mut load, settings.sessions, &watch, &probe)?;
        let warm_up = Duration::try_from_secs_f64(settings.warm_up_s).context("warm-up")?;
        let window = Duration::try_from_secs_f64(settings.duration_s).context("duration")?;
        load.rest(warm_up)?;
        let mut runs = Vec::new();
        for _ in 0..settings.repeat {
            let begin = probe.begin();
            load.rest(window)?;
            let usage = probe.end(&begin);
            let (errors, first_error) = load.take_errors();
            let mut run = Run { errors, first_error, ..Run::default() };
            let sessions = load.sessions_live() as f64;
            let seconds = window.as_secs_f64();
            run.add("gateway_bytes_per_session", bytes);
            run.add("sessions_live", Some(sessions));
            run.add("errors", Some(run.errors.values().sum::<u64>() as f64));
            let cpu_us = usage.gateway_ns.map(|ns| ns as f64 / 1e3 / seconds);
            run.add("gateway_cpu_us_per_second_per_session", cpu_us.map(|us| us / sessions));
            run.add("gateway_cpu_percent", cpu_us.map(|us| us / 1e4));
            run.add("generator_cpu_percent", Some(usage.generator_ns as f64 / 1e7 / seconds));
            runs.push(run);
        }
        Ok(runs)
    }
}
