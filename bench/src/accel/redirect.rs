//! The ways from a gateway to sessions on the same host: TCP, TCP that is redirected past the TCP stack, and
//! a Unix socket; each beside its floor, a server that does one `send(2)` for each session.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Serialize;

use crate::facts::Facts;
use crate::fanout::{self, Contest, Peer, Plan, Reach};
use crate::gateway::PushPath;
use crate::pace::{Arrivals, Rate};
use crate::result::{Figures, Run, medians};
use crate::scenario::Settings;
use crate::stop;

/// What is measured.
#[derive(Debug, clap::Args)]
pub struct RedirectArguments {
    /// Sessions that all get each message.
    #[arg(long, value_delimiter = ',', default_value = "1000,9000")]
    all: Vec<u32>,
    /// Sessions of which one gets each message; 0 leaves it out.
    #[arg(long, default_value_t = 1_000)]
    one: u32,
    /// Deliveries a second where all get each message.
    #[arg(long, default_value_t = 18_000.0)]
    deliveries: f64,
    /// Messages a second where one gets each.
    #[arg(long, default_value_t = 2_000.0)]
    rate: f64,
    /// Seconds that count, for each way in each round.
    #[arg(long, default_value_t = 5.0)]
    duration: f64,
    /// Rounds, in which all ways take turns; figures are medians.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
    rounds: u32,
    /// The binary to start [default: `waggle` beside this one].
    #[arg(long)]
    gateway: Option<PathBuf>,
    /// Keeps the result as `accel/NAME.json` and `accel/NAME.md` there.
    #[arg(long, num_args = 0..=1, default_missing_value = "redirect", value_name = "NAME")]
    save: Option<String>,
    /// Where results are.
    #[arg(long, default_value = "bench/results")]
    results_dir: PathBuf,
}

/// The ways, in the order of their turns.
const WAYS: [PushPath; 3] = [PushPath::Tcp, PushPath::Redirect, PushPath::Unix];
/// The floor's turn comes right before what it is the floor of.
const SERVERS: [Peer; 2] = [Peer::Floor, Peer::Waggle];

#[derive(Debug, Serialize)]
struct Document {
    schema: u32,
    name: String,
    duration_s: f64,
    rounds: u32,
    facts: Facts,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    /// `all` or `one`.
    to: &'static str,
    sessions: u32,
    messages_per_second: f64,
    way: PushPath,
    server: &'static str,
    median: Figures,
    /// Of the same server over TCP.
    cpu_ratio: f64,
    last_ratio: f64,
}

/// Runs all ways in turn, for each number of sessions.
///
/// # Errors
/// Where a way cannot be had, a message is lost, or what should be redirected is not.
pub fn run(arguments: &RedirectArguments) -> Result<()> {
    stop::listen()?;
    // For all ways alike: the sessions live in a cgroup of their own.
    let _place = PushPath::Redirect.place()?;
    if cfg!(debug_assertions) {
        eprintln!("this is a debug build: its figures say little");
    }
    let mut document = Document {
        schema: 1,
        name: arguments.save.clone().unwrap_or_else(|| "redirect".to_owned()),
        duration_s: arguments.duration,
        rounds: arguments.rounds,
        facts: Facts::collect(None),
        rows: Vec::new(),
    };
    println!("{HEAD}");
    let all =
        arguments.all.iter().map(|count| (Reach::All, *count, arguments.deliveries / f64::from(*count)));
    let one = (arguments.one > 0).then_some((Reach::One, arguments.one, arguments.rate));
    for (reach, sessions, rate) in all.chain(one) {
        let rows = cell(arguments, reach, sessions, rate)?;
        rows.iter().for_each(|row| print!("{}", shown(row)));
        document.rows.extend(rows);
    }
    if arguments.save.is_some() {
        save(&document, &arguments.results_dir)?;
    }
    Ok(())
}

fn cell(arguments: &RedirectArguments, reach: Reach, sessions: u32, rate: f64) -> Result<Vec<Row>> {
    let arms: Vec<(PushPath, Peer)> =
        WAYS.into_iter().flat_map(|way| SERVERS.map(|server| (way, server))).collect();
    let mut runs: Vec<Vec<Run>> = arms.iter().map(|_| Vec::new()).collect();
    for round in 0..arguments.rounds {
        for ((way, server), runs) in arms.iter().zip(&mut runs) {
            let plan = plan(arguments, reach, sessions as usize, rate, *way, *server);
            let run = fanout::once(*server, &plan, round).with_context(|| way.name())?;
            if let Some((what, count)) = run.errors.iter().next() {
                bail!("{} over {}: {count} {what}", server.name(), way.name());
            }
            let redirected = run.figures.get("redirected_messages").copied().unwrap_or_default();
            if *way == PushPath::Redirect && *server == Peer::Waggle && redirected == 0.0 {
                bail!("the gateway has redirected nothing");
            }
            runs.push(run);
        }
    }
    let medians: Vec<Figures> = runs.iter().map(|runs| medians(runs)).collect();
    let row = |(place, (way, server)): (usize, &(PushPath, Peer))| {
        let median = medians.get(place).cloned().unwrap_or_default();
        // The arms over TCP are the first of each server.
        let tcp = medians.get(place % SERVERS.len());
        let ratio = |name: &str| {
            let of = |figures: &Figures| figures.get(name).copied();
            of(&median).zip(tcp.and_then(of)).map_or(f64::NAN, |(this, tcp)| this / tcp)
        };
        let last = if reach == Reach::All { "last_p50_us" } else { "delivery_p99_us" };
        Row {
            to: if reach == Reach::All { "all" } else { "one" },
            sessions,
            messages_per_second: rate,
            way: *way,
            server: server.name(),
            cpu_ratio: ratio("gateway_cpu_us_per_delivery"),
            last_ratio: ratio(last),
            median,
        }
    };
    Ok(arms.iter().enumerate().map(row).collect())
}

fn plan(
    arguments: &RedirectArguments,
    reach: Reach,
    sessions: usize,
    rate: f64,
    path: PushPath,
    server: Peer,
) -> Plan {
    let settings = Settings {
        rate: Rate::PerSecond(rate),
        arrivals: Arrivals::Even,
        connections: 4,
        tickets: 0,
        sessions,
        warm_up_s: 1.0,
        duration_s: arguments.duration,
        repeat: 1,
        seed: 1,
        path,
        targets: 1,
        gateway_arguments: Vec::new(),
        processes: 1,
        seeded: 0,
    };
    let contest = Contest::Messages(reach);
    Plan {
        contest,
        settings,
        peers: vec![server],
        gateway: arguments.gateway.clone(),
        folder: PathBuf::new(),
    }
}

const HEAD: &str = "\
| to | sessions | way | server | CPU µs per delivery | of TCP's | p50 ms | p99 ms | last p50 ms | of TCP's |\n\
|---|---:|---|---|---:|---:|---:|---:|---:|---:|";

fn shown(row: &Row) -> String {
    let figure = |name: &str| row.median.get(name).copied().unwrap_or(f64::NAN);
    let ms = |name: &str| figure(name) / 1e3;
    let last = if row.to == "all" { format!("{:.2}", ms("last_p50_us")) } else { String::new() };
    let last_ratio = if row.to == "all" { format!("{:.2}", row.last_ratio) } else { String::new() };
    format!(
        "| {} | {} | {} | {} | {:.2} | {:.2} | {:.2} | {:.2} | {last} | {last_ratio} |\n",
        row.to,
        row.sessions,
        row.way.name(),
        row.server,
        figure("gateway_cpu_us_per_delivery"),
        row.cpu_ratio,
        ms("delivery_p50_us"),
        ms("delivery_p99_us"),
    )
}

fn save(document: &Document, results_dir: &Path) -> Result<()> {
    let dir = results_dir.join("accel");
    std::fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
    let facts = &document.facts;
    let mut text = format!(
        "# Ways to sessions on the same host\n\n\
         `waggle-bench accel-redirect`: messages of {} bytes through the gateway and through its floor (one \
         `send(2)` of the same frame for each session), over TCP, over TCP that is redirected past the TCP \
         stack, and over a Unix socket. CPU is the server's whole process; the sessions are on the same cores. \
         Medians of {} rounds of {} s, in which all ways take turns.\n\n\
         {}; {} × {}, {} MiB, Linux {}; commit {}{}.\n\n{HEAD}\n",
        fanout::TEXT_BYTES,
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
    std::fs::write(dir.join(format!("{}.md", document.name)), text)?;
    let json = serde_json::to_string(document)? + "\n";
    std::fs::write(dir.join(format!("{}.json", document.name)), json)?;
    Ok(())
}
