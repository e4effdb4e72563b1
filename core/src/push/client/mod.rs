//! The push client's machine: connections come and go, events arrive once and in order.
//!
//! Feed it what happened ([`PushClient::connected`], [`received`](PushClient::received), …) and carry
//! out what [`PushClient::poll`] returns, in order. It never reads a clock: [`PushClient::wake_at`] says
//! when to call [`PushClient::tick`].

mod change;
#[cfg(test)]
mod change_tests;
mod effect;
mod pace;
mod progress;
mod said;
mod session;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use serde::Serialize;
use serde_json::value::RawValue;

use change::{Answered, Wanted};
pub use change::{Change, ChangeError, ChangeId};
pub use effect::{ClientEffect, ClientStats, Link, Loss, LossReason, Receipt};
use pace::Pace;
use progress::{Progress, Verdict};
use said::Said;
pub use said::SignalError;
use session::{Order, Session};

use super::{EventMessage, ResyncReason, Retry, ServerMessage, Signal, View, Welcome, retry_after_s};
use crate::id::{Cursor, Offset};
use crate::limits::{CONNECT_MS_MAX, SERVER_MESSAGE_BYTES_MAX};
use crate::time::Tick;

/// Where a client's first connection starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With what happens from now on.
    Now,
    /// With the first event of the log. It costs one connection more, to learn the log's epoch.
    Beginning,
    /// After what was delivered before.
    After(Cursor),
}

/// What a client is for.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// An API token.
    pub token: String,
    /// What to watch.
    pub views: Vec<View>,
    /// Where to start.
    pub start: Start,
    /// Unacknowledged bytes to take; the server's default where not said.
    pub window: Option<u32>,
    /// For the jitter of pauses: different in every client.
    pub seed: u64,
}

/// The machine.
#[derive(Debug)]
pub struct PushClient {
    start: Start,
    window: Option<u32>,
    wanted: Wanted,
    said: Said,
    progress: Progress,
    pace: Pace,
    /// Waits for or has the session that counts.
    current: Option<Connection>,
    /// Takes over from a current session that drains.
    successor: Option<Connection>,
    link_next: u32,
    effects: VecDeque<ClientEffect>,
    stats: ClientStats,
    stopped: bool,
}

#[derive(Debug)]
struct Connection {
    link: Link,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// No connection yet; its attempt is given up then.
    Opening { give_up: Tick },
    /// Hello is sent.
    Greeting { give_up: Tick, asked: Asked },
    /// Welcomed.
    Live(Session),
}

/// What a hello holds.
#[derive(Debug, Clone, Copy)]
struct Asked {
    resume: Option<Cursor>,
    /// The first change that came after it.
    change_next: ChangeId,
}

#[derive(Serialize)]
struct HelloText<'a> {
    r#type: &'static str,
    token: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    resume: Option<Cursor>,
    views: &'a [View],
    #[serde(skip_serializing_if = "Option::is_none")]
    window: Option<u32>,
}

impl PushClient {
    /// A machine whose first effect is to connect at once.
    #[must_use]
    pub fn new(config: ClientConfig, now: Tick) -> Self {
        let mut progress = Progress::default();
        if let Start::After(cursor) = config.start {
            progress.begin(cursor);
        }
        let mut client = Self {
            pace: Pace::new(config.seed),
            start: config.start,
            window: config.window,
            wanted: Wanted::new(config.token, config.views),
            said: Said::default(),
            progress,
            current: None,
            successor: None,
            link_next: 0,
            effects: VecDeque::new(),
            stats: ClientStats::default(),
            stopped: false,
        };
        client.current = Some(client.open(0, now));
        client
    }

    /// The next thing to do, until there is none.
    pub fn poll(&mut self) -> Option<ClientEffect> {
        self.effects.pop_front()
    }

    /// All up to here has been delivered; `None` before the first welcome.
    #[must_use]
    pub fn cursor(&self) -> Option<Cursor> {
        self.progress.cursor()
    }

    /// What went wrong and was dealt with.
    #[must_use]
    pub fn stats(&self) -> ClientStats {
        self.stats
    }

    /// The connection that commands go over, where one is welcomed.
    #[must_use]
    pub fn live_link(&self) -> Option<Link> {
        self.current.as_ref().filter(|it| matches!(it.phase, Phase::Live(_))).map(|it| it.link)
    }

    /// When [`tick`](Self::tick) is next needed; `None` once stopped.
    #[must_use]
    pub fn wake_at(&self) -> Option<Tick> {
        [&self.current, &self.successor].into_iter().flatten().map(Connection::wake_at).min()
    }

    /// A connection stands, its WebSocket handshake done.
    pub fn connected(&mut self, link: Link, now: Tick) {
        // A connection that is to have the whole log cannot ask for it before it knows the epoch.
        let resume = self.progress.resume_from();
        let hello = HelloText {
            r#type: "hello",
            token: &self.wanted.token,
            resume,
            views: &self.wanted.views,
            window: self.window,
        };
        let asked = Asked { resume, change_next: self.wanted.next() };
        // Strings, numbers and lists of them always have a JSON text.
        let text = serde_json::to_string(&hello).unwrap_or_default();
        let Some(connection) = self.find(link) else { return };
        connection.phase = Phase::Greeting { give_up: now.after_ms(CONNECT_MS_MAX), asked };
        self.effects.push_back(ClientEffect::Send { link, text });
    }

    /// Changes what is watched, or the token: over the session that there is, and in every later hello.
    /// [`ClientEffect::Changed`] tells when a server has it.
    ///
    /// # Errors
    /// Beyond a bound; nothing has changed then.
    pub fn change(&mut self, change: Change, now: Tick) -> Result<ChangeId, ChangeError> {
        let id = self.wanted.add(change)?;
        if let Some(link) = self.live_link() {
            self.send_changes(link);
        }
        // A successor that has said hello without the change would take over from a session that has it.
        if let Some(Connection { link, phase: Phase::Greeting { .. } }) = self.successor {
            self.effects.push_back(ClientEffect::Close { link });
            self.successor = Some(self.open(0, now));
        }
        Ok(id)
    }

    /// Says a signal, where there is a session. One that is on is said again to every later session:
    /// viewing until its end is said, typing for as long as it lasts.
    ///
    /// # Errors
    /// Where no server would take it.
    pub fn signal(&mut self, signal: &Signal<'_>, now: Tick) -> Result<(), SignalError> {
        let text = self.said.say(signal, now)?;
        if let Some(link) = self.live_link() {
            self.effects.push_back(ClientEffect::Send { link, text });
        }
        Ok(())
    }

    /// Something other than a text came: a ping or a pong.
    pub fn heard(&mut self, link: Link, now: Tick) {
        if let Some(Connection { phase: Phase::Live(session), .. }) = self.find(link) {
            session.hear(now);
        }
    }

    /// A text message came. What it holds is delivered by the effects that follow, before the next
    /// text is fed in: so a driver may pass the text itself on with [`ClientEffect::Deliver`].
    pub fn received(&mut self, link: Link, text: &str, now: Tick) {
        if self.find(link).is_none() {
            return;
        }
        self.heard(link, now);
        if text.len() > SERVER_MESSAGE_BYTES_MAX {
            let problem =
                format!("a message of {} bytes; expected {SERVER_MESSAGE_BYTES_MAX} at most", text.len());
            return self.give_up(link, LossReason::Violation(problem), Retry::BackOff, now);
        }
        match parse(text) {
            Ok(Some(message)) => self.understood(link, message, text.len() as u64, now),
            Ok(None) => self.stats.unknown_messages += 1,
            Err(problem) => self.give_up(link, LossReason::Violation(problem), Retry::BackOff, now),
        }
    }

    /// A connection is gone, or could not be made.
    pub fn disconnected(&mut self, link: Link, loss: Loss, now: Tick) {
        if self.find(link).is_none() {
            return;
        }
        let retry = match &loss {
            Loss::Closed { code, .. } => Retry::for_number(*code),
            Loss::Cut { .. } => Retry::BackOff,
        };
        let (Loss::Closed { reason: text, .. } | Loss::Cut { why: text }) = &loss;
        let hint_s = retry_after_s(text);
        self.replace(link, LossReason::Connection(loss), retry, hint_s, now);
    }

    /// The application has what came with this receipt. In the order of delivery.
    pub fn shown(&mut self, receipt: Receipt) {
        if let Some(Connection { phase: Phase::Live(session), .. }) = self.find(receipt.link) {
            session.show(receipt);
            let due = session.ack_due();
            self.ack(receipt.link, due);
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Tick) {
        for link in [&self.current, &self.successor].map(|it| it.as_ref().map(|it| it.link)) {
            let Some(link) = link else { continue };
            match self.find(link).map(|it| &mut it.phase) {
                Some(Phase::Opening { give_up } | Phase::Greeting { give_up, .. }) if *give_up <= now => {
                    self.give_up(link, LossReason::NotWelcomed, Retry::BackOff, now);
                }
                Some(Phase::Live(session)) if session.silent_at() <= now => {
                    self.give_up(link, LossReason::Silent, Retry::Now, now);
                }
                _ => {}
            }
        }
    }

    fn understood(&mut self, link: Link, message: ServerMessage, bytes: u64, now: Tick) {
        if let ServerMessage::Result { id, event, error } = message {
            return self.result(link, id, event, error);
        }
        if let ServerMessage::Signal(signal) = message {
            return self.effects.push_back(ClientEffect::Signal(signal));
        }
        if let ServerMessage::Suggestion(suggestion) = message {
            return self.effects.push_back(ClientEffect::Suggestion(suggestion));
        }
        let is_successor = self.successor.as_ref().is_some_and(|it| it.link == link);
        let Some(connection) = self.find(link) else { return };
        match (&mut connection.phase, message) {
            (Phase::Greeting { asked, .. }, ServerMessage::Welcome(welcome)) => {
                let asked = *asked;
                self.welcomed(link, welcome, asked, is_successor, now);
            }
            (Phase::Live(session), ServerMessage::Resync { reason, epoch, offset })
                if session.awaits_resync || reason == ResyncReason::Retention =>
            {
                session.awaits_resync = false;
                let cursor = Cursor { epoch, offset };
                self.progress.begin(cursor);
                self.effects.push_back(ClientEffect::Resync { reason, cursor });
            }
            (Phase::Live(session), ServerMessage::Event(event)) if !session.awaits_resync => {
                self.event(link, event, bytes, now);
            }
            (Phase::Live(session), ServerMessage::Mark { offset, sent }) if !session.awaits_resync => {
                self.mark(link, offset, sent, now);
            }
            (Phase::Live(_), ServerMessage::Ended { views, .. }) => {
                self.wanted.ended(&views);
                self.effects.push_back(ClientEffect::Ended { views });
            }
            (Phase::Live(_), ServerMessage::Count(count)) => {
                self.effects.push_back(ClientEffect::Count(count));
            }
            (Phase::Live(_), ServerMessage::Drain { after_ms, .. }) => self.drain(link, after_ms, now),
            (_, message) => {
                let problem = format!("{} out of phase", name(&message));
                self.give_up(link, LossReason::Violation(problem), Retry::BackOff, now);
            }
        }
    }

    fn welcomed(&mut self, link: Link, welcome: Welcome, asked: Asked, is_successor: bool, now: Tick) {
        let given = Cursor { epoch: welcome.epoch, offset: welcome.offset };
        if welcome.resumed && asked.resume != Some(given) {
            let problem = "welcome resumes at a cursor that was not asked for".to_owned();
            return self.give_up(link, LossReason::Violation(problem), Retry::BackOff, now);
        }
        if asked.resume.is_none() {
            if self.start == Start::Beginning && given.offset > Offset(0) {
                return self.rewind(link, given, now);
            }
            self.progress.begin(given);
        }
        let overlap_to = self.progress.cursor().map_or(given.offset, |cursor| cursor.offset);
        let awaits_resync = asked.resume.is_some() && !welcome.resumed;
        let replaced = is_successor.then(|| std::mem::replace(&mut self.current, self.successor.take()));
        if let Some(connection) = self.find(link) {
            connection.phase = Phase::Live(Session::new(&welcome, overlap_to, awaits_resync, now));
        }
        self.effects.push_back(ClientEffect::Connected { link, welcome });
        self.settle_changes(link, asked.change_next, now);
        // Only now, so that what is on here was told by the new session before the old one ends it.
        if let Some(replaced) = replaced.flatten() {
            self.effects.push_back(ClientEffect::Retire { link: replaced.link });
        }
    }

    /// A session has begun: its hello held all changes before `change_next`.
    fn settle_changes(&mut self, link: Link, change_next: ChangeId, now: Tick) {
        for id in self.wanted.welcomed(change_next) {
            self.effects.push_back(ClientEffect::Changed { id, error: None });
        }
        self.send_changes(link);
        for text in self.said.again(now) {
            self.effects.push_back(ClientEffect::Send { link, text });
        }
    }

    fn send_changes(&mut self, link: Link) {
        for text in self.wanted.unsent(link) {
            self.effects.push_back(ClientEffect::Send { link, text });
        }
    }

    fn result(
        &mut self,
        link: Link,
        id: Option<String>,
        event: Option<Box<RawValue>>,
        error: Option<Box<RawValue>>,
    ) {
        match (self.wanted.finish(link, id.as_deref(), error.is_some()), id) {
            (Answered::Now(id), _) => self.effects.push_back(ClientEffect::Changed { id, error }),
            (Answered::NoChange, Some(id)) => {
                self.effects.push_back(ClientEffect::Result { link, id, event, error });
            }
            (Answered::Before | Answered::NoChange, _) => {}
        }
    }

    /// The log's epoch is known now: comes back for all of it.
    fn rewind(&mut self, link: Link, given: Cursor, now: Tick) {
        self.progress.begin(Cursor { epoch: given.epoch, offset: Offset(0) });
        self.effects.push_back(ClientEffect::Close { link });
        self.current = Some(self.open(0, now));
    }

    fn event(&mut self, link: Link, event: EventMessage, bytes: u64, now: Tick) {
        let connection =
            [&mut self.current, &mut self.successor].into_iter().flatten().find(|it| it.link == link);
        let Some(Connection { phase: Phase::Live(session), .. }) = connection else { return };
        let offset = event.offset;
        let verdict = match session.order(offset) {
            Order::Rising => self.progress.take(offset),
            Order::BeforeStart => Verdict::Repeat,
            Order::Broken { after } => {
                self.progress.distrust();
                let reason = LossReason::Disorder { after, got: offset };
                return self.give_up(link, reason, Retry::Now, now);
            }
        };
        match verdict {
            Verdict::New => {
                let receipt = session.deliver(link, offset, bytes);
                self.effects.push_back(ClientEffect::Deliver { event, receipt });
            }
            Verdict::Repeat => {
                self.stats.count_repeat(session.expects_repeat(offset));
                session.pass_over(bytes);
                let due = session.ack_due();
                self.ack(link, due);
            }
        }
    }

    fn mark(&mut self, link: Link, offset: Offset, sent: u64, now: Tick) {
        let Some(Connection { phase: Phase::Live(session), .. }) = self.find(link) else { return };
        let received = session.received;
        if sent != received {
            self.stats.holes += 1;
            self.progress.distrust();
            return self.give_up(link, LossReason::Hole { sent, received }, Retry::Now, now);
        }
        let answer = session.answer_mark(offset);
        self.progress.verify(offset);
        self.pace.succeeded();
        self.ack(link, Some(answer));
        if let Some(cursor) = self.progress.cursor() {
            self.effects.push_back(ClientEffect::CaughtUp { cursor });
        }
    }

    /// The server goes away soon: a successor is opened before it does.
    fn drain(&mut self, link: Link, after_ms: u64, now: Tick) {
        let is_current = self.current.as_ref().is_some_and(|it| it.link == link);
        if is_current && self.successor.is_none() {
            let pause = self.pace.below(after_ms.saturating_mul(3) / 4);
            self.successor = Some(self.open(pause, now));
        }
    }

    /// Closes a connection from this side.
    fn give_up(&mut self, link: Link, reason: LossReason, retry: Retry, now: Tick) {
        self.effects.push_back(ClientEffect::Close { link });
        self.replace(link, reason, retry, None, now);
    }

    /// `link` is gone: its place is taken by the successor, or a new connection, not before the server's
    /// hint where it gave one.
    fn replace(&mut self, link: Link, reason: LossReason, retry: Retry, hint_s: Option<u32>, now: Tick) {
        let is_current = self.current.as_ref().is_some_and(|it| it.link == link);
        if retry == Retry::Never {
            return self.stop(link, reason);
        }
        if is_current && self.successor.is_some() {
            self.current = self.successor.take();
            return self.effects.push_back(ClientEffect::Lost { link, reason, retry_ms: None });
        }
        let pause = match hint_s {
            Some(hint_s) => self.pace.pause_after_hint_ms(hint_s),
            None => self.pace.pause_ms(retry).unwrap_or(crate::limits::BACKOFF_MS_MAX),
        };
        if is_current {
            self.effects.push_back(ClientEffect::Lost { link, reason, retry_ms: Some(pause) });
            self.current = Some(self.open(pause, now));
        } else {
            self.successor = Some(self.open(pause, now));
        }
    }

    fn stop(&mut self, link: Link, reason: LossReason) {
        self.stopped = true;
        for connection in [self.current.take(), self.successor.take()].into_iter().flatten() {
            if connection.link != link {
                self.effects.push_back(ClientEffect::Close { link: connection.link });
            }
        }
        self.effects.push_back(ClientEffect::Stop { reason });
    }

    fn open(&mut self, after_ms: u64, now: Tick) -> Connection {
        self.link_next = self.link_next.wrapping_add(1);
        let link = Link(self.link_next);
        self.effects.push_back(ClientEffect::Connect { link, after_ms });
        let give_up = now.after_ms(after_ms).after_ms(CONNECT_MS_MAX);
        Connection { link, phase: Phase::Opening { give_up } }
    }

    fn ack(&mut self, link: Link, due: Option<Offset>) {
        if let Some(offset) = due {
            let text = format!(r#"{{"type":"ack","offset":{offset}}}"#);
            self.effects.push_back(ClientEffect::Send { link, text });
        }
    }

    fn find(&mut self, link: Link) -> Option<&mut Connection> {
        [&mut self.current, &mut self.successor].into_iter().flatten().find(|it| it.link == link)
    }
}

impl Connection {
    fn wake_at(&self) -> Tick {
        match &self.phase {
            Phase::Opening { give_up } | Phase::Greeting { give_up, .. } => *give_up,
            Phase::Live(session) => session.silent_at(),
        }
    }
}

/// `None` for a message of a newer protocol.
fn parse(text: &str) -> Result<Option<ServerMessage>, String> {
    // Nearly all are events, in the one form that servers write them: their type needs no look of its
    // own.
    if text.starts_with(r#"{"type":"event","#) {
        let event = serde_json::from_str(text).map_err(|error| format!("an event: {error}"))?;
        return Ok(Some(ServerMessage::Event(event)));
    }
    match ServerMessage::parse(text.as_bytes()) {
        Ok(message) => Ok(Some(message)),
        Err(error) if error.to_string().contains("unknown message type") => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

fn name(message: &ServerMessage) -> &'static str {
    match message {
        ServerMessage::Welcome(_) => "welcome",
        ServerMessage::Event(_) => "event",
        ServerMessage::Mark { .. } => "mark",
        ServerMessage::Resync { .. } => "resync",
        ServerMessage::Result { .. } => "result",
        ServerMessage::Signal(_) => "signal",
        ServerMessage::Suggestion(_) => "suggestion",
        ServerMessage::Ended { .. } => "ended",
        ServerMessage::Count(_) => "count",
        ServerMessage::Drain { .. } => "drain",
    }
}
