//! The isolation matrix: who may ask what of whose things. Every endpoint has a row here that says which right it needs;
//! what each kind of caller is answered follows from that row and from what the caller may do, never from the code.

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

    /// An endpoint's row for one kind of object; `None` where it has nothing to do with such objects.
    async fn case(&self, operation: Operation, object: Object) -> Option<Case> {
        let whole = object == Object::Here;
        let row = match operation {
            Operation::ListTickets if whole => case(Needs::LetIn, 200, "/v1/tickets"),
            Operation::Search if whole => case(Needs::LetIn, 200, "/v1/search?q=card"),
            Operation::GetMe if whole => case(Needs::LetIn, 200, "/v1/me"),
            Operation::ListQueues if whole => case(Needs::LetIn, 200, "/v1/queues"),
            Operation::ListAgents if whole => case(Needs::Somewhere(Right::See), 200, "/v1/agents"),
            Operation::GetPresence if whole => case(Needs::Somewhere(Right::See), 200, "/v1/presence"),
            Operation::ListTeams if whole => case(Needs::Somewhere(Right::See), 200, "/v1/teams"),
            Operation::ListRoles if whole => case(Needs::Somewhere(Right::Administer), 200, "/v1/roles"),
            Operation::ListGrants if whole => case(Needs::Somewhere(Right::Administer), 200, "/v1/grants"),
            Operation::ListAudit if whole => case(Needs::Everywhere(Right::Administer), 200, "/v1/audit"),
            Operation::ListPushSessions if whole => {
                case(Needs::Everywhere(Right::Administer), 200, "/v1/push/sessions")
            }
            // Who it is comes with the first message; without a handshake there is nothing to upgrade.
            Operation::OpenPush if whole => case(Needs::Nothing, 426, "/v1/push"),
            Operation::StreamEvents if whole => case(Needs::LetIn, 200, "/v1/push/events?views=tenant"),
            Operation::GetHealth if whole => case(Needs::Nothing, 200, "/healthz"),
            Operation::GetReadiness if whole => case(Needs::Nothing, 200, "/readyz"),
            Operation::GetMetrics if whole => case(Needs::Nothing, 200, "/metrics"),
            _ => match operation {
                Operation::CreateTicket
                | Operation::GetTicket
                | Operation::ListMessages
                | Operation::ListEvents
                | Operation::SubmitCommand
                | Operation::AddAttachment
                | Operation::ListAttachments
                | Operation::GetAttachment => self.of_tickets(operation, object),
                _ if object == Object::There => return self.of_queues(operation, object).await,
                _ => return self.of_tenant(operation, object).await,
            },
        };
        Some(row)
    }

    fn of_tickets(&self, operation: Operation, object: Object) -> Case {
        let ticket = self.ticket(object);
        let path = format!("/v1/tickets/{ticket}");
        match operation {
            Operation::CreateTicket => {
                let mut body = super::create();
                body["queue"] = json!(Self::queue(object));
                let row = case(Needs::InNamedQueue(Right::Create), 201, "/v1/tickets").with(body);
                Case { missing: 422, ..row }
            }
            Operation::SubmitCommand => case(Needs::InQueue(Right::Note), 200, format!("{path}/commands"))
                .with(json!({"type": "note", "text": "x"})),
            Operation::ListMessages => case(Needs::InQueue(Right::See), 200, format!("{path}/messages")),
            Operation::ListEvents => case(Needs::InQueue(Right::See), 200, format!("{path}/events")),
            Operation::ListAttachments => {
                case(Needs::InQueue(Right::See), 200, format!("{path}/attachments"))
            }
            Operation::GetAttachment => {
                let file = if object == Object::There { &self.file_there } else { &self.file_here };
                case(Needs::InQueue(Right::See), 200, format!("{path}/attachments/{file}"))
            }
            Operation::AddAttachment => {
                let body = json!(format!("file {}", self.name()));
                case(Needs::InQueue(Right::Note), 201, format!("{path}/attachments?name=a.txt")).with(body)
            }
            _ => case(Needs::InQueue(Right::See), 200, path),
        }
    }

    async fn of_queues(&self, operation: Operation, object: Object) -> Option<Case> {
        let queue = Self::queue(object);
        let row = match operation {
            Operation::RenameQueue => {
                case(Needs::InQueue(Right::Administer), 204, format!("/v1/queues/{queue}"))
                    .with(json!({"name": self.name().as_str()}))
            }
            Operation::CreateGrant => {
                let agent = self.agent(Object::Here).await;
                // The administrator of a queue gives roles there; of another he must not even learn.
                let row = case(Needs::Chief, 201, "/v1/grants")
                    .with(json!({"role": VIEWER_ROLE, "agent": agent, "queue": queue}));
                Case { missing: 422, ..row }
            }
            Operation::WithdrawGrant => {
                let to = Grantee::Agent(AgentId(self.agent(Object::Here).await as u32));
                let granted = self.world.api.store.grant(OPERATOR, ACME, VIEWER_ROLE, to, Some(queue)).await;
                let path = format!("/v1/grants/{}", granted.unwrap().id);
                case(Needs::Chief, 204, path)
            }
            _ => return None,
        };
        Some(row)
    }

    async fn of_tenant(&self, operation: Operation, object: Object) -> Option<Case> {
        let whole = object == Object::Here;
        let administer = Needs::Everywhere(Right::Administer);
        let name = json!({"name": self.name().as_str()});
        let row = match operation {
            Operation::RenameQueue | Operation::CreateGrant | Operation::WithdrawGrant if whole => {
                return self.of_queues(operation, object).await;
            }
            Operation::CreateQueue if whole => case(administer, 201, "/v1/queues").with(name),
            Operation::CreateAgent if whole => case(administer, 201, "/v1/agents").with(name),
            Operation::ChangeAgent => {
                case(administer, 204, format!("/v1/agents/{}", self.agent(object).await)).with(name)
            }
            Operation::CreateTeam if whole => case(administer, 201, "/v1/teams").with(name),
            Operation::RenameTeam => {
                case(administer, 204, format!("/v1/teams/{}", self.team(object).await)).with(name)
            }
            Operation::DeleteTeam => case(administer, 204, format!("/v1/teams/{}", self.team(object).await)),
            Operation::AddMember => {
                let agent = self.agent(Object::Here).await;
                case(administer, 204, format!("/v1/teams/{}/members/{agent}", self.team(object).await))
            }
            Operation::RemoveMember => {
                let (team, agent) =
                    (self.team(Object::Here).await as u32, self.agent(Object::Here).await as u32);
                let (team, agent) = (waggle_core::id::TeamId(team), AgentId(agent));
                self.world.api.store.add_member(OPERATOR, ACME, team, agent).await.unwrap();
                let team = if whole { u64::from(team.0) } else { ABROAD };
                case(administer, 204, format!("/v1/teams/{team}/members/{agent}"))
            }
            Operation::CreateRole if whole => {
                let name = self.name();
                case(administer, 201, "/v1/roles").with(json!({"name": name.as_str(), "rights": ["see"]}))
            }
            Operation::ChangeRole => case(administer, 204, format!("/v1/roles/{}", self.role(object).await))
                .with(json!({"rights": []})),
            Operation::DeleteRole => case(administer, 204, format!("/v1/roles/{}", self.role(object).await)),
            Operation::FindRequester => {
                let address = format!("k{}@example.com", self.name().as_str().replace(' ', "-"));
                let identity = Identity::parse(IdentityKind::Email, &address).unwrap();
                let tenant = if whole { ACME } else { OTHER };
                let store = &self.world.api.store;
                store.create_requester(OPERATOR, tenant, &self.name(), &[identity]).await.unwrap();
                case(Needs::Somewhere(Right::See), 200, format!("/v1/requesters?email={address}"))
            }
            Operation::GetRequester => {
                let path = format!("/v1/requesters/{}", self.requester(object).await);
                case(Needs::Somewhere(Right::See), 200, path)
            }
            Operation::CreateRequester if whole => {
                case(Needs::Somewhere(Right::Create), 201, "/v1/requesters").with(name)
            }
            Operation::MergeRequesters => {
                let into = self.requester(Object::Here).await;
                let path = format!("/v1/requesters/{}/merge", self.requester(object).await);
                case(Needs::Everywhere(Right::Merge), 200, path).with(json!({"into": into}))
            }
            _ => return self.of_accounts(operation, object).await,
        };
        Some(row)
    }

    async fn of_accounts(&self, operation: Operation, object: Object) -> Option<Case> {
        let whole = object == Object::Here;
        let row = match operation {
            // What is no login is told to everybody; what is one is tested where logins are.
            Operation::LogIn if whole => case(Needs::Nothing, 400, "/v1/login").with(json!({})),
            Operation::LogOut if whole => case(Needs::Session, 204, "/v1/logout"),
            Operation::GetSession if whole => case(Needs::Session, 200, "/v1/session"),
            Operation::CreatePushToken if whole => case(Needs::Session, 200, "/v1/push/tokens"),
            Operation::ListSessions if whole => case(Needs::LetIn, 200, "/v1/sessions"),
            Operation::EndSession if whole => case(Needs::LetIn, 404, "/v1/sessions/99"),
            Operation::ChangePassword if whole => case(Needs::LetIn, 400, "/v1/password").with(json!({})),
            Operation::ResetPassword => {
                let path = format!("/v1/agents/{}/password", self.agent(object).await);
                Case { missing: 422, ..case(Needs::Everywhere(Right::Administer), 200, path) }
            }
            Operation::BeginOidc if whole => case(Needs::Nothing, 404, "/v1/login/oidc"),
            // What no login was begun for is told to everybody.
            Operation::FinishOidc if whole => case(Needs::Nothing, 400, "/v1/login/oidc/callback"),
            _ => match operation {
                Operation::ListLifecycles
                | Operation::GetLifecycle
                | Operation::SaveLifecycle
                | Operation::DeleteLifecycle
                | Operation::CheckLifecycle
                | Operation::GiveLifecycle => return self.of_lifecycles(operation, object),
                _ => return self.of_tokens(operation, object).await,
            },
        };
        Some(row)
    }

    fn of_lifecycles(&self, operation: Operation, object: Object) -> Option<Case> {
        let whole = object == Object::Here;
        let administer = Needs::Everywhere(Right::Administer);
        let mut lifecycle = json!({
            "statuses": [
                {"name": "triage", "category": "new"},
                {"name": "working", "category": "open"},
                {"name": "done", "category": "closed"},
            ],
            "edges": [{"from": "triage", "to": "working"}, {"from": "working", "to": "done"}],
            "defaults": {"initial": "triage", "taken": "working", "message": "working", "reopen": "working"},
        });
        let row = match operation {
            Operation::ListLifecycles if whole => case(Needs::LetIn, 200, "/v1/lifecycles"),
            Operation::GetLifecycle if whole => case(Needs::LetIn, 200, "/v1/lifecycles/default"),
            Operation::SaveLifecycle if whole => {
                case(administer, 201, "/v1/lifecycles/saved").with(lifecycle)
            }
            Operation::DeleteLifecycle if whole => case(administer, 404, "/v1/lifecycles/none"),
            Operation::CheckLifecycle if whole => {
                lifecycle["name"] = json!("checked");
                case(administer, 200, "/v1/lifecycles/check").with(lifecycle)
            }
            Operation::GiveLifecycle => {
                let row = case(administer, 200, format!("/v1/queues/{}/lifecycle", Self::queue(object)));
                Case { missing: 422, ..row.with(json!({"lifecycle": "default"})) }
            }
            _ => return None,
        };
        Some(row)
    }

    async fn of_tokens(&self, operation: Operation, object: Object) -> Option<Case> {
        let whole = object == Object::Here;
        let row = match operation {
            Operation::ListTokens if whole => case(Needs::LetIn, 200, "/v1/tokens"),
            Operation::CreateToken if whole => {
                case(Needs::LetIn, 201, "/v1/tokens").with(json!({"name": "x", "scopes": ["read"]}))
            }
            Operation::RevokeToken => {
                let (tenant, agent) = if whole { (ACME, AgentId(2)) } else { (OTHER, AgentId(1)) };
                token(self.world.api.store.as_ref(), tenant, agent, Scope::Read, None).await;
                let rows = self.world.api.store.directory().await.unwrap().tokens;
                let id = rows.iter().map(|row| row.id).max().unwrap();
                case(Needs::Own, 204, format!("/v1/tokens/{id}"))
            }
            _ => return None,
        };
        Some(row)
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
    let rows: [(&'static str, Option<(RoleId, Option<QueueId>)>, Scope, [&str; 3]); 9] = [
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
