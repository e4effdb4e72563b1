//! What a session asks of its driver.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use smallvec::SmallVec;

use crate::id::Offset;
use crate::json::JsonText;
use crate::push::client_message::PushCommand;
use crate::push::close::CloseCode;
use crate::push::frame::text_frame;
use crate::push::server_message::ServerMessage;
use crate::push::signal::Signal;
use crate::push::view::View;
use crate::ticket::Entry;

/// Effects, to be carried out in order.
pub type Effects<'a> = SmallVec<[Effect<'a>; 2]>;

/// One thing to do. Texts are borrowed from the message that was received.
#[derive(Debug)]
pub enum Effect<'a> {
    /// Check the token; answer by `authenticated`, or `close`.
    Authenticate {
        /// It.
        token: JsonText<'a>,
    },
    /// Check the token; answer by `refreshed` where it is the same agent's, or else by `close`.
    Refresh {
        /// It.
        token: JsonText<'a>,
    },
    /// Send these bytes: whole frames.
    Frame(Bytes),
    /// Send this event's frame.
    Event(Arc<Entry>),
    /// Read the log; answer by `page`. There is never more than one such read under way.
    Read {
        /// From the event after this one on.
        after: Offset,
    },
    /// Offer events of this view from now on.
    Watch {
        /// Not watched before.
        view: View,
    },
    /// No longer offer events for this view's sake.
    Unwatch {
        /// Watched before.
        view: View,
    },
    /// Carry the command out; answer by `answered` or `rejected`.
    Command(PushCommand<'a>),
    /// Tell those who watch the ticket, apart from this session.
    Signal(Signal<'a>),
    /// The message had no effect: answer by `refused`, with the problem that this is.
    Refuse {
        /// Of the message.
        id: &'a str,
        /// The problem's code.
        code: &'static str,
        /// What is wrong and what would be right.
        detail: String,
    },
    /// A signal came faster than the session may send messages, and has no effect.
    SignalDropped,
    /// Send a close frame and end the connection. The last effect of a session.
    Close {
        /// Why.
        code: CloseCode,
        /// Why, for people.
        reason: Cow<'static, str>,
    },
}

/// What becomes of an event that was offered.
#[derive(Debug)]
pub enum Offer {
    /// Not for this session, or not now: the session reads it from the log where it needs it.
    Pass,
    /// Send its frame.
    Send,
    /// The window is full, so the session lags from here on. Send these bytes instead: a mark, whose ack
    /// will show that the client has taken all there is.
    Lag(Bytes),
}

impl Effect<'_> {
    pub(super) fn message(message: &ServerMessage) -> Self {
        // These shapes always have a JSON text.
        let json = message.to_json().unwrap_or_default();
        debug_assert!(!json.is_empty(), "a message without text");
        Self::Frame(text_frame(&json))
    }
}

/// A result message; `id` needs no escapes (the parser of client messages sees to it), and `value` is
/// JSON.
pub(super) fn result_frame(id: &str, field: &str, value: &[u8]) -> Bytes {
    let mut json = BytesMut::with_capacity(40 + id.len() + value.len());
    json.put_slice(br#"{"type":"result","id":""#);
    json.put_slice(id.as_bytes());
    json.put_slice(br#"",""#);
    json.put_slice(field.as_bytes());
    json.put_slice(br#"":"#);
    json.put_slice(value);
    json.put_slice(b"}");
    text_frame(&json)
}
