//! An ephemeral message to all, or to one, of many sessions: what Waggle and other push servers are compared
//! by. Run by `waggle-bench compare`.

use anyhow::{Result, bail};

use super::{Bench, Column, Scenario, Shape};
use crate::pace::Rate;
use crate::result::Run;

/// To all.
#[derive(Debug)]
pub struct SignalAll;

/// To one.
#[derive(Debug)]
pub struct SignalOne;

const ALL: &[Column] = &[
    Column { head: "deliveries/s", figure: "deliveries_per_second", per: 1.0 },
    Column { head: "CPU µs/delivery", figure: "gateway_cpu_us_per_delivery", per: 1.0 },
    Column { head: "p50 ms", figure: "delivery_p50_us", per: 1e3 },
    Column { head: "p99 ms", figure: "delivery_p99_us", per: 1e3 },
    Column { head: "p99.9 ms", figure: "delivery_p999_us", per: 1e3 },
    Column { head: "max ms", figure: "delivery_max_us", per: 1e3 },
    Column { head: "first p50 ms", figure: "first_p50_us", per: 1e3 },
    Column { head: "last p50 ms", figure: "last_p50_us", per: 1e3 },
    Column { head: "last p99 ms", figure: "last_p99_us", per: 1e3 },
    Column { head: "KiB/session", figure: "gateway_bytes_per_session", per: 1024.0 },
    Column { head: "errors", figure: "errors", per: 1.0 },
];
const ONE: &[Column] = &[
    Column { head: "deliveries/s", figure: "deliveries_per_second", per: 1.0 },
    Column { head: "CPU µs/delivery", figure: "gateway_cpu_us_per_delivery", per: 1.0 },
    Column { head: "p50 ms", figure: "delivery_p50_us", per: 1e3 },
    Column { head: "p99 ms", figure: "delivery_p99_us", per: 1e3 },
    Column { head: "p99.9 ms", figure: "delivery_p999_us", per: 1e3 },
    Column { head: "max ms", figure: "delivery_max_us", per: 1e3 },
    Column { head: "KiB/session", figure: "gateway_bytes_per_session", per: 1024.0 },
    Column { head: "errors", figure: "errors", per: 1.0 },
];

impl Scenario for SignalAll {
    fn name(&self) -> &'static str {
        "signal-all"
    }

    fn about(&self) -> &'static str {
        "an ephemeral message of 256 bytes to all sessions, servers in turn (`compare`): per delivery, and until the last has it"
    }

    fn defaults(&self) -> Shape {
        Shape { rate: Rate::PerSecond(10.0), connections: 4, tickets: 0, sessions: 1_000 }
    }

    fn headline(&self) -> &'static str {
        "last_p50_us"
    }

    fn columns(&self) -> &'static [Column] {
        ALL
    }

    fn run(&self, _: &mut Bench) -> Result<Vec<Run>> {
        bail!("run it by `waggle-bench compare all`")
    }
}

impl Scenario for SignalOne {
    fn name(&self) -> &'static str {
        "signal-one"
    }

    fn about(&self) -> &'static str {
        "ephemeral messages of 256 bytes, each to one of the sessions, servers in turn (`compare`)"
    }

    fn defaults(&self) -> Shape {
        Shape { rate: Rate::PerSecond(2_000.0), connections: 4, tickets: 0, sessions: 5_000 }
    }

    fn headline(&self) -> &'static str {
        "delivery_p99_us"
    }

    fn columns(&self) -> &'static [Column] {
        ONE
    }

    fn run(&self, _: &mut Bench) -> Result<Vec<Run>> {
        bail!("run it by `waggle-bench compare one`")
    }
}
