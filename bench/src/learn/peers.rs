//! Other libraries, asked the same: each in a Python process of its own, installed in an environment of its own.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
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
/// Between two looks at whether a peer is done.
const LOOK: Duration = Duration::from_millis(50);

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

/// What a trial is for; those that say most come first, since a peer may be ended before it has done all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// Everything, in the order of this shuffle.
    Whole { shuffle: u32 },
    /// The first examples of each intent.
    Few { shuffle: u32, shots: usize },
    /// The first so many texts of the first order.
    Curve { size: usize },
}

/// What the script writes on its first line.
#[derive(Deserialize)]
struct Head {
    versions: BTreeMap<String, String>,
    is_probability: bool,
    libraries_mib: f64,
}

/// What it writes on a line for each trial that is done.
#[derive(Deserialize)]
struct Answers {
    train_s: f64,
    best: Vec<Vec<u32>>,
    scores: Vec<f64>,
    times_ns: Vec<u64>,
    /// The most until then.
    resident_mib: f64,
}

/// All that a peer has said.
struct Said {
    head: Head,
    trials: Vec<Answers>,
    /// It was ended at its limit.
    is_cut: bool,
}

/// Where the scripts are.
fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/learn")
}

/// Measures each peer; one that cannot be installed or run has a row that says why, and one that takes longer than
/// `limit` a row of what it has done until then.
///
/// # Errors
/// Where the bench was told to stop, or cannot write its files.
pub(super) fn run(
    peers: &[Peer],
    folder: &Path,
    limit: Duration,
    task: &Task,
    plan: &Plan,
) -> Result<Vec<Row>> {
    let python = install(folder);
    let mut rows = Vec::new();
    for peer in peers {
        stop::check()?;
        eprintln!("{}: learning {} texts, {} times", peer.name(), task.train.len(), plan.shuffles);
        let begin = Instant::now();
        let row = match &python {
            Ok(python) => ask(*peer, python, limit, task, plan),
            Err(error) => Err(anyhow!("{error:#}")),
        };
        // A stop is no fault of the peer's.
        stop::check()?;
        rows.push(row.unwrap_or_else(|error| {
            eprintln!("{}: {error:#}", peer.name());
            Row::failed(peer.name(), format!("{error:#}"))
        }));
        eprintln!("{}: {:.0} s", peer.name(), begin.elapsed().as_secs_f64());
    }
    Ok(rows)
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

fn purposes(plan: &Plan, texts: usize) -> Vec<Purpose> {
    let shuffles = 0..plan.shuffles;
    let whole = shuffles.clone().map(|shuffle| Purpose::Whole { shuffle });
    let few = shuffles
        .flat_map(|shuffle| plan.shots.iter().map(move |shots| Purpose::Few { shuffle, shots: *shots }));
    let curve = curve_sizes(texts).into_iter().map(|size| Purpose::Curve { size });
    whole.chain(few).chain(curve).collect()
}

fn ask(peer: Peer, python: &Path, limit: Duration, task: &Task, plan: &Plan) -> Result<Row> {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name);
    let purposes = purposes(plan, task.train.len());
    let trial = |purpose: &Purpose| match *purpose {
        // All messages are timed once: with the model of the first shuffle.
        Purpose::Whole { shuffle } => Trial { rows: task.order(plan.seed, shuffle), is_timed: shuffle == 0 },
        Purpose::Few { shuffle, shots } => {
            Trial { rows: task.few(&task.order(plan.seed, shuffle), shots), is_timed: false }
        }
        Purpose::Curve { size } => {
            Trial { rows: task.order(plan.seed, 0).into_iter().take(size).collect(), is_timed: false }
        }
    };
    let test = task.test.iter().map(|(text, _)| text.as_str()).collect();
    let trials = purposes.iter().map(trial).collect();
    let job = Job { train: &task.train, test, oos: &task.oos, trials };
    fs::write(path("job.json"), serde_json::to_vec(&job)?)?;
    let mut command = Command::new(python);
    command
        .arg(scripts().join("peer.py"))
        .arg(peer.name())
        .args([path("job.json"), path("said.jsonl")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(path("errors.txt"))?);
    let status = wait(&mut command, limit).with_context(|| format!("cannot run {}", python.display()))?;
    let said = fs::read_to_string(path("said.jsonl")).unwrap_or_default();
    match status {
        Some(status) if !status.success() => {
            let errors = fs::read(path("errors.txt")).unwrap_or_default();
            let errors = String::from_utf8_lossy(&errors);
            let last = errors.lines().last().unwrap_or_default();
            bail!("peer.py {} ended with {status}: {last}", peer.name())
        }
        _ => {
            let told = |error| match status {
                Some(_) => error,
                None => anyhow!("ended after {} s, its limit: {error:#}", limit.as_secs()),
            };
            row(peer, task, (&purposes, limit), &heard(&said, status.is_none()).map_err(told)?)
        }
    }
}

/// Waits for the end of a process of its own; `None` where it was ended at the limit.
fn wait(command: &mut Command, limit: Duration) -> Result<Option<ExitStatus>> {
    /// Ends it whatever happens.
    struct Guard(Child);

    impl Drop for Guard {
        fn drop(&mut self) {
            // It may have ended already.
            self.0.kill().ok();
            self.0.wait().ok();
        }
    }

    let deadline = Instant::now() + limit;
    let mut child = Guard(command.spawn()?);
    loop {
        if let Some(status) = child.0.try_wait()? {
            return Ok(Some(status));
        }
        stop::check()?;
        if Instant::now() >= deadline {
            return Ok(None);
        }
        std::thread::sleep(LOOK);
    }
}

/// Reads what the script has written; of one that was ended, the last line may be torn.
fn heard(text: &str, is_cut: bool) -> Result<Said> {
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let mut lines = whole.map(str::trim_end);
    let none = if is_cut { "it had not loaded its libraries" } else { "it has written no result" };
    let head =
        serde_json::from_str(lines.next().context(none)?).context("its first line is not understood")?;
    let trials: Vec<Answers> =
        lines.map(serde_json::from_str).collect::<Result<_, _>>().context("a trial is not understood")?;
    if trials.is_empty() {
        bail!("{}", if is_cut { "not one training was done" } else { "it has done no training" });
    }
    Ok(Said { head, trials, is_cut })
}

fn row(peer: Peer, task: &Task, (purposes, limit): (&[Purpose], Duration), said: &Said) -> Result<Row> {
    if !said.is_cut && said.trials.len() != purposes.len() {
        let expected = purposes.len();
        bail!("peer.py {} has answered {} trials; expected {expected}", peer.name(), said.trials.len());
    }
    let is_probability = said.head.is_probability;
    let (mut runs, mut all, mut curve) = (BTreeMap::<u32, Figures>::new(), Vec::new(), Vec::new());
    for (purpose, answers) in purposes.iter().zip(&said.trials) {
        let outcomes = outcomes(peer, task, answers)?;
        let scores = score::figures(&outcomes, is_probability);
        let score = |name: &str| scores.get(name).copied().unwrap_or_default();
        match *purpose {
            Purpose::Whole { shuffle } => {
                all.extend(outcomes);
                let run = runs.entry(shuffle).or_default();
                run.extend(scores);
                run.insert("train_s".into(), answers.train_s);
            }
            Purpose::Few { shuffle, shots } => {
                let run = runs.entry(shuffle).or_default();
                run.insert(format!("few_{shots}_first_percent"), score("accuracy_percent"));
                run.insert(format!("few_{shots}_three_percent"), score("in_three_percent"));
            }
            Purpose::Curve { size } => curve.push(point(size, score("accuracy_percent"))),
        }
    }
    let runs: Vec<Figures> = runs.into_values().collect();
    let (mut mean, spread) = score::mean_and_spread(&runs);
    if let Some(accuracy) = mean.get("accuracy_percent") {
        curve.push(point(task.train.len(), *accuracy));
    }
    add_once(&mut mean, said);
    let versions = said.head.versions.iter().map(|(package, version)| format!("{package} {version}"));
    Ok(Row {
        name: peer.name().to_owned(),
        role: Role::Peer,
        about: versions.collect::<Vec<_>>().join(", "),
        problem: None,
        cut: said.is_cut.then(|| cut(purposes, said.trials.len(), limit)),
        mean,
        spread,
        runs,
        curve,
        bins: if is_probability { score::bins(&all) } else { Vec::new() },
    })
}

fn point(examples: usize, accuracy: f64) -> Point {
    Point { examples: examples as u64, mean: accuracy, low: accuracy, high: accuracy }
}

/// What there is of a peer that was ended.
fn cut(purposes: &[Purpose], done: usize, limit: Duration) -> String {
    let count = |of: fn(&Purpose) -> bool| {
        let all = purposes.iter().filter(|purpose| of(purpose)).count();
        let done = purposes.iter().take(done).filter(|purpose| of(purpose)).count();
        format!("{done} of {all}")
    };
    format!(
        "ended after {} s, its limit: {} orders of all texts, {} trainings on few, {} further points of the curve",
        limit.as_secs(),
        count(|purpose| matches!(purpose, Purpose::Whole { .. })),
        count(|purpose| matches!(purpose, Purpose::Few { .. })),
        count(|purpose| matches!(purpose, Purpose::Curve { .. })),
    )
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
    mean.insert("libraries_mib".into(), said.head.libraries_mib);
    let resident = said.trials.last().map(|trial| trial.resident_mib);
    mean.extend(resident.map(|mib| ("resident_mib".to_owned(), mib)));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::dataset::Example;

    fn task() -> Task {
        let example = |text: &str, label: &str| Example { text: text.into(), label: label.into() };
        let train = vec![example("a", "x"), example("b", "y"), example("c", "x")];
        Task::of(train, vec![example("d", "x"), example("e", "y")], Vec::new(), &[]).unwrap()
    }

    const HEAD: &str = "{\"versions\": {\"p\": \"1\"}, \"is_probability\": false, \"libraries_mib\": 1.5}\n";
    const TRIAL: &str = "{\"train_s\": 2.0, \"best\": [[0, 1], [1, 0]], \"scores\": [0.5, 0.25], \"times_ns\": [7], \"resident_mib\": 3.0}\n";

    #[test]
    fn a_peer_that_is_ended_keeps_what_it_has_done() {
        let plan = Plan { passes: 1, shuffles: 2, shots: vec![1], seed: 1 };
        let purposes = purposes(&plan, 3);
        let whole = [0, 1].map(|shuffle| Purpose::Whole { shuffle });
        assert_eq!(purposes.get(..2), Some(&whole[..]), "what says most comes first");
        assert_eq!(purposes.len(), 4);
        let limit = Duration::from_secs(9);
        let torn = format!("{HEAD}{TRIAL}{TRIAL}{TRIAL}{{\"train_s\": 1.0, \"be");
        let row = row(Peer::Svm, &task(), (&purposes, limit), &heard(&torn, true).unwrap()).unwrap();
        assert_eq!((row.mean["accuracy_percent"], row.runs.len()), (100.0, 2));
        assert_eq!((row.mean["few_1_first_percent"], row.mean["resident_mib"]), (100.0, 3.0));
        let cut = row.cut.unwrap();
        assert!(
            cut.starts_with("ended after 9 s, its limit: 2 of 2 orders of all texts, 1 of 2 trainings"),
            "{cut}"
        );
        let whole = format!("{HEAD}{TRIAL}");
        assert!(super::row(Peer::Svm, &task(), (&purposes, limit), &heard(&whole, false).unwrap()).is_err());
        for (text, wanted) in [("", "libraries"), (HEAD, "not one training"), ("x\n", "first line")] {
            let error = heard(text, true).err().map(|error| format!("{error:#}")).unwrap();
            assert!(error.contains(wanted), "{error}");
        }
    }

    #[test]
    fn a_process_is_ended_at_its_limit() {
        let mut long = Command::new("sleep");
        let begin = Instant::now();
        assert!(wait(long.arg("60"), Duration::from_millis(100)).unwrap().is_none());
        assert!(begin.elapsed() < Duration::from_secs(30));
        let status = wait(&mut Command::new("false"), Duration::from_secs(60)).unwrap();
        assert!(!status.unwrap().success());
    }
}
