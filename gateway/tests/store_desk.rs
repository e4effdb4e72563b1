//! What every store must do for the desk, run against each adapter: finding, the past, saved views, custom fields, drafts.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use serde_json::json;
use waggle_core::find::TicketColumns;
use waggle_core::id::{AgentId, Fence, Offset, QueueId, SavedViewId, TeamId, TenantId, TicketId, Version};
use waggle_core::limits::{DRAFTS_PER_AGENT_MAX, FIELDS_MAX, PAST_TICKETS_MAX, PAST_TICKETS_PER_READ};
use waggle_core::ticket::{Actor, FieldDef, Followers, Kind, NewEvent, Priority, Route, Status};
use waggle_core::time::Timestamp;
use waggle_gateway::store::{
    Audience, AuditActor, AuditEntry, AuditFilter, CommitEvent, DraftRow, DraftStore, FieldStore, FindStore,
    SavedViewRow, SavedViewStore, SqliteStore, Store, StoreError,
};

const ACME: TenantId = TenantId(1);
const OTHER: TenantId = TenantId(2);
const ANA: AgentId = AgentId(1);
const BEN: AgentId = AgentId(2);
const NEW: Status = Status::from_index(0);
const OPEN: Status = Status::from_index(1);

/// Two tenants with a queue each, and two agents of the first.
async fn sqlite() -> (SqliteStore, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("waggle.db")).await.unwrap();
    for name in ["acme", "other"] {
        let tenant = store.create_tenant(name).await.unwrap().id;
        store.create_queue(tenant, "support").await.unwrap();
        store.create_queue(tenant, "billing").await.unwrap();
    }
    for name in ["ana", "ben"] {
        store.create_agent(ACME, name).await.unwrap();
    }
    (store, folder)
}

/// A log that is written one event at a time, each a second after the one before.
#[derive(Default)]
struct Log {
    head: u64,
    /// Of each ticket: newest offset, version, queue and holder.
    tickets: Vec<(Option<u64>, u32, u32, Option<AgentId>)>,
}

/// What an event is beside its kind.
#[derive(Default)]
struct Says {
    queue: Option<u32>,
    agent: Option<AgentId>,
    priority: Option<Priority>,
    status: Option<Status>,
    subject: Option<&'static str>,
    patch: Option<&'static str>,
}

impl Log {
    /// When the event with an offset was.
    fn at(offset: u64) -> Timestamp {
        Timestamp(1_000_000 + offset * 1_000)
    }

    async fn add(&mut self, store: &dyn Store, ticket: usize, kind: Kind, says: Says) {
        let event = self.event(ticket, kind, says);
        store.commit(&[event]).await.unwrap();
    }

    fn event(&mut self, ticket: usize, kind: Kind, says: Says) -> CommitEvent {
        if self.tickets.len() < ticket {
            self.tickets.resize(ticket, (None, 0, 1, None));
        }
        self.head += 1;
        let place = &mut self.tickets[ticket - 1];
        let (previous, is_first) = (place.0, place.1 == 0);
        let queue_from = says.queue.filter(|queue| !is_first && *queue != place.2).map(|_| QueueId(place.2));
        *place = (Some(self.head), place.1 + 1, says.queue.unwrap_or(place.2), says.agent.or(place.3));
        let (version, queue, agent) = (place.1, place.2, place.3);
        let text = says.subject.map(|subject| format!(r#""subject":"{subject}","#)).unwrap_or_default();
        let data =
            if is_first { format!(r#"{{{text}"requester":"kim"}}"#) } else { format!(r#"{{{text}"a":1}}"#) };
        let event = NewEvent {
            ticket: TicketId(ticket as u64),
            version: Version(version),
            kind,
            actor: Actor::Agent(ANA),
            at: Self::at(self.head),
            status: says.status.unwrap_or(NEW),
            status_from: says.status.map(|_| NEW),
            fence: Fence(0),
            holder: says.agent.map(Some),
            queue: is_first.then_some(QueueId(queue)),
            priority: says.priority.or(is_first.then_some(Priority::Normal)),
            patch: says.patch.map(|patch| patch.as_bytes().into()),
            concerns: None,
            data: data.into_bytes(),
        };
        CommitEvent {
            tenant: ACME,
            offset: Offset(self.head),
            event,
            route: Route { queue: QueueId(queue), queue_from, agent, agent_from: None },
            followers: Followers::default(),
            previous: previous.map(Offset),
            subject: says.subject.map(str::to_owned),
            requester: is_first.then(|| "kim".to_owned()),
            follow_up_of: None,
            key: None,
        }
    }
}

/// Three tickets: one that much happens to, one that comes later, one in another queue.
async fn told(store: &dyn Store) -> Log {
    let mut log = Log::default();
    let created = |queue| Says { queue: Some(queue), subject: Some("card"), ..Says::default() };
    log.add(store, 1, Kind::Created, created(1)).await;
    let set =
        Says { patch: Some(r#"{"tags":{"vip":true}}"#), priority: Some(Priority::High), ..Says::default() };
    log.add(store, 1, Kind::Set, set).await;
    log.add(store, 2, Kind::Created, created(1)).await;
    log.add(store, 1, Kind::Attached, Says::default()).await;
    let set = Says { patch: Some(r#"{"tags":{"vip":null}}"#), subject: Some("found"), ..Says::default() };
    log.add(store, 1, Kind::Set, set).await;
    log.add(store, 3, Kind::Created, created(2)).await;
    log.add(store, 1, Kind::Set, Says { queue: Some(2), ..Says::default() }).await;
    log.add(store, 1, Kind::Claimed, Says { agent: Some(BEN), status: Some(OPEN), ..Says::default() }).await;
    log
}

fn ids(numbers: &[u64]) -> Vec<TicketId> {
    numbers.iter().copied().map(TicketId).collect()
}

#[tokio::test]
async fn tickets_are_read_many_at_a_time() {
    let (store, _folder) = sqlite().await;
    told(&store).await;
    let columns = store.columns(ACME, &ids(&[3, 9, 1])).await.unwrap();
    let wanted = TicketColumns {
        status: OPEN,
        queue: QueueId(2),
        assignee: Some(BEN),
        priority: Priority::High,
        created_at: Log::at(1),
        updated_at: Log::at(8),
    };
    assert_eq!(columns.iter().map(|(ticket, _)| ticket.0).collect::<Vec<_>>(), [3, 1]);
    assert_eq!(columns[1].1, wanted);
    let after = async |after, span| {
        let found = store.columns_after(ACME, TicketId(after), span).await.unwrap();
        found.map(|found| found.iter().map(|(ticket, _)| ticket.0).collect::<Vec<_>>())
    };
    assert_eq!(after(0, 2).await, Some(vec![1, 2]));
    assert_eq!(after(2, 2).await, Some(vec![3]));
    assert_eq!(after(3, 2).await, None);
    let described = store.descriptions_after(ACME, TicketId(0), 9).await.unwrap();
    let described: Vec<_> =
        described.iter().map(|it| (it.ticket.0, it.requester.as_str(), it.extra.as_str())).collect();
    assert_eq!(described, [(1, "kim", r#"{"tags":{}}"#), (2, "kim", "{}"), (3, "kim", "{}")]);
    let rows = store.ticket_rows(ACME, &ids(&[2, 7, 1])).await.unwrap();
    assert_eq!(
        rows.iter().map(|row| (row.id.0, row.subject.as_str())).collect::<Vec<_>>(),
        [(2, "card"), (1, "found")]
    );
    assert!(store.ticket_rows(OTHER, &ids(&[1])).await.unwrap().is_empty(), "another tenant's");
}

#[tokio::test]
async fn the_past_is_folded_from_the_log() {
    let (store, _folder) = sqlite().await;
    let log = told(&store).await;
    let at =
        async |tickets: &[u64], at: u64| store.tickets_at(ACME, &ids(tickets), Timestamp(at)).await.unwrap();
    // What it is now, though asked from the log, is what it is.
    let now = at(&[1, 2, 3, 8], u64::MAX).await;
    let rows: Vec<_> = now.iter().map(|past| past.row.clone()).collect();
    assert_eq!(rows, store.ticket_rows(ACME, &ids(&[1, 2, 3])).await.unwrap());
    assert_eq!(now.iter().map(|past| past.has_file).collect::<Vec<_>>(), [true, false, false]);
    // In the order of numbers, and without those that there were not yet.
    let then = at(&[3, 2, 1], Log::at(3).0).await;
    assert_eq!(then.iter().map(|past| past.row.id.0).collect::<Vec<_>>(), [1, 2]);
    let told: Vec<_> = (1..=log.head).map(Log::at).collect();
    let mut states = Vec::new();
    for (offset, moment) in (1_u64..).zip(&told) {
        // At the event, and until the next.
        let [early, late] = [at(&[1], moment.0).await, at(&[1], moment.0 + 999).await];
        assert_eq!(early, late, "after event {offset}");
        let past = &early[0];
        states.push((
            past.row.version.0,
            past.row.queue.0,
            past.row.extra.clone(),
            past.row.subject.clone(),
            past.has_file,
        ));
    }
    let state = |version, queue, extra: &str, subject: &str, has_file| {
        (version, queue, extra.to_owned(), subject.to_owned(), has_file)
    };
    let vip = r#"{"tags":{"vip":true}}"#;
    assert_eq!(
        states,
        [
            state(1, 1, "{}", "card", false),
            state(2, 1, vip, "card", false),
            state(2, 1, vip, "card", false),
            state(3, 1, vip, "card", true),
            state(4, 1, r#"{"tags":{}}"#, "found", true),
            state(4, 1, r#"{"tags":{}}"#, "found", true),
            state(5, 2, r#"{"tags":{}}"#, "found", true),
            state(6, 2, r#"{"tags":{}}"#, "found", true),
        ]
    );
    assert!(at(&[1], Log::at(1).0 - 1).await.is_empty());
    assert!(store.tickets_at(OTHER, &ids(&[1]), Timestamp(u64::MAX)).await.unwrap().is_empty());
}

fn view(owner: AgentId, audience: Audience, name: &str) -> SavedViewRow {
    SavedViewRow {
        id: SavedViewId(0),
        name: name.to_owned(),
        owner,
        audience,
        query: "status:open".to_owned(),
        sort: "-id".to_owned(),
    }
}

fn entry(action: &'static str) -> AuditEntry {
    AuditEntry::new(ACME, AuditActor::Operator, action, "thing:1")
}

async fn audited(store: &dyn Store, action: &str) -> usize {
    let filter = AuditFilter { action: Some(action.to_owned()), ..AuditFilter::default() };
    store.audit_rows(ACME, &filter, None, 100).await.unwrap().len()
}

#[tokio::test]
async fn views_are_kept_with_their_numbers() {
    let (store, _folder) = sqlite().await;
    let audiences = [Audience::Private, Audience::Team(TeamId(3)), Audience::Tenant];
    for (number, audience) in (1..).zip(audiences) {
        let made = view(ANA, audience, "the same name");
        let audit = (audience == Audience::Tenant).then(|| entry("view.created"));
        assert_eq!(store.create_saved_view(ACME, &made, audit).await.unwrap(), SavedViewId(number));
        let wanted = SavedViewRow { id: SavedViewId(number), ..made };
        assert_eq!(store.saved_view(ACME, SavedViewId(number)).await.unwrap(), Some(wanted));
    }
    let mut changed = view(BEN, Audience::Tenant, "changed");
    (changed.id, changed.query, changed.sort) = (SavedViewId(2), "tag:vip".to_owned(), "due".to_owned());
    store.change_saved_view(ACME, &changed, Some(entry("view.changed"))).await.unwrap();
    let kept = store.saved_view(ACME, SavedViewId(2)).await.unwrap().unwrap();
    assert_eq!(kept, SavedViewRow { owner: ANA, ..changed.clone() }, "all but its owner");
    store.delete_saved_view(ACME, SavedViewId(3), Some(entry("view.deleted"))).await.unwrap();
    let numbers = store.saved_views(ACME).await.unwrap().iter().map(|view| view.id.0).collect::<Vec<_>>();
    assert_eq!(numbers, [1, 2]);
    let next = store.create_saved_view(ACME, &view(ANA, Audience::Private, "x"), None).await.unwrap();
    assert_eq!(next, SavedViewId(4), "a number is not given twice");

    // What is not there changes nothing, and is told of nowhere.
    changed.id = SavedViewId(3);
    let missing =
        |done: Result<(), StoreError>| assert!(matches!(done, Err(StoreError::Missing { kind: "view", .. })));
    missing(store.change_saved_view(ACME, &changed, Some(entry("view.changed"))).await);
    missing(store.delete_saved_view(ACME, SavedViewId(3), Some(entry("view.deleted"))).await);
    missing(store.delete_saved_view(OTHER, SavedViewId(1), None).await);
    assert_eq!(store.saved_views(OTHER).await.unwrap(), []);
    for action in ["view.created", "view.changed", "view.deleted"] {
        assert_eq!(audited(&store, action).await, 1, "{action}");
    }
}

fn field(key: &str) -> FieldDef {
    serde_json::from_value(json!({"key": key, "name": "A field", "type": "text"})).unwrap()
}

#[tokio::test]
async fn fields_are_kept_and_raise_the_directorys_revision() {
    let (store, _folder) = sqlite().await;
    let fields = async || {
        let rows = store.directory().await.unwrap();
        let keys = rows.fields.iter().map(|it| (it.tenant.0, it.field.key.clone(), it.field.choices.len()));
        (rows.revision, keys.collect::<Vec<_>>())
    };
    let (before, none) = fields().await;
    assert!(none.is_empty());
    store.create_field(ACME, &field("size"), entry("field.created")).await.unwrap();
    let other = AuditEntry::new(OTHER, AuditActor::Operator, "field.created", "field:size");
    store.create_field(OTHER, &field("size"), other).await.unwrap();
    let twice = store.create_field(ACME, &field("size"), entry("field.created")).await;
    assert!(matches!(twice, Err(StoreError::NameTaken { .. })), "{twice:?}");
    let choice: FieldDef = serde_json::from_value(
        json!({"key": "size", "name": "Size", "type": "choice", "choices": ["s", "m"], "default": "m"}),
    )
    .unwrap();
    store.change_field(ACME, &choice, entry("field.changed")).await.unwrap();
    let (revision, kept) = fields().await;
    assert_eq!(kept, [(1, "size".to_owned(), 2), (2, "size".to_owned(), 0)]);
    assert!(revision >= before + 3, "{before} {revision}");
    let missing = |done: Result<(), StoreError>| {
        assert!(matches!(done, Err(StoreError::Missing { kind: "field", .. })))
    };
    missing(store.change_field(ACME, &field("colour"), entry("field.changed")).await);
    missing(store.delete_field(ACME, "colour", entry("field.deleted")).await);
    store.delete_field(ACME, "size", entry("field.deleted")).await.unwrap();
    assert_eq!(fields().await.1, [(2, "size".to_owned(), 0)]);
    for action in ["field.created", "field.changed", "field.deleted"] {
        assert_eq!(audited(&store, action).await, 1, "{action}");
    }
    for number in 0..FIELDS_MAX {
        store.create_field(ACME, &field(&format!("f{number}")), entry("field.created")).await.unwrap();
    }
    let more = store.create_field(ACME, &field("more"), entry("field.created")).await;
    assert!(matches!(more, Err(StoreError::TooMany { limit: FIELDS_MAX, .. })), "{more:?}");
}

#[tokio::test]
async fn drafts_are_an_agents_own() {
    let (store, _folder) = sqlite().await;
    let draft = |ticket: u64, at: u64, body: &str| DraftRow {
        ticket: TicketId(ticket),
        at: Timestamp(at),
        body: body.to_owned(),
    };
    let body = r#"{"text":"dear \u00e9"}"#;
    for (agent, ticket, at) in [(ANA, 1, 10), (ANA, 2, 5), (BEN, 1, 7), (ANA, 3, 10)] {
        store.keep_draft(ACME, agent, &draft(ticket, at, body)).await.unwrap();
    }
    store.keep_draft(ACME, ANA, &draft(2, 20, "{}")).await.unwrap();
    assert_eq!(
        store.draft(ACME, ANA, TicketId(2)).await.unwrap(),
        Some(draft(2, 20, "{}")),
        "in the old one's place"
    );
    assert_eq!(
        store.drafts(ACME, ANA).await.unwrap(),
        [draft(2, 20, "{}"), draft(3, 10, body), draft(1, 10, body)],
        "newest first"
    );
    assert_eq!(store.drafts(ACME, BEN).await.unwrap(), [draft(1, 7, body)]);
    assert_eq!(store.drafts(OTHER, ANA).await.unwrap(), []);
    assert!(store.delete_draft(ACME, ANA, TicketId(1)).await.unwrap());
    assert!(!store.delete_draft(ACME, ANA, TicketId(1)).await.unwrap(), "it is gone");
    assert_eq!(
        store.draft(ACME, BEN, TicketId(1)).await.unwrap(),
        Some(draft(1, 7, body)),
        "another's stays"
    );
    for ticket in 10..10 + DRAFTS_PER_AGENT_MAX as u64 - 2 {
        store.keep_draft(ACME, ANA, &draft(ticket, 1, "{}")).await.unwrap();
    }
    let more = store.keep_draft(ACME, ANA, &draft(9, 1, "{}")).await;
    assert!(matches!(more, Err(StoreError::TooMany { limit: DRAFTS_PER_AGENT_MAX, .. })), "{more:?}");
    store.keep_draft(ACME, ANA, &draft(2, 30, "{}")).await.unwrap();
}

/// What a list of the past may have to fold at most: `PAST_TICKETS_MAX` tickets within `PAST_MS_MAX`.
#[tokio::test]
#[ignore = "a measurement, for a release build"]
async fn the_past_of_many_tickets_is_folded_in_time() {
    let (store, _folder) = sqlite().await;
    let mut log = Log::default();
    let mut batch = Vec::new();
    for round in 0..8 {
        for ticket in 1..=PAST_TICKETS_MAX {
            let says = match round {
                0 => Says { queue: Some(1), subject: Some("card"), ..Says::default() },
                1 => Says {
                    patch: Some(r#"{"tags":{"vip":true},"fields":{"order":"A17"}}"#),
                    ..Says::default()
                },
                2 => Says { priority: Some(Priority::High), ..Says::default() },
                _ => Says::default(),
            };
            let kind = [Kind::Created, Kind::Set, Kind::Set][round.min(2)];
            batch.push(log.event(ticket, if round > 2 { Kind::Note } else { kind }, says));
            if batch.len() == 1_000 {
                store.commit(&std::mem::take(&mut batch)).await.unwrap();
            }
        }
    }
    let tickets: Vec<_> = (1..=PAST_TICKETS_MAX as u64).map(TicketId).collect();
    let began = std::time::Instant::now();
    let mut found = 0;
    for some in tickets.chunks(PAST_TICKETS_PER_READ) {
        found += store.tickets_at(ACME, some, Log::at(log.head - 1)).await.unwrap().len();
    }
    println!("{found} tickets of 8 events each in {:?}", began.elapsed());
}
