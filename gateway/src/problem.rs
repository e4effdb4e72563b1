//! What went wrong, as callers are told it: one shape and one list of codes for HTTP and for push.

use serde_json::{Map, Value, json};
use waggle_core::ticket::{CommandError, Lifecycle, Refusal};

use crate::ledger::SubmitError;

/// An error as `application/problem+json` (RFC 9457) has it, with a stable `code`.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// HTTP status.
    pub status: u16,
    /// What programs decide on.
    pub code: &'static str,
    /// What is wrong and what would be right.
    pub detail: String,
    /// Further members, such as `current`.
    pub extra: Vec<(&'static str, Value)>,
}

/// Every code and its status.
const CODES: [(&str, u16); 29] = [
    ("malformed", 400),
    ("needs_admin", 403),
    ("needs_agent", 403),
    ("no_such_ticket", 404),
    ("not_closed", 409),
    ("stale_fence", 409),
    ("fence_required", 409),
    ("not_holder", 409),
    ("already_claimed", 409),
    ("not_claimed", 409),
    ("ticket_closed", 409),
    ("forbidden_edge", 409),
    ("ticket_exhausted", 409),
    ("stale_version", 412),
    ("command_too_large", 413),
    ("no_such_queue", 422),
    ("no_such_agent", 422),
    ("wrong_target", 422),
    ("idempotency_mismatch", 422),
    ("unknown_command", 422),
    ("missing_field", 422),
    ("extra_field", 422),
    ("text_too_long", 422),
    ("blank_text", 422),
    ("unknown_status", 422),
    ("nothing_to_set", 422),
    ("version_required", 428),
    ("overload", 503),
    ("storage_unavailable", 503),
];

impl Problem {
    /// A problem with `code`'s status; `stopping` has 503, and a code that is not in the list 500.
    #[must_use]
    pub fn new(code: &'static str, detail: impl Into<String>) -> Self {
        let status = match CODES.iter().find(|(name, _)| *name == code) {
            Some((_, status)) => *status,
            None if code == "stopping" => 503,
            None => 500,
        };
        Self { status, code, detail: detail.into(), extra: Vec::new() }
    }

    /// With one more member.
    #[must_use]
    pub fn with(mut self, member: &'static str, value: impl Into<Value>) -> Self {
        self.extra.push((member, value.into()));
        self
    }

    /// Why a command had no effect.
    #[must_use]
    pub fn from_submit(error: &SubmitError) -> Self {
        let detail = error.to_string();
        match error {
            SubmitError::Refused(refusal) => Self::from_refusal(refusal, detail),
            SubmitError::NoSuchTicket(_) => Self::new("no_such_ticket", detail),
            SubmitError::NoSuchQueue(_) => Self::new("no_such_queue", detail),
            SubmitError::NoSuchAgent(_) => Self::new("no_such_agent", detail),
            SubmitError::WrongTarget => Self::new("wrong_target", detail),
            SubmitError::NotClosed(_) => Self::new("not_closed", detail),
            SubmitError::KeyReused => Self::new("idempotency_mismatch", detail),
            SubmitError::Overload => Self::new("overload", detail),
            SubmitError::Storage(_) => Self::new("storage_unavailable", detail),
            SubmitError::Stopping => Self::new("stopping", detail),
        }
    }

    fn from_refusal(refusal: &Refusal, detail: String) -> Self {
        let problem = Self::new(refusal.code(), detail);
        match refusal {
            Refusal::StaleVersion { current, .. } => problem.with("current", current.0),
            Refusal::NoEdge { from, .. } => {
                let allowed: Vec<&str> = Lifecycle::default_table().targets(*from).collect();
                problem.with("allowed", allowed)
            }
            _ => problem,
        }
    }

    /// Why bytes are no command.
    #[must_use]
    pub fn from_command(error: &CommandError) -> Self {
        let code = match error {
            CommandError::TooLong { .. } => "command_too_large",
            CommandError::Malformed(_) => "malformed",
            CommandError::UnknownType(_) => "unknown_command",
            CommandError::MissingField { .. } => "missing_field",
            CommandError::ExtraField { .. } => "extra_field",
            CommandError::TextTooLong { .. } => "text_too_long",
            CommandError::BlankText { .. } => "blank_text",
            CommandError::UnknownStatus { .. } => "unknown_status",
            CommandError::NothingToSet => "nothing_to_set",
        };
        Self::new(code, error.to_string())
    }

    /// The problem as a JSON object, with `request_id` where there is one.
    #[must_use]
    pub fn to_value(&self, request_id: Option<&str>) -> Value {
        let mut object = Map::new();
        object.insert("code".to_owned(), json!(self.code));
        object.insert("status".to_owned(), json!(self.status));
        object.insert("detail".to_owned(), json!(self.detail));
        if let Some(request_id) = request_id {
            object.insert("request_id".to_owned(), json!(request_id));
        }
        for (member, value) in &self.extra {
            object.insert((*member).to_owned(), value.clone());
        }
        Value::Object(object)
    }

    /// The same as JSON text.
    #[must_use]
    pub fn to_json(&self) -> String {
        self.to_value(None).to_string()
    }
}
