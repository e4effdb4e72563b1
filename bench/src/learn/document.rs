//! What a run of `learn` writes down.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::score::Bin;
use super::task::DataFacts;
use crate::facts::Facts;
use crate::result::Figures;

/// The shape of documents that this code writes and reads.
pub(super) const SCHEMA: u32 = 1;

/// How it was run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Settings {
    /// Passes over the training set.
    pub passes: u32,
    /// Orders of the training set that figures are means of.
    pub shuffles: u32,
    /// Examples of each intent in few-shot cells.
    pub shots: Vec<usize>,
    /// Of all randomness.
    pub seed: u64,
}

/// Whose row it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Role {
    /// What Waggle uses.
    Ours,
    /// Another learner in the same harness, over the same features.
    Baseline,
    /// Another library.
    Peer,
}

/// A point of a learning curve: accuracy in percent over the shuffles.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Point {
    /// Examples seen until then.
    pub examples: u64,
    /// Over the shuffles.
    pub mean: f64,
    /// The worst shuffle.
    pub low: f64,
    /// The best shuffle.
    pub high: f64,
}

/// One learner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Row {
    /// As in tables and pictures.
    pub name: String,
    /// Whose.
    pub role: Role,
    /// Versions of a peer's packages.
    #[serde(default)]
    pub about: String,
    /// Why there are no figures, where there are none.
    #[serde(default)]
    pub problem: Option<String>,
    /// What there is of it, where it was ended before it had done all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<String>,
    /// Over the shuffles.
    pub mean: Figures,
    /// Standard deviation over the shuffles.
    pub spread: Figures,
    /// Each shuffle.
    pub runs: Vec<Figures>,
    /// Accuracy of one pass by examples seen.
    pub curve: Vec<Point>,
    /// The reliability diagram, of all shuffles together; empty where confidence is no probability.
    pub bins: Vec<Bin>,
}

impl Row {
    /// One that could not be measured.
    #[must_use]
    pub(super) fn failed(name: &str, problem: String) -> Self {
        Self {
            name: name.to_owned(),
            role: Role::Peer,
            about: String::new(),
            problem: Some(problem),
            cut: None,
            mean: Figures::new(),
            spread: Figures::new(),
            runs: Vec::new(),
            curve: Vec::new(),
            bins: Vec::new(),
        }
    }
}

/// A result with all that it belongs to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Document {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The file's name, without its end.
    pub name: String,
    /// On what.
    pub data: DataFacts,
    /// How.
    pub settings: Settings,
    /// Where.
    pub facts: Facts,
    /// The learners.
    pub rows: Vec<Row>,
}

impl Document {
    /// Writes it, a line per row.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub(super) fn save(&self, path: &Path) -> Result<()> {
        let rows = self.rows.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
        let text = format!(
            "{{\n\"schema\": {},\n\"name\": {},\n\"data\": {},\n\"settings\": {},\n\"facts\": {},\n\"rows\": [\n{}\n]\n}}\n",
            self.schema,
            serde_json::to_string(&self.name)?,
            serde_json::to_string(&self.data)?,
            serde_json::to_string(&self.settings)?,
            serde_json::to_string(&self.facts)?,
            rows.join(",\n"),
        );
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}
