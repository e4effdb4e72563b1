//! A session that has been welcomed: live, replaying or lagging.

use std::sync::Arc;

use super::effect::{Effect, Effects, Offer};
use super::rate::Rate;
use super::report::{SessionPhase, SessionReport};
use super::window::Window;
use crate::id::{AgentId, Cursor, Epoch, Offset, SessionId};
use crate::limits::{
    COUNTS_PER_SESSION_MAX, LAG_HEARTBEATS_MAX, REPLAY_EVENTS_MAX, SESSION_COMMANDS_MAX, VIEWS_MAX,
};
use crate::push::client_message::ClientMessage;
use crate::push::close::CloseCode;
use crate::push::server_message::{EndReason, ResyncReason, ServerMessage};
use crate::push::view::View;
use crate::right::QueueSet;
use crate::ticket::Entry;
use crate::time::Tick;

/// What a client did against the protocol, and what would have been right.
#[derive(Debug)]
pub(super) struct Violation(pub(super) String);

/// Where a session's next event comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// From offers.
    Live,
    /// From the log: a read is under way.
    Replaying,
    /// From nowhere until the client has acknowledged more; then from the log.
    Lagging,
}

#[derive(Debug)]
pub(super) struct Open {
    agent: AgentId,
    /// Of other queues it is told nothing.
    sees: QueueSet,
    /// In order, each once.
    views: Vec<View>,
    source: Source,
    /// Of the log.
    epoch: Epoch,
    /// All matching events up to here have been sent. While live, offers may have moved on since.
    cursor: Offset,
    /// The log that the read under way is answered from holds at least all up to here.
    log_holds: Offset,
    /// The highest offset that the client has been told: an ack above makes no sense.
    told: Offset,
    /// Events since the welcome.
    sent: u64,
    window: Window,
    commands: usize,
    heartbeat_ms: u64,
    mark_at: Tick,
    heard_at: Tick,
    expires_at: Option<Tick>,
    rate: Rate,
    /// The highest ack.
    acked: Offset,
    /// Times that it began to lag.
    lags: u32,
    /// Marks since it has lagged without an ack that frees anything.
    stalled_marks: u8,
}

impl Open {
    /// A live session whose events begin after `cursor`; it sees nothing yet.
    pub(super) fn new(
        id: SessionId,
        agent: AgentId,
        views: Vec<View>,
        window: u32,
        cursor: Cursor,
        heartbeat_ms: u64,
        now: Tick,
    ) -> Self {
        let Cursor { epoch, offset: cursor } = cursor;
        let heartbeat_ms = heartbeat_ms.max(1);
        Self {
            agent,
            sees: QueueSet::none(),
            views,
            source: Source::Live,
            epoch,
            cursor,
            log_holds: cursor,
            told: cursor,
            sent: 0,
            window: Window::new(window),
            commands: 0,
            heartbeat_ms,
            mark_at: now.after_ms(first_mark_ms(id, heartbeat_ms)),
            heard_at: now,
            expires_at: None,
            rate: Rate::default(),
            acked: cursor,
            lags: 0,
            stalled_marks: 0,
        }
    }

    pub(super) fn views(&self) -> &[View] {
        &self.views
    }

    pub(super) fn sees(&self) -> &QueueSet {
        &self.sees
    }

    pub(super) fn set_sees(&mut self, sees: QueueSet, effects: &mut Effects<'_>) {
        self.sees = sees;
        let sees = self.sees.clone();
        self.end_views(|view| !view.is_allowed(&sees), EndReason::NoRight, effects);
    }

    /// Ends the views that are so.
    pub(super) fn end_views(
        &mut self,
        is_over: impl Fn(View) -> bool,
        reason: EndReason,
        effects: &mut Effects<'_>,
    ) {
        let (over, kept): (Vec<View>, Vec<View>) =
            self.views.iter().copied().partition(|view| is_over(*view));
        self.views = kept;
        effects.extend(over.iter().map(|view| Effect::Unwatch { view: *view }));
        effects.extend(ended(over, reason));
    }

    pub(super) fn is_lagging(&self) -> bool {
        self.source == Source::Lagging
    }

    /// Whether that was within the session's rate.
    pub(super) fn heard(&mut self, per_second: u32, now: Tick) -> bool {
        self.heard_at = now;
        self.rate.take(per_second, now)
    }

    /// Whether the message comes within the session's rate. An ack that goes forward does always, and so
    /// does the end of a signal: there are no more of them than events, marks and beginnings that count,
    /// and what has not begun has no end that anybody is told.
    pub(super) fn is_within_rate(&mut self, message: &ClientMessage<'_>, per_second: u32, now: Tick) -> bool {
        match message {
            ClientMessage::Ack { offset } if *offset > self.acked => true,
            ClientMessage::Signal(signal) if !signal.on => true,
            _ => self.rate.take(per_second, now),
        }
    }

    pub(super) fn report(&self, feed: Offset) -> SessionReport {
        let (phase, offset) = match self.source {
            Source::Live => (SessionPhase::Live, self.cursor.max(feed)),
            Source::Replaying => (SessionPhase::Replaying, self.cursor),
            Source::Lagging => (SessionPhase::Lagging, self.cursor),
        };
        SessionReport {
            phase,
            offset,
            lag_events: feed.0.saturating_sub(offset.0),
            unacked_bytes: self.window.unacked_bytes(),
            window: self.window.bytes(),
            sent: self.sent,
            lags: self.lags,
            views: self.views.len(),
        }
    }

    pub(super) fn set_expiry(&mut self, expires_at: Option<Tick>) {
        self.expires_at = expires_at;
    }

    pub(super) fn command_done(&mut self) {
        self.commands = self.commands.saturating_sub(1);
    }

    pub(super) fn received<'a>(
        &mut self,
        message: ClientMessage<'a>,
        now: Tick,
        effects: &mut Effects<'a>,
    ) -> Result<(), Violation> {
        self.heard_at = now;
        match message {
            ClientMessage::Hello(_) => {
                return Err(Violation("hello came twice; to change what is watched, subscribe".to_owned()));
            }
            ClientMessage::Ack { offset } => self.acked(offset, effects)?,
            ClientMessage::Subscribe { id, views } => self.subscribe(id, &views, effects),
            ClientMessage::Unsubscribe { id, views } => self.unsubscribe(id, &views, effects),
            ClientMessage::Command(command) if self.commands < SESSION_COMMANDS_MAX => {
                self.commands += 1;
                effects.push(Effect::Command(command));
            }
            ClientMessage::Command(command) => {
                let detail = format!("{SESSION_COMMANDS_MAX} commands of this session have no result yet");
                effects.push(Effect::Refuse { id: command.id, code: "overload", detail });
            }
            ClientMessage::Signal(signal) => effects.push(Effect::Signal(signal)),
            ClientMessage::Refresh { token } => effects.push(Effect::Refresh { token }),
        }
        Ok(())
    }

    fn acked(&mut self, offset: Offset, effects: &mut Effects<'_>) -> Result<(), Violation> {
        if offset > self.told {
            return Err(Violation(format!(
                "ack of offset {offset}, but the newest that this session was told is {}",
                self.told
            )));
        }
        self.acked = self.acked.max(offset);
        if self.window.record_acked(offset) {
            self.stalled_marks = 0;
        }
        if self.source == Source::Lagging && self.window.is_half_free() {
            self.read_on(self.cursor, effects);
        }
        Ok(())
    }

    fn subscribe<'a>(&mut self, id: &'a str, views: &[View], effects: &mut Effects<'a>) {
        let mut added: Vec<View> =
            views.iter().copied().filter(|view| self.views.binary_search(view).is_err()).collect();
        added.sort_unstable();
        added.dedup();
        if let Some(view) = added.iter().find(|view| !view.is_allowed(&self.sees)) {
            let (code, detail) = match view {
                View::Queue(queue) => ("no_such_queue", format!("there is no queue {queue}")),
                _ => ("forbidden", format!("to watch {view} needs the right see in at least one queue")),
            };
            effects.push(Effect::Refuse { id, code, detail });
            return;
        }
        let count = self.views.len() + added.len();
        if count > VIEWS_MAX {
            let detail = format!("the session would watch {count} views; at most {VIEWS_MAX} are taken");
            effects.push(Effect::Refuse { id, code: "too_many_views", detail });
            return;
        }
        let is_count = |view: &&View| matches!(view, View::Count(_));
        let counts = self.views.iter().chain(&added).filter(is_count).count();
        if counts > COUNTS_PER_SESSION_MAX {
            let detail = format!(
                "the session would watch {counts} counts; at most {COUNTS_PER_SESSION_MAX} are taken"
            );
            effects.push(Effect::Refuse { id, code: "too_many_views", detail });
            return;
        }
        effects.extend(added.iter().map(|view| Effect::Watch { view: *view }));
        self.views.append(&mut added);
        self.views.sort_unstable();
        effects.push(done(id));
    }

    fn unsubscribe(&mut self, id: &str, views: &[View], effects: &mut Effects<'_>) {
        for view in views {
            if let Ok(place) = self.views.binary_search(view) {
                self.views.remove(place);
                effects.push(Effect::Unwatch { view: *view });
            }
        }
        effects.push(done(id));
    }

    fn matches(&self, entry: &Entry) -> bool {
        self.sees.shows(&entry.route)
            && self
                .views
                .iter()
                .any(|view| view.matches(Some(self.agent), entry.ticket, &entry.route, &entry.followers))
    }

    pub(super) fn offer(&mut self, entry: &Entry) -> Offer {
        if self.source != Source::Live || entry.offset <= self.cursor || !self.matches(entry) {
            return Offer::Pass;
        }
        if self.window.admits(entry.frame.len()) {
            self.record_sent(entry);
            return Offer::Send;
        }
        self.lag_before(entry);
        match self.mark() {
            Effect::Frame(mark) => Offer::Lag(mark),
            _ => Offer::Pass,
        }
    }

    fn record_sent(&mut self, entry: &Entry) {
        self.window.record_sent(entry.offset, entry.frame.len());
        self.sent += 1;
        self.cursor = entry.offset;
        self.told = self.told.max(entry.offset);
    }

    /// The session will read `entry` from the log, as the first one.
    fn lag_before(&mut self, entry: &Entry) {
        // Offsets start at 1.
        self.cursor = self.cursor.max(Offset(entry.offset.0 - 1));
        self.source = Source::Lagging;
        self.lags = self.lags.saturating_add(1);
        self.stalled_marks = 0;
    }

    pub(super) fn missed(&mut self, feed: Offset, effects: &mut Effects<'_>) {
        if self.source == Source::Live {
            self.cursor = self.cursor.max(feed);
            self.read_on(self.cursor, effects);
        }
    }

    /// Live where the cursor has reached the feed, or else replaying.
    pub(super) fn catch_up(&mut self, feed: Offset, effects: &mut Effects<'_>) {
        if self.cursor >= feed {
            self.source = Source::Live;
            effects.push(self.mark());
        } else {
            self.read_on(feed, effects);
        }
    }

    fn read_on(&mut self, log_holds: Offset, effects: &mut Effects<'_>) {
        self.source = Source::Replaying;
        self.log_holds = log_holds;
        effects.push(Effect::Read { after: self.cursor });
    }

    pub(super) fn page(&mut self, entries: &[Arc<Entry>], feed: Offset, effects: &mut Effects<'_>) {
        debug_assert!(self.source == Source::Replaying, "a page that was not asked for");
        debug_assert!(entries.len() <= REPLAY_EVENTS_MAX, "a page of {} events", entries.len());
        // A session that was welcomed ahead of the feed may be told of a gap whose events it does not
        // need: its page is empty, though the feed has gone on when it comes.
        if entries.is_empty() && self.cursor < self.log_holds {
            return self.resync(feed, effects);
        }
        for entry in entries {
            if entry.offset != self.cursor.next() {
                return self.resync(feed, effects);
            }
            if !self.matches(entry) {
                self.cursor = entry.offset;
            } else if self.window.admits(entry.frame.len()) {
                self.record_sent(entry);
                effects.push(Effect::Event(Arc::clone(entry)));
            } else {
                self.lag_before(entry);
                effects.push(self.mark());
                return;
            }
        }
        self.catch_up(feed, effects);
    }

    /// The log does not go on at the session's cursor: the session goes on at the feed, and says so.
    fn resync(&mut self, feed: Offset, effects: &mut Effects<'_>) {
        self.cursor = self.cursor.max(feed);
        let (reason, epoch, offset) = (ResyncReason::Retention, self.epoch, self.cursor);
        effects.push(Effect::message(&ServerMessage::Resync { reason, epoch, offset }));
        self.catch_up(feed, effects);
    }

    pub(super) fn tick(
        &mut self,
        now: Tick,
        feed: Offset,
        effects: &mut Effects<'_>,
    ) -> Result<(), (CloseCode, &'static str)> {
        if self.expires_at.is_some_and(|at| now >= at) {
            return Err((CloseCode::Unauthorized, "the token has expired"));
        }
        if now >= self.silent_until() {
            return Err((CloseCode::Unresponsive, "nothing was heard for 2.5 heartbeats; acknowledge marks"));
        }
        if now >= self.mark_at {
            if self.source == Source::Live {
                self.cursor = self.cursor.max(feed);
            }
            if self.source == Source::Lagging {
                self.stalled_marks += 1;
                if self.stalled_marks > LAG_HEARTBEATS_MAX {
                    return Err((CloseCode::Lagging, STALLED));
                }
            }
            effects.push(self.mark());
            while self.mark_at <= now {
                self.mark_at = self.mark_at.after_ms(self.heartbeat_ms);
            }
        }
        Ok(())
    }

    pub(super) fn deadline(&self) -> Tick {
        let due = self.mark_at.min(self.silent_until());
        self.expires_at.map_or(due, |expires_at| due.min(expires_at))
    }

    fn silent_until(&self) -> Tick {
        self.heard_at.after_ms(self.heartbeat_ms * 5 / 2)
    }

    fn mark(&mut self) -> Effect<'static> {
        self.told = self.told.max(self.cursor);
        Effect::message(&ServerMessage::Mark { offset: self.cursor, sent: self.sent })
    }
}

/// Why a session ends that lags without end; the number is [`LAG_HEARTBEATS_MAX`].
const STALLED: &str =
    "lagging: nothing further was acknowledged for 4 heartbeats; acknowledge what was taken";

/// Milliseconds to a session's first mark: from half a heartbeat to a whole one, so that the marks of
/// sessions that began together do not come together for ever.
fn first_mark_ms(id: SessionId, heartbeat_ms: u64) -> u64 {
    /// 2^64 divided by the golden ratio: neighbouring numbers land far apart (Knuth, The Art of Computer
    /// Programming, volume 3, section 6.4).
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    let place = id.0.wrapping_mul(SPREAD) >> 54;
    heartbeat_ms - heartbeat_ms / 2 * place / 1024
}

/// Tells which views are watched no more, where there are any.
pub(super) fn ended(views: Vec<View>, reason: EndReason) -> Option<Effect<'static>> {
    (!views.is_empty()).then(|| Effect::message(&ServerMessage::Ended { views, reason }))
}

fn done(id: &str) -> Effect<'static> {
    Effect::message(&ServerMessage::Result { id: Some(id.to_owned()), event: None, error: None })
}
