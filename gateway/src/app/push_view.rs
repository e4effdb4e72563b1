//! The push engine, as the API sees it.

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use http::HeaderMap;
use waggle_core::id::{AgentId, TenantId};

use crate::http::Push;
use crate::push::{PushEngine, SessionList, SessionOrder};

pub(super) struct PushView(pub(super) Arc<PushEngine>);

#[async_trait]
impl Push for PushView {
    fn is_running(&self) -> bool {
        self.0.is_running()
    }

    fn address(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        self.0.rules().address(Some(peer), headers).unwrap_or(peer)
    }

    fn check_origin(&self, headers: &HeaderMap) -> Result<(), String> {
        self.0.rules().check_origin(headers)
    }

    fn check_room(&self, address: IpAddr) -> Result<(), (String, u32)> {
        self.0.check_room(Some(address)).map_err(|refusal| (refusal.reason, refusal.retry_after_s))
    }

    async fn sessions(&self, tenant: TenantId, order: SessionOrder, limit: usize) -> SessionList {
        self.0.hub().sessions(tenant, order, limit).await
    }

    async fn presence(&self, tenant: TenantId) -> Option<Vec<AgentId>> {
        self.0.presence(tenant).await
    }
}
