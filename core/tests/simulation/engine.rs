//! The push engine: shards offer what is published to their sessions, and read the log for them.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use waggle_core::id::{AgentId, Offset, SessionId, TenantId};
use waggle_core::push::{
    CloseCode, Effect, Effects, LogPosition, Offer, Session, SessionPhase, SessionSettings, View,
};
use waggle_core::right::{QueueSet, Rights};
use waggle_core::ticket::{Actor, Authority, Entry};

use crate::agenda::Event;
use crate::ledger::{Answer, Failure, Ledger, Origin, Request};
use crate::network::{ConnId, Down};
use crate::store::key_of;
use crate::world::World;

/// One thread of the engine.
#[derive(Default)]
pub(crate) struct Shard {
    /// Up to where each log was offered.
    feeds: BTreeMap<TenantId, Offset>,
    inbox: VecDeque<(TenantId, Vec<Arc<Entry>>)>,
    last_ms: u64,
}

/// A gateway's process.
pub(crate) struct Gateway {
    pub(crate) ledger: Ledger,
    pub(crate) shards: Vec<Shard>,
    pub(crate) settings: Arc<SessionSettings>,
}

impl Gateway {
    pub(crate) fn new(ledger: Ledger, shards: usize, settings: Arc<SessionSettings>) -> Self {
        let feeds = || ledger.logs.iter().map(|(tenant, log)| (*tenant, log.cursor().offset)).collect();
        let shards = (0..shards).map(|_| Shard { feeds: feeds(), ..Shard::default() }).collect();
        Self { ledger, shards, settings }
    }
}

/// The gateway's end of a connection.
pub(crate) struct Seat {
    pub(crate) session: Session,
    pub(crate) tenant: TenantId,
    agent: AgentId,
    watched: Vec<View>,
    /// Event frames sent and not acknowledged.
    unacked: VecDeque<(Offset, usize)>,
    pub(crate) is_draining: bool,
    /// Another gateway has the log; the feed as it was then.
    pub(crate) left_at: Option<Offset>,
    /// Since when it lags.
    lags_since: Option<u64>,
}

impl Seat {
    pub(crate) fn new(id: ConnId, settings: Arc<SessionSettings>, now: waggle_core::time::Tick) -> Self {
        Self {
            session: Session::new(SessionId(id), settings, now),
            tenant: TenantId(0),
            agent: AgentId(0),
            watched: Vec::new(),
            unacked: VecDeque::new(),
            is_draining: false,
            left_at: None,
            lags_since: None,
        }
    }
}

impl World {
    pub(crate) fn feed(&self, conn: ConnId) -> Offset {
        let (shard, tenant) = match self.conns.get(&conn).and_then(|it| Some((it.shard, it.seat.as_ref()?))) {
            Some((_, Seat { left_at: Some(feed), .. })) => return *feed,
            Some((shard, seat)) => (shard, seat.tenant),
            None => return Offset(0),
        };
        let gateway = self.gateway.as_ref().expect("a seat is of a living gateway");
        gateway.shards[shard].feeds.get(&tenant).copied().unwrap_or_default()
    }

    pub(crate) fn send_to_shards(&mut self, tenant: TenantId, entries: Vec<Arc<Entry>>) {
        for shard in 0..self.plan.shards {
            let at = self.now + self.random.below(4);
            let life = self.life;
            if self.goes_wrong(self.plan.batch_dropped_per_mille) {
                self.reached.dropped_batches += 1;
                let looks = self.now + self.random.below(400);
                self.agenda.add(looks, Event::ShardLooks { life, shard });
                continue;
            }
            let gateway = self.gateway.as_mut().expect("a living gateway");
            let place = &mut gateway.shards[shard];
            place.last_ms = place.last_ms.max(at);
            place.inbox.push_back((tenant, entries.clone()));
            self.agenda.add(place.last_ms, Event::BatchArrives { life, shard });
        }
    }

    pub(crate) fn batch_arrives(&mut self, shard: usize) {
        let gateway = self.gateway.as_mut().expect("a living gateway");
        let place = &mut gateway.shards[shard];
        let (tenant, entries) = place.inbox.pop_front().expect("a batch that was sent");
        for entry in entries {
            let feed = self.gateway.as_ref().expect("a living gateway").shards[shard].feeds[&tenant];
            if entry.offset <= feed {
                continue;
            }
            if entry.offset != feed.next() {
                // Offsets start at 1.
                self.skip_to(shard, tenant, feed, Offset(entry.offset.0 - 1));
            }
            self.offer(shard, tenant, &entry);
            self.set_feed(shard, tenant, entry.offset);
        }
    }

    pub(crate) fn shard_looks(&mut self, shard: usize) {
        let gateway = self.gateway.as_ref().expect("a living gateway");
        let feeds: Vec<_> =
            gateway.shards[shard].feeds.iter().map(|(tenant, feed)| (*tenant, *feed)).collect();
        for (tenant, feed) in feeds {
            let head = self.ledger().head(tenant).offset;
            if feed < head {
                self.skip_to(shard, tenant, feed, head);
            }
        }
    }

    /// What lies between is not offered: sessions read it from the log.
    fn skip_to(&mut self, shard: usize, tenant: TenantId, feed: Offset, to: Offset) {
        self.trace.note(self.now, "missed", &[shard as u64, tenant.0.into(), feed.0, to.0]);
        for conn in self.seats_of(shard, tenant) {
            let effects = self.seat(conn).session.missed(feed);
            self.carry_out(conn, effects);
        }
        self.set_feed(shard, tenant, to);
    }

    fn set_feed(&mut self, shard: usize, tenant: TenantId, feed: Offset) {
        let gateway = self.gateway.as_mut().expect("a living gateway");
        gateway.shards[shard].feeds.insert(tenant, feed);
    }

    fn seats_of(&self, shard: usize, tenant: TenantId) -> Vec<ConnId> {
        let is_there = |conn: &&crate::network::Conn| {
            let is_its = |seat: &Seat| seat.tenant == tenant && seat.left_at.is_none();
            conn.shard == shard && conn.seat.as_ref().is_some_and(is_its)
        };
        self.conns.values().filter(is_there).map(|conn| conn.id).collect()
    }

    pub(crate) fn seat(&mut self, conn: ConnId) -> &mut Seat {
        self.conns.get_mut(&conn).and_then(|conn| conn.seat.as_mut()).expect("a seat")
    }

    pub(crate) fn has_seat(&self, conn: ConnId) -> bool {
        self.conns.get(&conn).is_some_and(|conn| conn.seat.is_some())
    }

    fn offer(&mut self, shard: usize, tenant: TenantId, entry: &Arc<Entry>) {
        for conn in self.seats_of(shard, tenant) {
            let is_indexed = self.plan.is_indexed;
            let seat = self.seat(conn);
            let agent = Some(seat.agent);
            let watches = |view: &View| view.matches(agent, entry.ticket, &entry.route, &entry.followers);
            if is_indexed && !seat.watched.iter().any(watches) {
                continue;
            }
            match seat.session.offer(entry) {
                Offer::Send => self.send_event(conn, entry),
                Offer::Lag(mark) => {
                    self.reached.lags += 1;
                    self.send_down(conn, Down::Frame(mark));
                }
                Offer::Pass => {}
            }
        }
    }

    fn send_event(&mut self, conn: ConnId, entry: &Entry) {
        let window = self.window_of(conn);
        let seat = self.seat(conn);
        seat.unacked.push_back((entry.offset, entry.frame.len()));
        let bytes: usize = seat.unacked.iter().map(|(_, bytes)| bytes).sum();
        assert!(bytes <= window || seat.unacked.len() == 1, "{bytes} bytes unacknowledged of {window}");
        self.send_down(conn, Down::Frame(entry.frame.clone()));
    }

    /// A text came from the client.
    pub(crate) fn hears(&mut self, conn: ConnId, text: &str) {
        let now = self.tick();
        if let Some(offset) = text.strip_prefix(r#"{"type":"ack","offset":"#) {
            let offset = Offset(offset.trim_end_matches('}').parse().expect("an offset"));
            self.seat(conn).unacked.retain(|(sent, _)| *sent > offset);
        }
        let effects = self.seat(conn).session.received_text(text.as_bytes(), now);
        self.carry_out(conn, effects);
    }

    pub(crate) fn carry_out(&mut self, conn: ConnId, effects: Effects<'_>) {
        for effect in effects {
            match effect {
                Effect::Authenticate { token } => self.authenticate(conn, &token.decode()),
                Effect::Refresh { .. } => {
                    let effects = self.seat(conn).session.refreshed(None);
                    self.carry_out(conn, effects);
                }
                Effect::Frame(frame) => self.send_down(conn, Down::Frame(frame)),
                Effect::Event(entry) => self.send_event(conn, &entry),
                Effect::Read { after } => {
                    self.reached.replays += 1;
                    let at = self.now + self.store_delay();
                    self.agenda.add(at, Event::PageRead { conn, after });
                }
                Effect::Watch { view } => {
                    let seat = self.seat(conn);
                    assert!(!seat.watched.contains(&view), "watched twice: {view}");
                    seat.watched.push(view);
                }
                Effect::Unwatch { view } => {
                    let seat = self.seat(conn);
                    assert!(seat.watched.contains(&view), "unwatched and never watched: {view}");
                    seat.watched.retain(|watched| *watched != view);
                }
                Effect::Signal(_) | Effect::SignalDropped => panic!("no viewer signals"),
                Effect::Command(command) => self.session_command(conn, &command),
                Effect::Refuse { id, code, detail } => {
                    let problem = format!(r#"{{"code":"{code}","detail":"{detail}"}}"#);
                    let effects = self.seat(conn).session.refused(id, problem.as_bytes());
                    self.carry_out(conn, effects);
                }
                Effect::Close { code, reason } => {
                    let is_fault = matches!(
                        code,
                        CloseCode::Drain
                            | CloseCode::Unresponsive
                            | CloseCode::Internal
                            | CloseCode::HelloTimeout
                    );
                    let viewer = &self.viewers[self.conns[&conn].viewer];
                    let is_stopped = viewer.seems_stopped(self.now, &self.plan);
                    self.reached.stopped_ends += u64::from(is_stopped && code == CloseCode::Lagging);
                    let is_fault = is_fault || (is_stopped && code == CloseCode::Lagging);
                    assert!(is_fault, "a session was closed with {code:?}: {reason}");
                    self.trace.note(self.now, "closes", &[conn, code.number().into()]);
                    self.send_down(conn, Down::Closed(code.number(), reason.into_owned()));
                    self.leave(conn);
                }
            }
        }
    }

    /// The token says tenant and agent: `t1.2`.
    fn authenticate(&mut self, conn: ConnId, token: &str) {
        let (tenant, agent) = token[1..].split_once('.').expect("a token");
        let seat = self.seat(conn);
        seat.tenant = TenantId(tenant.parse().expect("a tenant"));
        seat.agent = AgentId(agent.parse().expect("an agent"));
        let at = self.now + self.store_delay();
        self.agenda.add(at, Event::TokenChecked { conn });
    }

    pub(crate) fn token_checked(&mut self, conn: ConnId) {
        // A session that was left before it was welcomed has been closed.
        if !self.has_seat(conn) || self.seat(conn).session.is_closed() {
            return;
        }
        let now = self.tick();
        let feed = self.feed(conn);
        let (tenant, agent) = (self.seat(conn).tenant, self.seat(conn).agent);
        let log = LogPosition { head: self.ledger().head(tenant), feed };
        let effects = self.seat(conn).session.authenticated(agent, QueueSet::All, None, log, now);
        self.carry_out(conn, effects);
        self.schedule_session(conn);
    }

    pub(crate) fn page_read(&mut self, conn: ConnId, after: Offset) {
        // Who has let go of the log reads it no more.
        if !self.has_seat(conn) || self.seat(conn).left_at.is_some() {
            return;
        }
        let tenant = self.seat(conn).tenant;
        let page = match self.goes_wrong(self.plan.read_fails_per_mille) {
            true => None,
            false => {
                let limit = self.plan.page_events_max;
                let gateway = self.gateway.as_ref().expect("a living gateway");
                Some(Rc::new(gateway.ledger.read_after(&self.store, tenant, after, limit)))
            }
        };
        let at = self.now + self.store_delay();
        self.agenda.add(at, Event::PageArrives { conn, page });
    }

    pub(crate) fn page_arrives(&mut self, conn: ConnId, page: Option<&Vec<Arc<Entry>>>) {
        if !self.has_seat(conn) {
            return;
        }
        let feed = self.feed(conn);
        let session = &mut self.seat(conn).session;
        let effects = match page {
            Some(page) => session.page(page, feed),
            None => session.close(CloseCode::Internal, "the log cannot be read"),
        };
        self.carry_out(conn, effects);
    }

    pub(crate) fn session_tick(&mut self, conn: ConnId) {
        if !self.has_seat(conn) {
            return;
        }
        let now = self.tick();
        let feed = self.feed(conn);
        let effects = self.seat(conn).session.tick(now, feed);
        self.carry_out(conn, effects);
        self.check_lag(conn);
        self.schedule_session(conn);
    }

    /// A session whose application has stopped does not lag for ever.
    fn check_lag(&mut self, conn: ConnId) {
        let Some(place) = self.conns.get_mut(&conn) else { return };
        let (viewer, Some(seat)) = (place.viewer, &mut place.seat) else { return };
        let is_stuck = seat.session.is_lagging() && self.viewers[viewer].is_stopped;
        if !is_stuck {
            seat.lags_since = None;
            return;
        }
        let lagged_ms = self.now - *seat.lags_since.get_or_insert(self.now);
        let heartbeats = u64::from(waggle_core::limits::LAG_HEARTBEATS_MAX) + 2;
        assert!(
            lagged_ms <= heartbeats * self.plan.heartbeat_ms,
            "a stopped session lags for {lagged_ms} ms"
        );
    }

    /// Sessions that read the log.
    pub(crate) fn replaying(&self) -> u64 {
        let is_replaying = |conn: &&crate::network::Conn| {
            let report = conn.seat.as_ref().and_then(|seat| seat.session.report(Offset(0)));
            report.is_some_and(|report| report.phase == SessionPhase::Replaying)
        };
        self.conns.values().filter(is_replaying).count() as u64
    }

    pub(crate) fn schedule_session(&mut self, conn: ConnId) {
        if !self.has_seat(conn) {
            return;
        }
        if let Some(deadline) = self.seat(conn).session.deadline() {
            let at = deadline.0.max(self.now + 1);
            let seat = self.conns.get_mut(&conn).expect("a connection");
            if seat.tick_at.is_none_or(|tick_at| tick_at <= self.now || tick_at > at) {
                seat.tick_at = Some(at);
                self.agenda.add(at, Event::SessionTick { conn });
            }
        }
    }

    fn session_command(&mut self, conn: ConnId, command: &waggle_core::push::PushCommand<'_>) {
        if self.seat(conn).left_at.is_some() {
            let effects = self.seat(conn).session.rejected(command.id, br#"{"code":"again"}"#);
            return self.carry_out(conn, effects);
        }
        let seat = self.seat(conn);
        let (tenant, actor) = (seat.tenant, Actor::Agent(seat.agent));
        let request = Request {
            origin: Origin::Session { conn, id: command.id.into() },
            tenant,
            authority: Authority { actor, rights: Rights::AGENT },
            ticket: command.ticket,
            body: command.command.get().into(),
            key: command.key.map(|key| key_of(tenant, actor, key)),
            has_lease: false,
        };
        self.submit(request);
    }

    pub(crate) fn command_answered(&mut self, conn: ConnId, id: &str, answer: &Answer) {
        if !self.has_seat(conn) {
            return;
        }
        let session = &mut self.seat(conn).session;
        let effects = match answer {
            Ok(entry) => session.answered(id, &entry.json()),
            Err(Failure::Refused) => session.rejected(id, br#"{"code":"refused"}"#),
            Err(Failure::Again) => session.rejected(id, br#"{"code":"again"}"#),
        };
        self.carry_out(conn, effects);
    }

    pub(crate) fn drain(&mut self, after_ms: u64, spread_ms: u64) {
        let seated: Vec<ConnId> = self.conns.keys().copied().filter(|conn| self.has_seat(*conn)).collect();
        for conn in seated {
            let effects = self.seat(conn).session.drain(after_ms, spread_ms);
            self.carry_out(conn, effects);
            if self.has_seat(conn) {
                self.seat(conn).is_draining = true;
                let at = self.now + after_ms + self.random.below(spread_ms + 1);
                self.agenda.add(at, Event::SessionDrained { conn });
            }
        }
    }

    pub(crate) fn session_drained(&mut self, conn: ConnId) {
        if self.has_seat(conn) && self.seat(conn).is_draining {
            let effects = self.seat(conn).session.close(CloseCode::Drain, "draining");
            self.carry_out(conn, effects);
        }
    }

    /// The gateway's end is done with a connection.
    fn leave(&mut self, conn: ConnId) {
        if let Some(place) = self.conns.get_mut(&conn) {
            place.seat = None;
        }
        self.forget(conn);
    }

    pub(crate) fn server_learns(&mut self, conn: ConnId) {
        if self.has_seat(conn) {
            let effects = self.seat(conn).session.gone();
            self.carry_out(conn, effects);
            assert!(self.seat(conn).watched.is_empty(), "watched to the end");
            self.leave(conn);
        }
    }
}
