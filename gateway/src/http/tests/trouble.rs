//! Storage that fails, a ledger that says no, and what probes are told.

use std::sync::Arc;

use async_trait::async_trait;
use http::{Request, StatusCode};
use http_body_util::Full;
use serde_json::json;
use waggle_core::id::{Cursor, TenantId};

use super::super::{Commands, Phase};
use super::{World, create};
use crate::ledger::{Outcome, Submission, SubmitError};
use crate::store::StoreError;

struct Refusing(fn() -> SubmitError);

#[async_trait]
impl Commands for Refusing {
    async fn submit(&self, _: Submission<'_>) -> Result<Outcome, SubmitError> {
        Err((self.0)())
    }

    fn head(&self, _: TenantId) -> Option<Cursor> {
        None
    }

    fn is_running(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn a_ledger_that_cannot_says_when_to_ask_again() {
    /// How it fails, and the code and the detail that it becomes.
    type Case = (fn() -> SubmitError, &'static str, &'static str);
    let cases: [Case; 3] = [
        (|| SubmitError::Overload, "overload", "1"),
        (|| SubmitError::Stopping, "stopping", "1"),
        (
            || SubmitError::Storage(Arc::new(StoreError::Full(sqlx::Error::PoolClosed))),
            "storage_unavailable",
            "5",
        ),
    ];
    for (refusal, code, seconds) in cases {
        let world = World::with_commands(Some(Arc::new(Refusing(refusal)))).await;
        let answer = world.post("/v1/tickets", create()).await;
        assert_eq!((answer.status, answer.code().as_str()), (StatusCode::SERVICE_UNAVAILABLE, code));
        assert_eq!(answer.header("retry-after"), seconds);
    }
}

#[tokio::test]
async fn probes_follow_the_phase_and_storage() {
    let world = World::new().await;
    let probe = |path: &'static str| {
        let world = &world;
        async move { world.send(Request::get(path).body(Full::default()).unwrap()).await }
    };
    assert_eq!(probe("/readyz").await.status, 200);
    for phase in [Phase::Starting, Phase::Draining] {
        world.api.readiness.enter(phase);
        assert_eq!(world.api.readiness.phase(), phase);
        assert_eq!(probe("/readyz").await.code(), "stopping");
        assert_eq!(probe("/healthz").await.status, 200);
    }
    world.api.readiness.enter(Phase::Ready);
    world.create().await;

    // Somebody breaks the database under the running gateway.
    use sqlx::Connection;
    let path = world.dir.path().join("db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    let mut database = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    for table in ["directory", "event"] {
        let rename = format!("ALTER TABLE {table} RENAME TO gone_{table}");
        sqlx::query(sqlx::AssertSqlSafe(rename)).execute(&mut database).await.unwrap();
    }
    assert_eq!(probe("/readyz").await.code(), "storage_unavailable");
    for path in ["/v1/tickets/1/messages", "/v1/tickets/1/events"] {
        assert_eq!(world.get(path).await.code(), "storage_unavailable", "{path}");
    }
    let note = json!({"type": "note", "text": "x"});
    assert_eq!(world.post("/v1/tickets/1/commands", note).await.code(), "storage_unavailable");
    assert_eq!(world.get("/v1/me").await.status, 200, "who is who is known from memory");
}

#[tokio::test]
async fn metrics_count_what_was_answered() {
    let world = World::new().await;
    world.create().await;
    world.post("/v1/tickets/1/commands", json!({"type": "claim"})).await;
    world.get("/v1/nothing").await;
    let page = world.send(Request::get("/metrics").body(Full::default()).unwrap()).await;
    assert!(page.header("content-type").starts_with("application/openmetrics-text"));
    let text = String::from_utf8(page.bytes.to_vec()).unwrap();
    for line in [
        r#"waggle_http_requests_total{route="create",status="2xx"} 1"#,
        r#"waggle_http_requests_total{route="command",status="2xx"} 1"#,
        r#"waggle_http_requests_total{route="other",status="4xx"} 1"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}
