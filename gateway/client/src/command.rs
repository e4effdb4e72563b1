//! Commands over the push connection.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::oneshot;
use waggle_core::id::TicketId;
use waggle_core::limits::SESSION_COMMANDS_MAX;
use waggle_core::push::{EventMessage, Link};

/// An error of the server's, as in `application/problem+json` and in push results.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Problem {
    /// Stable, from the documented list.
    pub code: String,
    /// A short phrase.
    pub title: String,
    /// The HTTP status; 0 where none was given.
    pub status: u16,
    /// A sentence on this very case.
    pub detail: String,
    /// To be given to whoever reads the server's logs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let says = if self.detail.is_empty() { &self.title } else { &self.detail };
        write!(f, "{says} ({}", self.code)?;
        match &self.request_id {
            Some(id) => write!(f, ", request {id})"),
            None => f.write_str(")"),
        }
    }
}

/// Why a command has no event to show.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandFailure {
    /// The server refused it: nothing has changed.
    #[error("{0}")]
    Refused(Box<Problem>),
    /// There is no session now: nothing was sent.
    #[error("not connected; the command was not sent")]
    NotConnected,
    /// It was sent, and the connection broke before the answer. Repeat it with the same key.
    #[error(
        "the connection was lost before the answer; the command may have been carried out: repeat it with the same key"
    )]
    Lost,
    /// The answer made no sense.
    #[error("the server's answer is no result: {0}")]
    Malformed(String),
    /// Longer than the server takes.
    #[error(
        "the command message has {bytes} bytes; at most {} are taken",
        waggle_core::limits::CLIENT_MESSAGE_BYTES_MAX
    )]
    TooLong {
        /// With its envelope.
        bytes: usize,
    },
    /// The client has stopped.
    #[error("the client has stopped; the command was not sent")]
    Stopped,
}

pub(crate) type Answer = Result<EventMessage, CommandFailure>;

/// A command on its way to the driver.
#[derive(Debug)]
pub(crate) struct CommandRequest {
    pub(crate) ticket: Option<TicketId>,
    pub(crate) key: Option<String>,
    pub(crate) command: Box<RawValue>,
    pub(crate) answer: oneshot::Sender<Answer>,
}

#[derive(Serialize)]
struct CommandText<'a> {
    r#type: &'static str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ticket: Option<TicketId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    command: &'a RawValue,
}

/// Commands sent and not answered: at most [`SESSION_COMMANDS_MAX`].
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    next: u64,
    waiting: BTreeMap<String, (Link, oneshot::Sender<Answer>)>,
}

impl InFlight {
    pub(crate) fn has_room(&self) -> bool {
        self.waiting.len() < SESSION_COMMANDS_MAX
    }

    /// Takes note of a command; the text is to be sent over `link`.
    pub(crate) fn start(&mut self, link: Link, request: CommandRequest) -> Option<String> {
        self.next += 1;
        let id = format!("c{}", self.next);
        let CommandRequest { ticket, key, command, answer } = request;
        let text = CommandText { r#type: "command", id: &id, ticket, key: key.as_deref(), command: &command };
        // Strings, numbers and JSON always have a JSON text.
        let text = serde_json::to_string(&text).unwrap_or_default();
        if text.len() > waggle_core::limits::CLIENT_MESSAGE_BYTES_MAX {
            // Nobody waits where this fails.
            let _ = answer.send(Err(CommandFailure::TooLong { bytes: text.len() }));
            return None;
        }
        self.waiting.insert(id, (link, answer));
        Some(text)
    }

    pub(crate) fn finish(&mut self, id: &str, event: Option<Box<RawValue>>, error: Option<Box<RawValue>>) {
        let Some((_, answer)) = self.waiting.remove(id) else { return };
        let _ = answer.send(read_result(event, error));
    }

    /// Commands sent over `link` get no answer any more.
    pub(crate) fn lose(&mut self, link: Link) {
        let lost: Vec<String> =
            self.waiting.iter().filter(|(_, (over, _))| *over == link).map(|(id, _)| id.clone()).collect();
        for id in lost {
            if let Some((_, answer)) = self.waiting.remove(&id) {
                let _ = answer.send(Err(CommandFailure::Lost));
            }
        }
    }

    pub(crate) fn is_idle(&self, link: Link) -> bool {
        self.waiting.values().all(|(over, _)| *over != link)
    }
}

fn read_result(event: Option<Box<RawValue>>, error: Option<Box<RawValue>>) -> Answer {
    let malformed = |error: serde_json::Error| CommandFailure::Malformed(error.to_string());
    match (event, error) {
        (_, Some(error)) => {
            let problem = serde_json::from_str(error.get()).map_err(malformed)?;
            Err(CommandFailure::Refused(Box::new(problem)))
        }
        (Some(event), None) => serde_json::from_str(event.get()).map_err(malformed),
        (None, None) => Err(CommandFailure::Malformed("neither an event nor an error".to_owned())),
    }
}
