//! One event to all of many sessions.

use anyhow::Result;

use super::{Bench, Column, Data, SIGNAL_ALL, Scenario, Shape, Versus, loaded};
use crate::load::Watch;
use crate::pace::Rate;
use crate::result::Run;

/// See the module.
#[derive(Debug)]
pub(super) struct PushAll;

impl Scenario for PushAll {
    fn name(&self) -> &'static str {
        "push-all"
    }

    fn about(&self) -> &'static str {
        "all sessions watch the tenant; each move goes to all: per delivery, and until the last has it"
    }

    fn defaults(&self) -> Shape {
        Shape { rate: Rate::PerSecond(10.0), connections: 4, tickets: 64, sessions: 1_000 }
    }

    fn data(&self) -> Data {
        Data::Either
    }

    fn headline(&self) -> &'static str {
        "last_p50_us"
    }

    fn columns(&self) -> &'static [Column] {
        &[
            Column { head: "deliveries/s", figure: "deliveries_per_second", per: 1.0 },
            Column { head: "p50 ms", figure: "delivery_p50_us", per: 1e3 },
            Column { head: "p99 ms", figure: "delivery_p99_us", per: 1e3 },
            Column { head: "p99.9 ms", figure: "delivery_p999_us", per: 1e3 },
            Column { head: "max ms", figure: "delivery_max_us", per: 1e3 },
            Column { head: "last p50 ms", figure: "last_p50_us", per: 1e3 },
            Column { head: "last p99 ms", figure: "last_p99_us", per: 1e3 },
            Column { head: "gateway CPU µs/delivery", figure: "gateway_cpu_us_per_delivery", per: 1.0 },
            Column { head: "KiB/session", figure: "gateway_bytes_per_session", per: 1024.0 },
            Column { head: "errors", figure: "errors", per: 1.0 },
        ]
    }

    fn versus(&self) -> Result<&'static Versus, &'static str> {
        Ok(&SIGNAL_ALL)
    }

    fn run(&self, bench: &mut Bench) -> Result<Vec<Run>> {
        loaded::run(bench, Some(&Watch::All("tenant".into())))
    }
}
