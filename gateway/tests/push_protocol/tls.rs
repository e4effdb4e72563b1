//! Push connections under TLS.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned};
use waggle_gateway::tls::Tls;

use crate::harness::{Client, Frame, Gateway, HANDSHAKE, PATIENCE};

/// A certificate in files, and whoever trusts it.
struct Authority {
    dir: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn files(&self) -> (PathBuf, PathBuf) {
        (self.dir.path().join("tls.crt"), self.dir.path().join("tls.key"))
    }

    /// New files, and a client that trusts them alone.
    fn renew(&self) -> Arc<ClientConfig> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (certificate, key) = self.files();
        std::fs::write(certificate, made.cert.pem()).unwrap();
        std::fs::write(key, made.signing_key.serialize_pem()).unwrap();
        trusting(made.cert.der().clone())
    }

    fn open(&self) -> Tls {
        let (certificate, key) = self.files();
        Tls::open(&certificate, &key).unwrap()
    }
}

fn trusting(certificate: CertificateDer<'static>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(config.with_root_certificates(roots).with_no_client_auth())
}

type TlsStream = StreamOwned<ClientConnection, TcpStream>;

fn connect(gateway: &Gateway, config: &Arc<ClientConfig>) -> TlsStream {
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::clone(config), name).unwrap();
    StreamOwned::new(connection, gateway.tcp())
}

fn session(gateway: &Gateway, config: &Arc<ClientConfig>, hello: &str) -> Client<TlsStream> {
    let mut client = Client::new(connect(gateway, config));
    client.shake_hands();
    client.say(&format!(r#"{{"type":"hello","token":"agent-1",{hello}}}"#));
    client.expect("welcome");
    client
}

fn start(authority: &Authority) -> (Gateway, Tls) {
    let tls = authority.open();
    let of = tls.clone();
    (Gateway::start(2, move |config| config.tls = Some(of)), tls)
}

#[test]
fn sessions_are_served_resumed_and_closed_in_order() {
    let authority = Authority::new();
    let trusted = authority.renew();
    let (gateway, _) = start(&authority);
    let mut client = session(&gateway, &trusted, r#""views":["tenant"]"#);
    gateway.log.commit(1, 3, 10);
    assert_eq!(client.events(3), [1, 2, 3]);
    gateway.log.commit(1, 1, 50_000);
    assert_eq!(client.expect("event")["data"]["text"].as_str().unwrap().len(), 50_000);
    client.say(r#"{"type":"subscribe","id":"s","views":[]}"#);
    client.expect("result");
    client.say(r#"{"type":"nonsense"}"#);
    // Its end is a close_notify: a cut would be an error of the reader's.
    client.expect_close(4201, "unknown message type");

    let resume = format!(r#""views":["tenant"],"resume":{{"epoch":"{:016x}","offset":2}}"#, 0xabc);
    let mut again = session(&gateway, &trusted, &resume);
    assert_eq!(again.events(2), [3, 4]);
    assert_eq!(again.stream.conn.handshake_kind(), Some(HandshakeKind::Resumed), "tickets are taken back");
}

#[test]
fn a_reader_that_stops_is_bounded_and_gets_everything_when_it_reads_on() {
    let authority = Authority::new();
    let trusted = authority.renew();
    let (gateway, _) = start(&authority);
    let mut slow = session(&gateway, &trusted, r#""views":["tenant"],"window":4194304"#);
    let mut brisk = session(&gateway, &trusted, r#""views":["tenant"],"window":4194304"#);
    let count = 66;
    for number in 1..=count {
        gateway.log.commit(1, 1, 60_000);
        assert_eq!(brisk.events(1), [number]);
    }
    assert_eq!(slow.events(count as usize), (1..=count).collect::<Vec<_>>());
    slow.ack(count);
    gateway.log.commit(1, 1, 1);
    assert_eq!(slow.events(1), [count + 1]);
}

#[test]
fn a_new_certificate_serves_new_connections_and_leaves_the_old() {
    let authority = Authority::new();
    let first = authority.renew();
    let (gateway, tls) = start(&authority);
    let mut old = session(&gateway, &first, r#""views":["tenant"]"#);
    let second = authority.renew();
    assert!(tls.reload().unwrap());
    let mut new = session(&gateway, &second, r#""views":["tenant"]"#);
    gateway.log.commit(1, 1, 0);
    assert_eq!((old.events(1), new.events(1)), (vec![1], vec![1]));
    // Nobody who trusts the first one only is served any more. Its tickets would still be.
    let fresh = authority.renew();
    tls.reload().unwrap();
    let mut stranger = connect(&gateway, &second_without_tickets(&second));
    assert!(stranger.write_all(HANDSHAKE.as_bytes()).is_err());
    session(&gateway, &fresh, r#""views":[]"#);
}

fn second_without_tickets(config: &Arc<ClientConfig>) -> Arc<ClientConfig> {
    let mut config = ClientConfig::clone(config);
    config.resumption = rustls::client::Resumption::disabled();
    Arc::new(config)
}

#[test]
fn who_does_not_speak_tls_is_ended_and_who_says_nothing_as_well() {
    let authority = Authority::new();
    authority.renew();
    let tls = authority.open();
    let gateway = Gateway::start(1, move |config| {
        config.tls = Some(tls);
        config.hello_ms = 300;
    });
    let mut plain = gateway.tcp();
    plain.write_all(HANDSHAKE.as_bytes()).unwrap();
    let mut answer = Vec::new();
    plain.read_to_end(&mut answer).unwrap();
    // An alert record: fatal.
    assert_eq!(answer.get(..2).map(|head| head[0]), Some(21), "{answer:?}");
    let mut silent = gateway.tcp();
    silent.set_read_timeout(Some(PATIENCE)).unwrap();
    silent.write_all(&[0x16, 3, 1]).unwrap();
    let mut answer = Vec::new();
    silent.read_to_end(&mut answer).unwrap();
    gateway.wait_for(|stats| stats.connections == 0 && stats.handshakes_failed == 2);
}

#[test]
fn a_drain_tells_and_closes_under_tls() {
    let authority = Authority::new();
    let trusted = authority.renew();
    let (gateway, _) = start(&authority);
    let mut client = session(&gateway, &trusted, r#""views":["tenant"]"#);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let draining = std::thread::spawn(move || {
        runtime.block_on(gateway.engine.drain(50, 50));
    });
    assert_eq!(client.expect("drain")["spread_ms"], 50);
    client.expect_close(4000, "draining");
    draining.join().unwrap();
}

#[test]
fn many_at_once() {
    let authority = Authority::new();
    let trusted = authority.renew();
    let (gateway, _) = start(&authority);
    let mut clients: Vec<_> = (0..60).map(|_| session(&gateway, &trusted, r#""views":["tenant"]"#)).collect();
    for number in 1..=20 {
        gateway.log.commit(1, 1, 3_000);
        for client in &mut clients {
            assert_eq!(client.events(1), [number]);
        }
    }
    for client in &mut clients {
        client.stream.sock.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        client.send(0x88, &1000_u16.to_be_bytes());
        assert!(matches!(client.next(), Frame::Close(1000, _)));
    }
}
