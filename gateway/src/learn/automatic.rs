//! Replies that the assistant sends by itself, and tickets that it gives back to people.
//!
//! What it may do is decided by the model, which is a fold of the log: how many it has sent is known after a restart, too.
//! Each reply has an Idempotency-Key of its own message, so none is ever sent twice.

use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;
use waggle_core::id::{Offset, TenantId, TicketId, Version};
use waggle_core::json::{JsonText, push_literal};
use waggle_core::learn::{Automatic, HANDED_OVER_TAG, Mode};
use waggle_core::limits::AUTOMATIC_WAIT_MS_MAX;
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

/// Who replies.
pub(super) struct Robot {
    pub(super) store: Arc<dyn Store>,
    pub(super) ledger: Ledger,
    pub(super) tenants: Arc<Tenants>,
    /// One reply of a tenant at a time, until it is learned: caps count those before it.
    pub(super) turns: parking_lot::Mutex<ByTenant<Arc<tokio::sync::Mutex<()>>>>,
}

impl Robot {
    pub(super) async fn reply(&self, trigger: Trigger) {
        let known = self.tenants.of(trigger.tenant);
        if !known.reached(trigger.offset, Duration::from_millis(AUTOMATIC_WAIT_MS_MAX)).await {
            return tracing::debug!(ticket = %trigger.ticket, "the assistant is too far behind to reply by itself");
        }
        let turn = Arc::clone(self.turns.lock().entry(trigger.tenant).or_default());
        let _turn = turn.lock().await;
        if let Err(error) = self.attempt(trigger).await {
            tracing::warn!(%error, ticket = %trigger.ticket, "no automatic reply");
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
            Ok(Outcome { entry, replayed }) => {
                self.tenants.stats.automatic.add(u64::from(!replayed));
                let known = self.tenants.of(trigger.tenant);
                known.reached(entry.offset, Duration::from_millis(AUTOMATIC_WAIT_MS_MAX)).await;
                Ok(())
            }
            // Something has become of the ticket meanwhile.
            Err(SubmitError::Refused(Refusal::StaleVersion { .. })) => Ok(()),
            // An earlier attempt has sent another one, before the gateway was started again.
            Err(SubmitError::KeyReused) => Ok(()),
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
