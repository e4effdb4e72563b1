//! The world that the matrix plays in: its callers, and things to ask for.

use super::*;

/// The world with its callers, and things to ask for.
pub(super) struct Stage {
    pub(super) world: World,
    pub(super) callers: Vec<Caller>,
    pub(super) here: u64,
    pub(super) there: u64,
    pub(super) file_here: String,
    pub(super) file_there: String,
    pub(super) fresh: Cell<u64>,
}

impl Stage {
    pub(super) async fn new() -> Self {
        let world = World::new().await;
        let (mut here, mut there) = (0, 0);
        // Tickets 1 and 2 of the other tenant are somebody else's.
        for queue in [HERE, HERE, THERE] {
            let mut command = create();
            command["queue"] = json!(queue);
            let made = world.post("/v1/tickets", command).await.json()["ticket"].as_u64().unwrap();
            *(if queue == HERE { &mut here } else { &mut there }) = made;
        }
        let mut files = Vec::new();
        for ticket in [here, there] {
            let path = format!("/v1/tickets/{ticket}/attachments");
            let added = world.post_as(&world.admin, &format!("{path}?name=a.txt"), &[], "a file").await;
            assert_eq!(added.status, 201, "{:?}", added.bytes);
            let list = world.get_as(&world.admin, &path, &[]).await.json();
            files.push(list["attachments"][0]["hash"].as_str().unwrap().to_owned());
        }
        let callers = callers(&world).await;
        let [file_here, file_there] = <[String; 2]>::try_from(files).unwrap();
        Self { world, callers, here, there, file_here, file_there, fresh: Cell::new(0) }
    }

    /// Gives the other tenant more of everything than the tenant has.
    pub(super) async fn furnish_abroad(&self) {
        let store = &self.world.api.store;
        for number in 1..=ABROAD {
            let name = Name::parse(&format!("abroad {number}")).unwrap();
            store.add_agent(OPERATOR, OTHER, &name, Some(VIEWER_ROLE)).await.unwrap();
            store.add_team(OPERATOR, OTHER, &name).await.unwrap();
            store.add_role(OPERATOR, OTHER, &name, Rights::NONE).await.unwrap();
            let made = self.world.post_as(&self.world.stranger, "/v1/tickets", &[], create().to_string());
            assert_eq!(made.await.status, 201);
        }
        for _ in 1..=ABROAD_REQUESTER {
            store.create_requester(OPERATOR, OTHER, &Name::parse("abroad").unwrap(), &[]).await.unwrap();
        }
    }

    pub(super) fn ticket(&self, object: Object) -> u64 {
        match object {
            Object::Here => self.here,
            Object::There => self.there,
            Object::Abroad => ABROAD,
        }
    }

    pub(super) fn queue(object: Object) -> QueueId {
        match object {
            Object::Here => HERE,
            Object::There => THERE,
            Object::Abroad => QueueId(ABROAD as u32),
        }
    }

    pub(super) fn name(&self) -> Name {
        self.fresh.set(self.fresh.get() + 1);
        Name::parse(&format!("fresh {}", self.fresh.get())).unwrap()
    }

    pub(super) async fn refresh(&self) {
        self.world.api.directory.refresh(self.world.api.store.as_ref()).await.unwrap();
    }

    pub(super) async fn agent(&self, object: Object) -> u64 {
        let added = self.world.api.store.add_agent(OPERATOR, ACME, &self.name(), None).await.unwrap();
        if object == Object::Abroad { ABROAD } else { added.id.0.into() }
    }

    pub(super) async fn team(&self, object: Object) -> u64 {
        let added = self.world.api.store.add_team(OPERATOR, ACME, &self.name()).await.unwrap();
        if object == Object::Abroad { ABROAD } else { added.id.0.into() }
    }

    pub(super) async fn role(&self, object: Object) -> u64 {
        let added =
            self.world.api.store.add_role(OPERATOR, ACME, &self.name(), Rights::VIEWER).await.unwrap();
        if object == Object::Abroad { ABROAD } else { added.id.0.into() }
    }

    pub(super) async fn requester(&self, object: Object) -> u64 {
        let added = self.world.api.store.create_requester(OPERATOR, ACME, &self.name(), &[]).await.unwrap();
        assert!(added.id.0 < ABROAD_REQUESTER, "the other tenant has more");
        if object == Object::Abroad { ABROAD_REQUESTER } else { added.id.0 }
    }

    pub(super) async fn ask(&self, caller: &Caller, endpoint: &Endpoint, case: &Case) -> Answer {
        let method = match endpoint.method {
            Verb::Get | Verb::GetOnly => Method::GET,
            Verb::Post => Method::POST,
            Verb::Put => Method::PUT,
            Verb::Patch => Method::PATCH,
            Verb::Delete => Method::DELETE,
        };
        let mut request = Request::builder().method(method).uri(&case.path);
        if let Some(token) = &caller.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let body = case.body.as_ref().map(ToString::to_string).unwrap_or_default();
        let request =
            request.header("content-type", "application/json").body(Full::new(body.into())).unwrap();
        self.world.send(request).await
    }
}

async fn callers(world: &World) -> Vec<Caller> {
    let store = &world.api.store;
    let rights = |text: &str| Rights::parse(text).unwrap();
    let night = store.add_team(OPERATOR, ACME, &Name::parse("night").unwrap()).await.unwrap().id;
    store.grant(OPERATOR, ACME, AGENT_ROLE, Grantee::Team(night), Some(HERE)).await.unwrap();
    let mut callers = Vec::new();
    // Name, role and where, scope; then what that comes to: here, there, everywhere.
    /// Name; role, and the one queue that it is for; scope; rights here, there and everywhere.
    type Row = (&'static str, Option<(RoleId, Option<QueueId>)>, Scope, [&'static str; 3]);
    let rows: [Row; 9] = [
        ("admin", Some((ADMIN_ROLE, None)), Scope::Admin, [ALL, ALL, ALL]),
        ("agent", Some((AGENT_ROLE, None)), Scope::Agent, [AGENT, AGENT, AGENT]),
        ("agent here", Some((AGENT_ROLE, Some(HERE))), Scope::Admin, [AGENT, "", ""]),
        ("viewer", Some((VIEWER_ROLE, None)), Scope::Agent, ["see", "see", "see"]),
        ("viewer here", Some((VIEWER_ROLE, Some(HERE))), Scope::Agent, ["see", "", ""]),
        ("chief here", Some((ADMIN_ROLE, Some(HERE))), Scope::Admin, [ALL, "", ""]),
        ("admin's agent token", Some((ADMIN_ROLE, None)), Scope::Agent, [AGENT, AGENT, AGENT]),
        ("admin's read token", Some((ADMIN_ROLE, None)), Scope::Read, ["see", "see", "see"]),
        ("nothing", None, Scope::Admin, ["", "", ""]),
    ];
    for (name, role, scope, [here, there, everywhere]) in rows {
        let agent = store.add_agent(OPERATOR, ACME, &Name::parse(name).unwrap(), None).await.unwrap().id;
        if let Some((role, queue)) = role {
            store.grant(OPERATOR, ACME, role, Grantee::Agent(agent), queue).await.unwrap();
        }
        callers.push(Caller {
            name,
            token: Some(token(store.as_ref(), ACME, agent, scope, None).await),
            is_let_in: true,
            reads_only: scope == Scope::Read,
            here: rights(here),
            there: rights(there),
            everywhere: rights(everywhere),
        });
    }
    let member = store.add_agent(OPERATOR, ACME, &Name::parse("member").unwrap(), None).await.unwrap().id;
    store.add_member(OPERATOR, ACME, night, member).await.unwrap();
    let gone =
        store.add_agent(OPERATOR, ACME, &Name::parse("gone").unwrap(), Some(ADMIN_ROLE)).await.unwrap().id;
    let gone_token = token(store.as_ref(), ACME, gone, Scope::Admin, None).await;
    store.change_agent(OPERATOR, ACME, gone, None, Some(AgentState::Deactivated)).await.unwrap();
    let outside = |name, token, is_let_in, here| Caller {
        name,
        token,
        is_let_in,
        reads_only: false,
        here,
        there: Rights::NONE,
        everywhere: Rights::NONE,
    };
    let member = token(store.as_ref(), ACME, member, Scope::Agent, None).await;
    callers.push(outside("member of a team here", Some(member), true, rights(AGENT)));
    callers.push(outside("deactivated", Some(gone_token), false, Rights::NONE));
    callers.push(outside("nobody", None, false, Rights::NONE));
    callers.push(outside("expired", Some(world.expired.clone()), false, Rights::NONE));
    callers
}
