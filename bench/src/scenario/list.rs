//! Random pages of random views.

use anyhow::Result;

use super::{Bench, Column, Data, Scenario, Shape, desk};
use crate::desk::Pages;
use crate::pace::Rate;
use crate::result::Run;

/// See the module.
#[derive(Debug)]
pub(super) struct List;

impl Scenario for List {
    fn name(&self) -> &'static str {
        "list"
    }

    fn about(&self) -> &'static str {
        "random pages of 50 rows of random views of seeded tickets: from intended send to answer, by kind of view"
    }

    fn defaults(&self) -> Shape {
        Shape { rate: Rate::PerSecond(200.0), connections: 16, tickets: 0, sessions: 0 }
    }

    fn data(&self) -> Data {
        Data::Seeded
    }

    fn headline(&self) -> &'static str {
        "request_p99_us"
    }

    fn columns(&self) -> &'static [Column] {
        &[
            Column { head: "pages/s", figure: "requests_per_second", per: 1.0 },
            Column { head: "p50 ms", figure: "request_p50_us", per: 1e3 },
            Column { head: "p99 ms", figure: "request_p99_us", per: 1e3 },
            Column { head: "max ms", figure: "request_max_us", per: 1e3 },
            Column { head: "all p99", figure: "view_all_p99_us", per: 1e3 },
            Column { head: "queue p99", figure: "view_queue_p99_us", per: 1e3 },
            Column { head: "status p99", figure: "view_status_p99_us", per: 1e3 },
            Column { head: "queue and status p99", figure: "view_queue_status_p99_us", per: 1e3 },
            Column { head: "mine p99", figure: "view_mine_p99_us", per: 1e3 },
            Column { head: "unassigned p99", figure: "view_unassigned_p99_us", per: 1e3 },
            Column { head: "agent's p99", figure: "view_agent_p99_us", per: 1e3 },
            Column { head: "gateway CPU ms/page", figure: "gateway_cpu_us_per_request", per: 1e3 },
            Column { head: "gateway MiB", figure: "gateway_resident_mib", per: 1.0 },
            Column { head: "ready ms", figure: "ready_ms", per: 1.0 },
            Column { head: "errors", figure: "errors", per: 1.0 },
        ]
    }

    fn run(&self, bench: &mut Bench) -> Result<Vec<Run>> {
        let pages = Pages::new(desk::desk(bench, desk::seeded(bench)?), desk::jumps(bench)?);
        desk::run(bench, pages)
    }
}
