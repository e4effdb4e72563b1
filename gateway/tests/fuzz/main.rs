//! Whatever bytes come, a parser answers, a session ends well, and the gateway goes on.
//!
//! Inputs are mutations of the corpus; one that makes a target answer in a new way becomes a base of
//! further ones. Briefly here, with a fixed seed; longer by `cargo xtask fuzz`, which sets
//! `WAGGLE_FUZZ_SECONDS` (for each target) and `WAGGLE_FUZZ_SEED`. Where there is a C++ compiler it runs the
//! targets that need no gateway under libFuzzer instead (`fuzz`), guided by coverage.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod fuzzer;
#[path = "../push_protocol/harness.rs"]
#[allow(dead_code, reason = "another test's helpers, of which this one needs some")]
mod harness;
#[allow(unreachable_pub, reason = "a library of its own elsewhere")]
mod targets;

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;

use fuzzer::Fuzzer;
use harness::{Gateway, HANDSHAKE, PATIENCE};
use targets::sign;

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
    "created {\"queue\":1,\"requester\":\"Kim <k@x.example>\",\"text\":\"",
    "reply {\"text\":\"Hi Kim, ",
    "labelled {\"message\":1,\"intent\":\"",
    "taught {\"teach\":\"",
];

#[test]
fn client_messages() {
    Fuzzer::new("client_messages", WORDS).run(targets::client_messages);
}

#[test]
fn server_messages() {
    Fuzzer::new("server_messages", WORDS).run(targets::server_messages);
}

#[test]
fn cursors() {
    Fuzzer::new("cursors", WORDS).run(targets::cursors);
}

#[test]
fn client_machine() {
    Fuzzer::new("client_machine", WORDS).run(targets::client_machine);
}

#[test]
fn lessons() {
    Fuzzer::new("lessons", WORDS).run(targets::lessons);
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
