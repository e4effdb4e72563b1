//! Everything at once: gaps, a short memory, slow readers, lost connections.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::harness::{EPOCH, Gateway, PATIENCE};

const EVENTS: u64 = 3_000;
const CLIENTS: u64 = 9;

#[test]
fn every_client_sees_every_event_once_and_in_order() {
    let gateway = Gateway::start(3, |config| config.heartbeat_ms = 60_000);
    // The last offset, known before it is committed: a client that has it must not wait for more.
    let end = AtomicU64::new(u64::MAX);
    let cursors: Vec<AtomicU64> = (0..CLIENTS).map(|_| AtomicU64::new(0)).collect();
    std::thread::scope(|scope| {
        for (number, reached) in (0..).zip(&cursors) {
            let (gateway, end) = (&gateway, &end);
            scope.spawn(move || follow(gateway, number, end, reached));
        }
        let mut random = Random(7);
        let mut head = 0;
        let start = Instant::now();
        while head < EVENTS {
            // Half of the clients keep up, so that there are live sessions to have gaps.
            let near = |cursor: &&AtomicU64| cursor.load(Ordering::SeqCst) + 50 > head;
            while (cursors.iter().filter(near).count() as u64) < CLIENTS / 2 {
                assert!(start.elapsed() < 6 * PATIENCE, "a client is stuck: {cursors:?}");
                std::thread::yield_now();
            }
            let count = 1 + random.below(5);
            let text_bytes = random.below(600) as usize;
            // One batch in eight is never published, and memory is short.
            let entries = gateway.log.append(1, count, text_bytes);
            head += count;
            if random.below(8) > 0 {
                gateway.log.publish(entries);
            }
            gateway.log.forget_until(head.saturating_sub(100));
        }
        end.store(head + 1, Ordering::SeqCst);
        gateway.log.commit(1, 1, 0);
    });
    let stats = gateway.engine.stats();
    assert!(stats.gaps > 0 && stats.lags > 0 && stats.replay_pages > 0, "{stats:?}");
}

/// Follows the log to its end, over as many connections as it takes.
fn follow(gateway: &Gateway, number: u64, end: &AtomicU64, reached: &AtomicU64) {
    let mut random = Random(number);
    let mut cursor = 0;
    let is_done = |cursor| cursor == end.load(Ordering::SeqCst);
    while !is_done(cursor) {
        let mut client = gateway.connect();
        client.say(&format!(
            r#"{{"type":"hello","token":"agent-{}","views":["queue:1"],"window":{},"resume":{{"epoch":"{EPOCH}","offset":{cursor}}}}}"#,
            number + 1,
            4096 << (number % 4),
        ));
        assert_eq!(client.expect("welcome")["resumed"], true);
        let mut sent = 0;
        for _ in 0..200 + random.below(800) {
            if is_done(cursor) {
                break;
            }
            let text = client.text();
            let offset = text["offset"].as_u64().unwrap();
            if text["type"] == "event" {
                assert_eq!(offset, cursor + 1, "client {number}");
                sent += 1;
            } else {
                assert_eq!((&text["type"], &text["sent"]), (&"mark".into(), &sent.into()), "{text}");
            }
            cursor = offset;
            reached.store(cursor, Ordering::SeqCst);
            if text["type"] == "mark" || random.below(4) == 0 {
                client.ack(cursor);
            }
        }
    }
}

/// A small generator: the same numbers every time.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}
