//! Commands on two tickets: link, merge, split. Both events are in one transaction.
//!
//! One such command of a tenant at a time looks at its tickets, takes both versions, and is written; so what it has seen
//! of links still holds, two merges cannot meet, and no two pairs of events wait for each other; nor is a ticket deleted
//! meanwhile. The first event is decided like any other command's. The second is of a kind that is never refused then, so
//! that nothing has to be taken back.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use waggle_core::id::{QueueId, TenantId, TicketId, Version};
use waggle_core::json::{JsonText, push_literal};
use waggle_core::ledger::{Admitted, Slot};
use waggle_core::limits::{COMMANDS_IN_FLIGHT_MAX, PARENTS_MAX};
use waggle_core::right::Right;
use waggle_core::ticket::{
    Authority, Category, Command, Details, Expect, Intent, Lifecycles, LinkKind, LinkState, NewEvent, Patch,
    Refusal, Request, Word, linked,
};
use waggle_core::time::Timestamp;

use super::admission::{HeldKey, Texts, caller, create, now, storage};
use super::careful::{Attempt, deleted};
use super::cells::Generation;
use super::log::TenantLog;
use super::writer::{Answer, Item};
use super::{Inner, Submission, SubmitError};
use crate::store::{EventKinds, TicketRow};

/// What a pair is decided with.
struct Pair<'a> {
    generation: &'a Generation,
    lifecycles: &'a Lifecycles,
    log: &'a TenantLog,
    /// With the rights in its ticket's queue.
    submission: &'a Submission<'a>,
    /// With those that its author has at most.
    asked: &'a Submission<'a>,
    /// The ticket that the command was sent to.
    ticket: TicketId,
    slot: &'a Arc<Slot>,
    at: Timestamp,
}

/// One of the two events.
type Half = (Arc<Slot>, NewEvent, Texts);

/// The text of a message, as its event has it.
#[derive(Deserialize)]
struct Said<'a> {
    #[serde(borrow)]
    text: &'a RawValue,
}

impl Inner {
    /// Decides a command on two tickets and sends both events to the writer. The answer is the first one's.
    pub(super) async fn admit_pair(
        &self,
        log: &TenantLog,
        asked: Submission<'_>,
        permit: OwnedSemaphorePermit,
        key: Option<HeldKey>,
    ) -> Result<oneshot::Receiver<Answer>, SubmitError> {
        let ticket = asked.ticket.ok_or(SubmitError::WrongTarget)?;
        let second = Arc::clone(&self.permits).try_acquire_owned().map_err(|_| SubmitError::Overload)?;
        let turn = Arc::clone(&log.pairs).lock_owned().await;
        let generation = self.generation.load_full();
        let lifecycles = self.directory.lifecycles(log.tenant);
        let slot = self.slot(&generation, log.tenant, ticket).await?;
        let authority = self.authority_in(&asked, ticket, &slot)?;
        let submission = Submission { authority, ..asked };
        let pair = Pair {
            generation: &generation,
            lifecycles: &lifecycles,
            log,
            submission: &submission,
            asked: &asked,
            ticket,
            slot: &slot,
            at: now(),
        };
        if slot.cell.load().is_deleted() {
            return Err(deleted(ticket, authority));
        }
        if let Some(right) = submission.authority.rights.lacks(submission.request.command.needs()) {
            return Err(Refusal::NeedsRight(right).into());
        }
        let (first, other) = match submission.request.command {
            Command::Link { kind, other, state } => self.link(&pair, kind, other, state).await?,
            Command::Merge { into } => self.merge(&pair, into).await?,
            Command::Split { message, subject, queue } => self.split(&pair, message, subject, queue).await?,
            _ => return Err(SubmitError::WrongTarget),
        };
        let (mut first_caller, answered) = caller(&generation, first.2, permit, key);
        first_caller.pair = Some(turn);
        let (other_caller, _) = caller(&generation, other.2, second, None);
        let tenant = log.tenant;
        let with = Admitted { tenant, slot: other.0, event: other.1, caller: other_caller, with: None };
        let item: Item = Admitted {
            tenant,
            slot: first.0,
            event: first.1,
            caller: first_caller,
            with: Some(Box::new(with)),
        };
        self.items.try_send(item).map_err(|_| SubmitError::Stopping)?;
        Ok(answered)
    }

    async fn link(
        &self,
        pair: &Pair<'_>,
        kind: LinkKind,
        other: TicketId,
        state: LinkState,
    ) -> Result<(Half, Half), SubmitError> {
        let (other_slot, authority, row, other_row) = self.both(pair, other).await?;
        let own = kind.patch(other, state);
        let theirs = kind.from_the_other().patch(pair.ticket, state);
        own.apply(&row.extra)?;
        theirs.apply(&other_row.extra)?;
        if state == LinkState::There {
            match kind {
                LinkKind::Parent => self.check_parent(pair.log.tenant, &row, other).await?,
                LinkKind::Child => self.check_parent(pair.log.tenant, &other_row, pair.ticket).await?,
                LinkKind::Related | LinkKind::Duplicate | LinkKind::Merged => {}
            }
        }
        let first = pair.linked(pair.slot, pair.ticket, pair.submission.authority, &own)?;
        let second = pair.linked(&other_slot, other, authority, &theirs)?;
        Ok((first, second))
    }

    async fn merge(&self, pair: &Pair<'_>, into: TicketId) -> Result<(Half, Half), SubmitError> {
        let tenant = pair.log.tenant;
        let (into_slot, authority, _, into_row) = self.both(pair, into).await?;
        if pair.lifecycles.category(into_slot.cell.load().status()) == Category::Closed {
            return Err(match self.merged_into(tenant, into).await {
                Some(further) => SubmitError::Merged(into, further),
                None => SubmitError::TargetClosed(into),
            });
        }
        let theirs = LinkKind::Merged.patch(pair.ticket, LinkState::There);
        theirs.apply(&into_row.extra)?;
        let attempt = Attempt {
            slot: pair.slot,
            lifecycles: pair.lifecycles,
            ticket: pair.ticket,
            submission: pair.submission,
            at: pair.at,
        };
        // The last wait: what follows is not refused.
        let event = self.reserve(attempt).await?;
        let second = pair.linked(&into_slot, into, authority, &theirs)?;
        Ok(((Arc::clone(pair.slot), event, Texts::default()), second))
    }

    async fn split(
        &self,
        pair: &Pair<'_>,
        message: Version,
        subject: JsonText<'_>,
        queue: Option<QueueId>,
    ) -> Result<(Half, Half), SubmitError> {
        let (tenant, ticket) = (pair.log.tenant, pair.ticket);
        let row = self.store.ticket(tenant, ticket).await.map_err(storage)?;
        let row = row.ok_or(SubmitError::NoSuchTicket(ticket))?;
        let queue = queue.unwrap_or(row.queue);
        self.check_create(pair.asked, queue)?;
        check_room(pair.slot)?;
        let before = Version(message.0.saturating_sub(1));
        let events =
            self.store.ticket_events(tenant, ticket, before, 1, EventKinds::All).await.map_err(storage)?;
        let found = events.iter().find(|event| event.version == message && event.kind.has_text());
        let found = found.ok_or(SubmitError::NoSuchMessage(message))?;
        // Both are as they were taken once.
        let said: Said<'_> =
            serde_json::from_str(&found.data).map_err(|_| SubmitError::NoSuchMessage(message))?;
        let text =
            JsonText::from_literal(said.text.get()).map_err(|_| SubmitError::NoSuchMessage(message))?;
        let mut requester = Vec::new();
        push_literal(&mut requester, &row.requester);
        let requester = String::from_utf8_lossy(&requester).into_owned();
        let requester =
            JsonText::from_literal(&requester).map_err(|_| SubmitError::NoSuchMessage(message))?;
        let command = Command::Create {
            queue,
            subject,
            requester,
            text,
            priority: row.priority,
            follow_up_of: None,
            details: Details::default(),
        };
        let request = Request { command, expect: None, fence: None };
        let submission = Submission { ticket: None, request, key: None, ..*pair.submission };
        let inherited = inherited(&row, message);
        // From here on nothing is refused, and nothing waits.
        let (slot, event) = create(pair.generation, pair.lifecycles, pair.log, &submission, pair.at)?;
        let new = event.ticket;
        let own = LinkKind::Related.patch(new, LinkState::There);
        own.apply(&row.extra)?;
        let event = event.with_details(&inherited);
        let second = pair.linked(pair.slot, ticket, pair.submission.authority, &own)?;
        Ok(((slot, event, Texts::of(&command)), second))
    }

    /// Whether whoever asks may make a ticket in the queue.
    fn check_create(&self, asked: &Submission<'_>, queue: QueueId) -> Result<(), SubmitError> {
        if !self.directory.has_queue(asked.tenant, queue) {
            return Err(SubmitError::NoSuchQueue(queue));
        }
        let rights = self.directory.narrowed(asked.tenant, asked.authority, queue).rights;
        match rights.has(Right::Create) {
            true => Ok(()),
            false if rights.has(Right::See) => Err(SubmitError::Lacking { right: Right::Create, queue }),
            false => Err(SubmitError::NoSuchQueue(queue)),
        }
    }

    /// The other ticket's slot, what its author may do there, the row of the command's own ticket, and the other's.
    async fn both(
        &self,
        pair: &Pair<'_>,
        other: TicketId,
    ) -> Result<(Arc<Slot>, Authority, TicketRow, TicketRow), SubmitError> {
        if other == pair.ticket {
            return Err(SubmitError::SameTicket);
        }
        let tenant = pair.log.tenant;
        let slot = self.slot(pair.generation, tenant, other).await?;
        let authority = self.authority_in(pair.asked, other, &slot)?;
        if slot.cell.load().is_deleted() {
            return Err(deleted(other, authority));
        }
        if let Some(right) = authority.rights.lacks(pair.asked.request.command.needs()) {
            return Err(Refusal::NeedsRight(right).into());
        }
        check_room(pair.slot)?;
        check_room(&slot)?;
        let row = self.store.ticket(tenant, pair.ticket).await.map_err(storage)?;
        let other_row = self.store.ticket(tenant, other).await.map_err(storage)?;
        let row = row.ok_or(SubmitError::NoSuchTicket(pair.ticket))?;
        Ok((slot, authority, row, other_row.ok_or(SubmitError::NoSuchTicket(other))?))
    }

    /// Whether `child` may become a part of `parent`: it is of no other, and `parent` is no part of it.
    async fn check_parent(
        &self,
        tenant: TenantId,
        child: &TicketRow,
        parent: TicketId,
    ) -> Result<(), SubmitError> {
        let parent_of = |row: &TicketRow| {
            let extra: Value = serde_json::from_str(&row.extra).unwrap_or_default();
            linked(&extra, LinkKind::Parent).next()
        };
        if let Some(known) = parent_of(child).filter(|known| *known != parent) {
            let detail = format!("ticket {} is a part of ticket {known} already; unlink it first", child.id);
            return Err(SubmitError::BadParent(detail));
        }
        let mut above = Some(parent);
        for _ in 0..PARENTS_MAX {
            let Some(ticket) = above else { return Ok(()) };
            if ticket == child.id {
                let detail = format!("ticket {parent} is itself a part of ticket {}", child.id);
                return Err(SubmitError::BadParent(detail));
            }
            let row = self.store.ticket(tenant, ticket).await.map_err(storage)?;
            above = row.as_ref().and_then(parent_of);
        }
        Err(SubmitError::BadParent(format!("at most {PARENTS_MAX} tickets are above one another")))
    }
}

impl Pair<'_> {
    /// The event by which a ticket learns of a tie.
    fn linked(
        &self,
        slot: &Arc<Slot>,
        ticket: TicketId,
        authority: Authority,
        patch: &Patch,
    ) -> Result<Half, SubmitError> {
        let request = &self.submission.request;
        // Never refused: the right was asked for, and there is room for more events than are ever under way.
        let reserved = slot.cell.reserve(self.lifecycles, authority, Expect::Any, None, Intent::Link)?;
        // The kind is that of a link, whatever the command is.
        let command = match request.command {
            link @ Command::Link { .. } => link,
            _ => Command::Link { kind: LinkKind::Related, other: ticket, state: LinkState::There },
        };
        let event = NewEvent::admitted(
            self.lifecycles,
            ticket,
            &command,
            &reserved.transition,
            authority.actor,
            self.at,
        );
        let event = event.ok_or(SubmitError::WrongTarget)?.with_details(patch);
        Ok((Arc::clone(slot), event, Texts::default()))
    }
}

/// Whether the ticket has versions left for this command and all that are under way.
fn check_room(slot: &Slot) -> Result<(), Refusal> {
    let under_way = u32::try_from(2 * COMMANDS_IN_FLIGHT_MAX).unwrap_or(u32::MAX);
    if slot.cell.load().version().0 < Word::VERSION_MAX - under_way {
        return Ok(());
    }
    Err(Refusal::Exhausted { what: "events", limit: Word::VERSION_MAX })
}

/// What a ticket that is split off has of the other.
fn inherited(row: &TicketRow, message: Version) -> Patch {
    let extra: Map<String, Value> = serde_json::from_str(&row.extra).unwrap_or_default();
    let mut patch = Patch::of("split_from", json!({"ticket": row.id, "version": message}));
    for (member, value) in extra {
        if matches!(member.as_str(), "fields" | "channel" | "requester_id") {
            patch = patch.with(&member, value);
        }
    }
    patch.with("links", json!({ LinkKind::Related.key(row.id): true }))
}
