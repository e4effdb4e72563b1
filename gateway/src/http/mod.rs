//! The HTTP API: requests in, answers out. Decisions are the ledger's; this part only translates.
//!
//! Every endpoint is a row of `endpoint::ENDPOINTS`. Every answer that is no success, the router's own
//! included, is a [`Problem`](crate::problem::Problem).

mod account;
mod answer;
mod attachments;
mod audit;
mod auth;
mod body;
mod bulk;
mod commands;
mod control;
mod cookie;
mod csrf;
mod drafts;
mod endpoint;
mod fields;
mod health;
mod learn;
mod lifecycles;
mod listen;
mod lists;
mod login;
mod oidc;
mod past;
mod people;
mod preconditions;
mod push_port;
mod query;
mod render;
mod request_id;
mod rights;
mod search;
mod sessions;
mod sse;
mod stall;
mod tickets;
mod tokens;
mod upgrade;
mod views;

#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use hyper::body::Body;
use tokio::sync::Semaphore;
use waggle_core::id::{Cursor, SavedViewId, TenantId};
use waggle_core::limits::HTTP_HEADER_BYTES_MAX;

pub use answer::Response;
pub use control::{ControlError, ControlServer, ask_control};
pub use health::{Phase, Readiness};
pub use listen::Server;
pub use past::PastPlaces;
pub use push_port::Push;

use crate::auth::Auth;
use crate::directory::Directory;
use crate::find::{Finder, Searcher};
use crate::learn::Learner;
use crate::ledger::{Ledger, Outcome, Submission, SubmitError};
use crate::observe::{Metrics, RouteClass};
use crate::problem::Problem;
use crate::push::Handover;
use crate::store::Store;
use endpoint::{NoEndpoint, Operation, Parameters};
use request_id::{RequestId, RequestIds};

/// Takes over a connection whose WebSocket handshake is done: the socket (non-blocking), what was read
/// beyond the handshake, and who is at the other end.
pub type PushAdopter = Arc<dyn Fn(Handover) + Send + Sync>;

/// What the API needs of the ledger.
#[async_trait]
pub trait Commands: Send + Sync + 'static {
    /// See [`Ledger::submit`].
    async fn submit(&self, submission: Submission<'_>) -> Result<Outcome, SubmitError>;
    /// See [`Ledger::head`].
    fn head(&self, tenant: TenantId) -> Option<Cursor>;
    /// See [`Ledger::is_running`].
    fn is_running(&self) -> bool;
}

#[async_trait]
impl Commands for Ledger {
    async fn submit(&self, submission: Submission<'_>) -> Result<Outcome, SubmitError> {
        Ledger::submit(self, submission).await
    }

    fn head(&self, tenant: TenantId) -> Option<Cursor> {
        Ledger::head(self, tenant)
    }

    fn is_running(&self) -> bool {
        Ledger::is_running(self)
    }
}

/// The parts that the API stands on.
pub struct Api {
    /// Carries commands out.
    pub commands: Arc<dyn Commands>,
    /// For reading.
    pub store: Arc<dyn Store>,
    /// Finds tickets.
    pub find: Finder,
    /// Finds texts.
    pub search: Searcher,
    /// The assistant.
    pub learn: Learner,
    /// Tokens, queues, agents.
    pub directory: Directory,
    /// Lets people in.
    pub auth: Arc<Auth>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Whether to send work here.
    pub readiness: Arc<Readiness>,
    /// The push engine.
    pub push: Arc<dyn Push>,
    /// Takes push connections that arrive here.
    pub adopt: PushAdopter,
    /// Places of streams of events; [`waggle_core::limits::HTTP_STREAMS_MAX`] in a gateway.
    pub streams: Arc<Semaphore>,
    /// Places of requests about the past.
    pub past: PastPlaces,
    /// Files of tickets.
    pub attachments: Arc<crate::attachment::Attachments>,
    /// Numbers requests.
    pub request_ids: RequestIdSource,
    /// Given each connection that is taken.
    pub accepted: Box<dyn Fn(BorrowedFd<'_>) + Send + Sync>,
    /// Told of each peer that has shown a token that nobody has. It is the TCP connection's, a proxy's where
    /// there is one.
    pub unauthorized: Box<dyn Fn(IpAddr) + Send + Sync>,
    /// Told of each saved view that was changed or deleted.
    pub view_changed: Box<dyn Fn(TenantId, SavedViewId) + Send + Sync>,
}

/// Numbers requests, differently in every process.
#[derive(Debug)]
pub struct RequestIdSource(RequestIds);

impl RequestIdSource {
    /// A source with a random start.
    ///
    /// # Errors
    /// Where the system gives no random bytes.
    pub fn new() -> Result<Self, getrandom::Error> {
        RequestIds::new().map(Self)
    }
}

impl Api {
    /// Answers one request.
    pub async fn handle<B>(self: Arc<Self>, request: Request<B>, remote: SocketAddr) -> Response
    where
        B: Body<Data = Bytes> + Unpin + Send + 'static,
        B::Error: std::fmt::Display,
    {
        let started = Instant::now();
        let id = self.request_ids.0.next();
        let head = request.method() == Method::HEAD;
        let shown = request.headers().get(http::header::AUTHORIZATION).cloned();
        let (class, outcome) = self.dispatch(request, remote).await;
        let mut response = match outcome {
            Ok(response) => response,
            Err(refused) => {
                if refused.problem.status >= 500 {
                    let detail = &refused.problem.detail;
                    tracing::warn!(request_id = id.as_str(), code = refused.problem.code, detail, "failed");
                }
                refused.into_response(&id)
            }
        };
        response.headers_mut().insert(answer::X_REQUEST_ID, id.header());
        if head {
            response = answer::without_body(response);
        }
        if response.status() == http::StatusCode::UNAUTHORIZED
            && shown.is_some_and(|shown| auth::is_guess(&self.directory, &shown))
        {
            (self.unauthorized)(remote.ip());
        }
        self.metrics.answered(class, response.status().as_u16(), started.elapsed());
        response
    }

    async fn dispatch<B>(
        self: &Arc<Self>,
        request: Request<B>,
        remote: SocketAddr,
    ) -> (RouteClass, Result<Response, Refused>)
    where
        B: Body<Data = Bytes> + Unpin + Send + 'static,
        B::Error: std::fmt::Display,
    {
        let (mut parts, body) = request.into_parts();
        // A handle to the same bytes, so that what is found in the path does not borrow `parts`.
        let uri = parts.uri.clone();
        let (endpoint, parameters) = match endpoint::find(&parts.method, uri.path()) {
            Ok(found) => found,
            Err(none) => return (RouteClass::Other, Err(none.into())),
        };
        let outcome = match endpoint.operation {
            _ if !header_fits(&parts.headers) => Err(too_large().into()),
            _ if endpoint.method.changes()
                && let Err(problem) = self.may_change(endpoint.operation, &parts.headers) =>
            {
                Err(problem.into())
            }
            Operation::SubmitCommand => match parameters.ticket() {
                Ok(ticket) => commands::submit(self, &parts, body, Some(ticket)).await.map_err(Refused::from),
                Err(problem) => Err(problem.into()),
            },
            Operation::CreateTicket => {
                commands::submit(self, &parts, body, None).await.map_err(Refused::from)
            }
            Operation::AddAttachment => match parameters.ticket() {
                Ok(ticket) => {
                    Box::pin(attachments::add(self, &parts, body, ticket)).await.map_err(Refused::from)
                }
                Err(problem) => Err(problem.into()),
            },
            Operation::SubmitBulk => Box::pin(bulk::submit(self, &parts, body)).await.map_err(Refused::from),
            Operation::KeepDraft => match parameters.ticket() {
                Ok(ticket) => Box::pin(drafts::keep(self, &parts, body, ticket)).await.map_err(Refused::from),
                Err(problem) => Err(problem.into()),
            },
            operation @ (Operation::CreateField | Operation::ChangeField | Operation::DeleteField) => {
                Box::pin(fields::change(self, operation, &parts, &parameters, body))
                    .await
                    .map_err(Refused::from)
            }
            Operation::OpenPush => upgrade::push(self, &mut parts, remote),
            Operation::StreamEvents => sse::stream(self, &parts, remote),
            operation if endpoint.class == RouteClass::Account => {
                Box::pin(account::answer(self, operation, &parts, &parameters, body, remote)).await
            }
            setting if endpoint.class == RouteClass::Setting => {
                Box::pin(self.change(setting, &parts, &parameters, body)).await.map_err(Refused::from)
            }
            reading => Box::pin(self.read(reading, &parts, &parameters)).await.map_err(Refused::from),
        };
        (endpoint.class, outcome)
    }

    /// Whether a request that changes something may, as far as is known before it is read: no page of another site
    /// has made a browser send it, and it has no token that only reads. A command's token is checked with the command.
    fn may_change(&self, operation: Operation, headers: &HeaderMap) -> Result<(), Problem> {
        csrf::check(headers, operation)?;
        if matches!(operation, Operation::SubmitCommand | Operation::CreateTicket | Operation::LogIn) {
            return Ok(());
        }
        // Whoever is nobody is told so by the operation.
        match auth::principal(&self.directory, headers) {
            Ok(principal) if !principal.may_change() => Err(read_only()),
            _ => Ok(()),
        }
    }

    /// Everything that changes nothing.
    async fn read(
        &self,
        operation: Operation,
        parts: &http::request::Parts,
        parameters: &Parameters<'_>,
    ) -> Result<Response, Problem> {
        match operation {
            Operation::ListTickets => lists::tickets(self, parts).await,
            Operation::Search => search::search(self, parts).await,
            Operation::GetTicket => tickets::one(self, parts, parameters.ticket()?).await,
            Operation::ListMessages => tickets::messages(self, parts, parameters.ticket()?).await,
            Operation::ListEvents => tickets::events(self, parts, parameters.ticket()?).await,
            Operation::ListAttachments => attachments::list(self, parts, parameters.ticket()?).await,
            Operation::GetAttachment => {
                let hash = parameters.parsed(1, "no_such_attachment");
                attachments::one(self, parts, parameters.ticket()?, hash).await
            }
            Operation::GetSuggestions => learn::suggestions(self, parts, parameters.ticket()?).await,
            Operation::GetLearn => learn::overview(self, parts).await,
            Operation::GetMe => people::me(self, parts),
            Operation::ListQueues => people::queues(self, parts),
            Operation::ListAgents => people::agents(self, parts),
            Operation::GetPresence => people::presence(self, parts).await,
            Operation::ListPushSessions => push_port::sessions(self, parts).await,
            Operation::ListAudit => audit::list(self, parts).await,
            Operation::ListFields => fields::list(self, parts),
            Operation::ListDrafts => drafts::list(self, parts).await,
            Operation::GetDraft => drafts::one(self, parts, parameters.ticket()?).await,
            Operation::DeleteDraft => drafts::delete(self, parts, parameters.ticket()?).await,
            Operation::ListLifecycles => lifecycles::list(self, parts),
            Operation::GetLifecycle => lifecycles::one(self, parts, parameters.text(0)),
            operation @ (Operation::ListViews
            | Operation::GetView
            | Operation::ListViewTickets
            | Operation::CountView) => views::read(self, operation, parts, parameters).await,
            Operation::GetHealth => Ok(health::alive()),
            Operation::GetReadiness => health::ready(self).await,
            Operation::GetMetrics => health::metrics(self),
            // Whatever is not for reading was answered before.
            other => people::read(self, other, parts, parameters).await,
        }
    }

    /// Changes of what the tenant is.
    async fn change<B>(
        &self,
        operation: Operation,
        parts: &http::request::Parts,
        parameters: &Parameters<'_>,
        body: B,
    ) -> Result<Response, Problem>
    where
        B: Body<Data = Bytes> + Unpin + Send + 'static,
        B::Error: std::fmt::Display,
    {
        // Nobody who shows no token has his body read.
        auth::principal(&self.directory, &parts.headers)?;
        let body = body::read(body).await?;
        match operation {
            Operation::SaveLifecycle
            | Operation::DeleteLifecycle
            | Operation::CheckLifecycle
            | Operation::GiveLifecycle => lifecycles::change(self, operation, parts, parameters, body).await,
            Operation::CreateView | Operation::ChangeView | Operation::DeleteView => {
                views::change(self, operation, parts, parameters, body).await
            }
            Operation::Teach => learn::teach(self, parts, &body).await,
            other => people::change(self, other, parts, parameters, body).await,
        }
    }
}

/// A problem, and the headers that go with it.
struct Refused {
    problem: Problem,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Refused {
    fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    fn into_response(self, id: &RequestId) -> Response {
        let mut response = answer::problem(&self.problem, id.as_str());
        for (name, value) in self.headers {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

impl From<NoEndpoint> for Refused {
    fn from(none: NoEndpoint) -> Self {
        match none {
            NoEndpoint::Path(problem) => problem.into(),
            NoEndpoint::Method(problem, allow) => Self::from(problem).with(http::header::ALLOW, allow),
        }
    }
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self { problem, headers: Vec::new() }
    }
}

fn header_fits(headers: &HeaderMap) -> bool {
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    bytes <= HTTP_HEADER_BYTES_MAX
}

/// What a token is told that only reads.
pub(crate) fn read_only() -> Problem {
    Problem::new("read_only", "the token's scope is read: it changes nothing")
}

fn too_large() -> Problem {
    let detail = format!("the headers have more than {HTTP_HEADER_BYTES_MAX} bytes together");
    Problem::new("headers_too_large", detail)
}
