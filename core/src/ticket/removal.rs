//! Tickets that are taken away.

use serde_json::Value;

/// What a ticket's `extra` object has while it is deleted, and what its event tells: a JSON object.
pub(super) const DELETED: &str = r#"{"deleted":true}"#;
/// The merge patch that takes it out again.
pub(super) const RESTORED: &str = r#"{"deleted":null}"#;

/// Whether a ticket with this `extra` object is deleted.
#[must_use]
pub fn is_deleted(extra: &str) -> bool {
    // Nearly none is: the text tells that at once.
    extra.contains(r#""deleted":true"#)
        && serde_json::from_str::<Value>(extra).is_ok_and(|extra| extra["deleted"] == true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_ticket_itself_is_deleted() {
        assert!(is_deleted(DELETED));
        assert!(is_deleted(r#"{"tags":{"a":true},"deleted":true}"#));
        for extra in
            ["{}", "no json", r#"{"fields":{"deleted":true}}"#, r#"{"tags":{"\"deleted\":true":true}}"#]
        {
            assert!(!is_deleted(extra), "{extra}");
        }
    }
}
