//! Signals and presence over real sockets.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Client, Frame, Gateway, PATIENCE};

/// A session of an agent that watches these views. Where it watches presence, who is there comes next.
fn session(gateway: &Gateway, agent: u32, views: &str) -> Client<TcpStream> {
    let mut client = gateway.connect();
    client.say(&format!(r#"{{"type":"hello","token":"agent-{agent}","views":[{views}]}}"#));
    client.expect("welcome");
    client
}

fn signal(kind: &str, ticket: u64, on: bool) -> String {
    json!({"type": "signal", "kind": kind, "ticket": ticket, "on": on}).to_string()
}

fn told(kind: &str, ticket: u64, agent: u32, on: bool) -> Value {
    json!({"type": "signal", "kind": kind, "ticket": ticket, "agent": agent, "on": on})
}

/// Until a connection lands on another shard than `first` did; sessions' numbers tell the shard.
fn on_both_shards(gateway: &Gateway, agent: u32, views: &str) -> [Client<TcpStream>; 2] {
    let mut found: [Option<Client<TcpStream>>; 2] = [None, None];
    let start = Instant::now();
    while found.iter().any(Option::is_none) {
        assert!(start.elapsed() < PATIENCE, "all connections land on one shard");
        let mut client = gateway.connect();
        client.say(&format!(r#"{{"type":"hello","token":"agent-{agent}","views":[{views}]}}"#));
        let number = client.expect("welcome")["session"].as_u64().unwrap();
        found[(number % 2) as usize].get_or_insert(client);
    }
    found.map(Option::unwrap)
}

#[test]
fn a_signal_reaches_those_who_watch_its_ticket_on_every_shard_and_not_its_sender() {
    let gateway = Gateway::start(2, |_| {});
    let mut watchers = on_both_shards(&gateway, 2, r#""ticket:7""#);
    let mut other = session(&gateway, 3, r#""ticket:8","tenant""#);
    let mut sender = session(&gateway, 1, r#""ticket:7""#);
    sender.say(r#"{"type":"signal","kind":"typing","ticket":7,"on":true,"data":{"chars":[3]}}"#);
    for watcher in &mut watchers {
        let mut wanted = told("typing", 7, 1, true);
        wanted["data"] = json!({"chars": [3]});
        assert_eq!(watcher.expect("signal"), wanted);
    }
    // The same again is no news; an end is.
    sender.say(&signal("viewing", 7, true));
    sender.say(&signal("viewing", 7, true));
    sender.say(&signal("viewing", 7, false));
    for watcher in &mut watchers {
        assert_eq!(watcher.expect("signal"), told("viewing", 7, 1, true));
        assert_eq!(watcher.expect("signal"), told("viewing", 7, 1, false));
    }
    gateway.log.commit(1, 1, 0);
    assert_eq!(other.events(1), [1]);
    sender.say(r#"{"type":"subscribe","id":"s","views":[]}"#);
    assert_eq!(sender.expect("result")["id"], "s");
}

#[test]
fn a_new_watcher_is_told_what_is_on_after_its_welcome() {
    let gateway = Gateway::start(2, |_| {});
    let mut sender = session(&gateway, 1, "");
    sender.say(&signal("viewing", 7, true));
    sender.say(&signal("typing", 7, true));
    sender.say(r#"{"type":"subscribe","id":"s","views":[]}"#);
    sender.expect("result");
    for mut watcher in on_both_shards(&gateway, 2, r#""ticket:7""#) {
        assert_eq!(watcher.expect("signal"), told("viewing", 7, 1, true));
        assert_eq!(watcher.expect("signal"), told("typing", 7, 1, true));
    }
    let mut late = session(&gateway, 2, "");
    late.say(r#"{"type":"subscribe","id":"s","views":["ticket:7"]}"#);
    assert_eq!(late.expect("result")["id"], "s");
    assert_eq!(late.expect("signal")["kind"], "viewing");
}

#[test]
fn what_a_session_had_on_ends_with_the_last_session_of_its_agent_that_had_it_on() {
    let gateway = Gateway::start(2, |_| {});
    let mut watcher = session(&gateway, 2, r#""ticket:7""#);
    let [mut first, mut second] = on_both_shards(&gateway, 1, "");
    first.say(&signal("viewing", 7, true));
    assert_eq!(watcher.expect("signal"), told("viewing", 7, 1, true));
    second.say(&signal("viewing", 7, true));
    second.say(r#"{"type":"subscribe","id":"s","views":[]}"#);
    second.expect("result");
    drop(first);
    second.say(&signal("typing", 7, true));
    assert_eq!(watcher.expect("signal"), told("typing", 7, 1, true), "viewing goes on");
    drop(second);
    let mut ends = [watcher.expect("signal"), watcher.expect("signal")];
    ends.sort_by_key(|end| end["kind"].to_string());
    assert_eq!(ends, [told("typing", 7, 1, false), told("viewing", 7, 1, false)]);
}

#[test]
fn typing_ends_by_itself() {
    let gateway = Gateway::start(1, |_| {});
    let mut watcher = session(&gateway, 2, r#""ticket:7""#);
    let mut sender = session(&gateway, 1, "");
    let start = Instant::now();
    sender.say(&signal("typing", 7, true));
    assert_eq!(watcher.expect("signal")["on"], true);
    assert_eq!(watcher.expect("signal"), told("typing", 7, 1, false));
    assert!(start.elapsed() >= Duration::from_secs(6), "{:?}", start.elapsed());
}

#[test]
fn malformed_signals_close_with_what_would_be_right() {
    let gateway = Gateway::start(1, |_| {});
    let long = "x".repeat(520);
    for (text, wanted) in [
        (r#"{"type":"signal","kind":"yawning","ticket":1,"on":true}"#.to_owned(), "viewing or typing"),
        (r#"{"type":"signal","kind":"typing","on":true}"#.to_owned(), "needs the field \"ticket\""),
        (r#"{"type":"signal","kind":"typing","ticket":1}"#.to_owned(), "needs the field \"on\""),
        (r#"{"type":"signal","ticket":1,"on":true}"#.to_owned(), "needs the field \"kind\""),
        (r#"{"type":"signal","kind":"typing","ticket":1,"on":true,"data":7}"#.to_owned(), "JSON object"),
        (r#"{"type":"signal","kind":"typing","ticket":1,"on":false,"data":{}}"#.to_owned(), "\"on\": true"),
        (
            format!(r#"{{"type":"signal","kind":"typing","ticket":1,"on":true,"data":{{"a":"{long}"}}}}"#),
            "512",
        ),
        (r#"{"type":"signal","kind":"typing","ticket":1,"on":true,"views":[]}"#.to_owned(), "\"views\""),
    ] {
        let mut client = session(&gateway, 1, "");
        client.say(&text);
        client.expect_close(4201, wanted);
    }
}

#[test]
fn a_session_has_a_bounded_number_on() {
    let gateway = Gateway::start(1, |_| {});
    let mut watcher = session(&gateway, 2, r#""ticket:32","ticket:33","ticket:34""#);
    let mut sender = session(&gateway, 1, "");
    for ticket in 1..=33 {
        sender.say(&signal("viewing", ticket, true));
    }
    sender.say(&signal("viewing", 1, false));
    sender.say(&signal("viewing", 34, true));
    assert_eq!(watcher.expect("signal")["ticket"], 32);
    assert_eq!(watcher.expect("signal")["ticket"], 34);
    assert_eq!(gateway.engine.stats().signals_dropped, 1);
}

/// A reader that stops: signals are merged and come after the events, whole and in bounded number.
#[test]
fn signals_never_come_before_data_and_are_merged_for_who_does_not_read() {
    let gateway = Gateway::start(1, |config| config.messages_per_second = 1_000_000);
    let mut slow = gateway.connect();
    slow.say(
        r#"{"type":"hello","token":"agent-2","views":["tenant","ticket:7","presence"],"window":4194304}"#,
    );
    slow.expect("welcome");
    assert_eq!(slow.expect("signal")["all"], true);
    let mut sender = session(&gateway, 1, "");
    sender.stream.set_write_timeout(Some(PATIENCE)).unwrap();
    // Fill the socket and then some.
    let count = 69;
    for _ in 0..count {
        gateway.log.commit(1, 1, 60_000);
    }
    gateway.wait_for(|stats| stats.events_sent == count);
    for number in 0..500 {
        let text =
            json!({"type": "signal", "kind": "viewing", "ticket": 7, "on": true, "data": {"number": number}});
        sender.say(&text.to_string());
    }
    sender.say(r#"{"type":"subscribe","id":"s","views":[]}"#);
    sender.expect("result");
    let _third = session(&gateway, 3, "");
    std::thread::sleep(Duration::from_millis(600));
    let mut events = 0;
    let mut signals = Vec::new();
    while signals.last().is_none_or(|signal: &Value| signal["data"]["number"] != 499) {
        let text = slow.text();
        match text["type"].as_str().unwrap() {
            "event" => events += 1,
            "signal" if text["kind"] == "viewing" => {
                assert_eq!(events, count, "a signal came before an event that was there first");
                signals.push(text);
            }
            "signal" | "mark" => {}
            other => panic!("{other}"),
        }
    }
    assert!(signals.len() < 100, "{} signals were not merged", signals.len());
    // Who came was not told meanwhile, so who is there is told anew.
    let there = loop {
        let text = slow.text();
        if text["all"] == true {
            break text;
        }
    };
    let agents: Vec<_> = (1..=3).map(|agent| json!({"agent": agent, "state": "online"})).collect();
    assert_eq!(there["agents"], json!(agents));
}

#[test]
fn presence_tells_who_comes_and_forgives_a_short_absence() {
    let gateway = Gateway::start(2, |_| {});
    let mut watchers = on_both_shards(&gateway, 1, r#""presence""#);
    for watcher in &mut watchers {
        assert_eq!(watcher.expect("signal")["all"], true);
    }
    let first = session(&gateway, 2, "");
    for watcher in &mut watchers {
        while !online(&watcher.expect("signal"), 2) {}
    }
    drop(first);
    std::thread::sleep(Duration::from_millis(600));
    let second = session(&gateway, 2, "");
    let third = session(&gateway, 3, "");
    for watcher in &mut watchers {
        let changes = watcher.expect("signal");
        assert!(online(&changes, 3) && changes["agents"].as_array().unwrap().len() == 1, "{changes}");
    }
    drop((second, third));
    let start = Instant::now();
    let [watcher, _] = &mut watchers;
    watcher.stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut gone = Vec::new();
    while gone.len() < 2 {
        let Frame::Text(text) = watcher.next() else { panic!("an end") };
        match text["type"].as_str().unwrap() {
            "signal" => gone.extend(text["agents"].as_array().unwrap().clone()),
            "mark" => watcher.ack(0),
            other => panic!("{other}"),
        }
    }
    assert!(start.elapsed() >= Duration::from_secs(15), "{:?}", start.elapsed());
    gone.sort_by_key(Value::to_string);
    assert_eq!(gone, [json!({"agent": 2, "state": "offline"}), json!({"agent": 3, "state": "offline"})]);
}

fn online(presence: &Value, agent: u32) -> bool {
    presence["agents"].as_array().unwrap().contains(&json!({"agent": agent, "state": "online"}))
}

/// News that find no room are made up for: the other shard agrees in the end.
#[test]
fn a_flood_between_shards_leaves_no_ghosts() {
    let gateway = Gateway::start(2, |config| config.messages_per_second = 1_000_000);
    let [mut first, mut second] = on_both_shards(&gateway, 2, r#""ticket:1""#);
    let mut senders: Vec<_> = (0..8).map(|_| session(&gateway, 1, "")).collect();
    let flood: Vec<u8> =
        (0..6_000).flat_map(|number| masked(&signal("typing", 2 + number % 20, number % 3 > 0))).collect();
    for sender in &mut senders {
        sender.stream.write_all(&flood).unwrap();
        sender.say(&signal("viewing", 1, true));
    }
    for sender in &mut senders {
        sender.say(r#"{"type":"subscribe","id":"s","views":[]}"#);
        sender.expect("result");
    }
    for watcher in [&mut first, &mut second] {
        assert_eq!(watcher.expect("signal"), told("viewing", 1, 1, true));
    }
    drop(senders);
    // A shard may hear of another's late, so that it is on once more for a moment; in the end it is off.
    for watcher in [&mut first, &mut second] {
        while watcher.expect("signal")["on"] == true {}
        watcher.stream.set_read_timeout(Some(Duration::from_millis(700))).unwrap();
        while watcher.stream.peek(&mut [0]).is_ok() {
            let last = watcher.expect("signal")["on"] == false;
            assert!(last || watcher.stream.peek(&mut [0]).is_ok(), "a ghost is left");
        }
    }
}

fn masked(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81, 0x80 | text.len() as u8, 0, 0, 0, 0];
    frame.extend(text.as_bytes());
    frame
}
