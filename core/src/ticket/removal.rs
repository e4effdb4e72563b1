//! Tickets that are taken away, and what is left of one when a person is erased.

use serde_json::{Map, Value};

/// What a ticket's `extra` object has while it is deleted, and what its event tells: a JSON object.
pub(super) const DELETED: &str = r#"{"deleted":true}"#;
/// The merge patch that takes it out again.
pub(super) const RESTORED: &str = r#"{"deleted":null}"#;

/// What an event of the kind `erased` tells: whoever shows the ticket reads it again.
pub(super) const ERASED: &str = r#"{"erased":true}"#;

/// Members of a ticket's `extra` object and of its events' data that nobody's words and nobody's names are in. All
/// others go when a person is erased, those of later versions included.
const KEPT: [&str; 16] = [
    "agent",
    "channel",
    "deleted",
    "due_at",
    "erased",
    "fence",
    "follow_up_of",
    "followers",
    "from",
    "links",
    "mentions",
    "merged_into",
    "priority",
    "queue",
    "split_from",
    "status",
];

/// An event's `data` without what people wrote and who they are, marked as erased; `None` where nothing of that is in
/// it.
#[must_use]
pub fn redact(data: &str) -> Option<String> {
    let mut left = kept(data)?;
    left.insert("erased".to_owned(), true.into());
    Some(Value::Object(left).to_string())
}

/// The same of a merge patch of a ticket's `extra` object, and of that object itself: without a mark.
#[must_use]
pub fn redact_patch(patch: &str) -> Option<String> {
    kept(patch).map(|left| Value::Object(left).to_string())
}

/// The members that stay, where others go. What is no object is nothing that may stay.
fn kept(object: &str) -> Option<Map<String, Value>> {
    let mut members: Map<String, Value> = serde_json::from_str(object).unwrap_or_default();
    let count = members.len();
    members.retain(|name, _| KEPT.contains(&name.as_str()));
    (members.len() < count || (count == 0 && object != "{}")).then_some(members)
}

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
    fn what_is_left_tells_of_nobody() {
        let created =
            r#"{"queue":1,"subject":"Lost card","requester":"kim@example.com","text":"x","status":"new"}"#;
        assert_eq!(redact(created).unwrap(), r#"{"erased":true,"queue":1,"status":"new"}"#);
        assert_eq!(redact(&redact(created).unwrap()), None, "once is enough");
        assert_eq!(redact("no json").unwrap(), ERASED);
        for nobody in ["{}", ERASED, DELETED, r#"{"agent":3,"fence":1,"from":"new","status":"open"}"#] {
            assert_eq!((redact(nobody), redact_patch(nobody)), (None, None), "{nobody}");
        }
        let patch = r#"{"tags":{"kim":true},"fields":{"phone":"1"},"requester_id":5,"followers":{"3":true}}"#;
        assert_eq!(redact_patch(patch).unwrap(), r#"{"followers":{"3":true}}"#);
    }

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
