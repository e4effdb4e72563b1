//! What the ledger publishes to, and who finds.

use std::sync::Arc;

use crate::data_dir::DataDir;
use crate::find::{FindHub, Finder, Publishers, Searcher};
use crate::learn::LearnHub;
use crate::ledger::{Ledger, Publisher};
use crate::push::PushHub;
use crate::store::{SearchFile, Store, StoreError};

/// Where the ledger tells those who find that there is something new.
#[derive(Default)]
pub(super) struct Hubs {
    tickets: FindHub,
    texts: FindHub,
    pub(super) learn: LearnHub,
}

impl Hubs {
    /// What the ledger publishes to. The push engine is first: people wait for it.
    pub(super) fn publisher(&self, push: &PushHub) -> Arc<dyn Publisher> {
        let (tickets, texts) = (self.tickets.publisher(), self.texts.publisher());
        Arc::new(Publishers(vec![push.publisher(), self.learn.publisher(), tickets, texts]))
    }
}

/// Those who find.
pub(super) struct Find {
    pub(super) tickets: Finder,
    pub(super) texts: Searcher,
}

impl Find {
    /// Reads all tickets; texts that are not searchable become so in the background.
    pub(super) async fn start(
        hubs: &Hubs,
        dir: &DataDir,
        store: &Arc<dyn Store>,
        ledger: &Ledger,
    ) -> Result<Self, StoreError> {
        let log = Arc::new(ledger.clone());
        let tickets = Finder::start(&hubs.tickets, Arc::clone(store), Arc::clone(&log) as _).await?;
        let file = Arc::new(SearchFile::open(&dir.search()).await?);
        let texts = Searcher::start(&hubs.texts, file, Arc::clone(store), log)?;
        Ok(Self { tickets, texts })
    }

    /// Ends both.
    pub(super) async fn stop(&self) {
        self.tickets.stop().await;
        self.texts.stop().await;
    }
}
