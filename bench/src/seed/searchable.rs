//! Makes the texts of a log searchable, as a gateway does in the background: what is measured then is not that work.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use async_trait::async_trait;
use waggle_core::id::{Offset, TenantId};
use waggle_core::ticket::Entry;
use waggle_gateway::data_dir::DataDir;
use waggle_gateway::find::{FindHub, Log, Searcher};
use waggle_gateway::store::{SearchFile, Store, StoreError};

/// Between two looks at how far it is.
const LOOK: Duration = Duration::from_millis(100);
/// Between two lines of progress.
const LINE: Duration = Duration::from_secs(2);

/// The log as storage has it; nobody writes to it.
struct Stored(Arc<dyn Store>);

#[async_trait]
impl Log for Stored {
    async fn read_after(
        &self,
        tenant: TenantId,
        after: Offset,
        limit: usize,
    ) -> Result<Vec<Arc<Entry>>, StoreError> {
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let events = self.0.events_after(tenant, after, limit).await?;
        Ok(events.iter().map(|event| Arc::new(Entry::from_stored(event))).collect())
    }
}

/// All texts of `store`, whose directory is `dir`.
pub(super) async fn make_searchable(dir: &DataDir, store: Arc<dyn Store>) -> Result<()> {
    let heads = store.heads().await?;
    let file = Arc::new(SearchFile::open(&dir.search()).await?);
    let log = Arc::new(Stored(Arc::clone(&store)));
    let searcher = Searcher::start(&FindHub::new(), file, store, log)?;
    let mut told = Instant::now();
    for head in heads {
        loop {
            let progress = searcher.progress();
            let reached =
                progress.iter().find(|(tenant, _)| *tenant == head.tenant).map(|(_, offset)| *offset);
            let reached = reached.unwrap_or_default();
            if reached >= head.cursor.offset {
                break;
            }
            if told.elapsed() > LINE {
                told = Instant::now();
                eprintln!("texts of {reached} of {} events are searchable", head.cursor.offset);
            }
            crate::stop::check().context("texts are not all searchable")?;
            tokio::time::sleep(LOOK).await;
        }
    }
    searcher.stop().await;
    Ok(())
}
