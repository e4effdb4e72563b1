//! Sessions that have nothing to do but to answer heartbeats.

use std::time::Duration;

use anyhow::{Context, Result};

use super::Plan;
use super::load::{Care, Load, SETTLE};
use super::server::Running;
use crate::process::Group;
use crate::result::Run;

pub(super) fn run(server: &Running, plan: &Plan) -> Result<Run> {
    let settings = &plan.settings;
    let sessions = settings.sessions as f64;
    let mut load = Load::new(server.dialect.peer, Care::Heartbeats)?;
    let group = Group::of(server.pid());
    load.rest(SETTLE)?;
    let empty = group.memory_bytes();
    load.connect(server, settings.sessions, |number| number, 0)?;
    load.rest(SETTLE)?;
    let full = group.memory_bytes();
    load.rest(Duration::try_from_secs_f64(settings.warm_up_s).context("warm-up")?)?;
    let before_ns = group.cpu_ns();
    load.rest(Duration::try_from_secs_f64(settings.duration_s).context("duration")?)?;
    let cpu_us = group.cpu_ns().saturating_sub(before_ns) as f64 / 1e3 / settings.duration_s;

    let mut run = Run::default();
    if load.errors > 0 {
        run.errors.insert("sessions ended".into(), load.errors);
    }
    run.add("gateway_bytes_per_session", Some((full as f64 - empty as f64) / sessions));
    run.add("gateway_cpu_us_per_second_per_session", Some(cpu_us / sessions));
    run.add("gateway_cpu_percent", Some(cpu_us / 1e4));
    run.add("sessions_live", Some(sessions - load.errors as f64));
    run.add("errors", Some(load.errors as f64));
    Ok(run)
}
