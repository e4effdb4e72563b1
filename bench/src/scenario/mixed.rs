//! A team's day, all at once.

use anyhow::{Context, Result};

use super::{Bench, Column, Data, Scenario, Shape, desk, search};
use crate::desk::{Day, HasSearch, Pages, REQUESTS_PER_TICKET, Searches};
use crate::fetch;
use crate::pace::Rate;
use crate::result::Run;
use crate::tickets::Tickets;

/// Ten times the load of 10,000 tickets a day, which come in eight hours.
const TICKETS_PER_SECOND: f64 = 10.0 * 10_000.0 / (8.0 * 3_600.0);

/// See the module.
#[derive(Debug)]
pub(super) struct Mixed;

impl Scenario for Mixed {
    fn name(&self) -> &'static str {
        "mixed"
    }

    fn about(&self) -> &'static str {
        "tickets come, are answered, moved, read, listed and searched for, in the shares of a team's day, at ten times the load of 10,000 tickets a day"
    }

    fn defaults(&self) -> Shape {
        // Rounded up.
        let rate = Rate::PerSecond((TICKETS_PER_SECOND * REQUESTS_PER_TICKET).ceil());
        Shape { rate, connections: 16, tickets: 4_096, sessions: 0 }
    }

    fn duration_s(&self) -> f64 {
        60.0
    }

    fn data(&self) -> Data {
        Data::Seeded
    }

    fn headline(&self) -> &'static str {
        "request_p99_us"
    }

    fn columns(&self) -> &'static [Column] {
        &[
            Column { head: "requests/s", figure: "requests_per_second", per: 1.0 },
            Column { head: "p50 ms", figure: "request_p50_us", per: 1e3 },
            Column { head: "p99 ms", figure: "request_p99_us", per: 1e3 },
            Column { head: "max ms", figure: "request_max_us", per: 1e3 },
            Column { head: "create p99", figure: "create_p99_us", per: 1e3 },
            Column { head: "reply p99", figure: "reply_p99_us", per: 1e3 },
            Column { head: "move p99", figure: "move_p99_us", per: 1e3 },
            Column { head: "read p99", figure: "read_p99_us", per: 1e3 },
            Column { head: "list p99", figure: "list_p99_us", per: 1e3 },
            Column { head: "search p99", figure: "search_p99_us", per: 1e3 },
            Column { head: "gateway CPU %", figure: "gateway_cpu_percent", per: 1.0 },
            Column { head: "gateway MiB", figure: "gateway_resident_mib", per: 1.0 },
            Column { head: "errors", figure: "errors", per: 1.0 },
        ]
    }

    fn run(&self, bench: &mut Bench) -> Result<Vec<Run>> {
        let manifest = desk::seeded(bench)?;
        let target = bench.targets.first().context("no targets: expected at least one")?;
        let has_search = match fetch::get(target, search::PROBE)?.status {
            404 => {
                eprintln!("this gateway has no search: more lists are read instead");
                HasSearch::No
            }
            _ => HasSearch::Yes,
        };
        let tickets = Tickets::new(manifest.to_move(bench.settings.tickets));
        let pages = Pages::new(desk::desk(bench, manifest), desk::jumps(bench)?);
        let searches = Searches::new(manifest.words.clone());
        let work = Day::new(tickets, manifest.sizes.tickets, pages, searches, has_search);
        desk::run(bench, work)
    }
}
