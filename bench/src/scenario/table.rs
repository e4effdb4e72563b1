//! Many clients that stay connected and together offer a fixed load, half of it durable.

use anyhow::{Result, bail};

use super::{Bench, Column, Data, Scenario, Shape, desk, loaded};
use crate::desk::{Crew, Share};
use crate::load::Load;
use crate::pace::Rate;
use crate::process::{Probe, check_descriptors};
use crate::result::Run;
use crate::stream::Address;
use crate::target::Target;
use crate::tickets::Ticket;

/// Connections that create the tickets, before the run.
const PREPARING: u32 = 64;
/// A gateway's memory is read when it has been left alone for this long.
const SETTLE: std::time::Duration = std::time::Duration::from_secs(1);

/// See the module.
#[derive(Debug)]
pub(super) struct Table;

impl Scenario for Table {
    fn name(&self) -> &'static str {
        "table"
    }

    fn about(&self) -> &'static str {
        "keep-alive clients that together offer 20,000 requests/s, half durable moves and half reads, from several processes: mean and p99"
    }

    fn defaults(&self) -> Shape {
        Shape { rate: Rate::PerSecond(20_000.0), connections: 5_000, tickets: 4_096, sessions: 0 }
    }

    fn data(&self) -> Data {
        Data::Either
    }

    fn headline(&self) -> &'static str {
        "mean_us"
    }

    fn columns(&self) -> &'static [Column] {
        &[
            Column { head: "requests/s", figure: "requests_per_second", per: 1.0 },
            Column { head: "mean ms", figure: "mean_us", per: 1e3 },
            Column { head: "p50 ms", figure: "request_p50_us", per: 1e3 },
            Column { head: "p99 ms", figure: "request_p99_us", per: 1e3 },
            Column { head: "p99.9 ms", figure: "request_p999_us", per: 1e3 },
            Column { head: "max ms", figure: "request_max_us", per: 1e3 },
            Column { head: "move mean ms", figure: "answer_mean_us", per: 1e3 },
            Column { head: "read mean ms", figure: "read_mean_us", per: 1e3 },
            Column { head: "gateway CPU %", figure: "gateway_cpu_percent", per: 1.0 },
            Column { head: "generators CPU %", figure: "generator_cpu_percent", per: 1.0 },
            Column { head: "KiB/connection", figure: "gateway_bytes_per_connection", per: 1024.0 },
            Column { head: "errors", figure: "errors", per: 1.0 },
        ]
    }

    fn run(&self, bench: &mut Bench) -> Result<Vec<Run>> {
        let settings = &bench.settings;
        check_descriptors(0, settings.connections, bench.targets.len())?;
        let probe = Probe::new(bench.targets.iter().filter_map(|target| target.pid).collect());
        let whole = Share {
            targets: bench.targets.iter().map(plain).collect::<Result<_>>()?,
            connections: settings.connections,
            first_client: 0,
            rate: settings.rate,
            arrivals: settings.arrivals,
            warm_up_s: settings.warm_up_s,
            duration_s: settings.duration_s,
            seed: settings.seed,
            tickets: tickets(bench)?,
        };
        std::thread::sleep(SETTLE);
        let before = probe.resident_bytes();
        let mut crew = Crew::start(&whole.split(settings.processes)?)?;
        std::thread::sleep(SETTLE);
        let growth = probe.resident_bytes().zip(before).map(|(after, before)| after as f64 - before as f64);
        let bytes_per_connection = growth.map(|growth| growth / f64::from(settings.connections));
        let mut runs = Vec::new();
        for number in 1..=settings.repeat {
            let mut run = desk::measured(bench, number, |mark| crew.run(mark))?;
            run.add("gateway_bytes_per_connection", bytes_per_connection);
            runs.push(run);
        }
        Ok(runs)
    }
}

/// Makes what is moved and read.
fn tickets(bench: &Bench) -> Result<Vec<Ticket>> {
    let settings = &bench.settings;
    let mut load = Load::connect(&bench.targets, PREPARING, settings.seed)?;
    loaded::prepare_tickets(bench, &mut load)?;
    Ok(load.tickets().collect())
}

/// A target as another process is told of it.
fn plain(target: &Target) -> Result<(std::net::SocketAddr, String, Vec<String>)> {
    let Address::Tcp(address) = target.api else {
        bail!("the clients of table come over plain TCP: run it with --path tcp");
    };
    Ok((address, target.host.clone(), target.tokens.clone()))
}
