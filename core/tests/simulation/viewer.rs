//! A push client with its application, and the check of every event that the application gets.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use waggle_core::id::{AgentId, Cursor, Epoch, Offset, QueueId, TenantId, TicketId};
use waggle_core::limits::LAG_HEARTBEATS_MAX;
use waggle_core::push::{
    ChangeId, ClientConfig, ClientEffect, EventMessage, Link, Loss, LossReason, PushClient, Receipt,
    ServerMessage, Start, View, Welcome,
};

use crate::agenda::{Event, Life};
use crate::model::at;
use crate::random::Random;
use crate::views::Watched;
use crate::world::World;

/// Items that wait for the application; beyond it nothing more is read from the connection.
const ITEMS_MAX: usize = 8;
/// The same where the application has stopped: so many that the window is full first.
const STOPPED_ITEMS_MAX: usize = 64;

/// What waits for the application.
pub(crate) enum Item {
    Connected(Welcome),
    Deliver(EventMessage, Receipt),
    CaughtUp(Cursor),
    Resync(Cursor),
    Changed(ChangeId),
}

pub(crate) struct Viewer {
    pub(crate) tenant: TenantId,
    pub(crate) agent: AgentId,
    pub(crate) config: ClientConfig,
    /// None while its process is dead.
    pub(crate) client: Option<PushClient>,
    pub(crate) life: Life,
    pub(crate) dialing: BTreeSet<Link>,
    wakes_at: Option<u64>,
    /// What it is shown for, and what it may be.
    pub(crate) watched: Watched,
    /// Its application reads nothing, for now.
    pub(crate) is_stopped: bool,
    /// When it began to read again.
    reads_again_at: Option<u64>,
    items: VecDeque<Item>,
    /// Milliseconds that its application takes for an item.
    read_ms: u64,
    /// What the application has seen all events up to; saved with each event, so that it outlives the
    /// process.
    pub(crate) seen_to: Option<Cursor>,
    /// The application was welcomed anew and is to be told where to go on.
    awaits_resync: bool,
    pub(crate) seen: u64,
}

impl Viewer {
    pub(crate) fn draw(random: &mut Random, plan: &crate::plan::Plan) -> Self {
        let tenant = TenantId(random.between(1, plan.tenants.into()) as u32);
        let agent = AgentId(random.between(1, plan.agents.into()) as u32);
        let mut views = vec![match random.below(5) {
            0 | 1 => View::Tenant,
            2 => View::Mine,
            3 => View::Queue(QueueId(random.between(1, plan.queues.into()) as u32)),
            _ => View::Ticket(TicketId(random.between(1, 3))),
        }];
        if random.chance(300) {
            views.extend([View::Mine, View::Queue(QueueId(1))]);
        }
        let start = match random.below(8) {
            0..=3 => Start::Beginning,
            4 | 5 => Start::Now,
            6 => Start::After(Cursor { epoch: Epoch(u64::from(tenant.0) << 32 | 1), offset: Offset(0) }),
            // Ahead of whatever there will be.
            _ => Start::After(Cursor { epoch: Epoch(u64::from(tenant.0) << 32 | 1), offset: Offset(9_999) }),
        };
        let seen_to = match start {
            Start::After(cursor) => Some(cursor),
            _ => None,
        };
        let window = random.pick(&[Some(4096), Some(6000), None]);
        let watched = Watched::begin(&views);
        let token = format!("t{tenant}.{agent}");
        let read_ms = if random.chance(plan.slow_reader_per_mille) { random.between(1, 300) } else { 0 };
        Self {
            tenant,
            agent,
            config: ClientConfig { token, views, start, window, seed: random.below(u64::MAX) },
            client: None,
            life: 0,
            dialing: BTreeSet::new(),
            wakes_at: None,
            watched,
            is_stopped: false,
            reads_again_at: None,
            items: VecDeque::new(),
            read_ms,
            seen_to,
            awaits_resync: false,
            seen: 0,
        }
    }

    pub(crate) fn is_alive(&self, life: Life) -> bool {
        self.life == life && self.client.is_some()
    }

    pub(crate) fn has_room(&self) -> bool {
        self.items.len() < if self.is_stopped { STOPPED_ITEMS_MAX } else { ITEMS_MAX }
    }

    /// Its application reads, and at once.
    pub(crate) fn hurry(&mut self, now: u64) {
        self.read_ms = 0;
        if std::mem::take(&mut self.is_stopped) {
            self.reads_again_at = Some(now);
        }
    }

    /// Whether its gateway may have to think so: it has just begun to read again, or takes about as long
    /// for what waits as the gateway waits for an ack that frees something.
    pub(crate) fn seems_stopped(&self, now: u64, plan: &crate::plan::Plan) -> bool {
        let is_slow =
            self.read_ms * ITEMS_MAX as u64 >= plan.heartbeat_ms * u64::from(LAG_HEARTBEATS_MAX - 1);
        let has_been = self.reads_again_at.is_some_and(|at| now <= at + plan.network_ms);
        self.is_stopped || has_been || is_slow
    }
}

impl World {
    pub(crate) fn viewer_starts(&mut self, viewer: usize) {
        let now = self.tick();
        let place = &mut self.viewers[viewer];
        place.life += 1;
        let mut config = place.config.clone();
        if let Some(cursor) = place.seen_to {
            config.start = Start::After(cursor);
        }
        place.client = Some(PushClient::new(config, now));
        place.awaits_resync = false;
        place.watched.begin_again(&place.config.views);
        self.drive(viewer);
    }

    /// The process dies: what its application has not seen is gone with it.
    pub(crate) fn viewer_dies(&mut self, viewer: usize) {
        let place = &mut self.viewers[viewer];
        place.client = None;
        place.items.clear();
        place.dialing.clear();
        place.wakes_at = None;
        self.trace.note(self.now, "viewer dies", &[viewer as u64]);
        for conn in self.conns_of(viewer) {
            self.client_closes(conn);
            if self.random.chance(300) {
                self.cut(conn);
            }
        }
    }

    pub(crate) fn viewer_stops(&mut self, viewer: usize) {
        self.trace.note(self.now, "viewer stops", &[viewer as u64]);
        self.viewers[viewer].is_stopped = true;
    }

    pub(crate) fn conns_of(&self, viewer: usize) -> Vec<u64> {
        let is_its = |conn: &&crate::network::Conn| conn.viewer == viewer && conn.is_client_open;
        self.conns.values().filter(is_its).map(|conn| conn.id).collect()
    }

    pub(crate) fn viewer_connected(&mut self, viewer: usize, link: Link) {
        let now = self.tick();
        if let Some(client) = &mut self.viewers[viewer].client {
            client.connected(link, now);
            self.drive(viewer);
        }
    }

    pub(crate) fn viewer_receives(&mut self, viewer: usize, link: Link, text: Bytes) {
        let now = self.tick();
        let Some(client) = &mut self.viewers[viewer].client else { return };
        let text = std::str::from_utf8(&text).expect("texts are UTF-8");
        if text.starts_with(r#"{"type":"result""#) {
            // The machine passes results on; those of a replaced connection are the driver's.
            match ServerMessage::parse(text.as_bytes()) {
                Ok(ServerMessage::Result { id: Some(id), event, error }) if !id.starts_with('v') => {
                    self.session_result(&id, event.as_deref(), error.as_deref());
                }
                _ => client.received(link, text, now),
            }
        } else {
            client.received(link, text, now);
        }
        self.drive(viewer);
    }

    pub(crate) fn lose(&mut self, viewer: usize, link: Link, loss: Loss) {
        let now = self.tick();
        if let Some(client) = &mut self.viewers[viewer].client {
            client.disconnected(link, loss, now);
            self.drive(viewer);
        }
    }

    pub(crate) fn viewer_tick(&mut self, viewer: usize, life: Life) {
        if !self.viewers[viewer].is_alive(life) {
            return;
        }
        let now = self.tick();
        self.viewers[viewer].wakes_at = None;
        if let Some(client) = &mut self.viewers[viewer].client {
            client.tick(now);
            self.drive(viewer);
        }
    }

    /// Carries out what the machine wants, until it wants nothing.
    pub(crate) fn drive(&mut self, viewer: usize) {
        while let Some(effect) = self.viewers[viewer].client.as_mut().and_then(PushClient::poll) {
            self.carry_out_client(viewer, effect);
        }
        let place = &mut self.viewers[viewer];
        let wake = place.client.as_ref().and_then(PushClient::wake_at).map(|at| at.0.max(self.now + 1));
        if let Some(wake) = wake
            && place.wakes_at.is_none_or(|at| wake < at)
        {
            place.wakes_at = Some(wake);
            self.agenda.add(wake, Event::ViewerTick { viewer, life: place.life });
        }
    }

    fn carry_out_client(&mut self, viewer: usize, effect: ClientEffect) {
        let life = self.viewers[viewer].life;
        match effect {
            ClientEffect::Connect { link, after_ms } => {
                self.viewers[viewer].dialing.insert(link);
                let at = self.now + after_ms + self.random.below(self.plan.network_ms);
                self.agenda.add(at, Event::Dial { viewer, life, link });
            }
            ClientEffect::Send { link, text } => {
                if let Some(conn) = self.conn_of(viewer, link) {
                    self.send_up(conn, &text);
                }
            }
            ClientEffect::Close { link } => {
                self.viewers[viewer].dialing.remove(&link);
                if let Some(conn) = self.conn_of(viewer, link) {
                    self.client_closes(conn);
                }
            }
            ClientEffect::Retire { link } => {
                self.reached.retired += 1;
                if let Some(conn) = self.conn_of(viewer, link) {
                    let at = self.now + self.random.below(3_000);
                    self.agenda.add(at, Event::RetiredCloses { conn });
                }
            }
            ClientEffect::Connected { welcome, .. } => self.hand_over(viewer, Item::Connected(welcome)),
            ClientEffect::Deliver { event, receipt } => self.hand_over(viewer, Item::Deliver(event, receipt)),
            ClientEffect::CaughtUp { cursor } => self.hand_over(viewer, Item::CaughtUp(cursor)),
            ClientEffect::Resync { cursor, .. } => self.hand_over(viewer, Item::Resync(cursor)),
            ClientEffect::Result { .. } => panic!("results are taken before the machine"),
            ClientEffect::Changed { id, error } => {
                assert!(error.is_none(), "viewer {viewer}: a change was refused: {error:?}");
                self.hear_change(viewer, id);
            }
            ClientEffect::Ended { views } => panic!("viewer {viewer} sees all, and {views:?} ended"),
            ClientEffect::Signal(_) | ClientEffect::Suggestion(_) | ClientEffect::Count(_) => {
                panic!("nobody signals or counts")
            }
            ClientEffect::Lost { reason, .. } => {
                let is_honest = matches!(
                    reason,
                    LossReason::Connection(_) | LossReason::Silent | LossReason::NotWelcomed
                );
                assert!(is_honest, "viewer {viewer} lost its session: {reason}");
            }
            ClientEffect::Stop { reason } => panic!("viewer {viewer} was turned away: {reason}"),
        }
    }

    pub(crate) fn hand_over(&mut self, viewer: usize, item: Item) {
        let place = &mut self.viewers[viewer];
        place.items.push_back(item);
        if place.is_stopped {
            return;
        }
        if place.read_ms == 0 {
            while let Some(item) = self.viewers[viewer].items.pop_front() {
                self.take_item(viewer, item);
            }
        } else if place.items.len() == 1 {
            let (life, at) = (place.life, self.now + place.read_ms);
            self.agenda.add(at, Event::ViewerReads { viewer, life });
        }
    }

    /// The application takes an item; then there may be room to read more.
    pub(crate) fn viewer_reads(&mut self, viewer: usize, life: Life) {
        if !self.viewers[viewer].is_alive(life) || self.viewers[viewer].is_stopped {
            return;
        }
        if let Some(item) = self.viewers[viewer].items.pop_front() {
            self.take_item(viewer, item);
        }
        self.drive(viewer);
        let place = &self.viewers[viewer];
        if !place.items.is_empty() {
            self.agenda.add(self.now + place.read_ms, Event::ViewerReads { viewer, life });
        }
        for conn in self.conns_of(viewer) {
            self.read(conn);
        }
    }

    fn take_item(&mut self, viewer: usize, item: Item) {
        match item {
            Item::Connected(welcome) => self.sees_welcome(viewer, &welcome),
            Item::Deliver(event, receipt) => {
                self.sees(viewer, &event);
                if let Some(client) = &mut self.viewers[viewer].client {
                    client.shown(receipt);
                }
            }
            Item::CaughtUp(cursor) => self.sees_all_to(viewer, cursor),
            Item::Resync(cursor) => self.sees_resync(viewer, cursor),
            Item::Changed(id) => self.sees_change(viewer, id),
        }
    }

    fn sees_welcome(&mut self, viewer: usize, welcome: &Welcome) {
        let place = &mut self.viewers[viewer];
        let given = Cursor { epoch: welcome.epoch, offset: welcome.offset };
        // A machine that asked for nothing starts at the welcome; any other one that is not resumed
        // must be told to.
        let asked = place.config.start != Start::Now || place.seen_to.is_some();
        let is_whole = place.config.start == Start::Beginning && welcome.offset == Offset(0);
        place.awaits_resync = !welcome.resumed && asked && !(is_whole && place.seen_to.is_none());
        if place.seen_to.is_none() {
            let starts_whole = place.config.start != Start::Beginning || welcome.offset == Offset(0);
            assert!(starts_whole || place.awaits_resync, "asked for the whole log, and got {given:?}");
            place.seen_to = Some(given);
        }
        let head = Offset(self.model.log(&self.store, place.tenant, given.epoch).len() as u64);
        let place = &mut self.viewers[viewer];
        place.watched.welcomed(head);
        self.trace.note(self.now, "welcomed", &[viewer as u64, given.epoch.0, given.offset.0]);
    }

    fn sees(&mut self, viewer: usize, event: &EventMessage) {
        let place = &self.viewers[viewer];
        assert!(!place.awaits_resync, "an event before the resync");
        let cursor = place.seen_to.expect("a welcome comes before events");
        let log = self.model.log(&self.store, place.tenant, cursor.epoch);
        assert!(event.offset > cursor.offset, "viewer {viewer} got {} after {cursor:?}", event.offset);
        let Some(due) = log.get(event.offset.0 as usize - 1) else {
            panic!("viewer {viewer} got {} after {cursor:?}, which is not in the log", event.offset);
        };
        assert!(place.watched.may_show(due, place.agent), "viewer {viewer} got {}, of no view", event.offset);
        if let Some(missed) = place.watched.next_due(log, cursor.offset, place.agent) {
            let missed = missed.stored.offset;
            assert!(
                missed >= event.offset,
                "viewer {viewer}, after {cursor:?}: {} and not {missed}",
                event.offset
            );
        }
        assert_eq!((event.ticket, event.version), (due.stored.ticket, due.stored.version));
        assert_eq!(event.data.get(), due.stored.data);
        let seen_to = Cursor { offset: event.offset, ..cursor };
        self.trace.note(self.now, "sees", &[viewer as u64, event.offset.0]);
        self.viewers[viewer].seen_to = Some(seen_to);
        self.viewers[viewer].seen += 1;
    }

    fn sees_all_to(&mut self, viewer: usize, cursor: Cursor) {
        let place = &self.viewers[viewer];
        assert!(!place.awaits_resync, "a mark before the resync");
        let seen_to = place.seen_to.expect("a welcome comes before marks");
        assert_eq!(seen_to.epoch, cursor.epoch, "a mark of another log");
        let log = self.model.log(&self.store, place.tenant, cursor.epoch);
        assert!(cursor.offset.0 as usize <= log.len(), "caught up to {cursor:?}, beyond the log");
        if let Some(due) = place.watched.next_due(log, seen_to.offset, place.agent) {
            assert!(due.stored.offset > cursor.offset, "viewer {viewer} missed {}", due.stored.offset);
        }
        self.viewers[viewer].seen_to = Some(Cursor { offset: seen_to.offset.max(cursor.offset), ..cursor });
    }

    fn sees_resync(&mut self, viewer: usize, cursor: Cursor) {
        self.reached.resyncs += 1;
        let place = &self.viewers[viewer];
        assert!(place.awaits_resync || place.seen_to == Some(cursor), "a resync after an honoured resume");
        let seen_to = place.seen_to.expect("a welcome comes before a resync");
        let log = self.model.log(&self.store, place.tenant, cursor.epoch);
        let is_due =
            seen_to.epoch != cursor.epoch || seen_to.offset.0 as usize > log.len() || seen_to == cursor;
        assert!(is_due, "viewer {viewer} at {seen_to:?} was sent to {cursor:?}");
        assert!(cursor.offset.0 as usize <= log.len(), "resync to {cursor:?}, beyond the log");
        self.trace.note(self.now, "resync", &at(cursor));
        let place = &mut self.viewers[viewer];
        place.awaits_resync = false;
        place.seen_to = Some(cursor);
        place.watched.resync(cursor.offset);
    }

    /// Whether a viewer has seen all that there is.
    pub(crate) fn is_up_to_date(&self, viewer: usize) -> bool {
        let place = &self.viewers[viewer];
        let Some(cursor) = place.seen_to.filter(|_| place.items.is_empty() && !place.awaits_resync) else {
            return false;
        };
        let table = &self.store.tenants[&place.tenant];
        let is_live = place.client.as_ref().is_some_and(|client| client.live_link().is_some());
        is_live
            && place.watched.is_settled()
            && cursor.epoch == table.epoch
            && place.watched.next_due(&table.log, cursor.offset, place.agent).is_none()
    }
}
