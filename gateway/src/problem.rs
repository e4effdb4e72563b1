//! What went wrong, as callers are told it: one shape and one list of codes for HTTP and for push.

use serde_json::{Map, Value, json};
use waggle_core::right::Right;
use waggle_core::ticket::{Actor, CommandError, DetailsError, Refusal};

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

/// A code with what it always means. Codes are never renamed or given another meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// Its name.
    pub name: &'static str,
    /// The HTTP status that it comes with.
    pub status: u16,
    /// A short title for people.
    pub title: &'static str,
    /// What the caller should do.
    pub meaning: &'static str,
    /// Seconds after which asking again makes sense (`Retry-After`), where it does.
    pub retry_after_s: Option<u32>,
}

const fn code(name: &'static str, status: u16, title: &'static str, meaning: &'static str) -> Code {
    Code { name, status, title, meaning, retry_after_s: None }
}

const fn later(code: Code, retry_after_s: u32) -> Code {
    Code { retry_after_s: Some(retry_after_s), ..code }
}

/// Every code, as `docs/ERRORS.md` shows them. Append only.
pub const CODES: &[Code] = &[
    code(
        "malformed",
        400,
        "Malformed command",
        "The body is not JSON of the shape that is expected; the detail says where.",
    ),
    code(
        "bad_if_match",
        400,
        "Bad If-Match",
        "Give one version in quotes, or a star: `If-Match: \"7\"`, `If-Match: *`.",
    ),
    code("version_conflict", 400, "Two versions given", "`If-Match` and `expect` differ; give one of them."),
    code(
        "bad_idempotency_key",
        400,
        "Bad Idempotency-Key",
        "Give one key of 1 to 128 visible ASCII characters.",
    ),
    code(
        "bad_cursor",
        400,
        "Bad cursor",
        "Give a `cursor` as the `next` of the page before, for the same list.",
    ),
    code(
        "bad_query",
        400,
        "Bad query",
        "A query parameter is unknown, repeated, or has a value out of range.",
    ),
    code(
        "bad_handshake",
        400,
        "Bad WebSocket handshake",
        "A header of the handshake is missing or wrong; the detail names it.",
    ),
    code(
        "unauthorized",
        401,
        "Not authorized",
        "Give `Authorization: Bearer wgl_…` with a token that is neither expired nor revoked.",
    ),
    code(
        "forbidden",
        403,
        "Forbidden",
        "Ask for the right that `right` names: the agent's roles give it here, and the token's scope leaves it.",
    ),
    code(
        "needs_admin",
        403,
        "Needs an administrator",
        "Ask as an agent who administers this, with a token of scope `admin`.",
    ),
    code("needs_agent", 403, "Needs an agent", "Only agents do this."),
    code("not_found", 404, "Not found", "There is nothing at this path."),
    code("no_such_ticket", 404, "No such ticket", "The token's tenant has no ticket with this number."),
    code("no_such_attachment", 404, "No such attachment", "The ticket has no file of this name, a SHA-256."),
    code("method_not_allowed", 405, "Method not allowed", "`Allow` names the methods of this path."),
    code("attached_already", 409, "Attached already", "The ticket has this very file: `hash` names it."),
    code(
        "too_many_attachments",
        409,
        "Too many attachments",
        "The ticket has as many files as one may have.",
    ),
    code("not_closed", 409, "Ticket not closed", "Only a closed ticket has follow-ups; write to this one."),
    code(
        "stale_fence",
        409,
        "Stale fence",
        "Somebody claimed the ticket after you: `current` is the newest fence. Do not write to it.",
    ),
    code("fence_required", 409, "Fence required", "The ticket is held: give the `fence` of your claim."),
    code("not_holder", 409, "Held by another", "Another agent holds the ticket."),
    code(
        "already_claimed",
        409,
        "Already claimed",
        "`holder` has it, `since` then. Wait for its release, or claim over it with the `fence` that you know.",
    ),
    code("not_claimed", 409, "Not claimed", "Nobody holds the ticket; there is nothing to release."),
    code("ticket_closed", 409, "Ticket closed", "Closed is final: create a follow-up with `follow_up_of`."),
    code(
        "forbidden_edge",
        409,
        "No such move",
        "`allowed` names the statuses that the ticket can go to from where it is.",
    ),
    code(
        "ticket_exhausted",
        409,
        "Ticket full",
        "The ticket has no number left for another event or claim: create a follow-up.",
    ),
    code(
        "stale_version",
        412,
        "Stale version",
        "The ticket is at version `current`: read it again and decide anew.",
    ),
    code(
        "attachment_too_large",
        413,
        "Attachment too large",
        "`attachments.bytes_max` is the most; the detail has it.",
    ),
    code(
        "bad_attachment",
        422,
        "Bad attachment",
        "The file is empty, or of a kind that is not taken, such as a program; the detail says which.",
    ),
    code(
        "command_too_large",
        413,
        "Command too large",
        "Send a body within the limit that the detail names.",
    ),
    code(
        "unsupported_media_type",
        415,
        "Unsupported media type",
        "Send JSON, as it is: `Content-Type: application/json`, no `Content-Encoding`.",
    ),
    code("no_such_queue", 422, "No such queue", "The token's tenant has no queue with this number."),
    code("no_such_agent", 422, "No such agent", "The token's tenant has no agent with this number."),
    code(
        "wrong_target",
        422,
        "Wrong target",
        "Send `create` to `/v1/tickets`, every other command to a ticket.",
    ),
    code(
        "idempotency_mismatch",
        422,
        "Idempotency-Key reused",
        "The key came with another request before: take a new key for a new request.",
    ),
    code("unknown_command", 422, "Unknown command", "`type` is none of the commands that the detail lists."),
    code("missing_field", 422, "Missing field", "The command needs the field that the detail names."),
    code("extra_field", 422, "Extra field", "The command does not take the field that the detail names."),
    code("text_too_long", 422, "Text too long", "Shorten the field that the detail names."),
    code("blank_text", 422, "Blank text", "The field needs at least one visible character."),
    code(
        "unknown_status",
        422,
        "Unknown status",
        "The lifecycle has no such status; the detail lists those that it has.",
    ),
    code(
        "nothing_to_set",
        422,
        "Nothing to set",
        "A `set` needs at least one of the fields that the detail lists.",
    ),
    code("upgrade_required", 426, "Upgrade required", "This path speaks WebSocket, version 13, only."),
    code(
        "version_required",
        428,
        "Version required",
        "The command overwrites: say which version you saw (`If-Match: \"7\"` or `expect`), or `If-Match: *`.",
    ),
    code(
        "headers_too_large",
        431,
        "Headers too large",
        "Send fewer or shorter headers; the detail names the limit.",
    ),
    later(
        code("overload", 503, "Overloaded", "Too much is under way: ask again after `Retry-After` seconds."),
        1,
    ),
    later(
        code(
            "storage_unavailable",
            503,
            "Storage unavailable",
            "Ask again after `Retry-After` seconds, with the same Idempotency-Key.",
        ),
        5,
    ),
    later(code("stopping", 503, "Stopping", "The gateway starts or stops: ask again, or another node."), 1),
    code("internal", 500, "Internal error", "A fault of Waggle's: please report it, with the request id."),
    code(
        "request_timeout",
        408,
        "Request timeout",
        "The body did not arrive in time: send it without pauses.",
    ),
    code(
        "guard_unmet",
        409,
        "Guard not met",
        "The lifecycle allows this move only in the situation that the detail names.",
    ),
    code(
        "status_required",
        409,
        "Status required",
        "The queue has another lifecycle: give `status` with it, one of those in `allowed`.",
    ),
    code(
        "lifecycle_in_use",
        409,
        "Lifecycle in use",
        "Queues or tickets have the lifecycle, or it is just changing; the detail says which and what to do.",
    ),
    code("no_such_lifecycle", 404, "No such lifecycle", "The token's tenant has no lifecycle of this name."),
    code(
        "bad_lifecycle",
        422,
        "Faulty lifecycle",
        "`faults` lists everything that is wrong with it; nothing was saved.",
    ),
    code(
        "too_many_views",
        422,
        "Too many views",
        "Unsubscribe from views first; the detail names the limit of one push session.",
    ),
    code(
        "login_failed",
        401,
        "Not logged in",
        "Tenant, name or password is wrong; or no agent is linked to the identity at the provider.",
    ),
    later(
        code(
            "too_many_logins",
            429,
            "Too many failed logins",
            "Wait as `Retry-After` says, or log in with a browser that was logged in before.",
        ),
        900,
    ),
    code(
        "password_change_required",
        403,
        "Password must be changed",
        "Somebody else has chosen the password: log in with your own as `new_password`.",
    ),
    code("weak_password", 422, "Weak password", "Choose another password; the detail says why."),
    code(
        "cross_site",
        403,
        "Request of another site",
        "Requests with a session's cookie that change something come from a page of the gateway's own origin.",
    ),
    code(
        "csrf_token",
        403,
        "No CSRF token",
        "Give `X-CSRF-Token` as `csrf_token` is in the answer to the login and to `GET /v1/session`.",
    ),
    code("read_only", 403, "Token only reads", "Ask with a token of scope `agent` or `admin`."),
    code("needs_session", 403, "Needs a session", "Log in: this is for a session, not for a token."),
    code("no_such_session", 404, "No such session", "You have no session with this number."),
    code("no_such_token", 404, "No such token", "There is no token with this number that you may see."),
    code("bad_value", 422, "Bad value", "A field has a value that it does not take; the detail says which."),
    code("too_many_tokens", 422, "Too many tokens", "Revoke tokens first; the detail names the limit."),
    later(
        code(
            "keys_unknown",
            503,
            "Key not known yet",
            "The token is signed with a key that the identity provider has only now: ask again.",
        ),
        1,
    ),
    later(
        code(
            "provider_unavailable",
            503,
            "Identity provider unavailable",
            "The identity provider does not answer as it should: try again.",
        ),
        5,
    ),
    code("no_provider", 404, "No identity provider", "Login by OpenID Connect is not configured here."),
    code(
        "login_flow",
        400,
        "Login was not begun here",
        "Begin again at `/v1/login/oidc`, in this browser, and finish within ten minutes.",
    ),
    code(
        "agent_cannot_see",
        422,
        "Agent cannot see it",
        "Assign the ticket to an agent who has a role in its queue.",
    ),
    code("no_such_team", 422, "No such team", "The token's tenant has no team with this number."),
    code("no_such_role", 422, "No such role", "The token's tenant has no role with this number."),
    code(
        "no_such_requester",
        422,
        "No such requester",
        "The token's tenant has no requester with this number.",
    ),
    code(
        "bad_name",
        422,
        "Bad name",
        "Give a name without invisible characters, each word in one script; the detail says what is wrong.",
    ),
    code(
        "field_conflict",
        409,
        "Field changed by another",
        "Somebody has changed `field` since the version in `expect`: to `theirs`, where you want `yours`. Decide, and give \
         `current` as `expect`.",
    ),
    code(
        "stale_reply",
        409,
        "Something was said since",
        "`newer` came after the version in `seen`: read it, then send with `current` as `seen`, or with `force`.",
    ),
    code("unknown_field", 422, "Unknown field", "The tenant has no custom field with the key in `field`."),
    code("required_fields", 422, "Fields required", "Give values of the custom fields that `fields` names."),
    code("too_many_details", 422, "Too many details", "The ticket takes no more than `limit` of `what`."),
    code("no_such_field", 404, "No such field", "The tenant has no custom field with this key."),
    code("bad_field", 422, "Bad field definition", "The detail says what a definition takes."),
    code(
        "name_taken",
        409,
        "Name taken",
        "`taken_by` has this name, or one that looks the same: choose another.",
    ),
    code("limit_reached", 409, "Limit reached", "There are `limit` already: take one away first."),
    code("unknown_right", 422, "Unknown right", "Give some of the rights that the detail lists."),
    code("builtin_role", 409, "Built-in role", "The role stays as it is: make one of your own."),
    code(
        "in_use",
        409,
        "In use",
        "Withdraw the roles and take out the members that the detail counts first.",
    ),
    code("granted_already", 409, "Granted already", "There is nothing to do: `grant` is the one."),
    code(
        "last_administrator",
        409,
        "Last administrator",
        "Give another active agent a role that administers all queues first.",
    ),
    code(
        "bad_identity",
        422,
        "Bad identity",
        "Give an e-mail address, an international phone number or an external id; the detail says what is wrong.",
    ),
    code(
        "identity_taken",
        409,
        "Identity taken",
        "`requester` is known by it: merge the two, or leave it out.",
    ),
    code(
        "same_requester",
        409,
        "Same requester",
        "The two are one already, `requester`: there is nothing to merge.",
    ),
    code("merged", 409, "Merged", "The ticket was closed for the ticket `into`: go on there."),
    code("same_ticket", 422, "Same ticket", "Name another ticket than the command's own."),
    code("target_closed", 409, "Target closed", "Merge into a ticket that is open."),
    code(
        "bad_parent",
        409,
        "Bad parent",
        "A ticket has one parent at most, and is no part of itself; the detail says which.",
    ),
    code("no_such_message", 422, "No such message", "Give the version of one of the ticket's messages."),
    code("bad_bulk", 422, "Bad bulk command", "The detail says what a command on many tickets takes."),
    code("unknown_link", 422, "Unknown link", "`as` is none of those that the detail lists."),
    later(
        code(
            "index_behind",
            503,
            "Index behind",
            "Lists are not as new as the log yet: ask again after `Retry-After` seconds.",
        ),
        1,
    ),
];

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
            SubmitError::NoSuchMessage(_) => Self::new("no_such_message", detail),
            SubmitError::Details(error) => Self::from_details(error, detail),
            SubmitError::NoSuchTicket(_) => Self::new("no_such_ticket", detail),
            SubmitError::NoSuchQueue(_) => Self::new("no_such_queue", detail),
            SubmitError::NoSuchAgent(_) => Self::new("no_such_agent", detail),
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
