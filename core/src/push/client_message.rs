//! What clients say.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::signal::{Signal, SignalKind};
use super::view::View;
use crate::id::{Cursor, Offset, TicketId};
use crate::json::JsonText;
use crate::limits::{
    CLIENT_MESSAGE_BYTES_MAX, COUNTS_PER_SESSION_MAX, IDEMPOTENCY_KEY_BYTES_MAX, MESSAGE_ID_BYTES_MAX,
    SIGNAL_DATA_BYTES_MAX, VIEWS_MAX,
};

/// A message from a client, borrowed from the received text.
#[derive(Debug, Clone)]
pub enum ClientMessage<'a> {
    /// The first message.
    Hello(Hello<'a>),
    /// All up to here has been shown.
    Ack {
        /// Cumulative.
        offset: Offset,
    },
    /// Watch more views, from now on.
    Subscribe {
        /// Echoed in the result.
        id: &'a str,
        /// Which.
        views: Vec<View>,
    },
    /// Watch fewer.
    Unsubscribe {
        /// Echoed in the result.
        id: &'a str,
        /// Which.
        views: Vec<View>,
    },
    /// A command, as over HTTP.
    Command(PushCommand<'a>),
    /// A live hint: never stored, may be lost.
    Signal(Signal<'a>),
    /// A new token for the same principal.
    Refresh {
        /// It.
        token: JsonText<'a>,
    },
}

/// The first message of a connection.
#[derive(Debug, Clone)]
pub struct Hello<'a> {
    /// An API token.
    pub token: JsonText<'a>,
    /// Where to go on.
    pub resume: Option<Cursor>,
    /// What to watch.
    pub views: Vec<View>,
    /// Unacknowledged bytes that the client takes; bounded by the server.
    pub window: Option<u32>,
}

/// A command over a push connection.
#[derive(Debug, Clone)]
pub struct PushCommand<'a> {
    /// Echoed in the result.
    pub id: &'a str,
    /// Of which ticket; none for create.
    pub ticket: Option<TicketId>,
    /// As Idempotency-Key over HTTP.
    pub key: Option<&'a str>,
    /// The same JSON object as the body of `POST /v1/tickets/{id}/commands`.
    pub command: &'a RawValue,
}

/// Why a text is no client message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Over its limit.
    #[error("the message has {bytes} bytes; at most {CLIENT_MESSAGE_BYTES_MAX} are taken")]
    TooLong {
        /// As received.
        bytes: usize,
    },
    /// Not JSON, or not of this protocol's shape.
    #[error("{0}")]
    Malformed(String),
    /// No such `type`.
    #[error(
        "unknown message type {0:?}; expected one of hello, ack, subscribe, unsubscribe, command, signal, refresh"
    )]
    UnknownType(String),
    /// A field that the message needs.
    #[error("a {message} message needs the field {field:?}")]
    MissingField {
        /// Its type.
        message: &'static str,
        /// The field.
        field: &'static str,
    },
    /// A field that the message does not take.
    #[error("a {message} message takes no field {field:?}")]
    ExtraField {
        /// Its type.
        message: &'static str,
        /// The field.
        field: &'static str,
    },
    /// An id or key over its limit, or with characters outside visible ASCII.
    #[error("{field:?} must have 1 to {limit} characters of visible ASCII, none of them \" or \\")]
    BadId {
        /// The field.
        field: &'static str,
        /// At most.
        limit: usize,
    },
    /// No such signal.
    #[error("unknown signal {0:?}; expected viewing or typing")]
    UnknownSignal(String),
    /// A signal's data is none.
    #[error(
        "a signal's data is a JSON object of at most {SIGNAL_DATA_BYTES_MAX} bytes, and comes with \"on\": true"
    )]
    SignalData,
    /// Too many views.
    #[error("{count} views; at most {VIEWS_MAX} are taken")]
    TooManyViews {
        /// As given.
        count: usize,
    },
    /// Too many of them are counts.
    #[error("{count} views are counts; at most {COUNTS_PER_SESSION_MAX} are taken")]
    TooManyCounts {
        /// As given.
        count: usize,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields<'a> {
    #[serde(borrow, rename = "type")]
    message: JsonText<'a>,
    #[serde(borrow)]
    token: Option<JsonText<'a>>,
    resume: Option<Cursor>,
    views: Option<Vec<View>>,
    window: Option<u32>,
    offset: Option<Offset>,
    #[serde(borrow)]
    id: Option<JsonText<'a>>,
    ticket: Option<TicketId>,
    #[serde(borrow)]
    key: Option<JsonText<'a>>,
    #[serde(borrow)]
    command: Option<&'a RawValue>,
    #[serde(borrow)]
    kind: Option<JsonText<'a>>,
    on: Option<bool>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

impl<'a> ClientMessage<'a> {
    /// Parses one text message.
    ///
    /// # Errors
    /// Says what is wrong and what would be right.
    pub fn parse(text: &'a [u8]) -> Result<Self, MessageError> {
        if text.len() > CLIENT_MESSAGE_BYTES_MAX {
            return Err(MessageError::TooLong { bytes: text.len() });
        }
        let fields: Fields<'a> =
            serde_json::from_slice(text).map_err(|error| MessageError::Malformed(error.to_string()))?;
        fields.into_message()
    }
}

impl<'a> Fields<'a> {
    fn into_message(self) -> Result<ClientMessage<'a>, MessageError> {
        let message = self.message.decode();
        match message.as_ref() {
            "hello" => {
                self.takes_only("hello", &["token", "resume", "views", "window"])?;
                let token = self.token.ok_or(missing("hello", "token"))?;
                let views = views(self.views.ok_or(missing("hello", "views"))?)?;
                Ok(ClientMessage::Hello(Hello { token, resume: self.resume, views, window: self.window }))
            }
            "ack" => {
                self.takes_only("ack", &["offset"])?;
                let offset = self.offset.ok_or(missing("ack", "offset"))?;
                Ok(ClientMessage::Ack { offset })
            }
            "subscribe" => {
                self.takes_only("subscribe", &["id", "views"])?;
                let id = self.id("subscribe")?;
                let views = views(self.views.ok_or(missing("subscribe", "views"))?)?;
                Ok(ClientMessage::Subscribe { id, views })
            }
            "unsubscribe" => {
                self.takes_only("unsubscribe", &["id", "views"])?;
                let id = self.id("unsubscribe")?;
                let views = views(self.views.ok_or(missing("unsubscribe", "views"))?)?;
                Ok(ClientMessage::Unsubscribe { id, views })
            }
            "command" => {
                self.takes_only("command", &["id", "ticket", "key", "command"])?;
                let id = self.id("command")?;
                let key = self.key.map(|key| visible(&key, "key", IDEMPOTENCY_KEY_BYTES_MAX)).transpose()?;
                let command = self.command.ok_or(missing("command", "command"))?;
                Ok(ClientMessage::Command(PushCommand { id, ticket: self.ticket, key, command }))
            }
            "signal" => {
                self.takes_only("signal", &["kind", "ticket", "on", "data"])?;
                self.signal().map(ClientMessage::Signal)
            }
            "refresh" => {
                self.takes_only("refresh", &["token"])?;
                let token = self.token.ok_or(missing("refresh", "token"))?;
                Ok(ClientMessage::Refresh { token })
            }
            other => Err(MessageError::UnknownType(other.chars().take(40).collect())),
        }
    }

    fn signal(&self) -> Result<Signal<'a>, MessageError> {
        let kind = self.kind.ok_or(missing("signal", "kind"))?.decode();
        let kind = SignalKind::find(&kind)
            .ok_or_else(|| MessageError::UnknownSignal(kind.chars().take(40).collect()))?;
        let ticket = self.ticket.ok_or(missing("signal", "ticket"))?;
        let on = self.on.ok_or(missing("signal", "on"))?;
        let is_object = |data: &RawValue| data.get().starts_with('{');
        match self.data {
            Some(data) if !on || !is_object(data) || data.get().len() > SIGNAL_DATA_BYTES_MAX => {
                Err(MessageError::SignalData)
            }
            data => Ok(Signal { kind, ticket, on, data }),
        }
    }

    fn id(&self, message: &'static str) -> Result<&'a str, MessageError> {
        let id = self.id.ok_or(missing(message, "id"))?;
        visible(&id, "id", MESSAGE_ID_BYTES_MAX)
    }

    fn takes_only(&self, message: &'static str, allowed: &[&'static str]) -> Result<(), MessageError> {
        let given = [
            ("token", self.token.is_some()),
            ("resume", self.resume.is_some()),
            ("views", self.views.is_some()),
            ("window", self.window.is_some()),
            ("offset", self.offset.is_some()),
            ("id", self.id.is_some()),
            ("ticket", self.ticket.is_some()),
            ("key", self.key.is_some()),
            ("command", self.command.is_some()),
            ("kind", self.kind.is_some()),
            ("on", self.on.is_some()),
            ("data", self.data.is_some()),
        ];
        match given.into_iter().find(|(field, is_given)| *is_given && !allowed.contains(field)) {
            Some((field, _)) => Err(MessageError::ExtraField { message, field }),
            None => Ok(()),
        }
    }
}

fn missing(message: &'static str, field: &'static str) -> MessageError {
    MessageError::MissingField { message, field }
}

fn views(views: Vec<View>) -> Result<Vec<View>, MessageError> {
    match views.len() {
        count if count > VIEWS_MAX => Err(MessageError::TooManyViews { count }),
        _ => match views.iter().filter(|view| matches!(view, View::Count(_))).count() {
            count if count > COUNTS_PER_SESSION_MAX => Err(MessageError::TooManyCounts { count }),
            _ => Ok(views),
        },
    }
}

/// Ids and keys are echoed and compared, so they are kept to what needs no escapes.
fn visible<'a>(text: &JsonText<'a>, field: &'static str, limit: usize) -> Result<&'a str, MessageError> {
    let literal = text.literal();
    let inner = literal.get(1..literal.len() - 1).unwrap_or_default();
    let fits = (1..=limit).contains(&inner.len());
    if fits && inner.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') {
        Ok(inner)
    } else {
        Err(MessageError::BadId { field, limit })
    }
}
