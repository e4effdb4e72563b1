//! Replies that the assistant sends by itself, and tickets that it gives back to people.
//!
//! What it may do is decided by the model, which is a fold of the log: how many it has sent is known after a restart, too.
//! Each reply has an Idempotency-Key of its own message, so none is ever sent twice.

use std::collections::VecDeque;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::value::RawValue;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use waggle_core::id::{Offset, TenantId, TicketId, Version};
use waggle_core::json::{JsonText, push_literal};
use waggle_core::learn::{Automatic, HANDED_OVER_TAG, Mode};
use waggle_core::limits::{AUTOMATIC_REPLIES_MAX, AUTOMATIC_WAITING_MAX};
use waggle_core::right::Rights;
use waggle_core::ticket::{Actor, Authority, Command, Details, Expect, Origin, Refusal, Request, Suggested};

use super::ByTenant;
use super::dialogues;
use super::state::Tenants;
use crate::ledger::{self, Ledger, Outcome, Submission, SubmitError};
use crate::store::{Store, StoreError};
use crate::wall_clock::now;

/// A customer's message in a queue where the assistant may reply by itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trigger {
    pub(super) tenant: TenantId,
    pub(super) ticket: TicketId,
    pub(super) message: Version,
    pub(super) offset: Offset,
}

/// Who replies. Each tenant has a line of its own, of which one message at a time has its turn: caps count those before
/// it, and nobody waits for another tenant's model.
pub(super) struct Robot {
    store: Arc<dyn Store>,
    ledger: Ledger,
    tenants: Arc<Tenants>,
    /// How long a message waits for the model to have learned everything before it.
    patience: Duration,
    lines: Mutex<ByTenant<VecDeque<Waiting>>>,
    /// Replies of all tenants that are being made.
    places: Semaphore,
}

struct Waiting {
    trigger: Trigger,
    until: Instant,
}

impl Robot {
    pub(super) fn new(
        store: Arc<dyn Store>,
        ledger: Ledger,
        tenants: Arc<Tenants>,
        patience: Duration,
    ) -> Self {
        let places = Semaphore::new(AUTOMATIC_REPLIES_MAX);
        Self { store, ledger, tenants, patience, lines: Mutex::default(), places }
    }

    /// Lets a message wait for its turn, where its tenant's line has room; else it is left to people.
    pub(super) fn take(self: &Arc<Self>, trigger: Trigger) {
        let waiting = Waiting { trigger, until: Instant::now() + self.patience };
        match self.lines.lock().entry(trigger.tenant) {
            Entry::Occupied(line) if line.get().len() >= AUTOMATIC_WAITING_MAX => {
                return self.leave(trigger, "too many messages wait for one");
            }
            Entry::Occupied(mut line) => return line.get_mut().push_back(waiting),
            Entry::Vacant(line) => drop(line.insert(VecDeque::from([waiting]))),
        }
        let robot = Arc::clone(self);
        tokio::spawn(async move {
            while let Some(waiting) = robot.next(trigger.tenant) {
                let (own, trigger) = (Arc::clone(&robot), waiting.trigger);
                // In a task of its own: where it panics the line goes on.
                if tokio::spawn(async move { own.reply(waiting).await }).await.is_err() {
                    robot.leave(trigger, "it was cut short");
                }
            }
        });
    }

    /// It waits for people, as if the mode were not auto.
    fn leave(&self, trigger: Trigger, why: &'static str) {
        self.tenants.stats.left.add(1);
        tracing::debug!(ticket = %trigger.ticket, why, "no automatic reply");
    }

    /// The next one of a tenant's line, which ends with the last.
    fn next(&self, tenant: TenantId) -> Option<Waiting> {
        let mut lines = self.lines.lock();
        let next = lines.get_mut(&tenant)?.pop_front();
        if next.is_none() {
            lines.remove(&tenant);
        }
        next
    }

    async fn reply(&self, waiting: Waiting) {
        let Waiting { trigger, until } = waiting;
        let known = self.tenants.of(trigger.tenant);
        // Not only its message: the reply before it counts, and modes that were set since.
        let head = self.ledger.head(trigger.tenant).unwrap_or_default().offset.max(trigger.offset);
        if !(known.is_ready() && known.reached(head, until).await) {
            return self.leave(trigger, "the assistant is too far behind");
        }
        // Nothing that has a place waits for a model.
        let Ok(Ok(_place)) = timeout_at(until, self.places.acquire()).await else {
            return self.leave(trigger, "too many are being made");
        };
        if let Err(error) = self.attempt(trigger).await {
            tracing::warn!(%error, ticket = %trigger.ticket, "an automatic reply failed");
            self.leave(trigger, "it failed");
        }
    }

    async fn attempt(&self, trigger: Trigger) -> Result<(), SubmitError> {
        let (dialogue, _) =
            dialogues::load(&*self.store, trigger.tenant, trigger.ticket).await.map_err(storage)?;
        // Somebody has answered, or the customer has written more.
        let Some(ask) = dialogue.ask().filter(|ask| ask.message() == trigger.message) else {
            return Ok(());
        };
        let (decided, model) = {
            let known = self.tenants.of(trigger.tenant);
            let model = known.model.read();
            // It may send what was rolled back, or what somebody wrote who is erased.
            if known.is_superseded() {
                self.leave(trigger, "the model is being folded anew");
                return Ok(());
            }
            if !matches!(model.mode(ask.queue()), Mode::Auto { .. }) {
                return Ok(());
            }
            (model.automatic(&ask, now()), model.version().version)
        };
        match decided {
            Automatic::No { why } => {
                tracing::debug!(ticket = %trigger.ticket, why, "no automatic reply");
                Ok(())
            }
            Automatic::Send { reply, text, .. } => {
                self.send(trigger, &text, Suggested { model, reply }).await
            }
            Automatic::HandOver { why } => self.hand_over(trigger, why).await,
        }
    }

    async fn send(&self, trigger: Trigger, text: &str, suggested: Suggested) -> Result<(), SubmitError> {
        let literal = literal(text);
        let Ok(text) = JsonText::from_literal(&literal) else { return Ok(()) };
        let origin = Origin { suggestion: Some(suggested), made_with: None, is_automatic: true };
        let command = Command::Reply { text, status: None, seen: None, origin };
        match self.submit(trigger, "reply", command, Some(Expect::Version(trigger.message))).await {
            Ok(Outcome { replayed, .. }) => {
                self.tenants.stats.automatic.add(u64::from(!replayed));
                Ok(())
            }
            // Something has become of the ticket meanwhile.
            Err(SubmitError::Refused(Refusal::StaleVersion { .. })) => Ok(()),
            // Somebody is at it.
            Err(SubmitError::Refused(Refusal::NotHolder | Refusal::Closed | Refusal::Deleted)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn hand_over(&self, trigger: Trigger, why: &str) -> Result<(), SubmitError> {
        let mut tags = vec![b'{'];
        push_literal(&mut tags, HANDED_OVER_TAG);
        tags.extend_from_slice(b":true}");
        let tags = String::from_utf8_lossy(&tags).into_owned();
        let tags = RawValue::from_string(tags).ok();
        let details = Details { tags: tags.as_deref(), ..Details::default() };
        let set = Command::Set { subject: None, priority: None, queue: None, status: None, details };
        match self.submit(trigger, "hand-over", set, None).await {
            Ok(outcome) => self.tenants.stats.handed_over.add(u64::from(!outcome.replayed)),
            // Somebody has it already, or it is closed: there is nothing to give back.
            Err(SubmitError::Refused(Refusal::NotHolder | Refusal::Closed | Refusal::Deleted)) => {
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        let literal = literal(&format!("The assistant leaves this ticket to people: {why}."));
        if let Ok(text) = JsonText::from_literal(&literal) {
            self.submit(trigger, "hand-over-note", Command::Note { text }, None).await?;
        }
        Ok(())
    }

    async fn submit(
        &self,
        trigger: Trigger,
        what: &str,
        command: Command<'_>,
        expect: Option<Expect>,
    ) -> Result<Outcome, SubmitError> {
        let key = format!("assistant/{what}/{}/{}", trigger.ticket, trigger.message);
        let fingerprint = ledger::fingerprint("assistant", &key, command.name().as_bytes());
        let submission = Submission {
            tenant: trigger.tenant,
            authority: Authority { actor: Actor::System, rights: Rights::ALL },
            ticket: Some(trigger.ticket),
            request: Request { command, expect, fence: None },
            key: Some((&key, fingerprint)),
        };
        self.ledger.submit(submission).await
    }
}

fn literal(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len() + 2);
    push_literal(&mut out, text);
    String::from_utf8_lossy(&out).into_owned()
}

fn storage(error: StoreError) -> SubmitError {
    SubmitError::Storage(Arc::new(error))
}
