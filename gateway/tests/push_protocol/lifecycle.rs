//! Where connections come from, and how they end.

use std::net::{IpAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde_json::json;
use waggle_core::time::Timestamp;
use waggle_gateway::directory::AuthError;
use waggle_gateway::push::{Handover, HandoverStream, PushConfig, PushEngine, PushError, PushHub, Via};

use crate::harness::{Client, Frame, Gateway, PATIENCE};

#[test]
fn no_hello_in_time_closes() {
    let gateway = Gateway::start(1, |config| config.hello_ms = 50);
    gateway.connect().expect_close(4102, "no hello in time");
    // Nor is a handshake waited for.
    let mut client = Client::new(gateway.tcp());
    assert!(client.read_head().starts_with("HTTP/1.1 408 "));
}

#[test]
fn a_revoked_token_closes_its_sessions_and_no_others() {
    let gateway = Gateway::start(2, |_| {});
    let mut revoked: Vec<_> = (0..4).map(|_| gateway.session("")).collect();
    let mut other = gateway.connect();
    other.say(r#"{"type":"hello","token":"agent-2","views":["queue:1"]}"#);
    other.expect("welcome");
    gateway.tokens.revoke("agent-1");
    for client in &mut revoked {
        client.expect_close(4200, "revoked");
    }
    gateway.log.commit(1, 1, 0);
    assert_eq!(other.events(1), [1]);
}

#[test]
fn a_token_closes_its_session_when_it_expires() {
    let gateway = Gateway::start(1, |_| {});
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    gateway.tokens.add("short", 1, Some(Timestamp(now + 100)));
    let mut client = gateway.connect();
    client.say(r#"{"type":"hello","token":"short","views":[]}"#);
    client.expect("welcome");
    client.expect_close(4200, "expired");
}

#[test]
fn the_hook_sees_every_socket() {
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    let gateway = Gateway::start(2, |config| {
        config.on_accept = Some(Arc::new(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
        }));
    });
    let clients: Vec<_> = (0..5).map(|_| gateway.session("")).collect();
    assert_eq!((clients.len(), seen.load(Ordering::SeqCst)), (5, 5));
}

/// The API, which has accepted it, has done what the hook does.
#[test]
fn the_hook_does_not_see_what_the_api_has_accepted() {
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    let gateway = Gateway::start(1, |config| {
        config.on_accept = Some(Arc::new(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
        }));
    });
    let mut client = upgraded(&gateway, [192, 0, 2, 1].into());
    client.say(r#"{"type":"hello","token":"agent-1","views":[]}"#);
    client.expect("welcome");
    assert_eq!(seen.load(Ordering::SeqCst), 0);
}

#[test]
fn the_tcp_peer_of_a_guess_is_told_and_nobody_elses() {
    let (tell, told) = std::sync::mpsc::sync_channel(8);
    let gateway = Gateway::start(1, |config| {
        config.rules.trusted_proxies = vec!["127.0.0.1".to_owned().try_into().unwrap()];
        config.on_unauthorized = Some(Arc::new(move |peer| tell.send(peer).unwrap()));
    });
    gateway.tokens.refuse("ended", AuthError::Expired);
    gateway.tokens.refuse("revoked", AuthError::Revoked);
    gateway.tokens.refuse("no token", AuthError::Malformed);
    let (own, proxy): (IpAddr, IpAddr) = ([127, 0, 0, 1].into(), [192, 0, 2, 1].into());
    for (token, is_guess) in [("ended", false), ("revoked", false), ("no token", false), ("unknown", true)] {
        for (mut client, peer) in [(gateway.connect(), own), (upgraded(&gateway, proxy), proxy)] {
            client.say(&format!(r#"{{"type":"hello","token":"{token}","views":[]}}"#));
            client.expect_close(4200, "");
            assert_eq!(told.try_recv().ok(), is_guess.then_some(peer), "{token}");
        }
    }
}

/// A connection as the API hands it over, from another client behind `peer`.
fn upgraded(gateway: &Gateway, peer: IpAddr) -> Client<TcpStream> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let stream = HandoverStream::Tcp(listener.accept().unwrap().0);
    let handover =
        Handover { stream, leftover: Bytes::new(), remote: [203, 0, 113, 9].into(), peer, via: Via::Api };
    gateway.engine.hub().adopt(handover);
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    Client::new(client)
}

#[test]
fn a_client_may_close_first() {
    let gateway = Gateway::start(1, |_| {});
    let mut client = gateway.session(r#""queue:1""#);
    client.send(0x88, &[0x03, 0xe8]);
    assert_eq!(client.next(), Frame::Close(1000, String::new()));
    assert_eq!(client.next(), Frame::End);
    drop(client);
    gateway.wait_for(|stats| stats.sessions == 0 && stats.connections == 0);
}

#[test]
fn the_unix_socket_serves_and_goes_with_the_drain() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("push.sock");
    let gateway = Gateway::start(2, |config| {
        config.tcp = None;
        config.unix = Some(path.clone());
    });
    let mut client = Client::connect_unix(&path);
    client.shake_hands();
    client.say(r#"{"type":"hello","token":"agent-1","views":["queue:1"]}"#);
    client.expect("welcome");
    gateway.log.commit(1, 1, 0);
    assert_eq!(client.events(1), [1]);
    drop(client);
    run(gateway.engine.drain(0, 0));
    assert!(!path.exists());
}

#[test]
fn an_upgraded_connection_is_taken_over_with_what_was_read() {
    let gateway = Gateway::start(2, |config| config.tcp = None);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let (served, remote) = listener.accept().unwrap();
    let mut hello = Client::new(std::io::Cursor::new(Vec::new()));
    hello.say(r#"{"type":"hello","token":"agent-1","views":["queue:1"]}"#);
    let hello = hello.stream.into_inner();
    let (early, late) = hello.split_at(20);
    gateway.engine.hub().adopt(Handover {
        stream: HandoverStream::Tcp(served),
        leftover: Bytes::copy_from_slice(early),
        remote: remote.ip(),
        peer: remote.ip(),
        via: Via::Api,
    });
    let mut client = Client::new(stream);
    std::io::Write::write_all(&mut client.stream, late).unwrap();
    client.expect("welcome");
    gateway.log.commit(1, 1, 0);
    assert_eq!(client.events(1), [1]);
}

#[test]
fn drain_tells_then_closes_evenly_then_stops() {
    let gateway = Gateway::start(2, |_| {});
    let address = gateway.engine.tcp_addr().unwrap();
    assert!(gateway.engine.is_running());
    let mut clients: Vec<_> = (0..10).map(|_| gateway.session(r#""queue:1""#)).collect();
    let silent = gateway.connect();
    gateway.wait_for(|stats| stats.sessions == 11);
    std::thread::scope(|scope| {
        let draining = scope.spawn(|| run(gateway.engine.drain(300, 200)));
        for client in &mut clients {
            let drain = client.expect("drain");
            assert_eq!(drain, json!({"type": "drain", "after_ms": 300, "spread_ms": 200}));
        }
        // They go on until they are closed.
        gateway.log.commit(1, 1, 0);
        for client in &mut clients {
            assert_eq!(client.events(1), [1]);
        }
        let closing = std::time::Instant::now();
        for client in &mut clients {
            client.expect_close(4000, "draining");
        }
        assert!(closing.elapsed() > Duration::from_millis(50), "all at once");
        let mut silent = silent;
        silent.expect_close(4000, "draining");
        drop((clients, silent));
        draining.join().unwrap();
    });
    assert!(TcpStream::connect(address).is_err() && !gateway.engine.is_running());
    let stats = gateway.engine.stats();
    assert_eq!((stats.sessions, stats.connections, stats.closed), (0, 0, 11));
}

#[test]
fn a_second_engine_takes_no_share_of_the_address() {
    let gateway = Gateway::start(2, |_| {});
    let address = gateway.engine.tcp_addr().unwrap();
    let config = PushConfig { tcp: Some(address), ..PushConfig::new("second") };
    let second = PushEngine::start(config, PushHub::new(2), gateway.log.clone(), gateway.tokens.clone());
    match second {
        Err(PushError::Tcp { address: told, source }) => {
            assert_eq!((told, source.kind()), (address, std::io::ErrorKind::AddrInUse));
        }
        other => panic!("{other:?}"),
    }
    let mut clients: Vec<_> = (0..8).map(|_| gateway.session(r#""queue:1""#)).collect();
    gateway.log.commit(1, 1, 0);
    for client in &mut clients {
        assert_eq!(client.events(1), [1]);
    }
}

#[test]
fn dropping_the_engine_ends_it() {
    let gateway = Gateway::start(2, |_| {});
    let mut client = gateway.session("");
    drop(gateway);
    assert_eq!(client.next(), Frame::End);
}

fn run(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future);
}
