//! Commands that are decided on more than their ticket's cell: on what the ticket has, or on what has become of it since
//! their author looked.
//!
//! The cell still decides the race. What else must hold is looked up for one version of the ticket, and the command is
//! reserved on that version; where another command was faster, the look-up is done again when that one is written.

use std::time::Duration;

use serde_json::{Map, Value};
use waggle_core::id::{AgentId, TenantId, TicketId, Version};
use waggle_core::ledger::Slot;
use waggle_core::limits::{MERGE_EVENTS_MAX, OPTIMISTIC_TRIES_MAX, OPTIMISTIC_WAIT_MS_MAX};
use waggle_core::right::Right;
use waggle_core::ticket::{
    Actor, Authority, Category, Command, DetailsError, Expect, FieldSet, Followers, Intent, Kind, Lifecycles,
    NewEvent, Patch, Refusal, Status, Word, destination, find_conflict,
};
use waggle_core::time::Timestamp;

use super::admission::{refused, storage};
use super::{Inner, Submission, SubmitError};
use crate::store::{EventKinds, TicketRow};

/// Who has the ticket that a claim did not get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Who; unknown while his claim is in the making.
    pub agent: Option<AgentId>,
    /// His name.
    pub name: Option<String>,
    /// Since when; unknown where the claim is very many events ago.
    pub since: Option<Timestamp>,
}

/// Something that was said since a reply's author looked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewerMessage {
    /// The version that he saw.
    pub seen: Version,
    /// The ticket's.
    pub current: Version,
    /// The version that the first newer message made.
    pub version: Version,
    /// A message, a reply or a note.
    pub kind: Kind,
    /// Whose it is.
    pub by: Actor,
    /// When it was said.
    pub at: Timestamp,
}

/// A command on its way to its ticket.
#[derive(Clone, Copy)]
pub(super) struct Attempt<'a> {
    pub(super) slot: &'a Slot,
    pub(super) lifecycles: &'a Lifecycles,
    pub(super) ticket: TicketId,
    pub(super) submission: &'a Submission<'a>,
    pub(super) at: Timestamp,
}

impl Attempt<'_> {
    fn tenant(&self) -> TenantId {
        self.submission.tenant
    }

    /// What it means to a ticket at `word`. Another command may move the ticket before this one is decided; then there is
    /// no edge, or another lifecycle's status, which there is no edge to either.
    fn intent(&self, word: Word) -> Result<Intent, SubmitError> {
        self.submission
            .request
            .command
            .intent(self.lifecycles, word.status())?
            .ok_or(SubmitError::WrongTarget)
    }

    fn reserve(&self, intent: Intent, expect: Expect) -> Result<NewEvent, SubmitError> {
        let Submission { authority, request, .. } = self.submission;
        let reserved =
            self.slot.cell.reserve(self.lifecycles, *authority, expect, request.fence, intent).map_err(
                |refusal| match refusal {
                    Refusal::Deleted => self.deleted(*authority),
                    refusal => refused(self.lifecycles, refusal),
                },
            )?;
        let event = NewEvent::admitted(
            self.lifecycles,
            self.ticket,
            &request.command,
            &reserved.transition,
            authority.actor,
            self.at,
        );
        // Only create has no such event, and no intent: that was answered before.
        event.ok_or(SubmitError::WrongTarget)
    }

    /// What a ticket that is in `from` needs for it. A ticket that another one goes on for is not solved, and what Waggle
    /// moves by itself follows what an administrator has decided.
    fn needs_fields(&self, from: Status, intent: Intent) -> NeedsFields {
        let is_final =
            |status| matches!(self.lifecycles.category(status), Category::Solved | Category::Closed);
        let to = destination(self.lifecycles, from, intent);
        match intent {
            Intent::Merge | Intent::Settle { .. } => NeedsFields::None,
            _ if !to.is_some_and(is_final) => NeedsFields::None,
            _ if is_final(self.lifecycles.current(from)) => NeedsFields::Those,
            _ => NeedsFields::All,
        }
    }

    /// What is deleted does not exist for whoever may not delete.
    fn deleted(&self, authority: Authority) -> SubmitError {
        deleted(self.ticket, authority)
    }

    /// The version that the ticket must have. Nobody takes away what was said since he looked, so a delete goes by
    /// `expect` as by `If-Match`.
    fn expect(&self) -> Option<Expect> {
        match (self.submission.request.command, self.submission.request.expect) {
            (Command::Delete, Some(Expect::Since(version))) => Some(Expect::Version(version)),
            (_, expect) => expect,
        }
    }

    /// The version that its author of a reply saw.
    fn seen(&self) -> Option<Version> {
        match self.submission.request.command {
            Command::Reply { seen, .. } => seen,
            _ => None,
        }
    }

    fn has_details(&self) -> bool {
        matches!(self.submission.request.command, Command::Set { details, .. } if !details.is_empty())
    }
}

/// Which fields that solving needs a ticket must have after a command.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NeedsFields {
    None,
    /// Those that it has: it is solved, and stays so.
    Those,
    /// All: it is solved by it.
    All,
}

impl Inner {
    /// Decides a command on an existing ticket and takes its version.
    pub(super) async fn reserve(&self, attempt: Attempt<'_>) -> Result<NewEvent, SubmitError> {
        let word = attempt.slot.cell.load();
        let intent = attempt.intent(word)?;
        let (expect, seen) = (attempt.expect(), attempt.seen());
        let needs_fields = self.directory.fields(attempt.tenant()).has_required_at_solve();
        let mentioned = self.mentioned(&attempt);
        let needs_row = !mentioned.is_empty()
            || attempt.has_details()
            || matches!(intent, Intent::Merge)
            || (seen.is_some() && expect.is_some_and(|expect| expect != Expect::Any))
            || (needs_fields && attempt.needs_fields(word.status(), intent) == NeedsFields::All);
        if !needs_row {
            let expected = match seen.map(Expect::Since).or(expect).unwrap_or(Expect::Any) {
                // What it needs was looked up for this version.
                Expect::Any if needs_fields => Expect::Since(word.version()),
                expected => expected,
            };
            match attempt.reserve(intent, expected) {
                Err(SubmitError::Refused(Refusal::StaleVersion { .. }))
                    if matches!(expected, Expect::Since(_)) => {}
                Err(SubmitError::Refused(refusal)) => {
                    return Err(Box::pin(self.explain(attempt, refusal)).await);
                }
                decided => return decided,
            }
        }
        Box::pin(self.reserve_on_row(attempt, mentioned)).await
    }

    /// The same for a command that more must hold for than the cell knows.
    async fn reserve_on_row(
        &self,
        attempt: Attempt<'_>,
        mentioned: Vec<AgentId>,
    ) -> Result<NewEvent, SubmitError> {
        let Submission { authority, request, .. } = attempt.submission;
        let reaches_deleted = matches!(request.command, Command::Restore | Command::Erase);
        if attempt.slot.cell.load().is_deleted() && !reaches_deleted {
            return Err(attempt.deleted(*authority));
        }
        if let Some(right) = authority.rights.lacks(request.command.needs()) {
            return Err(Refusal::NeedsRight(right).into());
        }
        let fields = self.directory.fields(attempt.tenant());
        let patch = match request.command {
            Command::Set { details, .. } => details.check(&fields)?,
            Command::Merge { into } => Patch::of("merged_into", into.0.into()),
            _ => Patch::default(),
        };
        self.check_followers(attempt.tenant(), &patch)?;
        self.check_requester(attempt.tenant(), &patch).await?;
        for _ in 0..OPTIMISTIC_TRIES_MAX {
            // Asked for before the look, so that what is written after it is not missed.
            let finished = self.finished.notified();
            let row = self.store.ticket(attempt.tenant(), attempt.ticket).await.map_err(storage)?;
            let row = row.ok_or(SubmitError::NoSuchTicket(attempt.ticket))?;
            self.check_expected(&attempt, &row, &patch).await?;
            let intent = attempt.intent(attempt.slot.cell.load())?;
            let followed = following(&row, &mentioned);
            let patch = if mentioned.is_empty() { &patch } else { &followed };
            check_row(&row, patch, &fields, attempt.needs_fields(row.status, intent))?;
            match attempt.reserve(intent, Expect::Version(row.version)) {
                Ok(event) => return Ok(event.with_details(patch).with_mentions(mentioned)),
                Err(SubmitError::Refused(Refusal::StaleVersion { .. })) => {
                    // Where it takes longer, the next look tells.
                    let _ =
                        tokio::time::timeout(Duration::from_millis(OPTIMISTIC_WAIT_MS_MAX), finished).await;
                }
                Err(SubmitError::Refused(refusal)) => return Err(self.explain(attempt, refusal).await),
                Err(other) => return Err(other),
            }
        }
        Err(SubmitError::Overload)
    }

    /// Agents whom a command's text names, and who may see the ticket.
    fn mentioned(&self, attempt: &Attempt<'_>) -> Vec<AgentId> {
        match attempt.submission.request.command {
            Command::Message { text } | Command::Reply { text, .. } | Command::Note { text }
                if text.literal().contains('@') =>
            {
                self.directory.mentioned(attempt.tenant(), attempt.slot.queue(), &text.decode())
            }
            _ => Vec::new(),
        }
    }

    /// Whether nothing has become of the ticket that the command's author should have known.
    async fn check_expected(
        &self,
        attempt: &Attempt<'_>,
        row: &TicketRow,
        patch: &Patch,
    ) -> Result<(), SubmitError> {
        let request = &attempt.submission.request;
        let stale = |expected| Err(Refusal::StaleVersion { expected, current: row.version }.into());
        if let Some(Expect::Version(expected)) = request.expect
            && expected != row.version
            && expected != attempt.slot.cell.load().version()
        {
            return stale(expected);
        }
        let since = match request.expect {
            Some(Expect::Since(since)) => Some(since),
            _ => None,
        };
        let seen = attempt.seen();
        let named = [since, seen].into_iter().flatten();
        let Some(oldest) = named.clone().min().filter(|oldest| *oldest != row.version) else { return Ok(()) };
        if let Some(newest) = named.max().filter(|newest| *newest > row.version) {
            return stale(newest);
        }
        let (tenant, ticket) = (attempt.tenant(), attempt.ticket);
        let events =
            self.store.ticket_events(tenant, ticket, oldest, MERGE_EVENTS_MAX, EventKinds::All).await;
        let events = events.map_err(storage)?;
        if events.last().is_none_or(|last| last.version < row.version) {
            return stale(oldest);
        }
        if let Some(seen) = seen
            && let Some(newer) = events.iter().find(|event| event.version > seen && event.kind.has_text())
        {
            return Err(SubmitError::StaleReply(Box::new(NewerMessage {
                seen,
                current: row.version,
                version: newer.version,
                kind: newer.kind,
                by: newer.actor,
                at: newer.at,
            })));
        }
        if let Some(since) = since {
            let first = events.partition_point(|event| event.version <= since);
            let later = events.get(first..).unwrap_or_default();
            if let Some(conflict) = find_conflict(&request.command, patch, later) {
                return Err(SubmitError::FieldConflict(Box::new(conflict), row.version));
            }
        }
        Ok(())
    }

    /// The details that a new ticket gets.
    pub(super) fn new_details(&self, submission: &Submission<'_>) -> Result<Patch, SubmitError> {
        let Command::Create { details, .. } = submission.request.command else { return Ok(Patch::default()) };
        let patch = details.check_new(&self.directory.fields(submission.tenant))?;
        self.check_followers(submission.tenant, &patch)?;
        Ok(patch)
    }

    fn check_followers(&self, tenant: TenantId, patch: &Patch) -> Result<(), SubmitError> {
        match patch.new_followers().find(|agent| !self.directory.has_agent(tenant, *agent)) {
            Some(stranger) => Err(SubmitError::NoSuchAgent(stranger)),
            None => Ok(()),
        }
    }

    /// Whose ticket it is to be must be known.
    pub(super) async fn check_requester(&self, tenant: TenantId, patch: &Patch) -> Result<(), SubmitError> {
        let Some(id) = patch.requester() else { return Ok(()) };
        let found = self.store.requester(tenant, id).await.map_err(storage)?;
        // Nothing is added to somebody who is being erased.
        let found = found.filter(|requester| requester.erasure.is_none());
        found.map(|_| ()).ok_or(SubmitError::NoSuchRequester(id))
    }

    /// A refusal with what its author needs to go on.
    async fn explain(&self, attempt: Attempt<'_>, refusal: Refusal) -> SubmitError {
        match refusal {
            Refusal::AlreadyClaimed => SubmitError::Claimed(Box::new(self.holder(&attempt).await)),
            Refusal::Closed => match self.merged_into(attempt.tenant(), attempt.ticket).await {
                Some(into) => SubmitError::Merged(attempt.ticket, into),
                None => refusal.into(),
            },
            other => other.into(),
        }
    }

    /// The ticket that goes on in place of one that was merged.
    pub(super) async fn merged_into(&self, tenant: TenantId, ticket: TicketId) -> Option<TicketId> {
        let row = self.store.ticket(tenant, ticket).await.ok()??;
        let extra: Value = serde_json::from_str(&row.extra).ok()?;
        extra.get("merged_into")?.as_u64().map(TicketId)
    }

    async fn holder(&self, attempt: &Attempt<'_>) -> Holder {
        let Some(agent) = attempt.slot.cell.holder() else {
            return Holder { agent: None, name: None, since: Some(attempt.at) };
        };
        let agents = self.directory.agents(attempt.tenant());
        let name = agents.into_iter().find(|row| row.id == agent).map(|row| row.name);
        let written = attempt.slot.written();
        let since = match written.agent {
            Some(known) if known == agent && written.held_since != Timestamp(0) => Some(written.held_since),
            Some(known) if known == agent => self.claimed_at(attempt, written.version).await,
            // Admitted, and not written yet: a moment ago.
            _ => Some(attempt.at),
        };
        Holder { agent: Some(agent), name, since }
    }

    /// When the newest claim was made, of a ticket that was read from storage.
    async fn claimed_at(&self, attempt: &Attempt<'_>, newest: Version) -> Option<Timestamp> {
        let after = Version(newest.0.saturating_sub(MERGE_EVENTS_MAX));
        let (tenant, ticket) = (attempt.tenant(), attempt.ticket);
        let events = self.store.ticket_events(tenant, ticket, after, MERGE_EVENTS_MAX, EventKinds::All).await;
        let claims = |kind| matches!(kind, Kind::Claimed | Kind::Assigned);
        events.ok()?.iter().rev().find(|event| claims(event.kind)).map(|event| event.at)
    }
}

/// The change by which those who are named follow the ticket. Where it has no room for so many, they are told this time
/// only: nothing that was said is refused for that.
fn following(row: &TicketRow, mentioned: &[AgentId]) -> Patch {
    let known = Followers::read(&row.extra);
    let new = mentioned.iter().filter(|agent| !known.has(**agent));
    let new: Map<String, Value> = new.map(|agent| (agent.to_string(), true.into())).collect();
    if new.is_empty() {
        return Patch::default();
    }
    let patch = Patch::of("followers", Value::Object(new));
    if patch.apply(&row.extra).is_ok() { patch } else { Patch::default() }
}

/// Why a command on a deleted ticket is refused.
pub(super) fn deleted(ticket: TicketId, authority: Authority) -> SubmitError {
    match authority.rights.has(Right::Delete) {
        true => Refusal::Deleted.into(),
        false => SubmitError::NoSuchTicket(ticket),
    }
}

/// Whether the ticket has room for the change, and what it needs to be solved.
fn check_row(
    row: &TicketRow,
    patch: &Patch,
    fields: &FieldSet,
    needs: NeedsFields,
) -> Result<(), DetailsError> {
    if patch.is_empty() && needs != NeedsFields::All {
        return Ok(());
    }
    let after = patch.apply(&row.extra)?;
    if needs == NeedsFields::None {
        return Ok(());
    }
    let mut missing = fields.missing_at_solve(after.get("fields").and_then(Value::as_object));
    if needs == NeedsFields::Those {
        let before: Value = serde_json::from_str(&row.extra).unwrap_or_default();
        let before = fields.missing_at_solve(before.get("fields").and_then(Value::as_object));
        missing.retain(|key| !before.contains(key));
    }
    if missing.is_empty() { Ok(()) } else { Err(DetailsError::Required(missing)) }
}
