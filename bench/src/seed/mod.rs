//! Data for benchmarks at size: a directory with a tenant, its people and two years of tickets, as
//! `waggle-bench seed` makes it and `run … --seeded` serves a copy of it.
//!
//! What a ticket is like follows from the seed and its number alone ([`shape`]), so that a scenario knows every
//! ticket's version and status without asking. The events are decided by core and written by the gateway's own
//! store; of that, and of nothing else of the gateway's insides, this module makes use.

mod corpus;
mod log;
mod manifest;
mod people;
mod phrase;
mod shape;
mod texts;

pub use manifest::{Manifest, Seeded};
pub use shape::{Outcome, Shape, Sizes};

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use time::OffsetDateTime;
use waggle_gateway::data_dir::DataDir;
use waggle_gateway::store::{SqliteStore, Store as _};

use corpus::Corpus;
use log::Log;
use people::People;
use texts::Texts;

/// Milliseconds of a day.
const DAY_MS: u64 = 86_400_000;
/// Events of one transaction.
const BATCH_EVENTS: usize = 4_096;
/// Batches between two lines of progress.
const BATCHES_PER_LINE: u64 = 64;

/// What to make.
#[derive(Debug, Clone)]
pub struct Order {
    /// Where: a directory that holds no data yet.
    pub data_dir: PathBuf,
    /// Sizes, and the seed of all randomness.
    pub sizes: Sizes,
    /// A folder of question texts (CSV and JSON), instead of phrases of the bench's own.
    pub texts: Option<PathBuf>,
    /// The end of the two years, in milliseconds since 1970.
    pub end_ms: u64,
}

/// The last midnight, UTC, in milliseconds since 1970: where the two years end when nobody says.
#[must_use]
pub fn last_midnight_ms() -> u64 {
    let seconds = u64::try_from(OffsetDateTime::now_utc().unix_timestamp()).unwrap_or(0);
    seconds * 1_000 / DAY_MS * DAY_MS
}

/// Makes it.
///
/// # Errors
/// Where the directory cannot be used or holds data already, or the texts cannot be read.
pub fn make(order: &Order) -> Result<Manifest> {
    let corpus = match &order.texts {
        Some(folder) => Corpus::read(folder)?,
        None => Corpus::phrases(order.sizes.seed),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(fill(order, corpus))
}

async fn fill(order: &Order, corpus: Corpus) -> Result<Manifest> {
    let dir = DataDir::open(&order.data_dir)?;
    let _lock = dir.lock()?;
    if dir.database().exists() {
        bail!("{} holds data already; expected a directory without", order.data_dir.display());
    }
    let store = SqliteStore::open(&dir.database()).await?;
    let people = People::make(&store, &order.sizes).await?;
    let mut texts = Texts::new(corpus, order.sizes.seed);
    let words = texts.words();
    let begin = Instant::now();
    let log = Log::new(&order.sizes, order.end_ms, &people, &mut texts);
    let (events, statuses) = write(&store, log, order.sizes.tickets, begin).await?;
    store.close().await;
    people.write(&dir.demo())?;
    let manifest = Manifest { sizes: order.sizes, end_ms: order.end_ms, events, statuses, words };
    manifest.save(&order.data_dir)?;
    Ok(manifest)
}

/// Commits all events; returns how many, and how many tickets are in each status.
async fn write(
    store: &SqliteStore,
    mut log: Log<'_>,
    tickets: u64,
    begin: Instant,
) -> Result<(u64, Vec<u64>)> {
    let mut batches = 0;
    loop {
        crate::stop::check()?;
        let batch = log.batch(BATCH_EVENTS)?;
        if batch.is_empty() {
            break;
        }
        store.commit(&batch).await.context("cannot write a batch")?;
        batches += 1;
        if batches % BATCHES_PER_LINE == 0 {
            let (made, events) = (log.tickets(), log.events());
            let seconds = begin.elapsed().as_secs_f64();
            eprintln!(
                "{made} of {tickets} tickets, {events} events in {seconds:.0} s, {:.0} events/s",
                events as f64 / seconds
            );
        }
    }
    Ok((log.events(), log.statuses().to_vec()))
}

/// What was made, and how to serve it.
#[must_use]
pub fn summary(manifest: &Manifest, data_dir: &Path) -> String {
    use std::fmt::Write as _;
    let Manifest { sizes, events, statuses, words, .. } = manifest;
    let names = Outcome::ALL.map(Outcome::status_name);
    let mut text = format!(
        "{} tickets with {events} events in {} queues, {} agents, {} words to search for\n",
        sizes.tickets,
        sizes.queues,
        sizes.agents,
        words.len()
    );
    for (name, count) in names.iter().zip(statuses) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {name:<8} {count:>9}");
    }
    let dir = data_dir.display();
    let _ = write!(
        text,
        "serve it:   waggle serve --data-dir {dir} --demo     (its ready message has the agents' tokens)\n\
         measure it: waggle-bench run list --seeded {dir}     (a copy of it)\n"
    );
    text
}
