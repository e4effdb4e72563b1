//! What the values of a socket must be.

use std::ops::RangeInclusive;

use anyhow::{Context, Result, bail, ensure};
use waggle_accel::{ReadBack, Rung, SocketValues, Status};

use crate::gateway::Socket;

// The kernel rounds up to whole jiffies of at most 10 ms, and takes no less than two of them.
const PUSH_RTO_MIN_US: RangeInclusive<u32> = 50_000..=60_000;
const MESH_RTO_MIN_US: RangeInclusive<u32> = 8_000..=20_000;
const MESH_DELACK_MAX_US: RangeInclusive<u32> = 4_000..=20_000;

pub(crate) fn push_profile(values: &SocketValues, untouched: &SocketValues) -> Result<()> {
    within(&values.of("nodelay"), &(1..=1)).context("nodelay")?;
    timer_within(&values.of("rto_min_us"), &PUSH_RTO_MIN_US, untouched).context("rto_min_us")?;
    ensure!(values.of("delack_max_us") == untouched.of("delack_max_us"), "delack_max_us was touched");
    Ok(())
}

pub(crate) fn mesh_profile(values: &SocketValues, untouched: &SocketValues) -> Result<()> {
    within(&values.of("nodelay"), &(1..=1)).context("nodelay")?;
    timer_within(&values.of("rto_min_us"), &MESH_RTO_MIN_US, untouched).context("rto_min_us")?;
    timer_within(&values.of("delack_max_us"), &MESH_DELACK_MAX_US, untouched).context("delack_max_us")
}

pub(crate) fn status_reads_back(status: &Status, untouched: &SocketValues) -> Result<()> {
    let ranges = [
        (0, "rto_min_us", PUSH_RTO_MIN_US),
        (1, "rto_min_us", MESH_RTO_MIN_US),
        (1, "delack_max_us", MESH_DELACK_MAX_US),
    ];
    for (leg, name, range) in ranges {
        let leg = &status.legs[leg];
        let feature = leg.features.iter().find(|feature| feature.feature == name);
        let feature = feature.with_context(|| format!("{} has no {name}", leg.leg))?;
        timer_within(&feature.read_back, &range, untouched).with_context(|| format!("{} {name}", leg.leg))?;
    }
    Ok(())
}

pub(crate) fn unchanged_by_setsockopt(socket: &Socket) -> Result<()> {
    ensure!(socket.before == socket.after, "setsockopt did what eBPF should have done");
    Ok(())
}

pub(crate) fn on_rung(status: &Status, rung: Rung) -> Result<()> {
    let mut features = status.legs.iter().flat_map(|leg| &leg.features);
    ensure!(features.all(|feature| feature.rung == rung), "not all on {}:\n{status}", rung.name());
    Ok(())
}

/// Before Linux 6.15 the timers cannot be read; that was reported as skipped.
fn timer_within(value: &ReadBack, range: &RangeInclusive<u32>, untouched: &SocketValues) -> Result<()> {
    if readable(&untouched.of("rto_min_us")) { within(value, range) } else { Ok(()) }
}

pub(crate) fn readable(value: &ReadBack) -> bool {
    matches!(value, ReadBack::Value { .. })
}

fn within(value: &ReadBack, range: &RangeInclusive<u32>) -> Result<()> {
    let ReadBack::Value { value } = value else {
        bail!("not readable: {value:?}");
    };
    ensure!(range.contains(value), "{value} is not in {range:?}");
    Ok(())
}

pub(crate) fn shown(values: &SocketValues) -> String {
    let value = |value: &ReadBack| match value {
        ReadBack::Value { value } => value.to_string(),
        ReadBack::Unreadable { unreadable } => format!("? ({unreadable})"),
    };
    let all = values.0.iter().map(|(feature, read)| format!("{feature} {}", value(read)));
    all.collect::<Vec<_>>().join(", ")
}
