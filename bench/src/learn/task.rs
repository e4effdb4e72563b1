//! What is learned and what is asked: texts by number of their intent, and orders to learn them in.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::dataset::{self, Columns, Example, Source};
use crate::clock::Random;

/// Intents of a data set.
const INTENTS_MAX: usize = 4_096;

/// Which files.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Files {
    /// What is learned: a CSV, TSV, JSON or JSON lines file of texts with labels. FILE#SPLIT names a member of a
    /// JSON object of splits; without one it is `train`.
    #[arg(long)]
    pub train: Source,
    /// What is asked; without a split it is `test`.
    #[arg(long)]
    pub test: Source,
    /// Messages out of scope, which no intent is right for; without a split it is `oos_test`.
    #[arg(long)]
    pub oos: Option<Source>,
    /// A label that stands for no known intent: in the test set its messages are out of scope, in the training set they
    /// are left out; may be given again.
    #[arg(long = "unknown", value_name = "LABEL")]
    pub unknown: Vec<String>,
    /// Their names.
    #[command(flatten)]
    pub columns: Columns,
}

/// Where the figures come from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DataFacts {
    /// Files by their names, with splits.
    pub train: String,
    /// As above.
    pub test: String,
    /// As above; empty where none was given.
    pub oos: String,
    /// Different intents in the training set.
    pub intents: usize,
    /// Texts to learn from.
    pub train_texts: usize,
    /// Texts in scope to be asked.
    pub test_texts: usize,
    /// Texts out of scope.
    pub oos_texts: usize,
}

/// One data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Task {
    /// Names of intents; the numbers below are places here.
    pub intents: Vec<String>,
    /// Texts to learn from.
    pub train: Vec<(String, u32)>,
    /// Texts in scope to be asked.
    pub test: Vec<(String, u32)>,
    /// Texts out of scope.
    pub oos: Vec<String>,
    /// What a result says of it.
    pub facts: DataFacts,
}

impl Task {
    /// Reads all files.
    ///
    /// # Errors
    /// Where one cannot be read, or the test set has an intent that cannot be learned.
    pub(super) fn read(files: &Files) -> Result<Self> {
        let train = dataset::read(&files.train, &files.columns, "train")?;
        let test = dataset::read(&files.test, &files.columns, "test")?;
        let oos = match &files.oos {
            Some(source) => dataset::read(source, &files.columns, "oos_test")?,
            None => Vec::new(),
        };
        let mut task = Self::of(train, test, oos, &files.unknown)?;
        task.facts.train = shown(&files.train);
        task.facts.test = shown(&files.test);
        task.facts.oos = files.oos.as_ref().map(shown).unwrap_or_default();
        Ok(task)
    }

    /// Puts examples in order; those with a label among `unknown` are out of scope.
    ///
    /// # Errors
    /// Where the test set has an intent that cannot be learned, or there is nothing to learn or to ask.
    pub(super) fn of(
        train: Vec<Example>,
        test: Vec<Example>,
        oos: Vec<Example>,
        unknown: &[String],
    ) -> Result<Self> {
        let mut numbers: BTreeMap<String, u32> = BTreeMap::new();
        let mut task = Self {
            intents: Vec::new(),
            train: Vec::new(),
            test: Vec::new(),
            oos: Vec::new(),
            facts: DataFacts::default(),
        };
        for example in train.into_iter().filter(|example| !unknown.contains(&example.label)) {
            let next = u32::try_from(task.intents.len())?;
            let number = *numbers.entry(example.label.clone()).or_insert(next);
            if number == next {
                task.intents.push(example.label);
            }
            task.train.push((example.text, number));
        }
        for example in test {
            if unknown.contains(&example.label) {
                task.oos.push(example.text);
                continue;
            }
            let label = &example.label;
            let number = numbers.get(label).with_context(|| {
                format!(
                    "the test set has the label {label:?}, which the training set has not: expected one of its {} \
                     labels, or --unknown {label:?} where it stands for no intent",
                    task.intents.len()
                )
            })?;
            task.test.push((example.text, *number));
        }
        task.oos.extend(oos.into_iter().map(|example| example.text));
        if task.intents.len() < 2 || task.intents.len() > INTENTS_MAX || task.test.is_empty() {
            bail!(
                "{} intents to learn and {} texts to ask: expected 2 to {INTENTS_MAX} intents and at least one text",
                task.intents.len(),
                task.test.len()
            );
        }
        task.facts.intents = task.intents.len();
        task.facts.train_texts = task.train.len();
        task.facts.test_texts = task.test.len();
        task.facts.oos_texts = task.oos.len();
        Ok(task)
    }

    /// Rows of the training set in an order that follows from the seed and the number of the shuffle.
    #[must_use]
    pub(super) fn order(&self, seed: u64, shuffle: u32) -> Vec<usize> {
        let mut random = Random::new(seed.wrapping_add(u64::from(shuffle).wrapping_mul(0x9e37_79b9)));
        let mut rows: Vec<usize> = (0..self.train.len()).collect();
        // Fisher and Yates.
        for last in (1..rows.len()).rev() {
            rows.swap(last, random.below(last + 1));
        }
        rows
    }

    /// The first `shots` rows of each intent, in the order given.
    #[must_use]
    pub(super) fn few(&self, order: &[usize], shots: usize) -> Vec<usize> {
        let mut seen = vec![0_usize; self.intents.len()];
        let mut is_one_of_few = |row: usize| {
            let intent = self.train.get(row).and_then(|(_, intent)| seen.get_mut(*intent as usize));
            intent.is_some_and(|count| {
                *count += 1;
                *count <= shots
            })
        };
        order.iter().copied().filter(|row| is_one_of_few(*row)).collect()
    }
}

/// The file's name alone: where it lies is of one machine.
fn shown(source: &Source) -> String {
    let file = source.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    match &source.split {
        Some(split) => format!("{file}#{split}"),
        None => file,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn examples(pairs: &[(&str, &str)]) -> Vec<Example> {
        let of = |(text, label): &(&str, &str)| Example { text: (*text).into(), label: (*label).into() };
        pairs.iter().map(of).collect()
    }

    #[test]
    fn unknown_labels_are_out_of_scope() {
        let train = examples(&[("a", "x"), ("b", "y"), ("c", "none"), ("d", "x")]);
        let test = examples(&[("e", "y"), ("f", "none")]);
        let task =
            Task::of(train.clone(), test.clone(), examples(&[("g", "oos")]), &["none".into()]).unwrap();
        assert_eq!((task.intents.len(), task.train.len(), task.test.len()), (2, 3, 1));
        assert_eq!(task.oos, ["f", "g"]);
        assert_eq!(task.test, [("e".to_owned(), 1)]);
        let known = examples(&[("a", "x"), ("b", "y")]);
        let error = Task::of(known, test, Vec::new(), &[]).unwrap_err().to_string();
        assert!(error.contains("\"none\"") && error.contains("--unknown"), "{error}");
    }

    #[test]
    fn orders_follow_from_seed_and_shuffle() {
        let train: Vec<_> = (0..40).map(|n| (n.to_string(), if n % 4 == 0 { "x" } else { "y" })).collect();
        let pairs: Vec<_> = train.iter().map(|(text, label)| (text.as_str(), *label)).collect();
        let task = Task::of(examples(&pairs), examples(&[("q", "x")]), Vec::new(), &[]).unwrap();
        assert_eq!(task.order(1, 0), task.order(1, 0));
        assert_ne!(task.order(1, 0), task.order(1, 1));
        let mut sorted = task.order(2, 0);
        sorted.sort_unstable();
        assert_eq!(sorted, (0..40).collect::<Vec<_>>());
        let few = task.few(&task.order(1, 0), 3);
        let of = |intent| few.iter().filter(|row| task.train[**row].1 == intent).count();
        assert_eq!((few.len(), of(0), of(1)), (6, 3, 3));
    }
}
