//! Server-Sent Events.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use crate::gateway::{Gateway, connect};

/// An event of a stream.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) id: Option<String>,
    pub(crate) kind: String,
    pub(crate) data: Value,
}

/// A stream that is read chunk by chunk.
pub(crate) struct Stream {
    reader: BufReader<TcpStream>,
    text: String,
}

/// Asks for a stream; returns the answer's head and the stream.
pub(crate) fn ask(addr: SocketAddr, token: &str, query: &str, last: Option<&str>) -> (String, Stream) {
    let mut stream = connect(addr);
    let last = last.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
    write!(
        stream,
        "GET /v1/push/events{query} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n{last}\r\n"
    )
    .unwrap();
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(reader.read_line(&mut head).unwrap(), 0, "{head}");
    }
    (head, Stream { reader, text: String::new() })
}

pub(crate) fn open(addr: SocketAddr, token: &str, query: &str, last: Option<&str>) -> Stream {
    let (head, stream) = ask(addr, token, query, last);
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(head.to_lowercase().contains("content-type: text/event-stream"), "{head}");
    stream
}

impl Stream {
    /// The next event; `None` at the end of the stream.
    pub(crate) fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let block = block.to_owned();
                self.text = rest.to_owned();
                if block.starts_with("retry: ") {
                    continue;
                }
                let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
                return Some(Event {
                    id: field("id: ").map(str::to_owned),
                    kind: field("event: ").unwrap().to_owned(),
                    data: serde_json::from_str(field("data: ").unwrap()).unwrap(),
                });
            }
            let mut length = String::new();
            if self.reader.read_line(&mut length).unwrap() == 0 {
                return None;
            }
            let length = usize::from_str_radix(length.trim(), 16).unwrap();
            let mut chunk = vec![0; length + 2];
            self.reader.read_exact(&mut chunk).unwrap();
            if length == 0 {
                return None;
            }
            self.text.push_str(std::str::from_utf8(&chunk[..length]).unwrap());
        }
    }

    /// The next event that is not a mark.
    pub(crate) fn expect(&mut self, kind: &str) -> Event {
        loop {
            let event = self.next().expect("an event");
            if event.kind == kind {
                return event;
            }
            assert_eq!(event.kind, "mark", "{event:?}");
        }
    }
}

#[test]
fn a_stream_goes_on_where_it_ended() {
    let gateway = Gateway::start(&["--heartbeat-ms", "300"]);
    let mut stream = open(gateway.api, &gateway.token, "?views=tenant,presence", None);
    let welcome = stream.expect("welcome");
    assert!(welcome.id.unwrap().ends_with(":0"));
    gateway.create("first\n\"line\"");
    let event = loop {
        let event = stream.next().unwrap();
        if event.kind == "event" {
            break event;
        }
    };
    assert_eq!((&event.data["offset"], &event.data["kind"]), (&1.into(), &"created".into()));
    // Longer than a session without acks would live.
    let mut marks = 0;
    while marks < 6 {
        marks += usize::from(stream.next().unwrap().kind == "mark");
    }
    drop(stream);
    gateway.create("second");
    gateway.create("third");
    let id = event.id.unwrap();
    for (query, last) in
        [("?views=tenant".to_owned(), Some(id.as_str())), (format!("?views=tenant&resume={id}"), None)]
    {
        let mut stream = open(gateway.api, &gateway.token, &query, last);
        assert_eq!(stream.expect("welcome").data["resumed"], true);
        assert_eq!(stream.expect("event").data["offset"], 2);
        assert_eq!(stream.expect("event").data["offset"], 3);
    }
    let mut foreign = open(gateway.api, &gateway.token, "?views=tenant", Some("00000000000000ff:1"));
    assert_eq!(foreign.expect("welcome").data["resumed"], false);
    assert_eq!(foreign.expect("resync").data["reason"], "epoch");
}

#[test]
fn what_is_wrong_is_said_before_the_stream() {
    let gateway = Gateway::start(&[]);
    let refused = |token: &str, query: &str, last: Option<&str>| {
        let (head, mut stream) = ask(gateway.api, token, query, last);
        assert!(head.contains("application/problem+json"), "{head}");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        stream.reader.read_exact(&mut body).unwrap();
        serde_json::from_slice::<Value>(&body).unwrap()["code"].as_str().unwrap().to_owned()
    };
    let good = gateway.token.as_str();
    assert_eq!(refused("wgl_x", "?views=tenant", None), "unauthorized");
    assert_eq!(refused(good, "", None), "bad_query");
    assert_eq!(refused(good, "?views=everything", None), "bad_query");
    assert_eq!(refused(good, "?views=tenant&window=x", None), "bad_query");
    assert_eq!(refused(good, "?views=tenant", Some("7")), "bad_cursor");
}

#[test]
fn a_reader_that_stops_is_closed_and_one_that_is_slow_gets_everything() {
    let gateway = Gateway::start(&["--heartbeat-ms", "400"]);
    let text = "x".repeat(50_000);
    let mut slow = open(gateway.api, &gateway.token, "?views=tenant&window=100000", None);
    slow.expect("welcome");
    for _ in 0..12 {
        gateway.create(&text);
    }
    for offset in 1..=12 {
        assert_eq!(slow.expect("event").data["offset"], offset);
    }
    let sessions = || {
        let mut stream = connect(gateway.api);
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut metrics = String::new();
        stream.read_to_string(&mut metrics).unwrap();
        let line = metrics.lines().find(|line| line.starts_with("waggle_push_sessions ")).unwrap();
        line.split_once(' ').unwrap().1.parse::<u64>().unwrap()
    };
    assert_eq!(sessions(), 1);
    drop(slow);
    let start = std::time::Instant::now();
    while sessions() > 0 {
        assert!(start.elapsed() < crate::gateway::PATIENCE, "the session outlives its reader");
    }
}

#[test]
fn a_drain_says_so_and_ends_the_stream() {
    let mut gateway = Gateway::start(&["--drain-after-ms", "200", "--drain-spread-ms", "0"]);
    let mut stream = open(gateway.api, &gateway.token, "?views=tenant", None);
    stream.expect("welcome");
    gateway.terminate();
    assert_eq!(stream.expect("drain").data["after_ms"], 200);
    let close = stream.expect("close");
    assert_eq!((close.id, &close.data["code"]), (None, &4000.into()));
    assert!(stream.next().is_none());
    gateway.wait();
}
