//! What a seeded directory says of itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::shape::{Shape, Sizes};
use crate::tickets::Ticket;

const FILE: &str = "seed.json";

/// Written beside the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Sizes and seed.
    pub sizes: Sizes,
    /// The end of the two years, in milliseconds since 1970.
    pub end_ms: u64,
    /// Events in the log.
    pub events: u64,
    /// How many tickets are in each status, by the statuses' indexes.
    pub statuses: Vec<u64>,
    /// Words that its texts have.
    pub words: Vec<String>,
}

impl Manifest {
    pub(super) fn save(&self, dir: &Path) -> Result<()> {
        let path = dir.join(FILE);
        fs::write(&path, serde_json::to_string(self)?)
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// Tickets that any agent may move, at most `most`, evenly over all.
    #[must_use]
    pub fn to_move(&self, most: usize) -> Vec<Ticket> {
        let all = (1..=self.sizes.tickets)
            .filter_map(|number| Shape::of(&self.sizes, self.end_ms, number).to_move(number));
        let all: Vec<_> = all.collect();
        let count = all.len().min(most);
        // Below the length: there are `count` of them.
        (0..count).filter_map(|index| all.get(index * all.len() / count).copied()).collect()
    }
}

/// A seeded directory, of which the bench serves a copy.
#[derive(Debug, Clone)]
pub struct Seeded {
    dir: PathBuf,
    /// What is in it.
    pub manifest: Manifest,
}

impl Seeded {
    /// Looks at what `waggle-bench seed` has made.
    ///
    /// # Errors
    /// Where `dir` is none of that.
    pub fn open(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE);
        let text = fs::read_to_string(&path).with_context(|| {
            format!("{} is not seeded: expected a directory that `waggle-bench seed` has made", dir.display())
        })?;
        let manifest =
            serde_json::from_str(&text).with_context(|| format!("{} is no manifest", path.display()))?;
        Ok(Self { dir: dir.to_owned(), manifest })
    }

    /// Copies it to `to`, which must not exist; where the file system can, without copying the blocks.
    ///
    /// # Errors
    /// Where that fails.
    pub fn copy(&self, to: &Path) -> Result<()> {
        let mut command = Command::new("cp");
        let status = command.args(["-a", "--reflink=auto"]).arg(&self.dir).arg(to).status();
        match status.context("cannot run cp")? {
            status if status.success() => Ok(()),
            status => bail!("cp of {} ended with {status}", self.dir.display()),
        }
    }
}
