//! Lifecycles that change while tickets are worked on, over a real ledger and store.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use waggle_core::id::{AgentId, QueueId, TenantId, TicketId};
use waggle_core::right::Rights;
use waggle_core::ticket::{Actor, Authority, LifecycleSpec, Request};

use super::settle::{Settler, Turn};
use super::{InUse, LifecycleAdmin, LifecycleError, StatusMap};
use crate::directory::Directory;
use crate::ledger::{Ledger, Outcome, PublishedBatch, Publisher, Submission, SubmitError};
use crate::store::{ADMIN_ROLE, AuditActor, AuditFilter, Grantee, PeopleStore, SqliteStore, Store};

const TENANT: TenantId = TenantId(1);

struct NoPublisher;

impl Publisher for NoPublisher {
    fn publish(&self, _: &Arc<PublishedBatch>) {}
}

struct World {
    store: Arc<dyn Store>,
    directory: Directory,
    ledger: Ledger,
    settler: Settler,
    dir: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&dir.path().join("db")).await.unwrap();
        store.create_tenant("acme").await.unwrap();
        for queue in ["support", "returns"] {
            store.create_queue(TENANT, queue).await.unwrap();
        }
        let ana = store.create_agent(TENANT, "ana").await.unwrap().id;
        // Its commands change what others hold.
        let to = Grantee::Agent(ana);
        store.grant(AuditActor::Operator, TENANT, ADMIN_ROLE, to, None).await.unwrap();
        Self::on(store, dir).await
    }

    async fn on(store: SqliteStore, dir: tempfile::TempDir) -> Self {
        let store: Arc<dyn Store> = Arc::new(store);
        let directory = Directory::open(store.as_ref()).await.unwrap();
        let ledger =
            Ledger::open(Arc::clone(&store), directory.clone(), Arc::new(NoPublisher)).await.unwrap();
        let settler = Settler::new(directory.clone(), ledger.clone(), Arc::clone(&store), Duration::ZERO);
        Self { store, directory, ledger, settler, dir }
    }

    /// The same after the gateway was gone.
    async fn again(self) -> Self {
        self.ledger.stop().await;
        self.store.close().await;
        let dir = self.dir;
        Self::on(SqliteStore::open(&dir.path().join("db")).await.unwrap(), dir).await
    }

    fn admin(&self) -> LifecycleAdmin<'_> {
        LifecycleAdmin {
            store: self.store.as_ref(),
            directory: &self.directory,
            tenant: TENANT,
            actor: AuditActor::Operator,
            in_use: InUse::Asked,
        }
    }

    async fn send(&self, ticket: Option<u64>, json: &Value) -> Result<Outcome, SubmitError> {
        let text = json.to_string();
        let submission = Submission {
            tenant: TENANT,
            authority: Authority { actor: Actor::Agent(AgentId(1)), rights: Rights::ALL },
            ticket: ticket.map(TicketId),
            request: Request::parse(text.as_bytes()).unwrap(),
            key: None,
        };
        self.ledger.submit(submission).await
    }

    async fn create(&self, queue: u32) -> u64 {
        let create = json!({"type": "create", "queue": queue, "subject": "s", "requester": "r", "text": "t"});
        self.send(None, &create).await.unwrap().entry.ticket.0
    }

    async fn status(&self, ticket: u64) -> String {
        let row = self.store.ticket(TENANT, TicketId(ticket)).await.unwrap().unwrap();
        self.directory.lifecycles(TENANT).name(row.status).to_owned()
    }
}

fn returns() -> LifecycleSpec {
    serde_json::from_value(json!({
        "statuses": [
            {"name": "triage", "category": "new"},
            {"name": "working", "category": "open"},
            {"name": "waiting", "category": "pending"},
            {"name": "done", "category": "closed"},
        ],
        "edges": [
            {"from": "triage", "to": "working"},
            {"from": "working", "to": "waiting"},
            {"from": "waiting", "to": "working"},
            {"from": "working", "to": "done", "guard": "holder"},
        ],
        "defaults": {"initial": "triage", "taken": "working", "message": "working", "reopen": "working"},
        "from": {"default": {"new": "triage", "open": "working", "pending": "waiting", "closed": "done"}},
    }))
    .unwrap()
}

/// Without `waiting`.
fn smaller() -> LifecycleSpec {
    let mut spec = returns();
    spec.statuses.retain(|status| status.name != "waiting");
    spec.edges.retain(|edge| edge.from != "waiting" && edge.to != "waiting");
    spec.from.clear();
    spec
}

fn map(pairs: &[(&str, &str)]) -> StatusMap {
    pairs.iter().map(|(old, new)| ((*old).to_owned(), (*new).to_owned())).collect()
}

#[tokio::test]
async fn a_queue_gets_a_lifecycle_and_its_tickets_follow() {
    let mut world = World::new().await;
    let (new, held) = (world.create(2).await, world.create(2).await);
    let elsewhere = world.create(1).await;
    world.send(Some(held), &json!({"type": "claim"})).await.unwrap();
    world.send(Some(held), &json!({"type": "move", "to": "on_hold", "fence": 1})).await.unwrap();
    assert!(world.admin().save("returns", &returns(), &map(&[])).await.unwrap());
    let give = async |world: &World, pairs: &[(&str, &str)]| {
        world.admin().give(QueueId(2), "returns", &map(pairs)).await
    };
    let refused = give(&world, &[]).await.unwrap_err().to_string();
    assert!(refused.contains("tickets have the status \"on_hold\""), "{refused}");
    give(&world, &[("on_hold", "waiting")]).await.unwrap();
    // What comes now is of the new lifecycle; what was there is on its way.
    let newest = world.create(2).await;
    assert_eq!((world.status(newest).await, world.status(new).await), ("triage".into(), "new".into()));
    let busy = world.admin().save("returns", &smaller(), &map(&[("waiting", "working")])).await;
    assert!(matches!(busy, Err(LifecycleError::InUse(_))), "{busy:?}");
    assert_eq!(world.settler.turn().await.unwrap(), Turn { left: 1, found: 2 });
    assert_eq!(world.settler.turn().await.unwrap(), Turn { left: 0, found: 0 });
    assert_eq!(world.status(new).await, "triage");
    assert_eq!((world.status(held).await, world.status(elsewhere).await), ("waiting".into(), "new".into()));
    // The holder still holds it.
    world.send(Some(held), &json!({"type": "move", "to": "working", "fence": 1})).await.unwrap();
    let history = world.store.queue_changes().await.unwrap();
    assert!(history.is_empty());
    let audit = world.store.audit_rows(TENANT, &AuditFilter::default(), None, 9).await.unwrap();
    let actions: Vec<&str> = audit.iter().map(|row| row.action.as_str()).collect();
    assert_eq!(actions, ["queue.lifecycle", "lifecycle.saved", "role.granted"]);
}

#[tokio::test]
async fn tickets_of_a_removed_status_follow_even_after_a_crash() {
    let mut world = World::new().await;
    world.admin().save("returns", &returns(), &map(&[])).await.unwrap();
    world
        .admin()
        .give(QueueId(2), "returns", &map(&[("on_hold", "waiting"), ("solved", "working")]))
        .await
        .unwrap();
    assert_eq!(world.settler.turn().await.unwrap().left, 0);
    let tickets = [world.create(2).await, world.create(2).await, world.create(2).await];
    for ticket in tickets {
        for to in ["working", "waiting"] {
            world.send(Some(ticket), &json!({"type": "move", "to": to})).await.unwrap();
        }
    }
    let unmapped = world.admin().save("returns", &smaller(), &map(&[])).await.unwrap_err().to_string();
    assert!(unmapped.contains("tickets have the status \"waiting\", which is removed"), "{unmapped}");
    assert_eq!(world.admin().check("returns", &smaller(), &map(&[])).await.unwrap().len(), 1);
    assert!(!world.admin().save("returns", &smaller(), &map(&[("waiting", "working")])).await.unwrap());
    // Whatever happens to such a ticket next happens in the status that took the removed one's place.
    let note = world.send(Some(tickets[0]), &json!({"type": "note", "text": "n"})).await.unwrap();
    let note: Value = serde_json::from_slice(&note.entry.json()).unwrap();
    assert_eq!((&note["data"]["from"], &note["data"]["status"]), (&json!("waiting"), &json!("working")));
    let refused = world.send(Some(tickets[1]), &json!({"type": "move", "to": "waiting"})).await;
    assert!(matches!(refused, Err(SubmitError::UnknownStatus(_))), "{refused:?}");
    let mut world = world.again().await;
    assert_eq!(world.settler.turn().await.unwrap(), Turn { left: 1, found: 2 });
    assert_eq!(world.settler.turn().await.unwrap(), Turn { left: 0, found: 0 });
    for ticket in tickets {
        assert_eq!(world.status(ticket).await, "working");
    }
    let settled = world.directory.lifecycles(TENANT).settled().count();
    assert_eq!(settled, 1);
    // Settled, the lifecycle can go once nothing has it.
    let delete =
        async |world: &World| world.admin().delete("returns").await.map_err(|error| error.to_string());
    assert!(delete(&world).await.unwrap_err().contains("queues have it: returns"));
    world.admin().give(QueueId(2), "default", &map(&[("triage", "new"), ("working", "open")])).await.unwrap();
    while world.settler.turn().await.unwrap().left > 0 {}
    delete(&world).await.unwrap();
    assert!(world.directory.lifecycles(TENANT).named("returns").is_none());
    assert!(
        delete(&world)
            .await
            .unwrap_err()
            .contains("there is no lifecycle \"returns\"; the tenant has default")
    );
    assert_eq!(world.status(tickets[0]).await, "open");
}

#[tokio::test]
async fn a_ticket_goes_to_another_lifecycles_queue_with_a_status_of_it() {
    let world = World::new().await;
    world.admin().save("returns", &returns(), &map(&[])).await.unwrap();
    let queue = world.store.create_queue(TENANT, "goods").await.unwrap().id;
    world.directory.refresh(world.store.as_ref()).await.unwrap();
    world.admin().give(queue, "returns", &map(&[])).await.unwrap();
    let ticket = world.create(1).await;
    let mut set = json!({"type": "set", "queue": queue, "status": "open"});
    let unknown = world.send(Some(ticket), &set).await.unwrap_err().to_string();
    assert!(
        unknown.contains("lifecycle \"returns\" has no status \"open\"; expected one of triage"),
        "{unknown}"
    );
    // As the lifecycle says where nothing else is said.
    set.as_object_mut().unwrap().remove("status");
    world.send(Some(ticket), &set).await.unwrap();
    assert_eq!(world.status(ticket).await, "triage");
    let back = json!({"type": "set", "queue": 1});
    let refused = world.send(Some(ticket), &back).await;
    let Err(SubmitError::StatusRequired { from, lifecycle, allowed }) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!((from.as_str(), lifecycle.as_str(), allowed.len()), ("triage", "default", 6));
    let back = json!({"type": "set", "queue": 1, "status": "pending"});
    world.send(Some(ticket), &back).await.unwrap();
    assert_eq!(world.status(ticket).await, "pending");
}

#[tokio::test]
async fn guards_hold() {
    let world = World::new().await;
    world.admin().save("returns", &returns(), &map(&[])).await.unwrap();
    world
        .admin()
        .give(QueueId(2), "returns", &map(&[("on_hold", "waiting"), ("solved", "working")]))
        .await
        .unwrap();
    let ticket = world.create(2).await;
    world.send(Some(ticket), &json!({"type": "move", "to": "working"})).await.unwrap();
    let close = json!({"type": "move", "to": "done"});
    let refused = world.send(Some(ticket), &close).await.unwrap_err().to_string();
    assert!(refused.contains("only whoever holds the ticket"), "{refused}");
    world.send(Some(ticket), &json!({"type": "claim"})).await.unwrap();
    world.send(Some(ticket), &json!({"type": "move", "to": "done", "fence": 1})).await.unwrap();
    assert_eq!(world.status(ticket).await, "done");
}

/// Lifecycles change to and fro while agents move tickets: at the end every ticket is in its queue's lifecycle, and
/// every step of its history is one that some lifecycle allowed at its time, or Waggle's own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn moves_and_changes_at_the_same_time_leave_no_ticket_behind() {
    let mut world = World::new().await;
    world.admin().save("returns", &returns(), &map(&[])).await.unwrap();
    world
        .admin()
        .give(QueueId(2), "returns", &map(&[("on_hold", "waiting"), ("solved", "working")]))
        .await
        .unwrap();
    while world.settler.turn().await.unwrap().left > 0 {}
    let mut tickets = Vec::new();
    for _ in 0..40 {
        tickets.push(world.create(2).await);
    }
    let world = Arc::new(tokio::sync::RwLock::new(world));
    let movers: Vec<_> = (0..4_usize)
        .map(|mover| {
            let (world, tickets) = (Arc::clone(&world), tickets.clone());
            tokio::spawn(async move {
                let mut moved = 0;
                for round in 0..150 {
                    let ticket = tickets[(round * 7 + mover * 11) % tickets.len()];
                    let to = ["working", "waiting", "parked"][(round + mover) % 3];
                    let sent =
                        world.read().await.send(Some(ticket), &json!({"type": "move", "to": to})).await;
                    match sent {
                        Ok(_) => moved += 1,
                        Err(SubmitError::NoEdge { .. } | SubmitError::UnknownStatus(_)) => {}
                        Err(error) => panic!("{error}"),
                    }
                    tokio::task::yield_now().await;
                }
                moved
            })
        })
        .collect();
    let mut parked = returns();
    parked
        .statuses
        .insert(3, serde_json::from_value(json!({"name": "parked", "category": "on_hold"})).unwrap());
    for (from, to) in [("working", "parked"), ("parked", "working")] {
        parked.edges.push(serde_json::from_value(json!({"from": from, "to": to})).unwrap());
    }
    for round in 0..6 {
        {
            let world = world.read().await;
            match round % 3 {
                0 => world.admin().save("returns", &parked, &map(&[])).await.map(drop),
                1 => {
                    let mapped = map(&[("waiting", "working"), ("parked", "working")]);
                    world.admin().save("returns", &smaller(), &mapped).await.map(drop)
                }
                _ => world.admin().save("returns", &returns(), &map(&[])).await.map(drop),
            }
            .unwrap();
        }
        world.write().await.settler.turn().await.unwrap();
    }
    let mut moved = 0;
    for mover in movers {
        moved += mover.await.unwrap();
    }
    let mut world = Arc::into_inner(world).unwrap().into_inner();
    while world.settler.turn().await.unwrap().left > 0 {}
    assert!(moved > 40, "{moved} moves got through");
    // What was admitted just before a change has not broken a batch.
    assert_eq!(world.ledger.stats().failed_commits.load(std::sync::atomic::Ordering::Relaxed), 0);
    let lifecycles = world.directory.lifecycles(TENANT);
    for ticket in tickets {
        let row = world.store.ticket(TENANT, TicketId(ticket)).await.unwrap().unwrap();
        let of = lifecycles.of_queue(row.queue);
        assert!(of.statuses().contains(&row.status), "{} is none of {:?}", row.status.index(), of.name());
        let checked = world.send(Some(ticket), &json!({"type": "claim"})).await;
        assert!(checked.is_ok(), "it can still be worked on: {checked:?}");
    }
}
