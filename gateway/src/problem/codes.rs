//! The codes of errors: one list, only ever added to.

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
    code("no_such_draft", 404, "No such draft", "You have begun to write nothing to this ticket."),
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
    code("no_such_view", 404, "No such view", "The agent sees no view with this number."),
    later(
        code(
            "attachments_unavailable",
            503,
            "Attachments unavailable",
            "The store of files does not answer as it should; tickets are not concerned. Send the file again after \
             `Retry-After` seconds.",
        ),
        5,
    ),
    code(
        "too_much_history",
        422,
        "Too much history",
        "Too much has changed since the instant in `at`: give a later one; the detail names the limit.",
    ),
    code(
        "ticket_deleted",
        409,
        "Ticket deleted",
        "The ticket takes no command but `restore`: send that first.",
    ),
    code("not_deleted", 409, "Not deleted", "The ticket is there: there is nothing to restore."),
    code(
        "requester_erased",
        409,
        "Requester erased",
        "Nothing is left of the requester, or soon nothing is: make another one.",
    ),
    code(
        "unknown_suggestion",
        422,
        "Unknown suggestion",
        "The assistant has suggested no such thing: give `model` and `reply` as they came with the suggestion.",
    ),
    code(
        "suggestions_off",
        409,
        "Suggestions are off",
        "The assistant is off in the ticket's queue; an administrator turns it on.",
    ),
    code(
        "nothing_asked",
        409,
        "Nothing asked",
        "No message of the customer's waits for an answer; give the version of one as `message`.",
    ),
    code(
        "bad_teaching",
        422,
        "Bad teaching",
        "The assistant cannot learn that; the detail says what it can.",
    ),
    later(
        code(
            "assistant_behind",
            503,
            "Assistant behind",
            "The assistant has not learned enough of the log yet to answer, after a start or under load: ask again after \
             `Retry-After` seconds. Tickets are not concerned.",
        ),
        1,
    ),
];
