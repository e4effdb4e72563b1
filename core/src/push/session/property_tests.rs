//! Random histories against a small model: a log, a feed, a wire, and a client that knows what it
//! should have seen.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::tests::{AGENT, EPOCH, entry, payload, position};
use super::*;
use crate::limits::REPLAY_EVENTS_MAX;
use crate::push::ServerMessage;

#[derive(Debug, Clone)]
enum Step {
    /// An event of this queue, with this much text, is committed.
    Commit { queue: u32, data_bytes: usize },
    /// The driver offers so many events.
    Offer(usize),
    /// The driver drops so many events.
    Miss(usize),
    /// A read is answered with at most so many events.
    Page(usize),
    /// The client takes so many messages from the wire.
    Receive(usize),
    /// The client acknowledges what it has; so do acks that it owes for marks.
    Ack,
    /// Time passes.
    Wait(u64),
    /// The connection breaks, and the client comes back.
    Reconnect,
    /// The client changes what it watches.
    Subscribe(u32),
    /// The same.
    Unsubscribe(u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (1..4_u32, prop_oneof![4 => 0..300_usize, 1 => 3000..9000_usize])
            .prop_map(|(queue, data_bytes)| Step::Commit { queue, data_bytes }),
        8 => (1..8_usize).prop_map(Step::Offer),
        1 => (1..4_usize).prop_map(Step::Miss),
        4 => (1..20_usize).prop_map(Step::Page),
        6 => (1..10_usize).prop_map(Step::Receive),
        3 => Just(Step::Ack),
        1 => (1..1200_u64).prop_map(Step::Wait),
        1 => Just(Step::Reconnect),
        1 => (1..4_u32).prop_map(Step::Subscribe),
        1 => (1..4_u32).prop_map(Step::Unsubscribe),
    ];
    proptest::collection::vec(step, 1..250)
}

/// What the client's end knows.
#[derive(Default)]
struct Client {
    cursor: Offset,
    /// Of this session.
    events: u64,
    owes_ack: bool,
    /// Of all sessions, in order.
    seen: Vec<Offset>,
    welcomed: bool,
}

struct World {
    log: Vec<Arc<Entry>>,
    feed: Offset,
    now: Tick,
    session: Session,
    reading: Option<Offset>,
    wire: VecDeque<bytes::Bytes>,
    client: Client,
    window: u32,
    /// Frames sent in this session: their offsets and bytes.
    sent: Vec<(Offset, usize)>,
    /// The highest ack that the session has got.
    acked: Offset,
    /// What the session watches, and since which committed offset without a break.
    watched: Vec<(u32, Offset)>,
    /// Offsets that must be seen, and those that may be.
    must: Vec<Offset>,
    may: Vec<Offset>,
}

impl World {
    fn new(window: u32) -> Self {
        let mut world = Self {
            log: Vec::new(),
            feed: Offset(0),
            now: Tick(0),
            session: Session::new(SessionId(1), Arc::new(SessionSettings::new("n")), Tick(0)),
            reading: None,
            wire: VecDeque::new(),
            client: Client::default(),
            window,
            sent: Vec::new(),
            acked: Offset(0),
            watched: vec![(1, Offset(0)), (2, Offset(0))],
            must: Vec::new(),
            may: Vec::new(),
        };
        world.connect();
        world
    }

    fn head(&self) -> Offset {
        Offset(self.log.len() as u64)
    }

    fn connect(&mut self) {
        let settings = SessionSettings {
            node: "n".into(),
            heartbeat_ms: 1000,
            hello_ms: 1000,
            messages_per_second: 1_000_000,
        };
        self.session = Session::new(SessionId(1), Arc::new(settings), self.now);
        self.wire.clear();
        self.reading = None;
        self.sent.clear();
        self.acked = Offset(0);
        self.client.events = 0;
        self.client.owes_ack = false;
        self.client.welcomed = false;
        let views: Vec<String> = self.watched.iter().map(|(queue, _)| format!("\"queue:{queue}\"")).collect();
        let hello = format!(
            r#"{{"type":"hello","token":"t","views":[{}],"window":{},"resume":{{"epoch":"{EPOCH}","offset":{}}}}}"#,
            views.join(","),
            self.window,
            self.client.cursor
        );
        assert!(matches!(
            self.session.received_text(hello.as_bytes(), self.now)[..],
            [Effect::Authenticate { .. }]
        ));
        let log = position(self.head().0, self.feed.0);
        let effects = self.session.authenticated(AGENT, QueueSet::All, None, log, self.now);
        self.carry_out(effects);
    }

    fn carry_out(&mut self, effects: Effects<'static>) {
        for effect in effects {
            match effect {
                Effect::Frame(frame) => self.wire.push_back(frame),
                Effect::Event(entry) => self.send(&entry),
                Effect::Read { after } => {
                    assert!(self.reading.replace(after).is_none(), "two reads at once");
                }
                Effect::Watch { .. } | Effect::Unwatch { .. } => {}
                other => panic!("unexpected {other:?}"),
            }
        }
    }

    fn send(&mut self, entry: &Entry) {
        self.wire.push_back(entry.frame.clone());
        self.sent.push((entry.offset, entry.frame.len()));
        let unacked: Vec<usize> =
            self.sent.iter().filter(|(offset, _)| *offset > self.acked).map(|(_, bytes)| *bytes).collect();
        let bytes: usize = unacked.iter().sum();
        assert!(bytes <= self.window as usize || unacked.len() == 1, "{bytes} bytes unacknowledged");
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Commit { queue, data_bytes } => self.commit(queue, data_bytes),
            Step::Offer(count) => (0..count).for_each(|_| self.offer_next()),
            Step::Miss(count) => self.miss(count),
            Step::Page(limit) => self.page(limit),
            Step::Receive(count) => (0..count).for_each(|_| self.receive()),
            Step::Ack => self.ack(),
            Step::Wait(ms) => self.wait(ms),
            Step::Reconnect => self.connect(),
            Step::Subscribe(queue) => self.watch("subscribe", queue),
            Step::Unsubscribe(queue) => self.watch("unsubscribe", queue),
        }
    }

    fn commit(&mut self, queue: u32, data_bytes: usize) {
        let offset = self.head().next();
        self.log.push(entry(offset.0, queue, data_bytes));
    }

    fn offer_next(&mut self) {
        let Some(entry) = self.log.get(self.feed.0 as usize).cloned() else { return };
        match self.session.offer(&entry) {
            Offer::Send => self.send(&entry),
            Offer::Lag(mark) => self.wire.push_back(mark),
            Offer::Pass => {}
        }
        self.feed = entry.offset;
    }

    fn miss(&mut self, count: usize) {
        let effects = self.session.missed(self.feed);
        self.carry_out(effects);
        self.feed = Offset((self.feed.0 + count as u64).min(self.head().0));
    }

    fn page(&mut self, limit: usize) {
        let Some(after) = self.reading.take() else { return };
        // A read sees all that is committed, and at least the feed.
        let page: Vec<_> =
            self.log.iter().skip(after.0 as usize).take(limit.min(REPLAY_EVENTS_MAX)).cloned().collect();
        let effects = self.session.page(&page, self.feed);
        self.carry_out(effects);
    }

    fn receive(&mut self) {
        let Some(frame) = self.wire.pop_front() else { return };
        match ServerMessage::parse(payload(&frame).as_bytes()).unwrap() {
            ServerMessage::Welcome(welcome) => {
                assert!(welcome.resumed && welcome.offset == self.client.cursor);
                self.client.welcomed = true;
            }
            ServerMessage::Event(event) => {
                assert!(self.client.welcomed && event.offset > self.client.cursor, "a repeat");
                self.client.cursor = event.offset;
                self.client.events += 1;
                self.client.seen.push(event.offset);
            }
            ServerMessage::Mark { offset, sent } => {
                assert!(offset >= self.client.cursor, "a mark that goes back");
                assert_eq!(sent, self.client.events, "mark.sent");
                self.client.cursor = offset;
                self.client.owes_ack = true;
            }
            ServerMessage::Result { error: None, .. } => {}
            other => panic!("unexpected {other:?}"),
        }
        if self.client.owes_ack && self.client.cursor.0.is_multiple_of(2) {
            self.ack();
        }
    }

    fn ack(&mut self) {
        if !self.client.welcomed {
            return;
        }
        self.client.owes_ack = false;
        let text = format!(r#"{{"type":"ack","offset":{}}}"#, self.client.cursor);
        self.acked = self.acked.max(self.client.cursor);
        self.tell(&text);
    }

    fn tell(&mut self, text: &str) {
        let effects = self.session.received_text(text.as_bytes(), self.now);
        for effect in effects {
            match effect {
                Effect::Frame(frame) => self.wire.push_back(frame),
                Effect::Read { after } => {
                    assert!(self.reading.replace(after).is_none(), "two reads at once");
                }
                Effect::Watch { .. } | Effect::Unwatch { .. } => {}
                other => panic!("unexpected {other:?}"),
            }
        }
    }

    fn wait(&mut self, ms: u64) {
        self.now = self.now.after_ms(ms);
        assert!(self.session.heard(self.now).is_empty());
        let effects = self.session.tick(self.now, self.feed);
        self.carry_out(effects);
    }

    fn watch(&mut self, what: &str, queue: u32) {
        self.settle_watched(queue);
        self.watched.retain(|(watched, _)| *watched != queue);
        if what == "subscribe" {
            self.watched.push((queue, self.head()));
        }
        self.tell(&format!(r#"{{"type":"{what}","id":"i","views":["queue:{queue}"]}}"#));
    }

    /// What must have been seen of a queue whose watch ends: nothing for sure of what had not come yet,
    /// so only may.
    fn settle_watched(&mut self, queue: u32) {
        let of_queue = |entry: &&Arc<Entry>| entry.route.queue.0 == queue;
        if self.watched.iter().any(|(watched, _)| *watched == queue) {
            self.may.extend(self.log.iter().filter(of_queue).map(|entry| entry.offset));
        }
    }

    /// Everything arrives, and everything is read and acknowledged.
    fn settle(&mut self) {
        for _ in 0..100_000 {
            let idle = self.feed == self.head() && self.reading.is_none() && self.wire.is_empty();
            if idle && !self.client.owes_ack && !self.session.is_lagging() {
                break;
            }
            self.offer_next();
            self.page(REPLAY_EVENTS_MAX);
            self.receive();
            if self.client.owes_ack {
                self.ack();
            }
        }
        self.wait(1000);
        self.receive();
        for (queue, since) in self.watched.clone() {
            self.settle_watched(queue);
            let of_queue = self.log.iter().filter(|entry| entry.route.queue.0 == queue);
            self.must.extend(of_queue.map(|entry| entry.offset).filter(|offset| *offset > since));
        }
    }

    fn check(&self) -> Result<(), TestCaseError> {
        prop_assert_eq!(self.client.cursor, self.head(), "the last mark is the head");
        prop_assert!(!self.session.is_lagging());
        prop_assert!(self.client.seen.is_sorted_by(|before, after| before < after));
        for offset in &self.must {
            prop_assert!(self.client.seen.contains(offset), "{offset} is missing: {:?}", self.client.seen);
        }
        for offset in &self.client.seen {
            prop_assert!(self.may.contains(offset), "{offset} was never watched");
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_matching_event_is_seen_once_and_in_order(
        window in 4096..20_000_u32,
        steps in steps(),
    ) {
        let mut world = World::new(window);
        for step in &steps {
            world.step(step);
        }
        world.settle();
        world.check()?;
    }
}
