//! The signals that the application has on. They end with their session, so each new session is told them
//! again.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::id::TicketId;
use crate::limits::{SESSION_SIGNALS_MAX, SIGNAL_DATA_BYTES_MAX, TYPING_MS};
use crate::push::{Signal, SignalKind};
use crate::time::Tick;

/// Why a signal is not said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignalError {
    /// Its data is none.
    #[error(
        "a signal's data is a JSON object of at most {SIGNAL_DATA_BYTES_MAX} bytes, with a signal that is on"
    )]
    Data,
    /// Beyond what a session may have on.
    #[error("{SESSION_SIGNALS_MAX} signals are on; end one first")]
    TooManyOn,
}

/// At most [`SESSION_SIGNALS_MAX`].
#[derive(Debug, Default)]
pub(super) struct Said(Vec<On>);

#[derive(Debug)]
struct On {
    kind: SignalKind,
    ticket: TicketId,
    data: Option<Box<RawValue>>,
    /// When the server ends it.
    until: Option<Tick>,
}

#[derive(Serialize)]
struct SignalText<'a> {
    r#type: &'static str,
    kind: &'static str,
    ticket: TicketId,
    on: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
}

impl Said {
    /// Takes note of a signal; returns its text.
    pub(super) fn say(&mut self, signal: &Signal<'_>, now: Tick) -> Result<String, SignalError> {
        let Signal { kind, ticket, on, data } = *signal;
        let is_object = |data: &RawValue| data.get().starts_with('{');
        if data.is_some_and(|data| !on || !is_object(data) || data.get().len() > SIGNAL_DATA_BYTES_MAX) {
            return Err(SignalError::Data);
        }
        self.expire(now);
        let place = self.0.iter().position(|it| it.kind == kind && it.ticket == ticket);
        if on && place.is_none() && self.0.len() == SESSION_SIGNALS_MAX {
            return Err(SignalError::TooManyOn);
        }
        if let Some(place) = place {
            self.0.swap_remove(place);
        }
        if on {
            let until = (kind == SignalKind::Typing).then(|| now.after_ms(TYPING_MS));
            self.0.push(On { kind, ticket, data: data.map(ToOwned::to_owned), until });
        }
        Ok(text(signal))
    }

    /// The texts that tell a new session what is on.
    pub(super) fn again(&mut self, now: Tick) -> Vec<String> {
        self.expire(now);
        let texts = self.0.iter().map(|it| {
            let On { kind, ticket, ref data, .. } = *it;
            text(&Signal { kind, ticket, on: true, data: data.as_deref() })
        });
        texts.collect()
    }

    fn expire(&mut self, now: Tick) {
        self.0.retain(|it| it.until.is_none_or(|until| until > now));
    }
}

fn text(signal: &Signal<'_>) -> String {
    let Signal { kind, ticket, on, data } = *signal;
    let text = SignalText { r#type: "signal", kind: kind.name(), ticket, on, data };
    // Strings, numbers and JSON always have a JSON text.
    serde_json::to_string(&text).unwrap_or_default()
}
