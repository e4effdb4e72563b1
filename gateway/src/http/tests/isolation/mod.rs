//! The isolation matrix: who may ask what of whose things. Every endpoint has a row here that says which right it needs;
//! what each kind of caller is answered follows from that row and from what the caller may do, never from the code.

mod rows;
mod stage;
mod views;

use std::cell::Cell;

use http::{Method, Request};
use http_body_util::Full;
use serde_json::{Value, json};
use waggle_core::id::{AgentId, QueueId, RoleId, TenantId};
use waggle_core::name::Name;
use waggle_core::requester::{Identity, IdentityKind};
use waggle_core::right::{Right, Rights};

use super::{Answer, World, create, token};
use crate::http::endpoint::{ENDPOINTS, Endpoint, Operation, Verb};
use crate::store::{ADMIN_ROLE, AGENT_ROLE, AgentState, AuditActor, Grantee, Scope, VIEWER_ROLE};
use stage::Stage;

const ACME: TenantId = TenantId(1);
const OTHER: TenantId = TenantId(2);
/// Queues of the tenant: one that some may see alone, and one that those may not.
const HERE: QueueId = QueueId(1);
const THERE: QueueId = QueueId(2);
/// The number of things that the other tenant has and this one has not.
const ABROAD: u64 = 120;
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

impl Stage {
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
