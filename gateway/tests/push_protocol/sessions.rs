//! What a client that keeps to the protocol sees.

use std::sync::atomic::Ordering;

use serde_json::json;

use crate::harness::{Client, EPOCH, Frame, Gateway};

fn resume<S: std::io::Read + std::io::Write>(client: &mut Client<S>, epoch: &str, offset: u64, rest: &str) {
    client.say(&format!(
        r#"{{"type":"hello","token":"agent-1","views":["queue:1"],"resume":{{"epoch":"{epoch}","offset":{offset}}}{rest}}}"#
    ));
}

#[test]
fn hello_welcome_live() {
    let gateway = Gateway::start(2, |config| config.heartbeat_ms = 60_000);
    gateway.log.append(1, 3, 5);
    let mut client = gateway.connect();
    client.say(r#"{"type":"hello","token":"agent-1","views":["queue:1"],"window":5000}"#);
    let mut welcome = client.expect("welcome");
    assert!(welcome["session"].take().as_u64().unwrap() > 0);
    let epoch = EPOCH.to_string();
    assert_eq!(
        welcome,
        json!({"type": "welcome", "session": null, "node": "test", "epoch": epoch, "offset": 3,
            "resumed": false, "heartbeat_ms": 60_000, "window": 5000})
    );
    gateway.log.commit(1, 1, 10);
    gateway.log.commit(2, 1, 10);
    gateway.log.commit(1, 3, 10);
    assert_eq!(client.events(4), [4, 6, 7, 8]);
}

#[test]
fn overlapping_views_get_an_event_once() {
    let gateway = Gateway::start(1, |_| {});
    let mut client = gateway.session(r#""tenant","queue:1","ticket:2","mine""#);
    for _ in 0..3 {
        gateway.log.commit(1, 1, 0);
    }
    assert_eq!(client.events(3), [1, 2, 3]);
}

#[test]
fn many_sessions_on_many_shards_see_the_same() {
    let gateway = Gateway::start(4, |_| {});
    let mut clients: Vec<_> = (0..40).map(|_| gateway.session(r#""tenant""#)).collect();
    for _ in 0..20 {
        gateway.log.commit(1, 1, 100);
        gateway.log.commit(2, 3, 100);
    }
    for client in &mut clients {
        assert!(client.events(80).into_iter().eq(1..=80));
    }
    gateway.wait_for(|stats| stats.events_sent == 40 * 80 && stats.sessions == 40);
    drop(clients);
    gateway.wait_for(|stats| stats.sessions == 0 && stats.connections == 0);
}

#[test]
fn resumes_from_memory_and_goes_on_live() {
    let gateway = Gateway::start(1, |_| {});
    gateway.log.append(1, 1000, 1);
    let mut client = gateway.connect();
    resume(&mut client, &EPOCH.to_string(), 10, "");
    let welcome = client.expect("welcome");
    assert_eq!((&welcome["resumed"], &welcome["offset"]), (&json!(true), &json!(10)));
    assert!(client.events(990).into_iter().eq(11..=1000));
    assert_eq!(client.expect("mark"), json!({"type": "mark", "offset": 1000, "sent": 990}));
    gateway.log.commit(1, 1, 1);
    assert_eq!(client.events(1), [1001]);
    assert_eq!(gateway.log.storage_reads.load(Ordering::SeqCst), 0);
}

#[test]
fn resumes_from_storage_while_more_is_committed() {
    let gateway = Gateway::start(1, |_| {});
    gateway.log.append(1, 700, 1);
    gateway.log.forget_until(650);
    let mut client = gateway.connect();
    resume(&mut client, &EPOCH.to_string(), 0, "");
    for _ in 0..10 {
        gateway.log.commit(1, 2, 1);
    }
    client.expect("welcome");
    let mut seen = Vec::new();
    while seen.len() < 720 {
        let text = client.text();
        if text["type"] == "event" {
            seen.push(text["offset"].as_u64().unwrap());
        }
    }
    assert!(seen.into_iter().eq(1..=720));
    assert!(gateway.log.storage_reads.load(Ordering::SeqCst) >= 2);
}

#[test]
fn a_cursor_that_cannot_be_honoured_is_answered_by_resync() {
    let gateway = Gateway::start(1, |_| {});
    gateway.log.append(1, 5, 1);
    let ours = EPOCH.to_string();
    for (epoch, offset, reason) in [("00000000000000ff", 3, "epoch"), (ours.as_str(), 6, "ahead")] {
        let mut client = gateway.connect();
        resume(&mut client, epoch, offset, "");
        let welcome = client.expect("welcome");
        assert_eq!((&welcome["resumed"], &welcome["offset"]), (&json!(false), &json!(5)));
        let wanted = json!({"type": "resync", "reason": reason, "epoch": ours, "offset": 5});
        assert_eq!(client.expect("resync"), wanted);
    }
}

#[test]
fn a_cursor_that_the_log_does_not_reach_back_to_is_answered_by_resync() {
    let gateway = Gateway::start(1, |_| {});
    gateway.log.append(1, 10, 1);
    gateway.log.prune_until(5);
    let mut client = gateway.connect();
    resume(&mut client, &EPOCH.to_string(), 2, "");
    assert_eq!(client.expect("welcome")["resumed"], true);
    let wanted = json!({"type": "resync", "reason": "retention", "epoch": EPOCH.to_string(), "offset": 10});
    assert_eq!(client.expect("resync"), wanted);
    assert_eq!(client.expect("mark"), json!({"type": "mark", "offset": 10, "sent": 0}));
    gateway.log.commit(1, 1, 1);
    assert_eq!(client.events(1), [11]);
}

#[test]
fn a_slow_client_lags_and_catches_up() {
    let gateway = Gateway::start(1, |config| config.heartbeat_ms = 60_000);
    let mut client = gateway.connect();
    client.say(r#"{"type":"hello","token":"agent-1","views":["tenant"],"window":4096}"#);
    client.expect("welcome");
    for _ in 0..100 {
        gateway.log.commit(1, 1, 900);
    }
    // About 1 kB each: four fit.
    assert_eq!(client.events(4), [1, 2, 3, 4]);
    assert_eq!(client.expect("mark"), json!({"type": "mark", "offset": 4, "sent": 4}));
    gateway.wait_for(|stats| stats.lagging == 1);
    // Nothing is in flight until it is acknowledged.
    assert_eq!(gateway.engine.stats().events_sent, 4);
    let mut seen = 4;
    client.ack(4);
    while seen < 100 {
        let text = client.text();
        match text["type"].as_str() {
            Some("event") => {
                seen += 1;
                assert_eq!(text["offset"], seen);
            }
            Some("mark") => {
                assert_eq!((&text["offset"], &text["sent"]), (&json!(seen), &json!(seen)));
                client.ack(seen);
            }
            _ => panic!("{text}"),
        }
    }
    assert_eq!(client.expect("mark"), json!({"type": "mark", "offset": 100, "sent": 100}));
    client.ack(100);
    client.say(r#"{"type":"subscribe","id":"after-the-ack","views":[]}"#);
    client.expect("result");
    assert_eq!(gateway.engine.stats().lagging, 0);
    gateway.log.commit(1, 1, 0);
    assert_eq!(client.events(1), [101]);
}

#[test]
fn a_gap_in_what_is_published_is_read_from_the_log() {
    let gateway = Gateway::start(1, |_| {});
    let mut client = gateway.session(r#""queue:1""#);
    gateway.log.commit(1, 2, 0);
    gateway.log.append(1, 3, 0);
    gateway.log.commit(1, 1, 0);
    assert_eq!(client.events(6), [1, 2, 3, 4, 5, 6]);
    assert_eq!(client.expect("mark"), json!({"type": "mark", "offset": 6, "sent": 6}));
    gateway.log.commit(1, 1, 0);
    assert_eq!(client.events(1), [7]);
    assert_eq!(gateway.engine.stats().gaps, 1);
}

#[test]
fn batches_beyond_the_inbox_are_not_lost() {
    let gateway = Gateway::start(1, |_| {});
    let mut client = gateway.session(r#""queue:1""#);
    let reader = std::thread::spawn(move || {
        let mut seen = 0;
        while seen < 20_000 {
            let text = client.text();
            if text["type"] == "event" {
                seen += 1;
                assert_eq!(text["offset"], seen);
            }
            if text["type"] == "mark" || seen % 500 == 0 {
                client.ack(seen);
            }
        }
    });
    for _ in 0..20_000 {
        gateway.log.commit(1, 1, 0);
    }
    reader.join().unwrap();
}

#[test]
fn heartbeats_move_the_cursor_of_a_quiet_session() {
    let gateway = Gateway::start(1, |config| config.heartbeat_ms = 400);
    let mut client = gateway.session(r#""queue:1""#);
    gateway.log.commit(2, 7, 0);
    let mut mark = client.expect("mark");
    while mark["offset"] != 7 {
        client.ack(mark["offset"].as_u64().unwrap());
        mark = client.expect("mark");
    }
    assert_eq!(mark["sent"], 0);
    gateway.log.commit(1, 1, 0);
    assert_eq!(client.events(1), [8]);
    assert_eq!(client.expect("mark"), json!({"type": "mark", "offset": 8, "sent": 1}));
}

#[test]
fn a_silent_client_is_closed() {
    let gateway = Gateway::start(1, |config| config.heartbeat_ms = 200);
    let mut client = gateway.session("");
    client.expect("mark");
    client.expect("mark");
    client.expect_close(4001, "nothing was heard");
}

#[test]
fn views_change_while_live() {
    let gateway = Gateway::start(1, |_| {});
    let mut client = gateway.session(r#""queue:1""#);
    client.say(r#"{"type":"subscribe","id":"a","views":["queue:2"]}"#);
    assert_eq!(client.expect("result"), json!({"type": "result", "id": "a"}));
    gateway.log.commit(2, 1, 0);
    assert_eq!(client.events(1), [1]);
    client.say(r#"{"type":"unsubscribe","id":"b","views":["queue:1"]}"#);
    assert_eq!(client.expect("result")["id"], "b");
    gateway.log.commit(1, 1, 0);
    gateway.log.commit(2, 1, 0);
    assert_eq!(client.events(1), [3]);
}

#[test]
fn commands_are_answered_by_their_event_or_a_problem() {
    let gateway = Gateway::start(1, |_| {});
    let mut client = gateway.session("");
    let mut ask = |ticket: u64, command: &str| {
        client.say(&format!(
            r#"{{"type":"command","id":"c","ticket":{ticket},"key":"k","command":{command}}}"#
        ));
        client.expect("result")
    };
    let answer = ask(1, r#"{"type":"claim"}"#);
    assert_eq!((&answer["id"], &answer["event"]["offset"]), (&json!("c"), &json!(1)));
    assert_eq!(answer["event"]["type"], "event");
    for (ticket, command, code, status) in [
        (404, r#"{"type":"claim"}"#, "no_such_ticket", 404),
        (1, r#"{"type":"move","to":"solved"}"#, "version_required", 428),
        (1, r#"{"type":"move","to":"solved","expect":1}"#, "stale_version", 412),
        (1, r#"{"type":"dance"}"#, "unknown_command", 422),
        (1, r#"[]"#, "malformed", 400),
    ] {
        let answer = ask(ticket, command);
        let error = &answer["error"];
        assert_eq!((&error["code"], &error["status"]), (&json!(code), &json!(status)), "{answer}");
        assert!(error["detail"].is_string() && answer.get("event").is_none());
    }
    assert_eq!(ask(1, r#"{"type":"move","to":"solved","expect":1}"#)["error"]["current"], 2);
}

#[test]
fn a_slow_command_holds_nothing_up_and_the_65th_is_refused() {
    let gateway = Gateway::start(1, |_| {});
    let mut client = gateway.session(r#""tenant""#);
    for number in 0..65 {
        client.say(&format!(
            r#"{{"type":"command","id":"s{number}","ticket":1,"command":{{"type":"note","text":"x"}}}}"#
        ));
    }
    let refused = client.expect("result");
    let problem = json!({"type": "urn:waggle:error:overload", "title": "Overloaded", "status": 503, "code": "overload",
        "detail": "64 commands of this session have no result yet"});
    assert_eq!((&refused["id"], &refused["error"]), (&json!("s64"), &problem));
    gateway.log.commit(1, 1, 0);
    assert_eq!(client.events(1), [1]);
    gateway.log.slow_commands.add_permits(64);
    let mut results = 0;
    while results < 64 {
        results += usize::from(client.text()["type"] == "result");
    }
}

#[test]
fn signals_are_taken_and_a_refresh_is_answered() {
    let gateway = Gateway::start(1, |_| {});
    gateway.tokens.add("fresh", 1, None);
    let mut client = gateway.session("");
    client.say(r#"{"type":"signal","kind":"typing","ticket":3,"on":true}"#);
    client.say(r#"{"type":"refresh","token":"fresh"}"#);
    assert_eq!(client.expect("result"), json!({"type": "result"}));
    gateway.tokens.revoke("agent-1");
    client.say(r#"{"type":"subscribe","id":"still","views":["mine"]}"#);
    assert_eq!(client.expect("result")["id"], "still");
    gateway.tokens.revoke("fresh");
    client.expect_close(4200, "revoked");
}

#[test]
fn frames_larger_than_the_socket_takes_stay_whole_and_in_order() {
    const EVENTS: u64 = 60;
    let gateway = Gateway::start(1, |config| config.heartbeat_ms = 60_000);
    let mut client = gateway.connect();
    client.say(r#"{"type":"hello","token":"agent-1","views":["tenant"],"window":4194304}"#);
    client.expect("welcome");
    for round in 0..EVENTS / 3 {
        gateway.log.commit(1, 1, 60_000);
        gateway.log.commit(1, 2, 60_000);
        client.send(0x89, format!("{round}").as_bytes());
    }
    gateway.wait_for(|stats| stats.events_sent == EVENTS);
    let (mut events, mut pongs) = (0, 0);
    while events < EVENTS || pongs < EVENTS / 3 {
        match client.next() {
            Frame::Text(text) => {
                events += 1;
                assert_eq!(text["offset"], events);
                assert_eq!(text["data"]["text"].as_str().unwrap().len(), 60_000);
            }
            Frame::Pong(payload) => {
                assert_eq!(payload, format!("{pongs}").as_bytes());
                pongs += 1;
            }
            other => panic!("{other:?}"),
        }
    }
}
