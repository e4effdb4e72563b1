//! The machine against a small model of a server, with random cuts.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::*;
use crate::id::Epoch;

const HEARTBEAT_MS: u64 = 1_000;

fn config(start: Start) -> ClientConfig {
    ClientConfig { token: "t".to_owned(), views: vec![View::Tenant], start, window: Some(4096), seed: 1 }
}

fn event(offset: u64) -> String {
    format!(
        r#"{{"type":"event","offset":{offset},"ticket":{offset},"version":1,"kind":"created","at":5,"actor":"system","data":{{}}}}"#
    )
}

fn welcome(offset: u64, is_resumed: bool, window: u32) -> String {
    format!(
        r#"{{"type":"welcome","session":1,"node":"a","epoch":"0000000000000001","offset":{offset},"resumed":{is_resumed},"heartbeat_ms":{HEARTBEAT_MS},"window":{window}}}"#
    )
}

fn effects(client: &mut PushClient) -> Vec<ClientEffect> {
    std::iter::from_fn(|| client.poll()).collect()
}

/// Connects the newest link, and returns it.
fn connect(client: &mut PushClient, now: Tick) -> Link {
    let mut links = effects(client).into_iter().filter_map(|effect| match effect {
        ClientEffect::Connect { link, .. } => Some(link),
        _ => None,
    });
    let link = links.next_back().unwrap();
    client.connected(link, now);
    link
}

fn sent(client: &mut PushClient) -> Vec<String> {
    effects(client)
        .into_iter()
        .filter_map(|effect| match effect {
            ClientEffect::Send { text, .. } => Some(text),
            _ => None,
        })
        .collect()
}

#[test]
fn says_hello_and_goes_on_where_it_was() {
    let cursor = Cursor { epoch: Epoch(1), offset: Offset(7) };
    let mut client = PushClient::new(config(Start::After(cursor)), Tick(0));
    let link = connect(&mut client, Tick(1));
    let hello = r#"{"type":"hello","token":"t","resume":{"epoch":"0000000000000001","offset":7},"views":["tenant"],"window":4096}"#;
    assert_eq!(sent(&mut client), [hello]);
    assert!(crate::push::ClientMessage::parse(hello.as_bytes()).is_ok());
    client.received(link, &welcome(7, true, 4096), Tick(2));
    client.received(link, &event(9), Tick(3));
    let got = effects(&mut client);
    assert!(
        matches!(got.as_slice(), [ClientEffect::Connected { .. }, ClientEffect::Deliver { .. }]),
        "{got:?}"
    );
    assert_eq!(client.cursor().unwrap().offset, Offset(9));
}

#[test]
fn marks_are_answered_with_what_is_shown() {
    let mut client = PushClient::new(config(Start::Now), Tick(0));
    let link = connect(&mut client, Tick(1));
    client.received(link, &welcome(3, false, 4096), Tick(2));
    client.received(link, r#"{"type":"mark","offset":5,"sent":0}"#, Tick(3));
    assert_eq!(sent(&mut client).last().unwrap(), r#"{"type":"ack","offset":5}"#);
    client.received(link, &event(8), Tick(4));
    let delivered = effects(&mut client);
    let [ClientEffect::Deliver { receipt, .. }] = delivered.as_slice() else { panic!("{delivered:?}") };
    client.received(link, r#"{"type":"mark","offset":9,"sent":1}"#, Tick(5));
    assert_eq!(sent(&mut client), [r#"{"type":"ack","offset":5}"#], "alive, but nothing new is shown");
    client.shown(*receipt);
    assert_eq!(sent(&mut client), [r#"{"type":"ack","offset":9}"#]);
}

/// Offsets of the acks while events of these sizes come and are shown at once.
fn acks(window: u32, sizes: &[usize]) -> Vec<u64> {
    let mut client = PushClient::new(config(Start::Now), Tick(0));
    let link = connect(&mut client, Tick(1));
    effects(&mut client);
    client.received(link, &welcome(0, false, window), Tick(2));
    let mut acks = Vec::new();
    for (size, offset) in sizes.iter().zip(1_u64..) {
        let text = event(offset);
        let filler = "x".repeat(size.saturating_sub(text.len() + 5));
        client.received(link, &text.replace("{}", &format!(r#"{{"":"{filler}"}}"#)), Tick(3));
        while let Some(effect) = client.poll() {
            match effect {
                ClientEffect::Deliver { receipt, .. } => client.shown(receipt),
                ClientEffect::Send { text, .. } => {
                    let ack = crate::push::ClientMessage::parse(text.as_bytes()).unwrap();
                    assert!(
                        matches!(ack, crate::push::ClientMessage::Ack { offset } if { acks.push(offset.0); true })
                    );
                }
                _ => {}
            }
        }
    }
    acks
}

#[test]
fn a_quarter_of_the_window_is_acked_and_a_large_event_at_once() {
    assert_eq!(acks(80_000, &[1_000; 45]), [20, 40]);
    assert_eq!(acks(80_000, &[1_000, 9_000, 11_000, 1_000, 100_000]), [3, 5]);
    assert_eq!(acks(80_000, &[1_000, 10_000, 1_000]), [2]);
}

#[test]
fn silence_and_holes_bring_it_back() {
    let mut client = PushClient::new(config(Start::Now), Tick(0));
    let link = connect(&mut client, Tick(0));
    client.received(link, &welcome(0, false, 4096), Tick(0));
    client.received(link, &event(1), Tick(10));
    client.received(link, r#"{"type":"mark","offset":1,"sent":1}"#, Tick(20));
    client.received(link, &event(3), Tick(30));
    client.received(link, r#"{"type":"mark","offset":3,"sent":3}"#, Tick(40));
    let got = effects(&mut client);
    let hole = LossReason::Hole { sent: 3, received: 2 };
    assert!(
        got.iter().any(|it| matches!(it, ClientEffect::Lost { reason, .. } if *reason == hole)),
        "{got:?}"
    );
    let Some(ClientEffect::Connect { link, .. }) = got.last() else { panic!("{got:?}") };
    client.connected(*link, Tick(50));
    assert!(sent(&mut client)[0].contains(r#""offset":1}"#), "from where a mark agreed");
    client.received(*link, &welcome(1, true, 4096), Tick(60));
    for offset in [2, 3, 4] {
        client.received(*link, &event(offset), Tick(70));
    }
    let delivered: Vec<u64> = effects(&mut client).iter().filter_map(offset_of).collect();
    assert_eq!(delivered, [2, 4], "the missing one, and what is new");
    client.tick(Tick(70 + 2 * HEARTBEAT_MS));
    let got = effects(&mut client);
    assert!(
        got.iter().any(|it| matches!(it, ClientEffect::Lost { reason: LossReason::Silent, .. })),
        "{got:?}"
    );
}

fn offset_of(effect: &ClientEffect) -> Option<u64> {
    match effect {
        ClientEffect::Deliver { event, .. } => Some(event.offset.0),
        _ => None,
    }
}

#[test]
fn close_numbers_say_what_to_do() {
    for (code, expected) in
        [(4000, Some(0..=500)), (4100, Some(250..=500)), (1001, Some(250..=500)), (4200, None)]
    {
        let mut client = PushClient::new(config(Start::Now), Tick(0));
        let link = connect(&mut client, Tick(0));
        effects(&mut client);
        client.disconnected(link, Loss::Closed { code, reason: "why".to_owned() }, Tick(5));
        let got = effects(&mut client);
        match (expected, got.last().unwrap()) {
            (Some(range), ClientEffect::Connect { after_ms, .. }) => {
                assert!(range.contains(after_ms), "{code}")
            }
            (None, ClientEffect::Stop { .. }) => assert_eq!(client.wake_at(), None),
            (_, other) => panic!("{code}: {other:?}"),
        }
    }
}

#[test]
fn a_hint_of_the_server_is_honoured() {
    let reason = crate::push::with_retry_after("too many sessions", 4);
    let closed = Loss::Closed { code: 4100, reason: reason.clone() };
    let cut = Loss::Cut { why: format!("the server answered 503 {reason}") };
    for loss in [closed, cut] {
        let mut client = PushClient::new(config(Start::Now), Tick(0));
        let link = connect(&mut client, Tick(0));
        effects(&mut client);
        client.disconnected(link, loss, Tick(5));
        let got = effects(&mut client);
        let Some(ClientEffect::Connect { after_ms, .. }) = got.last() else { panic!("{got:?}") };
        assert!((4000..=5000).contains(after_ms), "{after_ms}");
    }
}

#[test]
fn a_refused_resume_moves_the_cursor_only_with_the_resync() {
    let cursor = Cursor { epoch: Epoch(9), offset: Offset(7) };
    let mut client = PushClient::new(config(Start::After(cursor)), Tick(0));
    let link = connect(&mut client, Tick(0));
    client.received(link, &welcome(3, false, 4096), Tick(1));
    assert_eq!(client.cursor(), Some(cursor));
    let resync = r#"{"type":"resync","reason":"epoch","epoch":"0000000000000001","offset":3}"#;
    client.received(link, resync, Tick(1));
    assert_eq!(client.cursor(), Some(Cursor { epoch: Epoch(1), offset: Offset(3) }));
    client.received(link, resync, Tick(1));
    let got = effects(&mut client);
    assert!(got.iter().any(|it| matches!(it, ClientEffect::Lost { reason: LossReason::Violation(_), .. })));
}

#[test]
fn a_log_that_does_not_reach_back_moves_the_cursor_of_a_resumed_session() {
    let cursor = Cursor { epoch: Epoch(1), offset: Offset(3) };
    let mut client = PushClient::new(config(Start::After(cursor)), Tick(0));
    let link = connect(&mut client, Tick(0));
    client.received(link, &welcome(3, true, 4096), Tick(1));
    let resync = r#"{"type":"resync","reason":"retention","epoch":"0000000000000001","offset":9}"#;
    client.received(link, resync, Tick(1));
    client.received(link, r#"{"type":"mark","offset":9,"sent":0}"#, Tick(1));
    let got = effects(&mut client);
    let moved = Cursor { epoch: Epoch(1), offset: Offset(9) };
    assert!(got.iter().any(|it| matches!(it, ClientEffect::Resync { cursor, .. } if *cursor == moved)));
    assert!(!got.iter().any(|it| matches!(it, ClientEffect::Lost { .. })), "{got:?}");
    assert_eq!(client.cursor(), Some(moved));
}

#[test]
fn the_whole_log_is_asked_for_once_its_epoch_is_known() {
    let mut client = PushClient::new(config(Start::Beginning), Tick(0));
    let link = connect(&mut client, Tick(0));
    client.received(link, &welcome(12, false, 4096), Tick(1));
    let link = connect(&mut client, Tick(2));
    assert!(sent(&mut client)[0].contains(r#""resume":{"epoch":"0000000000000001","offset":0}"#));
    client.received(link, &welcome(0, true, 4096), Tick(3));
    assert!(matches!(effects(&mut client).as_slice(), [ClientEffect::Connected { .. }]));
}

/// A server's end of one connection.
#[derive(Default)]
struct Peer {
    /// What it has sent that has not arrived.
    wire: VecDeque<String>,
    /// Next index in the log to send; `None` before hello.
    at: Option<u64>,
    sent: u64,
    is_leaky: bool,
}

/// Logs of consecutive offsets, every third of which matches; connections; and what arrived.
struct World {
    client: PushClient,
    now: Tick,
    head: u64,
    peers: BTreeMap<Link, Peer>,
    delivered: Vec<u64>,
    waiting: VecDeque<Receipt>,
}

impl World {
    fn new() -> Self {
        let cursor = Cursor { epoch: Epoch(1), offset: Offset(0) };
        let client = PushClient::new(config(Start::After(cursor)), Tick(0));
        let (peers, delivered, waiting) = (BTreeMap::new(), Vec::new(), VecDeque::new());
        let mut world = Self { client, now: Tick(0), head: 0, peers, delivered, waiting };
        world.settle();
        world
    }

    /// Carries out effects.
    fn settle(&mut self) {
        while let Some(effect) = self.client.poll() {
            match effect {
                ClientEffect::Connect { link, .. } => {
                    self.peers.insert(link, Peer::default());
                    self.client.connected(link, self.now);
                }
                ClientEffect::Send { link, text } => self.take(link, &text),
                ClientEffect::Close { link } | ClientEffect::Retire { link } => {
                    drop(self.peers.remove(&link))
                }
                ClientEffect::Deliver { event, receipt } => {
                    self.delivered.push(event.offset.0);
                    self.waiting.push_back(receipt);
                }
                _ => {}
            }
        }
    }

    /// The server reads.
    fn take(&mut self, link: Link, text: &str) {
        let Some(peer) = self.peers.get_mut(&link) else { return };
        match crate::push::ClientMessage::parse(text.as_bytes()).unwrap() {
            crate::push::ClientMessage::Hello(hello) => {
                let from = hello.resume.unwrap().offset.0;
                peer.wire.push_back(welcome(from, true, 4096));
                peer.at = Some(from + 1);
            }
            crate::push::ClientMessage::Ack { offset } => {
                assert!(offset.0 < peer.at.unwrap(), "an ack above everything sent");
            }
            other => panic!("{other:?}"),
        }
    }

    /// The server sends what is new, and a mark.
    fn serve(&mut self, is_marked: bool) {
        for peer in self.peers.values_mut() {
            let Some(at) = peer.at else { continue };
            for offset in (at..=self.head).filter(|offset| offset % 3 == 0) {
                peer.sent += 1;
                if !std::mem::take(&mut peer.is_leaky) {
                    peer.wire.push_back(event(offset));
                }
            }
            peer.at = Some(self.head.max(at.saturating_sub(1)) + 1);
            if is_marked {
                let offset = peer.at.unwrap() - 1;
                peer.wire.push_back(format!(r#"{{"type":"mark","offset":{offset},"sent":{}}}"#, peer.sent));
            }
        }
    }

    /// Up to `count` messages arrive on every connection.
    fn arrive(&mut self, count: usize) {
        for link in self.peers.keys().copied().collect::<Vec<_>>() {
            for _ in 0..count {
                let Some(text) = self.peers.get_mut(&link).and_then(|peer| peer.wire.pop_front()) else {
                    break;
                };
                self.client.received(link, &text, self.now);
                self.settle();
            }
        }
    }

    fn show(&mut self, count: usize) {
        for _ in 0..count {
            let Some(receipt) = self.waiting.pop_front() else { break };
            self.client.shown(receipt);
            self.settle();
        }
    }

    fn step(&mut self, step: u8, amount: u8) {
        let amount = usize::from(amount);
        match step {
            0 => self.head += amount as u64,
            1 => self.serve(false),
            2 => self.serve(true),
            3..=5 => self.arrive(amount % 8 + 1),
            6 => self.show(amount),
            7 => self.cut(amount),
            8 => {
                for peer in self.peers.values_mut().filter(|peer| peer.at.is_some()) {
                    peer.wire.push_back(r#"{"type":"drain","after_ms":100,"spread_ms":10}"#.to_owned());
                }
            }
            9 => self.peers.values_mut().for_each(|peer| peer.is_leaky = amount % 2 == 0),
            _ => {
                self.now = self.now.after_ms(amount as u64 * 20);
                self.client.tick(self.now);
                self.settle();
            }
        }
    }

    /// A connection breaks, with all that is on its way.
    fn cut(&mut self, which: usize) {
        let Some(link) = self.peers.keys().copied().nth(which % self.peers.len().max(1)) else { return };
        self.peers.remove(&link);
        self.client.disconnected(link, Loss::Cut { why: "cut".to_owned() }, self.now);
        self.settle();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_event_once_whatever_is_cut(steps in prop::collection::vec((0_u8..11, any::<u8>()), 1..120)) {
        let mut world = World::new();
        let leaks = steps.iter().any(|(step, _)| *step == 9);
        // A hole is found by the next mark of its session, if the session lives to see one.
        let is_cut = steps.iter().any(|(step, _)| matches!(step, 7 | 8 | 10));
        for (step, amount) in steps {
            world.step(step, amount);
        }
        // Then nothing goes wrong any more: two rounds, since the first may end in a repair.
        for _ in 0..4 {
            world.peers.values_mut().for_each(|peer| peer.is_leaky = false);
            world.serve(true);
            world.arrive(usize::MAX);
            world.show(usize::MAX);
        }
        let expected: Vec<u64> = (1..=world.head).filter(|offset| offset % 3 == 0).collect();
        if !leaks {
            prop_assert_eq!(&world.delivered, &expected, "in order");
            prop_assert_eq!(world.client.stats().holes, 0);
        }
        prop_assert_eq!(world.client.stats().repeats_dropped, 0);
        let mut sorted = world.delivered.clone();
        sorted.sort_unstable();
        if leaks {
            sorted.dedup();
            prop_assert_eq!(world.delivered.len(), sorted.len(), "nothing twice");
        }
        if !leaks || !is_cut {
            prop_assert_eq!(sorted, expected);
        }
    }
}
