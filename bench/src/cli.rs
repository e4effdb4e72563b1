//! The command line.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::facts::{Facts, file_system};
use crate::fanout::{self, Peer, Plan};
use crate::gateway::{Gateway, PushPath, Start, find_binary};
use crate::pace::{Arrivals, Rate};
use crate::process::Probe;
use crate::result::{Document, Run, SCHEMA, medians};
use crate::scenario::{
    self, Bench, Data, Own, SCENARIOS, SIGNAL_ALL, SIGNAL_ONE, Scenario, Settings, Versus,
};
use crate::scrape::Counters;
use crate::seed::Seeded;
use crate::stream::Address;
use crate::target::Target;
use crate::{accel, desk, learn, report, seed, stop};

/// Between two looks at how many texts are not searchable yet.
const SEARCHABLE_LOOK: Duration = Duration::from_millis(200);
/// Of these, for each line that says so.
const SEARCHABLE_LOOKS_PER_LINE: u32 = 50;

/// Measures Waggle: open-loop load with latencies from the intended send time.
#[derive(Debug, Parser)]
#[command(name = "waggle-bench", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Lists the scenarios.
    List,
    /// Runs one scenario.
    Run(Box<RunArguments>),
    /// Sends ephemeral messages through Waggle and other push servers, in turn.
    Compare(Box<CompareArguments>),
    /// Sends thin streams over a wire that loses packets, with and without the legs' profiles; needs root.
    AccelLoss(Box<accel::LossArguments>),
    /// Runs `push-one` while another host floods the gateway, with and without the guard; needs root.
    AccelFlood(Box<accel::FloodArguments>),
    /// Sends ephemeral messages over TCP, redirected past TCP, and over a Unix socket, in turn; needs root.
    AccelRedirect(Box<accel::RedirectArguments>),
    /// Measures what the guard's program costs for a packet; needs root.
    AccelVerdict(Box<accel::VerdictArguments>),
    /// Runs `push-one` between two hosts whose wire loses packets, with everything off and on; needs root.
    AccelWay(Box<accel::WayArguments>),
    /// Learns intents from messages with labels: accuracy, curves, few examples, speed, beside other learners.
    Learn(Box<learn::LearnArguments>),
    /// Simulates a quarter: dialogues week by week, new intents, and agents who accept, edit and correct.
    LearnQuarter(Box<learn::QuarterArguments>),
    /// Measures the way from a customer's message to the suggestion on the agent's screen, with other traffic.
    Suggest(Box<learn::SuggestArguments>),
    /// Makes a data directory with two years of tickets, for `run … --seeded`.
    Seed(seed::SeedArguments),
    /// Serves as the floor of `compare`.
    #[command(hide = true)]
    ServeFloor(FloorArguments),
    /// Serves as the naive peer of `compare`.
    #[command(hide = true)]
    ServeNaive {
        /// Where to listen.
        address: std::net::SocketAddr,
    },
    /// Drives a part of the load of `table`, which comes from several processes.
    #[command(hide = true)]
    DriveTable,
    /// Makes README.md and the plots anew from all results.
    Report {
        /// Where results are.
        #[arg(long, default_value = "bench/results")]
        results_dir: PathBuf,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A short table.
    Human,
    /// The whole result.
    Json,
}

#[derive(Debug, Args)]
struct RunArguments {
    /// As `list` names it.
    scenario: String,
    /// Commands per second in open loop, or `max`: closed loop.
    #[arg(long)]
    rate: Option<Rate>,
    /// How open-loop commands are spaced.
    #[arg(long, value_enum, default_value = "even")]
    arrivals: Arrivals,
    /// Keep-alive connections for commands.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    connections: Option<u32>,
    /// Processes that the load of `table` comes from.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    processes: u32,
    /// Tickets that are moved.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    tickets: Option<u32>,
    /// Push sessions.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    sessions: Option<u32>,
    /// Seconds that count; each scenario has its own default.
    #[arg(long, value_parser = seconds)]
    duration: Option<f64>,
    /// Seconds of load before them.
    #[arg(long, default_value_t = 2.0, value_parser = seconds)]
    warm_up: f64,
    /// Runs, of which figures are medians.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    repeat: u32,
    /// Fixes all randomness.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The path from sessions to the gateway.
    #[arg(long, value_enum, default_value = "tcp")]
    path: PushPath,
    /// The binary to start [default: `waggle` beside this one].
    #[arg(long)]
    gateway: Option<PathBuf>,
    /// One more argument for it; may be given again.
    #[arg(long = "gateway-arg", allow_hyphen_values = true)]
    gateway_arguments: Vec<String>,
    /// Where the gateway's data directory is made [default: the temporary directory, or /var/tmp where
    /// that is in memory].
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// A directory that `waggle-bench seed` has made: the gateway serves a copy of it. With --target, what the
    /// running gateways serve a fresh copy of.
    #[arg(long, visible_alias = "data-dir-from", conflicts_with = "peers")]
    seeded: Option<PathBuf>,
    /// Running gateways (`http://host:port`) instead of one of the bench's own; may be given again.
    #[arg(long, requires = "token", value_delimiter = ',')]
    target: Vec<String>,
    /// An agent's token at the targets.
    #[arg(long, env = "WAGGLE_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// The targets' processes, in the same order, for CPU and memory.
    #[arg(long, value_delimiter = ',')]
    pid: Vec<u32>,
    /// A queue at the targets; may be given again.
    #[arg(long, default_value = "1")]
    queue: Vec<u32>,
    /// Puts the same question to other push servers, in turn with this one; what is missing is installed
    /// (apt-get, pip, npm).
    #[arg(long, value_enum, num_args = 0.., value_delimiter = ',', conflicts_with_all = ["target", "count_fsync"])]
    peers: Option<Vec<Peer>>,
    /// Where they are installed.
    #[arg(long, default_value = "target/peers")]
    peers_dir: PathBuf,
    /// Counts fdatasync and fsync calls in a short phase of its own, with strace.
    #[arg(long)]
    count_fsync: bool,
    /// Keeps the result, under this name or the scenario's.
    #[arg(long, num_args = 0..=1, default_missing_value = "", value_name = "NAME")]
    save: Option<String>,
    /// Where results are kept.
    #[arg(long, default_value = "bench/results")]
    results_dir: PathBuf,
    /// What to print.
    #[arg(long, value_enum, default_value = "human")]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum To {
    /// Each message to all sessions.
    All,
    /// Each message to one of them.
    One,
}

#[derive(Debug, Args)]
struct CompareArguments {
    /// To whom each message goes.
    #[arg(value_enum)]
    to: To,
    /// Servers, in this order; what is missing is installed (apt-get, pip, npm).
    #[arg(long, value_enum, value_delimiter = ',', default_value = "floor,waggle,nchan,nats,socketio,naive")]
    peers: Vec<Peer>,
    /// Messages per second.
    #[arg(long)]
    rate: Option<Rate>,
    /// Sessions.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    sessions: Option<u32>,
    /// Seconds that count, for each server in each round.
    #[arg(long, default_value_t = 5.0, value_parser = seconds)]
    duration: f64,
    /// Seconds of load before them.
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    warm_up: f64,
    /// Rounds, of which figures are medians.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    repeat: u32,
    /// Fixes all randomness.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The path from sessions to the servers.
    #[arg(long, value_enum, default_value = "tcp")]
    path: PushPath,
    /// Waggle's binary [default: `waggle` beside this one].
    #[arg(long)]
    gateway: Option<PathBuf>,
    /// One more argument for it; may be given again.
    #[arg(long = "gateway-arg", allow_hyphen_values = true)]
    gateway_arguments: Vec<String>,
    /// Where peers are installed.
    #[arg(long, default_value = "target/peers")]
    peers_dir: PathBuf,
    /// Keeps the results, one for each server, under this name or the scenario's.
    #[arg(long, num_args = 0..=1, default_missing_value = "", value_name = "NAME")]
    save: Option<String>,
    /// Where results are kept.
    #[arg(long, default_value = "bench/results")]
    results_dir: PathBuf,
}

#[derive(Debug, Args)]
struct FloorArguments {
    /// Where sessions come.
    #[arg(long)]
    tcp: Option<std::net::SocketAddr>,
    /// Where sessions come, instead.
    #[arg(long)]
    unix: Option<PathBuf>,
    /// Where the publisher comes.
    #[arg(long)]
    publisher: std::net::SocketAddr,
    /// How many sessions there will be.
    #[arg(long)]
    sessions: usize,
    /// Each message goes to all.
    #[arg(long)]
    broadcast: bool,
    /// Redirects what is sent to sessions that live in this cgroup.
    #[arg(long)]
    redirect_from: Option<PathBuf>,
}

fn seconds(text: &str) -> Result<f64, String> {
    let range = 0.0..=3_600.0;
    let seconds = text.trim_end_matches('s').parse::<f64>().ok().filter(|seconds| range.contains(seconds));
    seconds.ok_or_else(|| format!("{text:?}: expected seconds from 0 to 3600"))
}

/// Does what the command line says.
///
/// # Errors
/// Where it cannot be done, or commands failed.
pub fn run(cli: Cli) -> Result<()> {
    match cli.command {
        Action::List => {
            for scenario in SCENARIOS {
                println!("{:<12}{}", scenario.name(), scenario.about());
            }
            Ok(())
        }
        Action::Run(arguments) => run_scenario(&arguments),
        Action::Compare(arguments) => compare(&arguments),
        Action::ServeFloor(arguments) => {
            let FloorArguments { tcp, unix, publisher, sessions, broadcast, redirect_from } = arguments;
            let _redirect = redirect_from.map(|from| fanout::floor::redirect(from, tcp)).transpose()?;
            let address = tcp.map(Address::Tcp).or(unix.map(Address::Unix)).context("--tcp or --unix")?;
            fanout::floor::serve(&address, &Address::Tcp(publisher), sessions, broadcast)
        }
        Action::Learn(arguments) => learn::run(&arguments),
        Action::LearnQuarter(arguments) => learn::run_quarter(&arguments),
        Action::Suggest(arguments) => learn::run_suggest(&arguments),
        Action::Seed(arguments) => seed::run(&arguments),
        Action::DriveTable => desk::drive_share(),
        Action::ServeNaive { address } => fanout::naive::serve(address),
        Action::AccelLoss(arguments) => accel::run_loss(&arguments),
        Action::AccelVerdict(arguments) => accel::run_verdict(&arguments),
        Action::AccelFlood(arguments) => accel::run_flood(&arguments),
        Action::AccelRedirect(arguments) => accel::run_redirect(&arguments),
        Action::AccelWay(arguments) => accel::run_way(&arguments),
        Action::Report { results_dir } => write_report(&results_dir),
    }
}

fn compare(arguments: &CompareArguments) -> Result<()> {
    let scenario = match arguments.to {
        To::All => &SIGNAL_ALL,
        To::One => &SIGNAL_ONE,
    };
    let shape = scenario.defaults();
    let settings = Settings {
        rate: arguments.rate.unwrap_or(shape.rate),
        arrivals: Arrivals::Even,
        connections: shape.connections,
        tickets: 0,
        sessions: arguments.sessions.map_or(shape.sessions, |count| count as usize),
        warm_up_s: arguments.warm_up,
        duration_s: arguments.duration,
        repeat: arguments.repeat,
        seed: arguments.seed,
        path: arguments.path,
        targets: 1,
        gateway_arguments: arguments.gateway_arguments.clone(),
        processes: 1,
        seeded: 0,
    };
    let (peers, folder) = (arguments.peers.clone(), arguments.peers_dir.clone());
    let plan =
        Plan { contest: scenario.contest(), settings, peers, gateway: arguments.gateway.clone(), folder };
    contest(&plan, scenario, arguments.save.as_deref(), &arguments.results_dir)
}

/// `run … --peers`: what `compare` does, with the sizes of the contest that belongs to the scenario.
fn run_peers(arguments: &RunArguments, versus: &Versus, peers: &[Peer]) -> Result<()> {
    let mut peers = peers.to_vec();
    if peers.is_empty() {
        let all = Peer::value_variants().iter().copied();
        peers = all.filter(|peer| peer.has(arguments.path) && peer.takes_part(versus.contest())).collect();
    }
    let settings = settings(arguments, versus, 1);
    let (gateway, folder) = (arguments.gateway.clone(), arguments.peers_dir.clone());
    let plan = Plan { contest: versus.contest(), settings, peers, gateway, folder };
    contest(&plan, versus, arguments.save.as_deref(), &arguments.results_dir)
}

fn contest(plan: &Plan, scenario: &Versus, save_as: Option<&str>, results_dir: &Path) -> Result<()> {
    stop::listen()?;
    if cfg!(debug_assertions) {
        eprintln!("this is a debug build: its figures say little");
    }
    let name = save_as.filter(|name| !name.is_empty()).unwrap_or(scenario.name());
    let _place = plan.settings.path.place()?;
    let documents = fanout::run(plan, scenario, name)?;
    for document in &documents {
        println!("{}", document.name);
        print!("{}", report::summary(document, scenario.columns()));
        if save_as.is_some() {
            save(document, scenario, results_dir)?;
        }
    }
    if save_as.is_some() {
        report::sides(&documents, scenario, results_dir)?;
    }
    Ok(())
}

fn run_scenario(arguments: &RunArguments) -> Result<()> {
    let Some(scenario) = scenario::find(&arguments.scenario) else {
        let names: Vec<_> = SCENARIOS.iter().map(|scenario| scenario.name()).collect();
        bail!("no scenario {:?}; expected one of {}", arguments.scenario, names.join(", "));
    };
    if arguments.duration == Some(0.0) {
        bail!("--duration 0: expected more than no time");
    }
    if let Some(peers) = &arguments.peers {
        match scenario.versus() {
            Ok(versus) => return run_peers(arguments, versus, peers),
            Err(reason) => eprintln!("{} with Waggle alone: {reason}", scenario.name()),
        }
    }
    stop::listen()?;
    let _place = arguments.path.place()?;
    let seeded = seeded(arguments, scenario)?;
    let own =
        if arguments.target.is_empty() { Some(start(arguments, scenario, seeded.clone())?) } else { None };
    let targets = match &own {
        Some(own) => vec![own.gateway.target()?],
        None => targets(arguments)?,
    };
    let facts = Facts::collect(own.as_ref().map(|own| own.gateway.data_dir()));
    if cfg!(debug_assertions) {
        eprintln!("this is a debug build: its figures say little");
    }
    let queues = own.as_ref().map_or_else(|| arguments.queue.clone(), |own| own.gateway.queues());
    let seeded = seeded.map(|seeded| seeded.manifest);
    let mut settings = settings(arguments, scenario, targets.len());
    if let Some(manifest) = &seeded {
        settings.seeded = manifest.sizes.tickets;
        if scenario.data() == Data::Either {
            let most = arguments.tickets.map_or(usize::MAX, |tickets| tickets as usize);
            settings.tickets = manifest.to_move(most).len();
        }
    }
    let count_fsync = arguments.count_fsync;
    let mut bench = Bench { own, settings, targets, queues, count_fsync, seeded };
    if bench.seeded.is_some() {
        wait_searchable(&bench.targets)?;
    }
    let mut runs = scenario.run(&mut bench)?;
    add_start(&bench, &mut runs);
    // A gateway that does not end well is an error, yet the figures are worth a look.
    let stopped = bench.own.map_or(Ok(()), |own| own.gateway.stop());
    let name = arguments.save.clone().filter(|name| !name.is_empty());
    let document = Document {
        schema: SCHEMA,
        name: name.unwrap_or_else(|| scenario.name().to_owned()),
        scenario: scenario.name().to_owned(),
        settings: bench.settings,
        facts,
        median: medians(&runs),
        runs,
    };
    match arguments.output {
        Output::Human => print!("{}", report::summary(&document, scenario.columns())),
        Output::Json => println!("{}", serde_json::to_string(&document)?),
    }
    if arguments.save.is_some() {
        save(&document, scenario, &arguments.results_dir)?;
    }
    stopped?;
    match document.runs.iter().map(|run| run.errors.values().sum::<u64>()).sum::<u64>() {
        0 => Ok(()),
        count => bail!("{count} errors: the figures are not those of a load that was served"),
    }
}

/// The seeded directory that was given, where the scenario takes one.
fn seeded(arguments: &RunArguments, scenario: &dyn Scenario) -> Result<Option<Seeded>> {
    let name = scenario.name();
    match (&arguments.seeded, scenario.data()) {
        (Some(dir), Data::Either | Data::Seeded) => Seeded::open(dir).map(Some),
        (Some(_), Data::Demo | Data::People { .. }) => {
            bail!("{name} begins without tickets: leave out --seeded")
        }
        (None, Data::Seeded) => {
            bail!("{name} needs --seeded DIRECTORY: `waggle-bench seed --data-dir DIRECTORY` makes one")
        }
        (None, _) => Ok(None),
    }
}

/// Waits until all texts are searchable, which `waggle-bench seed` has seen to: making them so takes a processor.
fn wait_searchable(targets: &[Target]) -> Result<()> {
    let mut told = 0;
    loop {
        let behind = Counters::gauges(targets).get("waggle_find_search_behind_events").unwrap_or(0.0);
        if behind == 0.0 {
            return Ok(());
        }
        if told % SEARCHABLE_LOOKS_PER_LINE == 0 {
            eprintln!("waiting until the texts of {behind} events more are searchable");
        }
        told += 1;
        stop::check()?;
        std::thread::sleep(SEARCHABLE_LOOK);
    }
}

/// How the gateway started on what was seeded, and what it needs for it.
fn add_start(bench: &Bench, runs: &mut [Run]) {
    let Some(own) = bench.own.as_ref().filter(|_| bench.seeded.is_some()) else { return };
    let resident = Probe::new(vec![own.gateway.pid()]).resident_bytes();
    for run in runs {
        run.add("ready_ms", Some(own.gateway.ready_after().as_secs_f64() * 1e3));
        run.add("gateway_resident_mib", resident.map(|bytes| bytes as f64 / f64::from(1 << 20)));
    }
}

fn start(arguments: &RunArguments, scenario: &dyn Scenario, seeded: Option<Seeded>) -> Result<Own> {
    let parent = match &arguments.data_dir {
        Some(dir) => dir.clone(),
        None => match std::env::temp_dir() {
            dir if file_system(&dir) == "tmpfs" => PathBuf::from("/var/tmp"),
            dir => dir,
        },
    };
    if file_system(&parent) == "tmpfs" {
        eprintln!("{} is in memory: nothing is durable there", parent.display());
    }
    let binary = find_binary(arguments.gateway.clone())?;
    let path = arguments.path;
    let own = scenario.gateway_arguments().iter().map(|argument| (*argument).to_owned());
    let arguments = own.chain(arguments.gateway_arguments.iter().cloned()).collect();
    let mut start = Start { binary, arguments, parent, path, host: Ipv4Addr::LOCALHOST, seeded };
    // Until it is copied.
    let mut people = None;
    if let Data::People { queues, agents } = scenario.data() {
        let dir = people.insert(tempfile::tempdir_in(&start.parent)?);
        start.seeded = Some(seed::people(&dir.path().join("people"), queues, agents)?);
    }
    Ok(Own { gateway: Gateway::start(&start)?, start })
}

fn targets(arguments: &RunArguments) -> Result<Vec<Target>> {
    if arguments.path != PushPath::Tcp {
        bail!("--path unix, tls and redirect need a gateway of the bench's own, and --target was given");
    }
    let token = arguments.token.as_deref().context("--target needs --token")?;
    let pids = arguments.pid.iter().copied().map(Some).chain(std::iter::repeat(None));
    arguments.target.iter().zip(pids).map(|(url, pid)| Target::from_url(url, token, pid)).collect()
}

fn settings(arguments: &RunArguments, scenario: &dyn Scenario, targets: usize) -> Settings {
    let shape = scenario.defaults();
    // A session may need a ticket of its own.
    let count = |given: Option<u32>, default: usize| given.map_or(default, |count| count as usize);
    let sessions = if shape.sessions == 0 { 0 } else { count(arguments.sessions, shape.sessions) };
    let tickets = if shape.sessions == shape.tickets { sessions } else { shape.tickets };
    Settings {
        rate: arguments.rate.unwrap_or(shape.rate),
        arrivals: arguments.arrivals,
        connections: arguments.connections.unwrap_or(shape.connections),
        tickets: count(arguments.tickets, tickets),
        sessions,
        warm_up_s: arguments.warm_up,
        duration_s: arguments.duration.unwrap_or_else(|| scenario.duration_s()),
        repeat: arguments.repeat,
        seed: arguments.seed,
        path: arguments.path,
        targets,
        gateway_arguments: arguments.gateway_arguments.clone(),
        processes: arguments.processes,
        seeded: 0,
    }
}

fn save(document: &Document, scenario: &dyn Scenario, dir: &Path) -> Result<()> {
    let name = &document.name;
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        || name.starts_with('.')
    {
        bail!("--save {name:?}: expected letters, digits, '-', '_' and '.'");
    }
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    document.save(&dir.join(format!("{name}.json")))?;
    report::draw(document, scenario.headline(), &dir.join(format!("{name}.svg")))
}

fn write_report(dir: &Path) -> Result<()> {
    let entries = std::fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "json"));
    paths.sort();
    let documents = paths.iter().map(|path| Document::load(path)).collect::<Result<Vec<_>>>()?;
    for document in &documents {
        if let Some(scenario) = scenario::find(&document.scenario) {
            report::draw(document, scenario.headline(), &dir.join(format!("{}.svg", document.name)))?;
        }
    }
    for scenario in SCENARIOS {
        for group in report::groups(&documents, scenario) {
            report::sides(&group, scenario, dir)?;
        }
    }
    learn::redraw(dir)?;
    let page = dir.join("README.md");
    std::fs::write(&page, report::markdown(&documents))
        .with_context(|| format!("cannot write {}", page.display()))
}
