//! What the API needs of the push engine.

use std::net::IpAddr;

use async_trait::async_trait;
use http::HeaderMap;
use http::request::Parts;
use waggle_core::id::{AgentId, TenantId};
use waggle_core::right::Right;

use super::answer::{self, Response};
use super::query::Query;
use super::{Api, auth, rights};
use crate::problem::Problem;
use crate::push::{SessionList, SessionOrder};

/// The push engine, as the API sees it.
#[async_trait]
pub trait Push: Send + Sync + 'static {
    /// Whether all of it runs.
    fn is_running(&self) -> bool;
    /// The address that a connection's client counts as, given the peer's.
    fn address(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr;
    /// Whether a page of the request's origin may connect; says what is wrong where not.
    fn check_origin(&self, headers: &HeaderMap) -> Result<(), String>;
    /// Whether there is a place for one more from this address: where not, why, and after how many seconds
    /// to come back.
    fn check_room(&self, address: IpAddr) -> Result<(), (String, u32)>;
    /// The first `limit` sessions of a tenant.
    async fn sessions(&self, tenant: TenantId, order: SessionOrder, limit: usize) -> SessionList;
    /// The tenant's agents who are there, by number; `None` once the engine has stopped.
    async fn presence(&self, tenant: TenantId) -> Option<Vec<AgentId>>;
}

/// `GET /v1/push/sessions`: who is furthest behind.
pub(super) async fn sessions(api: &Api, parts: &Parts) -> Result<Response, Problem> {
    let principal = auth::principal(&api.directory, &parts.headers)?;
    let query = Query::parse(parts.uri.query(), &["limit", "order"])?;
    rights::needs_everywhere(api, &principal, Right::Administer)?;
    let order = query.parsed("order")?.unwrap_or_default();
    let limit = query.limit()? as usize;
    answer::value(&api.push.sessions(principal.tenant, order, limit).await)
}
