//! The server's end of one push connection, as a machine without IO.
//!
//! Its driver tells it what happened (a message came, an event was committed, a page of the log was
//! read, time has passed) and carries out the [`Effect`]s that it returns, in order. It promises the
//! client every matching event after its cursor exactly once and in order, and never more
//! unacknowledged event bytes than the window, except for one frame that is larger than that.
//!
//! The driver's side of it, for each tenant on each of its threads:
//! * It keeps one *feed*: the offset up to which it has offered the log to its sessions, in order. A
//!   session may be spared the events that match none of its views.
//! * Where it cannot offer some (a gap), it says [`Session::missed`] with the feed before the gap to
//!   every session of the tenant, before it moves the feed.
//! * The log that it answers [`Effect::Read`] from holds at least all up to the feed.

mod effect;
#[cfg(test)]
mod isolation_tests;
mod open;
#[cfg(test)]
mod property_tests;
mod rate;
mod report;
#[cfg(test)]
mod tests;
mod window;

use std::borrow::Cow;
use std::sync::Arc;

pub use effect::{Effect, Effects, Offer};
use open::{Open, Violation, ended};
pub use report::{SessionPhase, SessionReport};

use super::client_message::{ClientMessage, Hello, MessageError};
use super::close::CloseCode;
use super::server_message::{EndReason, ResyncReason, ServerMessage, Welcome};
use super::view::View;
use crate::id::{AgentId, Cursor, Offset, SessionId, TicketId};
use crate::limits::{
    FRAMES_BEFORE_HELLO_MAX, HEARTBEAT_MS, HELLO_MS_MAX, MESSAGES_PER_SECOND_MAX, WINDOW_BYTES_DEFAULT,
    WINDOW_BYTES_MAX, WINDOW_BYTES_MIN,
};
use crate::right::QueueSet;
use crate::ticket::Entry;
use crate::time::Tick;

/// What all sessions of a gateway have in common.
#[derive(Debug, Clone)]
pub struct SessionSettings {
    /// The gateway's name.
    pub node: Arc<str>,
    /// Milliseconds between two marks.
    pub heartbeat_ms: u64,
    /// Milliseconds from the connection to its `hello`.
    pub hello_ms: u64,
    /// Messages per second of one session, at least 1. Acks that go forward are not counted: there are
    /// no more of them than events and marks.
    pub messages_per_second: u32,
}

impl SessionSettings {
    /// The usual times.
    #[must_use]
    pub fn new(node: &str) -> Self {
        Self {
            node: node.into(),
            heartbeat_ms: HEARTBEAT_MS,
            hello_ms: HELLO_MS_MAX,
            messages_per_second: MESSAGES_PER_SECOND_MAX,
        }
    }
}

/// One push connection. Once it has returned [`Effect::Close`], or was told [`Session::gone`], it is
/// closed: it takes every input and answers none.
#[derive(Debug)]
pub struct Session {
    id: SessionId,
    settings: Arc<SessionSettings>,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Connected(Connected),
    Greeted(Greeted),
    Open(Open),
    Closed,
}

/// A connection that has said nothing yet.
#[derive(Debug, Clone, Copy)]
struct Connected {
    hello_until: Tick,
    /// Control frames that came.
    heard: u8,
}

/// A connection whose token is being checked.
#[derive(Debug)]
struct Greeted {
    hello_until: Tick,
    resume: Option<Cursor>,
    views: Vec<View>,
    window: u32,
}

/// Where a tenant's log and its feed are at the moment of a welcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogPosition {
    /// The newest event.
    pub head: Cursor,
    /// The newest event that was offered to the driver's sessions: at most the head.
    pub feed: Offset,
}

impl Session {
    /// A connection that has just come to be.
    #[must_use]
    pub fn new(id: SessionId, settings: Arc<SessionSettings>, now: Tick) -> Self {
        let hello_until = now.after_ms(settings.hello_ms);
        Self { id, settings, phase: Phase::Connected(Connected { hello_until, heard: 0 }) }
    }

    /// A text message came.
    pub fn received_text<'a>(&mut self, text: &'a [u8], now: Tick) -> Effects<'a> {
        let mut effects = Effects::new();
        if matches!(self.phase, Phase::Closed) {
            return effects;
        }
        let message = match ClientMessage::parse(text) {
            Ok(message) => message,
            Err(error) => {
                let code = match error {
                    MessageError::TooLong { .. } => CloseCode::TooLarge,
                    _ => CloseCode::ProtocolError,
                };
                self.close_into(code, error.to_string(), &mut effects);
                return effects;
            }
        };
        let per_second = self.settings.messages_per_second;
        let violation = match (&mut self.phase, message) {
            (Phase::Connected(connected), ClientMessage::Hello(hello)) => {
                effects.push(Effect::Authenticate { token: hello.token });
                self.phase = Phase::Greeted(connected.greeted(hello));
                None
            }
            (Phase::Connected(_), other) => {
                Some(Violation(format!("the first message is hello; this one is {}", other.name())))
            }
            (Phase::Greeted(_), other) => {
                Some(Violation(format!("{} came before welcome; wait for it after hello", other.name())))
            }
            (Phase::Open(open), message) => {
                if open.is_within_rate(&message, per_second, now) {
                    open.received(message, now, &mut effects).err()
                } else if matches!(message, ClientMessage::Signal(_)) {
                    // A hint may be lost.
                    effects.push(Effect::SignalDropped);
                    None
                } else {
                    self.close_into(CloseCode::RateLimited, too_fast(per_second), &mut effects);
                    None
                }
            }
            (Phase::Closed, _) => None,
        };
        if let Some(Violation(reason)) = violation {
            self.close_into(CloseCode::ProtocolError, reason, &mut effects);
        }
        effects
    }

    /// Something that is no message of this protocol came, but shows that the client is there. It counts
    /// as one where messages are counted.
    pub fn heard(&mut self, now: Tick) -> Effects<'static> {
        let mut effects = Effects::new();
        let per_second = self.settings.messages_per_second;
        match &mut self.phase {
            Phase::Connected(connected) => {
                connected.heard = connected.heard.saturating_add(1);
                if connected.heard > FRAMES_BEFORE_HELLO_MAX {
                    let reason = format!("more than {FRAMES_BEFORE_HELLO_MAX} control frames before hello");
                    self.close_into(CloseCode::RateLimited, reason, &mut effects);
                }
            }
            Phase::Open(open) => {
                if !open.heard(per_second, now) {
                    self.close_into(CloseCode::RateLimited, too_fast(per_second), &mut effects);
                }
            }
            Phase::Greeted(_) | Phase::Closed => {}
        }
        effects
    }

    /// The hello's token is good: it is `agent`'s, who may see these queues, until `expires_at`. Views that it may not
    /// watch end at once.
    pub fn authenticated(
        &mut self,
        agent: AgentId,
        sees: QueueSet,
        expires_at: Option<Tick>,
        log: LogPosition,
        now: Tick,
    ) -> Effects<'static> {
        let mut effects = Effects::new();
        let Phase::Greeted(greeted) = std::mem::replace(&mut self.phase, Phase::Closed) else {
            debug_assert!(false, "authenticated without hello");
            return effects;
        };
        let Greeted { resume, views, window, .. } = greeted;
        let (views, forbidden): (Vec<View>, Vec<View>) =
            views.into_iter().partition(|view| view.is_allowed(&sees));
        effects.extend(views.iter().map(|view| Effect::Watch { view: *view }));

        let newest = log.head.offset.max(log.feed);
        let honoured = match resume {
            None => Ok(None),
            Some(cursor) if cursor.epoch != log.head.epoch => Err(ResyncReason::Epoch),
            Some(cursor) if cursor.offset > newest => Err(ResyncReason::Ahead),
            Some(cursor) => Ok(Some(cursor.offset)),
        };
        let resumed_at = honoured.ok().flatten();
        let offset = resumed_at.unwrap_or(newest);
        effects.push(Effect::message(&ServerMessage::Welcome(Welcome {
            session: self.id.0,
            node: self.settings.node.as_ref().to_owned(),
            epoch: log.head.epoch,
            offset,
            resumed: resumed_at.is_some(),
            heartbeat_ms: self.settings.heartbeat_ms,
            window,
        })));
        if let Err(reason) = honoured {
            let epoch = log.head.epoch;
            effects.push(Effect::message(&ServerMessage::Resync { reason, epoch, offset }));
        }
        let cursor = Cursor { epoch: log.head.epoch, offset };
        effects.extend(ended(forbidden, EndReason::NoRight));
        let mut open = Open::new(self.id, agent, views, window, cursor, self.settings.heartbeat_ms, now);
        open.set_expiry(expires_at);
        open.set_sees(sees, &mut effects);
        if resumed_at.is_some() {
            open.catch_up(log.feed, &mut effects);
        }
        self.phase = Phase::Open(open);
        effects
    }

    /// The agent may see these queues from now on. Of others nothing is sent any more, and views of them end.
    pub fn rights_changed(&mut self, sees: QueueSet) -> Effects<'static> {
        let mut effects = Effects::new();
        if let Phase::Open(open) = &mut self.phase {
            open.set_sees(sees, &mut effects);
        }
        effects
    }

    /// The agent may not see these tickets, or there are none such: its views of them end.
    pub fn may_not_see(&mut self, tickets: &[TicketId]) -> Effects<'static> {
        let mut effects = Effects::new();
        if let Phase::Open(open) = &mut self.phase {
            open.end_views(
                |view| matches!(view, View::Ticket(ticket) if tickets.contains(&ticket)),
                EndReason::NoRight,
                &mut effects,
            );
        }
        effects
    }

    /// A view that it watches is over, for a reason that the driver has found.
    pub fn end_view(&mut self, view: View, reason: EndReason) -> Effects<'static> {
        let mut effects = Effects::new();
        if let Phase::Open(open) = &mut self.phase {
            open.end_views(|watched| watched == view, reason, &mut effects);
        }
        effects
    }

    /// The queues that its agent may see; `None` before its welcome and after its close.
    #[must_use]
    pub fn sees(&self) -> Option<&QueueSet> {
        match &self.phase {
            Phase::Open(open) => Some(open.sees()),
            _ => None,
        }
    }

    /// What it watches; nothing before its welcome and after its close.
    #[must_use]
    pub fn views(&self) -> &[View] {
        match &self.phase {
            Phase::Open(open) => open.views(),
            _ => &[],
        }
    }

    /// A refresh's token is good, and the same agent's.
    pub fn refreshed(&mut self, expires_at: Option<Tick>) -> Effects<'static> {
        let mut effects = Effects::new();
        if let Phase::Open(open) = &mut self.phase {
            open.set_expiry(expires_at);
            let result = ServerMessage::Result { id: None, event: None, error: None };
            effects.push(Effect::message(&result));
        }
        effects
    }

    /// An event that was committed after all that were offered or missed before. On [`Offer::Send`] the
    /// driver sends its frame, and nothing else before it.
    pub fn offer(&mut self, entry: &Entry) -> Offer {
        match &mut self.phase {
            Phase::Open(open) => open.offer(entry),
            _ => Offer::Pass,
        }
    }

    /// Events after `feed` were committed and will not be offered.
    pub fn missed(&mut self, feed: Offset) -> Effects<'static> {
        let mut effects = Effects::new();
        if let Phase::Open(open) = &mut self.phase {
            open.missed(feed, &mut effects);
        }
        effects
    }

    /// The answer to [`Effect::Read`]: the log from the event after `after` on; empty only where there is
    /// none. `feed` is as it is now. Where the log does not go on there, the client is told to read anew.
    pub fn page(&mut self, entries: &[Arc<Entry>], feed: Offset) -> Effects<'static> {
        let mut effects = Effects::new();
        if let Phase::Open(open) = &mut self.phase {
            open.page(entries, feed, &mut effects);
        }
        effects
    }

    /// Time has passed; `feed` is as it is now.
    pub fn tick(&mut self, now: Tick, feed: Offset) -> Effects<'static> {
        let mut effects = Effects::new();
        let overdue = match &mut self.phase {
            Phase::Connected(Connected { hello_until, .. }) | Phase::Greeted(Greeted { hello_until, .. }) => {
                (now >= *hello_until).then_some((CloseCode::HelloTimeout, "no hello in time"))
            }
            Phase::Open(open) => open.tick(now, feed, &mut effects).err(),
            Phase::Closed => None,
        };
        if let Some((code, reason)) = overdue {
            self.close_into(code, reason, &mut effects);
        }
        effects
    }

    /// When [`Session::tick`] has something to do next, as far as is known now.
    #[must_use]
    pub fn deadline(&self) -> Option<Tick> {
        match &self.phase {
            Phase::Connected(Connected { hello_until, .. }) | Phase::Greeted(Greeted { hello_until, .. }) => {
                Some(*hello_until)
            }
            Phase::Open(open) => Some(open.deadline()),
            Phase::Closed => None,
        }
    }

    /// The event that a command became: the JSON text of its message.
    pub fn answered(&mut self, id: &str, event: &[u8]) -> Effects<'static> {
        self.finish_command(effect::result_frame(id, "event", event))
    }

    /// A command has had no effect; `problem` is the JSON object that says why.
    pub fn rejected(&mut self, id: &str, problem: &[u8]) -> Effects<'static> {
        self.finish_command(effect::result_frame(id, "error", problem))
    }

    /// The answer to [`Effect::Refuse`]: the JSON object of its problem.
    pub fn refused(&mut self, id: &str, problem: &[u8]) -> Effects<'static> {
        let mut effects = Effects::new();
        if self.is_open() {
            effects.push(Effect::Frame(effect::result_frame(id, "error", problem)));
        }
        effects
    }

    fn finish_command(&mut self, frame: bytes::Bytes) -> Effects<'static> {
        let mut effects = Effects::new();
        if let Phase::Open(open) = &mut self.phase {
            open.command_done();
            effects.push(Effect::Frame(frame));
        }
        effects
    }

    /// The gateway goes down: tells a client with a session so, and closes any other connection. The
    /// session goes on until [`Session::close`].
    pub fn drain(&mut self, after_ms: u64, spread_ms: u64) -> Effects<'static> {
        let mut effects = Effects::new();
        match &mut self.phase {
            Phase::Open(_) => {
                effects.push(Effect::message(&ServerMessage::Drain { after_ms, spread_ms }));
            }
            Phase::Connected(_) | Phase::Greeted(_) => {
                self.close_into(CloseCode::Drain, "draining", &mut effects);
            }
            Phase::Closed => {}
        }
        effects
    }

    /// Closes, for a reason that the driver has found.
    pub fn close(&mut self, code: CloseCode, reason: impl Into<Cow<'static, str>>) -> Effects<'static> {
        let mut effects = Effects::new();
        self.close_into(code, reason, &mut effects);
        effects
    }

    /// The connection is gone, or its client has closed it.
    pub fn gone(&mut self) -> Effects<'static> {
        let mut effects = Effects::new();
        self.end(&mut effects);
        effects
    }

    /// Whether nothing will come of this session any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    /// Whether it has been welcomed and not closed.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open(_))
    }

    /// Whether it waits for its client's acks.
    #[must_use]
    pub fn is_lagging(&self) -> bool {
        matches!(&self.phase, Phase::Open(open) if open.is_lagging())
    }

    /// How it stands; `None` before its welcome and after its close. `feed` is as it is now.
    #[must_use]
    pub fn report(&self, feed: Offset) -> Option<SessionReport> {
        match &self.phase {
            Phase::Open(open) => Some(open.report(feed)),
            _ => None,
        }
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.id
    }

    fn close_into(
        &mut self,
        code: CloseCode,
        reason: impl Into<Cow<'static, str>>,
        effects: &mut Effects<'_>,
    ) {
        if !self.is_closed() {
            self.end(effects);
            effects.push(Effect::Close { code, reason: reason.into() });
        }
    }

    fn end(&mut self, effects: &mut Effects<'_>) {
        if let Phase::Open(open) = std::mem::replace(&mut self.phase, Phase::Closed) {
            effects.extend(open.views().iter().map(|view| Effect::Unwatch { view: *view }));
        }
    }
}

fn too_fast(per_second: u32) -> String {
    format!("more than {per_second} messages per second; at most {} at once", 2 * u64::from(per_second))
}

impl Connected {
    fn greeted(self, hello: Hello<'_>) -> Greeted {
        let mut views = hello.views;
        views.sort_unstable();
        views.dedup();
        let window = hello.window.unwrap_or(WINDOW_BYTES_DEFAULT).clamp(WINDOW_BYTES_MIN, WINDOW_BYTES_MAX);
        Greeted { hello_until: self.hello_until, resume: hello.resume, views, window }
    }
}

impl ClientMessage<'_> {
    /// Its `type` on the wire.
    fn name(&self) -> &'static str {
        match self {
            Self::Hello(_) => "hello",
            Self::Ack { .. } => "ack",
            Self::Subscribe { .. } => "subscribe",
            Self::Unsubscribe { .. } => "unsubscribe",
            Self::Command(_) => "command",
            Self::Signal(_) => "signal",
            Self::Refresh { .. } => "refresh",
        }
    }
}
