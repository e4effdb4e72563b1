//! Who is let in, how many, and what the others are told.

use std::io::Write;

use serde_json::json;
use waggle_core::push::retry_after_s;
use waggle_gateway::push::{PeerRules, PushLimits, TrustedProxy};

use crate::harness::{Client, Frame, Gateway, HANDSHAKE};

/// A handshake with further headers; the head of the answer, and its body.
fn shake(gateway: &Gateway, headers: &str) -> (Client<std::net::TcpStream>, String) {
    let mut client = Client::new(gateway.tcp());
    let request = HANDSHAKE.replace("\r\n\r\n", &format!("\r\n{headers}\r\n"));
    client.stream.write_all(request.as_bytes()).unwrap();
    let head = client.read_head().to_lowercase();
    (client, head)
}

fn expect_unavailable(mut client: Client<std::net::TcpStream>, head: &str, limit: &str) {
    assert!(head.starts_with("http/1.1 503 "), "{head}");
    let hint = head.split("retry-after: ").nth(1).and_then(|rest| rest.split('\r').next()).unwrap();
    assert!((1..=5).contains(&hint.parse::<u32>().unwrap()), "{head}");
    let mut body = String::new();
    std::io::Read::read_to_string(&mut client.stream, &mut body).unwrap();
    assert!(body.contains(limit), "{body}");
    assert_eq!(retry_after_s(body.trim_end()), hint.parse().ok());
}

#[test]
fn the_gateways_limit_holds_over_all_shards() {
    let gateway = Gateway::start(3, |config| config.limits.sessions = 4);
    let mut sessions: Vec<_> = (0..4).map(|_| gateway.session(r#""tenant""#)).collect();
    for _ in 0..3 {
        let (client, head) = shake(&gateway, "");
        expect_unavailable(client, &head, "the gateway has 4 push sessions, which is its limit");
    }
    gateway.log.commit(1, 1, 0);
    for client in &mut sessions {
        assert_eq!(client.events(1), [1]);
    }
    sessions.pop();
    gateway.wait_for(|stats| stats.connections == 3);
    gateway.session(r#""tenant""#);
    assert_eq!(gateway.engine.stats().refused, 3);
}

#[test]
fn a_tenants_limit_is_told_in_the_close() {
    let gateway = Gateway::start(2, |config| config.limits.sessions_per_tenant = 2);
    let held = [gateway.session(r#""mine""#), gateway.session(r#""mine""#)];
    let mut client = gateway.connect();
    client.say(r#"{"type":"hello","token":"agent-2","views":[]}"#);
    let Frame::Close(code, reason) = client.next() else { panic!("no close") };
    assert_eq!(code, 4100);
    assert!(
        reason.starts_with("the tenant has 2 push sessions") && retry_after_s(&reason).is_some(),
        "{reason}"
    );
    drop(held);
    gateway.wait_for(|stats| stats.sessions == 0);
    gateway.session(r#""mine""#);
}

#[test]
fn addresses_are_told_apart_behind_a_trusted_proxy_only() {
    let limits = PushLimits { sessions_per_address: 1, ..PushLimits::default() };
    let gateway = Gateway::start(2, |config| config.limits = limits);
    let (_held, head) = shake(&gateway, "X-Forwarded-For: 192.0.2.1\r\n");
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    let (client, head) = shake(&gateway, "X-Forwarded-For: 192.0.2.2\r\n");
    expect_unavailable(client, &head, "127.0.0.1 has 1 push sessions, which is the limit for one address");

    let proxy = TrustedProxy::try_from("127.0.0.0/8".to_owned()).unwrap();
    let gateway = Gateway::start(2, |config| {
        config.limits = limits;
        config.rules = PeerRules { trusted_proxies: vec![proxy], origins: Vec::new() };
    });
    let (_one, head) = shake(&gateway, "X-Forwarded-For: 192.0.2.1\r\n");
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    let (_two, head) = shake(&gateway, "X-Forwarded-For: 10.9.9.9, 192.0.2.2\r\n");
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    let (client, head) = shake(&gateway, "X-Forwarded-For: 9.9.9.9, 192.0.2.1\r\n");
    expect_unavailable(client, &head, "192.0.2.1 has 1 push sessions");
}

#[test]
fn pages_of_other_sites_are_refused() {
    let gateway = Gateway::start(1, |_| {});
    let (_client, head) = shake(&gateway, "Origin: https://evil.example\r\n");
    assert!(head.starts_with("http/1.1 403 "), "{head}");
    let (_client, head) = shake(&gateway, "Origin: http://x\r\n");
    assert!(head.starts_with("http/1.1 101 "), "{head}");
}

#[test]
fn a_handshake_is_bounded_in_bytes_and_time() {
    let gateway = Gateway::start(1, |config| config.hello_ms = 300);
    let (_client, head) = shake(&gateway, &format!("X-Filler: {}\r\n", "x".repeat(20_000)));
    assert!(head.starts_with("http/1.1 431 "), "{head}");
    let mut slow = Client::new(gateway.tcp());
    slow.stream.write_all(b"GET /v1/push HTTP/1.1\r\nHost: ").unwrap();
    let head = slow.read_head();
    assert!(head.starts_with("HTTP/1.1 408 "), "{head}");
    gateway.wait_for(|stats| stats.handshakes_failed == 2);
}

#[test]
fn a_client_that_says_too_much_is_closed_and_one_that_acks_is_not() {
    let gateway = Gateway::start(1, |config| config.messages_per_second = 5);
    let mut noisy = gateway.session(r#""mine""#);
    for _ in 0..30 {
        noisy.send(0x89, b"");
    }
    let close = std::iter::repeat_with(|| noisy.next()).find(|frame| !matches!(frame, Frame::Pong(_)));
    let Some(Frame::Close(4103, reason)) = close else { panic!("{close:?}") };
    assert!(reason.contains("more than 5 messages per second"), "{reason}");

    let mut honest = gateway.session(r#""tenant""#);
    for number in 1..=100 {
        gateway.log.commit(1, 1, 0);
        assert_eq!(honest.events(1), [number]);
        honest.ack(number);
    }
    for _ in 0..30 {
        honest.say(&json!({"type": "signal", "kind": "viewing", "ticket": 1, "on": true}).to_string());
    }
    gateway.wait_for(|stats| stats.signals_dropped >= 20);
    gateway.log.commit(1, 1, 0);
    assert_eq!(honest.events(1), [101]);
}
