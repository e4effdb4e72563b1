//! What every store must do with lifecycles, run against each adapter; and what no event gets past.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;

use serde_json::json;
use waggle_core::id::{AgentId, Fence, LifecycleId, Offset, QueueId, TenantId, TicketId, Version};
use waggle_core::ticket::{
    Actor, Change, Followers, Kind, LifecycleRow, LifecycleSpec, Lifecycles, NewEvent, Priority, Route,
    Status, StatusSet,
};
use waggle_core::time::Timestamp;
use waggle_gateway::store::{
    AuditActor, AuditEntry, CommitEvent, DeleteLifecycle, GiveLifecycle, LifecycleStore, SaveLifecycle,
    SqliteStore, Store, StoreError,
};

const NEW: Status = Status::from_index(0);
const OPEN: Status = Status::from_index(1);
const CLOSED: Status = Status::from_index(5);
const TRIAGE: Status = Status::from_index(6);
const WORKING: Status = Status::from_index(7);

async fn sqlite() -> (SqliteStore, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("waggle.db")).await.unwrap();
    let tenant = store.create_tenant("acme").await.unwrap().id;
    for queue in ["support", "returns"] {
        store.create_queue(tenant, queue).await.unwrap();
    }
    store.create_agent(tenant, "ana").await.unwrap();
    (store, folder)
}

const TENANT: TenantId = TenantId(1);

fn audit(action: &'static str) -> AuditEntry {
    AuditEntry::new(TENANT, AuditActor::Operator, action, "lifecycle:returns")
}

async fn lifecycles(store: &dyn Store) -> (u64, Lifecycles) {
    let rows = store.directory().await.unwrap();
    let own: Vec<LifecycleRow> = rows.lifecycles.into_iter().map(|lifecycle| lifecycle.row).collect();
    (rows.revision, Lifecycles::new(&own, rows.queues.iter().map(|queue| (queue.id, queue.lifecycle))))
}

fn returns() -> LifecycleSpec {
    serde_json::from_value(json!({
        "statuses": [
            {"name": "triage", "category": "new"},
            {"name": "working", "category": "open"},
            {"name": "done", "category": "closed"},
        ],
        "edges": [{"from": "triage", "to": "working"}, {"from": "working", "to": "done"}],
        "defaults": {"initial": "triage", "taken": "working", "message": "working", "reopen": "working"},
    }))
    .unwrap()
}

async fn save(
    store: &dyn Store,
    spec: &LifecycleSpec,
    map: &[(&str, &str)],
) -> Result<LifecycleId, StoreError> {
    let (revision, all) = lifecycles(store).await;
    let map: BTreeMap<String, String> =
        map.iter().map(|(old, new)| ((*old).to_owned(), (*new).to_owned())).collect();
    let plan = Change { name: "returns", spec, map: &map }.plan(&all, &StatusSet::default()).unwrap();
    let id = all.named("returns").map(waggle_core::ticket::Lifecycle::id);
    let audit = audit("lifecycle.saved");
    let name = "returns".to_owned();
    store
        .save_lifecycle(SaveLifecycle { tenant: TENANT, revision, id, name, spec: spec.clone(), plan, audit })
        .await
}

/// An event that no admission has seen.
fn event(offset: u64, version: u32, steps: Option<(Status, Status)>) -> CommitEvent {
    let is_first = version == 1;
    let event = NewEvent {
        ticket: TicketId(1),
        version: Version(version),
        kind: if is_first { Kind::Created } else { Kind::Moved },
        actor: Actor::Agent(AgentId(1)),
        // Long after what was removed in this test may still be passed.
        at: Timestamp(4_000_000_000_000),
        status: steps.map_or(NEW, |(_, to)| to),
        status_from: steps.map(|(from, _)| from),
        fence: Fence(0),
        holder: None,
        queue: is_first.then_some(QueueId(1)),
        priority: is_first.then_some(Priority::Normal),
        patch: None,
        concerns: None,
        data: b"{}".to_vec(),
    };
    CommitEvent {
        tenant: TENANT,
        offset: Offset(offset),
        event,
        route: Route { queue: QueueId(1), ..Route::default() },
        followers: Followers::default(),
        previous: (!is_first).then_some(Offset(offset - 1)),
        subject: is_first.then(|| "s".to_owned()),
        requester: is_first.then(|| "r".to_owned()),
        follow_up_of: None,
        key: None,
    }
}

#[tokio::test]
async fn the_built_in_lifecycle_is_the_same_in_storage() {
    let (store, _folder) = sqlite().await;
    let rows = store.directory().await.unwrap();
    assert_eq!(rows.lifecycles.len(), 1);
    assert_eq!((rows.lifecycles[0].tenant, &rows.lifecycles[0].row), (TENANT, &LifecycleRow::built_in()));
    assert!(rows.queues.iter().all(|queue| queue.lifecycle == LifecycleId(1)));
}

#[tokio::test]
async fn storage_refuses_what_no_lifecycle_allows() {
    let (store, _folder) = sqlite().await;
    save(&store, &returns(), &[]).await.unwrap();
    store.commit(&[event(1, 1, None)]).await.unwrap();
    // Around admission, which would have refused each of them.
    for (from, to) in
        [(NEW, CLOSED), (NEW, TRIAGE), (NEW, Status::from_index(99)), (CLOSED, OPEN), (TRIAGE, OPEN)]
    {
        let refused = store.commit(&[event(2, 2, Some((from, to)))]).await;
        let refused = format!("{:?}", refused.unwrap_err());
        assert!(refused.contains("the lifecycle has no such edge"), "{from:?} {to:?}: {refused}");
    }
    let head = store.heads().await.unwrap()[0].cursor.offset;
    assert_eq!(head, Offset(1), "nothing of it is there");
    // All events of the batch are one: none of them is there, either.
    assert!(store.commit(&[event(2, 2, Some((NEW, OPEN))), event(3, 3, Some((OPEN, NEW)))]).await.is_err());
    assert_eq!(store.ticket(TENANT, TicketId(1)).await.unwrap().unwrap().status, NEW);
    store.commit(&[event(2, 2, Some((NEW, OPEN)))]).await.unwrap();
    // Into another queue a ticket goes with a status of another lifecycle, and only so.
    let mut crossing = event(3, 3, Some((OPEN, TRIAGE)));
    crossing.route.queue_from = Some(QueueId(2));
    let mut within = event(3, 3, Some((OPEN, NEW)));
    within.route.queue_from = Some(QueueId(2));
    assert!(store.commit(&[within]).await.is_err());
    store.commit(&[crossing]).await.unwrap();
    store.commit(&[event(4, 4, Some((TRIAGE, WORKING)))]).await.unwrap();
}

#[tokio::test]
async fn what_was_removed_passes_only_for_a_while() {
    let (store, _folder) = sqlite().await;
    save(&store, &returns(), &[]).await.unwrap();
    let mut other = returns();
    other.statuses[1].name = "busy".to_owned();
    for edge in &mut other.edges {
        for end in [&mut edge.from, &mut edge.to] {
            if end == "working" {
                *end = "busy".to_owned();
            }
        }
    }
    for default in [&mut other.defaults.taken, &mut other.defaults.message, &mut other.defaults.reopen] {
        *default = Some("busy".to_owned());
    }
    assert_eq!(save(&store, &other, &[("working", "busy")]).await.unwrap(), LifecycleId(2));
    let (_, all) = lifecycles(&store).await;
    let busy = Status::from_index(9);
    assert_eq!(all.retiring().collect::<Vec<_>>(), [(WORKING, busy)]);
    let mut first = event(1, 1, None);
    first.event.status = TRIAGE;
    store.commit(&[first]).await.unwrap();
    assert!(store.commit(&[event(2, 2, Some((TRIAGE, WORKING)))]).await.is_err());
    // Admitted before the change: it was on its way.
    let mut early = event(2, 2, Some((TRIAGE, WORKING)));
    early.event.at = Timestamp(1_000);
    store.commit(&[early]).await.unwrap();
    store.commit(&[event(3, 3, Some((WORKING, busy)))]).await.unwrap();
    store.settle_statuses(TENANT, &WORKING.into()).await.unwrap();
    let (_, all) = lifecycles(&store).await;
    assert_eq!((all.retiring().count(), all.settled().collect::<Vec<_>>()), (0, vec![WORKING]));
    assert_eq!(all.name(WORKING), "working", "old events have it");
}

#[tokio::test]
async fn what_was_decided_on_an_old_state_is_not_saved() {
    let (store, _folder) = sqlite().await;
    let (revision, all) = lifecycles(&store).await;
    save(&store, &returns(), &[]).await.unwrap();
    let map = BTreeMap::new();
    let spec = returns();
    let plan = Change { name: "other", spec: &spec, map: &map }.plan(&all, &StatusSet::default()).unwrap();
    let outdated = SaveLifecycle {
        tenant: TENANT,
        revision,
        id: None,
        name: "other".to_owned(),
        spec: spec.clone(),
        plan,
        audit: audit("lifecycle.saved"),
    };
    assert!(matches!(store.save_lifecycle(outdated).await, Err(StoreError::Outdated)));
    let audit_of = audit("lifecycle.deleted");
    let delete = DeleteLifecycle {
        tenant: TENANT,
        revision,
        id: LifecycleId(2),
        retired: Vec::new(),
        audit: audit_of,
    };
    assert!(matches!(store.delete_lifecycle(delete.clone()).await, Err(StoreError::Outdated)));
    let give = GiveLifecycle {
        tenant: TENANT,
        revision,
        queue: QueueId(2),
        lifecycle: LifecycleId(2),
        pairs: vec![(NEW, TRIAGE)],
        audit: audit("queue.lifecycle"),
    };
    assert!(matches!(store.give_lifecycle(give.clone()).await, Err(StoreError::Outdated)));
    let (revision, _) = lifecycles(&store).await;
    store.give_lifecycle(GiveLifecycle { revision, ..give }).await.unwrap();
    let changes = store.queue_changes().await.unwrap();
    assert_eq!(
        (changes.len(), changes[0].queue, changes[0].pairs.as_slice()),
        (1, QueueId(2), [(NEW, TRIAGE)].as_slice())
    );
    store.finish_queue_change(TENANT, QueueId(2)).await.unwrap();
    assert!(store.queue_changes().await.unwrap().is_empty());
    let (revision, all) = lifecycles(&store).await;
    assert_eq!(all.of_queue(QueueId(2)).name(), "returns");
    let retired = all.named("returns").unwrap().statuses().iter().map(|status| (*status, CLOSED)).collect();
    store.delete_lifecycle(DeleteLifecycle { revision, retired, ..delete }).await.unwrap();
    let (_, all) = lifecycles(&store).await;
    assert!(all.named("returns").is_none());
    assert_eq!((all.current(TRIAGE), all.name(TRIAGE)), (CLOSED, "triage"));
    // Its name is free again, its number and its statuses' are not.
    assert_eq!(save(&store, &returns(), &[]).await.unwrap(), LifecycleId(3));
    let (_, all) = lifecycles(&store).await;
    assert_eq!(all.named("returns").unwrap().initial(), Status::from_index(9));
}
