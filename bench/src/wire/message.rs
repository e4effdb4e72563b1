//! Messages of the push protocol: the frequent ones without a JSON parser.

use waggle_core::id::Cursor;
use waggle_core::push::ServerMessage;

/// What the bench needs of a server's message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    /// The session is live.
    Welcome {
        /// Unacknowledged bytes that the server will send.
        window: u32,
        /// Where its events begin.
        cursor: Cursor,
        /// Whether that is the cursor that was asked for.
        resumed: bool,
    },
    /// An event.
    Event(EventKey),
    /// All up to `offset` has been sent; it was `sent` events.
    Mark {
        /// To be acknowledged.
        offset: u64,
        /// Events since welcome.
        sent: u64,
    },
    /// The gateway wants the session gone.
    Drain {
        /// It closes the connection no earlier than this.
        after_ms: u64,
    },
    /// What the assistant would answer.
    Suggestion {
        /// The version that the customer's message made.
        message: u32,
        /// Whether it says that it knows.
        is_known: bool,
    },
    /// Anything else.
    Other,
}

/// Which event it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventKey {
    /// Its place in the log.
    pub offset: u64,
    /// Its ticket.
    pub ticket: u64,
    /// The version that it made.
    pub version: u32,
}

impl EventKey {
    /// Reads an event message: the answer to a command, and what is pushed.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        Self::quick(text).or_else(|| match ServerMessage::parse(text) {
            Ok(ServerMessage::Event(event)) => {
                Some(Self { offset: event.offset.0, ticket: event.ticket.0, version: event.version.0 })
            }
            _ => None,
        })
    }

    /// The order in which the gateway writes fields.
    fn quick(text: &[u8]) -> Option<Self> {
        let rest = text.strip_prefix(br#"{"type":"event","offset":"#)?;
        let (offset, rest) = digits(rest)?;
        let (ticket, rest) = digits(rest.strip_prefix(br#","ticket":"#)?)?;
        let (version, rest) = digits(rest.strip_prefix(br#","version":"#)?)?;
        let version = u32::try_from(version).ok()?;
        rest.starts_with(b",").then_some(Self { offset, ticket, version })
    }
}

impl Message {
    /// Reads a server's text; what is not known is [`Message::Other`].
    #[must_use]
    pub fn parse(text: &[u8]) -> Self {
        if let Some(event) = EventKey::quick(text) {
            return Self::Event(event);
        }
        if let Some(suggestion) = Self::suggestion(text) {
            return suggestion;
        }
        match ServerMessage::parse(text) {
            Ok(ServerMessage::Welcome(welcome)) => Self::Welcome {
                window: welcome.window,
                cursor: Cursor { epoch: welcome.epoch, offset: welcome.offset },
                resumed: welcome.resumed,
            },
            Ok(ServerMessage::Event(event)) => Self::Event(EventKey {
                offset: event.offset.0,
                ticket: event.ticket.0,
                version: event.version.0,
            }),
            Ok(ServerMessage::Mark { offset, sent }) => Self::Mark { offset: offset.0, sent },
            Ok(ServerMessage::Drain { after_ms, .. }) => Self::Drain { after_ms },
            _ => Self::Other,
        }
    }
}

impl Message {
    /// The order in which the gateway writes fields.
    fn suggestion(text: &[u8]) -> Option<Self> {
        let rest = text.strip_prefix(br#"{"type":"suggestion","ticket":"#)?;
        let (_, rest) = digits(rest)?;
        let (message, rest) = digits(rest.strip_prefix(br#","message":"#)?)?;
        let is_known = memchr::memmem::find(rest, br#""answer":"known""#).is_some();
        Some(Self::Suggestion { message: u32::try_from(message).ok()?, is_known })
    }
}

/// A number at the start of `text`, and what follows it.
fn digits(text: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    let mut count = 0;
    for byte in text.iter().take_while(|byte| byte.is_ascii_digit()) {
        value = value.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
        count += 1;
    }
    if count == 0 { None } else { Some((value, text.get(count..)?)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_in_any_order_of_fields() {
        let key = EventKey { offset: 8, ticket: 3, version: 2 };
        let texts = [
            r#"{"type":"event","offset":8,"ticket":3,"version":2,"kind":"moved","at":5,"actor":"agent:1","data":{}}"#,
            r#"{"kind":"moved","type":"event","ticket":3,"offset":8,"version":2,"at":5,"actor":"system","data":{}}"#,
        ];
        for text in texts {
            assert_eq!(Message::parse(text.as_bytes()), Message::Event(key));
            assert_eq!(EventKey::parse(text.as_bytes()), Some(key));
        }
        assert_eq!(EventKey::quick(texts[1].as_bytes()), None);
    }

    #[test]
    fn the_rest_is_told_apart() {
        let mark = Message::parse(br#"{"type":"mark","offset":9,"sent":4}"#);
        assert_eq!(mark, Message::Mark { offset: 9, sent: 4 });
        let drain = Message::parse(br#"{"type":"drain","after_ms":1,"spread_ms":1}"#);
        assert_eq!(drain, Message::Drain { after_ms: 1 });
        assert_eq!(Message::parse(br#"{"type":"news"}"#), Message::Other);
        let said =
            br#"{"type":"suggestion","ticket":7,"message":3,"model":{},"language":"en","answer":"known"}"#;
        assert_eq!(Message::parse(said), Message::Suggestion { message: 3, is_known: true });
    }
}
