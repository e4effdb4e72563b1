//! What a ticket is about, as one text: its subject, requester, tags and fields.

use serde_json::Value;

use super::value::texts;

/// The text. An `extra` that is no JSON object adds nothing.
#[must_use]
pub fn about(subject: &str, requester: &str, extra: &str) -> String {
    let mut parts = vec![subject.to_owned(), requester.to_owned()];
    if extra != "{}" {
        let extra: Value = serde_json::from_str(extra).unwrap_or_default();
        let members = |name: &str| extra.get(name).and_then(Value::as_object);
        parts.extend(members("tags").into_iter().flat_map(|tags| tags.keys().cloned()));
        parts.extend(members("fields").into_iter().flat_map(|fields| fields.values().flat_map(texts)));
    }
    parts.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_people_read_is_in_it() {
        let extra =
            r#"{"tags":{"vip":true},"fields":{"order":"A17","size":3,"colours":{"red":true}},"due_at":5}"#;
        assert_eq!(about("Lost card", "kim", extra), "Lost card\nkim\nvip\nred\na17\n3");
        assert_eq!(about("s", "r", "no json"), "s\nr");
    }
}
