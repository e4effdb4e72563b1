//! Push while another host floods the gateway: without the guard and with it.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde::Serialize;

use crate::facts::Facts;
use crate::gateway::{Gateway, PushPath, Start, find_binary};
use crate::lab::{CLIENT, Flood, Kind, Pair, SERVER};
use crate::pace::{Arrivals, Rate};
use crate::result::Figures;
use crate::scenario::{self, Bench, Settings};
use crate::stop;
use crate::stream::Address;

/// Hosts that a flood comes from.
const SOURCES: u8 = 16;

/// What is measured.
#[derive(Debug, clap::Args)]
pub struct FloodArguments {
    /// Packets or connections per second; 0 is as many as one thread makes.
    #[arg(long, value_delimiter = ',', default_value = "10000,50000,0")]
    rates: Vec<u64>,
    /// Push sessions, each with a ticket of its own.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=5_000))]
    sessions: u32,
    /// Commands per second.
    #[arg(long, default_value_t = 200.0)]
    rate: f64,
    /// Seconds of each run that count.
    #[arg(long, default_value_t = 8.0)]
    duration: f64,
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
    rate: f64,
    duration_s: f64,
    facts: Facts,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    flood: String,
    guard: bool,
    sent_per_second: f64,
    errors: u64,
    figures: Figures,
}

/// Runs each flood without and with the guard.
///
/// # Errors
/// Where the laboratory or the gateway cannot be made.
pub fn run(arguments: &FloodArguments) -> Result<()> {
    stop::listen()?;
    let binary = find_binary(arguments.gateway.clone())?;
    let mut document = Document {
        schema: 1,
        sessions: arguments.sessions,
        rate: arguments.rate,
        duration_s: arguments.duration,
        facts: Facts::collect(None),
        rows: Vec::new(),
    };
    let floods = [Kind::Syn, Kind::Connections].into_iter();
    let floods = floods.flat_map(|kind| arguments.rates.iter().map(move |rate| Some((kind, *rate))));
    println!("{HEAD}");
    for flood in std::iter::once(None).chain(floods) {
        for guard in [false, true] {
            let row = one(arguments, &binary, flood, guard)?;
            print!("{}", shown(&row));
            document.rows.push(row);
        }
    }
    match &arguments.save {
        Some(name) => save(&document, name, &arguments.results_dir),
        None => Ok(()),
    }
}

fn one(arguments: &FloodArguments, binary: &Path, flood: Option<(Kind, u64)>, guard: bool) -> Result<Row> {
    let sources: Vec<_> = (1..=SOURCES).map(|last| Ipv4Addr::new(10, 233, 1, last)).collect();
    let pair = Pair::new(&sources)?;
    let config = tempfile::Builder::new().prefix("waggle-bench-").suffix(".toml").tempfile()?;
    let guarded = format!("[accel.guard]\ninterfaces = [\"wire\"]\nallow = [\"{CLIENT}/32\"]\n");
    std::fs::write(config.path(), if guard { &guarded } else { "" })?;
    let start = Start {
        binary: binary.to_owned(),
        arguments: vec!["--config".to_owned(), config.path().display().to_string()],
        parent: if Path::new("/var/tmp").is_dir() { "/var/tmp".into() } else { std::env::temp_dir() },
        path: PushPath::Tcp,
        host: SERVER,
    };
    let gateway = pair.server.within(|| Gateway::start(&start))?;
    let target = gateway.target()?;
    let Address::Tcp(SocketAddr::V4(to)) = target.push.clone() else {
        bail!("the gateway does not listen over IPv4");
    };
    let settings = Settings {
        rate: Rate::PerSecond(arguments.rate),
        arrivals: Arrivals::Poisson,
        connections: 16,
        tickets: arguments.sessions as usize,
        sessions: arguments.sessions as usize,
        // The flood is on from the beginning of the load on.
        warm_up_s: 2.0,
        duration_s: arguments.duration,
        repeat: 1,
        seed: arguments.seed,
        path: PushPath::Tcp,
        targets: 1,
        gateway_arguments: start.arguments.clone(),
    };
    let queues = gateway.queues();
    let began = Instant::now();
    let flooding = flood.map(|(kind, rate)| start_flood(&pair, kind, &sources, to, rate)).transpose()?;
    let runs = pair.client.within(move || {
        let mut bench = Bench { own: None, settings, targets: vec![target], queues, count_fsync: false };
        scenario::find("push-one").context("there is no push-one")?.run(&mut bench)
    })?;
    let sent_per_second =
        flooding.as_ref().map_or(0.0, |flood| flood.sent() as f64 / began.elapsed().as_secs_f64());
    drop(flooding);
    gateway.stop()?;
    let run = runs.into_iter().next().context("push-one gave no run")?;
    let name = match flood {
        None => "none".to_owned(),
        Some((kind, rate)) => {
            let kind = if kind == Kind::Syn { "SYN" } else { "connections" };
            let rate = if rate == 0 { "as many as can be".to_owned() } else { format!("{rate}/s") };
            format!("{kind}, {rate}")
        }
    };
    Ok(Row { flood: name, guard, sent_per_second, errors: run.errors.values().sum(), figures: run.figures })
}

fn start_flood(pair: &Pair, kind: Kind, sources: &[Ipv4Addr], to: SocketAddrV4, rate: u64) -> Result<Flood> {
    Flood::start(&pair.client, kind, sources, to, rate)
}

const HEAD: &str = "\
| flood | guard | sent/s | push p50 ms | p99 ms | p99.9 ms | max ms | gateway CPU % | errors |\n\
|---|---|---:|---:|---:|---:|---:|---:|---:|";

fn shown(row: &Row) -> String {
    let figure = |name: &str| row.figures.get(name).copied().unwrap_or(f64::NAN);
    format!(
        "| {} | {} | {:.0} | {:.2} | {:.1} | {:.1} | {:.1} | {:.0} | {} |\n",
        row.flood,
        if row.guard { "on" } else { "off" },
        row.sent_per_second,
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
         flood comes from {SOURCES} addresses over the same wire (a veth pair), made by one thread on the same \
         {} cores; the measuring client's address is allowed. One run of {} s each.\n\n\
         {}; {} × {}, {} MiB, Linux {}; commit {}{}.\n\n{HEAD}\n",
        document.sessions,
        document.rate,
        facts.cores,
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
