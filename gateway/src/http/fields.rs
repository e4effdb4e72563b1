//! Definitions of custom fields.

use bytes::Bytes;
use http::StatusCode;
use http::request::Parts;
use hyper::body::Body;
use serde::Serialize;
use serde_json::Value;
use waggle_core::id::TenantId;
use waggle_core::ticket::{FieldDef, merge_patch};

use super::answer::{self, Response};
use super::endpoint::{Operation, Parameters};
use super::query::Query;
use super::tickets::storage;
use super::{Api, auth, body};
use crate::directory::Principal;
use crate::problem::Problem;
use crate::store::{AuditActor, AuditEntry, StoreError};

#[derive(Serialize)]
struct Fields<'a> {
    fields: &'a [FieldDef],
}

/// `GET /v1/fields`: the tenant's, by key.
pub(super) fn list(api: &Api, parts: &Parts) -> Result<Response, Problem> {
    let principal = auth::principal(&api.directory, &parts.headers)?;
    Query::parse(parts.uri.query(), &[])?;
    answer::value(&Fields { fields: api.directory.fields(principal.tenant).all() })
}

/// Adds, changes or deletes a definition; for administrators. The answer is the definition, or nothing.
pub(super) async fn change<B>(
    api: &Api,
    operation: Operation,
    parts: &Parts,
    parameters: &Parameters<'_>,
    body: B,
) -> Result<Response, Problem>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let principal = auth::administrator(&api.directory, &parts.headers, "define fields")?;
    Query::parse(parts.uri.query(), &[])?;
    let response = match operation {
        Operation::CreateField => create(api, &principal, &read(parts, body).await?).await,
        Operation::ChangeField => {
            change_one(api, &principal, parameters.text(0), &read(parts, body).await?).await
        }
        _ => delete(api, &principal, parameters.text(0)).await,
    }?;
    // So that whoever is answered finds it in force.
    api.directory.refresh(&*api.store).await.map_err(storage)?;
    Ok(response)
}

async fn read<B>(parts: &Parts, body: B) -> Result<Bytes, Problem>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    body::check_type(&parts.headers)?;
    body::read(body).await
}

/// `POST /v1/fields`.
async fn create(api: &Api, principal: &Principal, body: &[u8]) -> Result<Response, Problem> {
    let field: FieldDef =
        serde_json::from_slice(body).map_err(|error| Problem::new("malformed", error.to_string()))?;
    let field = checked(field)?;
    let audit = entry(principal, "field.created", &field);
    api.store.create_field(principal.tenant, &field, audit).await.map_err(refused)?;
    let mut response = answer::value(&field)?;
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

/// `PATCH /v1/fields/{field}`: the body is an RFC 7396 merge patch of the definition.
async fn change_one(api: &Api, principal: &Principal, key: &str, body: &[u8]) -> Result<Response, Problem> {
    let patch: Value =
        serde_json::from_slice(body).map_err(|error| Problem::new("malformed", error.to_string()))?;
    let known = known(api, principal.tenant, key)?;
    let mut changed =
        serde_json::to_value(&known).map_err(|error| Problem::new("internal", error.to_string()))?;
    merge_patch(&mut changed, patch);
    let field: FieldDef =
        serde_json::from_value(changed).map_err(|error| Problem::new("malformed", error.to_string()))?;
    if (&field.key, field.kind) != (&known.key, known.kind) {
        let detail =
            "a field's key and type stay as they are, for tickets have values of it; add another field";
        return Err(Problem::new("bad_field", detail));
    }
    let field = checked(field)?;
    let audit = entry(principal, "field.changed", &field);
    api.store.change_field(principal.tenant, &field, audit).await.map_err(refused)?;
    answer::value(&field)
}

/// `DELETE /v1/fields/{field}`: values that tickets have stay with them, and are changed no more.
async fn delete(api: &Api, principal: &Principal, key: &str) -> Result<Response, Problem> {
    let field = known(api, principal.tenant, key)?;
    let audit = entry(principal, "field.deleted", &field);
    api.store.delete_field(principal.tenant, key, audit).await.map_err(refused)?;
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

fn known(api: &Api, tenant: TenantId, key: &str) -> Result<FieldDef, Problem> {
    let fields = api.directory.fields(tenant);
    fields.get(key).cloned().ok_or_else(|| {
        let shown: String = key.chars().take(40).collect();
        Problem::new("no_such_field", format!("there is no field {shown:?}; the fields are: {fields}"))
    })
}

fn checked(field: FieldDef) -> Result<FieldDef, Problem> {
    field.checked().map_err(|error| Problem::new("bad_field", error.to_string()))
}

fn entry(principal: &Principal, action: &'static str, field: &FieldDef) -> AuditEntry {
    let entry = AuditEntry::new(
        principal.tenant,
        AuditActor::Agent(principal.agent),
        action,
        format_args!("field:{}", field.key),
    );
    entry.with("definition", serde_json::to_value(field).unwrap_or_default())
}

fn refused(error: StoreError) -> Problem {
    match error {
        StoreError::NameTaken { .. } => Problem::new("name_taken", error.to_string()),
        StoreError::TooMany { limit, .. } => {
            Problem::new("limit_reached", error.to_string()).with("limit", limit)
        }
        StoreError::Missing { .. } => Problem::new("no_such_field", error.to_string()),
        other => storage(other),
    }
}
