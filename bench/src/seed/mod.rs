//! Data for benchmarks at size: a directory with a tenant, its people and two years of tickets, as
//! `waggle-bench seed` makes it and `run … --seeded` serves a copy of it.
//!
//! What a ticket is like follows from the seed and its number alone ([`shape`]), so that a scenario knows every
//! ticket's version and status without asking. The events are decided by core and written by the gateway's own
//! store; of that, and of nothing else of the gateway's insides, this module makes use.

mod arguments;
mod corpus;
mod log;
mod manifest;
mod people;
mod phrase;
mod searchable;
mod shape;
mod texts;

pub use arguments::{SeedArguments, run};
pub use manifest::{Manifest, Seeded};
pub use shape::{Outcome, Shape, Sizes};

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use time::OffsetDateTime;
use waggle_gateway::data_dir::DataDir;
use waggle_gateway::store::{SqliteStore, Store as _};

use corpus::Corpus;
use log::Log;
use people::People;
use searchable::make_searchable;
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

/// Makes a directory with people and no tickets.
///
/// # Errors
/// As [`make`].
pub fn people(data_dir: &Path, queues: u32, agents: u32) -> Result<Seeded> {
    let sizes = Sizes { tickets: 0, queues, agents, seed: 1 };
    make(&Order { data_dir: data_dir.to_owned(), sizes, texts: None, end_ms: last_midnight_ms() })?;
    Seeded::open(data_dir)
}

async fn fill(order: &Order, corpus: Corpus) -> Result<Manifest> {
    let dir = DataDir::open(&order.data_dir)?;
    let _lock = dir.lock()?;
    if dir.database().exists() {
        bail!("{} holds data already; expected a directory without", order.data_dir.display());
    }
    let store = Arc::new(SqliteStore::open(&dir.database()).await?);
    let people = People::make(&*store, &order.sizes).await?;
    let mut texts = Texts::new(corpus, order.sizes.seed);
    let words = texts.words();
    let begin = Instant::now();
    let log = Log::new(&order.sizes, order.end_ms, &people, &mut texts);
    let (events, statuses) = write(&store, log, order.sizes.tickets, begin).await?;
    make_searchable(&dir, Arc::clone(&store) as _).await?;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn order(dir: &Path, seed: u64) -> Order {
        let sizes = Sizes { tickets: 400, queues: 5, agents: 9, seed };
        Order { data_dir: dir.to_owned(), sizes, texts: None, end_ms: 1_790_000_000_000 }
    }

    /// All rows and events, as storage has them.
    fn stored(dir: &Path) -> (Vec<waggle_gateway::store::TicketRow>, Vec<waggle_core::ticket::StoredEvent>) {
        use waggle_core::id::{Offset, TenantId};
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async {
            let store = SqliteStore::open(&DataDir::at(dir).database()).await.unwrap();
            let filter = waggle_gateway::store::TicketFilter::default();
            let mut rows = store.tickets(TenantId(1), &filter, None, 1_000).await.unwrap();
            rows.reverse();
            let events = store.events_after(TenantId(1), Offset(0), 10_000).await.unwrap();
            store.close().await;
            (rows, events)
        })
    }

    #[test]
    fn what_is_stored_is_what_the_shapes_say() {
        let dir = tempfile::tempdir().unwrap();
        let order = order(&dir.path().join("a"), 1);
        let manifest = make(&order).unwrap();
        let (rows, events) = stored(&order.data_dir);
        assert_eq!((rows.len(), events.len() as u64), (400, manifest.events));
        assert!(events.is_sorted_by_key(|event| event.at), "the log is in the order of time");
        assert_eq!(manifest.statuses.iter().sum::<u64>(), 400);
        let mut number = 0;
        for row in &rows {
            number += 1;
            let shape = Shape::of(&order.sizes, order.end_ms, number);
            assert_eq!((row.id.0, row.version.0), (number, shape.events()));
            assert_eq!(Outcome::ALL[usize::from(row.status.index())], shape.outcome);
            assert_eq!((row.created_at.0, row.priority), (shape.created_ms, shape.priority));
            assert_eq!(row.assignee.is_some(), shape.is_held);
        }
        let seeded = Seeded::open(&order.data_dir).unwrap();
        assert_eq!(seeded.manifest, manifest);
        let to_move = seeded.manifest.to_move(usize::MAX);
        assert!(to_move.iter().all(|ticket| rows[ticket.id as usize - 1].version.0 == ticket.version));
        assert_eq!(seeded.manifest.to_move(10).len(), 10);
        let copy = dir.path().join("copy");
        seeded.copy(&copy).unwrap();
        assert_eq!(stored(&copy), (rows, events));
    }

    #[test]
    fn the_same_seed_makes_the_same_log() {
        let dir = tempfile::tempdir().unwrap();
        let log = |name: &str, seed| {
            let order = order(&dir.path().join(name), seed);
            make(&order).unwrap();
            stored(&order.data_dir)
        };
        let first = log("a", 1);
        assert_eq!(first, log("b", 1));
        assert_ne!(first, log("c", 2));
    }

    #[test]
    fn data_is_never_written_over() {
        let dir = tempfile::tempdir().unwrap();
        make(&order(dir.path(), 1)).unwrap();
        let error = make(&order(dir.path(), 1)).unwrap_err().to_string();
        assert!(error.contains("holds data already"), "{error}");
        let error = Seeded::open(&dir.path().join("none")).unwrap_err().to_string();
        assert!(error.contains("waggle-bench seed"), "{error}");
    }
}
