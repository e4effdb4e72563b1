//! What every store must do, run against each adapter.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::sync::Arc;

use waggle_core::id::{AgentId, Fence, Offset, QueueId, TenantId, TicketId, Version};
use waggle_core::ledger::{Admitted, Assembler, Slot, Written};
use waggle_core::limits::{LOGIN_DEVICES_MAX, LOGIN_SESSIONS_MAX};
use waggle_core::right::Rights;
use waggle_core::ticket::{
    Actor, Authority, Cell, Command, Expect, Lifecycles, NewEvent, Request, Status, StatusSet,
};
use waggle_core::time::Timestamp;
use waggle_gateway::store::{
    AuditActor, AuditEntry, AuditFault, AuditFilter, AuditHead, AuditStore, CommitEvent, EventKinds,
    IdentityRow, Keep, KeyRecord, Method, NewSession, PasswordKind, PasswordRow, Scope, Seen, SqliteStore,
    Store, StoreError, TenantRow, TicketFilter, verify_audit,
};

async fn sqlite(folder: &Path) -> SqliteStore {
    SqliteStore::open(&folder.join("waggle.db")).await.unwrap()
}

/// Turns commands into commits, as the ledger does.
struct Book {
    tenant: TenantId,
    assembler: Assembler<Option<KeyRecord>>,
    slots: Vec<(TicketId, Arc<Slot>)>,
    pending: Vec<(Option<String>, Option<String>, Option<TicketId>)>,
}

const ANA: Authority = Authority { actor: Actor::Agent(AgentId(1)), rights: Rights::AGENT };

impl Book {
    fn new(tenant: &TenantRow) -> Self {
        let assembler = Assembler::new([(tenant.id, Offset(0))]);
        Self { tenant: tenant.id, assembler, slots: Vec::new(), pending: Vec::new() }
    }

    fn submit(&mut self, ticket: u64, json: &str, key: Option<&str>) {
        let request = Request::parse(json.as_bytes()).unwrap();
        let lifecycles = Lifecycles::built_in();
        let ticket = TicketId(ticket);
        let at = Timestamp(1_000 + self.assembler.len() as u64);
        let (slot, event) = match request.command {
            Command::Create { .. } => {
                let event = NewEvent::created(&lifecycles, ticket, &request.command, ANA.actor, at).unwrap();
                let cell = Cell::new(event.version, event.status, event.fence, None);
                let queue = event.queue.unwrap();
                let written = Written { queue, ..Written::default() };
                self.slots.push((ticket, Arc::new(Slot::new(cell, written))));
                (Arc::clone(&self.slots.last().unwrap().1), event)
            }
            command => {
                let slot = Arc::clone(&self.slots.iter().find(|(id, _)| *id == ticket).unwrap().1);
                let intent = command.intent(&lifecycles, slot.cell.load().status()).unwrap().unwrap();
                let reserved =
                    slot.cell.reserve(&lifecycles, ANA, Expect::Any, request.fence, intent).unwrap();
                let event =
                    NewEvent::admitted(&lifecycles, ticket, &command, &reserved.transition, ANA.actor, at)
                        .unwrap();
                (slot, event)
            }
        };
        let (subject, requester, follow_up_of) = match request.command {
            Command::Create { subject, requester, follow_up_of, .. } => {
                (Some(subject.decode().into_owned()), Some(requester.decode().into_owned()), follow_up_of)
            }
            Command::Set { subject, .. } => {
                (subject.map(|subject| subject.decode().into_owned()), None, None)
            }
            _ => (None, None, None),
        };
        let key =
            key.map(|key| KeyRecord { caller: ANA.actor, key: key.to_owned(), fingerprint: u64::MAX - 7 });
        self.pending.push((subject, requester, follow_up_of));
        self.assembler.offer(Admitted { tenant: self.tenant, slot, event, caller: key, with: None });
    }

    fn batch(&mut self) -> Vec<CommitEvent> {
        let texts = std::mem::take(&mut self.pending);
        let placed = self.assembler.take();
        placed
            .into_iter()
            .zip(texts)
            .map(|(placed, (subject, requester, follow_up_of))| CommitEvent {
                tenant: placed.admitted.tenant,
                offset: placed.entry.offset,
                event: placed.admitted.event,
                route: placed.entry.route,
                followers: placed.entry.followers.clone(),
                previous: placed.previous,
                subject,
                requester,
                follow_up_of,
                key: placed.admitted.caller,
            })
            .collect()
    }
}

fn create(queue: u32, subject: &str) -> String {
    format!(
        r#"{{"type":"create","queue":{queue},"subject":{},"requester":"r@example.com","text":"help\n\u00e9"}}"#,
        serde_json::to_string(subject).unwrap()
    )
}

async fn furnished(store: &dyn Store) -> TenantRow {
    let tenant = store.create_tenant("acme").await.unwrap();
    for name in ["support", "billing"] {
        store.create_queue(tenant.id, name).await.unwrap();
    }
    store.create_agent(tenant.id, "ana").await.unwrap();
    tenant
}

async fn a_batch_is_there_whole(store: &dyn Store) {
    let tenant = furnished(store).await;
    let mut book = Book::new(&tenant);
    book.submit(1, &create(1, "card \"lost\" \u{1f41d}"), Some("k1"));
    book.submit(1, r#"{"type":"claim"}"#, None);
    book.submit(2, &create(2, "other"), None);
    book.submit(1, r#"{"type":"set","queue":2,"priority":"urgent","subject":"Card lost","fence":1}"#, None);
    let first = book.batch();
    store.commit(&first).await.unwrap();
    book.submit(2, r#"{"type":"move","to":"solved"}"#, Some("k2"));
    book.submit(1, r#"{"type":"reply","text":"done","status":"pending","fence":1}"#, None);
    book.submit(1, r#"{"type":"release","fence":1}"#, None);
    let second = book.batch();
    store.commit(&second).await.unwrap();

    let row = store.ticket(tenant.id, TicketId(1)).await.unwrap().unwrap();
    assert_eq!((row.subject.as_str(), row.requester.as_str()), ("Card lost", "r@example.com"));
    assert_eq!((row.queue, row.assignee, row.version, row.fence), (QueueId(2), None, Version(5), Fence(1)));
    assert_eq!(
        (row.priority.name(), row.created_at, row.updated_at),
        ("urgent", Timestamp(1_000), Timestamp(1_002))
    );

    let head = store.heads().await.unwrap().into_iter().find(|head| head.tenant == tenant.id).unwrap();
    assert_eq!((head.cursor.offset, head.cursor.epoch, head.ticket), (Offset(7), tenant.epoch, TicketId(2)));

    let log = store.events_after(tenant.id, Offset(0), 100).await.unwrap();
    let committed: Vec<&CommitEvent> = first.iter().chain(&second).collect();
    assert_eq!(log.len(), committed.len());
    for (stored, event) in log.iter().zip(committed) {
        assert_eq!(
            (stored.offset, stored.ticket, stored.version),
            (event.offset, event.event.ticket, event.event.version)
        );
        assert_eq!(
            (stored.kind, stored.actor, stored.at, stored.route),
            (event.event.kind, ANA.actor, event.event.at, event.route)
        );
        assert_eq!(stored.data.as_bytes(), event.event.data, "data comes back byte for byte");
    }
    let texts = store.ticket_events(tenant.id, TicketId(1), Version(1), 9, EventKinds::Texts).await.unwrap();
    assert_eq!(texts.iter().map(|event| event.version.0).collect::<Vec<_>>(), [4]);
    let all = store.ticket_events(tenant.id, TicketId(1), Version(1), 2, EventKinds::All).await.unwrap();
    assert_eq!(all.iter().map(|event| event.version.0).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(store.events_after(tenant.id, Offset(5), 1).await.unwrap().len(), 1);

    let (event, fingerprint) = store.event_by_key(tenant.id, ANA.actor, "k2").await.unwrap().unwrap();
    assert_eq!((event.offset, fingerprint), (Offset(5), u64::MAX - 7));
    assert!(store.event_by_key(tenant.id, Actor::Agent(AgentId(2)), "k2").await.unwrap().is_none());
    assert!(store.event_by_key(TenantId(99), ANA.actor, "k2").await.unwrap().is_none());
}

async fn a_conflict_leaves_nothing(store: &dyn Store) {
    let tenant = furnished(store).await;
    let mut book = Book::new(&tenant);
    book.submit(1, &create(1, "one"), None);
    store.commit(&book.batch()).await.unwrap();
    book.submit(2, &create(1, "two"), Some("k"));
    book.submit(1, r#"{"type":"note","text":"n"}"#, None);
    let good = book.batch();

    let mut stale = good.clone();
    stale[1].event.version = Version(7);
    assert!(matches!(store.commit(&stale).await, Err(StoreError::VersionConflict(_))));
    let mut gap = good.clone();
    gap.iter_mut().for_each(|event| event.offset = event.offset.next());
    assert!(matches!(store.commit(&gap).await, Err(StoreError::VersionConflict(_))));
    assert_eq!(store.events_after(tenant.id, Offset(0), 9).await.unwrap().len(), 1);
    assert!(store.ticket(tenant.id, TicketId(2)).await.unwrap().is_none());

    store.commit(&good).await.unwrap();
    assert!(store.commit(&good).await.is_err(), "the same batch twice");
    book.submit(1, r#"{"type":"note","text":"again"}"#, Some("k"));
    assert!(store.commit(&book.batch()).await.is_err(), "a key twice");
    assert_eq!(store.events_after(tenant.id, Offset(0), 9).await.unwrap().len(), 3);
}

async fn lists_filter_and_page(store: &dyn Store) {
    let tenant = furnished(store).await;
    let other = store.create_tenant("other").await.unwrap();
    let mut book = Book::new(&tenant);
    for ticket in 1..=9 {
        book.submit(ticket, &create(1 + (ticket % 2) as u32, "s"), None);
    }
    book.submit(4, r#"{"type":"claim"}"#, None);
    book.submit(6, r#"{"type":"move","to":"pending"}"#, None);
    store.commit(&book.batch()).await.unwrap();
    let ids = async |filter: TicketFilter, before: Option<u64>, limit: u32| {
        let rows = store.tickets(tenant.id, &filter, before.map(TicketId), limit).await.unwrap();
        rows.into_iter().map(|row| row.id.0).collect::<Vec<_>>()
    };
    let status = Some(StatusSet::from(Status::from_index(2)));
    assert_eq!(ids(TicketFilter::default(), None, 3).await, [9, 8, 7]);
    assert_eq!(ids(TicketFilter::default(), Some(3), 9).await, [2, 1]);
    let queue = Some(QueueId(1));
    assert_eq!(ids(TicketFilter { queue, ..Default::default() }, None, 9).await, [8, 6, 4, 2]);
    assert_eq!(ids(TicketFilter { status, ..Default::default() }, None, 9).await, [6]);
    let mine = Some(Some(AgentId(1)));
    assert_eq!(ids(TicketFilter { assignee: mine, ..Default::default() }, None, 9).await, [4]);
    assert_eq!(ids(TicketFilter { assignee: Some(None), queue, status }, None, 9).await, [6]);
    assert!(store.tickets(other.id, &TicketFilter::default(), None, 9).await.unwrap().is_empty());
    assert!(store.ticket(other.id, TicketId(1)).await.unwrap().is_none());
}

async fn the_directory_counts_its_changes(store: &dyn Store) {
    let before = store.directory_revision().await.unwrap();
    let tenant = furnished(store).await;
    let token =
        store.create_token(tenant.id, AgentId(1), Scope::Admin, [7; 32], Some(Timestamp(9))).await.unwrap();
    let rows = store.directory().await.unwrap();
    assert!(rows.revision > before);
    assert_eq!((rows.tenants.len(), rows.queues.len(), rows.agents.len()), (1, 2, 1));
    assert_eq!(rows.tokens.as_slice(), std::slice::from_ref(&token));
    store.revoke_token(tenant.id, token.id).await.unwrap();
    assert!(store.directory_revision().await.unwrap() > rows.revision);
    let rows = store.directory().await.unwrap();
    assert!(rows.tokens.is_empty() && rows.revoked == [token.hash]);
    assert!(matches!(store.revoke_token(tenant.id, token.id).await, Err(StoreError::Missing { .. })));
    let taken = store.create_queue(tenant.id, "support").await.unwrap_err().to_string();
    assert_eq!(taken, r#"a queue named "support" exists already"#);
    assert!(matches!(store.create_tenant("acme").await, Err(StoreError::NameTaken { .. })));
    assert!(matches!(store.create_agent(TenantId(99), "x").await, Err(StoreError::Missing { .. })));
    let nobody = store.create_token(tenant.id, AgentId(99), Scope::Agent, [8; 32], None).await;
    assert!(matches!(nobody, Err(StoreError::Missing { .. })));
}

macro_rules! conformance {
    ($($case:ident),+ $(,)?) => {
        mod on_sqlite {
            $(
                #[tokio::test]
                async fn $case() {
                    let folder = tempfile::tempdir().unwrap();
                    super::$case(&super::sqlite(folder.path()).await).await;
                }
            )+
        }
    };
}

async fn the_audit_log_is_a_chain_for_each_tenant(store: &dyn Store) {
    let (acme, other) =
        (store.create_tenant("acme").await.unwrap().id, store.create_tenant("other").await.unwrap().id);
    let entry = |tenant, actor, action, object: &str| AuditEntry::new(tenant, actor, action, object);
    let ana = AuditActor::Agent(AgentId(1));
    let token = entry(acme, AuditActor::Operator, "token.created", "token:1").with("scope", "agent");
    assert_eq!(store.audit(token).await.unwrap(), 1);
    assert_eq!(store.audit(entry(other, ana, "login.ok", "agent:1")).await.unwrap(), 1);
    for object in ["agent:1", "agent:2"] {
        store.audit(entry(acme, AuditActor::Nobody, "login.failed", object)).await.unwrap();
    }
    store.audit(entry(acme, ana, "login.ok", "agent:1")).await.unwrap();

    let found = async |filter: AuditFilter, before, limit| {
        let rows = store.audit_rows(acme, &filter, before, limit).await.unwrap();
        rows.into_iter().map(|row| row.id).collect::<Vec<_>>()
    };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(found(AuditFilter::default(), None, 3).await, [4, 3, 2]);
    assert_eq!(found(AuditFilter::default(), Some(2), 3).await, [1]);
    assert_eq!(found(AuditFilter { actor: text("agent:1"), ..AuditFilter::default() }, None, 9).await, [4]);
    assert_eq!(
        found(AuditFilter { action: text("login."), ..AuditFilter::default() }, None, 9).await,
        [4, 3, 2]
    );
    let failed =
        AuditFilter { action: text("login.failed"), object: text("agent:2"), ..AuditFilter::default() };
    assert_eq!(found(failed, None, 9).await, [3]);
    assert!(found(AuditFilter { action: text("login"), ..AuditFilter::default() }, None, 9).await.is_empty());
    let first = &store.audit_rows_after(acme, 0, 1).await.unwrap()[0];
    assert_eq!((first.detail.as_str(), first.actor.as_str()), (r#"{"scope":"agent"}"#, "operator"));
    let until = AuditFilter { until: Some(first.at), ..AuditFilter::default() };
    assert!(found(until, None, 9).await.is_empty());
    assert_eq!(found(AuditFilter { from: Some(first.at), ..AuditFilter::default() }, None, 9).await.len(), 4);

    let head = verify_audit(store, acme, None).await.unwrap();
    assert_eq!((head.id, verify_audit(store, acme, Some(head)).await.unwrap()), (4, head));
    let later = AuditHead { id: 5, ..head };
    let shortened = verify_audit(store, acme, Some(later)).await.unwrap_err();
    assert!(matches!(shortened, AuditFault::Shortened { kept: 5, found: 4 }), "{shortened}");
    let replaced = verify_audit(store, acme, Some(AuditHead { id: 4, hash: [1; 32] })).await.unwrap_err();
    assert!(matches!(replaced, AuditFault::Replaced(4)), "{replaced}");
    let missing = store.audit(entry(TenantId(99), ana, "login.ok", "agent:1")).await.unwrap_err();
    assert!(matches!(missing, StoreError::Missing { kind: "tenant", .. }), "{missing}");
}

async fn sessions_end_with_what_they_rest_on(store: &dyn Store) {
    let tenant = furnished(store).await.id;
    let ana = AgentId(1);
    let audit = |action| AuditEntry::new(tenant, AuditActor::Agent(ana), action, "agent:1");
    let session = |byte: u8, device: Option<[u8; 32]>| NewSession {
        tenant,
        agent: ana,
        hash: [byte; 32],
        method: Method::Password,
        client: "a browser".to_owned(),
        idle_ms: 1_000,
        expires_at: Timestamp(u64::MAX >> 1),
        device,
    };
    let before = store.directory_revision().await.unwrap();
    let first = store.open_session(session(1, Some([9; 32])), None, audit("login.ok")).await.unwrap();
    assert!(store.directory_revision().await.unwrap() > before);
    assert!(store.knows_device(tenant, ana, [9; 32]).await.unwrap());
    assert!(!store.knows_device(tenant, AgentId(2), [9; 32]).await.unwrap());
    // One in the place of another.
    let second = store.open_session(session(2, None), Some(first.id), audit("login.ok")).await.unwrap();
    assert_eq!(store.directory().await.unwrap().sessions, std::slice::from_ref(&second));
    // That it was used is no change of the directory.
    let revision = store.directory_revision().await.unwrap();
    let at = Timestamp(second.seen_at.0 + 5_000);
    store.seen(&Seen { sessions: vec![(second.id, at)], tokens: Vec::new() }).await.unwrap();
    store.seen(&Seen { sessions: vec![(second.id, Timestamp(1))], tokens: Vec::new() }).await.unwrap();
    assert_eq!(store.directory().await.unwrap().sessions[0].seen_at, at);
    assert_eq!(store.directory_revision().await.unwrap(), revision);
    assert_eq!(store.end_old_sessions(Timestamp(at.0 + 999)).await.unwrap(), 0);
    assert_eq!(store.end_old_sessions(Timestamp(at.0 + 1_000)).await.unwrap(), 1);
    // A new password ends what there is, but for one.
    let third = store.open_session(session(3, None), None, audit("login.ok")).await.unwrap();
    let fourth = store.open_session(session(4, None), None, audit("login.ok")).await.unwrap();
    let password = || PasswordRow { hash: "$x$".to_owned(), kind: PasswordKind::Temporary };
    let keep = Keep::Session(fourth.id);
    store.set_password(tenant, ana, password(), keep, audit("password.changed")).await.unwrap();
    assert_eq!(store.password(tenant, ana).await.unwrap(), Some(password()));
    assert_eq!(store.password(tenant, AgentId(2)).await.unwrap(), None);
    assert_eq!(store.directory().await.unwrap().sessions, std::slice::from_ref(&fourth));
    assert!(!store.knows_device(tenant, ana, [9; 32]).await.unwrap());
    store.rehash_password(tenant, ana, "$other$", "$y$").await.unwrap();
    assert_eq!(store.password(tenant, ana).await.unwrap(), Some(password()));
    assert!(!store.end_session(tenant, ana, third.id, audit("logout")).await.unwrap());
    assert!(!store.end_session(tenant, AgentId(2), fourth.id, audit("logout")).await.unwrap());
    assert!(store.end_session(tenant, ana, fourth.id, audit("logout")).await.unwrap());
    // What had no effect is not in the audit log.
    let head = verify_audit(store, tenant, None).await.unwrap();
    assert_eq!(head.id, 6);
    let nobody = NewSession { agent: AgentId(99), ..session(5, None) };
    let missing = store.open_session(nobody, None, audit("login.ok")).await.unwrap_err();
    assert!(matches!(missing, StoreError::Missing { kind: "agent", .. }), "{missing}");
    assert_eq!(verify_audit(store, tenant, None).await.unwrap(), head);
}

async fn sessions_and_devices_of_an_agent_are_bounded(store: &dyn Store) {
    let tenant = furnished(store).await.id;
    let hash = |number: u32| {
        let mut hash = [0; 32];
        hash[..4].copy_from_slice(&number.to_be_bytes());
        hash
    };
    for number in 0..=LOGIN_SESSIONS_MAX {
        let session = NewSession {
            tenant,
            agent: AgentId(1),
            hash: hash(number),
            method: Method::Oidc,
            client: String::new(),
            idle_ms: 1_000,
            expires_at: Timestamp(1),
            device: Some(hash(number)),
        };
        let audit = AuditEntry::new(tenant, AuditActor::Agent(AgentId(1)), "login.ok", "agent:1");
        store.open_session(session, None, audit).await.unwrap();
    }
    let sessions = store.directory().await.unwrap().sessions;
    assert_eq!(sessions.len(), LOGIN_SESSIONS_MAX as usize);
    assert!(sessions.iter().all(|session| session.hash != hash(0)), "the oldest has ended");
    let mut known = 0;
    for number in 0..=LOGIN_SESSIONS_MAX {
        known += u32::from(store.knows_device(tenant, AgentId(1), hash(number)).await.unwrap());
    }
    assert_eq!(known, LOGIN_DEVICES_MAX);
    assert!(store.knows_device(tenant, AgentId(1), hash(LOGIN_SESSIONS_MAX)).await.unwrap());
}

async fn identities_belong_to_their_tenant(store: &dyn Store) {
    let tenant = furnished(store).await.id;
    let audit = || AuditEntry::new(tenant, AuditActor::Operator, "identity.linked", "agent:1");
    let row = |agent: u32| IdentityRow {
        tenant,
        issuer: "https://id.example".to_owned(),
        subject: "u-1".to_owned(),
        agent: AgentId(agent),
    };
    store.link_identity(row(1), audit()).await.unwrap();
    assert_eq!(store.directory().await.unwrap().identities, [row(1)]);
    let kim = store.provision_agent(tenant, "kim", "https://id.example", "u-2", audit()).await.unwrap();
    assert_eq!(store.directory().await.unwrap().identities.len(), 2);
    // Linked anew: to another agent.
    store.link_identity(row(kim.0), audit()).await.unwrap();
    assert!(store.directory().await.unwrap().identities.contains(&row(kim.0)));
    let taken = store.provision_agent(tenant, "ana", "https://id.example", "u-3", audit()).await.unwrap_err();
    assert!(matches!(taken, StoreError::NameTaken { .. }), "{taken}");
    let missing = store.link_identity(row(99), audit()).await.unwrap_err();
    assert!(matches!(missing, StoreError::Missing { .. }), "{missing}");
    assert_eq!(verify_audit(store, tenant, None).await.unwrap().id, 3);
}

conformance!(
    sessions_end_with_what_they_rest_on,
    sessions_and_devices_of_an_agent_are_bounded,
    identities_belong_to_their_tenant,
    the_audit_log_is_a_chain_for_each_tenant,
    a_batch_is_there_whole,
    a_conflict_leaves_nothing,
    lists_filter_and_page,
    the_directory_counts_its_changes
);

#[tokio::test]
async fn the_audit_log_is_only_ever_added_to() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(folder.path()).await;
    let acme = store.create_tenant("acme").await.unwrap().id;
    for _ in 0..3 {
        store.audit(AuditEntry::new(acme, AuditActor::Operator, "token.created", "token:1")).await.unwrap();
    }
    let url = format!("sqlite:{}", folder.path().join("waggle.db").display());
    let attacker = sqlx::SqlitePool::connect(&url).await.unwrap();
    for sql in [
        "UPDATE audit SET object = 'token:2' WHERE id = 2",
        "DELETE FROM audit WHERE id = 3",
        "INSERT OR REPLACE INTO audit SELECT tenant, id, at, actor, action, 'token:2', detail, hash FROM audit WHERE id = 2",
        "INSERT INTO audit SELECT tenant, 9, at, actor, action, object, detail, hash FROM audit WHERE id = 3",
    ] {
        let error = sqlx::query(sql).execute(&attacker).await.unwrap_err().to_string();
        assert!(error.contains("only ever added to"), "{sql}: {error}");
    }
    verify_audit(&store, acme, None).await.unwrap();
    // Whoever takes the triggers away, too, is found out by the chain.
    sqlx::query("DROP TRIGGER audit_is_never_changed").execute(&attacker).await.unwrap();
    sqlx::query("UPDATE audit SET object = 'token:2' WHERE id = 2").execute(&attacker).await.unwrap();
    let fault = verify_audit(&store, acme, None).await.unwrap_err();
    assert!(matches!(fault, AuditFault::Changed(2)), "{fault}");
}

#[tokio::test]
async fn a_file_that_is_no_database_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("waggle.db");
    std::fs::write(&path, "something else entirely, long enough to be looked at as a header").unwrap();
    let error = SqliteStore::open(&path).await.err().unwrap();
    assert!(matches!(error, StoreError::Damaged(_)), "{error:?}");
}

#[tokio::test]
async fn tickets_are_the_same_wherever_they_are_read_from() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(folder.path()).await;
    let tenant = furnished(&store).await;
    let mut book = Book::new(&tenant);
    for ticket in 1..=200 {
        book.submit(ticket, &create(1 + (ticket % 2) as u32, &format!("card {ticket} \u{1f41d}")), None);
    }
    for ticket in (1..=200).step_by(3) {
        book.submit(ticket, r#"{"type":"claim"}"#, None);
        book.submit(ticket, r#"{"type":"set","subject":"new \"name\"","priority":"high","fence":1}"#, None);
        book.submit(ticket, r#"{"type":"move","to":"pending","fence":1}"#, None);
    }
    let mut batch = book.batch();
    for (event, patch) in
        batch.iter_mut().zip([r#"{"tags":{"a":true}}"#, r#"{"tags":{"a":null,"b":true}}"#].iter().cycle())
    {
        event.event.patch = Some(patch.as_bytes().into());
    }
    store.commit(&batch).await.unwrap();
    let all = async |store: &SqliteStore| {
        store.tickets(tenant.id, &TicketFilter::default(), None, 500).await.unwrap()
    };
    let before = all(&store).await;
    assert_eq!(before.len(), 200);
    let first = before.last().unwrap();
    assert_eq!(
        (first.subject.as_str(), first.priority.name(), first.fence),
        ("new \"name\"", "high", Fence(1))
    );
    assert_eq!((first.assignee, first.version), (Some(AgentId(1)), Version(4)));

    // Killed before anything is written; closed; and with a file that is lost, cut short, or no database.
    drop(store);
    let file = folder.path().join("waggle.tickets.db");
    let spoil: [&dyn Fn(); 5] = [
        &|| {},
        &|| {},
        &|| std::fs::remove_file(&file).unwrap(),
        &|| std::fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(6_000).unwrap(),
        &|| std::fs::write(&file, vec![7; 10_000]).unwrap(),
    ];
    for (number, spoil) in spoil.iter().enumerate() {
        spoil();
        let store = sqlite(folder.path()).await;
        assert_eq!(all(&store).await, before, "case {number}");
        let head = store.heads().await.unwrap()[0].clone();
        assert_eq!((head.cursor.offset, head.ticket), (Offset(401), TicketId(200)), "case {number}");
        store.close().await;
    }
}

#[tokio::test]
async fn a_lock_held_elsewhere_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(folder.path()).await;
    let tenant = furnished(&store).await;
    let mut book = Book::new(&tenant);
    book.submit(1, &create(1, "one"), None);
    let batch = book.batch();
    let url = format!("sqlite:{}", folder.path().join("waggle.db").display());
    let other = sqlx::SqlitePool::connect(&url).await.unwrap();
    let mut held = other.acquire().await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *held).await.unwrap();
    let error = store.commit(&batch).await.unwrap_err();
    assert!(matches!(error, StoreError::Locked(_)), "{error:?}");
    sqlx::query("ROLLBACK").execute(&mut *held).await.unwrap();
    store.commit(&batch).await.unwrap();
}

/// A file system of its own, small enough to be filled.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None` where nobody may mount one here.
    fn mounted() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"]).arg(folder.path());
        mount
            .stderr(std::process::Stdio::null())
            .status()
            .is_ok_and(|done| done.success())
            .then(|| Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = std::process::Command::new("umount").arg("--lazy").arg(self.0.path()).status();
        assert!(unmounted.is_ok_and(|done| done.success()), "a file system stays mounted");
    }
}

#[tokio::test]
async fn a_full_disk_says_so_and_loses_nothing() {
    let Some(disk) = SmallDisk::mounted() else {
        println!("SKIPPED: a_full_disk: may not mount a file system here");
        if let Some(log) = std::env::var_os("WAGGLE_SKIP_LOG") {
            use std::io::Write;
            let mut log = std::fs::OpenOptions::new().append(true).create(true).open(log).unwrap();
            writeln!(log, "a_full_disk_says_so_and_loses_nothing: may not mount a file system here").unwrap();
        }
        return;
    };
    let ballast = disk.0.path().join("ballast");
    // Room is left for the tables and a little more.
    std::fs::write(&ballast, vec![0; 512 * 1024]).unwrap();
    let store = sqlite(disk.0.path()).await;
    let tenant = match store.create_tenant("acme").await {
        Ok(tenant) => tenant,
        Err(error) => {
            assert!(matches!(error, StoreError::Full(_)), "{error:?}");
            std::fs::remove_file(&ballast).unwrap();
            store.create_tenant("acme").await.unwrap()
        }
    };
    let mut book = Book::new(&tenant);
    let mut acknowledged = 0;
    let error = loop {
        book.submit(acknowledged + 1, &create(1, &"long ".repeat(90)), None);
        match store.commit(&book.batch()).await {
            Ok(()) => acknowledged += 1,
            Err(error) => break error,
        }
        assert!(acknowledged < 10_000, "the disk is never full");
    };
    assert!(matches!(error, StoreError::Full(_)), "{error:?}");
    assert!(acknowledged > 10, "{acknowledged} commits fitted");
    let heads = store.heads().await.unwrap();
    assert_eq!(heads[0].cursor.offset.0, acknowledged, "all that was acknowledged, and no more");
    let log = store.events_after(tenant.id, Offset(0), 20_000).await.unwrap();
    assert_eq!(log.len() as u64, acknowledged);
}
