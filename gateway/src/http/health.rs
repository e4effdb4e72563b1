//! Whether the gateway lives, whether to send it work, and its metrics.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use waggle_core::limits::STORAGE_ANSWER_MS_MAX;

use super::Api;
use super::answer::{self, Response};
use crate::problem::Problem;

/// Where the gateway is between start and stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Not everything runs yet.
    Starting,
    /// All runs.
    Ready,
    /// It goes down: clients are asked to go elsewhere.
    Draining,
}

/// The phase, as parts tell it and probes ask it.
#[derive(Debug, Default)]
pub struct Readiness(AtomicU8);

impl Readiness {
    /// The phase now; starting at first.
    pub fn phase(&self) -> Phase {
        match self.0.load(Ordering::Acquire) {
            0 => Phase::Starting,
            1 => Phase::Ready,
            _ => Phase::Draining,
        }
    }

    /// Enters a phase.
    pub fn enter(&self, phase: Phase) {
        let number = match phase {
            Phase::Starting => 0,
            Phase::Ready => 1,
            Phase::Draining => 2,
        };
        self.0.store(number, Ordering::Release);
    }
}

/// `GET /healthz`: the process answers.
pub(super) fn alive() -> Response {
    answer::json(StatusCode::OK, Bytes::from_static(br#"{"status":"ok"}"#))
}

/// `GET /readyz`: it runs, it is not about to stop, and storage answers.
pub(super) async fn ready(api: &Api) -> Result<Response, Problem> {
    match api.readiness.phase() {
        Phase::Starting => return Err(Problem::new("stopping", "the gateway is starting")),
        Phase::Draining => return Err(Problem::new("stopping", "the gateway is draining")),
        Phase::Ready if !api.commands.is_running() => {
            return Err(Problem::new("stopping", "the ledger's writer has ended; restart the gateway"));
        }
        Phase::Ready if !api.push.is_running() => {
            return Err(Problem::new(
                "stopping",
                "a shard of the push engine has ended; restart the gateway",
            ));
        }
        Phase::Ready => {}
    }
    let limit = Duration::from_millis(STORAGE_ANSWER_MS_MAX);
    match tokio::time::timeout(limit, api.store.directory_revision()).await {
        Ok(Ok(_)) => Ok(answer::json(StatusCode::OK, Bytes::from_static(br#"{"status":"ready"}"#))),
        Ok(Err(error)) => Err(super::tickets::storage(error)),
        Err(_) => Err(Problem::new(
            "storage_unavailable",
            format!("storage has not answered within {STORAGE_ANSWER_MS_MAX} milliseconds"),
        )),
    }
}

/// `GET /metrics`.
pub(super) fn metrics(api: &Api) -> Result<Response, Problem> {
    const OPEN_METRICS: HeaderValue =
        HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    match api.metrics.page() {
        Ok(page) => Ok(answer::with_type(StatusCode::OK, OPEN_METRICS, page.into())),
        // Writing into a string does not fail.
        Err(error) => Err(Problem::new("internal", error.to_string())),
    }
}
