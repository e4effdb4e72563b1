//! What the assistant learns, and how fast: on sets of messages with labels, beside other learners and libraries.

mod dataset;
mod desk;
mod document;
mod learner;
mod peers;
mod picture;
mod quarter;
mod score;
mod suggest;
mod table;
mod task;
mod trial;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use peers::Peer;
pub use quarter::{QuarterArguments, run as run_quarter};
use task::{Files, Task};

pub use suggest::{SuggestArguments, run as run_suggest};

use crate::facts::Facts;
use crate::stop;
use document::{Document, SCHEMA, Settings};

use trial::{Plan, Questions};

/// What to learn and to measure.
#[derive(Debug, clap::Args)]
pub struct LearnArguments {
    #[command(flatten)]
    files: Files,
    /// Passes over the training set; figures are also given after the first.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    passes: u32,
    /// Orders of the training set that figures are means of.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    shuffles: u32,
    /// Examples of each intent in few-shot cells.
    #[arg(long, value_delimiter = ',', default_value = "1,5,10")]
    shots: Vec<usize>,
    /// Fixes all orders.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only these learners of Waggle's own harness.
    #[arg(long, value_delimiter = ',')]
    learners: Vec<String>,
    /// Asks other libraries the same; what is missing is installed by pip.
    #[arg(long, value_enum, num_args = 0.., value_delimiter = ',')]
    peers: Option<Vec<Peer>>,
    /// Where they are installed.
    #[arg(long, default_value = "target/peers/learn")]
    peers_dir: PathBuf,
    /// Seconds for each of them: one that takes longer is ended, and has a row of what it has done until then.
    #[arg(long, default_value_t = 240, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    peer_limit: u64,
    /// Keeps the result as `learn/NAME.json`, with a page and pictures, there.
    #[arg(long, num_args = 0..=1, default_missing_value = "learn", value_name = "NAME")]
    save: Option<String>,
    /// Where results are.
    #[arg(long, default_value = "bench/results")]
    results_dir: PathBuf,
}

/// Learns and measures.
///
/// # Errors
/// Where a file cannot be read, or results cannot be written.
pub fn run(arguments: &LearnArguments) -> Result<()> {
    stop::listen()?;
    if cfg!(debug_assertions) {
        eprintln!("this is a debug build: its figures say little");
    }
    let kinds = kinds(&arguments.learners)?;
    let facts = Facts::collect(None);
    let task = Task::read(&arguments.files)?;
    stay_on_one_core()?;
    let plan = Plan {
        passes: arguments.passes,
        shuffles: arguments.shuffles,
        shots: arguments.shots.clone(),
        seed: arguments.seed,
    };
    let questions = Questions::new(&task);
    let mut rows = Vec::new();
    for kind in kinds {
        eprintln!("{}: learning {} texts, {} times", kind.name, task.train.len(), plan.shuffles);
        rows.push(trial::run(kind, &questions, &plan)?);
    }
    if let Some(peers) = &arguments.peers {
        let all = [Peer::Svm, Peer::Fasttext, Peer::Minilm];
        let peers = if peers.is_empty() { &all[..] } else { peers };
        let limit = Duration::from_secs(arguments.peer_limit);
        rows.extend(peers::run(peers, &arguments.peers_dir, limit, &task, &plan)?);
    }
    let Plan { passes, shuffles, shots, seed } = plan;
    let document = Document {
        schema: SCHEMA,
        name: arguments.save.clone().unwrap_or_else(|| "learn".to_owned()),
        data: task.facts.clone(),
        settings: Settings { passes, shuffles, shots, seed },
        facts,
        rows,
    };
    print!("{}", table::tables(&document));
    if arguments.save.is_some() {
        save(&document, &arguments.results_dir)?;
    }
    Ok(())
}

/// Keeps this thread, and the processes that it starts from now on, on the last of the cores that it may use: all
/// learners, Waggle's own and peers, have the same one, and are not moved in the middle of a measurement.
fn stay_on_one_core() -> Result<()> {
    let all = sched_getaffinity(None).context("cannot ask for the cores that may be used")?;
    let Some(last) = (0..CpuSet::MAX_CPU).rev().find(|core| all.is_set(*core)) else { return Ok(()) };
    let mut one = CpuSet::new();
    one.set(last);
    sched_setaffinity(None, &one).context("cannot stay on one core")
}

/// The learners of these names, or all.
fn kinds(names: &[String]) -> Result<Vec<learner::Kind>> {
    let all = learner::KINDS;
    if let Some(unknown) = names.iter().find(|name| all.iter().all(|kind| kind.name != *name)) {
        let known: Vec<_> = all.iter().map(|kind| kind.name).collect();
        bail!("no learner {unknown:?}: expected one of {}", known.join(", "));
    }
    Ok(all
        .into_iter()
        .filter(|kind| names.is_empty() || names.iter().any(|name| name == kind.name))
        .collect())
}

/// Makes the pages and pictures of all results anew.
///
/// # Errors
/// Where a file cannot be read or written.
pub fn redraw(results_dir: &Path) -> Result<()> {
    let dir = results_dir.join("learn");
    let Ok(entries) = std::fs::read_dir(&dir) else { return Ok(()) };
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "json"));
    paths.sort();
    for path in paths {
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let value: serde_json::Value =
            serde_json::from_str(&text).with_context(|| format!("{} is no JSON", path.display()))?;
        let drawn = if value.get("rows").is_some() {
            serde_json::from_value(value).map_err(Into::into).and_then(|document| pages(&document, &dir))
        } else if value.get("weeks").is_some() {
            quarter::redraw(value, &dir)
        } else {
            suggest::redraw(value, &dir)
        };
        drawn.with_context(|| path.display().to_string())?;
    }
    Ok(())
}

fn save(document: &Document, results_dir: &Path) -> Result<()> {
    let name = &document.name;
    let dir = folder(name, results_dir)?;
    document.save(&dir.join(format!("{name}.json")))?;
    pages(document, &dir)
}

fn pages(document: &Document, dir: &Path) -> Result<()> {
    std::fs::write(dir.join(format!("{}.md", document.name)), table::page(document))?;
    picture::draw(document, dir)
}

/// Where results of learning are kept; made where it is not there. The name must fit in a file's.
fn folder(name: &str, results_dir: &Path) -> Result<PathBuf> {
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
        bail!("--save {name:?}: expected letters, digits, '-' and '_'");
    }
    let dir = results_dir.join("learn");
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    Ok(dir)
}
