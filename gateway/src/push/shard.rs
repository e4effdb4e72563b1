//! One shard: its sessions, and what their machines ask for.

use std::cell::{Cell, RefCell};
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use bytes::Bytes;
use rustc_hash::FxHashMap;
use rustls::ServerConnection;
use slab::Slab;
use smallvec::SmallVec;
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore};
use waggle_core::id::{Offset, SessionId, TenantId};
use waggle_core::json::JsonText;
use waggle_core::limits::{
    HANDSHAKES_PER_TURN_MAX, LEAVING_PER_TURN_MAX, REPLAY_PAGES_PER_TURN_MAX, SHARD_READS_MAX,
    TICKS_PER_TURN_MAX,
};
use waggle_core::push::{
    CloseCode, Effect, Effects, HeldSignals, LogPosition, Session, SessionSettings, View, close_frame,
};
use waggle_core::ticket::Entry;
use waggle_core::time::Tick;

use super::admission::{Admission, TenantPlace};
use super::clock::Clock;
use super::command;
use super::counts::Counted;
use super::handshake::Pace;
use super::hub::{Batches, PushHub};
use super::interests::Interests;
use super::link::Link;
use super::listen::{RedirectHook, UnauthorizedHook};
use super::newsbox::Newsbox;
use super::outbox::Overflow;
use super::peer::PeerRules;
use super::port::{Access, Counting, Log};
use super::reader::Scratch;
use super::replay::{self, Replays};
use super::rights::Shown;
use super::signals::{Chores, Live};
use super::socket::Socket;
use super::stats::ShardStats;
use super::timers::Timers;
use crate::accel::RedirectWay;
use crate::directory::{AuthError, Principal};
use crate::learn::Learner;
use crate::ledger::PublishedBatch;
use crate::problem::Problem;
use crate::tls::Tls;

/// What all shards of an engine have in common.
#[derive(Clone)]
pub(super) struct Parts {
    pub(super) hub: PushHub,
    pub(super) settings: Arc<SessionSettings>,
    pub(super) log: Arc<dyn Log>,
    pub(super) access: Arc<dyn Access>,
    pub(super) admission: Arc<Admission>,
    pub(super) rules: Arc<PeerRules>,
    pub(super) tls: Option<Tls>,
    pub(super) on_unauthorized: Option<UnauthorizedHook>,
    pub(super) redirect: Option<RedirectHook>,
    pub(super) counts: Option<Arc<dyn Counting>>,
    pub(super) learn: Option<Learner>,
}

/// One shard. Only its own thread touches it; nothing in it is borrowed over an await.
pub(super) struct Shard {
    pub(super) index: usize,
    pub(super) shards: usize,
    pub(super) settings: Arc<SessionSettings>,
    pub(super) log: Arc<dyn Log>,
    pub(super) access: Arc<dyn Access>,
    pub(super) counts: Option<Arc<dyn Counting>>,
    pub(super) learn: Option<Learner>,
    pub(super) stats: Arc<ShardStats>,
    pub(super) clock: Clock,
    pub(super) sessions: RefCell<Sessions>,
    pub(super) timers: Timers,
    pub(super) scratch: Scratch,
    pub(super) chores: Chores,
    pub(super) admission: Arc<Admission>,
    pub(super) rules: Arc<PeerRules>,
    on_unauthorized: Option<UnauthorizedHook>,
    redirect: Option<RedirectHook>,
    tls: Option<Tls>,
    /// Handshakes under way.
    pub(super) handshakes: Cell<usize>,
    /// A handshake has ended.
    pub(super) handshake_ended: Notify,
    /// For those that go on in one turn.
    pub(super) handshake_turns: Semaphore,
    pub(super) handshake_pace: Pace,
    /// For sessions that are over: many may end at once.
    pub(super) leaving_turns: Semaphore,
    /// Set once it takes no new sessions.
    pub(super) is_draining: Cell<bool>,
    drain_begins: Notify,
    /// A connection has ended.
    pub(super) connection_ended: Notify,
    pub(super) reads: Semaphore,
    pub(super) replays: Replays,
    sessions_made: Cell<u64>,
    /// What was committed and is not delivered yet.
    batches: RefCell<Batches>,
    /// The directory's revision by which the sessions stand.
    pub(super) heeded: Cell<u64>,
}

/// Sessions and their tenants.
#[derive(Default)]
pub(super) struct Sessions {
    pub(super) slots: Slab<Slot>,
    pub(super) tenants: FxHashMap<TenantId, Tenant>,
    pub(super) live: FxHashMap<TenantId, Live>,
    pub(super) counted: Counted,
}

/// What one turn of a session's effects has come to.
#[derive(Default)]
struct Turn {
    /// Pages of the log that were read.
    pages: usize,
    /// Views that it has begun to watch, and that have something to show at once.
    watched: SmallVec<[View; 2]>,
}

/// Where a session is. It stays wrong for ever once the session has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) session: SessionId,
    pub(super) slot: u32,
}

/// A session with its connection.
pub(super) struct Slot {
    pub(super) session: Session,
    pub(super) link: Rc<Link>,
    pub(super) principal: Option<Principal>,
    /// What it has said that is on; most sessions never say anything.
    pub(super) signals: Option<Box<HeldSignals>>,
    /// Of an agent who may not see all queues: the tickets that it watches and was found to see.
    pub(super) shown: Option<Box<Shown>>,
    /// Among its tenant's sessions.
    place: Option<TenantPlace>,
    timer_at: Tick,
    /// When it began, in seconds since the shard's start.
    pub(super) since_s: u32,
    is_lagging: bool,
}

/// A tenant that has sessions here.
pub(super) struct Tenant {
    /// The newest event that was offered to its sessions, or that they read from the log.
    pub(super) feed: Offset,
    pub(super) interests: Interests,
    sessions: usize,
    /// Of all shards' sessions of it.
    counter: Arc<AtomicU32>,
}

impl Sessions {
    pub(super) fn get(&mut self, key: Key) -> Option<&mut Slot> {
        self.slots.get_mut(key.slot as usize).filter(|slot| slot.session.id() == key.session)
    }

    pub(super) fn feed(&self, tenant: Option<TenantId>) -> Offset {
        tenant.and_then(|tenant| self.tenants.get(&tenant)).map_or(Offset(0), |tenant| tenant.feed)
    }

    /// Keys of all sessions that are so.
    pub(super) fn keys(&self, wanted: impl Fn(&Slot) -> bool) -> Vec<Key> {
        let chosen = self.slots.iter().filter(|(_, slot)| wanted(slot));
        chosen.map(|(slot, found)| Key { session: found.session.id(), slot: slot as u32 }).collect()
    }
}

impl Slot {
    pub(super) fn tenant(&self) -> Option<TenantId> {
        self.principal.map(|principal| principal.tenant)
    }

    /// The client does not read what it makes the gateway send.
    pub(super) fn overflow(&mut self, overflow: Overflow) -> Effects<'static> {
        self.session.close(CloseCode::Lagging, overflow.reason())
    }

    /// Counts the session as lagging, or not any more.
    pub(super) fn note_lagging(&mut self, stats: &ShardStats) {
        let is_lagging = self.session.is_lagging();
        if is_lagging && !self.is_lagging {
            stats.lagging.add(1);
            stats.lags.add(1);
        } else if self.is_lagging && !is_lagging {
            stats.lagging.subtract(1);
        }
        self.is_lagging = is_lagging;
    }
}

impl Shard {
    pub(super) fn new(
        index: usize,
        parts: Parts,
        batches: Batches,
        stats: Arc<ShardStats>,
        news: Arc<Newsbox>,
    ) -> Rc<Self> {
        let Parts {
            hub,
            settings,
            log,
            access,
            admission,
            rules,
            tls,
            on_unauthorized,
            redirect,
            counts,
            learn,
        } = parts;
        Rc::new(Self {
            index,
            shards: hub.shards(),
            settings,
            log,
            access,
            counts,
            learn,
            stats,
            clock: Clock::start(),
            sessions: RefCell::default(),
            timers: Timers::default(),
            scratch: Scratch::default(),
            chores: Chores::new(hub, news),
            admission,
            rules,
            tls,
            on_unauthorized,
            redirect,
            handshakes: Cell::new(0),
            handshake_ended: Notify::new(),
            handshake_turns: Semaphore::new(HANDSHAKES_PER_TURN_MAX),
            handshake_pace: Pace::default(),
            leaving_turns: Semaphore::new(LEAVING_PER_TURN_MAX),
            is_draining: Cell::new(false),
            drain_begins: Notify::new(),
            connection_ended: Notify::new(),
            reads: Semaphore::new(SHARD_READS_MAX),
            replays: Replays::default(),
            sessions_made: Cell::new(0),
            batches: RefCell::new(batches),
            heeded: Cell::new(0),
        })
    }

    /// Waits for the next batch; `None` once there will be none.
    pub(super) async fn next_batch(&self) -> Option<Arc<PublishedBatch>> {
        std::future::poll_fn(|cx| self.batches.borrow_mut().poll_recv(cx)).await
    }

    /// In a storm, delivers what has come meanwhile: connections that come and go are in many tasks' hands,
    /// and each of them lets events go first, so that these wait for one task, not for all that are ready.
    /// At other times the shard's own loop does it, which shares its time with those who read.
    pub(super) fn deliver_waiting(self: &Rc<Self>) {
        let is_storm = self.handshakes.get() > 0 || self.leaving_turns.available_permits() == 0;
        if !is_storm {
            return;
        }
        let batch = self.batches.borrow_mut().try_recv();
        if let Ok(batch) = batch {
            self.deliver(&batch);
        }
        // What is left is learned in its own turn.
        self.learn_some();
    }

    /// From now on it takes no new sessions.
    pub(super) fn begin_drain(&self) {
        self.is_draining.set(true);
        self.drain_begins.notify_waiters();
    }

    /// Waits until it takes no new sessions.
    pub(super) async fn drain_began(&self) {
        let begins = self.drain_begins.notified();
        if !self.is_draining.get() {
            begins.await;
        }
    }

    /// The socket of a connection to the push address.
    pub(super) fn secure(&self, stream: TcpStream) -> Result<Socket, rustls::Error> {
        match &self.tls {
            None => Ok(Socket::Tcp(stream)),
            Some(tls) => Ok(Socket::tls(stream, ServerConnection::new(tls.config())?)),
        }
    }

    /// Which way the kernel sends what is written to a socket, where that may be another one than TCP.
    pub(super) fn way_of(&self, socket: BorrowedFd<'_>) -> Option<RedirectWay> {
        self.redirect.as_ref().and_then(|redirect| redirect(socket))
    }

    /// A session for a connection that has shaken hands, and that began at `since`.
    pub(super) fn admit(self: &Rc<Self>, link: Rc<Link>, since: Tick) -> Key {
        let made = self.sessions_made.get();
        self.sessions_made.set(made + 1);
        // Shards take turns, so no two sessions of a gateway have the same number.
        let id = SessionId(made * self.shards as u64 + self.index as u64 + 1);
        let session = Session::new(id, Arc::clone(&self.settings), since);
        let timer_at = session.deadline().unwrap_or(since);
        let mut sessions = self.sessions.borrow_mut();
        let slot = sessions.slots.insert(Slot {
            session,
            link,
            principal: None,
            signals: None,
            shown: None,
            place: None,
            timer_at,
            since_s: (since.0 / 1000) as u32,
            is_lagging: false,
        });
        self.stats.sessions.add(1);
        // A process has fewer connections than 32 bits count.
        let key = Key { session: id, slot: slot as u32 };
        self.timers.push(timer_at, key);
        self.stats.timers.add(1);
        if self.is_draining.get() {
            self.drive_in(&mut sessions, key, |session| session.close(CloseCode::Drain, "draining"));
        }
        key
    }

    /// Tells a session's machine something, and does what it asks for.
    pub(super) fn drive(self: &Rc<Self>, key: Key, input: impl FnOnce(&mut Session) -> Effects<'static>) {
        self.drive_in(&mut self.sessions.borrow_mut(), key, input);
    }

    pub(super) fn drive_in(
        self: &Rc<Self>,
        sessions: &mut Sessions,
        key: Key,
        input: impl FnOnce(&mut Session) -> Effects<'static>,
    ) {
        if let Some(slot) = sessions.get(key) {
            let effects = input(&mut slot.session);
            self.carry_out(sessions, key, effects, &Bytes::new());
        }
    }

    /// A text message came.
    pub(super) fn received(self: &Rc<Self>, key: Key, text: &Bytes) {
        let sessions = &mut *self.sessions.borrow_mut();
        self.heed_directory(sessions);
        if let Some(slot) = sessions.get(key) {
            let effects = slot.session.received_text(text, self.clock.now());
            self.carry_out(sessions, key, effects, text);
        }
    }

    /// Does what a session's machine asks for, and what it asks for when it is answered. Texts in the
    /// effects are parts of `source`.
    pub(super) fn carry_out(
        self: &Rc<Self>,
        sessions: &mut Sessions,
        key: Key,
        effects: Effects<'_>,
        source: &Bytes,
    ) {
        let mut turn = Turn::default();
        let mut next = Effects::new();
        for effect in effects {
            next.extend(self.do_one(sessions, key, effect, source, &mut turn));
        }
        while !next.is_empty() {
            for effect in std::mem::take(&mut next) {
                next.extend(self.do_one(sessions, key, effect, source, &mut turn));
            }
        }
        self.settle(sessions, key);
        self.look_at_tickets(sessions, key, &mut turn.watched);
        self.show_what_is_on(sessions, key, &turn.watched);
    }

    fn do_one(
        self: &Rc<Self>,
        sessions: &mut Sessions,
        key: Key,
        effect: Effect<'_>,
        source: &Bytes,
        turn: &mut Turn,
    ) -> Effects<'static> {
        let Some(slot) = sessions.get(key) else { return Effects::new() };
        match effect {
            Effect::Frame(frame) => {
                if let Err(overflow) = slot.link.queue_control(frame) {
                    return slot.overflow(overflow);
                }
            }
            Effect::Event(entry) => match slot.link.queue_event(entry.frame.clone()) {
                Ok(_) => self.count_sent(1, entry.frame.len()),
                Err(overflow) => return slot.overflow(overflow),
            },
            Effect::Authenticate { token } => return self.authenticate(sessions, key, token),
            Effect::Refresh { token } => return self.refresh(sessions, key, token),
            Effect::Read { after } => return self.read_log(sessions, key, after, &mut turn.pages),
            Effect::Watch { view: View::Count(view) } => return self.begin_count(sessions, key, view),
            Effect::Unwatch { view: View::Count(view) } => self.end_count(sessions, key, view),
            Effect::Watch { view } => {
                if let Some((interests, principal)) = interests_of(sessions, key) {
                    interests.add(view, principal.agent, key.slot);
                    match view {
                        View::Ticket(ticket) => self.chores.news.watch(principal.tenant, ticket),
                        View::Mine | View::Inbox => {
                            self.chores.news.watch_agent(principal.tenant, principal.agent);
                        }
                        _ => {}
                    }
                    if matches!(view, View::Ticket(_) | View::Presence) {
                        turn.watched.push(view);
                    }
                }
            }
            Effect::Unwatch { view } => {
                if let Some((interests, principal)) = interests_of(sessions, key) {
                    interests.remove(view, principal.agent, key.slot);
                    if matches!(view, View::Mine | View::Inbox) {
                        self.chores.news.unwatch_agent(principal.tenant, principal.agent);
                    }
                    if let View::Ticket(ticket) = view {
                        self.chores.news.unwatch(principal.tenant, ticket);
                        if let Some(shown) = sessions.get(key).and_then(|slot| slot.shown.as_mut()) {
                            shown.remove(&ticket);
                        }
                    }
                }
            }
            Effect::Signal(signal) => self.signal(sessions, key, &signal),
            Effect::Command(call) => {
                if let Some(principal) = slot.principal {
                    command::start(self, key, principal, &call, source);
                }
            }
            Effect::Refuse { id, code, detail } => {
                let problem = Problem::new(code, detail).to_json();
                return slot.session.refused(id, problem.as_bytes());
            }
            Effect::SignalDropped => self.stats.signals_dropped.add(1),
            Effect::Close { code, reason } => {
                self.stats.closed.add(1);
                tracing::debug!(session = key.session.0, code = code.number(), %reason, "closing a session");
                slot.link.queue_close(close_frame(code.number(), &reason));
            }
        }
        Effects::new()
    }

    /// After effects: writes, sets the timer, and forgets a closed session.
    fn settle(&self, sessions: &mut Sessions, key: Key) {
        let Some(slot) = sessions.get(key) else { return };
        slot.link.flush();
        slot.note_lagging(&self.stats);
        match slot.session.deadline() {
            Some(at) if at < slot.timer_at => {
                slot.timer_at = at;
                self.timers.push(at, key);
                self.stats.timers.add(1);
            }
            Some(_) => {}
            None => self.forget(sessions, key),
        }
    }

    fn forget(&self, sessions: &mut Sessions, key: Key) {
        let slot = sessions.slots.remove(key.slot as usize);
        self.stats.sessions.subtract(1);
        let Some(Principal { tenant: id, agent, .. }) = slot.principal else { return };
        let had_on = slot.signals.iter().flat_map(|held| held.iter());
        self.leave(sessions, id, agent, key.session, had_on);
        if let Some(tenant) = sessions.tenants.get_mut(&id) {
            tenant.sessions -= 1;
            if tenant.sessions == 0 {
                sessions.tenants.remove(&id);
            }
        }
    }

    pub(super) fn count_sent(&self, events: u64, bytes: usize) {
        self.stats.events_sent.add(events);
        self.stats.event_bytes_sent.add(bytes as u64);
    }

    fn authenticate(&self, sessions: &mut Sessions, key: Key, token: JsonText<'_>) -> Effects<'static> {
        let Sessions { slots, tenants, .. } = sessions;
        let Some(slot) = slots.get_mut(key.slot as usize) else { return Effects::new() };
        let principal = match self.access.authenticate(&token.decode(), self.clock.wall_now()) {
            Ok(principal) => principal,
            Err(error @ AuthError::KeyUnknown) => {
                let refusal = self.admission.refuse(error.to_string());
                return slot.session.close(CloseCode::Overload, refusal.reason);
            }
            Err(error) => {
                let peer = slot.link.tcp_peer().filter(|_| error.is_guess());
                if let (Some(hook), Some(peer)) = (&self.on_unauthorized, peer) {
                    hook(peer);
                }
                return slot.session.close(CloseCode::Unauthorized, error.to_string());
            }
        };
        let Some(head) = self.log.head(principal.tenant) else {
            let refusal = self.admission.refuse("the tenant's log is not loaded yet".to_owned());
            return slot.session.close(CloseCode::Overload, refusal.reason);
        };
        let tenant = tenants.entry(principal.tenant).or_insert_with(|| Tenant {
            feed: head.offset,
            interests: Interests::default(),
            sessions: 0,
            counter: self.admission.tenant(principal.tenant),
        });
        match self.admission.enter_tenant(&tenant.counter) {
            Ok(place) => slot.place = Some(place),
            Err(refusal) => {
                if tenant.sessions == 0 {
                    tenants.remove(&principal.tenant);
                }
                self.stats.refused.add(1);
                return slot.session.close(CloseCode::Overload, refusal.reason);
            }
        }
        tenant.sessions += 1;
        slot.principal = Some(principal);
        let feed = tenant.feed;
        self.arrive(sessions, principal.tenant, principal.agent);
        let Some(slot) = sessions.get(key) else { return Effects::new() };
        let expires_at = principal.expires_at.map(|at| self.clock.tick_at(at));
        let log = LogPosition { head, feed };
        let sees = self.access.visible_queues(&principal);
        slot.session.authenticated(principal.agent, sees, expires_at, log, self.clock.now())
    }

    /// Reads a page from memory where it is there and others have had their turn; otherwise later.
    fn read_log(
        self: &Rc<Self>,
        sessions: &mut Sessions,
        key: Key,
        after: Offset,
        pages: &mut usize,
    ) -> Effects<'static> {
        self.stats.replay_pages.add(1);
        let Some(slot) = sessions.get(key) else { return Effects::new() };
        let Some(tenant) = slot.tenant() else { return Effects::new() };
        *pages += 1;
        if *pages <= REPLAY_PAGES_PER_TURN_MAX
            && let Some(page) = self.replays.find(&*self.log, tenant, after, self.clock.now())
        {
            return turn_page(sessions, key, replay::part_after(&page, after));
        }
        replay::wait_for(self, tenant, after, key);
        Effects::new()
    }

    /// Ticks sessions that are due, but not so many that others wait; the rest is due still.
    pub(super) fn tick_due(self: &Rc<Self>) {
        let now = self.clock.now();
        self.replays.forget(now);
        let mut sessions = self.sessions.borrow_mut();
        self.heed_directory(&mut sessions);
        for _ in 0..TICKS_PER_TURN_MAX {
            let Some((at, key)) = self.timers.pop_due(now) else { return };
            self.stats.timers.subtract(1);
            let Some(slot) = sessions.get(key) else { continue };
            if slot.timer_at != at {
                continue;
            }
            // Driving it sets the timer anew, unless it is closed.
            slot.timer_at = Tick(u64::MAX);
            let tenant = slot.tenant();
            let feed = sessions.feed(tenant);
            self.drive_in(&mut sessions, key, |session| session.tick(now, feed));
        }
    }
}

pub(super) fn turn_page(sessions: &mut Sessions, key: Key, page: &[Arc<Entry>]) -> Effects<'static> {
    let Some(tenant) = sessions.get(key).and_then(|slot| slot.tenant()) else { return Effects::new() };
    let feed = sessions.feed(Some(tenant));
    sessions.get(key).map(|slot| slot.session.page(page, feed)).unwrap_or_default()
}

fn interests_of(sessions: &mut Sessions, key: Key) -> Option<(&mut Interests, Principal)> {
    let principal = sessions.get(key)?.principal?;
    let tenant = sessions.tenants.get_mut(&principal.tenant)?;
    Some((&mut tenant.interests, principal))
}
