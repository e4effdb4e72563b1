//! The tenant itself in storage: it has events, and is no ticket.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use waggle_core::id::{AgentId, Fence, Offset, QueueId, TenantId, TicketId, Version};
use waggle_core::right::Rights;
use waggle_core::ticket::{
    Actor, Authority, Cell, Command, Expect, Followers, Lifecycles, NewEvent, Request, Route, Status,
};
use waggle_core::time::Timestamp;
use waggle_gateway::store::{
    AuditFilter, AuditStore, CommitEvent, EventKinds, FindStore, SqliteStore, Store, TicketFilter,
};

const ANA: Actor = Actor::Agent(AgentId(1));

fn commit(tenant: TenantId, offset: u64, previous: Option<u64>, event: NewEvent) -> CommitEvent {
    let is_new = event.ticket != TicketId::TENANT;
    CommitEvent {
        tenant,
        offset: Offset(offset),
        route: Route { queue: event.queue.unwrap_or_default(), ..Route::default() },
        event,
        followers: Followers::default(),
        previous: previous.map(Offset),
        subject: is_new.then(|| "card".to_owned()),
        requester: is_new.then(|| "kim".to_owned()),
        follow_up_of: None,
        key: None,
    }
}

fn created() -> NewEvent {
    let text = r#"{"type":"create","queue":1,"subject":"card","requester":"kim","text":"help"}"#;
    let request = Request::parse(text.as_bytes()).unwrap();
    NewEvent::created(&Lifecycles::built_in(), TicketId(1), &request.command, ANA, Timestamp(1)).unwrap()
}

fn taught(cell: &Cell, teaching: &str) -> NewEvent {
    let lifecycles = Lifecycles::built_in();
    let command = Command::Teach { teaching };
    let intent = command.intent(&lifecycles, cell.load().status()).unwrap().unwrap();
    let all = Authority { actor: ANA, rights: Rights::ALL };
    let reserved = cell.reserve(&lifecycles, all, Expect::Any, None, intent).unwrap();
    let (transition, at) = (&reserved.transition, Timestamp(1));
    NewEvent::admitted(&lifecycles, TicketId::TENANT, &command, transition, ANA, at).unwrap()
}

#[tokio::test]
async fn the_tenant_itself_has_events_and_is_no_ticket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("waggle.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let tenant = store.create_tenant("acme").await.unwrap().id;
    assert_eq!(store.create_queue(tenant, "support").await.unwrap().id, QueueId(1));
    assert_eq!(store.standing(tenant, TicketId::TENANT).await.unwrap(), None);
    let cell = Cell::new(Version(0), Status::from_index(0), Fence(0), None);
    let texts = [r#"{"teach":"create","name":"card_lost"}"#, r#"{"teach":"settings","tag_prefix":""}"#];
    let [first, second] = texts.map(|text| taught(&cell, text));
    let batch = [
        commit(tenant, 1, None, created()),
        commit(tenant, 2, None, first),
        commit(tenant, 3, Some(2), second),
    ];
    store.commit(&batch).await.unwrap();
    store.close().await;

    let store = SqliteStore::open(&path).await.unwrap();
    let standing = store.standing(tenant, TicketId::TENANT).await.unwrap().unwrap();
    assert_eq!((standing.version, standing.newest), (Version(2), Offset(3)));
    let events = store.ticket_events(tenant, TicketId::TENANT, Version(0), 9, EventKinds::All).await.unwrap();
    assert_eq!(events.iter().map(|event| event.data.as_str()).collect::<Vec<_>>(), texts);
    let up_to = store.events_up_to(tenant, Offset(2), Version(0), 9).await.unwrap();
    assert_eq!(up_to, events[..1]);
    assert_eq!(store.ticket(tenant, TicketId::TENANT).await.unwrap(), None);
    assert_eq!(store.tickets(tenant, &TicketFilter::default(), None, 9).await.unwrap().len(), 1);
    assert_eq!(store.ticket_rows(tenant, &[TicketId::TENANT]).await.unwrap().len(), 0);
    assert_eq!(store.columns(tenant, &[TicketId::TENANT]).await.unwrap().len(), 0);
    assert_eq!(store.heads().await.unwrap()[0].ticket, TicketId(1));
    let audit = store.audit_rows(tenant, &AuditFilter::default(), None, 9).await.unwrap();
    let taught: Vec<_> = audit.iter().filter(|row| row.action == "learn.taught").collect();
    assert_eq!((taught.len(), taught[1].object.as_str()), (2, "tenant"));
    assert_eq!(taught[1].detail, r#"{"teaching":{"name":"card_lost","teach":"create"},"version":1}"#);
}
