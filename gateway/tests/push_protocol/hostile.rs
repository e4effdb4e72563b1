//! What clients that do not keep to the protocol are told.

use std::io::Write;

use serde_json::json;
use waggle_core::limits::{CLIENT_MESSAGE_BYTES_MAX, WINDOW_BYTES_MAX};

use crate::harness::{Client, Frame, Gateway, HANDSHAKE};

fn gateway() -> Gateway {
    Gateway::start(1, |_| {})
}

#[test]
fn handshakes_that_are_not_for_push_are_told_why() {
    let gateway = gateway();
    for (find, replace, status) in [
        ("/v1/push", "/v2/push", "404"),
        ("waggle.v1.json", "waggle.v9", "400"),
        ("Upgrade: websocket\r\n", "", "400"),
        ("GET", "POST", "400"),
    ] {
        let mut client = Client::new(gateway.tcp());
        client.stream.write_all(HANDSHAKE.replace(find, replace).as_bytes()).unwrap();
        let head = client.read_head();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{find}: {head}");
    }
    gateway.wait_for(|stats| stats.handshakes_failed == 4);
}

#[test]
fn messages_out_of_phase_or_shape_close_with_what_would_be_right() {
    let gateway = gateway();
    for (text, reason) in [
        (r#"{"type":"ack","offset":0}"#, "the first message is hello"),
        (r#"{"type":"hello","token":"agent-1"}"#, r#"needs the field "views""#),
        ("{", "EOF"),
        (r#"{"type":"hi"}"#, "unknown message type"),
    ] {
        let mut client = gateway.connect();
        client.say(text);
        client.expect_close(4201, reason);
    }
    for (text, reason) in [
        (r#"{"type":"hello","token":"agent-1","views":[]}"#, "hello came twice"),
        (r#"{"type":"ack","offset":1}"#, "the newest that this session was told is 0"),
    ] {
        let mut client = gateway.session("");
        client.say(text);
        client.expect_close(4201, reason);
    }
}

#[test]
fn binary_bad_text_and_unmasked_frames_close() {
    let gateway = gateway();
    let mut client = gateway.session("");
    client.send(0x82, b"{}");
    client.expect_close(4201, "text messages only");

    let mut client = gateway.session("");
    client.send(0x81, b"\"\xff\"");
    client.expect_close(4201, "not UTF-8");

    let mut client = gateway.session("");
    client.stream.write_all(b"\x81\x02{}").unwrap();
    client.expect_close(4201, "unmasked");

    let mut client = gateway.session("");
    client.send(0xc1, b"{}");
    client.expect_close(4201, "reserved");
}

#[test]
fn messages_over_the_limit_close_and_those_at_it_do_not() {
    let gateway = gateway();
    let mut client = gateway.session("");
    let open = r#"{"type":"subscribe","id":"a","views":["#;
    let filler = " ".repeat(CLIENT_MESSAGE_BYTES_MAX - open.len() - 2);
    client.say(&format!("{open}{filler}]}}"));
    client.expect("result");
    client.say(&format!("{open}{filler} ]}}"));
    client.expect_close(4202, "at most");

    // The same in fragments, none of which is over it.
    let mut client = gateway.session("");
    client.send(0x01, format!("{open}{filler}").as_bytes());
    client.send(0x80, b"  ]}");
    client.expect_close(4202, "at most");
}

#[test]
fn fragments_make_one_message_and_control_frames_come_between() {
    let gateway = gateway();
    let mut client = gateway.connect();
    client.send(0x01, br#"{"type":"hello","#);
    client.send(0x89, b"ping");
    client.send(0x00, br#""token":"agent-1","#);
    client.send(0x8a, b"unasked");
    client.send(0x80, br#""views":["queue:1"]}"#);
    assert_eq!(client.next(), Frame::Pong(b"ping".to_vec()));
    client.expect("welcome");
    gateway.log.commit(1, 1, 0);
    assert_eq!(client.events(1), [1]);
}

#[test]
fn an_unknown_token_and_another_agents_close() {
    let gateway = gateway();
    let mut client = gateway.connect();
    client.say(r#"{"type":"hello","token":"stranger","views":[]}"#);
    client.expect_close(4200, "unknown or revoked");

    let mut client = gateway.session("");
    client.say(r#"{"type":"refresh","token":"agent-2"}"#);
    client.expect_close(4200, "another agent's");
}

#[test]
fn too_many_views_are_refused() {
    let gateway = gateway();
    let mut client = gateway.connect();
    let views: Vec<String> = (1..=257).map(|queue| format!("\"queue:{queue}\"")).collect();
    client.say(&format!(r#"{{"type":"hello","token":"agent-1","views":[{}]}}"#, views.join(",")));
    client.expect_close(4201, "257 views; at most 256");

    let mut client = gateway.session(r#""mine""#);
    client.say(&format!(r#"{{"type":"subscribe","id":"a","views":[{}]}}"#, views[1..].join(",")));
    let refused = client.expect("result");
    let problem = json!({"type": "urn:waggle:error:too_many_views", "title": "Too many views", "status": 422,
        "code": "too_many_views", "detail": "the session would watch 257 views; at most 256 are taken"});
    assert_eq!((&refused["id"], &refused["error"]), (&json!("a"), &problem));
}

#[test]
fn a_client_that_only_asks_is_closed_and_not_stored_for() {
    let gateway = gateway();
    let mut client = gateway.session("");
    client.stream.set_write_timeout(Some(crate::harness::PATIENCE)).unwrap();
    let payload = [7; 125];
    // Pongs fill the socket buffers, then the outbox, until the gateway reads no more of this.
    let mut frame = vec![0x89, 0x80 | 125, 0, 0, 0, 0];
    frame.extend(payload);
    let many = frame.repeat(512);
    while client.stream.write_all(&many).is_ok() {
        if gateway.engine.stats().closed == 1 {
            break;
        }
    }
    gateway.wait_for(|stats| stats.sessions == 0);
    assert_eq!(gateway.engine.stats().closed, 1);
}

#[test]
fn a_client_that_acknowledges_and_does_not_read_is_closed_and_not_stored_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("push.sock");
    let gateway = Gateway::start(1, |config| {
        config.tcp = None;
        config.unix = Some(path.clone());
        config.heartbeat_ms = 60_000;
    });
    let mut client = Client::connect_unix(&path);
    client.shake_hands();
    client.say(r#"{"type":"hello","token":"agent-1","views":["tenant"]}"#);
    client.expect("welcome");
    let bound = 2 * u64::from(WINDOW_BYTES_MAX);
    // It knows the offsets from elsewhere.
    for offset in 1.. {
        gateway.log.commit(1, 1, 60_000);
        gateway.wait_for(|stats| stats.events_sent == offset || stats.closed == 1);
        let stats = gateway.engine.stats();
        assert!(stats.event_bytes_sent < bound, "{stats:?}");
        if stats.closed == 1 {
            break;
        }
        client.ack(offset);
    }
    assert!(gateway.engine.stats().event_bytes_sent > u64::from(WINDOW_BYTES_MAX));
    loop {
        match client.next() {
            Frame::Text(_) => {}
            Frame::Close(code, reason) => {
                assert_eq!(code, 4002, "{reason}");
                assert!(reason.contains("acknowledge only what was read"), "{reason}");
                break;
            }
            other => panic!("{other:?} instead of a close"),
        }
    }
}
