//! From a customer's message to the suggestion on the agent's screen, while other agents' tickets move; with the assistant
//! on and off in turn.

mod front;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use serde_json::json;

use super::desk::Desk;
use super::quarter::World;
use super::task::{Files, Task};
use crate::facts::Facts;
use crate::gateway::{Gateway, PushPath, Start, find_binary};
use crate::load::{Load, Plan, Watch};
use crate::measure::Latencies;
use crate::pace::{Arrivals, Rate};
use crate::process::Probe;
use crate::report;
use crate::result::{Document, Run, SCHEMA, medians};
use crate::scenario::{Column, Settings};
use crate::stop;
use crate::target::Target;
use front::{Front, Window};

/// Connections that other tickets are moved over.
const CONNECTIONS: u32 = 4;
/// Everything that was taught is learned by then.
const PATIENCE: Duration = Duration::from_secs(120);
const COLUMNS: [Column; 9] = [
    Column { head: "suggestion p50 ms", figure: "suggestion_p50_us", per: 1e3 },
    Column { head: "suggestion p99 ms", figure: "suggestion_p99_us", per: 1e3 },
    Column { head: "from send p50 ms", figure: "from_send_p50_us", per: 1e3 },
    Column { head: "from send p99 ms", figure: "from_send_p99_us", per: 1e3 },
    Column { head: "others' push p99 on ms", figure: "others_on_p99_us", per: 1e3 },
    Column { head: "others' push p99 off ms", figure: "others_off_p99_us", per: 1e3 },
    Column { head: "ratio", figure: "others_p99_ratio", per: 1.0 },
    Column { head: "known %", figure: "known_percent", per: 1.0 },
    Column { head: "errors", figure: "errors", per: 1.0 },
];

/// The load.
#[derive(Debug, clap::Args)]
pub struct SuggestArguments {
    #[command(flatten)]
    files: Files,
    /// Dialogues that the assistant has learned before.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    taught: u32,
    /// Customers' messages per second, each of which an agent answers.
    #[arg(long, default_value_t = 50.0)]
    rate: f64,
    /// Tickets that they come to, each watched by one agent.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=5_000))]
    tickets: u32,
    /// Moves of other tickets per second.
    #[arg(long, default_value_t = 500.0)]
    others: f64,
    /// Other tickets, each watched by a session of its own.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    sessions: u32,
    /// Seconds with the assistant on, and as many with it off, in each round.
    #[arg(long, default_value_t = 10.0)]
    duration: f64,
    /// Rounds, of which figures are medians.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    repeat: u32,
    /// Fixes all randomness.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The binary to start [default: `waggle` beside this one].
    #[arg(long)]
    gateway: Option<PathBuf>,
    /// Where its data directory is made [default: the temporary directory].
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Keeps the result as `learn/NAME.json`, with a picture, there.
    #[arg(long, num_args = 0..=1, default_missing_value = "suggest", value_name = "NAME")]
    save: Option<String>,
    /// Where results are.
    #[arg(long, default_value = "bench/results")]
    results_dir: PathBuf,
}

/// Runs it.
///
/// # Errors
/// Where it cannot go on, or results cannot be written.
pub fn run(arguments: &SuggestArguments) -> Result<()> {
    stop::listen()?;
    if cfg!(debug_assertions) {
        eprintln!("this is a debug build: its figures say little");
    }
    let task = Task::read(&arguments.files)?;
    let start = Start {
        binary: find_binary(arguments.gateway.clone())?,
        arguments: Vec::new(),
        parent: arguments.data_dir.clone().unwrap_or_else(std::env::temp_dir),
        path: PushPath::Tcp,
        host: std::net::Ipv4Addr::LOCALHOST,
        seeded: None,
    };
    let facts = Facts::collect(Some(&start.parent));
    let gateway = Gateway::start(&start)?;
    let runs = rounds(arguments, &task, &gateway);
    // A gateway that does not end well is an error, yet the figures are worth a look.
    let stopped = gateway.stop();
    let runs = runs?;
    let mut median = medians(&runs);
    let p99 = |name: &str| median.get(name).copied();
    // Of medians: a ratio of two rounds' tails says little.
    let ratio = p99("others_on_p99_us").zip(p99("others_off_p99_us")).map(|(on, off)| on / off);
    median.extend(ratio.map(|ratio| ("others_p99_ratio".to_owned(), ratio)));
    let document = Document {
        schema: SCHEMA,
        name: arguments.save.clone().unwrap_or_else(|| "suggest".to_owned()),
        scenario: "suggest".to_owned(),
        settings: settings(arguments),
        facts,
        median,
        runs,
    };
    print!("{}", report::summary(&document, &COLUMNS));
    if arguments.save.is_some() {
        save(&document, &arguments.results_dir)?;
    }
    stopped
}

fn save(document: &Document, results_dir: &Path) -> Result<()> {
    let dir = super::folder(&document.name, results_dir)?;
    document.save(&dir.join(format!("{}.json", document.name)))?;
    pages(document, &dir)
}

/// Makes the page and the picture of a result anew.
pub(super) fn redraw(value: serde_json::Value, dir: &Path) -> Result<()> {
    pages(&serde_json::from_value(value)?, dir)
}

fn pages(document: &Document, dir: &Path) -> Result<()> {
    let (name, facts) = (&document.name, &document.facts);
    let page = format!(
        "# From a customer's message to the suggestion: {name}\n\nMade by `waggle-bench suggest`; do not edit. \
         What it means: [docs/BENCHMARKS.md](../../../docs/BENCHMARKS.md). Medians of {} rounds.\n\n\
         {}; {} × {}, Linux {}, data on {}; commit {}; load average before: {:.2}.\n\n\
         ![Latencies]({name}.svg)\n\n```\n{}```\n",
        document.settings.repeat,
        facts.date,
        facts.cores,
        facts.cpu,
        facts.kernel,
        facts.file_system,
        facts.git_revision,
        facts.load_average[0],
        report::summary(document, &COLUMNS)
    );
    std::fs::write(dir.join(format!("{name}.md")), page)?;
    report::draw(document, "suggestion_p99_us", &dir.join(format!("{name}.svg")))
}

fn settings(arguments: &SuggestArguments) -> Settings {
    Settings {
        rate: Rate::PerSecond(arguments.others),
        arrivals: Arrivals::Poisson,
        connections: CONNECTIONS,
        tickets: arguments.sessions as usize,
        sessions: arguments.sessions as usize,
        warm_up_s: 0.0,
        duration_s: arguments.duration,
        repeat: arguments.repeat,
        seed: arguments.seed,
        path: PushPath::Tcp,
        targets: 1,
        gateway_arguments: Vec::new(),
        processes: 1,
        seeded: 0,
    }
}

fn rounds(arguments: &SuggestArguments, task: &Task, gateway: &Gateway) -> Result<Vec<Run>> {
    let target = gateway.target()?;
    let queue = gateway.queues().first().copied().unwrap_or(1);
    let mut desk = Desk::connect(&target, 0)?;
    let token = gateway.admin_token().context("the gateway's ready line has no administrator")?;
    let mut admin = Desk::with_token(&target, token)?;
    let world = World::of_messages(task, arguments.seed)?;
    teach(&mut desk, &world, arguments.taught, queue)?;
    let targets = [target.clone()];
    let mut load = Load::connect(&targets, CONNECTIONS, arguments.seed)?;
    load.create_tickets(arguments.sessions as usize, &[queue])?;
    load.open_sessions(arguments.sessions as usize, &Watch::OwnTicket)?;
    let mut front = front(arguments, &mut desk, &target, world, queue)?;
    let duration = Duration::try_from_secs_f64(arguments.duration).context("--duration")?;
    let plan = Plan {
        rate: Rate::PerSecond(arguments.others),
        arrivals: Arrivals::Poisson,
        warm_up: Duration::ZERO,
        duration,
        losses: None,
    };
    let probe = Probe::new(vec![gateway.pid()]);
    let mut runs = Vec::new();
    for round in 0..arguments.repeat {
        let mut run = Run::default();
        // Another one goes first in each round.
        let order = if round % 2 == 0 { [true, false] } else { [false, true] };
        for is_on in order {
            set_mode(&mut admin, queue, is_on)?;
            let rate = Rate::PerSecond(arguments.rate);
            let window = Window { rate, duration, is_on, seed: arguments.seed ^ u64::from(round) << 8 };
            let (seen, others) = std::thread::scope(|scope| {
                let others = scope.spawn(|| load.run(&plan, &probe));
                let seen = front.run(&window);
                (seen, others.join())
            });
            let others = others.map_err(|_| anyhow!("the other load has panicked"))??;
            let seen = seen?;
            run.add_latencies(if is_on { "others_on" } else { "others_off" }, &others.recorder.deliveries);
            for (error, count) in others.recorder.errors.iter().chain(&seen.errors) {
                *run.errors.entry(error.clone()).or_default() += count;
            }
            if is_on {
                run.add_latencies("suggestion", &seen.suggestions);
                run.add_latencies("from_send", &seen.from_send);
                let known = seen.known as f64 / (seen.suggestions.len() as f64).max(1.0);
                run.add("known_percent", Some(known * 100.0));
                let cpu = others.usage.gateway_ns.map(|ns| ns as f64 / 1e7 / arguments.duration);
                run.add("gateway_cpu_percent", cpu);
            }
        }
        run.add("errors", Some(run.errors.values().sum::<u64>() as f64));
        eprintln!("round {} of {}:{}", round + 1, arguments.repeat, report::line(&run.figures, &COLUMNS));
        runs.push(run);
    }
    Ok(runs)
}

/// Dialogues as a team has them: a question and the reply, made with the intent's macro.
fn teach(desk: &mut Desk, world: &World, count: u32, queue: u32) -> Result<()> {
    eprintln!("teaching {count} dialogues");
    for contact in world.contacts().take(count as usize) {
        stop::check()?;
        let ticket = desk.open(queue, &contact.requester, &contact.text)?;
        let act = world.act(contact, None);
        let intent = world.intent_of(contact);
        desk.command(ticket, &json!({"type": "reply", "text": act.reply, "macro": intent}))?;
    }
    desk.wait_learned(PATIENCE)
}

/// The tickets that customers write to, and the sessions that watch them.
fn front(
    arguments: &SuggestArguments,
    desk: &mut Desk,
    target: &Target,
    world: World,
    queue: u32,
) -> Result<Front> {
    let mut tickets = Vec::new();
    for contact in world.contacts().take(arguments.tickets as usize) {
        let ticket = desk.open(queue, &contact.requester, &contact.text)?;
        desk.command(ticket, &json!({"type": "reply", "text": world.act(contact, None).reply}))?;
        tickets.push(ticket);
    }
    Front::open(target, tickets, world)
}

/// Off, it suggests nothing; it learns all the same.
fn set_mode(desk: &mut Desk, queue: u32, is_on: bool) -> Result<()> {
    let mode = if is_on {
        json!({"teach": "mode", "queue": queue, "mode": "suggest", "precision": 0.9})
    } else {
        json!({"teach": "mode", "queue": queue, "mode": "off"})
    };
    desk.order("/v1/learn", &mode)?;
    desk.wait_learned(PATIENCE)
}

/// No latencies yet.
fn none() -> Latencies {
    crate::measure::latencies()
}
