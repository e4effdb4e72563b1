//! What commands say of suggestions is checked against the log: nobody has seen a suggestion of a model that is still to
//! come, and only what a customer said wants something.

use waggle_core::id::{Offset, TicketId, Version};
use waggle_core::ticket::{Command, Kind, Origin};

use super::admission::storage;
use super::log::TenantLog;
use super::{Inner, SubmitError};
use crate::store::EventKinds;

/// What a command says of suggestions and of what customers wrote.
pub(super) struct Said {
    /// The model's version that it names.
    model: Option<Offset>,
    /// The message that it is about.
    message: Option<Version>,
}

impl Said {
    /// Most commands say nothing.
    pub(super) fn of(command: &Command<'_>) -> Option<Self> {
        let (suggested, message) = match command {
            Command::Reply { origin: Origin { suggestion, .. }, .. } => (*suggestion, None),
            Command::Feedback(feedback) => (Some(feedback.suggested), Some(feedback.message)),
            Command::Label { message, .. } => (None, Some(*message)),
            _ => (None, None),
        };
        let model = suggested.map(|suggested| suggested.model);
        (model.is_some() || message.is_some()).then_some(Self { model, message })
    }
}

impl Inner {
    pub(super) async fn check_said(
        &self,
        log: &TenantLog,
        ticket: TicketId,
        said: Said,
    ) -> Result<(), SubmitError> {
        let newest = log.cursor().offset;
        if let Some(given) = said.model.filter(|model| *model > newest) {
            return Err(SubmitError::FutureModel { given, newest });
        }
        let Some(message) = said.message else { return Ok(()) };
        let before = Version(message.0.checked_sub(1).ok_or(SubmitError::NotAsked(message))?);
        let events = self.store.ticket_events(log.tenant, ticket, before, 1, EventKinds::All).await;
        let asks = |kind| matches!(kind, Kind::Created | Kind::Message);
        let events = events.map_err(storage)?;
        let found = events.iter().any(|event| event.version == message && asks(event.kind));
        if found { Ok(()) } else { Err(SubmitError::NotAsked(message)) }
    }
}
