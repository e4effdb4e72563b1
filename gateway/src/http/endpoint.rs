//! Everything that the API does: one table, from which requests are matched, `Allow` is told, and tests
//! enumerate.

use std::str::FromStr;
use std::sync::LazyLock;

use http::{HeaderValue, Method};
use matchit::Router;
use smallvec::SmallVec;
use waggle_core::id::TicketId;
use waggle_core::push::PATH as PUSH;

use crate::observe::RouteClass;
use crate::problem::Problem;

/// One thing that the API does.
#[derive(Debug, Clone, Copy)]
pub(super) struct Endpoint {
    pub(super) method: Verb,
    /// With `{name}` for each parameter: one segment.
    pub(super) path: &'static str,
    pub(super) operation: Operation,
    /// As metrics count it.
    pub(super) class: RouteClass,
}

/// What an endpoint does; the handler of each is in `Api::dispatch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    ListTickets,
    CreateTicket,
    GetTicket,
    Search,
    ListViews,
    GetView,
    ListViewTickets,
    CountView,
    CreateView,
    ChangeView,
    DeleteView,
    ListMessages,
    ListEvents,
    SubmitCommand,
    GetSuggestions,
    GetLearn,
    Teach,
    AddAttachment,
    ListAttachments,
    GetAttachment,
    GetMe,
    ListQueues,
    ListAgents,
    GetPresence,
    OpenPush,
    ListPushSessions,
    StreamEvents,
    ListAudit,
    LogIn,
    LogOut,
    BeginOidc,
    FinishOidc,
    GetSession,
    ListSessions,
    EndSession,
    CreatePushToken,
    ChangePassword,
    ResetPassword,
    ListTokens,
    CreateToken,
    RevokeToken,
    ListLifecycles,
    GetLifecycle,
    SaveLifecycle,
    DeleteLifecycle,
    CheckLifecycle,
    GiveLifecycle,
    GetHealth,
    GetReadiness,
    GetMetrics,
    CreateQueue,
    RenameQueue,
    CreateAgent,
    ChangeAgent,
    ListTeams,
    CreateTeam,
    RenameTeam,
    DeleteTeam,
    AddMember,
    RemoveMember,
    ListRoles,
    CreateRole,
    ChangeRole,
    DeleteRole,
    ListGrants,
    CreateGrant,
    WithdrawGrant,
    FindRequester,
    GetRequester,
    CreateRequester,
    MergeRequesters,
    EraseRequester,
    SubmitBulk,
    KeepDraft,
    GetDraft,
    DeleteDraft,
    ListDrafts,
    ListFields,
    CreateField,
    ChangeField,
    DeleteField,
}

/// Methods that endpoints have. HEAD is answered like GET, without the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    /// GET that HEAD does not stand in for.
    GetOnly,
    Post,
    Put,
    Patch,
    Delete,
}

impl Verb {
    fn of(method: &Method) -> &'static [Verb] {
        match *method {
            Method::GET => &[Self::Get, Self::GetOnly],
            Method::HEAD => &[Self::Get],
            Method::POST => &[Self::Post],
            Method::PUT => &[Self::Put],
            Method::PATCH => &[Self::Patch],
            Method::DELETE => &[Self::Delete],
            _ => &[],
        }
    }

    fn allow(self) -> &'static str {
        match self {
            Self::Get => "GET, HEAD",
            Self::GetOnly => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// Whether it may change something.
    pub(super) fn changes(self) -> bool {
        !matches!(self, Self::Get | Self::GetOnly)
    }
}

const fn get(path: &'static str, operation: Operation) -> Endpoint {
    Endpoint { method: Verb::Get, path, operation, class: RouteClass::Read }
}

const fn ops(path: &'static str, operation: Operation) -> Endpoint {
    Endpoint { method: Verb::Get, path, operation, class: RouteClass::Ops }
}

const fn push(path: &'static str, operation: Operation) -> Endpoint {
    Endpoint { method: Verb::GetOnly, path, operation, class: RouteClass::Push }
}

const fn post(path: &'static str, operation: Operation, class: RouteClass) -> Endpoint {
    Endpoint { method: Verb::Post, path, operation, class }
}

const fn account(method: Verb, path: &'static str, operation: Operation) -> Endpoint {
    Endpoint { method, path, operation, class: RouteClass::Account }
}

/// A change of what the tenant is: its people, its rights, its queues.
const fn setting(method: Verb, path: &'static str, operation: Operation) -> Endpoint {
    Endpoint { method, path, operation, class: RouteClass::Setting }
}

const fn draft(method: Verb, operation: Operation) -> Endpoint {
    Endpoint { method, path: "/v1/tickets/{ticket}/draft", operation, class: RouteClass::Draft }
}

/// All endpoints.
pub(super) const ENDPOINTS: &[Endpoint] = &[
    get("/v1/tickets", Operation::ListTickets),
    post("/v1/tickets", Operation::CreateTicket, RouteClass::Create),
    get("/v1/tickets/{ticket}", Operation::GetTicket),
    get("/v1/tickets/{ticket}/messages", Operation::ListMessages),
    get("/v1/tickets/{ticket}/events", Operation::ListEvents),
    post("/v1/tickets/{ticket}/commands", Operation::SubmitCommand, RouteClass::Command),
    get("/v1/tickets/{ticket}/suggestions", Operation::GetSuggestions),
    get("/v1/learn", Operation::GetLearn),
    setting(Verb::Post, "/v1/learn", Operation::Teach),
    post("/v1/tickets/{ticket}/attachments", Operation::AddAttachment, RouteClass::File),
    get("/v1/tickets/{ticket}/attachments", Operation::ListAttachments),
    Endpoint {
        method: Verb::Get,
        path: "/v1/tickets/{ticket}/attachments/{hash}",
        operation: Operation::GetAttachment,
        class: RouteClass::File,
    },
    get("/v1/search", Operation::Search),
    get("/v1/views", Operation::ListViews),
    get("/v1/views/{view}", Operation::GetView),
    get("/v1/views/{view}/tickets", Operation::ListViewTickets),
    get("/v1/views/{view}/count", Operation::CountView),
    setting(Verb::Post, "/v1/views", Operation::CreateView),
    setting(Verb::Patch, "/v1/views/{view}", Operation::ChangeView),
    setting(Verb::Delete, "/v1/views/{view}", Operation::DeleteView),
    get("/v1/me", Operation::GetMe),
    get("/v1/queues", Operation::ListQueues),
    get("/v1/agents", Operation::ListAgents),
    get("/v1/presence", Operation::GetPresence),
    push(PUSH, Operation::OpenPush),
    get("/v1/push/sessions", Operation::ListPushSessions),
    push("/v1/push/events", Operation::StreamEvents),
    get("/v1/audit", Operation::ListAudit),
    account(Verb::Post, "/v1/login", Operation::LogIn),
    account(Verb::GetOnly, "/v1/login/oidc", Operation::BeginOidc),
    account(Verb::GetOnly, "/v1/login/oidc/callback", Operation::FinishOidc),
    account(Verb::Post, "/v1/logout", Operation::LogOut),
    account(Verb::Get, "/v1/session", Operation::GetSession),
    account(Verb::Get, "/v1/sessions", Operation::ListSessions),
    account(Verb::Delete, "/v1/sessions/{session}", Operation::EndSession),
    account(Verb::Post, "/v1/push/tokens", Operation::CreatePushToken),
    account(Verb::Post, "/v1/password", Operation::ChangePassword),
    account(Verb::Post, "/v1/agents/{agent}/password", Operation::ResetPassword),
    account(Verb::Get, "/v1/tokens", Operation::ListTokens),
    account(Verb::Post, "/v1/tokens", Operation::CreateToken),
    account(Verb::Delete, "/v1/tokens/{token}", Operation::RevokeToken),
    get("/v1/lifecycles", Operation::ListLifecycles),
    get("/v1/lifecycles/{lifecycle}", Operation::GetLifecycle),
    setting(Verb::Put, "/v1/lifecycles/{lifecycle}", Operation::SaveLifecycle),
    setting(Verb::Delete, "/v1/lifecycles/{lifecycle}", Operation::DeleteLifecycle),
    setting(Verb::Post, "/v1/lifecycles/check", Operation::CheckLifecycle),
    setting(Verb::Put, "/v1/queues/{queue}/lifecycle", Operation::GiveLifecycle),
    setting(Verb::Post, "/v1/queues", Operation::CreateQueue),
    setting(Verb::Patch, "/v1/queues/{queue}", Operation::RenameQueue),
    setting(Verb::Post, "/v1/agents", Operation::CreateAgent),
    setting(Verb::Patch, "/v1/agents/{agent}", Operation::ChangeAgent),
    get("/v1/teams", Operation::ListTeams),
    setting(Verb::Post, "/v1/teams", Operation::CreateTeam),
    setting(Verb::Patch, "/v1/teams/{team}", Operation::RenameTeam),
    setting(Verb::Delete, "/v1/teams/{team}", Operation::DeleteTeam),
    setting(Verb::Put, "/v1/teams/{team}/members/{agent}", Operation::AddMember),
    setting(Verb::Delete, "/v1/teams/{team}/members/{agent}", Operation::RemoveMember),
    get("/v1/roles", Operation::ListRoles),
    setting(Verb::Post, "/v1/roles", Operation::CreateRole),
    setting(Verb::Patch, "/v1/roles/{role}", Operation::ChangeRole),
    setting(Verb::Delete, "/v1/roles/{role}", Operation::DeleteRole),
    get("/v1/grants", Operation::ListGrants),
    setting(Verb::Post, "/v1/grants", Operation::CreateGrant),
    setting(Verb::Delete, "/v1/grants/{grant}", Operation::WithdrawGrant),
    get("/v1/requesters", Operation::FindRequester),
    get("/v1/requesters/{requester}", Operation::GetRequester),
    setting(Verb::Post, "/v1/requesters", Operation::CreateRequester),
    setting(Verb::Post, "/v1/requesters/{requester}/merge", Operation::MergeRequesters),
    setting(Verb::Post, "/v1/requesters/{requester}/erase", Operation::EraseRequester),
    draft(Verb::Get, Operation::GetDraft),
    draft(Verb::Delete, Operation::DeleteDraft),
    draft(Verb::Put, Operation::KeepDraft),
    get("/v1/drafts", Operation::ListDrafts),
    post("/v1/bulk", Operation::SubmitBulk, RouteClass::Command),
    get("/v1/fields", Operation::ListFields),
    setting(Verb::Post, "/v1/fields", Operation::CreateField),
    setting(Verb::Patch, "/v1/fields/{field}", Operation::ChangeField),
    setting(Verb::Delete, "/v1/fields/{field}", Operation::DeleteField),
    ops("/healthz", Operation::GetHealth),
    ops("/readyz", Operation::GetReadiness),
    ops("/metrics", Operation::GetMetrics),
];

/// The endpoints of one path.
type Entry = SmallVec<[&'static Endpoint; 2]>;

static ROUTER: LazyLock<Router<Entry>> = LazyLock::new(|| {
    let mut by_path: Vec<(&'static str, Entry)> = Vec::new();
    for endpoint in ENDPOINTS {
        match by_path.iter_mut().find(|(path, _)| *path == endpoint.path) {
            Some((_, entry)) => entry.push(endpoint),
            None => by_path.push((endpoint.path, SmallVec::from_slice(&[endpoint]))),
        }
    }
    let mut router = Router::new();
    for (path, entry) in by_path {
        if let Err(error) = router.insert(path, entry) {
            // A path that does not go in is not found; a test looks each of them up.
            debug_assert!(false, "{path}: {error}");
        }
    }
    router
});

/// Why there is no endpoint for a request.
#[derive(Debug)]
pub(super) enum NoEndpoint {
    Path(Problem),
    /// With the methods that the path takes, as `Allow` lists them.
    Method(Problem, HeaderValue),
}

/// The endpoint of a request, and the parameters in its path.
pub(super) fn find<'a>(
    method: &Method,
    path: &'a str,
) -> Result<(&'static Endpoint, Parameters<'a>), NoEndpoint> {
    let Ok(found) = ROUTER.at(path) else {
        let shown: String = path.chars().take(80).collect();
        return Err(NoEndpoint::Path(Problem::new("not_found", format!("there is nothing at {shown}"))));
    };
    let verbs = Verb::of(method);
    match found.value.iter().find(|endpoint| verbs.contains(&endpoint.method)) {
        Some(endpoint) => Ok((endpoint, Parameters(found.params.iter().map(|(_, value)| value).collect()))),
        None => Err(wrong_method(method, found.value)),
    }
}

fn wrong_method(method: &Method, entry: &Entry) -> NoEndpoint {
    let mut allow: Vec<&str> = entry.iter().map(|endpoint| endpoint.method.allow()).collect();
    allow.sort_unstable();
    let allow = allow.join(", ");
    let detail = format!("{method} is not for this path; it takes {allow}");
    let header = HeaderValue::try_from(allow).unwrap_or_else(|_| HeaderValue::from_static(""));
    NoEndpoint::Method(Problem::new("method_not_allowed", detail), header)
}

/// The parameters in a path, in its order.
#[derive(Debug, Clone)]
pub(super) struct Parameters<'a>(SmallVec<[&'a str; 2]>);

impl<'a> Parameters<'a> {
    /// The text of the parameter at `index`, which the endpoint's path must have.
    pub(super) fn text(&self, index: usize) -> &'a str {
        debug_assert!(index < self.0.len(), "the path has no parameter {index}");
        self.0.get(index).copied().unwrap_or_default()
    }

    /// A number or name at `index`; `code` is the problem where it is none: nothing has that number.
    pub(super) fn parsed<T: FromStr>(&self, index: usize, code: &'static str) -> Result<T, Problem>
    where
        T::Err: std::fmt::Display,
    {
        self.text(index).parse().map_err(|error: T::Err| Problem::new(code, error.to_string()))
    }

    /// The ticket, which is a path's first parameter.
    pub(super) fn ticket(&self) -> Result<TicketId, Problem> {
        self.parsed(0, "no_such_ticket")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(method: &Method, path: &str) -> Result<(Operation, Option<TicketId>), &'static str> {
        let (endpoint, parameters) = find(method, path).map_err(|none| match none {
            NoEndpoint::Path(problem) | NoEndpoint::Method(problem, _) => problem.code,
        })?;
        let takes_ticket = endpoint.path.contains("{ticket}");
        let ticket = takes_ticket.then(|| parameters.ticket()).transpose().map_err(|problem| problem.code)?;
        Ok((endpoint.operation, ticket))
    }

    #[test]
    fn every_endpoint_is_found_once() {
        for endpoint in ENDPOINTS {
            let segment = |part: &'static str| if part.starts_with('{') { "17" } else { part };
            let path = endpoint.path.split('/').map(segment).collect::<Vec<_>>().join("/");
            let method = match endpoint.method {
                Verb::Get | Verb::GetOnly => Method::GET,
                Verb::Post => Method::POST,
                Verb::Put => Method::PUT,
                Verb::Patch => Method::PATCH,
                Verb::Delete => Method::DELETE,
            };
            let (operation, _) = found(&method, &path).unwrap_or_else(|code| panic!("{path}: {code}"));
            assert_eq!(operation, endpoint.operation, "{path}");
            let same = ENDPOINTS.iter().filter(|other| other.operation == operation);
            assert_eq!(same.count(), 1, "{operation:?} is two endpoints");
        }
    }

    #[test]
    fn paths_name_endpoints() {
        let ticket = Some(TicketId(17));
        for (path, wanted) in [
            ("/v1/tickets/17", Ok((Operation::GetTicket, ticket))),
            ("/v1/tickets/17/events", Ok((Operation::ListEvents, ticket))),
            ("/v1/push", Ok((Operation::OpenPush, None))),
            ("/", Err("not_found")),
            ("/v1/tickets/17/", Err("not_found")),
            ("/v1/tickets/17/commands/1", Err("not_found")),
            ("/v1/tickets/", Err("not_found")),
            ("/v1/tickets/0", Err("no_such_ticket")),
            ("/v1/tickets/x/events", Err("no_such_ticket")),
            ("/v1/tickets/18446744073709551616", Err("no_such_ticket")),
            ("/v1/tickets/17/commands", Err("method_not_allowed")),
        ] {
            assert_eq!(found(&Method::GET, path), wanted, "{path}");
        }
        assert_eq!(found(&Method::HEAD, "/v1/push"), Err("method_not_allowed"));
        assert_eq!(found(&Method::HEAD, "/v1/me"), Ok((Operation::GetMe, None)));
    }

    #[test]
    fn allow_lists_the_methods_of_a_path() {
        let allow = |path| match find(&Method::PATCH, path) {
            Err(NoEndpoint::Method(_, allow)) => allow.to_str().map(str::to_owned).unwrap(),
            _ => panic!("{path} takes PATCH"),
        };
        assert_eq!(allow("/v1/tickets"), "GET, HEAD, POST");
        assert_eq!(allow("/v1/tickets/17/commands"), "POST");
        assert_eq!(allow("/v1/push"), "GET");
    }
}
