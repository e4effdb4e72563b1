//! Durable status moves over HTTP.

use anyhow::Result;

use super::{Bench, Column, Data, Scenario, Shape, loaded};
use crate::pace::Rate;
use crate::result::Run;

/// See the module.
#[derive(Debug)]
pub(super) struct Commands;

impl Scenario for Commands {
    fn name(&self) -> &'static str {
        "commands"
    }

    fn about(&self) -> &'static str {
        "durable status moves over keep-alive HTTP: how many per second, how many per commit, how long each"
    }

    fn defaults(&self) -> Shape {
        Shape { rate: Rate::Max, connections: 64, tickets: 4_096, sessions: 0 }
    }

    fn data(&self) -> Data {
        Data::Either
    }

    fn headline(&self) -> &'static str {
        "commands_per_second"
    }

    fn columns(&self) -> &'static [Column] {
        &[
            Column { head: "moves/s", figure: "commands_per_second", per: 1.0 },
            Column { head: "p50 ms", figure: "answer_p50_us", per: 1e3 },
            Column { head: "p99 ms", figure: "answer_p99_us", per: 1e3 },
            Column { head: "p99.9 ms", figure: "answer_p999_us", per: 1e3 },
            Column { head: "max ms", figure: "answer_max_us", per: 1e3 },
            Column { head: "moves/commit", figure: "commands_per_commit", per: 1.0 },
            Column { head: "fsyncs/commit", figure: "fsyncs_per_commit", per: 1.0 },
            Column { head: "gateway CPU µs/move", figure: "gateway_cpu_us_per_command", per: 1.0 },
            Column { head: "errors", figure: "errors", per: 1.0 },
        ]
    }

    fn run(&self, bench: &mut Bench) -> Result<Vec<Run>> {
        loaded::run(bench, None)
    }
}
