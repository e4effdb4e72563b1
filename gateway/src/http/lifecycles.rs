//! Lifecycles, for all to read and for administrators to change.

use bytes::Bytes;
use http::StatusCode;
use http::request::Parts;
use serde::{Deserialize, Serialize};
use serde_json::json;
use waggle_core::id::QueueId;
use waggle_core::limits::LIFECYCLE_FAULTS_MAX;
use waggle_core::ticket::{DefaultsSpec, EdgeSpec, Fault, Lifecycle, LifecycleSpec, StatusSpec};

use super::answer::{self, Response};
use super::endpoint::{Operation, Parameters};
use super::query::Query;
use super::{Api, auth, body, tickets};
use crate::directory::Principal;
use crate::lifecycle::{InUse, LifecycleAdmin, LifecycleError, StatusMap};
use crate::problem::Problem;
use crate::store::{AuditActor, QueueRow, StoreError};

/// A lifecycle as callers see it.
#[derive(Serialize)]
struct View<'a> {
    name: &'a str,
    #[serde(flatten)]
    spec: &'a LifecycleSpec,
    queues: Vec<QueueId>,
}

#[derive(Serialize)]
struct Views<'a> {
    lifecycles: Vec<View<'a>>,
}

/// A lifecycle as callers send it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent {
    #[serde(default)]
    name: Option<String>,
    statuses: Vec<StatusSpec>,
    edges: Vec<EdgeSpec>,
    #[serde(default)]
    defaults: DefaultsSpec,
    #[serde(default)]
    from: std::collections::BTreeMap<String, StatusMap>,
    /// What tickets get whose status is removed.
    #[serde(default)]
    map: StatusMap,
}

/// A queue's lifecycle as callers send it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    lifecycle: String,
    #[serde(default)]
    map: StatusMap,
}

/// `GET /v1/lifecycles`: all of the tenant's, by number.
pub(super) fn list(api: &Api, parts: &Parts) -> Result<Response, Problem> {
    let principal = asker(api, parts)?;
    let lifecycles = api.directory.lifecycles(principal.tenant);
    let queues = own_queues(api, &principal);
    let lifecycles = lifecycles.all().iter().map(|lifecycle| view(lifecycle, &queues)).collect();
    answer::value(&Views { lifecycles })
}

/// `GET /v1/lifecycles/{lifecycle}`.
pub(super) fn one(api: &Api, parts: &Parts, name: &str) -> Result<Response, Problem> {
    show(api, &asker(api, parts)?, name)
}

/// What changes lifecycles, or would.
pub(super) async fn change(
    api: &Api,
    operation: Operation,
    parts: &Parts,
    parameters: &Parameters<'_>,
    sent: Bytes,
) -> Result<Response, Problem> {
    let principal = auth::administrator(&api.directory, &parts.headers, "change lifecycles")?;
    Query::parse(parts.uri.query(), &[])?;
    let admin = LifecycleAdmin {
        store: api.store.as_ref(),
        directory: &api.directory,
        tenant: principal.tenant,
        actor: AuditActor::Agent(principal.agent),
        in_use: InUse::Asked,
    };
    match operation {
        Operation::DeleteLifecycle => {
            admin.delete(parameters.text(0)).await.map_err(problem)?;
            let mut response = Response::default();
            *response.status_mut() = StatusCode::NO_CONTENT;
            Ok(response)
        }
        Operation::CheckLifecycle => {
            let (name, spec, map) = taken(parts, &sent, None)?;
            let faults = admin.check(&name, &spec, &map).await.map_err(problem)?;
            let told: Vec<String> = faults.iter().take(LIFECYCLE_FAULTS_MAX).map(Fault::to_string).collect();
            answer::value(&json!({"ok": faults.is_empty(), "faults": told}))
        }
        Operation::GiveLifecycle => {
            let queue: QueueId = parameters.parsed(0, "no_such_queue")?;
            body::check_type(&parts.headers)?;
            let given: Given = parsed(&sent)?;
            admin.give(queue, &given.lifecycle, &given.map).await.map_err(problem)?;
            answer::value(&json!({"queue": queue, "lifecycle": given.lifecycle}))
        }
        _ => {
            let name = parameters.text(0);
            let (name, spec, map) = taken(parts, &sent, Some(name))?;
            let is_new = admin.save(&name, &spec, &map).await.map_err(problem)?;
            let mut response = show(api, &principal, &name)?;
            if is_new {
                *response.status_mut() = StatusCode::CREATED;
            }
            Ok(response)
        }
    }
}

/// The parts of a lifecycle that was sent; its name may be in the path, or in the body, or the same in both.
fn taken(
    parts: &Parts,
    sent: &Bytes,
    path: Option<&str>,
) -> Result<(String, LifecycleSpec, StatusMap), Problem> {
    body::check_type(&parts.headers)?;
    let Sent { name, statuses, edges, defaults, from, map } = parsed(sent)?;
    let name = match (name, path) {
        (Some(name), Some(path)) if name != path => {
            let detail = format!("the lifecycle is called {path:?} in the path and {name:?} in the body");
            return Err(Problem::new("malformed", detail));
        }
        (name, Some(path)) => name.unwrap_or_else(|| path.to_owned()),
        (Some(name), None) => name,
        (None, None) => return Err(Problem::new("malformed", "missing field `name`")),
    };
    Ok((name, LifecycleSpec { statuses, edges, defaults, from }, map))
}

fn parsed<'a, T: Deserialize<'a>>(sent: &'a Bytes) -> Result<T, Problem> {
    serde_json::from_slice(sent).map_err(|error| Problem::new("malformed", error.to_string()))
}

fn show(api: &Api, principal: &Principal, name: &str) -> Result<Response, Problem> {
    let lifecycles = api.directory.lifecycles(principal.tenant);
    let queues = own_queues(api, principal);
    let lifecycle = lifecycles.named(name).ok_or_else(|| {
        let names = lifecycles.all().iter().map(Lifecycle::name).collect::<Vec<_>>().join(", ");
        problem(LifecycleError::Missing(name.chars().take(40).collect(), names))
    })?;
    answer::value(&view(lifecycle, &queues))
}

/// The queues that one may do something in.
fn own_queues(api: &Api, principal: &Principal) -> Vec<QueueRow> {
    let mut queues = api.directory.queues(principal.tenant);
    queues.retain(|queue| !api.directory.rights(principal, queue.id).is_empty());
    queues
}

fn view<'a>(lifecycle: &'a Lifecycle, queues: &[QueueRow]) -> View<'a> {
    let having = queues.iter().filter(|queue| queue.lifecycle == lifecycle.id());
    View { name: lifecycle.name(), spec: lifecycle.spec(), queues: having.map(|queue| queue.id).collect() }
}

fn asker(api: &Api, parts: &Parts) -> Result<Principal, Problem> {
    let principal = auth::principal(&api.directory, &parts.headers)?;
    Query::parse(parts.uri.query(), &[])?;
    Ok(principal)
}

fn problem(error: LifecycleError) -> Problem {
    match error {
        LifecycleError::Faulty(faults) => {
            let told: Vec<String> = faults.iter().take(LIFECYCLE_FAULTS_MAX).map(Fault::to_string).collect();
            let detail = format!("{} faults; nothing was saved", faults.len());
            Problem::new("bad_lifecycle", detail).with("faults", told)
        }
        LifecycleError::Missing(..) => Problem::new("no_such_lifecycle", error.to_string()),
        LifecycleError::NoSuchQueue(_) => Problem::new("no_such_queue", error.to_string()),
        LifecycleError::InUse(text) => Problem::new("lifecycle_in_use", text),
        LifecycleError::Store(StoreError::Outdated) => {
            Problem::new("overload", "the directory changes all the time; try again in a moment")
        }
        LifecycleError::Store(error) => tickets::storage(error),
    }
}
