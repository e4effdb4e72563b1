//! Who is how far behind, as the administrator sees it; and what becomes of those who stay behind.

use serde_json::Value;
use waggle_gateway::push::SessionOrder;

use crate::harness::{Client, Frame, Gateway, TENANT};

fn list(gateway: &Gateway, order: SessionOrder, limit: usize) -> Value {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let list = runtime.block_on(gateway.engine.hub().sessions(TENANT, order, limit));
    serde_json::to_value(list).unwrap()
}

fn lagging(gateway: &Gateway) -> Client<std::net::TcpStream> {
    let mut client = gateway.connect();
    client.say(r#"{"type":"hello","token":"agent-2","views":["tenant"],"window":4096}"#);
    client.expect("welcome");
    client
}

#[test]
fn the_slowest_come_first() {
    let gateway = Gateway::start(3, |_| {});
    let mut quick: Vec<_> = (0..5).map(|_| gateway.session(r#""tenant","queue:9""#)).collect();
    let mut slow = lagging(&gateway);
    gateway.log.commit(1, 6, 1000);
    for client in &mut quick {
        client.events(6);
        client.ack(6);
    }
    gateway.wait_for(|stats| stats.lagging == 1);
    let found = list(&gateway, SessionOrder::Lag, 2);
    assert_eq!((&found["total"], found["sessions"].as_array().unwrap().len()), (&6.into(), 2), "{found}");
    let first = &found["sessions"][0];
    for (field, wanted) in [
        ("agent", Value::from(2)),
        ("path", "tcp".into()),
        ("tls", false.into()),
        ("remote", "127.0.0.1".into()),
        ("phase", "lagging".into()),
        ("window", 4096.into()),
        ("views", 1.into()),
        ("lags", 1.into()),
    ] {
        assert_eq!(first[field], wanted, "{field} of {first}");
    }
    let sent = first["sent"].as_u64().unwrap();
    assert_eq!(first["lag_events"].as_u64().unwrap(), 6 - sent, "{first}");
    assert!(first["unacked_bytes"].as_u64().unwrap() <= 4096, "{first}");
    assert_eq!(found["sessions"][1]["lag_events"], 0);
    let network = &first["network"];
    assert!(network["cookie"] != 0 && network["rtt_us"].as_u64() > Some(0), "{network}");
    assert_eq!((&network["retransmits"], &network["timeouts_in_a_row"]), (&0.into(), &0.into()));
    let by_unacked = list(&gateway, SessionOrder::Unacked, 1);
    assert_eq!(by_unacked["sessions"][0]["session"], first["session"]);
    // With its acks it catches up, and is last in no list.
    let seen = slow.events(sent as usize);
    slow.expect("mark");
    slow.ack(*seen.last().unwrap());
    assert_eq!(slow.events(6 - sent as usize).last(), Some(&6));
    gateway.wait_for(|stats| stats.lagging == 0);
    assert_eq!(list(&gateway, SessionOrder::Lag, 1)["sessions"][0]["lag_events"], 0);
}

#[test]
fn a_reader_that_never_acks_is_bounded_and_ends() {
    let gateway = Gateway::start(1, |config| config.heartbeat_ms = 150);
    let mut client = lagging(&gateway);
    gateway.log.commit(1, 50, 1000);
    // It is there, and reads; it only never acknowledges.
    let (mut events, mut bytes) = (0, 0);
    let close = loop {
        match client.next() {
            Frame::Text(text) if text["type"] == "event" => {
                events += 1;
                bytes += text.to_string().len();
            }
            Frame::Text(text) if text["type"] == "result" => {}
            Frame::Text(_) => client.say(r#"{"type":"unsubscribe","id":"here","views":[]}"#),
            Frame::Pong(_) => {}
            other => break other,
        }
        let row = &list(&gateway, SessionOrder::Unacked, 1)["sessions"][0];
        assert!(row.is_null() || row["unacked_bytes"].as_u64().unwrap() <= 4096, "{row}");
    };
    let Frame::Close(4002, reason) = close else { panic!("{close:?}") };
    assert!(reason.contains("nothing further was acknowledged"), "{reason}");
    assert!(events > 0 && bytes <= 4096 + 1200, "{events} events of {bytes} bytes");
    gateway.wait_for(|stats| stats.sessions == 0 && stats.lagging == 0);
}

#[test]
fn a_stopped_reader_costs_others_nothing_and_ends() {
    let gateway = Gateway::start(1, |config| config.heartbeat_ms = 400);
    let mut healthy = gateway.connect();
    healthy.say(r#"{"type":"hello","token":"agent-1","views":["queue:1"]}"#);
    healthy.expect("welcome");
    let mut stopped = gateway.connect();
    stopped.say(r#"{"type":"hello","token":"agent-2","views":["queue:1"],"window":4194304}"#);
    gateway.wait_for(|stats| stats.sessions == 2);
    stopped.expect("welcome");
    let mut last = 0;
    for _ in 0..100 {
        gateway.log.commit(1, 1, 60_000);
        loop {
            let text = healthy.text();
            let offset = text["offset"].as_u64().unwrap();
            healthy.ack(offset);
            if text["type"] == "event" {
                assert_eq!(offset, last + 1);
                last = offset;
                break;
            }
        }
        let row = &list(&gateway, SessionOrder::Queued, 1)["sessions"][0];
        assert!(row["queued_bytes"].as_u64().unwrap_or(0) <= 4_194_304 + 130_000, "{row}");
    }
    // It says nothing for 2.5 heartbeats, and is gone after the time for its close.
    while gateway.engine.stats().sessions == 2 {
        let text = healthy.text();
        healthy.ack(text["offset"].as_u64().unwrap());
    }
    assert_eq!(gateway.engine.stats().closed, 1);
}
