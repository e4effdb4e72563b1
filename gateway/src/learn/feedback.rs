//! What is said of a suggestion is said of one that there is, whichever way it comes.

use waggle_core::id::{Offset, TicketId};
use waggle_core::right::QueueSet;

use super::{Learner, NotReady};
use crate::directory::Principal;
use crate::store::StoreError;

/// Who says something of a suggestion, and where.
pub struct Sayer<'a> {
    /// Who.
    pub principal: &'a Principal,
    /// What he sees.
    pub sees: &'a QueueSet,
    /// The command's ticket.
    pub ticket: Option<TicketId>,
    /// The command's Idempotency-Key.
    pub key: Option<&'a str>,
    /// The newest event when it came.
    pub head: Offset,
}

/// Why feedback is not taken.
#[derive(Debug, thiserror::Error)]
pub enum FeedbackFault {
    /// There is no such reply.
    #[error("there is no suggested reply {0}")]
    Unknown(u64),
    /// The model cannot say yet.
    #[error(transparent)]
    NotReady(#[from] NotReady),
    /// Storage.
    #[error("storage is not available: {0}")]
    Storage(#[from] StoreError),
}

impl Learner {
    /// Whether feedback on the suggested reply `reply` may go to the ledger. It may, too, where the ledger answers it
    /// otherwise: one that has had its effect already, and one on a ticket that is not there.
    ///
    /// A reply that is gone meanwhile, after a rollback or with whom it came from, is nothing to learn from, and no reason
    /// to refuse a reply that was made of it: only feedback is checked.
    ///
    /// # Errors
    /// [`FeedbackFault`].
    pub async fn check_feedback(&self, sayer: Sayer<'_>, reply: u64) -> Result<(), FeedbackFault> {
        let Sayer { principal, sees, ticket, key, head } = sayer;
        let tenant = principal.tenant;
        let has = self.takes(tenant, head, |model| model.has_reply(reply).then_some(()).ok_or(())).await;
        let fault = match has {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(())) => FeedbackFault::Unknown(reply),
            Err(behind) => behind.into(),
        };
        let Some(ticket) = ticket else { return Ok(()) };
        let row = self.store.ticket(tenant, ticket).await?;
        if !row.is_some_and(|row| sees.contains(row.queue) && !row.is_deleted()) {
            return Ok(());
        }
        if self.is_again(principal, key).await? { Ok(()) } else { Err(fault) }
    }

    /// Whether a request with this Idempotency-Key has had an effect already: then it is answered, though it would be
    /// refused now.
    ///
    /// # Errors
    /// Where storage cannot be asked.
    pub async fn is_again(&self, principal: &Principal, key: Option<&str>) -> Result<bool, StoreError> {
        let Some(key) = key else { return Ok(false) };
        let earlier = self.store.event_by_key(principal.tenant, principal.authority().actor, key).await?;
        Ok(earlier.is_some())
    }
}
