//! kill -9 of the real gateway under full write load, over and over: whatever was acknowledged is
//! there, once, in order, on disk and on every screen.
//!
//! `WAGGLE_CRASHES` says how often (100).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod author;
mod gateway;
mod screen;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use author::{Acknowledged, Author, Shared};
use gateway::Gateway;
use screen::Screen;
use waggle_client::View;
use waggle_core::id::{QueueId, TenantId};
use waggle_gateway::store::{SqliteStore, Store};

const AUTHORS: u64 = 16;
const SETTLE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_or_doubled() {
    let crashes: u32 = std::env::var("WAGGLE_CRASHES").map_or(100, |text| text.parse().expect("a number"));
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut gateway = Gateway::start(folder.path(), None).await;
    let shared = Arc::new(Shared::new(&gateway));
    let screens =
        [View::Tenant, View::Queue(QueueId(1)), View::Mine].map(|view| (view, Screen::open(&gateway, view)));
    let authors: Vec<_> = (0..AUTHORS).map(|seed| tokio::spawn(Author::new(seed, &shared).run())).collect();

    let mut random = 0x5eed_u64;
    for crash in 0..crashes {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Long enough to be in the middle of things, short enough to have many middles.
        tokio::time::sleep(Duration::from_millis(30 + (random >> 33) % 170)).await;
        let acknowledged_before = shared.acknowledged();
        gateway.kill();
        gateway = Gateway::start(folder.path(), Some(&gateway)).await;
        wait_until(|| shared.acknowledged() > acknowledged_before, "commands are taken after a restart")
            .await;
        if crash % 10 == 9 {
            check_screens(&shared, &screens).await;
        }
    }
    shared.stop();
    for author in authors {
        author.await.unwrap();
    }
    check_screens(&shared, &screens).await;
    gateway.kill();
    check_log(folder.path(), &shared).await;
    println!("{crashes} crashes, {} commands acknowledged", shared.acknowledged());
}

async fn wait_until(what: impl Fn() -> bool, name: &str) {
    let started = Instant::now();
    while !what() {
        assert!(started.elapsed() < SETTLE, "{name}: not within {SETTLE:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Every screen has what was acknowledged and belongs there, as it was acknowledged, once, in order.
async fn check_screens(shared: &Shared, screens: &[(View, Screen); 3]) {
    let acknowledged = shared.snapshot();
    let last = acknowledged.iter().map(|answer| answer.offset).max().unwrap_or(0);
    let tenant = &screens[0].1;
    wait_until(|| tenant.shown().keys().next_back() >= Some(&last), "the tenant view catches up").await;
    let all = tenant.shown();
    let offsets: Vec<u64> = all.keys().copied().collect();
    let wanted: Vec<u64> = (1..=offsets.len() as u64).collect();
    assert_eq!(offsets, wanted, "the tenant view has no gap");
    for answer in &acknowledged {
        assert_eq!(all.get(&answer.offset), Some(&answer.event), "acknowledged and shown are the same");
    }
    for (view, screen) in &screens[1..] {
        let wanted = screen::expected(*view, &all);
        let newest = wanted.keys().next_back();
        wait_until(|| screen.shown().keys().next_back() >= newest, "a view catches up").await;
        let mut shown = screen.shown();
        // Events that came after the tenant view was looked at.
        shown.retain(|offset, _| *offset <= offsets.len() as u64);
        assert_eq!(shown.len(), wanted.len(), "{view} has what belongs to it and no more");
        assert!(shown == wanted, "{view} shows other events than its own");
    }
    let problems: Vec<String> = screens.iter().flat_map(|(_, screen)| screen.problems()).collect();
    assert!(problems.is_empty(), "{problems:?}");
}

/// The database alone, with no gateway running.
async fn check_log(folder: &std::path::Path, shared: &Shared) {
    let store = SqliteStore::open(&folder.join("waggle.db")).await.unwrap();
    let log = store.events_after(TenantId(1), waggle_core::id::Offset(0), u32::MAX >> 1).await.unwrap();
    let acknowledged: BTreeMap<u64, Acknowledged> =
        shared.snapshot().into_iter().map(|answer| (answer.offset, answer)).collect();
    assert_eq!(acknowledged.len(), shared.keys_used(), "each key has one effect");
    assert_eq!(log.len(), acknowledged.len(), "nothing is in the log that no key asked for");
    let mut versions: BTreeMap<u64, u32> = BTreeMap::new();
    for (event, offset) in log.iter().zip(1..) {
        assert_eq!(event.offset.0, offset, "offsets have no gaps");
        let version = versions.entry(event.ticket.0).or_insert(0);
        *version += 1;
        assert_eq!(event.version.0, *version, "versions have no gaps");
    }
    for (ticket, version) in versions {
        let row = store.ticket(TenantId(1), waggle_core::id::TicketId(ticket)).await.unwrap().unwrap();
        assert_eq!(row.version.0, version, "the ticket is the fold of its events");
    }
    let texts: BTreeSet<&str> =
        log.iter().filter(|event| event.data.contains("once:")).map(|event| event.data.as_str()).collect();
    let with_text = log.iter().filter(|event| event.data.contains("once:")).count();
    assert_eq!(texts.len(), with_text, "no text twice");
}
