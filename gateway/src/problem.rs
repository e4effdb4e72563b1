//! What went wrong, as callers are told it: one shape and one list of codes for HTTP and for push.

mod codes;

pub use codes::{CODES, Code};
use serde_json::{Map, Value, json};
use waggle_core::right::Right;
use waggle_core::ticket::{Actor, CommandError, DetailsError, Refusal};

use crate::learn::FeedbackFault;
use crate::ledger::SubmitError;

/// An error as `application/problem+json` (RFC 9457) has it, with a stable `code`.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// HTTP status.
    pub status: u16,
    /// One of [`CODES`].
    pub code: &'static str,
    /// What is wrong and what would be right.
    pub detail: String,
    /// Further members, such as `current`.
    pub extra: Vec<(&'static str, Value)>,
}

impl Problem {
    /// A problem of the code `name`; one that is not in [`CODES`] would be a bug, and a 500.
    #[must_use]
    pub fn new(name: &'static str, detail: impl Into<String>) -> Self {
        let status = find(name).map_or(500, |code| code.status);
        Self { status, code: name, detail: detail.into(), extra: Vec::new() }
    }

    /// With one more member.
    #[must_use]
    pub fn with(mut self, member: &'static str, value: impl Into<Value>) -> Self {
        self.extra.push((member, value.into()));
        self
    }

    /// Why feedback on a suggestion is not taken.
    #[must_use]
    pub fn from_feedback(fault: &FeedbackFault) -> Self {
        let code = match fault {
            FeedbackFault::Unknown(_) => "unknown_suggestion",
            FeedbackFault::NotReady(_) => "assistant_behind",
            FeedbackFault::Storage(_) => "storage_unavailable",
        };
        Self::new(code, fault.to_string())
    }

    /// Why a command had no effect.
    #[must_use]
    pub fn from_submit(error: &SubmitError) -> Self {
        let detail = error.to_string();
        match error {
            SubmitError::Refused(refusal) => Self::from_refusal(refusal, detail),
            SubmitError::NoEdge { from, allowed, .. } => Self::new("forbidden_edge", detail)
                .with("from", from.as_str())
                .with("allowed", allowed.clone()),
            SubmitError::StatusRequired { from, allowed, .. } => Self::new("status_required", detail)
                .with("from", from.as_str())
                .with("allowed", allowed.clone()),
            SubmitError::UnknownStatus(unknown) => {
                Self::new("unknown_status", detail).with("expected", unknown.expected.clone())
            }
            SubmitError::Claimed(holder) => {
                let shown = holder.agent.map(|agent| json!({"id": agent, "name": holder.name}));
                Self::new("already_claimed", detail).with("holder", shown).with("since", json!(holder.since))
            }
            SubmitError::FieldConflict(conflict, current) => Self::new("field_conflict", detail)
                .with("field", conflict.field.as_str())
                .with("theirs", conflict.theirs.clone())
                .with("yours", conflict.yours.clone())
                .with("by", actor(conflict.by))
                .with("at", conflict.at.0)
                .with("version", conflict.version.0)
                .with("current", current.0),
            SubmitError::StaleReply(newer) => Self::new("stale_reply", detail)
                .with("newer", json!({
                    "version": newer.version, "kind": newer.kind.name(), "actor": actor(newer.by), "at": newer.at,
                }))
                .with("current", newer.current.0),
            SubmitError::Merged(_, into) => Self::new("merged", detail).with("into", into.0),
            SubmitError::SameTicket => Self::new("same_ticket", detail),
            SubmitError::TargetClosed(_) => Self::new("target_closed", detail),
            SubmitError::BadParent(_) => Self::new("bad_parent", detail),
            SubmitError::NoSuchMessage(_) | SubmitError::NotAsked(_) => Self::new("no_such_message", detail),
            SubmitError::FutureModel { newest, .. } => {
                Self::new("unknown_suggestion", detail).with("newest", newest.0)
            }
            SubmitError::Details(error) => Self::from_details(error, detail),
            SubmitError::NoSuchTicket(_) => Self::new("no_such_ticket", detail),
            SubmitError::NoSuchQueue(_) => Self::new("no_such_queue", detail),
            SubmitError::NoSuchAgent(_) => Self::new("no_such_agent", detail),
            SubmitError::NoSuchRequester(_) => Self::new("no_such_requester", detail),
            SubmitError::Lacking { right, queue } => Self::lacking(*right, detail).with("queue", queue.0),
            SubmitError::AgentCannotSee { .. } => Self::new("agent_cannot_see", detail),
            SubmitError::WrongTarget => Self::new("wrong_target", detail),
            SubmitError::NotClosed(_) => Self::new("not_closed", detail),
            SubmitError::KeyReused => Self::new("idempotency_mismatch", detail),
            SubmitError::Overload => Self::new("overload", detail),
            SubmitError::Storage(_) => Self::new("storage_unavailable", detail),
            SubmitError::Stopping => Self::new("stopping", detail),
        }
    }

    /// What one may see and may not do, for want of this right.
    #[must_use]
    pub fn lacking(right: Right, detail: impl Into<String>) -> Self {
        Self::new(Refusal::NeedsRight(right).code(), detail).with("right", right.name())
    }

    fn from_details(error: &DetailsError, detail: String) -> Self {
        match error {
            DetailsError::Malformed { member, .. } => Self::new("bad_value", detail).with("field", *member),
            DetailsError::UnknownField { key, .. } => {
                Self::new("unknown_field", detail).with("field", key.as_str())
            }
            DetailsError::BadValue(error) => {
                Self::new("bad_value", detail).with("field", format!("fields.{}", error.key))
            }
            DetailsError::Required(keys) => Self::new("required_fields", detail).with("fields", keys.clone()),
            DetailsError::TooMany { what, limit, .. } => {
                Self::new("too_many_details", detail).with("what", *what).with("limit", *limit)
            }
        }
    }

    fn from_refusal(refusal: &Refusal, detail: String) -> Self {
        let problem = Self::new(refusal.code(), detail);
        match refusal {
            Refusal::StaleVersion { current, .. } => problem.with("current", current.0),
            Refusal::StaleFence { current, .. } => problem.with("current", current.0),
            Refusal::NeedsRight(right) => problem.with("right", right.name()),
            _ => problem,
        }
    }

    /// Why bytes are no command.
    #[must_use]
    pub fn from_command(error: &CommandError) -> Self {
        let name = match error {
            CommandError::TooLong { .. } => "command_too_large",
            CommandError::Malformed(_) => "malformed",
            CommandError::UnknownType(_) => "unknown_command",
            CommandError::MissingField { .. } => "missing_field",
            CommandError::ExtraField { .. } => "extra_field",
            CommandError::TextTooLong { .. } => "text_too_long",
            CommandError::BlankText { .. } => "blank_text",
            CommandError::StatusWithoutQueue => "missing_field",
            CommandError::NothingToSet => "nothing_to_set",
            CommandError::UnknownLink(_) => "unknown_link",
        };
        Self::new(name, error.to_string())
    }

    /// Seconds after which asking again makes sense.
    #[must_use]
    pub fn retry_after_s(&self) -> Option<u32> {
        find(self.code)?.retry_after_s
    }

    /// The problem as a JSON object: `type`, `title`, `status`, `code`, `detail`, `request_id` where
    /// there is one, and the further members.
    #[must_use]
    pub fn to_value(&self, request_id: Option<&str>) -> Value {
        let title = find(self.code).map_or("Internal error", |code| code.title);
        let mut object = Map::new();
        object.insert("type".to_owned(), json!(format!("urn:waggle:error:{}", self.code)));
        object.insert("title".to_owned(), json!(title));
        object.insert("status".to_owned(), json!(self.status));
        object.insert("code".to_owned(), json!(self.code));
        object.insert("detail".to_owned(), json!(self.detail));
        if let Some(request_id) = request_id {
            object.insert("request_id".to_owned(), json!(request_id));
        }
        for (member, value) in &self.extra {
            object.insert((*member).to_owned(), value.clone());
        }
        Value::Object(object)
    }

    /// The same as JSON text, without a request's id: as push connections send it.
    #[must_use]
    pub fn to_json(&self) -> String {
        self.to_value(None).to_string()
    }
}

fn actor(actor: Actor) -> String {
    let mut name = Vec::with_capacity(16);
    actor.write_to(&mut name);
    String::from_utf8_lossy(&name).into_owned()
}

fn find(name: &str) -> Option<&'static Code> {
    CODES.iter().find(|code| code.name == name)
}

/// The text of `docs/ERRORS.md`.
#[must_use]
pub fn reference() -> String {
    let mut out = String::from(
        "# Errors\n\n\
         Every error of the HTTP API is an `application/problem+json` object with `type`, `title`, `status`, \
         `code`, `detail` and `request_id`; a `result` on a push connection has the same object as `error`, \
         without `request_id`. Decide on `code`: codes are only ever added. \
         `detail` is for people and may change.\n\n\
         This file is made from `gateway/src/problem.rs`; a test compares the two.\n\n\
         | Status | Code | Title | What to do |\n|---|---|---|---|\n",
    );
    let mut codes: Vec<&Code> = CODES.iter().collect();
    codes.sort_by_key(|code| code.status);
    for code in codes {
        out.push_str(&format!("| {} | `{}` | {} | {} |\n", code.status, code.name, code.title, code.meaning));
    }
    out
}

#[cfg(test)]
mod tests {
    use waggle_core::id::{Fence, LifecycleId, Version};
    use waggle_core::right::Right;
    use waggle_core::ticket::{Guard, Status};

    use super::*;

    #[test]
    fn codes_are_unique_and_documented() {
        for (index, code) in CODES.iter().enumerate() {
            assert!(!CODES[..index].iter().any(|other| other.name == code.name), "{} twice", code.name);
        }
        crate::observe::assert_document("docs/ERRORS.md", &reference());
    }

    #[test]
    fn every_refusal_has_a_code_of_the_list() {
        let (new, closed) = (Status::from_index(0), Status::from_index(5));
        let refusals = [
            Refusal::StaleVersion { expected: Version(1), current: Version(2) },
            Refusal::StaleFence { given: Fence(1), current: Fence(2) },
            Refusal::FenceRequired,
            Refusal::NotHolder,
            Refusal::AlreadyClaimed,
            Refusal::NotClaimed,
            Refusal::Closed,
            Refusal::NoEdge { from: new, to: closed },
            Refusal::Unmet(Guard::Holder),
            Refusal::NoStatus { from: new, into: LifecycleId(2) },
            Refusal::Settled,
            Refusal::NeedsRight(Right::Administer),
            Refusal::NeedsRight(Right::Reply),
            Refusal::NeedsAgent,
            Refusal::Exhausted { what: "events", limit: 1 },
        ];
        for refusal in refusals {
            let problem = Problem::from_submit(&SubmitError::Refused(refusal));
            assert_ne!(problem.status, 500, "{refusal:?}");
            assert_eq!(problem.detail, refusal.to_string());
        }
    }
}
