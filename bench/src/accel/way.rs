//! The whole way, from a ticket command to the agent's screen, between two hosts whose wire loses packets.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Serialize;
use waggle_accel::{Accel, AccelConfig, Leg, Mode};

use crate::facts::Facts;
use crate::gateway::{Gateway, PushPath, Start, find_binary};
use crate::lab::{Lab, Loss, SERVER, Wire};
use crate::pace::{Arrivals, Rate};
use crate::result::{Figures, medians};
use crate::scenario::{self, Bench, Settings};
use crate::stop;
use crate::stream::Address;

/// What is measured.
#[derive(Debug, clap::Args)]
pub struct WayArguments {
    /// Percent of packets with data that are lost, in both directions.
    #[arg(long, default_value_t = 3.0)]
    loss: f64,
    /// Round-trip times of the wire, in milliseconds.
    #[arg(long, value_delimiter = ',', default_value = "0,20")]
    rtt_ms: Vec<u64>,
    /// Push sessions, each with a ticket of its own.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=5_000))]
    sessions: u32,
    /// Commands per second, to all of them in turn.
    #[arg(long, default_value_t = 200.0)]
    rate: f64,
    /// Seconds of each run that count.
    #[arg(long, default_value_t = 20.0)]
    duration: f64,
    /// Runs of each arm, in turn; figures are medians.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
    rounds: u32,
    /// Of losses and arrivals.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The binary to start [default: `waggle` beside this one].
    #[arg(long)]
    gateway: Option<PathBuf>,
    /// Keeps the result as `accel/NAME.json` and `accel/NAME.md` there.
    #[arg(long, num_args = 0..=1, default_missing_value = "way", value_name = "NAME")]
    save: Option<String>,
    /// Where results are.
    #[arg(long, default_value = "bench/results")]
    results_dir: PathBuf,
}

/// What is accelerated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Arm {
    /// Nothing.
    Off,
    /// The gateway's connections, as agents': the other kernel is not ours.
    Server,
    /// Both ends, as between nodes of one's own.
    Both,
}

impl Arm {
    const ALL: [Self; 3] = [Self::Off, Self::Server, Self::Both];

    fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Server => "gateway's end (agent leg)",
            Self::Both => "both ends (mesh leg)",
        }
    }
}

#[derive(Debug, Serialize)]
struct Document {
    schema: u32,
    name: String,
    loss_percent: f64,
    sessions: u32,
    rate: f64,
    duration_s: f64,
    rounds: u32,
    facts: Facts,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    rtt_ms: u64,
    arm: Arm,
    median: Figures,
}

/// Runs all arms in turn, for each round-trip time.
///
/// # Errors
/// Where the laboratory or the gateway cannot be made, or a session misses an event.
pub fn run(arguments: &WayArguments) -> Result<()> {
    stop::listen()?;
    if !(0.0..=20.0).contains(&arguments.loss) {
        bail!("--loss {}: expected a percentage up to 20", arguments.loss);
    }
    let binary = find_binary(arguments.gateway.clone())?;
    let mut document = Document {
        schema: 1,
        name: arguments.save.clone().unwrap_or_else(|| "way".to_owned()),
        loss_percent: arguments.loss,
        sessions: arguments.sessions,
        rate: arguments.rate,
        duration_s: arguments.duration,
        rounds: arguments.rounds,
        facts: Facts::collect(None),
        rows: Vec::new(),
    };
    println!("{HEAD}");
    for rtt_ms in &arguments.rtt_ms {
        let mut runs = Arm::ALL.map(|_| Vec::new());
        for round in 0..arguments.rounds {
            for (arm, runs) in Arm::ALL.into_iter().zip(&mut runs) {
                runs.extend(one(arguments, &binary, *rtt_ms, arm, round)?);
            }
        }
        for (arm, runs) in Arm::ALL.into_iter().zip(&runs) {
            let row = Row { rtt_ms: *rtt_ms, arm, median: medians(runs) };
            print!("{}", shown(&row));
            document.rows.push(row);
        }
    }
    if arguments.save.is_some() {
        save(&document, &arguments.results_dir)?;
    }
    Ok(())
}

fn one(
    arguments: &WayArguments,
    binary: &Path,
    rtt_ms: u64,
    arm: Arm,
    round: u32,
) -> Result<Vec<crate::result::Run>> {
    // Before any socket of the clients. Only the arm with both ends does anything to them.
    let mode = if arm == Arm::Both { Mode::Auto } else { Mode::Off };
    let accel = Accel::start(AccelConfig { mode, ..AccelConfig::default() })?;
    let share = arguments.loss / 100.0;
    let loss = Loss { share, outage: Duration::ZERO };
    let one_way = Duration::from_millis(rtt_ms) / 2;
    let seed = arguments.seed.wrapping_add(round.into());
    let lab = Lab::new(Wire { one_way, to_client: loss, to_server: loss, seed })?;
    let config = tempfile::Builder::new().prefix("waggle-bench-").suffix(".toml").tempfile()?;
    let legs = "[accel.legs.mesh]\nnetworks = [\"10.233.0.0/24\"]\n";
    std::fs::write(config.path(), if arm == Arm::Both { legs } else { "" })?;
    let given = config.path().display().to_string();
    let accel_mode = if arm == Arm::Off { "off" } else { "auto" };
    let start = Start {
        binary: binary.to_owned(),
        arguments: ["--config", &given, "--accel", accel_mode].map(str::to_owned).to_vec(),
        parent: if Path::new("/var/tmp").is_dir() { "/var/tmp".into() } else { std::env::temp_dir() },
        path: PushPath::Tcp,
        host: SERVER,
        seeded: None,
    };
    let gateway = lab.server.within(|| Gateway::start(&start))?;
    let target = gateway.target()?;
    for address in [&target.api, &target.push] {
        if let Address::Tcp(address) = address {
            accel.set_port(Leg::Mesh, address.port())?;
        }
    }
    let settings = Settings {
        rate: Rate::PerSecond(arguments.rate),
        arrivals: Arrivals::Poisson,
        connections: 16,
        tickets: arguments.sessions as usize,
        sessions: arguments.sessions as usize,
        warm_up_s: 2.0,
        duration_s: arguments.duration,
        repeat: 1,
        seed,
        path: PushPath::Tcp,
        targets: 1,
        gateway_arguments: start.arguments.clone(),
        processes: 1,
        seeded: 0,
    };
    let queues = gateway.queues();
    let runs = lab.client.within(move || {
        let mut bench =
            Bench { own: None, settings, targets: vec![target], queues, count_fsync: false, seeded: None };
        scenario::find("push-one").context("there is no push-one")?.run(&mut bench)
    })?;
    gateway.stop()?;
    if let Some(error) = runs.iter().find_map(|run| run.first_error.as_ref()) {
        bail!("{} at {rtt_ms} ms: {error}", arm.name());
    }
    Ok(runs)
}

const HEAD: &str = "\
| RTT ms | accelerated | p50 ms | p90 ms | p99 ms | p99.9 ms | max ms | answers p99 ms |\n\
|---|---|---|---|---|---|---|---|";

fn shown(row: &Row) -> String {
    let ms = |name: &str| row.median.get(name).map_or(f64::NAN, |us| us / 1e3);
    format!(
        "| {} | {} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} |\n",
        row.rtt_ms,
        row.arm.name(),
        ms("delivery_p50_us"),
        ms("delivery_p90_us"),
        ms("delivery_p99_us"),
        ms("delivery_p999_us"),
        ms("delivery_max_us"),
        ms("answer_p99_us")
    )
}

fn save(document: &Document, results_dir: &Path) -> Result<()> {
    let dir = results_dir.join("accel");
    std::fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
    let facts = &document.facts;
    let mut text = format!(
        "# From a ticket command to the agent's screen, between two hosts\n\n\
         `waggle-bench accel-way`: {} % of packets with data are lost in both directions; {} sessions, each with \
         a ticket of its own; {} durable commands a second over 16 connections, Poisson arrivals; from the \
         intended sending of a command to the agent's frame; medians of {} runs of {} s, arms in turn.\n\n\
         {}; {} × {}, {} MiB, Linux {}; commit {}{}.\n\n{HEAD}\n",
        document.loss_percent,
        document.sessions,
        document.rate,
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
