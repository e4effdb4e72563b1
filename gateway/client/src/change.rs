//! Changes of views and token, and signals, on their way to the driver.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use tokio::sync::oneshot;
use waggle_core::id::TicketId;
use waggle_core::limits::CLIENT_CHANGES_MAX;
use waggle_core::push::{Change, ChangeError, ChangeId, SignalError, SignalKind};

use crate::command::{CommandRequest, Problem};

/// Why a change is not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeFailure {
    /// The server refused it: what was watched is watched.
    #[error("{0}")]
    Refused(Box<Problem>),
    /// Beyond a bound; nothing was sent.
    #[error(transparent)]
    Bound(#[from] ChangeError),
    /// The client has stopped. A new token that is refused stops it, too.
    #[error("the client has stopped")]
    Stopped,
}

/// Why a signal is not said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignalFailure {
    /// No server would take it.
    #[error(transparent)]
    Signal(#[from] SignalError),
    /// The client has stopped.
    #[error("the client has stopped")]
    Stopped,
}

type ChangeAnswer = Result<(), ChangeFailure>;

/// What the application wants done.
#[derive(Debug)]
pub(crate) enum Request {
    Command(CommandRequest),
    Change { change: Change, answer: oneshot::Sender<ChangeAnswer> },
    Signal { signal: OwnedSignal, answer: oneshot::Sender<Result<(), SignalError>> },
}

/// A signal to be said.
#[derive(Debug)]
pub(crate) struct OwnedSignal {
    pub(crate) kind: SignalKind,
    pub(crate) ticket: TicketId,
    pub(crate) on: bool,
    pub(crate) data: Option<Box<RawValue>>,
}

/// Who waits for which change: at most [`CLIENT_CHANGES_MAX`].
#[derive(Debug, Default)]
pub(crate) struct Changing(BTreeMap<u64, oneshot::Sender<ChangeAnswer>>);

impl Changing {
    pub(crate) fn has_room(&self) -> bool {
        self.0.len() < CLIENT_CHANGES_MAX
    }

    pub(crate) fn start(
        &mut self,
        asked: Result<ChangeId, ChangeError>,
        answer: oneshot::Sender<ChangeAnswer>,
    ) {
        match asked {
            Ok(id) => drop(self.0.insert(id.0, answer)),
            // Nobody waits where this fails.
            Err(error) => drop(answer.send(Err(error.into()))),
        }
    }

    pub(crate) fn finish(&mut self, id: ChangeId, error: Option<Box<RawValue>>) {
        let Some(answer) = self.0.remove(&id.0) else { return };
        let refused = error.map(|error| {
            // A refusal that is no problem of the documented form is a refusal still.
            let problem = serde_json::from_str(error.get()).unwrap_or_default();
            ChangeFailure::Refused(Box::new(problem))
        });
        // Nobody waits where this fails.
        let _ = answer.send(refused.map_or(Ok(()), Err));
    }
}
