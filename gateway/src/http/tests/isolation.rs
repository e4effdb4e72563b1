//! The isolation matrix: who may ask what of whose things. Every endpoint has a row here that says which right it needs;
//! what each kind of caller is answered follows from that row and from what the caller may do, never from the code.

mod cases;
mod views;

use std::cell::Cell;

use http::{Method, Request};
use http_body_util::Full;
use serde_json::{Value, json};
use waggle_core::id::{AgentId, QueueId, RoleId, TenantId};
use waggle_core::name::Name;
use waggle_core::requester::{Identity, IdentityKind};
use waggle_core::right::{Right, Rights};

use super::{World, token};
use crate::http::endpoint::{ENDPOINTS, Endpoint, Operation, Verb};
use crate::store::{ADMIN_ROLE, AGENT_ROLE, AgentState, AuditActor, Grantee, Scope, VIEWER_ROLE};

const ACME: TenantId = TenantId(1);
const OTHER: TenantId = TenantId(2);
/// Queues of the tenant: one that some may see alone, and one that those may not.
const HERE: QueueId = QueueId(1);
const THERE: QueueId = QueueId(2);
/// The number of things that the other tenant has and this one has not.
const ABROAD: u64 = 60;
/// The same of requesters, of which the rows below make more.
const ABROAD_REQUESTER: u64 = 150;
const OPERATOR: AuditActor = AuditActor::Operator;

const AGENT: &str = "see create reply note claim assign edit move_queue close merge";
const ALL: &str = "see create reply note claim assign edit move_queue close merge delete export administer";

/// A caller, and what it may do: in words of its own, not as the gateway works it out.
struct Caller {
    name: &'static str,
    token: Option<String>,
    is_let_in: bool,
    reads_only: bool,
    here: Rights,
    there: Rights,
    everywhere: Rights,
}

/// Whose thing a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Object {
    /// In the queue `HERE`, or of the tenant as a whole.
    Here,
    /// In the queue `THERE`.
    There,
    /// The other tenant's alone.
    Abroad,
}

/// What an endpoint needs.
#[derive(Debug, Clone, Copy)]
enum Needs {
    Nothing,
    LetIn,
    /// A session; tokens are refused.
    Session,
    Somewhere(Right),
    Everywhere(Right),
    /// In the object's queue, in which it does not exist for whoever does not see that.
    InQueue(Right),
    /// The same for a queue that the body names.
    InNamedQueue(Right),
    /// To administer the object's queue. Whoever administers nothing at all is refused for all of them alike.
    Chief,
    /// Whose it is, or an administrator; for others it does not exist.
    Own,
}

struct Case {
    needs: Needs,
    ok: u16,
    /// For a thing that there is not.
    missing: u16,
    path: String,
    body: Option<Value>,
}

fn case(needs: Needs, ok: u16, path: impl Into<String>) -> Case {
    Case { needs, ok, missing: 404, path: path.into(), body: None }
}

impl Case {
    fn with(self, body: Value) -> Self {
        Self { body: Some(body), ..self }
    }

    /// What a caller is answered: the whole contract, in one place.
    fn expected(&self, caller: &Caller, endpoint: &Endpoint, object: Object) -> u16 {
        let changes = !matches!(endpoint.method, Verb::Get | Verb::GetOnly);
        if matches!(self.needs, Needs::Nothing) {
            return self.ok;
        }
        if !caller.is_let_in {
            return 401;
        }
        if caller.reads_only && changes {
            return 403;
        }
        let own = match object {
            Object::Here => caller.here,
            Object::There => caller.there,
            Object::Abroad => Rights::NONE,
        };
        let somewhere = caller.here.or(caller.there).or(caller.everywhere);
        let there_is = object != Object::Abroad;
        let may = |has: bool| match (has, there_is) {
            (false, _) => 403,
            (true, false) => self.missing,
            (true, true) => self.ok,
        };
        match self.needs {
            Needs::Nothing => self.ok,
            Needs::LetIn => may(true),
            Needs::Session => 403,
            Needs::Somewhere(right) => may(somewhere.has(right)),
            Needs::Everywhere(right) => may(caller.everywhere.has(right)),
            Needs::InQueue(_) | Needs::InNamedQueue(_) if !own.has(Right::See) => self.missing,
            Needs::InQueue(right) | Needs::InNamedQueue(right) => may(own.has(right)),
            Needs::Chief if !somewhere.has(Right::Administer) => 403,
            Needs::Chief if !own.has(Right::See) => self.missing,
            Needs::Chief => may(own.has(Right::Administer)),
            Needs::Own if caller.everywhere.has(Right::Administer) && there_is => self.ok,
            Needs::Own => self.missing,
        }
    }
}

/// The world with its callers, and things to ask for.
struct Stage {
    world: World,
    callers: Vec<Caller>,
    here: u64,
    there: u64,
    file_here: String,
    file_there: String,
    fresh: Cell<u64>,
}

impl Stage {
    async fn new() -> Self {
        let world = World::new().await;
        let (mut here, mut there) = (0, 0);
        // Tickets 1 and 2 of the other tenant are somebody else's.
        for queue in [HERE, HERE, THERE] {
            let mut command = super::create();
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
    async fn furnish_abroad(&self) {
        let store = &self.world.api.store;
        for number in 1..=ABROAD {
            let name = Name::parse(&format!("abroad {number}")).unwrap();
            store.add_agent(OPERATOR, OTHER, &name, Some(VIEWER_ROLE)).await.unwrap();
            store.add_team(OPERATOR, OTHER, &name).await.unwrap();
            store.add_role(OPERATOR, OTHER, &name, Rights::NONE).await.unwrap();
            let made =
                self.world.post_as(&self.world.stranger, "/v1/tickets", &[], super::create().to_string());
            assert_eq!(made.await.status, 201);
        }
        for _ in 1..=ABROAD_REQUESTER {
            store.create_requester(OPERATOR, OTHER, &Name::parse("abroad").unwrap(), &[]).await.unwrap();
        }
    }

    fn ticket(&self, object: Object) -> u64 {
        match object {
            Object::Here => self.here,
            Object::There => self.there,
            Object::Abroad => ABROAD,
        }
    }

    fn queue(object: Object) -> QueueId {
        match object {
            Object::Here => HERE,
            Object::There => THERE,
            Object::Abroad => QueueId(ABROAD as u32),
        }
    }

    fn name(&self) -> Name {
        self.fresh.set(self.fresh.get() + 1);
        Name::parse(&format!("fresh {}", self.fresh.get())).unwrap()
    }

    async fn refresh(&self) {
        self.world.api.directory.refresh(self.world.api.store.as_ref()).await.unwrap();
    }

    async fn agent(&self, object: Object) -> u64 {
        let added = self.world.api.store.add_agent(OPERATOR, ACME, &self.name(), None).await.unwrap();
        if object == Object::Abroad { ABROAD } else { added.id.0.into() }
    }

    async fn team(&self, object: Object) -> u64 {
        let added = self.world.api.store.add_team(OPERATOR, ACME, &self.name()).await.unwrap();
        if object == Object::Abroad { ABROAD } else { added.id.0.into() }
    }

    async fn role(&self, object: Object) -> u64 {
        let added =
            self.world.api.store.add_role(OPERATOR, ACME, &self.name(), Rights::VIEWER).await.unwrap();
        if object == Object::Abroad { ABROAD } else { added.id.0.into() }
    }

    async fn requester(&self, object: Object) -> u64 {
        let added = self.world.api.store.create_requester(OPERATOR, ACME, &self.name(), &[]).await.unwrap();
        assert!(added.id.0 < ABROAD_REQUESTER, "the other tenant has more");
        if object == Object::Abroad { ABROAD_REQUESTER } else { added.id.0 }
    }

    async fn ask(&self, caller: &Caller, endpoint: &Endpoint, case: &Case) -> super::Answer {
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

    /// Asks an endpoint as a caller for each kind of object; how many cells that were, and which are wrong.
    async fn cells(
        &self,
        endpoint: &Endpoint,
        caller: &Caller,
        objects: &[Object],
        wrong: &mut Vec<String>,
    ) -> usize {
        let mut cells = 0;
        for object in objects.iter().copied() {
            let Some(case) = self.case(endpoint.operation, object).await else { continue };
            self.refresh().await;
            let (wanted, answer) =
                (case.expected(caller, endpoint, object), self.ask(caller, endpoint, &case).await);
            cells += 1;
            if answer.status.as_u16() != wanted {
                let body = String::from_utf8_lossy(&answer.bytes).chars().take(160).collect::<String>();
                wrong.push(format!(
                    "{} asks {:?} {object:?} ({}): {} instead of {wanted}: {body}",
                    caller.name, endpoint.operation, case.path, answer.status
                ));
            }
            // A refusal does not tell what it is about.
            if wanted == 404 || wanted == 422 {
                let text = String::from_utf8_lossy(&answer.bytes);
                assert!(!text.contains("Lost card") && !text.contains("abroad"), "{text}");
            }
        }
        cells
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

#[tokio::test]
async fn everybody_is_answered_as_his_rights_say() {
    let stage = Stage::new().await;
    stage.refresh().await;
    let mut wrong = Vec::new();
    // Whoever administers another tenant asks for this one's things, whose numbers his own tenant has not yet.
    let stranger = Caller {
        name: "another tenant's admin",
        token: Some(stage.world.stranger.clone()),
        is_let_in: true,
        reads_only: false,
        here: Rights::NONE,
        there: Rights::NONE,
        everywhere: Rights::parse(ALL).unwrap(),
    };
    let mut foreign = 0;
    for endpoint in ENDPOINTS.iter().filter(|endpoint| endpoint.path.contains('{')) {
        let Some(case) = stage.case(endpoint.operation, Object::There).await else { continue };
        let wanted = case.expected(&stranger, endpoint, Object::There);
        let answer = stage.ask(&stranger, endpoint, &case).await;
        foreign += 1;
        assert!(matches!(wanted, 404 | 422), "{:?}", endpoint.operation);
        if answer.status.as_u16() != wanted {
            wrong
                .push(format!("a stranger asks {:?} ({}): {}", endpoint.operation, case.path, answer.status));
        }
    }
    stage.furnish_abroad().await;
    let (mut own, mut without) = (0, Vec::new());
    for endpoint in ENDPOINTS {
        let mut cells = 0;
        for caller in &stage.callers {
            cells += stage
                .cells(endpoint, caller, &[Object::Here, Object::There, Object::Abroad], &mut wrong)
                .await;
        }
        own += cells;
        if cells == 0 {
            without.push(endpoint.operation);
        }
    }
    println!(
        "isolation matrix: {} endpoints, {} callers: {own} cells, and {foreign} of another tenant's administrator",
        ENDPOINTS.len(),
        stage.callers.len(),
    );
    assert!(without.is_empty(), "endpoints without a row in the matrix: {without:?}");
    assert!(wrong.is_empty(), "{} cells are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// What a list shows is what one may see, page by page.
#[tokio::test]
async fn lists_show_what_one_may_see() {
    let stage = Stage::new().await;
    stage.refresh().await;
    for caller in stage.callers.iter().filter(|caller| caller.is_let_in) {
        let token = caller.token.as_deref().unwrap();
        for (query, queues) in
            [("", [HERE, HERE, THERE].as_slice()), ("&queue=2", &[THERE]), ("&queue=1", &[HERE, HERE])]
        {
            let mut seen = Vec::new();
            let mut next = String::new();
            loop {
                let page =
                    stage.world.get_as(token, &format!("/v1/tickets?limit=1{query}{next}"), &[]).await.json();
                let tickets = page["tickets"].as_array().unwrap();
                seen.extend(tickets.iter().map(|ticket| ticket["queue"].as_u64().unwrap()));
                let Some(cursor) = page["next"].as_str() else { break };
                next = format!("&cursor={cursor}");
            }
            seen.sort_unstable();
            let may = |queue: &&QueueId| {
                if **queue == HERE { caller.here.has(Right::See) } else { caller.there.has(Right::See) }
            };
            let wanted: Vec<u64> = queues.iter().filter(may).map(|queue| queue.0.into()).collect();
            assert_eq!(seen, wanted, "{} {query}", caller.name);
        }
        let queues = stage.world.get_as(token, "/v1/queues", &[]).await.json();
        let shown = queues["queues"].as_array().unwrap().iter().map(|queue| queue["id"].as_u64().unwrap());
        let wanted =
            [(HERE, caller.here), (THERE, caller.there)].into_iter().filter(|(_, rights)| !rights.is_empty());
        assert!(shown.eq(wanted.map(|(queue, _)| u64::from(queue.0))), "{}", caller.name);
    }
}
