//! One learner over all shuffles: accuracy, curves, few examples, new intents, speed and memory.

use std::time::Instant;

use anyhow::Result;
use waggle_core::learn::intent::{Features, Featurizer};

use super::document::{Point, Role, Row};
use super::learner::{Kind, Learner};
use super::score::{self, Outcome};
use super::task::Task;
use crate::clock::nanos;
use crate::measure::{Latencies, latencies};
use crate::result::Figures;
use crate::stop;

/// Points of a learning curve.
const CURVE_POINTS: usize = 18;
/// Of all intents, this share is new to a model that knows the others; at least so many.
const NEWCOMERS: (usize, usize) = (10, 3);
/// Of the messages about the other intents, one in so many is asked.
const ONE_IN: usize = 4;

/// How learners are measured.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub passes: u32,
    pub shuffles: u32,
    pub shots: Vec<usize>,
    pub seed: u64,
}

/// What is asked, with its features made once: they are the same for all learners.
pub(super) struct Questions<'a> {
    pub task: &'a Task,
    train: Vec<Features>,
    asked: Vec<(Features, Option<u32>)>,
}

impl<'a> Questions<'a> {
    pub(super) fn new(task: &'a Task) -> Self {
        let mut featurizer = Featurizer::new();
        let mut of = |text: &str| featurizer.features(text);
        let train = task.train.iter().map(|(text, _)| of(text)).collect();
        let mut asked: Vec<_> = task.test.iter().map(|(text, intent)| (of(text), Some(*intent))).collect();
        asked.extend(task.oos.iter().map(|text| (of(text), None)));
        Self { task, train, asked }
    }

    fn learn(&self, learner: &mut dyn Learner, rows: &[usize]) {
        for row in rows {
            if let (Some(features), Some((_, intent))) = (self.train.get(*row), self.task.train.get(*row)) {
                learner.learn(features, *intent);
            }
        }
    }

    fn outcomes(&self, learner: &dyn Learner) -> Vec<Outcome> {
        let asked = self.asked.iter();
        asked
            .map(|(features, wanted)| {
                let answer = learner.answer(features);
                Outcome::of(&answer.best, answer.confidence, *wanted)
            })
            .collect()
    }

    /// Shares of messages in scope whose first, and whose first three, are right; of those that `is_meant` takes by their
    /// intent and their place.
    fn shares(&self, learner: &dyn Learner, is_meant: impl Fn(u32, usize) -> bool) -> (f64, f64) {
        let (mut count, mut first, mut three) = (0.0, 0.0, 0.0);
        for (place, (features, wanted)) in self.asked.iter().enumerate() {
            let Some(wanted) = wanted.filter(|wanted| is_meant(*wanted, place)) else { continue };
            let outcome = Outcome::of(&learner.answer(features).best, 0.0, Some(wanted));
            count += 1.0;
            first += f64::from(u8::from(outcome.is_right));
            three += f64::from(u8::from(outcome.is_in_three));
        }
        (100.0 * first / f64::max(count, 1.0), 100.0 * three / f64::max(count, 1.0))
    }
}

/// Measures one kind of learner.
///
/// # Errors
/// Where the bench was told to stop.
pub(super) fn run(kind: Kind, questions: &Questions<'_>, plan: &Plan) -> Result<Row> {
    let (mut runs, mut curves, mut all) = (Vec::new(), Vec::new(), Vec::new());
    for shuffle in 0..plan.shuffles {
        stop::check()?;
        let order = questions.task.order(plan.seed, shuffle);
        let mut figures = Figures::new();
        let mut learner = timed(kind, questions.task, &order, &mut figures);
        curves.push(curve(kind, questions, &order));
        let outcomes = questions.outcomes(&*learner);
        add_scores(&mut figures, ("one_", ""), &outcomes, kind.is_probability);
        // Further passes are over what it has seen, which makes it too sure.
        all.extend(outcomes);
        for pass in 1..plan.passes {
            stop::check()?;
            let order = questions.task.order(plan.seed ^ u64::from(pass) << 32, shuffle);
            questions.learn(&mut *learner, &order);
        }
        add_scores(&mut figures, ("", "all_"), &questions.outcomes(&*learner), kind.is_probability);
        figures.insert("memory_mib".into(), mib(learner.bytes()));
        if let Some(bytes) = learner.snapshot_bytes() {
            figures.insert("snapshot_mib".into(), mib(bytes));
        }
        few(kind, questions, &order, &plan.shots, &mut figures);
        newcomers(kind, questions, &order, plan, &mut figures)?;
        runs.push(figures);
    }
    let (mean, spread) = score::mean_and_spread(&runs);
    Ok(Row {
        name: kind.name.to_owned(),
        role: if kind.is_ours { Role::Ours } else { Role::Baseline },
        about: String::new(),
        problem: None,
        cut: None,
        mean,
        spread,
        runs,
        curve: joined(&curves),
        bins: if kind.is_probability { score::bins(&all) } else { Vec::new() },
    })
}

/// Accuracies under one name, and what confidence is worth under another: the first is asked for after all passes, the
/// second after one, as the product learns.
fn add_scores(
    figures: &mut Figures,
    (accuracy, sureness): (&str, &str),
    outcomes: &[Outcome],
    is_probability: bool,
) {
    for (name, value) in score::figures(outcomes, is_probability) {
        let is_accuracy = matches!(name.as_str(), "accuracy_percent" | "in_three_percent");
        figures.insert(format!("{}{name}", if is_accuracy { accuracy } else { sureness }), value);
    }
}

/// The first pass and all answers after it, as a message comes: from its text on, each with its time.
fn timed(kind: Kind, task: &Task, order: &[usize], figures: &mut Figures) -> Box<dyn Learner> {
    let (mut learns, mut answers) = (latencies(), latencies());
    let mut featurizer = Featurizer::new();
    let mut learner = kind.make();
    let begin = Instant::now();
    for (text, intent) in order.iter().filter_map(|row| task.train.get(*row)) {
        let start = Instant::now();
        learner.learn(&featurizer.features(text), *intent);
        learns.saturating_record(nanos(start.elapsed()));
    }
    figures.insert("train_s".into(), begin.elapsed().as_secs_f64());
    for text in task.test.iter().map(|(text, _)| text).chain(&task.oos) {
        let start = Instant::now();
        std::hint::black_box(learner.answer(&featurizer.features(text)));
        answers.saturating_record(nanos(start.elapsed()));
    }
    add_times(figures, "learn", &learns);
    add_times(figures, "answer", &answers);
    learner
}

pub(super) fn add_times(figures: &mut Figures, what: &str, times: &Latencies) {
    for (quantile, name) in [(0.5, "p50"), (0.99, "p99")] {
        figures.insert(format!("{what}_{name}_us"), times.value_at_quantile(quantile) as f64 / 1e3);
    }
}

fn mib(bytes: usize) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Accuracy of one pass, by examples seen so far.
fn curve(kind: Kind, questions: &Questions<'_>, order: &[usize]) -> Vec<(usize, f64)> {
    let mut learner = kind.make();
    let mut done = 0;
    let mut points = Vec::new();
    for size in sizes(order.len()) {
        questions.learn(&mut *learner, order.get(done..size).unwrap_or_default());
        done = size;
        points.push((size, questions.shares(&*learner, |_, _| true).0));
    }
    points
}

/// Sizes from a few examples to all, evenly on a logarithmic axis.
fn sizes(all: usize) -> Vec<usize> {
    let (low, high) = ((all as f64).min(10.0).ln(), (all as f64).ln());
    let at = |place: usize| (low + (high - low) * place as f64 / (CURVE_POINTS - 1) as f64).exp().round();
    let mut sizes: Vec<usize> = (0..CURVE_POINTS).map(|place| (at(place) as usize).min(all)).collect();
    sizes.dedup();
    sizes
}

/// Shuffles' curves as one: they have the same sizes.
fn joined(curves: &[Vec<(usize, f64)>]) -> Vec<Point> {
    let Some(first) = curves.first() else { return Vec::new() };
    let point = |(place, (examples, _)): (usize, &(usize, f64))| {
        let values: Vec<f64> = curves.iter().filter_map(|curve| Some(curve.get(place)?.1)).collect();
        Point {
            examples: *examples as u64,
            mean: values.iter().sum::<f64>() / values.len().max(1) as f64,
            low: values.iter().copied().fold(f64::INFINITY, f64::min),
            high: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        }
    };
    first.iter().enumerate().map(point).collect()
}

/// A model that has seen few examples of each intent, each once.
fn few(kind: Kind, questions: &Questions<'_>, order: &[usize], shots: &[usize], figures: &mut Figures) {
    for shot in shots {
        let mut learner = kind.make();
        questions.learn(&mut *learner, &questions.task.few(order, *shot));
        let (first, three) = questions.shares(&*learner, |_, _| true);
        figures.insert(format!("few_{shot}_first_percent"), first);
        figures.insert(format!("few_{shot}_three_percent"), three);
    }
}

/// Some intents are new to a model that knows all others well: each is shown few times, each alone.
fn newcomers(
    kind: Kind,
    questions: &Questions<'_>,
    order: &[usize],
    plan: &Plan,
    figures: &mut Figures,
) -> Result<()> {
    let intents = questions.task.intents.len();
    let count = (intents / NEWCOMERS.0).max(NEWCOMERS.1).min(intents - 1);
    let mut new: Vec<u32> = Vec::new();
    for (_, intent) in order.iter().filter_map(|row| questions.task.train.get(*row)) {
        // An intent that nobody asks for says nothing.
        let is_asked = questions.task.test.iter().any(|(_, asked)| asked == intent);
        if new.len() < count && is_asked && !new.contains(intent) {
            new.push(*intent);
        }
    }
    let is_new = |row: &usize| questions.task.train.get(*row).is_some_and(|(_, intent)| new.contains(intent));
    let (later, before): (Vec<usize>, Vec<usize>) = order.iter().copied().partition(is_new);
    let mut knows = kind.make();
    questions.learn(&mut *knows, &before);
    let before_any =
        questions.shares(&*knows, |wanted, place| place % ONE_IN == 0 && !new.contains(&wanted)).0;
    for shot in &plan.shots {
        let (mut first, mut three, mut others) = (0.0, 0.0, 0.0);
        for intent in &new {
            stop::check()?;
            let mut learner = knows.copied();
            let of = |row: &usize| questions.task.train.get(*row).is_some_and(|(_, one)| one == intent);
            let rows: Vec<usize> = later.iter().copied().filter(of).take(*shot).collect();
            questions.learn(&mut *learner, &rows);
            let shares = questions.shares(&*learner, |wanted, _| wanted == *intent);
            // A learner that takes everything for the new intent has learned nothing.
            let known =
                questions.shares(&*learner, |wanted, place| place % ONE_IN == 0 && !new.contains(&wanted));
            others += known.0 / new.len() as f64;
            first += shares.0 / new.len() as f64;
            three += shares.1 / new.len() as f64;
        }
        figures.insert(format!("new_{shot}_first_percent"), first);
        figures.insert(format!("new_{shot}_three_percent"), three);
        figures.insert(format!("new_{shot}_others_percent"), others);
    }
    figures.insert("new_0_others_percent".into(), before_any);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::dataset::Example;
    use crate::learn::learner::KINDS;

    #[test]
    fn sizes_go_from_few_to_all() {
        let sizes = sizes(10_003);
        assert_eq!((sizes.first(), sizes.last()), (Some(&10), Some(&10_003)));
        assert!(sizes.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(super::sizes(4).last(), Some(&4));
    }

    #[test]
    fn a_small_task_is_learned_and_measured() {
        let wishes = [
            ("refund", "my money back"),
            ("login", "a new password"),
            ("invoice", "the bill again"),
            ("parcel", "my parcel now"),
        ];
        let example = |(label, wish): &(&str, &str), ask: &str| Example {
            text: format!("{ask} {wish}"),
            label: (*label).to_owned(),
        };
        let all = |asks: &[&str]| -> Vec<Example> {
            wishes.iter().flat_map(|wish| asks.iter().map(|ask| example(wish, ask))).collect()
        };
        let oos = vec![Example { text: "zzz qqq".into(), label: "oos".into() }];
        let task =
            Task::of(all(&["I want", "please send", "give me", "can I have"]), all(&["I need"]), oos, &[])
                .unwrap();
        let plan = Plan { passes: 3, shuffles: 2, shots: vec![1, 2], seed: 1 };
        let row = run(KINDS[0], &Questions::new(&task), &plan).unwrap();
        assert_eq!(row.mean["accuracy_percent"], 100.0, "{:?}", row.mean);
        assert_eq!(row.mean["few_2_three_percent"], 100.0, "{:?}", row.mean);
        assert_eq!((row.runs.len(), row.bins.iter().map(|bin| bin.count).sum::<u64>()), (2, 10));
        for name in [
            "one_accuracy_percent",
            "auroc",
            "answer_p99_us",
            "learn_p50_us",
            "snapshot_mib",
            "new_1_first_percent",
        ] {
            assert!(row.mean.contains_key(name), "{name}");
        }
        assert_eq!(row.curve.last().map(|point| point.examples), Some(16));
    }
}
