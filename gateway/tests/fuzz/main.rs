//! Whatever bytes come, a parser answers, a session ends well, and the gateway goes on.
//!
//! Inputs are mutations of the corpus; one that makes a target answer in a new way becomes a base of
//! further ones. Briefly here, with a fixed seed; longer by `cargo xtask fuzz`, which sets
//! `WAGGLE_FUZZ_SECONDS` (for each target) and `WAGGLE_FUZZ_SEED`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod fuzzer;
#[path = "../push_protocol/harness.rs"]
#[allow(dead_code, reason = "another test's helpers, of which this one needs some")]
mod harness;

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::str::FromStr;

use fuzzer::{Fuzzer, sign};
use harness::{Gateway, HANDSHAKE, PATIENCE};
use waggle_core::id::{Cursor, Epoch};
use waggle_core::push::{ClientConfig, ClientEffect, ClientMessage, PushClient, ServerMessage, Start, View};
use waggle_core::time::Tick;

const WORDS: &[&str] = &[
    "{\"type\":\"",
    "\"hello\"",
    "\"ack\"",
    "\"subscribe\"",
    "\"unsubscribe\"",
    "\"command\"",
    "\"signal\"",
    "\"refresh\"",
    "\"views\":[",
    "\"offset\":",
    "\"epoch\":\"0000000000000abc\"",
    "\"resume\":{",
    "\"window\":",
    "\"id\":\"",
    "\"token\":\"agent-1\"",
    "\"ticket:",
    "\"queue:",
    "\"tenant\"",
    "18446744073709551615",
    "-1",
    "1e999",
    "null",
    "\\u0000",
    "\\ud800",
    "\"welcome\"",
    "\"mark\"",
    "\"resync\"",
    "\"drain\"",
    "\"after_ms\":",
    "\"sent\":",
    "\"event\"",
];

#[test]
fn client_messages() {
    Fuzzer::new("client_messages", WORDS).run(|bytes| match ClientMessage::parse(bytes) {
        Ok(message) => sign(&format!("{:?}", std::mem::discriminant(&message))),
        Err(error) => sign(&error.to_string()),
    });
}

#[test]
fn server_messages() {
    Fuzzer::new("server_messages", WORDS).run(|bytes| match ServerMessage::parse(bytes) {
        Ok(message) => {
            let text = message.to_json().expect("it is written");
            ServerMessage::parse(&text).expect("what was written is read again");
            sign(&format!("{:?}", std::mem::discriminant(&message)))
        }
        Err(error) => sign(&error.to_string()),
    });
}

#[test]
fn cursors() {
    Fuzzer::new("cursors", WORDS).run(|bytes| {
        let text = String::from_utf8_lossy(bytes);
        if let Ok(epoch) = Epoch::from_str(&text) {
            assert_eq!(epoch.to_string().parse(), Ok(epoch));
        }
        match serde_json::from_slice::<Cursor>(bytes) {
            Ok(cursor) => {
                let again = serde_json::to_vec(&cursor).unwrap();
                assert_eq!(serde_json::from_slice::<Cursor>(&again).unwrap(), cursor);
                0
            }
            Err(error) => sign(&error.to_string()),
        }
    });
}

/// A client's machine, and a server that says one line after the other.
#[test]
fn client_machine() {
    Fuzzer::new("client_machine", WORDS).run(|bytes| {
        let views = vec![View::Tenant];
        let config = ClientConfig { token: "t".into(), views, start: Start::Now, window: None, seed: 1 };
        let mut client = PushClient::new(config, Tick(0));
        let (mut now, mut signature, mut links) = (0, 0_u64, Vec::new());
        for line in String::from_utf8_lossy(bytes).lines().take(64) {
            let mut effects = 0;
            while let Some(effect) = client.poll() {
                effects += 1;
                assert!(effects < 1_000, "a line has no end of effects");
                signature =
                    signature.rotate_left(5) ^ sign(&format!("{:?}", std::mem::discriminant(&effect)));
                match effect {
                    ClientEffect::Connect { link, .. } => {
                        links.push(link);
                        client.connected(link, Tick(now));
                    }
                    ClientEffect::Deliver { receipt, .. } => client.shown(receipt),
                    _ => {}
                }
            }
            if let Some(link) = links.last() {
                client.received(*link, line, Tick(now));
            }
            now += 10;
            client.tick(Tick(now));
        }
        signature
    });
}

/// All that a server answers to these bytes, after which the client says no more.
fn answer(path: &Path, before: &[&[u8]], bytes: &[u8]) -> Vec<u8> {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    // The server may have closed before it has read everything.
    let whole = before.concat();
    let _ = stream.write_all(&whole).and_then(|()| stream.write_all(bytes));
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("the server does not end the connection: {error}"),
    }
    answer
}

fn serve(target: &str, words: &[&str], before: &[&[u8]], signature: impl Fn(&[u8]) -> u64) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("push.sock");
    let gateway = Gateway::start(1, |config| config.unix = Some(path.clone()));
    let mut steady = gateway.session(r#""queue:1""#);
    let mut number = 0;
    Fuzzer::new(target, words).run(|bytes| {
        let signature = signature(&answer(&path, before, bytes));
        number += 1;
        if number % 256 == 0 {
            gateway.log.commit(1, 1, 0);
            assert_eq!(steady.events(1).len(), 1, "another session goes on");
        }
        signature
    });
    gateway.wait_for(|stats| stats.connections == 1 && stats.sessions == 1);
}

/// The status, or the kinds of frames, and the close frame's reason without its numbers.
fn shape(answer: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(answer);
    sign(text.rsplit("\r\n\r\n").next().unwrap_or_default()) ^ sign(text.lines().next().unwrap_or_default())
}

#[test]
fn handshakes() {
    let words = [
        "GET ",
        "/v1/push",
        " HTTP/1.1\r\n",
        "Host: x\r\n",
        "\r\n",
        "\r\n\r\n",
        "Upgrade: websocket\r\n",
        "Connection: Upgrade\r\n",
        "Sec-WebSocket-Version: 13\r\n",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n",
        "Sec-WebSocket-Protocol: waggle.v1.json\r\n",
        "Sec-WebSocket-Extensions: permessage-deflate\r\n",
        "Content-Length: 99999\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Origin: null\r\n",
        "X-Forwarded-For: 1.2.3.4\r\n",
    ];
    serve("handshakes", &words, &[], shape);
}

#[test]
fn frames() {
    let hello = br#"{"type":"hello","token":"agent-1","views":["queue:9"]}"#;
    let mut frame = vec![0x81, 0x80 | hello.len() as u8, 0, 0, 0, 0];
    frame.extend(hello);
    let words = [
        "\u{1}\u{0}",
        "{\"type\":\"ack\",\"offset\":0}",
        "{\"type\":\"subscribe\",\"id\":\"a\",\"views\":[\"tenant\"]}",
        "{\"type\":\"signal\",\"kind\":\"typing\",\"ticket\":1,\"on\":true}",
        "{\"type\":\"command\",\"id\":\"a\",\"ticket\":1,\"command\":{\"type\":\"claim\"}}",
    ];
    serve("frames", &words, &[HANDSHAKE.as_bytes(), &frame], shape);
}
