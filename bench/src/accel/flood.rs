//! Push while another host floods the gateway: without the guard and with it, in turn.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde::Serialize;

use super::arrivals::Arrived;
use crate::facts::Facts;
use crate::gateway::{Gateway, PushPath, Start, find_binary};
use crate::lab::{CLIENT, Flood, Kind, Pair, SERVER, STRANGERS};
use crate::pace::{Arrivals, Rate};
use crate::result::{Figures, Run, medians};
use crate::scenario::{self, Bench, Settings};
use crate::stop;
use crate::stream::Address;

/// Hosts that a flood comes from.
const SOURCES: u8 = 16;
/// Before what counts; the flood is on from the beginning of it.
const WARM_UP_S: f64 = 2.0;

/// What is measured.
#[derive(Debug, clap::Args)]
pub struct FloodArguments {
    /// SYN segments per second, from 16 sources, and each from another one.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "10000,80000",
        value_parser = clap::value_parser!(u64).range(1..=1_000_000)
    )]
    syns: Vec<u64>,
    /// Connections per second.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "5000,20000",
        value_parser = clap::value_parser!(u64).range(1..=1_000_000)
    )]
    connections: Vec<u64>,
    /// Push sessions, each with a ticket of its own.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=5_000))]
    sessions: u32,
    /// Commands per second.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
    /// Seconds of each run that count.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=60))]
    duration: u32,
    /// Runs of each flood without the guard and with it, in turn; figures are medians.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
    rounds: u32,
    /// Of arrivals.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The binary to start [default: `waggle` beside this one].
    #[arg(long)]
    gateway: Option<PathBuf>,
    /// Keeps the result as `accel/NAME.json` and `accel/NAME.md` there.
    #[arg(long, num_args = 0..=1, default_missing_value = "flood", value_name = "NAME")]
    save: Option<String>,
    /// Where results are.
    #[arg(long, default_value = "bench/results")]
    results_dir: PathBuf,
}

#[derive(Debug, Serialize)]
struct Document {
    schema: u32,
    sessions: u32,
    rate: u32,
    duration_s: u32,
    rounds: u32,
    facts: Facts,
    rows: Vec<Row>,
}

/// One flood in one arm.
#[derive(Debug, Serialize)]
struct Row {
    flood: String,
    guard: bool,
    /// Of all rounds.
    errors: u64,
    /// Medians.
    figures: Figures,
    rounds: Vec<Figures>,
}

/// Runs each flood without and with the guard, in turn.
///
/// # Errors
/// Where the laboratory or the gateway cannot be made.
pub fn run(arguments: &FloodArguments) -> Result<()> {
    stop::listen()?;
    let binary = find_binary(arguments.gateway.clone())?;
    let mut document = Document {
        schema: 2,
        sessions: arguments.sessions,
        rate: arguments.rate,
        duration_s: arguments.duration,
        rounds: arguments.rounds,
        facts: Facts::collect(None),
        rows: Vec::new(),
    };
    let of = |kind, rates: &[u64]| rates.iter().map(|rate| Some((kind, *rate))).collect::<Vec<_>>();
    let floods = [
        vec![None],
        of(Kind::Syn, &arguments.syns),
        of(Kind::SynFromStrangers, &arguments.syns),
        of(Kind::Connections, &arguments.connections),
    ];
    println!("{HEAD}");
    for flood in floods.concat() {
        for row in both_arms(arguments, &binary, flood)? {
            print!("{}", shown(&row));
            document.rows.push(row);
        }
    }
    match &arguments.save {
        Some(name) => save(&document, name, &arguments.results_dir),
        None => Ok(()),
    }
}

fn both_arms(arguments: &FloodArguments, binary: &Path, flood: Option<(Kind, u64)>) -> Result<[Row; 2]> {
    let (mut off, mut on) = (Vec::new(), Vec::new());
    for round in 0..arguments.rounds {
        // Whichever goes first may find the machine in another state.
        let first = round % 2 == 1;
        for guard in [first, !first] {
            let run = one(arguments, binary, flood, guard)?;
            if guard { &mut on } else { &mut off }.push(run);
        }
    }
    Ok([(false, off), (true, on)].map(|(guard, runs)| Row {
        flood: name(flood),
        guard,
        errors: runs.iter().flat_map(|run| run.errors.values()).sum(),
        figures: medians(&runs),
        rounds: runs.into_iter().map(|run| run.figures).collect(),
    }))
}

fn one(arguments: &FloodArguments, binary: &Path, flood: Option<(Kind, u64)>, guard: bool) -> Result<Run> {
    let sources: Vec<_> = (1..=SOURCES).map(|last| Ipv4Addr::new(10, 233, 1, last)).collect();
    let pair = Pair::new(&sources)?;
    pair.know_strangers()?;
    let config = tempfile::Builder::new().prefix("waggle-bench-").suffix(".toml").tempfile()?;
    let guarded = format!("[accel.guard]\ninterfaces = [\"wire\"]\nallow = [\"{CLIENT}/32\"]\n");
    std::fs::write(config.path(), if guard { &guarded } else { "" })?;
    let start = Start {
        binary: binary.to_owned(),
        arguments: vec!["--config".to_owned(), config.path().display().to_string()],
        parent: if Path::new("/var/tmp").is_dir() { "/var/tmp".into() } else { std::env::temp_dir() },
        path: PushPath::Tcp,
        host: SERVER,
        seeded: None,
    };
    let gateway = pair.server.within(|| Gateway::start(&start))?;
    let target = gateway.target()?;
    let Address::Tcp(SocketAddr::V4(to)) = target.push.clone() else {
        bail!("the gateway does not listen over IPv4");
    };
    let settings = Settings {
        rate: Rate::PerSecond(arguments.rate.into()),
        arrivals: Arrivals::Poisson,
        connections: 16,
        tickets: arguments.sessions as usize,
        sessions: arguments.sessions as usize,
        warm_up_s: WARM_UP_S,
        duration_s: arguments.duration.into(),
        repeat: 1,
        seed: arguments.seed,
        path: PushPath::Tcp,
        targets: 1,
        gateway_arguments: start.arguments.clone(),
        processes: 1,
        seeded: 0,
    };
    let queues = gateway.queues();
    let before = Arrived::read(&pair, &target)?;
    let began = Instant::now();
    let flooding =
        flood.map(|(kind, rate)| Flood::start(&pair.client, kind, &sources, to, rate)).transpose()?;
    let measured = target.clone();
    let runs = pair.client.within(move || {
        let mut bench =
            Bench { own: None, settings, targets: vec![measured], queues, count_fsync: false, seeded: None };
        scenario::find("push-one").context("there is no push-one")?.run(&mut bench)
    })?;
    let sent = flooding.as_ref().map_or(0, Flood::sent);
    drop(flooding);
    let seconds = began.elapsed().as_secs_f64();
    let arrived = Arrived::read(&pair, &target)?.since(&before);
    gateway.stop()?;
    let mut run = runs.into_iter().next().context("push-one gave no run")?;
    for (name, count) in [("sent", sent), ("arrived", arrived.packets), ("dropped", arrived.dropped)] {
        run.add(&format!("{name}_per_second"), Some(count as f64 / seconds));
    }
    Ok(run)
}

fn name(flood: Option<(Kind, u64)>) -> String {
    let Some((kind, rate)) = flood else { return "none".to_owned() };
    let kind = match kind {
        Kind::Syn => "SYN",
        Kind::SynFromStrangers => "SYN, each of another source",
        Kind::Connections => "connections",
    };
    format!("{kind}, {rate}/s")
}

const HEAD: &str = "\
| flood | guard | sent/s | packets came/s | of them dropped/s | push p50 ms | p99 ms | p99.9 ms | max ms | gateway CPU % | errors |\n\
|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|";

fn shown(row: &Row) -> String {
    let figure = |name: &str| row.figures.get(name).copied().unwrap_or(f64::NAN);
    format!(
        "| {} | {} | {:.0} | {:.0} | {:.0} | {:.2} | {:.1} | {:.1} | {:.1} | {:.0} | {} |\n",
        row.flood,
        if row.guard { "on" } else { "off" },
        figure("sent_per_second"),
        figure("arrived_per_second"),
        figure("dropped_per_second"),
        figure("delivery_p50_us") / 1e3,
        figure("delivery_p99_us") / 1e3,
        figure("delivery_p999_us") / 1e3,
        figure("delivery_max_us") / 1e3,
        figure("gateway_cpu_percent"),
        row.errors
    )
}

fn save(document: &Document, name: &str, results_dir: &Path) -> Result<()> {
    let dir = results_dir.join("accel");
    std::fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
    let facts = &document.facts;
    let mut text = format!(
        "# Push while another host floods the gateway\n\n\
         `waggle-bench accel-flood`: {} sessions, each with a ticket of its own; {} durable commands a second; the \
         flood comes from {SOURCES} addresses, or each packet from another one of {STRANGERS}, over the same wire (a \
         veth pair), made by one thread on the same {} cores; the measuring client's address is allowed. Medians of {} \
         runs of {} s, the guard off and on in turn. Sent: segments that the flooding kernel took, or connections that \
         it began. Came: all packets that reached the gateway's host, the push load's included.\n\n\
         {}; {} × {}, {} MiB, Linux {}; commit {}{}.\n\n{HEAD}\n",
        document.sessions,
        document.rate,
        facts.cores,
        document.rounds,
        document.duration_s,
        facts.date,
        facts.cores,
        facts.cpu,
        facts.memory_mib,
        facts.kernel,
        facts.git_revision,
        if facts.git_dirty { " with changes" } else { "" },
    );
    for row in &document.rows {
        // Writing to a String does not fail.
        let _ = write!(text, "{}", shown(row));
    }
    std::fs::write(dir.join(format!("{name}.md")), text)?;
    std::fs::write(dir.join(format!("{name}.json")), serde_json::to_string(document)? + "\n")?;
    Ok(())
}
