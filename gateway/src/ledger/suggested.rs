//! What commands say of suggestions is checked against the log: nobody has seen a suggestion of a model that is still to
//! come, and only what a customer said wants something.

use waggle_core::id::{TicketId, Version};
use waggle_core::ticket::{Command, Kind, Origin};

use super::admission::storage;
use super::log::TenantLog;
use super::{Inner, Submission, SubmitError};
use crate::store::EventKinds;

impl Inner {
    pub(super) async fn check_suggested(
        &self,
        log: &TenantLog,
        submission: &Submission<'_>,
        ticket: TicketId,
    ) -> Result<(), SubmitError> {
        let (suggested, message) = match submission.request.command {
            Command::Reply { origin: Origin { suggestion, .. }, .. } => (suggestion, None),
            Command::Feedback(feedback) => (Some(feedback.suggested), Some(feedback.message)),
            Command::Label { message, .. } => (None, Some(message)),
            _ => (None, None),
        };
        let newest = log.cursor().offset;
        if let Some(suggested) = suggested.filter(|suggested| suggested.model > newest) {
            return Err(SubmitError::FutureModel { given: suggested.model, newest });
        }
        let Some(message) = message else { return Ok(()) };
        let before = Version(message.0.checked_sub(1).ok_or(SubmitError::NotAsked(message))?);
        let events = self.store.ticket_events(log.tenant, ticket, before, 1, EventKinds::All).await;
        let asks = |kind| matches!(kind, Kind::Created | Kind::Message);
        let events = events.map_err(storage)?;
        let found = events.iter().any(|event| event.version == message && asks(event.kind));
        if found { Ok(()) } else { Err(SubmitError::NotAsked(message)) }
    }
}
