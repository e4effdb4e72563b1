//! RFC 6455 over real sockets: each case in one piece, then cut in two at every byte, over TCP and over a
//! Unix socket.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod cases;
#[path = "../push_protocol/harness.rs"]
#[allow(dead_code, reason = "another test's helpers, of which this one needs some")]
mod harness;
mod peer;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use cases::{Case, Expect};
use harness::{Gateway, HANDSHAKE, PATIENCE};
use peer::{CLOSE, Peer, TEXT, masked};

/// So that what was written before is read on its own, if not always.
const PAUSE: Duration = Duration::from_micros(300);
/// Longer cases are cut at so many places, evenly.
const CUTS_MAX: usize = 96;

fn gateway() -> (Gateway, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("push.sock");
    let gateway = Gateway::start(1, |config| config.unix = Some(path));
    (gateway, folder)
}

/// Runs a case over a connection that has shaken hands; `cut` is where it is cut in two.
fn run(stream: impl Read + Write, case: &Case, cut: usize) {
    let mut peer = Peer::new(stream);
    peer.write(HANDSHAKE.as_bytes());
    assert!(peer.head().starts_with("HTTP/1.1 101 "));
    peer.write(&masked(0x80 | TEXT, br#"{"type":"hello","token":"agent-1","views":[]}"#));
    assert!(peer.text().contains(r#""type":"welcome""#));
    let (one, other) = case.bytes.split_at(cut.min(case.bytes.len()));
    peer.write(one);
    if !one.is_empty() && !other.is_empty() {
        std::thread::sleep(PAUSE);
    }
    peer.write(other);
    check(&mut peer, case);
}

fn check<S: Read + Write>(peer: &mut Peer<S>, case: &Case) {
    let name = &case.name;
    match &case.expect {
        Expect::Texts(ids) => {
            for id in ids {
                let text = peer.text();
                let value: serde_json::Value = serde_json::from_str(&text).unwrap();
                assert_eq!((&value["type"], &value["id"]), (&"result".into(), &id.as_str().into()), "{name}");
            }
            alive(peer, name);
        }
        Expect::PongsThenText(pongs, id) => {
            for pong in pongs {
                assert_eq!(peer.frame(), Some((0x8a, pong.clone())), "{name}");
            }
            assert!(peer.text().contains(&format!(r#""id":"{id}""#)), "{name}");
            alive(peer, name);
        }
        // An endpoint may answer only the most recent of several pings (RFC 6455, 5.5.3).
        Expect::LastPong(last) => loop {
            let (first, payload) = peer.frame().expect("a pong");
            assert_eq!(first, 0x8a, "{name}");
            if payload == *last {
                break alive(peer, name);
            }
        },
        Expect::Nothing => alive(peer, name),
        Expect::Echo(payload) => {
            assert_eq!(peer.frame(), Some((0x80 | CLOSE, payload.clone())), "{name}");
            assert_eq!(peer.frame(), None, "{name}");
        }
        Expect::Refused(code, why) => {
            let (first, payload) = peer.frame().unwrap_or_else(|| panic!("{name}: no close frame"));
            assert_eq!(first, 0x80 | CLOSE, "{name}");
            let (found, reason) = payload.split_at_checked(2).unwrap_or_else(|| panic!("{name}: no code"));
            let reason = String::from_utf8(reason.to_vec()).expect("UTF-8");
            assert_eq!(u16::from_be_bytes([found[0], found[1]]), *code, "{name}: {reason}");
            assert!(reason.contains(why), "{name}: {reason:?} should have {why:?}");
            peer.try_write(&masked(0x80 | CLOSE, &payload[..2]));
            assert_eq!(peer.frame(), None, "{name}: the end, and no reset");
        }
    }
}

/// The session goes on.
fn alive<S: Read + Write>(peer: &mut Peer<S>, name: &str) {
    peer.write(&masked(0x80 | TEXT, br#"{"type":"subscribe","id":"alive","views":[]}"#));
    assert!(peer.text().contains(r#""id":"alive""#), "{name}");
}

fn cuts(case: &Case) -> impl Iterator<Item = usize> + use<> {
    let length = case.bytes.len();
    let step = length.div_ceil(CUTS_MAX).max(1);
    // Zero is the case in one piece.
    (0..length.max(1)).step_by(step)
}

#[test]
fn every_case_holds_in_one_piece_and_cut_at_every_byte_over_tcp() {
    let (gateway, _folder) = gateway();
    for case in cases::all() {
        for cut in cuts(&case) {
            run(gateway.tcp(), &case, cut);
        }
    }
}

#[test]
fn every_case_holds_in_one_piece_and_cut_at_every_byte_over_a_unix_socket() {
    let (gateway, folder) = gateway();
    let path = folder.path().join("push.sock");
    for case in cases::all() {
        for cut in cuts(&case) {
            let stream = UnixStream::connect(&path).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            run(stream, &case, cut);
        }
    }
    drop(gateway);
}

#[test]
fn a_handshake_may_be_cut_anywhere() {
    let (gateway, _folder) = gateway();
    for cut in 1..HANDSHAKE.len() {
        let mut peer = Peer::new(gateway.tcp());
        let (one, other) = HANDSHAKE.as_bytes().split_at(cut);
        peer.write(one);
        std::thread::sleep(PAUSE);
        peer.write(other);
        assert!(peer.head().starts_with("HTTP/1.1 101 "), "cut at {cut}");
    }
}

#[test]
fn a_case_may_come_one_byte_at_a_time() {
    let (gateway, _folder) = gateway();
    for case in cases::all().into_iter().filter(|case| case.bytes.len() <= 200) {
        let mut peer = Peer::new(gateway.tcp());
        peer.write(HANDSHAKE.as_bytes());
        peer.head();
        peer.write(&masked(0x80 | TEXT, br#"{"type":"hello","token":"agent-1","views":[]}"#));
        peer.text();
        for byte in &case.bytes {
            // Once the server has closed, the rest may not be taken any more.
            if !peer.try_write(&[*byte]) {
                break;
            }
            std::thread::yield_now();
        }
        check(&mut peer, &case);
    }
}

#[test]
fn handshakes_against_the_standard_are_refused() {
    let (gateway, _folder) = gateway();
    for (name, find, replace, status) in [
        ("4.1: the method is GET", "GET ", "PUT ", "400"),
        ("4.1: at least HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "400"),
        ("4.2.1: a Host header", "Host: x\r\n", "", "400"),
        ("4.2.1: an Upgrade header", "Upgrade: websocket\r\n", "", "400"),
        ("4.2.1: … that says websocket", "Upgrade: websocket", "Upgrade: h2c", "400"),
        ("4.2.1: a Connection header", "Connection: Upgrade\r\n", "", "400"),
        ("4.2.1: … that says upgrade", "Connection: Upgrade", "Connection: close", "400"),
        ("4.2.1: a key", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n", "", "400"),
        ("4.2.1: a version", "Sec-WebSocket-Version: 13\r\n", "", "400"),
        ("4.4: … that is 13", "Version: 13", "Version: 8", "400"),
    ] {
        let mut peer = Peer::new(gateway.tcp());
        let handshake = HANDSHAKE.replacen(find, replace, 1);
        assert_ne!(handshake, HANDSHAKE, "{name}");
        peer.write(handshake.as_bytes());
        let head = peer.head();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{name}: {head}");
    }
    // Tokens in headers are compared without regard to case, and a list may have more than one.
    for (find, replace) in [
        ("Upgrade: websocket", "upgrade: WebSocket"),
        ("Connection: Upgrade", "connection: keep-alive, upgrade"),
        ("Host: x", "host: x"),
    ] {
        let mut peer = Peer::new(gateway.tcp());
        peer.write(HANDSHAKE.replacen(find, replace, 1).as_bytes());
        assert!(peer.head().starts_with("HTTP/1.1 101 "), "{replace}");
    }
}

#[test]
fn the_accept_key_is_that_of_the_standards_example() {
    let (gateway, _folder) = gateway();
    let mut peer = Peer::new(gateway.tcp());
    let handshake = HANDSHAKE.replace("AAAAAAAAAAAAAAAAAAAAAA==", "dGhlIHNhbXBsZSBub25jZQ==");
    peer.write(handshake.as_bytes());
    let head = peer.head().to_lowercase();
    assert!(head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"), "{head}");
    assert!(!head.contains("sec-websocket-extensions"), "none was offered: {head}");
}
