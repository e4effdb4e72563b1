//! Searches for words of the texts.

use anyhow::{Context, Result, bail};

use super::{Bench, Column, Data, Scenario, Shape, desk};
use crate::desk::Searches;
use crate::fetch;
use crate::pace::Rate;
use crate::result::Run;

/// What a gateway with search answers with 200.
pub(super) const PROBE: &str = "/v1/search?q=card";

/// See the module.
#[derive(Debug)]
pub(super) struct Search;

impl Scenario for Search {
    fn name(&self) -> &'static str {
        "search"
    }

    fn about(&self) -> &'static str {
        "searches of seeded tickets for one word, two words, or one in open tickets; frequent words and rare ones"
    }

    fn defaults(&self) -> Shape {
        Shape { rate: Rate::PerSecond(50.0), connections: 16, tickets: 0, sessions: 0 }
    }

    fn data(&self) -> Data {
        Data::Seeded
    }

    fn headline(&self) -> &'static str {
        "request_p99_us"
    }

    fn columns(&self) -> &'static [Column] {
        &[
            Column { head: "searches/s", figure: "requests_per_second", per: 1.0 },
            Column { head: "p50 ms", figure: "request_p50_us", per: 1e3 },
            Column { head: "p99 ms", figure: "request_p99_us", per: 1e3 },
            Column { head: "max ms", figure: "request_max_us", per: 1e3 },
            Column { head: "one word p99", figure: "word_p99_us", per: 1e3 },
            Column { head: "two words p99", figure: "words_p99_us", per: 1e3 },
            Column { head: "open only p99", figure: "filtered_p99_us", per: 1e3 },
            Column { head: "gateway CPU ms/search", figure: "gateway_cpu_us_per_request", per: 1e3 },
            Column { head: "gateway MiB", figure: "gateway_resident_mib", per: 1.0 },
            Column { head: "ready ms", figure: "ready_ms", per: 1.0 },
            Column { head: "errors", figure: "errors", per: 1.0 },
        ]
    }

    fn run(&self, bench: &mut Bench) -> Result<Vec<Run>> {
        let words = desk::seeded(bench)?.words.clone();
        let target = bench.targets.first().context("no targets: expected at least one")?;
        match fetch::get(target, PROBE)?.status {
            200 => desk::run(bench, Searches::new(words)),
            404 => bail!("this gateway has no search: GET {PROBE} answered 404, expected 200"),
            status => bail!("GET {PROBE} answered {status}, expected 200"),
        }
    }
}
