//! Erases people, some tickets at a time beside everybody's commands, until nothing of them is left.
//!
//! What is under way is in storage, so a gateway that starts goes on where another one was killed. The log is the truth:
//! its events are redacted first, in storage and in memory; then an event of the kind `erased` tells screens, the index
//! and searchable texts, which take the ticket as it is after it.

mod person;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use waggle_core::id::{Offset, TenantId, TicketId};
use waggle_core::limits::{
    ERASED_TICKETS_PER_TURN_MAX, ERASED_VACUUM_BYTES_MAX, INDEX_TICKETS_PER_READ, REPLAY_PAGE_MS_MAX,
};
use waggle_core::right::Rights;
use waggle_core::ticket::{Actor, Authority, Command, Request, StoredEvent};

use crate::attachment::{AttachmentError, Attachments};
use crate::directory::Directory;
use crate::find::{Finder, Searcher};
use crate::learn::{Forgotten, Learner};
use crate::ledger::{Ledger, Submission, SubmitError};
use crate::store::{ErasureRow, Proof, Store, StoreError};
use person::Person;

/// Pause before something is tried again.
const PAUSE: Duration = Duration::from_millis(500);

/// Why an erasure does not go on. It does later.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ErasureError {
    /// Storage.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] SubmitError),
    /// Files.
    #[error("a file cannot be deleted: {0}")]
    File(#[from] AttachmentError),
    /// The gateway stops.
    #[error("the gateway is stopping")]
    Stopping,
    /// The index or the searchable texts are far behind the log.
    #[error("{0} are far behind the log")]
    Behind(&'static str),
}

/// One that erases, and all that it takes for it.
pub struct Eraser {
    /// Says that something was asked for.
    pub directory: Directory,
    /// Tells tickets.
    pub ledger: Ledger,
    /// The log and all else that is stored.
    pub store: Arc<dyn Store>,
    /// The index in memory.
    pub find: Finder,
    /// Searchable texts.
    pub search: Searcher,
    /// What was learned.
    pub learn: Learner,
    /// Files.
    pub attachments: Arc<Attachments>,
    /// How long what was read of the log before may still be in memory.
    pub grace: Duration,
}

/// How long push shards keep what they have read of the log.
#[must_use]
pub fn grace() -> Duration {
    Duration::from_millis(REPLAY_PAGE_MS_MAX) + PAUSE
}

impl Eraser {
    /// Erases whoever is to be erased, until `stop` changes or its sender is gone.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut revision = self.directory.revision();
        let mut is_failing = false;
        loop {
            let outcome = tokio::select! {
                _ = stop.changed() => return,
                outcome = self.turn() => outcome,
            };
            let wait = async {
                match &outcome {
                    // The sender lives as long as the directory, which is here.
                    Ok(()) => drop(revision.changed().await),
                    Err(_) => tokio::time::sleep(PAUSE).await,
                }
            };
            match &outcome {
                Ok(()) => is_failing = false,
                Err(error) if !is_failing => {
                    is_failing = true;
                    tracing::warn!(%error, "erasing a person does not go on; it is tried again");
                }
                Err(_) => {}
            }
            tokio::select! {
                _ = stop.changed() => return,
                () = wait => {}
            }
        }
    }

    /// Finishes all erasures that there are: files are cleaned once for all of them.
    pub(crate) async fn turn(&self) -> Result<(), ErasureError> {
        let rows = self.store.erasures().await?;
        if rows.is_empty() {
            return Ok(());
        }
        for row in &rows {
            self.erase_tickets(row.clone()).await?;
        }
        let tenants: BTreeSet<TenantId> = rows.iter().map(|row| row.tenant).collect();
        for tenant in &tenants {
            self.catch_up(*tenant).await?;
        }
        let mut forgotten: BTreeMap<TenantId, Forgotten> = BTreeMap::new();
        for tenant in &tenants {
            // It is stopped before the store is closed.
            let done = self.learn.forget(*tenant).await.ok_or(ErasureError::Stopping)?;
            forgotten.insert(*tenant, done);
        }
        tokio::time::sleep(self.grace).await;
        for row in &rows {
            self.store.erase_requester(row).await?;
        }
        self.search.scrub(&tenants).await?;
        let is_anew = self.store.scrub(ERASED_VACUUM_BYTES_MAX).await?;
        for row in &rows {
            let proof = Proof { is_anew, model: forgotten.get(&row.tenant) };
            self.store.finish_erasure(row, proof).await?;
            tracing::info!(tenant = row.tenant.0, requester = row.requester.0, "a requester is erased");
        }
        Ok(())
    }

    async fn erase_tickets(&self, mut row: ErasureRow) -> Result<(), ErasureError> {
        for ticket in std::mem::take(&mut row.batch) {
            self.erase_ticket(&row, ticket).await?;
        }
        // A pass that began in the middle may have missed what has become the person's meanwhile.
        let mut is_whole = row.after == TicketId(0);
        loop {
            let found = self.pass(&mut row).await?;
            if found == 0 && is_whole {
                return Ok(());
            }
            (row.after, is_whole) = (TicketId(0), true);
        }
    }

    /// Looks through all tickets from where the row is on, and erases those of the person; how many those were.
    async fn pass(&self, row: &mut ErasureRow) -> Result<usize, ErasureError> {
        let Some(requester) = self.store.requester(row.tenant, row.requester).await? else { return Ok(0) };
        let person = Person::of(&requester);
        let mut found = 0;
        // The store gives columns for as long as there are higher tickets.
        while self.store.columns_after(row.tenant, row.after, 1).await?.is_some() {
            let (after, span) = (row.after, INDEX_TICKETS_PER_READ);
            let mut batch = Vec::new();
            let mut end = TicketId(after.0.saturating_add(u64::from(span)));
            for description in self.store.descriptions_after(row.tenant, after, span).await? {
                if person.has(&description) {
                    batch.push(description.ticket);
                }
                if batch.len() == ERASED_TICKETS_PER_TURN_MAX {
                    end = description.ticket;
                    break;
                }
            }
            (row.after, row.batch) = (end, batch);
            if row.batch.is_empty() {
                continue;
            }
            self.store.note_erasure(row).await?;
            for ticket in std::mem::take(&mut row.batch) {
                self.erase_ticket(row, ticket).await?;
                found += 1;
            }
        }
        self.store.note_erasure(row).await?;
        Ok(found)
    }

    async fn erase_ticket(&self, row: &ErasureRow, ticket: TicketId) -> Result<(), ErasureError> {
        let mut erased = self.erase_stored(row, ticket).await?;
        self.ledger.replace(row.tenant, &erased);
        self.tell(row.tenant, ticket).await?;
        // Everything up to the event just made is in memory now, and what came in between is erased, too.
        erased.extend(self.erase_stored(row, ticket).await?);
        self.ledger.replace(row.tenant, &erased);
        Ok(())
    }

    /// Files go before it is forgotten which there were. Whoever adds one meanwhile adds it anew.
    async fn erase_stored(
        &self,
        row: &ErasureRow,
        ticket: TicketId,
    ) -> Result<Vec<StoredEvent>, ErasureError> {
        let alone = self.attachments.alone().await;
        for hash in self.store.sole_files(row.tenant, ticket).await? {
            alone.remove(hash).await?;
        }
        Ok(self.store.erase_ticket(row, ticket).await?)
    }

    async fn tell(&self, tenant: TenantId, ticket: TicketId) -> Result<(), ErasureError> {
        let request = Request { command: Command::Erase, expect: None, fence: None };
        let authority = Authority { actor: Actor::System, rights: Rights::ALL };
        let submission = Submission { tenant, authority, ticket: Some(ticket), request, key: None };
        loop {
            match self.ledger.submit(submission).await {
                Ok(_) => return Ok(()),
                Err(SubmitError::Overload) => tokio::time::sleep(PAUSE).await,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits until whatever is made of the log has all that was erased.
    async fn catch_up(&self, tenant: TenantId) -> Result<(), ErasureError> {
        const TRIES_MAX: usize = 600;
        let head: Offset = self.ledger.head(tenant).unwrap_or_default().offset;
        for _ in 0..TRIES_MAX {
            if self.find.read(tenant, head, |_| ()).await.is_err() {
                continue;
            }
            if self.search.caught_up(tenant, head).await == 0 {
                return Ok(());
            }
        }
        Err(ErasureError::Behind("the index or the searchable texts"))
    }
}
