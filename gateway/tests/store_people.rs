//! People and rights in storage: what every adapter does.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;

use waggle_core::id::{AgentId, GrantId, QueueId, RequesterId, RoleId, TeamId, TenantId};
use waggle_core::limits::{QUEUES_MAX, ROLES_MAX};
use waggle_core::name::Name;
use waggle_core::requester::{Identity, IdentityKind};
use waggle_core::right::{Right, Rights};
use waggle_gateway::store::{
    ADMIN_ROLE, AGENT_ROLE, AgentState, AuditActor, AuditFilter, Grantee, Named, PeopleError, PeopleRefusal,
    PeopleStore, Scope, SqliteStore, Store, StoreError, VIEWER_ROLE,
};

const ANA: AuditActor = AuditActor::Agent(AgentId(1));
const OPERATOR: AuditActor = AuditActor::Operator;

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn email(text: &str) -> Identity {
    Identity::parse(IdentityKind::Email, text).unwrap()
}

fn refusal<T: std::fmt::Debug>(result: Result<T, PeopleError>) -> PeopleRefusal {
    match result {
        Err(PeopleError::Refused(refusal)) => refusal,
        other => panic!("expected a refusal, not {other:?}"),
    }
}

async fn sqlite(folder: &Path) -> SqliteStore {
    SqliteStore::open(&folder.join("waggle.db")).await.unwrap()
}

async fn acme(store: &dyn Store) -> TenantId {
    store.create_tenant("acme").await.unwrap().id
}

async fn every_tenant_has_the_built_in_roles(store: &dyn Store) {
    let tenant = acme(store).await;
    let roles = store.directory().await.unwrap().people.roles;
    let found: Vec<_> = roles.iter().map(|role| (role.id, role.name.as_str(), role.rights)).collect();
    assert_eq!(
        found,
        [
            (ADMIN_ROLE, "admin", Rights::ALL),
            (AGENT_ROLE, "agent", Rights::AGENT),
            (VIEWER_ROLE, "viewer", Rights::VIEWER)
        ]
    );
    assert!(roles.iter().all(|role| role.is_builtin && role.tenant == tenant));
    for role in [ADMIN_ROLE, AGENT_ROLE, VIEWER_ROLE] {
        let changed = store.change_role(OPERATOR, tenant, role, None, Some(Rights::NONE)).await;
        assert!(matches!(refusal(changed), PeopleRefusal::Builtin(_)));
        assert!(matches!(
            refusal(store.delete_role(OPERATOR, tenant, role).await),
            PeopleRefusal::Builtin(_)
        ));
    }
    // Its name is looked at like any other.
    let alike = refusal(store.add_role(OPERATOR, tenant, &name("Admin"), Rights::NONE).await);
    assert!(matches!(alike, PeopleRefusal::NameTaken { id: 1, .. }), "{alike}");
    // What storage made without the new methods works on tickets.
    let agent = store.create_agent(tenant, "ana").await.unwrap().id;
    let grants = store.directory().await.unwrap().people.grants;
    assert_eq!((grants[0].role, grants[0].to, grants[0].queue), (AGENT_ROLE, Grantee::Agent(agent), None));
}

async fn names_are_unique_by_what_they_look_like(store: &dyn Store) {
    let tenant = acme(store).await;
    let other = store.create_tenant("other").await.unwrap().id;
    let queue = store.add_queue(ANA, tenant, &name("support")).await.unwrap();
    // The last two letters are Cyrillic; so is all of the word that follows.
    let alike = refusal(store.add_queue(ANA, tenant, &name("SUPPORT")).await);
    assert_eq!(
        alike.to_string(),
        r#"the name "SUPPORT" is taken, or looks like that of queue 1, "support"; choose another"#
    );
    store.add_queue(ANA, other, &name("support")).await.unwrap();
    store.add_agent(ANA, tenant, &name("cope"), None).await.unwrap();
    let cyrillic = name("\u{441}\u{43e}\u{440}\u{435}");
    assert!(matches!(
        refusal(store.add_agent(ANA, tenant, &cyrillic, None).await),
        PeopleRefusal::NameTaken { kind: "agent", .. }
    ));
    store.rename(ANA, tenant, Named::Queue(queue.id), &name("Support")).await.unwrap();
    let billing = store.add_queue(ANA, tenant, &name("billing")).await.unwrap();
    let taken = store.rename(ANA, tenant, Named::Queue(billing.id), &name("support")).await;
    assert!(matches!(refusal(taken), PeopleRefusal::NameTaken { .. }));
    let missing = store.rename(ANA, tenant, Named::Team(TeamId(9)), &name("x")).await;
    assert_eq!(refusal(missing), PeopleRefusal::Missing { kind: "team", id: 9 });
    let nowhere = store.add_queue(ANA, TenantId(99), &name("x")).await;
    assert!(matches!(nowhere, Err(PeopleError::Store(StoreError::Missing { kind: "tenant", .. }))));
    let queues = store.directory().await.unwrap().queues;
    assert_eq!(
        queues.iter().map(|queue| queue.name.as_str()).collect::<Vec<_>>(),
        ["Support", "billing", "support"]
    );
}

async fn roles_are_given_and_withdrawn(store: &dyn Store) {
    let tenant = acme(store).await;
    let other = store.create_tenant("other").await.unwrap().id;
    let queue = store.add_queue(OPERATOR, tenant, &name("support")).await.unwrap().id;
    let ana = store.add_agent(OPERATOR, tenant, &name("ana"), Some(ADMIN_ROLE)).await.unwrap().id;
    let ben = store.add_agent(OPERATOR, tenant, &name("ben"), None).await.unwrap().id;
    let night = store.add_team(ANA, tenant, &name("night")).await.unwrap().id;
    let answer: Rights = [Right::See, Right::Reply].into_iter().collect();
    let role = store.add_role(ANA, tenant, &name("answers"), answer).await.unwrap().id;

    let before = store.directory_revision().await.unwrap();
    store.add_member(ANA, tenant, night, ben).await.unwrap();
    let grant = store.grant(ANA, tenant, role, Grantee::Team(night), Some(queue)).await.unwrap();
    assert!(store.directory_revision().await.unwrap() > before);
    let again = store.grant(ANA, tenant, role, Grantee::Team(night), Some(queue)).await;
    assert_eq!(refusal(again), PeopleRefusal::Granted(grant.id));
    assert_eq!(
        refusal(store.add_member(ANA, tenant, night, ben).await),
        PeopleRefusal::Member { team: night, agent: ben }
    );
    let people = store.directory().await.unwrap().people;
    assert_eq!(people.grants.last(), Some(&grant));
    assert_eq!((people.members[0].team, people.members[0].agent), (night, ben));
    assert_eq!(people.roles.iter().find(|row| row.id == role).unwrap().rights, answer);

    for (role, to, queue, kind) in [
        (RoleId(99), Grantee::Agent(ben), None, "role"),
        (role, Grantee::Agent(AgentId(99)), None, "agent"),
        (role, Grantee::Team(TeamId(99)), None, "team"),
        (role, Grantee::Agent(ben), Some(QueueId(99)), "queue"),
    ] {
        let missing = refusal(store.grant(ANA, tenant, role, to, queue).await);
        assert_eq!(missing, PeopleRefusal::Missing { kind, id: 99 });
    }
    // Another tenant's things are not there.
    for change in [
        store.grant(ANA, other, AGENT_ROLE, Grantee::Agent(ana), None).await.map(drop),
        store.withdraw(ANA, other, grant.id).await,
        store.add_member(ANA, other, night, ana).await,
        store.delete_team(ANA, other, night).await,
        store.delete_role(ANA, other, role).await,
        store.change_agent(ANA, other, ana, None, Some(AgentState::Deactivated)).await,
        store.rename(ANA, other, Named::Queue(queue), &name("theirs")).await,
    ] {
        assert!(matches!(refusal(change), PeopleRefusal::Missing { .. }));
    }
    assert!(matches!(refusal(store.delete_role(ANA, tenant, role).await), PeopleRefusal::InUse { .. }));
    assert!(matches!(refusal(store.delete_team(ANA, tenant, night).await), PeopleRefusal::InUse { .. }));
    store.withdraw(ANA, tenant, grant.id).await.unwrap();
    assert!(matches!(refusal(store.withdraw(ANA, tenant, grant.id).await), PeopleRefusal::Missing { .. }));
    store.remove_member(ANA, tenant, night, ben).await.unwrap();
    store.delete_team(ANA, tenant, night).await.unwrap();
    store.delete_role(ANA, tenant, role).await.unwrap();
    let filter = AuditFilter { actor: Some("agent:1".to_owned()), ..AuditFilter::default() };
    let actions: Vec<String> = store
        .audit_rows(tenant, &filter, None, 20)
        .await
        .unwrap()
        .into_iter()
        .map(|row| row.action)
        .collect();
    assert_eq!(
        actions,
        [
            "role.deleted",
            "team.deleted",
            "team.left",
            "role.withdrawn",
            "role.granted",
            "team.joined",
            "role.created",
            "team.created"
        ],
        "refused changes leave nothing"
    );
}

async fn somebody_administers_always(store: &dyn Store) {
    let tenant = acme(store).await;
    let ana = store.add_agent(OPERATOR, tenant, &name("ana"), Some(ADMIN_ROLE)).await.unwrap().id;
    let ben = store.add_agent(OPERATOR, tenant, &name("ben"), None).await.unwrap().id;
    let own = GrantId(1);
    let last = PeopleRefusal::LastAdministrator;
    let deactivate =
        async |by, agent| store.change_agent(by, tenant, agent, None, Some(AgentState::Deactivated)).await;
    assert_eq!(refusal(store.withdraw(ANA, tenant, own).await), last);
    assert_eq!(refusal(deactivate(ANA, ana).await), last);
    // By a team, too; but not in one queue alone.
    let chiefs = store.add_team(ANA, tenant, &name("chiefs")).await.unwrap().id;
    let queue = store.add_queue(ANA, tenant, &name("support")).await.unwrap().id;
    store.grant(ANA, tenant, ADMIN_ROLE, Grantee::Agent(ben), Some(queue)).await.unwrap();
    assert_eq!(refusal(store.withdraw(ANA, tenant, own).await), last);
    let rights = [Right::See, Right::Administer].into_iter().collect();
    let role = store.add_role(ANA, tenant, &name("chief"), rights).await.unwrap().id;
    store.grant(ANA, tenant, role, Grantee::Team(chiefs), None).await.unwrap();
    assert_eq!(refusal(store.withdraw(ANA, tenant, own).await), last);
    store.add_member(ANA, tenant, chiefs, ben).await.unwrap();
    store.withdraw(ANA, tenant, own).await.unwrap();
    assert_eq!(refusal(store.remove_member(ANA, tenant, chiefs, ben).await), last);
    assert_eq!(refusal(deactivate(ANA, ben).await), last);
    assert_eq!(refusal(store.change_role(ANA, tenant, role, None, Some(Rights::VIEWER)).await), last);
    store.change_role(ANA, tenant, role, Some(&name("head")), None).await.unwrap();
    // Whoever has the machine may, and can give it back.
    deactivate(OPERATOR, ben).await.unwrap();
    let row = store.directory().await.unwrap().agents.into_iter().find(|row| row.id == ben).unwrap();
    assert!(row.deactivated_at.is_some());
    store.change_agent(OPERATOR, tenant, ben, None, Some(AgentState::Active)).await.unwrap();
}

async fn requesters_are_known_by_their_identities(store: &dyn Store) {
    let tenant = acme(store).await;
    let other = store.create_tenant("other").await.unwrap().id;
    let phone = Identity::parse(IdentityKind::Phone, "+44 20 7946 0000").unwrap();
    let kim = store.create_requester(ANA, tenant, &name("Kim"), &[email("Kim@example.com")]).await.unwrap();
    let work = store
        .create_requester(ANA, tenant, &name("Kim W"), &[email("kim@work.example"), phone])
        .await
        .unwrap();
    let third = store.create_requester(ANA, tenant, &name("K"), &[]).await.unwrap();
    assert_eq!((kim.id, work.id, third.id), (RequesterId(1), RequesterId(2), RequesterId(3)));
    let found = store.requester_by_identity(tenant, &email("KIM@EXAMPLE.com")).await.unwrap();
    assert_eq!(found.as_ref(), Some(&kim));
    assert_eq!(store.requester_by_identity(other, &email("kim@example.com")).await.unwrap(), None);
    assert_eq!(store.requester(other, kim.id).await.unwrap(), None);
    // The same address in another tenant is another one's.
    store.create_requester(ANA, other, &name("Kim"), &[email("kim@example.com")]).await.unwrap();
    let taken = store.create_requester(ANA, tenant, &name("K"), &[email("kim@example.com")]).await;
    assert!(matches!(refusal(taken), PeopleRefusal::IdentityTaken { owner: RequesterId(1), .. }));

    let merged = store.merge_requesters(ANA, tenant, third.id, work.id).await.unwrap();
    assert_eq!((merged.id, merged.merged.as_slice()), (work.id, [third.id].as_slice()));
    let merged = store.merge_requesters(ANA, tenant, third.id, kim.id).await.unwrap();
    assert_eq!(merged.id, kim.id);
    assert_eq!((merged.identities.len(), merged.merged), (3, vec![work.id, third.id]), "no chains");
    for id in [kim.id, work.id, third.id] {
        assert_eq!(store.requester(tenant, id).await.unwrap().unwrap().id, kim.id);
    }
    assert_eq!(
        store.requester_by_identity(tenant, &email("kim@work.example")).await.unwrap().unwrap().id,
        kim.id
    );
    // The other way round they are one already.
    let opposite = store.merge_requesters(ANA, tenant, kim.id, work.id).await;
    assert!(matches!(refusal(opposite), PeopleRefusal::SameRequester { is: RequesterId(1), .. }));
    let missing = store.merge_requesters(ANA, tenant, kim.id, RequesterId(99)).await;
    assert_eq!(refusal(missing), PeopleRefusal::Missing { kind: "requester", id: 99 });
    let told = store.audit_rows(tenant, &AuditFilter::default(), None, 20).await.unwrap();
    assert!(told.iter().all(|row| !row.detail.to_lowercase().contains("kim")), "no names and addresses");
}

async fn a_tenant_has_so_many_and_no_more(store: &dyn Store) {
    let tenant = acme(store).await;
    // Three are built in.
    for number in 3..ROLES_MAX {
        store.add_role(OPERATOR, tenant, &name(&format!("role {number}")), Rights::NONE).await.unwrap();
    }
    let full = store.add_role(OPERATOR, tenant, &name("one more"), Rights::NONE).await;
    assert_eq!(refusal(full), PeopleRefusal::TooMany { kind: "roles", limit: ROLES_MAX });
    const { assert!(QUEUES_MAX > ROLES_MAX) };
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

conformance!(
    every_tenant_has_the_built_in_roles,
    names_are_unique_by_what_they_look_like,
    roles_are_given_and_withdrawn,
    somebody_administers_always,
    requesters_are_known_by_their_identities,
    a_tenant_has_so_many_and_no_more,
);

/// A database of the version before: its agents keep what they had.
#[tokio::test]
async fn agents_of_an_older_database_keep_what_they_had() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("waggle.db");
    let url = format!("sqlite:{}?mode=rwc", file.display());
    let old = sqlx::SqlitePool::connect(&url).await.unwrap();
    let mut migrator = sqlx::migrate!("migrations/sqlite");
    migrator.migrations.to_mut().retain(|migration| migration.version < 5);
    migrator.run(&old).await.unwrap();
    for sql in [
        "INSERT INTO tenant (id, name, epoch) VALUES (1, 'acme', 7)",
        "INSERT INTO agent (tenant, id, name) VALUES (1, 1, 'ana'), (1, 2, 'ben'), (1, 3, 'bEn')",
        "INSERT INTO token (tenant, agent, scope, hash, created_at) VALUES (1, 1, 'admin', zeroblob(32), 1)",
        "INSERT INTO token (tenant, agent, scope, hash, created_at, revoked_at) VALUES (1, 2, 'admin', randomblob(32), 1, 2)",
    ] {
        sqlx::query(sql).execute(&old).await.unwrap();
    }
    old.close().await;
    let store = sqlite(folder.path()).await;
    let rows = store.directory().await.unwrap();
    let roles: Vec<_> = rows.people.grants.iter().map(|grant| (grant.to, grant.role, grant.queue)).collect();
    assert_eq!(
        roles,
        [
            (Grantee::Agent(AgentId(1)), ADMIN_ROLE, None),
            (Grantee::Agent(AgentId(2)), AGENT_ROLE, None),
            (Grantee::Agent(AgentId(3)), AGENT_ROLE, None)
        ]
    );
    assert!(rows.tokens[0].scopes.has(Scope::Admin));
    // Two that look alike already stay; a third one is refused.
    let alike = store.add_agent(OPERATOR, TenantId(1), &name("BEN"), None).await;
    assert!(matches!(refusal(alike), PeopleRefusal::NameTaken { id: 2, .. }));
}
