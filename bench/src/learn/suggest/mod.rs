//! From a customer's message to the suggestion on the agent's screen, while other agents' tickets move; with the assistant
//! on and off in turn.

mod front;
mod lanes;
mod page;
mod pairs;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::json;

use super::desk::Desk;
use super::quarter::World;
use super::task::{Files, Task};
use crate::facts::Facts;
use crate::gateway::{Gateway, PushPath, Start, find_binary};
use crate::load::{Load, Plan, Watch};
use crate::measure::{Latencies, latencies};
use crate::pace::{Arrivals, Rate};
use crate::process::Probe;
use crate::report;
use crate::result::{Document, Run, SCHEMA, medians};
use crate::scenario::Settings;
use crate::stop;
use crate::target::Target;
use front::{Front, Window};
pub(super) use page::redraw;

/// Connections that other tickets are moved over: so many that none waits for one.
const CONNECTIONS: u32 = 32;
/// Everything that was taught is learned by then.
const PATIENCE: Duration = Duration::from_secs(120);
/// The same between two windows: longer, and connections that rest would be closed.
const PATIENCE_BETWEEN: Duration = Duration::from_secs(15);
/// The longest window: the connection by which the mode is set rests meanwhile.
const WINDOW_S_MAX: f64 = 600.0;

/// The load.
#[derive(Debug, clap::Args)]
pub struct SuggestArguments {
    #[command(flatten)]
    files: Files,
    /// Dialogues that the assistant has learned before.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    taught: u32,
    /// Customers' messages per second, each of which an agent answers.
    #[arg(long, default_value = "50", value_parser = rate)]
    rate: f64,
    /// Tickets that they come to, each watched by one agent.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=5_000))]
    tickets: u32,
    /// Moves of other tickets per second.
    #[arg(long, default_value = "500", value_parser = rate)]
    others: f64,
    /// Other tickets, each watched by a session of its own.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    sessions: u32,
    /// Seconds of each window that do not count.
    #[arg(long, default_value = "1", value_parser = seconds)]
    warm_up: f64,
    /// Seconds of each window that count.
    #[arg(long, default_value = "9", value_parser = seconds)]
    duration: f64,
    /// Pairs of windows, one with suggestions and one without, of which figures are medians.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
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

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse::<f64>().ok().filter(|rate| (0.1..=100_000.0).contains(rate));
    rate.ok_or_else(|| format!("{text:?}: expected a number a second from 0.1 to 100000"))
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| (0.1..=WINDOW_S_MAX).contains(seconds));
    seconds.ok_or_else(|| format!("{text:?}: expected seconds from 0.1 to {WINDOW_S_MAX}"))
}

/// Runs it.
///
/// # Errors
/// Where it cannot go on, something went wrong in a window, or results cannot be written.
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
    let measured = measure(arguments, &task, &gateway);
    // A gateway that does not end well is an error, yet the figures are worth a look.
    let stopped = gateway.stop();
    let (runs, pooled) = measured?;
    let mut median = medians(&runs);
    pairs::summarise(&runs, &pooled, &mut median);
    let document = Document {
        schema: SCHEMA,
        name: arguments.save.clone().unwrap_or_else(|| "suggest".to_owned()),
        scenario: "suggest".to_owned(),
        settings: settings(arguments),
        facts,
        median,
        runs,
    };
    print!("{}", page::summary(&document));
    if arguments.save.is_some() {
        page::save(&document, &arguments.results_dir)?;
    }
    stopped?;
    match document.runs.iter().map(|run| run.errors.values().sum::<u64>()).sum::<u64>() {
        0 => Ok(()),
        count => bail!("{count} errors: the figures are not those of a load that was served"),
    }
}

fn settings(arguments: &SuggestArguments) -> Settings {
    Settings {
        rate: Rate::PerSecond(arguments.others),
        arrivals: Arrivals::Poisson,
        connections: CONNECTIONS,
        tickets: arguments.sessions as usize,
        sessions: arguments.sessions as usize,
        warm_up_s: arguments.warm_up,
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

/// The gateway under load, and who sets its mode.
struct Lab {
    admin: Desk,
    queue: u32,
    load: Load,
    front: Front,
    probe: Probe,
}

/// One window.
#[derive(Clone, Copy)]
struct Span {
    is_on: bool,
    /// Fixes what customers write, what is moved, and when: the same in both windows of a pair. Which ticket it is, is also a
    /// question of which are free.
    seed: u64,
    warm_up: Duration,
    duration: Duration,
}

/// All pairs, and the latencies of all windows with suggestions and of all without.
fn measure(
    arguments: &SuggestArguments,
    task: &Task,
    gateway: &Gateway,
) -> Result<(Vec<Run>, [Latencies; 2])> {
    let mut lab = Lab::new(arguments, task, gateway)?;
    let warm_up = Duration::try_from_secs_f64(arguments.warm_up).context("--warm-up")?;
    let duration = Duration::try_from_secs_f64(arguments.duration).context("--duration")?;
    let mut pooled = [latencies(), latencies()];
    let mut runs = Vec::new();
    // Nothing of the first one counts: it is there so that the first pair finds what the others find.
    let first = Span { is_on: true, seed: arguments.seed, warm_up, duration: warm_up };
    lab.window(arguments, first, &mut Run::default())?;
    for round in 0..arguments.repeat {
        let mut run = Run::default();
        // Another one goes first in each pair.
        for is_on in [round % 2 == 0, round % 2 == 1] {
            let span = Span { is_on, seed: arguments.seed ^ u64::from(round + 1) << 8, warm_up, duration };
            let others = lab.window(arguments, span, &mut run)?;
            let [on, off] = &mut pooled;
            if is_on { on } else { off }.add(&others).context("cannot add histograms")?;
        }
        pairs::compare(&mut run);
        run.add("errors", Some(run.errors.values().sum::<u64>() as f64));
        eprintln!(
            "pair {} of {}:{}",
            round + 1,
            arguments.repeat,
            report::line(&run.figures, &page::COLUMNS)
        );
        runs.push(run);
    }
    Ok((runs, pooled))
}

impl Lab {
    fn new(arguments: &SuggestArguments, task: &Task, gateway: &Gateway) -> Result<Self> {
        let target = gateway.target()?;
        let queue = gateway.queues().first().copied().unwrap_or(1);
        let mut desk = Desk::connect(&target, 0)?;
        let token = gateway.admin_token().context("the gateway's ready line has no administrator")?;
        let admin = Desk::with_token(&target, token)?;
        let world = World::of_messages(task, arguments.seed)?;
        teach(&mut desk, &world, arguments.taught, queue)?;
        let front = front(arguments, &mut desk, &target, world, queue)?;
        // Last, so that its connections do not rest while all that is taught.
        let mut load = Load::connect(&[target], CONNECTIONS, arguments.seed)?;
        load.create_tickets(arguments.sessions as usize, &[queue])?;
        load.open_sessions(arguments.sessions as usize, &Watch::OwnTicket)?;
        let probe = Probe::new(vec![gateway.pid()]);
        Ok(Self { admin, queue, load, front, probe })
    }

    /// Loads the gateway for one window, and adds what was seen to the pair's figures; the others' latencies.
    fn window(&mut self, arguments: &SuggestArguments, span: Span, run: &mut Run) -> Result<Latencies> {
        let Span { is_on, seed, warm_up, duration } = span;
        set_mode(&mut self.admin, self.queue, is_on)?;
        let rate = Rate::PerSecond(arguments.rate);
        let window = Window { rate, warm_up, duration, is_on, seed };
        let plan = Plan {
            rate: Rate::PerSecond(arguments.others),
            arrivals: Arrivals::Poisson,
            warm_up,
            duration,
            losses: None,
        };
        self.load.begin_anew(seed);
        let (load, front, probe) = (&mut self.load, &mut self.front, &self.probe);
        let (seen, others) = std::thread::scope(|scope| {
            let others = scope.spawn(|| load.run(&plan, probe));
            let seen = front.run(&window);
            (seen, others.join())
        });
        let others = others.map_err(|_| anyhow!("the other load has panicked"))??;
        let seen = seen?;
        let arm = if is_on { "on" } else { "off" };
        run.add_latencies(&format!("others_{arm}"), &others.recorder.deliveries);
        let cpu = others.usage.gateway_ns.map(|ns| ns as f64 / 1e7 / duration.as_secs_f64());
        run.add(&format!("gateway_cpu_{arm}_percent"), cpu);
        for (error, count) in others.recorder.errors.iter().chain(&seen.errors) {
            *run.errors.entry(error.clone()).or_default() += count;
        }
        run.first_error = run.first_error.take().or(others.first_error);
        if is_on {
            run.add_latencies("suggestion", &seen.suggestions);
            run.add_latencies("from_send", &seen.from_send);
            let known = seen.known as f64 / (seen.suggestions.len() as f64).max(1.0);
            run.add("known_percent", Some(known * 100.0));
        }
        Ok(others.recorder.deliveries)
    }
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
    desk.wait_learned(PATIENCE_BETWEEN)
}
