//! One event to one of many sessions.

use anyhow::Result;

use super::{Bench, Column, Data, SIGNAL_ONE, Scenario, Shape, Versus, loaded};
use crate::load::Watch;
use crate::pace::Rate;
use crate::result::Run;

/// See the module.
#[derive(Debug)]
pub(super) struct PushOne;

impl Scenario for PushOne {
    fn name(&self) -> &'static str {
        "push-one"
    }

    fn about(&self) -> &'static str {
        "each session watches a ticket of its own; a move of a random one: from intended send to its frame"
    }

    fn defaults(&self) -> Shape {
        Shape { rate: Rate::PerSecond(2_000.0), connections: 32, tickets: 1_000, sessions: 1_000 }
    }

    fn data(&self) -> Data {
        Data::Either
    }

    fn headline(&self) -> &'static str {
        "delivery_p99_us"
    }

    fn columns(&self) -> &'static [Column] {
        &[
            Column { head: "deliveries/s", figure: "deliveries_per_second", per: 1.0 },
            Column { head: "p50 ms", figure: "delivery_p50_us", per: 1e3 },
            Column { head: "p99 ms", figure: "delivery_p99_us", per: 1e3 },
            Column { head: "p99.9 ms", figure: "delivery_p999_us", per: 1e3 },
            Column { head: "max ms", figure: "delivery_max_us", per: 1e3 },
            Column { head: "answer p50 ms", figure: "answer_p50_us", per: 1e3 },
            Column { head: "gateway CPU µs/delivery", figure: "gateway_cpu_us_per_delivery", per: 1.0 },
            Column { head: "KiB/session", figure: "gateway_bytes_per_session", per: 1024.0 },
            Column { head: "errors", figure: "errors", per: 1.0 },
        ]
    }

    fn versus(&self) -> Result<&'static Versus, &'static str> {
        Ok(&SIGNAL_ONE)
    }

    fn run(&self, bench: &mut Bench) -> Result<Vec<Run>> {
        loaded::run(bench, Some(&Watch::OwnTicket))
    }
}
