//! `waggle-bench seed`.

use std::path::PathBuf;

use anyhow::Result;

use super::{Order, Sizes, last_midnight_ms, make, summary};
use crate::stop;

/// What to make, and where.
#[derive(Debug, clap::Args)]
pub struct SeedArguments {
    /// Tickets, each with three messages.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=20_000_000))]
    tickets: u64,
    /// Where: a directory that holds no data yet.
    #[arg(long)]
    data_dir: PathBuf,
    /// A folder of questions that people asked: the first column of its CSV files, and the texts of its JSON
    /// files [default: phrases of the bench's own].
    #[arg(long)]
    texts: Option<PathBuf>,
    /// Queues.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(2..=1_000))]
    queues: u32,
    /// Agents.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(2..=1_000))]
    agents: u32,
    /// Fixes all randomness but the tokens'.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The end of the two years, in milliseconds since 1970 [default: the last midnight, UTC].
    #[arg(long, value_parser = clap::value_parser!(u64).range(1_000_000_000_000..=4_000_000_000_000))]
    end_ms: Option<u64>,
}

/// Makes it and says how to serve it.
///
/// # Errors
/// As [`make`].
pub fn run(arguments: &SeedArguments) -> Result<()> {
    let SeedArguments { tickets, data_dir, texts, queues, agents, seed, end_ms } = arguments;
    stop::listen()?;
    let order = Order {
        data_dir: data_dir.clone(),
        sizes: Sizes { tickets: *tickets, queues: *queues, agents: *agents, seed: *seed },
        texts: texts.clone(),
        end_ms: end_ms.unwrap_or_else(last_midnight_ms),
    };
    let manifest = make(&order)?;
    print!("{}", summary(&manifest, data_dir));
    Ok(())
}
