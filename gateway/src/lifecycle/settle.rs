//! Lets tickets follow changes of lifecycles: by commands of Waggle's own, some at a time, until none is left.
//!
//! What is to be done is in storage, so a gateway that starts goes on where another one was killed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rustc_hash::FxHashMap;
use tokio::sync::watch;
use waggle_core::id::{QueueId, TenantId, TicketId, Version};
use waggle_core::limits::{LIFECYCLE_GRACE_MS, PAGE_ROWS_MAX, SETTLING_COMMANDS_MAX};
use waggle_core::right::Rights;
use waggle_core::ticket::{Actor, Authority, Command, Expect, Refusal, Request, Settle, Status, StatusSet};

use crate::directory::Directory;
use crate::ledger::{Ledger, Submission, SubmitError};
use crate::store::{Store, StoreError, TicketFilter};

/// Pause between two looks at what is left, while something is.
const PAUSE: Duration = Duration::from_secs(1);

/// The same, while none was found and only late ones may come.
const QUIET_PAUSE: Duration = Duration::from_secs(10);

/// What a look at everything came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Turn {
    /// Changes that are not done for good.
    pub(super) left: usize,
    /// Tickets that had not followed.
    pub(super) found: usize,
}

/// Some of a tenant's tickets, which are to leave a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Part {
    tenant: TenantId,
    /// Only this queue's; `None` where the status was removed.
    queue: Option<QueueId>,
    from: Status,
}

pub(super) struct Settler {
    directory: Directory,
    ledger: Ledger,
    store: Arc<dyn Store>,
    /// How long a part stays empty before it is done: commands that were admitted before the change are written
    /// by then.
    grace: Duration,
    /// Since when no ticket was found.
    empty: FxHashMap<Part, Instant>,
    /// Tickets found in this turn.
    found: usize,
}

/// Lets tickets follow changes of lifecycles, until `stop` changes or its sender is gone.
pub async fn keep_settled(
    directory: Directory,
    ledger: Ledger,
    store: Arc<dyn Store>,
    mut stop: watch::Receiver<bool>,
) {
    let mut revision = directory.revision();
    let mut settler = Settler::new(directory, ledger, store, Duration::from_millis(LIFECYCLE_GRACE_MS));
    let mut is_failing = false;
    loop {
        let work = async {
            let turn = settler.turn().await;
            match &turn {
                Ok(Turn { left: 0, .. }) => {
                    // The sender lives as long as the directory, which the settler has.
                    let _ = revision.changed().await;
                }
                Ok(Turn { found: 0, .. }) => tokio::time::sleep(QUIET_PAUSE).await,
                Ok(_) | Err(_) => tokio::time::sleep(PAUSE).await,
            }
            turn
        };
        let turn = tokio::select! {
            _ = stop.changed() => return,
            turn = work => turn,
        };
        match turn {
            Ok(_) => is_failing = false,
            Err(error) if !is_failing => {
                is_failing = true;
                tracing::warn!(%error, "tickets cannot follow a change of their lifecycle; it is tried again");
            }
            Err(_) => {}
        }
    }
}

impl Settler {
    pub(super) fn new(directory: Directory, ledger: Ledger, store: Arc<dyn Store>, grace: Duration) -> Self {
        Self { directory, ledger, store, grace, empty: FxHashMap::default(), found: 0 }
    }

    /// Settles what there is to settle at the moment.
    pub(super) async fn turn(&mut self) -> Result<Turn, StoreError> {
        self.found = 0;
        let mut left = 0;
        for tenant in self.directory.tenants() {
            left += self.settle_removed(tenant).await?;
        }
        for change in self.store.queue_changes().await? {
            let mut is_done = true;
            for (from, to) in change.pairs {
                let part = Part { tenant: change.tenant, queue: Some(change.queue), from };
                is_done &= self.settle(part, to).await?;
            }
            if is_done {
                self.store.finish_queue_change(change.tenant, change.queue).await?;
                self.empty.retain(|part, _| (part.tenant, part.queue) != (change.tenant, Some(change.queue)));
                tracing::info!(
                    tenant = change.tenant.0,
                    queue = change.queue.0,
                    "a queue's tickets have its lifecycle"
                );
            } else {
                left += 1;
            }
        }
        Ok(Turn { left, found: self.found })
    }

    async fn settle_removed(&mut self, tenant: TenantId) -> Result<usize, StoreError> {
        let lifecycles = self.directory.lifecycles(tenant);
        let (mut done, mut left) = (StatusSet::default(), 0);
        let retiring: Vec<_> = lifecycles.retiring().collect();
        for (from, to) in retiring {
            let part = Part { tenant, queue: None, from };
            if self.settle(part, to).await? {
                done.insert(from);
                self.empty.remove(&part);
            } else {
                left += 1;
            }
        }
        if !done.is_empty() {
            self.store.settle_statuses(tenant, &done).await?;
            self.directory.refresh(self.store.as_ref()).await?;
            tracing::info!(
                tenant = tenant.0,
                statuses = done.iter().count(),
                "no ticket has the removed statuses"
            );
        }
        Ok(left)
    }

    /// Settles a part's tickets; tells whether there have been none for so long that none will come.
    async fn settle(&mut self, part: Part, to: Status) -> Result<bool, StoreError> {
        let to = self.directory.lifecycles(part.tenant).current(to);
        let filter = TicketFilter { queue: part.queue, status: Some(part.from.into()), assignee: None };
        let mut before: Option<TicketId> = None;
        let mut found = 0;
        loop {
            let rows = self.store.tickets(part.tenant, &filter, before, PAGE_ROWS_MAX).await?;
            let Some(last) = rows.last() else { break };
            before = Some(last.id);
            found += rows.len();
            for some in rows.chunks(SETTLING_COMMANDS_MAX) {
                let settling: Vec<_> =
                    some.iter().map(|row| self.settle_one(part, row.id, row.version, to)).collect();
                join_all(settling).await;
            }
        }
        self.found += found;
        if found > 0 {
            self.empty.remove(&part);
            return Ok(false);
        }
        let since = *self.empty.entry(part).or_insert_with(Instant::now);
        Ok(since.elapsed() >= self.grace)
    }

    async fn settle_one(&self, part: Part, ticket: TicketId, seen: Version, to: Status) {
        let command = Command::Settle(Settle { from: part.from, to });
        let submission = Submission {
            tenant: part.tenant,
            authority: Authority { actor: Actor::System, rights: Rights::ALL },
            ticket: Some(ticket),
            // Whoever has written to the ticket meanwhile may have moved it to another queue.
            request: Request { command, expect: Some(Expect::Version(seen)), fence: None },
            key: None,
        };
        match self.ledger.submit(submission).await {
            // What is refused or finds no room is looked at again in the next turn.
            Ok(_)
            | Err(
                SubmitError::Refused(Refusal::StaleVersion { .. } | Refusal::Settled)
                | SubmitError::Overload
                | SubmitError::Stopping
                | SubmitError::Storage(_),
            ) => {}
            Err(error) => tracing::warn!(ticket = ticket.0, %error, "a ticket does not follow its lifecycle"),
        }
    }
}
