//! What each way of setting TCP costs where nothing is lost: each arm alone, in turn.

use std::net::TcpListener;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

use super::loss::{ARMS, set_up};
use super::streams;
use crate::lab::{Lab, Loss, Wire};

const STREAMS: usize = 20;
const GAP: Duration = Duration::from_millis(4);
/// Of each stream in each round: 1.2 s.
const MESSAGES: u64 = 300;
/// What the others are compared with.
const REFERENCE: &str = "nodelay";

/// One arm; changes are shares of the reference's value in the same round, medians as all else.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Cost {
    arm: &'static str,
    p50_ms: f64,
    p50_change: f64,
    /// Processor time for a message.
    sender_us: f64,
    sender_change: f64,
    whole_us: f64,
    whole_change: f64,
}

/// p50 in milliseconds; sender and whole in microseconds a message.
type Sample = [f64; 3];

/// Measures each arm once in each round.
pub(super) fn measure(lab: &Lab, listeners: &[TcpListener], rounds: u32, seed: u64) -> Result<Vec<Cost>> {
    if rounds == 0 {
        return Ok(Vec::new());
    }
    lab.set_wire(Wire::towards_client(Duration::ZERO, Loss::NONE, seed));
    let mut samples: Vec<Vec<Sample>> = vec![Vec::new(); ARMS.len()];
    for round in 0..rounds as usize {
        for turn in 0..ARMS.len() {
            // Another one goes first in each round.
            let arm = (round + turn) % ARMS.len();
            samples[arm].push(one(lab, &listeners[arm], arm, seed)?);
        }
    }
    let reference = ARMS.iter().position(|(name, _)| *name == REFERENCE).context("there is no reference")?;
    let costs = ARMS.iter().zip(&samples).map(|((arm, _), own)| cost(arm, own, &samples[reference]));
    Ok(costs.collect())
}

fn one(lab: &Lab, listener: &TcpListener, arm: usize, seed: u64) -> Result<Sample> {
    // It is the only arm of the exchange.
    let streams = streams::connect(lab, listener, 0, STREAMS)?;
    streams.iter().try_for_each(|stream| set_up(stream, ARMS[arm].1))?;
    let (received, cpu) = streams::exchange(&streams, 1, MESSAGES, GAP, seed)?;
    lab.take_flows();
    let latencies = &received.first().context("an exchange of one arm has one result")?.latencies;
    let each_us = |ns: u64| ns as f64 / 1e3 / latencies.len().max(1) as f64;
    let p50_ms = latencies.value_at_quantile(0.5) as f64 / 1e6;
    Ok([p50_ms, each_us(cpu.sender_ns), each_us(cpu.whole_ns)])
}

fn cost(arm: &'static str, own: &[Sample], reference: &[Sample]) -> Cost {
    let value = |at: usize| median(own.iter().map(|sample| sample[at]));
    let change = |at: usize| median(own.iter().zip(reference).map(|(own, other)| own[at] / other[at] - 1.0));
    Cost {
        arm,
        p50_ms: value(0),
        p50_change: change(0),
        sender_us: value(1),
        sender_change: change(1),
        whole_us: value(2),
        whole_change: change(2),
    }
}

/// Of an even count, the lower of the middle two.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}

/// As in the results.
pub(super) fn table(costs: &[Cost]) -> String {
    let mut text =
        "| arm | p50 ms | change | sender µs | change | all µs | change |\n|---|---:|---:|---:|---:|---:|---:|\n"
            .to_owned();
    for cost in costs {
        let percent = |change: f64| format!("{:+.1} %", change * 100.0);
        text.push_str(&format!(
            "| {} | {:.3} | {} | {:.2} | {} | {:.2} | {} |\n",
            cost.arm,
            cost.p50_ms,
            percent(cost.p50_change),
            cost.sender_us,
            percent(cost.sender_change),
            cost.whole_us,
            percent(cost.whole_change)
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_medians_of_rounds_and_not_of_medians() {
        let reference = [[1.0, 10.0, 100.0], [2.0, 20.0, 200.0], [4.0, 40.0, 400.0]];
        let own = reference.map(|sample| sample.map(|value| value * 1.5));
        let found = cost("mesh-ebpf", &own, &reference);
        assert_eq!((found.p50_ms, found.sender_us, found.whole_us), (3.0, 30.0, 300.0));
        for change in [found.p50_change, found.sender_change, found.whole_change] {
            assert!((change - 0.5).abs() < 1e-9, "{change}");
        }
        assert!(
            table(&[found])
                .ends_with("| mesh-ebpf | 3.000 | +50.0 % | 30.00 | +50.0 % | 300.00 | +50.0 % |\n")
        );
    }
}
