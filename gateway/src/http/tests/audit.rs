//! The audit log over HTTP.

use serde_json::json;
use waggle_core::id::{AgentId, TenantId};

use super::World;
use crate::store::{AuditActor, AuditEntry};

#[tokio::test]
async fn administrators_read_their_tenants_audit_log() {
    let world = World::new().await;
    for (tenant, object) in [(1, "token:1"), (1, "token:2"), (2, "token:3"), (1, "token:4")] {
        let entry = AuditEntry::new(TenantId(tenant), AuditActor::Agent(AgentId(1)), "token.created", object);
        world.api.store.audit(entry.with("scope", "agent")).await.unwrap();
    }
    assert_eq!(world.get("/v1/audit").await.code(), "needs_admin");
    let page = world.get_as(&world.admin, "/v1/audit?limit=2&action=token.", &[]).await.json();
    let entries = page["entries"].as_array().unwrap();
    assert_eq!(
        (entries[0]["object"].as_str(), entries[1]["object"].as_str()),
        (Some("token:4"), Some("token:2"))
    );
    assert_eq!(entries[0]["detail"], json!({"scope": "agent"}));
    assert_eq!((entries[0]["actor"].as_str(), entries[0]["id"].as_u64()), (Some("agent:1"), Some(4)));
    assert_eq!(entries[0]["hash"].as_str().unwrap().len(), 64);
    let next = format!("/v1/audit?limit=2&action=token.&cursor={}", page["next"].as_str().unwrap());
    let rest = world.get_as(&world.admin, &next, &[]).await.json();
    assert_eq!((rest["entries"][0]["object"].as_str(), rest["next"].is_null()), (Some("token:1"), true));
    let theirs = world.get_as(&world.stranger, "/v1/audit?action=token.", &[]).await.json();
    assert_eq!(
        (theirs["entries"].as_array().unwrap().len(), &theirs["entries"][0]["object"]),
        (1, &json!("token:3"))
    );
    for (query, code) in [("from=x", "bad_query"), ("colour=red", "bad_query"), ("cursor=7", "bad_cursor")] {
        assert_eq!(world.get_as(&world.admin, &format!("/v1/audit?{query}"), &[]).await.code(), code);
    }
}
