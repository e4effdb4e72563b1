//! What must hold.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::thread;

use tokio::runtime::Runtime;

use crate::gateway::Gateway;
use crate::place::Place;
use crate::raw::{Frame, Raw};
use crate::screen::Screen;

/// What a client may have unread (512 KiB), and the one frame that may go beyond it.
const UNREAD_MOST: u64 = 512 * 1024 + 200 * 1024;
/// What must not be accepted for a reader that has stopped.
const FLOOD_BYTES: u64 = 256 * 1024 * 1024;
const TEXT_BYTES: usize = 64_000;

const REDIRECTED: &str = "waggle_redirect_connections_total{outcome=\"redirected\"}";

#[test]
fn sessions_get_everything_once_and_in_order_until_the_drain() {
    let Some(place) = Place::take("redirect: once and in order") else { return };
    let (folder, runtime) = (tempfile::tempdir().unwrap(), Runtime::new().unwrap());
    let mut gateway = Gateway::start(&place, folder.path(), None);
    let screens: Vec<_> = (0..20).map(|_| Screen::open(runtime.handle(), &gateway)).collect();
    let mut stopped = Raw::connect(&gateway);
    let newest = (0..200).map(|number| gateway.create(1 + number * 37)).max().unwrap();
    gateway.wait_for("not all screens have all", |_| screens.iter().all(|screen| screen.has(newest)));
    // Who comes before the first event comes once; others come again for the log's beginning.
    assert!((21..=41).contains(&gateway.metric(REDIRECTED)), "{}", gateway.metric(REDIRECTED));
    assert!(gateway.metric("waggle_redirect_messages_total") > 20 * 100);
    assert!(gateway.metric("waggle_redirect_bytes_total") > 20 * 200 * 37 * 100);
    for outcome in ["missed", "full"] {
        assert_eq!(gateway.metric(&format!("waggle_redirect_connections_total{{outcome=\"{outcome}\"}}")), 0);
    }

    // Of their paths the kernel knows nothing; their latency is that of the answers to pings.
    gateway.become_administrator(folder.path());
    let rows =
        || gateway.ask("GET", "/v1/push/sessions?limit=100", "")["sessions"].as_array().unwrap().clone();
    for row in rows() {
        assert_eq!(
            (&row["redirect"]["way"], row["network"].is_null()),
            (&"redirected".into(), true),
            "{row}"
        );
    }
    let measured = |_: &Gateway| rows().iter().filter(|row| row["redirect"]["ack_us"].is_u64()).count() >= 20;
    gateway.wait_for("no latency is measured", measured);

    // The drain's message and its close come through, and the process ends well though one never reads them.
    gateway.terminate();
    while !matches!(stopped.next(), Frame::Close | Frame::End) {}
    drop(stopped);
    assert!(gateway.wait_end().success());
    screens.iter().for_each(|screen| screen.check(newest));
}

#[test]
fn a_reader_that_has_stopped_is_not_given_256_mib() {
    let Some(place) = Place::take("redirect: a stopped reader") else { return };
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(&place, folder.path(), None);
    let mut honest = Raw::connect(&gateway);
    let mut liar = Raw::connect(&gateway);
    assert_eq!(gateway.metric(REDIRECTED), 2);
    let mut newest = 0;
    for number in 0..FLOOD_BYTES / TEXT_BYTES as u64 {
        newest = gateway.create(TEXT_BYTES);
        // It acknowledges what it has been told of, and reads nothing.
        if number > 0 && number < 8 {
            liar.ack(newest - 1);
        }
    }
    let taken = gateway.metric("waggle_redirect_bytes_total");
    assert!(taken > 2 * 256 * 1024 && taken < 2 * UNREAD_MOST, "{taken} bytes");
    let (unread, most) = (liar.drain() as u64, UNREAD_MOST);
    assert!(unread > 0 && unread < most, "{unread} bytes");

    // Who reads on, and answers, misses nothing.
    let mut next = 1;
    while next <= newest {
        match honest.next() {
            Frame::Text(text) if text["type"] == "event" => {
                assert_eq!(text["offset"].as_u64(), Some(next));
                honest.ack(next);
                next += 1;
            }
            Frame::Text(mark) => honest.ack(mark["offset"].as_u64().unwrap()),
            Frame::Ping(payload) => assert!(honest.send(0x8a, &payload)),
            other => panic!("{other:?} after {next}"),
        }
    }
}

#[test]
fn a_killed_gateway_loses_and_doubles_nothing() {
    let Some(place) = Place::take("redirect: a killed gateway") else { return };
    let (folder, runtime) = (tempfile::tempdir().unwrap(), Runtime::new().unwrap());
    let mut gateway = Gateway::start(&place, folder.path(), None);
    let screens: Vec<_> = (0..10).map(|_| Screen::open(runtime.handle(), &gateway)).collect();
    for _ in 0..3 {
        (0..30).for_each(|_| _ = gateway.create(3_000));
        gateway.wait_for("not all have come", |gateway| gateway.metric(REDIRECTED) >= 10);
        // What waits in its clients' queues goes with it.
        gateway.kill();
        gateway = Gateway::start(&place, folder.path(), Some(&gateway));
    }
    gateway.wait_for("not all have come back", |gateway| gateway.metric(REDIRECTED) >= 10);
    let newest = gateway.create(10);
    gateway.wait_for("not all screens have all", |_| screens.iter().all(|screen| screen.has(newest)));
    screens.iter().for_each(|screen| screen.check(newest));
}

#[test]
fn a_killed_client_costs_the_others_nothing() {
    let Some(place) = Place::take("redirect: a killed client") else { return };
    let (folder, runtime) = (tempfile::tempdir().unwrap(), Runtime::new().unwrap());
    let gateway = Gateway::start(&place, folder.path(), None);
    let screens: Vec<_> = (0..5).map(|_| Screen::open(runtime.handle(), &gateway)).collect();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "cases::a_client_that_will_be_killed", "--nocapture"])
        .env(VICTIM, format!("{} {}", gateway.push, gateway.token))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains(LIVE)), "the client does not start");
    gateway.wait_for("it is not there", |gateway| gateway.metric("waggle_push_sessions") == 6);
    // It has something unread when it dies.
    (0..20).for_each(|_| _ = gateway.create(5_000));
    child.kill().unwrap();
    child.wait().unwrap();
    let newest = (0..20).map(|_| gateway.create(5_000)).max().unwrap();
    gateway.wait_for("not all screens have all", |_| screens.iter().all(|screen| screen.has(newest)));
    gateway.wait_for("it is there still", |gateway| gateway.metric("waggle_push_sessions") == 5);
    screens.iter().for_each(|screen| screen.check(newest));
}

const VICTIM: &str = "WAGGLE_REDIRECT_VICTIM";
const LIVE: &str = "a victim is live";

/// Not a test by itself: the process of the one above.
#[test]
fn a_client_that_will_be_killed() {
    let Ok(given) = std::env::var(VICTIM) else { return };
    let mut given = given.split(' ');
    let mut word = || given.next().unwrap().to_owned();
    let (push, token) = (word(), word());
    let _session = Raw::connect_to(push.parse().unwrap(), &token);
    println!("{LIVE}");
    loop {
        thread::park();
    }
}
