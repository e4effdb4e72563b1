//! All of it: one thread, one source of chance, virtual time.

use std::collections::BTreeMap;
use std::sync::Arc;

use waggle_core::id::TenantId;
use waggle_core::push::SessionSettings;
use waggle_core::time::Tick;

use crate::agenda::{Agenda, Event, Life};
use crate::author::Author;
use crate::engine::Gateway;
use crate::ledger::{Ledger, RequestId};
use crate::model::Model;
use crate::network::{Conn, ConnId};
use crate::plan::{Plan, Trouble};
use crate::random::{Random, Trace};
use crate::store::Store;
use crate::viewer::Viewer;

/// Milliseconds of virtual time without troubles in which everything must have come right.
const SETTLE_MS_MAX: u64 = 150_000;

/// What a run has come across: rare things must happen in some of the seeds.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Reached {
    pub(crate) events: u64,
    pub(crate) seen: u64,
    pub(crate) crashes: u64,
    pub(crate) early: u64,
    pub(crate) recoveries: u64,
    pub(crate) published_late: u64,
    pub(crate) conflicts: u64,
    pub(crate) dropped_batches: u64,
    pub(crate) lags: u64,
    pub(crate) replays: u64,
    pub(crate) resyncs: u64,
    pub(crate) retired: u64,
    pub(crate) broken_replays: u64,
    pub(crate) left: u64,
    pub(crate) stopped_ends: u64,
    pub(crate) changes: u64,
}

pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) random: Random,
    pub(crate) trace: Trace,
    pub(crate) agenda: Agenda,
    pub(crate) now: u64,
    is_calm: bool,
    pub(crate) store: Store,
    pub(crate) model: Model,
    pub(crate) gateway: Option<Gateway>,
    pub(crate) life: Life,
    pub(crate) authors: Vec<Author>,
    pub(crate) viewers: Vec<Viewer>,
    pub(crate) conns: BTreeMap<ConnId, Conn>,
    pub(crate) conn_next: ConnId,
    pub(crate) request_next: RequestId,
    pub(crate) reached: Reached,
}

impl World {
    pub(crate) fn new(seed: u64, is_printed: bool) -> Self {
        let mut random = Random::new(seed);
        let plan = Plan::draw(&mut random);
        if is_printed {
            println!("{plan:#?}");
        }
        let viewers: Vec<Viewer> = (0..plan.viewers).map(|_| Viewer::draw(&mut random, &plan)).collect();
        let mut authors: Vec<Author> = (0..plan.authors).map(|_| Author::draw(&mut random, &plan)).collect();
        authors.extend(viewers.iter().enumerate().filter(|(index, _)| index % 2 == 0).map(
            |(index, viewer)| Author::draw(&mut random, &plan).at_viewer(index, viewer.tenant, viewer.agent),
        ));
        let mut world = Self {
            store: Store::new(plan.tenants),
            plan,
            random,
            trace: Trace::new(is_printed),
            agenda: Agenda::default(),
            now: 0,
            is_calm: false,
            model: Model::default(),
            gateway: None,
            life: 0,
            authors,
            viewers,
            conns: BTreeMap::new(),
            conn_next: 1,
            request_next: 1,
            reached: Reached::default(),
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        self.agenda.add(0, Event::GatewayStarts);
        for author in 0..self.authors.len() {
            self.agenda.add(self.random.below(500), Event::AuthorActs(author));
        }
        for viewer in 0..self.viewers.len() {
            // Some come when there is a log already.
            let at = self.random.pick(&[0, 1_000, 5_000]);
            self.agenda.add(at, Event::ViewerStarts { viewer });
        }
        for (at, trouble) in std::mem::take(&mut self.plan.troubles) {
            self.agenda.add(at, Event::Trouble(trouble));
        }
        self.agenda.add(self.plan.troubled_ms, Event::Calm);
    }

    pub(crate) fn tick(&self) -> Tick {
        Tick(self.now)
    }

    /// Whether something that may go wrong does.
    pub(crate) fn goes_wrong(&mut self, per_mille: u64) -> bool {
        per_mille > 0 && !self.is_calm && self.random.chance(per_mille)
    }

    /// Runs to the end, and checks all that must hold then.
    pub(crate) fn run(mut self) -> (u64, Reached) {
        let mut done_at = None;
        while let Some((at, event)) = self.agenda.next() {
            self.now = at;
            self.happens(event);
            if done_at.is_none() && self.is_calm && self.is_done() {
                // Whatever comes too late or twice comes within some heartbeats more.
                done_at = Some(self.now + 3 * self.plan.heartbeat_ms);
            }
            if done_at.is_some_and(|done_at| self.now > done_at) {
                if self.is_done() {
                    break;
                }
                // A viewer has found only now that its connection was cut before.
                done_at = None;
            }
            if self.now > self.plan.troubled_ms + SETTLE_MS_MAX {
                self.explain();
                panic!("not settled {SETTLE_MS_MAX} ms after the last trouble");
            }
        }
        if !self.is_done() {
            self.explain();
            panic!("nothing more happens, and not all is done");
        }
        self.check();
        (self.trace.hash(), self.reached)
    }

    fn is_done(&self) -> bool {
        self.gateway.as_ref().is_some_and(|gateway| gateway.ledger.is_idle())
            && self.authors.iter().all(Author::is_done)
            && (0..self.viewers.len()).all(|viewer| self.is_up_to_date(viewer))
    }

    fn explain(&self) {
        let authors: Vec<bool> = self.authors.iter().map(Author::is_done).collect();
        let viewers: Vec<bool> = (0..self.viewers.len()).map(|viewer| self.is_up_to_date(viewer)).collect();
        println!("authors done: {authors:?}; viewers up to date: {viewers:?}");
        for viewer in &self.viewers {
            println!("  seen to {:?}; machine {:?}", viewer.seen_to, viewer.client);
        }
        for (tenant, head, _) in self.store.heads() {
            println!("  log of {tenant}: {head:?}");
        }
    }

    fn check(&mut self) {
        self.model.check_durable(&self.store);
        for (index, viewer) in self.viewers.iter().enumerate() {
            let stats = viewer.client.as_ref().expect("a living viewer").stats();
            assert_eq!((stats.repeats_dropped, stats.holes), (0, 0), "viewer {index} covered up an error");
            self.reached.seen += viewer.seen;
        }
        let logs = self.store.tenants.values();
        self.reached.events = logs.map(|table| table.log.len() as u64).sum();
        for conn in self.conns.values() {
            let is_lagging = conn.seat.as_ref().is_some_and(|seat| seat.session.is_lagging());
            assert!(!is_lagging || !conn.is_client_open, "a session still lags");
        }
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::AuthorActs(author) => self.author_acts(author),
            Event::AuthorTimesOut { author, attempt } => self.author_times_out(author, attempt),
            Event::RequestArrives { author, attempt } => self.request_arrives(author, attempt),
            Event::AnswerArrives { author, attempt, answer } => self.answer_arrives(author, attempt, answer),
            Event::Ledger(life, step) if self.lives(life) => self.ledger_step(step),
            Event::BatchArrives { life, shard } if self.lives(life) => self.batch_arrives(shard),
            Event::ShardLooks { life, shard } if self.lives(life) => self.shard_looks(shard),
            Event::Ledger(..) | Event::BatchArrives { .. } | Event::ShardLooks { .. } => {}
            Event::TokenChecked { conn } => self.token_checked(conn),
            Event::PageRead { conn, after } => self.page_read(conn, after),
            Event::PageArrives { conn, page } => self.page_arrives(conn, page.as_deref()),
            Event::CommandAnswered { conn, id, answer } => self.command_answered(conn, &id, &answer),
            Event::SessionTick { conn } => self.session_tick(conn),
            Event::SessionDrained { conn } => self.session_drained(conn),
            Event::Dial { viewer, life, link } => self.dial(viewer, life, link),
            Event::DialFails { viewer, life, link } => self.dial_fails(viewer, life, link),
            Event::ToServer { conn } => self.reaches_server(conn),
            Event::ToClient { conn } => self.reaches_client(conn),
            Event::ServerLearns { conn } => self.server_learns(conn),
            Event::ClientLearns { conn } => self.client_learns(conn),
            Event::ViewerTick { viewer, life } => self.viewer_tick(viewer, life),
            Event::ViewerReads { viewer, life } => self.viewer_reads(viewer, life),
            Event::RetiredCloses { conn } => self.client_closes(conn),
            Event::ViewerStarts { viewer } => self.viewer_starts(viewer),
            Event::Trouble(trouble) => self.trouble(trouble),
            Event::GatewayStarts => self.gateway_starts(),
            Event::Restore { tenant } => self.restore(tenant),
            Event::Calm => self.calm(),
        }
    }

    fn lives(&self, life: Life) -> bool {
        self.gateway.is_some() && self.life == life
    }

    fn trouble(&mut self, trouble: Trouble) {
        match trouble {
            Trouble::Crash { down_ms } => {
                self.crash();
                self.agenda.add(self.now + down_ms, Event::GatewayStarts);
            }
            Trouble::Restore { tenant, down_ms } => {
                self.crash();
                self.agenda.add(self.now + down_ms, Event::Restore { tenant });
                self.agenda.add(self.now + down_ms, Event::GatewayStarts);
            }
            Trouble::Cut { viewer } => {
                for conn in self.conns_of(viewer) {
                    self.cut(conn);
                }
            }
            Trouble::Kill { viewer, down_ms } if self.viewers[viewer].client.is_some() => {
                self.viewer_dies(viewer);
                self.agenda.add(self.now + down_ms, Event::ViewerStarts { viewer });
            }
            Trouble::Kill { .. } => {}
            Trouble::Drain { after_ms, spread_ms } => self.drain(after_ms, spread_ms),
            Trouble::Takeover { after_ms, spread_ms } => self.take_over(after_ms, spread_ms),
            Trouble::Stop { viewer } => self.viewer_stops(viewer),
            Trouble::Change { viewer } => self.change(viewer),
        }
    }

    /// The gateway's process dies: storage keeps what has landed, everything else is gone.
    fn crash(&mut self) {
        if self.gateway.is_none() {
            return;
        }
        self.trace.note(self.now, "crash", &[]);
        self.reached.crashes += 1;
        self.reached.broken_replays += self.replaying();
        self.writer_dies();
        self.gateway = None;
        for conn in self.conns.keys().copied().collect::<Vec<_>>() {
            if let Some(place) = self.conns.get_mut(&conn) {
                place.seat = None;
            }
            self.cut(conn);
            self.forget(conn);
        }
        self.model.check_durable(&self.store);
    }

    fn restore(&mut self, tenant: TenantId) {
        // Another trouble's restart may have come first: nobody restores under a running gateway.
        if self.gateway.is_some() {
            return;
        }
        let keep = self.random.below(self.store.tenants[&tenant].log.len() as u64 + 1) as usize;
        self.trace.note(self.now, "restore", &[tenant.0.into(), keep as u64]);
        self.model.before_restore(&self.store, tenant, keep);
        self.store.restore(tenant, keep);
    }

    pub(crate) fn gateway_starts(&mut self) {
        if self.gateway.is_some() {
            return;
        }
        self.life += 1;
        self.trace.note(self.now, "starts", &[self.life.into()]);
        let ledger = Ledger::open(&self.store, &self.plan);
        let settings = SessionSettings {
            node: "n".into(),
            heartbeat_ms: self.plan.heartbeat_ms,
            hello_ms: self.plan.heartbeat_ms * 3,
            messages_per_second: 1_000_000,
        };
        self.gateway = Some(Gateway::new(ledger, self.plan.shards, Arc::new(settings)));
    }

    /// From here on all goes well; what is already on its way still happens.
    fn calm(&mut self) {
        self.trace.note(self.now, "calm", &[]);
        self.is_calm = true;
        for viewer in 0..self.viewers.len() {
            self.viewers[viewer].hurry(self.now);
            let life = self.viewers[viewer].life;
            self.agenda.add(self.now, Event::ViewerReads { viewer, life });
        }
    }
}

impl Reached {
    pub(crate) fn add(&mut self, other: Self) {
        for (sum, more) in self.counts().into_iter().zip(other.clone().counts()) {
            *sum.1 += *more.1;
        }
    }

    /// A simulation in which something never happens says nothing about it.
    pub(crate) fn check(mut self, seeds: u64) {
        if seeds >= 500 {
            for (what, count) in self.counts() {
                assert!(*count > 0, "{what} never happened in {seeds} seeds");
            }
        }
    }

    fn counts(&mut self) -> [(&'static str, &mut u64); 16] {
        [
            ("an event", &mut self.events),
            ("an event seen", &mut self.seen),
            ("a crash", &mut self.crashes),
            ("an early arrival at the writer", &mut self.early),
            ("a recovery of the writer", &mut self.recoveries),
            ("a late publication", &mut self.published_late),
            ("a conflict in storage", &mut self.conflicts),
            ("a dropped batch", &mut self.dropped_batches),
            ("a lagging session", &mut self.lags),
            ("a replay", &mut self.replays),
            ("a resync", &mut self.resyncs),
            ("a replaced connection", &mut self.retired),
            ("a replay that the gateway's end breaks", &mut self.broken_replays),
            ("a session left by a gateway that was taken over from", &mut self.left),
            ("the end of a session that has stopped", &mut self.stopped_ends),
            ("a change of views or token", &mut self.changes),
        ]
    }
}
