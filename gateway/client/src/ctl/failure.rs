//! Failures, and the exit codes that they become.

use std::fmt;

use waggle_client::{Loss, LossReason, Problem};
use waggle_core::push::CloseCode;

/// How `wagglectl` ends. Documented in `--help`; append-only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Ok,
    Failure,
    Usage,
    Refused,
    NotFound,
    Unauthorized,
    Unavailable,
}

impl Exit {
    pub(crate) fn code(self) -> i32 {
        match self {
            Self::Ok => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::Refused => 3,
            Self::NotFound => 4,
            Self::Unauthorized => 5,
            Self::Unavailable => 6,
        }
    }

    /// By the status of an HTTP answer.
    fn for_status(status: u16) -> Self {
        match status {
            400 | 405..=428 => Self::Refused,
            401 | 403 => Self::Unauthorized,
            404 => Self::NotFound,
            429 | 502..=504 => Self::Unavailable,
            _ => Self::Failure,
        }
    }
}

/// What is said to people, and to scripts.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    message: String,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }

    /// Something on this side went wrong while `doing`.
    pub(crate) fn local(doing: impl fmt::Display, error: impl fmt::Display) -> Self {
        Self::new(Exit::Failure, format!("{doing}: {error}"))
    }

    /// The gateway wants no more of this client.
    pub(crate) fn ended(reason: &LossReason) -> Self {
        let unauthorized = CloseCode::Unauthorized.number();
        let exit = match reason {
            LossReason::Connection(Loss::Closed { code, .. }) if *code == unauthorized => Exit::Unauthorized,
            _ => Exit::Failure,
        };
        Self::new(exit, format!("the gateway ended the session: {reason}"))
    }

    /// The API said no. `body` is a problem, or whatever a proxy in between has to say.
    pub(crate) fn answered(status: u16, body: &[u8]) -> Self {
        let exit = Exit::for_status(status);
        match serde_json::from_slice::<Problem>(body) {
            Ok(problem) if !problem.code.is_empty() => Self::new(exit, problem.to_string()),
            _ => {
                let text: String = String::from_utf8_lossy(body).chars().take(200).collect();
                Self::new(exit, format!("the API answered {status} {text}").trim_end())
            }
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_become_exit_codes() {
        let codes = [400, 401, 403, 404, 409, 412, 428, 429, 500, 503].map(|it| Exit::for_status(it).code());
        assert_eq!(codes, [3, 5, 5, 4, 3, 3, 3, 6, 1, 6]);
    }

    #[test]
    fn problems_say_what_is_wrong() {
        let body = br#"{"title":"Conflict","status":409,"code":"already_claimed","detail":"agent 4 holds ticket 3","request_id":"r1"}"#;
        let failure = Failure::answered(409, body);
        assert_eq!(failure.to_string(), "agent 4 holds ticket 3 (already_claimed, request r1)");
        assert_eq!(Failure::answered(502, b"Bad Gateway").to_string(), "the API answered 502 Bad Gateway");
    }
}
