//! Admission: the decision about a command, before storage is touched.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use waggle_core::id::{Fence, QueueId, TenantId, TicketId, Version};
use waggle_core::ledger::{Admitted, Slot, Written};
use waggle_core::right::Right;
use waggle_core::ticket::{
    Authority, Category, Cell, Command, Entry, Followers, Lifecycles, NewEvent, Refusal, Status, StoredEvent,
};
use waggle_core::time::Timestamp;

use super::careful::{Attempt, deleted};
use super::cells::Generation;
use super::keys::{KeyLease, Turn};
use super::log::TenantLog;
use super::suggested::Said;
use super::writer::{Answer, Caller, Item};
use super::{Inner, Outcome, Submission, SubmitError};
use crate::store::{KeyRecord, Standing, StoreError};
pub(super) use crate::wall_clock::now;

/// A key that this request may use, with what is stored of it.
pub(super) struct HeldKey {
    lease: KeyLease,
    record: KeyRecord,
}

impl Inner {
    pub(super) async fn submit(&self, submission: Submission<'_>) -> Result<Outcome, SubmitError> {
        let outcome = self.run(submission).await;
        match &outcome {
            Ok(outcome) if outcome.replayed => &self.stats.replayed,
            Ok(_) => return outcome,
            Err(SubmitError::Overload) => &self.stats.overloaded,
            Err(_) => &self.stats.refused,
        }
        .fetch_add(1, Ordering::Relaxed);
        outcome
    }

    async fn run(&self, submission: Submission<'_>) -> Result<Outcome, SubmitError> {
        if self.stopping.load(Ordering::Acquire) {
            return Err(SubmitError::Stopping);
        }
        let log = self.log(submission.tenant).await?;
        let permit = Arc::clone(&self.permits).try_acquire_owned().map_err(|_| SubmitError::Overload)?;
        let key = match submission.key {
            None => None,
            Some((key, fingerprint)) => match self.take_key(&submission, key, fingerprint).await? {
                Ok(held) => Some(held),
                Err(earlier) => return Ok(earlier),
            },
        };
        let answer = match submission.request.command {
            Command::Link { .. } | Command::Merge { .. } | Command::Split { .. } => {
                Box::pin(self.admit_pair(&log, submission, permit, key)).await?
            }
            Command::Delete | Command::Restore => {
                Box::pin(self.admit_removal(&log, submission, permit, key)).await?
            }
            _ => self.admit(&log, submission, permit, key).await?,
        };
        let entry = answer.await.map_err(|_| SubmitError::Stopping)??;
        Ok(Outcome { entry, replayed: false })
    }

    /// Gets the key for this request, or the outcome that an earlier request with it had.
    async fn take_key(
        &self,
        submission: &Submission<'_>,
        key: &str,
        fingerprint: u64,
    ) -> Result<Result<HeldKey, Outcome>, SubmitError> {
        let caller = submission.authority.actor;
        let lease = loop {
            match self.keys.turn(submission.tenant, caller, key, fingerprint) {
                Turn::Lease(lease) => break lease,
                Turn::Other => return Err(SubmitError::KeyReused),
                // The error says that the lease has ended: that is the news.
                Turn::Wait(mut over) => while over.changed().await.is_ok() {},
            }
        };
        let earlier = self.store.event_by_key(submission.tenant, caller, key).await.map_err(storage)?;
        match earlier {
            Some((_, other)) if other != fingerprint => Err(SubmitError::KeyReused),
            // The answer tells of a ticket: whoever may not see it any more is not told.
            Some((event, _)) if !self.may_be_told(submission, &event) => {
                Err(SubmitError::NoSuchTicket(event.ticket))
            }
            Some((event, _)) => {
                Ok(Err(Outcome { entry: Arc::new(Entry::from_stored(&event)), replayed: true }))
            }
            None => Ok(Ok(HeldKey { lease, record: KeyRecord { caller, key: key.to_owned(), fingerprint } })),
        }
    }

    async fn admit(
        &self,
        log: &TenantLog,
        submission: Submission<'_>,
        permit: OwnedSemaphorePermit,
        key: Option<HeldKey>,
    ) -> Result<oneshot::Receiver<Answer>, SubmitError> {
        let generation = self.generation.load_full();
        self.check_references(&submission)?;
        let at = now();
        let lifecycles = self.directory.lifecycles(log.tenant);
        let (slot, event) = match (submission.ticket, submission.request.command) {
            (None, Command::Create { follow_up_of, .. }) => {
                if let Some(closed) = follow_up_of {
                    self.check_closed(&generation, &lifecycles, &submission, closed).await?;
                }
                let details = self.new_details(&submission)?;
                if details.requester().is_some() {
                    Box::pin(self.check_requester(log.tenant, &details)).await?;
                }
                let (slot, event) = create(&generation, &lifecycles, log, &submission, at)?;
                (slot, event.with_details(&details))
            }
            (Some(ticket), _) => {
                let (slot, authority) = match submission.request.command {
                    Command::Teach { .. } => self.tenant_slot(&generation, log, &submission, ticket).await?,
                    _ => {
                        let slot = self.slot(&generation, log.tenant, ticket).await?;
                        let authority = self.authority_in(&submission, ticket, &slot)?;
                        (slot, authority)
                    }
                };
                if let Some(said) = Said::of(&submission.request.command) {
                    // What is deleted does not exist: nothing is told of what it has or has not.
                    if slot.cell.load().is_deleted() {
                        return Err(deleted(ticket, authority));
                    }
                    Box::pin(self.check_said(log, ticket, said)).await?;
                }
                let submission = Submission { authority, ..submission };
                let attempt =
                    Attempt { slot: &slot, lifecycles: &lifecycles, ticket, submission: &submission, at };
                let event = self.reserve(attempt).await?;
                (slot, event)
            }
            (None, _) => return Err(SubmitError::WrongTarget),
        };
        // From here to the channel nothing waits, so a version that is taken always arrives.
        let texts = Texts::of(&submission.request.command);
        let (caller, answered) = caller(&generation, texts, permit, key);
        let item: Item = Admitted { tenant: log.tenant, slot, event, caller, with: None };
        self.items.try_send(item).map_err(|_| SubmitError::Stopping)?;
        Ok(answered)
    }

    /// A command on two tickets has found both there: neither goes before both are told.
    async fn admit_removal(
        &self,
        log: &TenantLog,
        submission: Submission<'_>,
        permit: OwnedSemaphorePermit,
        key: Option<HeldKey>,
    ) -> Result<oneshot::Receiver<Answer>, SubmitError> {
        let _turn = log.pairs.lock().await;
        self.admit(log, submission, permit, key).await
    }

    /// What a command names must exist in its tenant, for whoever sends it.
    fn check_references(&self, submission: &Submission<'_>) -> Result<(), SubmitError> {
        let tenant = submission.tenant;
        let queue = |queue: QueueId, right: Right| {
            if !self.directory.has_queue(tenant, queue) {
                return Err(SubmitError::NoSuchQueue(queue));
            }
            let rights = self.directory.narrowed(tenant, submission.authority, queue).rights;
            match rights.has(right) {
                true => Ok(()),
                false if rights.has(Right::See) => Err(SubmitError::Lacking { right, queue }),
                false => Err(SubmitError::NoSuchQueue(queue)),
            }
        };
        match submission.request.command {
            Command::Create { .. } if submission.ticket.is_some() => Err(SubmitError::WrongTarget),
            Command::Create { queue: named, .. } => queue(named, Right::Create),
            Command::Set { queue: Some(named), .. } => queue(named, Right::MoveQueue),
            Command::Assign { agent } if !self.directory.has_agent(tenant, agent) => {
                Err(SubmitError::NoSuchAgent(agent))
            }
            _ => Ok(()),
        }
    }

    /// The rights that count for a ticket: those of its author in the queue where it is now. A ticket that is being
    /// moved at the same moment counts where it was.
    pub(super) fn authority_in(
        &self,
        submission: &Submission<'_>,
        ticket: TicketId,
        slot: &Slot,
    ) -> Result<Authority, SubmitError> {
        let queue = slot.queue();
        let authority = self.directory.narrowed(submission.tenant, submission.authority, queue);
        if !authority.rights.has(Right::See) {
            return Err(SubmitError::NoSuchTicket(ticket));
        }
        match submission.request.command {
            Command::Assign { agent } if !self.directory.agent_sees(submission.tenant, agent, queue) => {
                Err(SubmitError::AgentCannotSee { agent, queue })
            }
            _ => Ok(authority),
        }
    }

    /// The tenant itself is in no queue: what was taught is for administrators, who alone teach.
    fn may_be_told(&self, submission: &Submission<'_>, event: &StoredEvent) -> bool {
        let teaches = matches!(submission.request.command, Command::Teach { .. });
        (event.ticket == TicketId::TENANT && teaches) || self.sees(submission, event.route.queue)
    }

    fn sees(&self, submission: &Submission<'_>, queue: QueueId) -> bool {
        self.directory.narrowed(submission.tenant, submission.authority, queue).rights.has(Right::See)
    }

    async fn check_closed(
        &self,
        generation: &Generation,
        lifecycles: &Lifecycles,
        submission: &Submission<'_>,
        ticket: TicketId,
    ) -> Result<(), SubmitError> {
        let slot = self.slot(generation, submission.tenant, ticket).await?;
        if !self.sees(submission, slot.queue()) || slot.cell.load().is_deleted() {
            return Err(SubmitError::NoSuchTicket(ticket));
        }
        match lifecycles.category(slot.cell.load().status()) {
            Category::Closed => Ok(()),
            _ => Err(SubmitError::NotClosed(ticket)),
        }
    }

    pub(super) async fn slot(
        &self,
        generation: &Generation,
        tenant: TenantId,
        ticket: TicketId,
    ) -> Result<Arc<Slot>, SubmitError> {
        if ticket == TicketId::TENANT {
            return Err(SubmitError::NoSuchTicket(ticket));
        }
        if let Some(slot) = generation.get(tenant, ticket) {
            return Ok(slot);
        }
        // A ticket without a cell has no command under way, so it cannot change between here
        // and the insertion, unless somebody else has inserted the cell meanwhile: that one stays.
        let standing = self.store.standing(tenant, ticket).await.map_err(storage)?;
        let standing = standing.ok_or(SubmitError::NoSuchTicket(ticket))?;
        Ok(generation.insert(tenant, ticket, slot_of(&standing)))
    }

    /// The tenant itself, which has no event before the first that changes it.
    async fn tenant_slot(
        &self,
        generation: &Generation,
        log: &TenantLog,
        submission: &Submission<'_>,
        ticket: TicketId,
    ) -> Result<(Arc<Slot>, Authority), SubmitError> {
        if ticket != TicketId::TENANT {
            return Err(SubmitError::WrongTarget);
        }
        let authority = self.directory.narrowed_everywhere(log.tenant, submission.authority);
        if let Some(slot) = generation.get(log.tenant, ticket) {
            return Ok((slot, authority));
        }
        let standing = self.store.standing(log.tenant, ticket).await.map_err(storage)?;
        let slot = match standing {
            Some(standing) => slot_of(&standing),
            None => {
                let cell = Cell::new(Version(0), Status::from_index(0), Fence(0), None);
                Slot::new(cell, Written::default())
            }
        };
        Ok((generation.insert(log.tenant, ticket, slot), authority))
    }

    /// The tenant's log; one of a tenant that was made a moment ago is opened now.
    async fn log(&self, tenant: TenantId) -> Result<Arc<TenantLog>, SubmitError> {
        if let Some(log) = self.tenants.read().get(&tenant) {
            return Ok(Arc::clone(log));
        }
        self.refresh_tenants().await.map_err(storage)?;
        // The directory knew the tenant, and nobody can delete one.
        self.tenants.read().get(&tenant).cloned().ok_or(SubmitError::Stopping)
    }

    pub(super) async fn refresh_tenants(&self) -> Result<(), StoreError> {
        for head in self.store.heads().await? {
            if self.tenants.read().contains_key(&head.tenant) {
                continue;
            }
            let tenant = head.tenant;
            let log = TenantLog::open(&*self.store, head).await?;
            self.tenants.write().entry(tenant).or_insert_with(|| Arc::new(log));
        }
        Ok(())
    }
}

/// What travels with a command to its answer, and where that comes.
pub(super) fn caller(
    generation: &Generation,
    texts: Texts,
    permit: OwnedSemaphorePermit,
    key: Option<HeldKey>,
) -> (Caller, oneshot::Receiver<Answer>) {
    let (lease, record) = key.map_or((None, None), |held| (Some(held.lease), Some(held.record)));
    let (answer, answered) = oneshot::channel();
    let caller = Caller {
        generation: generation.number,
        subject: texts.subject,
        requester: texts.requester,
        follow_up_of: texts.follow_up_of,
        key: record,
        answer,
        pair: None,
        _lease: lease,
        _permit: permit,
    };
    (caller, answered)
}

pub(super) fn create(
    generation: &Generation,
    lifecycles: &Lifecycles,
    log: &TenantLog,
    submission: &Submission<'_>,
    at: Timestamp,
) -> Result<(Arc<Slot>, NewEvent), SubmitError> {
    let ticket = log.next_ticket();
    let actor = submission.authority.actor;
    let event = NewEvent::created(lifecycles, ticket, &submission.request.command, actor, at)
        .ok_or(SubmitError::WrongTarget)?;
    let queue = event.queue.unwrap_or_default();
    let cell = Cell::new(event.version, event.status, event.fence, None);
    let slot = Slot::new(cell, Written { queue, ..Written::default() });
    Ok((generation.insert(log.tenant, ticket, slot), event))
}

/// A refusal with the names that its author knows statuses by.
pub(super) fn refused(lifecycles: &Lifecycles, refusal: Refusal) -> SubmitError {
    let name = |status| lifecycles.name(status).to_owned();
    match refusal {
        Refusal::NoEdge { from, to } => SubmitError::NoEdge {
            from: name(from),
            to: name(to),
            allowed: lifecycles.targets(from).map(str::to_owned).collect(),
        },
        Refusal::NoStatus { from, into } => {
            let lifecycle = lifecycles.get(into);
            let statuses = lifecycle.map(|lifecycle| lifecycle.statuses()).unwrap_or_default();
            SubmitError::StatusRequired {
                from: name(from),
                lifecycle: lifecycle.map(|lifecycle| lifecycle.name().to_owned()).unwrap_or_default(),
                allowed: statuses.iter().copied().map(name).collect(),
            }
        }
        other => SubmitError::Refused(other),
    }
}

fn slot_of(standing: &Standing) -> Slot {
    let cell = Cell::new(standing.version, standing.status, standing.fence, standing.assignee);
    let cell = if standing.is_deleted() { cell.deleted() } else { cell };
    let written = Written {
        version: standing.version,
        offset: standing.newest,
        queue: standing.queue,
        agent: standing.assignee,
        held_since: Timestamp(0),
    };
    Slot::new(cell, written).followed_by(Followers::read(&standing.extra))
}

/// Texts that the ticket's row takes from a command, escapes undone.
#[derive(Default)]
pub(super) struct Texts {
    subject: Option<String>,
    requester: Option<String>,
    follow_up_of: Option<TicketId>,
}

impl Texts {
    pub(super) fn of(command: &Command<'_>) -> Self {
        match command {
            Command::Create { subject, requester, follow_up_of, .. } => Self {
                subject: Some(subject.decode().into_owned()),
                requester: Some(requester.decode().into_owned()),
                follow_up_of: *follow_up_of,
            },
            Command::Set { subject: Some(subject), .. } => {
                Self { subject: Some(subject.decode().into_owned()), ..Self::default() }
            }
            _ => Self::default(),
        }
    }
}

pub(super) fn storage(error: StoreError) -> SubmitError {
    SubmitError::Storage(Arc::new(error))
}
