//! Many sessions that come back to the same place.

use std::sync::atomic::Ordering;

use crate::harness::{Client, Gateway};

const SESSIONS: usize = 1_000;
/// Of which the sessions watch a few.
const EVENTS: u64 = 700;
const WATCHED: u64 = 10;

#[test]
fn a_thousand_that_come_back_to_one_place_share_its_reads() {
    let gateway = Gateway::start(2, |config| config.heartbeat_ms = 60_000);
    gateway.log.append(2, EVENTS - WATCHED, 40);
    gateway.log.append(1, WATCHED, 40);
    gateway.log.forget_until(EVENTS);
    let mut clients: Vec<Client<_>> = (0..SESSIONS).map(|_| gateway.connect()).collect();
    let hello = format!(
        r#"{{"type":"hello","token":"agent-1","views":["queue:1"],"resume":{{"epoch":"{:016x}","offset":0}}}}"#,
        0xabc
    );
    for client in &mut clients {
        client.say(&hello);
    }
    // Two pages for all, on each of two shards, and again for those who are late.
    for client in &mut clients {
        assert_eq!(client.expect("welcome")["resumed"], true);
        for offset in EVENTS - WATCHED + 1..=EVENTS {
            assert_eq!(client.expect("event")["offset"], offset);
        }
    }
    let reads = gateway.log.storage_reads.load(Ordering::SeqCst);
    assert!(reads <= 40, "{reads} reads of storage for {SESSIONS} sessions");
    assert_eq!(reads, gateway.engine.stats().replay_reads);
    gateway.log.commit(1, 1, 0);
    for client in &mut clients {
        while client.text()["offset"] != EVENTS + 1 {}
    }
}
