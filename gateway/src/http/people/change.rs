//! A change of people, rights or queues that somebody asks for.

use bytes::Bytes;
use http::StatusCode;
use http::request::Parts;
use serde::Serialize;
use serde::de::DeserializeOwned;
use waggle_core::id::QueueId;
use waggle_core::name::Name;
use waggle_core::right::{Right, Rights};

use crate::directory::Principal;
use crate::http::answer::{self, Response};
use crate::http::query::Query;
use crate::http::{Api, auth, body, rights, tickets};
use crate::problem::Problem;
use crate::store::{AuditActor, PeopleError, PeopleRefusal, RoleRow};

/// Who asks for what.
pub(super) struct Change<'a> {
    pub(super) api: &'a Api,
    pub(super) principal: Principal,
    body: Bytes,
}

impl<'a> Change<'a> {
    /// Whoever asks is somebody; whether he may is for the handler to find out.
    pub(super) fn new(api: &'a Api, parts: &Parts, body: Bytes) -> Result<Self, Problem> {
        let principal = auth::principal(&api.directory, &parts.headers)?;
        Query::parse(parts.uri.query(), &[])?;
        if !body.is_empty() {
            body::check_type(&parts.headers)?;
        }
        Ok(Self { api, principal, body })
    }

    /// The body, which must be a JSON object of this shape.
    pub(super) fn shape<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        serde_json::from_slice(&self.body).map_err(|error| Problem::new("malformed", error.to_string()))
    }

    /// As the audit log names whoever asks.
    pub(super) fn by(&self) -> AuditActor {
        AuditActor::Agent(self.principal.agent)
    }

    /// Whoever asks must administer the tenant: have the right in all queues.
    pub(super) fn needs_administrator(&self) -> Result<(), Problem> {
        rights::needs_everywhere(self.api, &self.principal, Right::Administer)
    }

    /// What whoever asks may do in a queue, or (`None`) in all, where he administers there.
    pub(super) fn administers(&self, queue: Option<QueueId>) -> Result<Rights, Problem> {
        match queue {
            None => {
                self.needs_administrator()?;
                Ok(self.api.directory.rights_everywhere(&self.principal))
            }
            Some(queue) => rights::needs_in(self.api, &self.principal, queue, Right::Administer),
        }
    }

    /// Nobody gives what he has not himself.
    pub(super) fn may_give(&self, given: Rights, own: Rights) -> Result<(), Problem> {
        match own.lacks(given) {
            None => Ok(()),
            Some(right) => Err(Problem::lacking(
                right,
                format!("nobody gives a right that he has not himself there: {right}"),
            )),
        }
    }

    /// A role of the tenant's, which the body names.
    pub(super) fn role(&self, id: waggle_core::id::RoleId) -> Result<RoleRow, Problem> {
        let roles = self.api.directory.people(self.principal.tenant).roles;
        let role = roles.into_iter().find(|role| role.id == id);
        role.ok_or_else(|| Problem::new("no_such_role", format!("there is no role {id}")))
    }

    /// Puts the change into force here before it is answered, and answers with what it made.
    pub(super) async fn made(&self, status: StatusCode, made: &impl Serialize) -> Result<Response, Problem> {
        self.take_effect().await;
        let mut response = answer::value(made)?;
        *response.status_mut() = status;
        Ok(response)
    }

    /// The same for a change that has nothing to show.
    pub(super) async fn done(&self) -> Result<Response, Problem> {
        self.take_effect().await;
        let mut response = Response::default();
        *response.status_mut() = StatusCode::NO_CONTENT;
        answer::no_store(response.headers_mut());
        Ok(response)
    }

    async fn take_effect(&self) {
        if let Err(error) = self.api.directory.refresh(self.api.store.as_ref()).await {
            // It is durable, and is in force as soon as the directory can be read again.
            tracing::warn!(%error, "a change of the directory is not in force yet");
        }
    }
}

/// A name in a body.
pub(super) fn name(text: &str) -> Result<Name, Problem> {
    Name::parse(text).map_err(|error| Problem::new("bad_name", error.to_string()))
}

/// Why storage did not make the change; `in_path` is what kind of thing the path names.
pub(super) fn refused(error: PeopleError, in_path: &'static str) -> Problem {
    let refusal = match error {
        PeopleError::Store(error) => return tickets::storage(error),
        PeopleError::Refused(refusal) => refusal,
    };
    let detail = refusal.to_string();
    match refusal {
        PeopleRefusal::Missing { kind, .. } if kind == in_path => Problem::new("not_found", detail),
        PeopleRefusal::Missing { kind, .. } => Problem::new(no_such(kind), detail),
        PeopleRefusal::NameTaken { id, .. } => Problem::new("name_taken", detail).with("taken_by", id),
        PeopleRefusal::TooMany { limit, .. } => Problem::new("limit_reached", detail).with("limit", limit),
        PeopleRefusal::Builtin(_) => Problem::new("builtin_role", detail),
        PeopleRefusal::InUse { .. } => Problem::new("in_use", detail),
        PeopleRefusal::Granted(grant) => Problem::new("granted_already", detail).with("grant", grant.0),
        PeopleRefusal::Member { .. } => Problem::new("granted_already", detail),
        PeopleRefusal::LastAdministrator => Problem::new("last_administrator", detail),
        PeopleRefusal::IdentityTaken { owner, .. } => {
            Problem::new("identity_taken", detail).with("requester", owner.0)
        }
        PeopleRefusal::Erased(_) => Problem::new("requester_erased", detail),
        PeopleRefusal::SameRequester { is, .. } => {
            Problem::new("same_requester", detail).with("requester", is.0)
        }
    }
}

fn no_such(kind: &str) -> &'static str {
    match kind {
        "agent" => "no_such_agent",
        "queue" => "no_such_queue",
        "team" => "no_such_team",
        "role" => "no_such_role",
        "requester" => "no_such_requester",
        _ => "not_found",
    }
}
