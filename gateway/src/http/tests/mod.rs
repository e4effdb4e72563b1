//! The API over a real ledger and store, in a temporary directory.

mod attachments;
mod audit;
mod commands;
mod details;
mod drafts;
mod erasure;
mod find;
mod identity;
mod identity_provider;
mod isolation;
mod jwt;
mod learn;
mod lifecycles;
mod login;
mod mentions;
mod oidc;
mod pairs;
mod past;
mod reads;
mod removal;
mod secrets;
mod tokens;
mod trouble;
mod wire;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};
use waggle_core::id::{AgentId, QueueId, TenantId};
use waggle_core::time::Timestamp;

use super::{Api, Commands, Phase, Push, PushAdopter, Readiness, RequestIdSource};
use crate::attachment::{Attachments, Others, S3Settings};
use crate::auth::{Auth, Provider, SessionRules};
use crate::directory::{Directory, Token};
use crate::find::{FindHub, Finder, Publishers, Searcher};
use crate::learn::{LearnHub, LearnParts, Learner, NoScreens};
use crate::ledger::Ledger;
use crate::observe::Metrics;
use crate::push::{SessionList, SessionOrder};
use crate::store::{ADMIN_ROLE, AuditActor, Grantee, Scope, SearchFile, SqliteStore, Store};

/// Two tenants; the first has two queues, two agents and an administrator's token.
struct World {
    api: Arc<Api>,
    ledger: Ledger,
    dir: tempfile::TempDir,
    _stop: watch::Sender<bool>,
    ana: String,
    ben: String,
    admin: String,
    expired: String,
    stranger: String,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    bytes: Bytes,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|error| panic!("{error}: {:?}", self.bytes))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Holds the shape that all problems have, and gives the code.
    fn code(&self) -> String {
        let problem = self.json();
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(problem["status"], self.status.as_u16());
        assert_eq!(problem["request_id"], self.header("x-request-id"));
        let code = problem["code"].as_str().unwrap().to_owned();
        let known = crate::problem::CODES.iter().find(|known| known.name == code).unwrap();
        assert_eq!((known.status, known.title), (self.status.as_u16(), problem["title"].as_str().unwrap()));
        assert_eq!(problem["type"], format!("urn:waggle:error:{code}"));
        assert!(!problem["detail"].as_str().unwrap().is_empty());
        let is_later = self.status == 503 || self.status == 429;
        assert_eq!(self.headers.contains_key("retry-after"), is_later);
        code
    }
}

async fn token(
    store: &dyn Store,
    tenant: TenantId,
    agent: AgentId,
    scope: Scope,
    end: Option<u64>,
) -> String {
    let token = Token::make().unwrap();
    store.create_token(tenant, agent, scope, token.hash(), end.map(Timestamp)).await.unwrap();
    token.reveal().to_owned()
}

impl World {
    async fn new() -> Self {
        Self::of(None, None).await
    }

    /// With something else in the ledger's place.
    async fn with_commands(commands: Option<Arc<dyn Commands>>) -> Self {
        Self::of(commands, None).await
    }

    /// With files in a store.
    async fn with_s3(s3: S3Settings) -> Self {
        Self::all(None, None, Some(s3)).await
    }

    async fn of(commands: Option<Arc<dyn Commands>>, provider: Option<Arc<Provider>>) -> Self {
        Self::all(commands, provider, None).await
    }

    async fn all(
        commands: Option<Arc<dyn Commands>>,
        provider: Option<Arc<Provider>>,
        s3: Option<S3Settings>,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&dir.path().join("db")).await.unwrap());
        let acme = store.create_tenant("acme").await.unwrap().id;
        let other = store.create_tenant("other").await.unwrap().id;
        for name in ["support", "billing"] {
            store.create_queue(acme, name).await.unwrap();
        }
        let foreign = store.create_queue(other, "theirs").await.unwrap();
        assert_eq!((acme, foreign.id), (TenantId(1), QueueId(1)));
        let ana = store.create_agent(acme, "ana").await.unwrap().id;
        let ben = store.create_agent(acme, "ben").await.unwrap().id;
        let zoe = store.create_agent(other, "zoe").await.unwrap().id;
        for (tenant, agent) in [(acme, ana), (other, zoe)] {
            let to = Grantee::Agent(agent);
            store.grant(AuditActor::Operator, tenant, ADMIN_ROLE, to, None).await.unwrap();
        }
        let texts = (
            token(store.as_ref(), acme, ana, Scope::Agent, None).await,
            token(store.as_ref(), acme, ben, Scope::Agent, None).await,
            token(store.as_ref(), acme, ana, Scope::Admin, None).await,
            token(store.as_ref(), acme, ana, Scope::Agent, Some(1_000)).await,
            token(store.as_ref(), other, zoe, Scope::Admin, None).await,
        );
        let directory = Directory::open(store.as_ref()).await.unwrap();
        let (hub, texts_hub) = (FindHub::new(), FindHub::new());
        let learn_hub = LearnHub::new();
        let publisher = Publishers(vec![hub.publisher(), texts_hub.publisher(), learn_hub.publisher()]);
        let ledger = Ledger::open(Arc::clone(&store), directory.clone(), Arc::new(publisher)).await.unwrap();
        let find = Finder::start(&hub, Arc::clone(&store), Arc::new(ledger.clone())).await.unwrap();
        let file = Arc::new(SearchFile::open(&dir.path().join("search.db")).await.unwrap());
        let log = Arc::new(ledger.clone());
        let search = Searcher::start(&texts_hub, file, Arc::clone(&store), log).unwrap();
        let parts = LearnParts {
            folder: dir.path().join("learn"),
            store: Arc::clone(&store),
            ledger: ledger.clone(),
            screens: Arc::new(NoScreens),
        };
        let learn = Learner::start(&learn_hub, parts).unwrap();
        let rules = SessionRules { idle_ms: 3_600_000, lasts_ms: 86_400_000 };
        let (auth, failures) =
            Auth::start(Arc::clone(&store), directory.clone(), rules, provider.clone()).unwrap();
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(failures.run(stopped));
        if let Some(provider) = provider.filter(|provider| provider.gives_tokens()) {
            directory.trust(provider);
        }
        let readiness = Readiness::default();
        readiness.enter(Phase::Ready);
        let adopt: PushAdopter = Arc::new(|_| {});
        let api = Arc::new(Api {
            commands: commands.unwrap_or_else(|| Arc::new(ledger.clone())),
            store,
            find,
            search,
            learn,
            directory,
            auth: Arc::new(auth),
            metrics: Arc::new(Metrics::default()),
            readiness: Arc::new(readiness),
            adopt,
            push: Arc::new(FakePush(AtomicBool::new(true))),
            streams: Arc::new(Semaphore::new(1)),
            past: super::PastPlaces::default(),
            attachments: Arc::new(
                Attachments::open(&dir.path().join("attachments"), 1_000, s3, Others::None).unwrap(),
            ),
            request_ids: RequestIdSource::new().unwrap(),
            accepted: Box::new(|_| ()),
            unauthorized: Box::new(|_| ()),
            view_changed: Box::new(|_, _| ()),
        });
        let (ana, ben, admin, expired, stranger) = texts;
        Self { api, ledger, dir, _stop: stop, ana, ben, admin, expired, stranger }
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        let remote = SocketAddr::from(([127, 0, 0, 1], 1));
        let response = Arc::clone(&self.api).handle(request, remote).await;
        let (parts, body) = response.into_parts();
        Answer {
            status: parts.status,
            headers: parts.headers,
            bytes: body.collect().await.unwrap().to_bytes(),
        }
    }

    async fn get(&self, path: &str) -> Answer {
        self.get_as(&self.ana, path, &[]).await
    }

    async fn get_as(&self, token: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::get(path).header("authorization", format!("Bearer {token}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Full::default()).unwrap()).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.post_as(&self.ana, path, &[], body.to_string()).await
    }

    async fn post_as(
        &self,
        token: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let mut request = Request::post(path)
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Full::new(body.into())).unwrap()).await
    }

    /// Makes ticket 1, 2, …
    async fn create(&self) -> u64 {
        let answer = self.post("/v1/tickets", create()).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{:?}", answer.bytes);
        answer.json()["ticket"].as_u64().unwrap()
    }
}

fn create() -> Value {
    json!({
        "type": "create", "queue": 1, "subject": "Lost card", "requester": "kim@example.com",
        "text": "My card \u{1f41d} is \"lost\"",
    })
}

/// A push engine with room for every address but 192.0.2.1.
struct FakePush(AtomicBool);

#[async_trait]
impl Push for FakePush {
    fn is_running(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    fn address(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        headers.get("x-forwarded-for").map_or(peer, |value| value.to_str().unwrap().parse().unwrap())
    }

    fn check_origin(&self, headers: &HeaderMap) -> Result<(), String> {
        headers.get("origin").map_or(Ok(()), |_| Err("no pages".to_owned()))
    }

    fn check_room(&self, address: IpAddr) -> Result<(), (String, u32)> {
        if address.to_string() == "192.0.2.1" { Err(("full".to_owned(), 4)) } else { Ok(()) }
    }

    async fn presence(&self, tenant: TenantId) -> Option<Vec<AgentId>> {
        Some(if tenant == TenantId(1) { vec![AgentId(2), AgentId(5)] } else { Vec::new() })
    }

    async fn sessions(&self, tenant: TenantId, order: SessionOrder, limit: usize) -> SessionList {
        let order = if order == SessionOrder::Queued { 500 } else { 0 };
        SessionList { sessions: Vec::new(), total: tenant.0 as usize * 1000 + order + limit }
    }
}
