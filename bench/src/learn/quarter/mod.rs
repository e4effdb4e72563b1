//! A simulated quarter: dialogues arrive week by week, new intents among them, and agents answer, accept, edit and
//! correct. How much does the assistant gain per week?

mod direct;
mod gateway;
mod page;
mod tally;
mod wording;
mod world;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::score::mean_and_spread;
use super::task::{DataFacts, Files, Task};
use crate::facts::Facts;
use crate::result::Figures;
use crate::stop;
use tally::Week;
use world::Shape;
pub(super) use world::World;

/// The shape of documents that this code writes.
const SCHEMA: u32 = 1;

/// What the quarter is like.
#[derive(Debug, clap::Args)]
pub struct QuarterArguments {
    #[command(flatten)]
    files: Files,
    /// Dialogues of a week.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    per_week: u32,
    /// Messages that nobody answers, asked at the end of each week; at most 100 with --http, where each is a ticket.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    held_out: u32,
    /// Share of the intents that are there from the start; the others come until the tenth week.
    #[arg(long, default_value_t = 0.6, value_parser = share)]
    at_start: f64,
    /// Share of agents' acts that are about the wrong intent.
    #[arg(long, default_value_t = 0.03, value_parser = share)]
    errors: f64,
    /// Share of dialogues about no known intent, where there are such texts (--oos, --unknown).
    #[arg(long, default_value_t = 0.05, value_parser = share)]
    out_of_scope: f64,
    /// Share of agents' own replies that are made with a macro named as the intent.
    #[arg(long, default_value_t = 0.4, value_parser = share)]
    with_macro: f64,
    /// Of the others, the share whose message gets a label.
    #[arg(long, default_value_t = 0.3, value_parser = share)]
    with_label: f64,
    /// Of right suggestions, the share that is sent as it is.
    #[arg(long, default_value_t = 0.8, value_parser = share)]
    accepted: f64,
    /// Quarters, of which figures are means.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    repeat: u32,
    /// Fixes all randomness.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Through a gateway over HTTP, with tickets and suggestions as agents' screens have them; else through the library.
    #[arg(long)]
    http: bool,
    /// The binary to start [default: `waggle` beside this one].
    #[arg(long, requires = "http")]
    gateway: Option<PathBuf>,
    /// Keeps the result as `learn/NAME.json`, with a page and a picture, there.
    #[arg(long, num_args = 0..=1, default_missing_value = "quarter", value_name = "NAME")]
    save: Option<String>,
    /// Where results are.
    #[arg(long, default_value = "bench/results")]
    results_dir: PathBuf,
}

/// A result with all that it belongs to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Document {
    schema: u32,
    name: String,
    data: DataFacts,
    shape: Shape,
    held_out: usize,
    repeat: u32,
    seed: u64,
    /// Whether it went through a gateway.
    is_http: bool,
    facts: Facts,
    weeks: Vec<Row>,
}

/// A week over all quarters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Row {
    /// From 1.
    week: usize,
    /// Intents that have been asked for by its end, of the first quarter.
    intents: usize,
    mean: Figures,
    /// Standard deviation.
    spread: Figures,
    /// Each quarter.
    runs: Vec<Figures>,
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| format!("{text:?}: expected a share from 0 to 1"))
}

/// Simulates quarters.
///
/// # Errors
/// Where a file cannot be read, or results cannot be written.
pub fn run(arguments: &QuarterArguments) -> Result<()> {
    stop::listen()?;
    let facts = Facts::collect(None);
    let task = Task::read(&arguments.files)?;
    let shape = Shape {
        per_week: arguments.per_week as usize,
        at_start: arguments.at_start,
        errors: arguments.errors,
        out_of_scope: arguments.out_of_scope,
        with_macro: arguments.with_macro,
        with_label: arguments.with_label,
        accepted: arguments.accepted,
    };
    let held_out = match arguments.http {
        true => (arguments.held_out as usize).min(gateway::HELD_OUT_MAX),
        false => arguments.held_out as usize,
    };
    let (mut quarters, mut intents) = (Vec::new(), Vec::new());
    for number in 0..arguments.repeat {
        eprintln!("quarter {} of {}", number + 1, arguments.repeat);
        let world = World::new(&task, shape, held_out, arguments.seed.wrapping_add(u64::from(number)))?;
        if number == 0 {
            intents = world.intents.iter().map(|intent| intent.from_week).collect();
        }
        quarters.push(match arguments.http {
            true => gateway::run(&world, arguments.gateway.clone())?,
            false => direct::run(&world)?,
        });
    }
    let document = Document {
        schema: SCHEMA,
        name: arguments.save.clone().unwrap_or_else(|| "quarter".to_owned()),
        data: task.facts.clone(),
        shape,
        held_out,
        repeat: arguments.repeat,
        seed: arguments.seed,
        is_http: arguments.http,
        facts,
        weeks: rows(&quarters, &intents),
    };
    print!("{}\n{}", page::gains(&document), page::table(&document));
    match &arguments.save {
        Some(_) => save(&document, &arguments.results_dir),
        None => Ok(()),
    }
}

fn rows(quarters: &[Vec<Week>], intents: &[usize]) -> Vec<Row> {
    let weeks = quarters.first().map_or(0, Vec::len);
    let row = |number: usize| {
        let of = |quarter: &Vec<Week>| {
            let before = number.checked_sub(1).and_then(|before| quarter.get(before));
            quarter.get(number).map(|week| week.figures(before))
        };
        let runs: Vec<Figures> = quarters.iter().filter_map(of).collect();
        let (mean, spread) = mean_and_spread(&runs);
        let intents = intents.iter().filter(|from| **from <= number).count();
        Row { week: number + 1, intents, mean, spread, runs }
    };
    (0..weeks).map(row).collect()
}

fn save(document: &Document, results_dir: &Path) -> Result<()> {
    let dir = super::folder(&document.name, results_dir)?;
    let name = &document.name;
    let path = dir.join(format!("{name}.json"));
    let text = serde_json::to_string_pretty(document)? + "\n";
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    pages(document, &dir)
}

/// Makes the page and the picture of a result anew.
pub(super) fn redraw(value: serde_json::Value, dir: &Path) -> Result<()> {
    pages(&serde_json::from_value(value)?, dir)
}

fn pages(document: &Document, dir: &Path) -> Result<()> {
    let name = &document.name;
    std::fs::write(dir.join(format!("{name}.md")), page::page(document))?;
    page::draw(document, &dir.join(format!("{name}.svg")))
}
