//! The follower turn by turn, and the line for automatic replies, each without its thread.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::Connection;
use waggle_core::id::{Offset, QueueId, TenantId, TicketId, Version};
use waggle_core::learn::Mode;
use waggle_core::limits::LEARN_ASKS_MAX;
use waggle_core::right::Rights;
use waggle_core::ticket::{Actor, Authority, Command, Entry, Request};

use super::automatic::{Robot, Trigger};
use super::follower::Follower;
use super::state::Tenants;
use super::{LearnHub, check, digest_of};
use crate::directory::Directory;
use crate::ledger::{Ledger, PublishedBatch, Submission};
use crate::store::{AuditFilter, SqliteStore, Store};

const ACME: TenantId = TenantId(1);
const OTHER: TenantId = TenantId(2);
const SUPPORT: QueueId = QueueId(1);

/// Two tenants with a queue each, and a follower that moves when it is told to.
struct Desk {
    dir: tempfile::TempDir,
    store: Arc<dyn Store>,
    ledger: Ledger,
    hub: LearnHub,
    tenants: Arc<Tenants>,
    follower: Follower,
}

impl Desk {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&dir.path().join("db")).await.unwrap());
        for name in ["acme", "other"] {
            let tenant = store.create_tenant(name).await.unwrap().id;
            store.create_queue(tenant, "support").await.unwrap();
        }
        let directory = Directory::open(store.as_ref()).await.unwrap();
        let hub = LearnHub::new();
        let ledger = Ledger::open(Arc::clone(&store), directory, hub.publisher()).await.unwrap();
        let (tenants, follower) = follower(&dir, &store, &ledger, &hub);
        Self { dir, store, ledger, hub, tenants, follower }
    }

    /// The same gateway, started again.
    fn start_again(&mut self) {
        (self.tenants, self.follower) = follower(&self.dir, &self.store, &self.ledger, &self.hub);
    }

    async fn submit(&self, tenant: TenantId, ticket: Option<TicketId>, command: Command<'_>) -> Arc<Entry> {
        let authority = Authority { actor: Actor::System, rights: Rights::ALL };
        let request = Request { command, expect: None, fence: None };
        let submission = Submission { tenant, authority, ticket, request, key: None };
        self.ledger.submit(submission).await.unwrap().entry
    }

    async fn create(&self, tenant: TenantId, text: &str) -> Arc<Entry> {
        let body = json!({"type": "create", "queue": 1, "subject": "Question", "requester": "kim@example.com",
            "text": text});
        let body = body.to_string();
        self.submit(tenant, None, Request::parse(body.as_bytes()).unwrap().command).await
    }

    async fn teach(&self, tenant: TenantId, teaching: Value) -> Offset {
        let teaching = teaching.to_string();
        let command = Command::Teach { teaching: &teaching };
        self.submit(tenant, Some(TicketId::TENANT), command).await.offset
    }

    /// As many tickets.
    async fn fill(&self, tickets: usize) {
        let all = (0..tickets).map(|number| async move {
            let text = format!("my card {number} does not work");
            self.create(ACME, &text).await;
        });
        futures_util::future::join_all(all).await;
    }

    async fn turn(&mut self, tenant: TenantId) {
        self.follower.catch_up(tenant).await.unwrap();
    }

    async fn settle(&mut self, tenant: TenantId) {
        let head = self.ledger.head(tenant).unwrap().offset;
        while self.tenants.of(tenant).position() < head || self.tenants.of(tenant).folding().is_some() {
            self.turn(tenant).await;
        }
    }

    async fn promoted(&self) -> usize {
        let action = Some("learn.promoted".to_owned());
        let filter = AuditFilter { action, ..AuditFilter::default() };
        self.store.audit_rows(ACME, &filter, None, 10).await.unwrap().len()
    }

    async fn sql(&self, sql: &'static str) {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(self.dir.path().join("db"));
        let mut database = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
        sqlx::query(sql).execute(&mut database).await.unwrap();
    }

    fn mode(&self, tenant: TenantId) -> Mode {
        self.tenants.of(tenant).model.read().mode(SUPPORT)
    }

    async fn is_version(&self, tenant: TenantId, ticket: TicketId, version: u32, within: Duration) -> bool {
        let start = Instant::now();
        loop {
            let row = self.store.ticket(tenant, ticket).await.unwrap().unwrap();
            if row.version == Version(version) || start.elapsed() > within {
                return row.version == Version(version);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn follower(
    dir: &tempfile::TempDir,
    store: &Arc<dyn Store>,
    ledger: &Ledger,
    hub: &LearnHub,
) -> (Arc<Tenants>, Follower) {
    let (tenants, log) = (Arc::<Tenants>::default(), Arc::new(ledger.clone()));
    let folder = dir.path().join("learn");
    let follower = Follower::new(hub.clone(), folder, Arc::clone(store), log, Arc::clone(&tenants));
    (tenants, follower)
}

fn off() -> Value {
    json!({"teach": "mode", "queue": 1, "mode": "off"})
}

fn auto() -> Value {
    json!({"teach": "mode", "queue": 1, "mode": "auto", "precision": 0.9, "per_ticket": 1, "per_hour": 9})
}

#[tokio::test]
async fn the_model_in_force_follows_the_log_while_another_one_is_folded() {
    let mut desk = Desk::new().await;
    desk.fill(800).await;
    desk.settle(ACME).await;
    desk.teach(ACME, json!({"teach": "rollback", "to": 700})).await;
    // One to learn of it, and one to begin.
    desk.turn(ACME).await;
    desk.turn(ACME).await;
    let known = desk.tenants.of(ACME);
    assert!(known.folding().is_some());
    desk.teach(ACME, off()).await;
    let newest = desk.teach(ACME, json!({"teach": "promote"})).await;
    desk.turn(ACME).await;
    assert!(known.folding().is_some(), "it takes longer");
    assert_eq!((desk.mode(ACME), desk.promoted().await), (Mode::Off, 1));
    assert!(known.reached(newest, tokio::time::Instant::now()).await);
    desk.settle(ACME).await;
    assert_eq!((desk.mode(ACME), desk.promoted().await), (Mode::Off, 1), "once, though folded again");
    let cursor = desk.ledger.head(ACME).unwrap();
    assert_eq!(known.position(), cursor.offset);
    let folder = desk.dir.path().join("learn");
    let checked = check(desk.store.as_ref(), &folder, ACME, cursor.epoch).await.unwrap();
    assert_eq!(checked.digest, digest_of(&known.model.read().encode()));
    assert_eq!(desk.tenants.stats.promotions.get(), 1);
}

#[tokio::test]
async fn another_rollback_meanwhile_begins_again() {
    let mut desk = Desk::new().await;
    desk.fill(600).await;
    desk.settle(ACME).await;
    for to in [500, 400, 300] {
        desk.teach(ACME, json!({"teach": "rollback", "to": to})).await;
        desk.turn(ACME).await;
        desk.turn(ACME).await;
    }
    desk.settle(ACME).await;
    let cursor = desk.ledger.head(ACME).unwrap();
    let folder = desk.dir.path().join("learn");
    let checked = check(desk.store.as_ref(), &folder, ACME, cursor.epoch).await.unwrap();
    assert_eq!(checked.digest, digest_of(&desk.tenants.of(ACME).model.read().encode()));
}

#[tokio::test]
async fn a_model_decides_nothing_before_it_has_read_the_log() {
    let mut desk = Desk::new().await;
    desk.fill(300).await;
    desk.teach(ACME, off()).await;
    desk.turn(ACME).await;
    let known = desk.tenants.of(ACME);
    assert!(!known.is_ready() && known.folding().is_some(), "it does not know what it must not do");
    assert!(!known.ready(tokio::time::Instant::now()).await);
    desk.turn(ACME).await;
    assert!(known.is_ready() && known.folding().is_none());
    assert_eq!(desk.mode(ACME), Mode::Off);
    // A log in which nothing has happened is read at once.
    desk.turn(OTHER).await;
    assert!(desk.tenants.of(OTHER).is_ready());
}

#[tokio::test]
async fn a_promotion_gets_its_row_however_late_and_once() {
    const BREAK: &str =
        "CREATE TRIGGER broken BEFORE INSERT ON audit WHEN new.action = 'learn.promoted' BEGIN
        SELECT RAISE(ABORT, 'not now'); END";
    const MEND: &str = "DROP TRIGGER broken";
    let mut desk = Desk::new().await;
    desk.create(ACME, "my card does not work").await;
    desk.sql(BREAK).await;
    desk.teach(ACME, json!({"teach": "promote"})).await;
    desk.settle(ACME).await;
    desk.sql(MEND).await;
    assert_eq!(desk.promoted().await, 0);
    tokio::time::sleep(Duration::from_millis(600)).await;
    for _ in 0..2 {
        desk.follower.look_what_is_due().await;
        assert_eq!(desk.promoted().await, 1, "it is tried again, and no more when it is there");
    }
    // Ended between the promotion and its row: the model has it, in its file and in the log.
    desk.sql(BREAK).await;
    desk.teach(ACME, json!({"teach": "promote"})).await;
    desk.settle(ACME).await;
    desk.sql(MEND).await;
    assert!(desk.tenants.of(ACME).save(&desk.dir.path().join("learn"), ACME).is_some());
    desk.start_again();
    desk.turn(ACME).await;
    desk.follower.look_what_is_due().await;
    assert_eq!(desk.promoted().await, 2, "it is found in the file");
    std::fs::remove_dir_all(desk.dir.path().join("learn")).unwrap();
    desk.start_again();
    desk.settle(ACME).await;
    desk.follower.look_what_is_due().await;
    assert_eq!(desk.promoted().await, 2);
    assert_eq!(desk.tenants.stats.promotions.get(), 0, "it is no new one");
}

#[tokio::test]
async fn where_storage_fails_nobody_is_forgotten_who_waits() {
    let mut desk = Desk::new().await;
    desk.create(ACME, "my card does not work").await;
    desk.settle(ACME).await;
    let (tell, told) = tokio::sync::oneshot::channel();
    desk.hub.fold_anew(ACME, tell);
    desk.sql("ALTER TABLE event RENAME TO gone_event").await;
    let news = desk.hub.grown().some().await;
    desk.follower.round(news.clone()).await;
    desk.follower.round(news.clone()).await;
    desk.sql("ALTER TABLE gone_event RENAME TO event").await;
    tokio::time::sleep(Duration::from_millis(250)).await;
    desk.follower.look_what_is_due().await;
    assert_eq!(desk.hub.grown().some().await, news, "it comes again by itself");
    for _ in 0..3 {
        desk.turn(ACME).await;
    }
    assert_eq!(told.await.unwrap().after, digest_of(&desk.tenants.of(ACME).model.read().encode()));
}

#[tokio::test]
async fn nobody_is_forgotten_while_a_file_may_have_him() {
    let mut desk = Desk::new().await;
    desk.create(ACME, "my card does not work").await;
    desk.settle(ACME).await;
    let file = desk.dir.path().join("learn/1.model");
    // Nothing can be put in its place, and it cannot be overwritten.
    std::fs::create_dir_all(file.join("in the way")).unwrap();
    let (tell, mut told) = tokio::sync::oneshot::channel();
    desk.hub.fold_anew(ACME, tell);
    desk.turn(ACME).await;
    let folds = desk.tenants.stats.folds.get();
    for _ in 0..3 {
        desk.turn(ACME).await;
        desk.follower.look_what_is_due().await;
    }
    assert!(told.try_recv().is_err(), "it is not done");
    assert_eq!(desk.tenants.stats.folds.get(), folds, "only the file is tried again");
    std::fs::remove_dir_all(&file).unwrap();
    desk.follower.look_what_is_due().await;
    let digest = digest_of(&desk.tenants.of(ACME).model.read().encode());
    let forgotten = told.await.unwrap();
    assert_eq!((forgotten.before.as_ref(), &forgotten.after), (Some(&digest), &digest), "nobody was erased");
    assert!(file.is_file());
}

#[tokio::test]
async fn a_model_that_has_read_a_part_of_its_log_is_no_proof() {
    let mut desk = Desk::new().await;
    desk.fill(300).await;
    desk.turn(ACME).await;
    assert!(!desk.tenants.of(ACME).is_ready());
    let (tell, told) = tokio::sync::oneshot::channel();
    desk.hub.fold_anew(ACME, tell);
    desk.settle(ACME).await;
    let forgotten = told.await.unwrap();
    let digest = digest_of(&desk.tenants.of(ACME).model.read().encode());
    assert_eq!((forgotten.before, forgotten.after), (None, digest));
}

/// Somebody who wants a human: the ticket is given back, by a tag and a note.
const HUMAN: &str = "This is ridiculous, I want to speak to a human!";

fn trigger(tenant: TenantId, entry: &Entry) -> Trigger {
    Trigger { tenant, ticket: entry.ticket, message: entry.version, offset: entry.offset }
}

impl Desk {
    fn robot(&self, patience: Duration) -> Arc<Robot> {
        let (store, ledger) = (Arc::clone(&self.store), self.ledger.clone());
        Arc::new(Robot::new(store, ledger, Arc::clone(&self.tenants), patience))
    }

    /// Waits for as many messages to be left to people.
    async fn has_left(&self, messages: u64) {
        let start = Instant::now();
        while self.tenants.stats.left.get() < messages {
            assert!(start.elapsed() < Duration::from_secs(10), "it is not left to people");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(self.tenants.stats.left.get(), messages);
    }
}

#[tokio::test]
async fn a_tenant_whose_model_is_behind_takes_no_place_from_others() {
    let mut desk = Desk::new().await;
    for tenant in [ACME, OTHER] {
        desk.teach(tenant, auto()).await;
        desk.settle(tenant).await;
    }
    let robot = desk.robot(Duration::from_secs(20));
    let (behind, other) = (desk.create(ACME, HUMAN).await, desk.create(OTHER, HUMAN).await);
    for _ in 0..1_000 {
        robot.take(trigger(ACME, &behind));
    }
    desk.settle(OTHER).await;
    robot.take(trigger(OTHER, &other));
    assert!(desk.is_version(OTHER, other.ticket, 3, Duration::from_secs(10)).await);
    assert!(desk.is_version(ACME, behind.ticket, 1, Duration::ZERO).await);
    desk.settle(ACME).await;
    assert!(desk.is_version(ACME, behind.ticket, 3, Duration::from_secs(10)).await);
}

#[tokio::test]
async fn nothing_is_sent_before_all_that_counts_is_learned() {
    let mut desk = Desk::new().await;
    desk.teach(ACME, auto()).await;
    let asked = desk.create(ACME, HUMAN).await;
    desk.settle(ACME).await;
    // Its message is learned. What came since is not: it may be a reply that counts, or that the mode is off.
    desk.create(ACME, "something else").await;
    let robot = desk.robot(Duration::from_millis(100));
    robot.take(trigger(ACME, &asked));
    desk.has_left(1).await;
    assert!(desk.is_version(ACME, asked.ticket, 1, Duration::ZERO).await, "it is left to people");
    desk.settle(ACME).await;
    robot.take(trigger(ACME, &asked));
    assert!(desk.is_version(ACME, asked.ticket, 3, Duration::from_secs(10)).await);
}

#[tokio::test]
async fn nothing_is_sent_while_the_model_has_what_was_taken_back() {
    let mut desk = Desk::new().await;
    desk.fill(600).await;
    desk.teach(ACME, auto()).await;
    let asked = desk.create(ACME, HUMAN).await;
    desk.settle(ACME).await;
    desk.teach(ACME, json!({"teach": "rollback", "to": 100})).await;
    desk.turn(ACME).await;
    let known = desk.tenants.of(ACME);
    let head = desk.ledger.head(ACME).unwrap().offset;
    assert!(known.position() == head && known.is_superseded(), "it has read it, and another one is folded");
    let robot = desk.robot(Duration::from_secs(10));
    robot.take(trigger(ACME, &asked));
    desk.has_left(1).await;
    assert!(desk.is_version(ACME, asked.ticket, 1, Duration::ZERO).await);
    desk.settle(ACME).await;
    assert!(!known.is_superseded());
    robot.take(trigger(ACME, &asked));
    assert!(desk.is_version(ACME, asked.ticket, 3, Duration::from_secs(10)).await);
}

#[tokio::test]
async fn messages_whose_reply_fails_or_that_find_no_room_are_counted() {
    let mut desk = Desk::new().await;
    desk.teach(ACME, auto()).await;
    let asked = desk.create(ACME, HUMAN).await;
    desk.settle(ACME).await;
    desk.sql("ALTER TABLE event RENAME TO gone_event").await;
    desk.robot(Duration::from_secs(10)).take(trigger(ACME, &asked));
    desk.has_left(1).await;
    let batch = PublishedBatch { tenant: ACME, entries: vec![asked; LEARN_ASKS_MAX] };
    desk.hub.publisher().publish(&Arc::new(batch));
    // The first one is there from when it was written.
    assert_eq!(Vec::from_iter(desk.hub.lost()), [((ACME, SUPPORT), 1)]);
    assert!(desk.hub.lost().is_empty());
}
