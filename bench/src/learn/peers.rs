//! Other libraries, asked the same: each in a Python process of its own, installed in an environment of its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::document::{Point, Role, Row};
use super::score::{self, Outcome};
use super::task::Task;
use super::trial::{Plan, add_times};
use crate::measure::latencies;
use crate::result::Figures;
use crate::stop;

/// Texts that a learning curve begins with, at least.
const CURVE_MIN: usize = 30;

/// A library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Peer {
    /// A linear support vector machine on tf-idf of words and parts of words (scikit-learn).
    Svm,
    /// fastText, supervised.
    Fasttext,
    /// Embeddings of all-MiniLM-L6-v2 and logistic regression.
    Minilm,
}

impl Peer {
    fn name(self) -> &'static str {
        match self {
            Self::Svm => "svm",
            Self::Fasttext => "fasttext",
            Self::Minilm => "minilm",
        }
    }
}

/// What the script reads.
#[derive(Serialize)]
struct Job<'a> {
    train: &'a [(String, u32)],
    test: Vec<&'a str>,
    oos: &'a [String],
    trials: Vec<Trial>,
}

#[derive(Serialize)]
struct Trial {
    rows: Vec<usize>,
    is_timed: bool,
}

/// What the script writes.
#[derive(Deserialize)]
struct Said {
    versions: BTreeMap<String, String>,
    is_probability: bool,
    libraries_mib: f64,
    resident_mib: f64,
    trials: Vec<Answers>,
}

#[derive(Deserialize)]
struct Answers {
    train_s: f64,
    best: Vec<Vec<u32>>,
    scores: Vec<f64>,
    times_ns: Vec<u64>,
}

/// Where the scripts are.
fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/learn")
}

/// Measures each peer; one that cannot be installed or run has a row that says why.
///
/// # Errors
/// Where the bench was told to stop, or cannot write its files.
pub(super) fn run(peers: &[Peer], folder: &Path, task: &Task, plan: &Plan) -> Result<Vec<Row>> {
    let python = install(folder);
    let mut rows = Vec::new();
    for peer in peers {
        stop::check()?;
        eprintln!("{}: learning {} texts, {} times", peer.name(), task.train.len(), plan.shuffles);
        let row = match &python {
            Ok(python) => ask(*peer, python, task, plan),
            Err(error) => bail_row(error),
        };
        rows.push(row.unwrap_or_else(|error| {
            eprintln!("{}: {error:#}", peer.name());
            Row::failed(peer.name(), format!("{error:#}"))
        }));
    }
    Ok(rows)
}

fn bail_row(error: &anyhow::Error) -> Result<Row> {
    bail!("{error:#}")
}

/// The environment's interpreter. Packages are pinned with all that they need, so that pip resolves nothing; where one
/// cannot be had, the others are installed all the same.
fn install(folder: &Path) -> Result<PathBuf> {
    let python = folder.join("bin/python");
    let list = scripts().join("requirements.txt");
    let wanted = fs::read_to_string(&list).with_context(|| format!("cannot read {}", list.display()))?;
    let done = folder.join("installed.txt");
    if fs::read_to_string(&done).is_ok_and(|text| text == wanted) {
        return Ok(python);
    }
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    }
    call(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
    let pip = |arguments: &[&str]| {
        let mut command = Command::new(&python);
        command.args(["-m", "pip", "install", "--quiet", "--no-deps"]).args(arguments);
        call(&mut command)
    };
    if let Err(error) = pip(&["--requirement", &list.to_string_lossy()]) {
        eprintln!("{error:#}: one package after the other instead");
        let packages =
            wanted.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        for package in packages {
            if let Err(error) = pip(&[package]) {
                eprintln!("{error:#}");
            }
        }
    } else {
        fs::write(&done, wanted).with_context(|| format!("cannot write {}", done.display()))?;
    }
    Ok(python)
}

fn call(command: &mut Command) -> Result<()> {
    eprintln!("+ {command:?}");
    let status = command.stdout(Stdio::null()).status().with_context(|| format!("cannot run {command:?}"))?;
    if !status.success() {
        bail!("{command:?} ended with {status}");
    }
    Ok(())
}

fn ask(peer: Peer, python: &Path, task: &Task, plan: &Plan) -> Result<Row> {
    let folder = tempfile::tempdir()?;
    let (job_path, said_path) = (folder.path().join("job.json"), folder.path().join("said.json"));
    let mut trials = Vec::new();
    for shuffle in 0..plan.shuffles {
        let order = task.order(plan.seed, shuffle);
        let few: Vec<_> = plan.shots.iter().map(|shots| task.few(&order, *shots)).collect();
        // All messages are timed once: with the model of the first shuffle.
        trials.push(Trial { rows: order, is_timed: shuffle == 0 });
        trials.extend(few.into_iter().map(|rows| Trial { rows, is_timed: false }));
    }
    // Its learning curve: of the first order alone, since each point is a training.
    let order = task.order(plan.seed, 0);
    for size in curve_sizes(order.len()) {
        trials.push(Trial { rows: order.iter().take(size).copied().collect(), is_timed: false });
    }
    let test = task.test.iter().map(|(text, _)| text.as_str()).collect();
    let job = Job { train: &task.train, test, oos: &task.oos, trials };
    fs::write(&job_path, serde_json::to_vec(&job)?)?;
    let script = scripts().join("peer.py");
    let output = Command::new(python)
        .arg(&script)
        .arg(peer.name())
        .args([&job_path, &said_path])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {}", python.display()))?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        bail!("peer.py {} ended with {}: {}", peer.name(), output.status, error.lines().last().unwrap_or(""));
    }
    let said: Said = serde_json::from_slice(&fs::read(&said_path)?)
        .with_context(|| format!("peer.py {} has written no result", peer.name()))?;
    row(peer, task, plan, &said)
}

fn row(peer: Peer, task: &Task, plan: &Plan, said: &Said) -> Result<Row> {
    let in_each = 1 + plan.shots.len();
    let sizes = curve_sizes(task.train.len());
    let in_shuffles = in_each * plan.shuffles as usize;
    let expected = in_shuffles + sizes.len();
    if said.trials.len() != expected {
        bail!("peer.py {} has answered {} trials; expected {expected}", peer.name(), said.trials.len());
    }
    let (of_shuffles, of_curve) = said.trials.split_at(in_shuffles);
    let (mut runs, mut all) = (Vec::new(), Vec::new());
    for shuffle in of_shuffles.chunks(in_each) {
        let Some((whole, few)) = shuffle.split_first() else { continue };
        let outcomes = outcomes(peer, task, whole)?;
        let mut figures = score::figures(&outcomes, said.is_probability);
        figures.insert("train_s".into(), whole.train_s);
        all.extend(outcomes);
        for (shots, answers) in plan.shots.iter().zip(few) {
            let found = score::figures(&self::outcomes(peer, task, answers)?, false);
            for (from, to) in [("accuracy_percent", "first"), ("in_three_percent", "three")] {
                let value = found.get(from).copied().unwrap_or_default();
                figures.insert(format!("few_{shots}_{to}_percent"), value);
            }
        }
        runs.push(figures);
    }
    let mut curve = Vec::new();
    for (size, answers) in sizes.into_iter().zip(of_curve) {
        let found = score::figures(&outcomes(peer, task, answers)?, false);
        let accuracy = found.get("accuracy_percent").copied().unwrap_or_default();
        curve.push(Point { examples: size as u64, mean: accuracy, low: accuracy, high: accuracy });
    }
    let (mut mean, spread) = score::mean_and_spread(&runs);
    if let Some(accuracy) = mean.get("accuracy_percent") {
        curve.push(Point {
            examples: task.train.len() as u64,
            mean: *accuracy,
            low: *accuracy,
            high: *accuracy,
        });
    }
    add_once(&mut mean, said);
    let versions = said.versions.iter().map(|(package, version)| format!("{package} {version}"));
    Ok(Row {
        name: peer.name().to_owned(),
        role: Role::Peer,
        about: versions.collect::<Vec<_>>().join(", "),
        problem: None,
        mean,
        spread,
        runs,
        curve,
        bins: if said.is_probability { score::bins(&all) } else { Vec::new() },
    })
}

/// Sizes of training sets from a few texts to a half of all: each twice the one before.
fn curve_sizes(all: usize) -> Vec<usize> {
    let mut sizes: Vec<usize> =
        (1..).map(|halves| all >> halves).take_while(|size| *size >= CURVE_MIN).collect();
    sizes.reverse();
    sizes
}

/// What is measured once, and not in each shuffle.
fn add_once(mean: &mut Figures, said: &Said) {
    let mut times = latencies();
    said.trials.iter().flat_map(|trial| &trial.times_ns).for_each(|time| times.saturating_record(*time));
    if !times.is_empty() {
        add_times(mean, "answer", &times);
    }
    mean.insert("libraries_mib".into(), said.libraries_mib);
    mean.insert("resident_mib".into(), said.resident_mib);
}

fn outcomes(peer: Peer, task: &Task, answers: &Answers) -> Result<Vec<Outcome>> {
    let expected = task.test.len() + task.oos.len();
    if answers.best.len() != expected || answers.scores.len() != expected {
        bail!("peer.py {} has answered {} messages; expected {expected}", peer.name(), answers.best.len());
    }
    let wanted = task.test.iter().map(|(_, intent)| Some(*intent)).chain(task.oos.iter().map(|_| None));
    let answers = answers.best.iter().zip(&answers.scores);
    Ok(answers.zip(wanted).map(|((best, score), wanted)| Outcome::of(best, *score, wanted)).collect())
}
