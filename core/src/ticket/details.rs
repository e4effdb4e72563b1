//! What a ticket has beyond status, queue and holder: tags, custom fields, followers and the like.
//!
//! Commands say what they change of it as an RFC 7396 merge patch of the ticket's `extra` object; here it is checked.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::field::{FieldSet, ValueError};
use super::follower::Follow;
use super::merge_patch::merge_patch;
use crate::id::{AgentId, RequesterId};
use crate::limits::{
    CHANNEL_BYTES_MAX, DUE_AT_MS_MAX, TAG_BYTES_MAX, TICKET_EXTRA_BYTES_MAX, TICKET_FOLLOWERS_MAX,
    TICKET_LINKS_MAX, TICKET_TAGS_MAX,
};

/// Members of a command as they came: JSON values, not looked into yet.
#[derive(Debug, Clone, Copy, Default)]
pub struct Details<'a> {
    /// An object: `true` for each tag to be there, `null` for each to go.
    pub tags: Option<&'a RawValue>,
    /// An object: values of custom fields by key, `null` for none.
    pub fields: Option<&'a RawValue>,
    /// An object by agents' numbers, as `tags`.
    pub followers: Option<&'a RawValue>,
    /// Milliseconds since 1970, or `null`.
    pub due_at: Option<&'a RawValue>,
    /// A word, or `null`.
    pub channel: Option<&'a RawValue>,
    /// A requester's number, or `null`.
    pub requester_id: Option<&'a RawValue>,
}

impl PartialEq for Details<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.members().map(|(_, value)| value.map(RawValue::get))
            == other.members().map(|(_, value)| value.map(RawValue::get))
    }
}

impl Eq for Details<'_> {}

/// Why details are not taken. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DetailsError {
    /// A value of the wrong form.
    #[error("{member:?} is {given}; expected {expected}")]
    Malformed {
        /// Which member.
        member: &'static str,
        /// What came, shortened.
        given: String,
        /// What would be right.
        expected: String,
    },
    /// A custom field that the tenant has not.
    #[error("there is no field {key:?}; the fields are: {known}")]
    UnknownField {
        /// As given, shortened.
        key: String,
        /// Those that there are.
        known: String,
    },
    /// A value that its field does not take.
    #[error(transparent)]
    BadValue(#[from] ValueError),
    /// Fields that must have a value.
    #[error("the ticket needs values of the fields: {}", .0.join(", "))]
    Required(Vec<String>),
    /// More than a ticket has.
    #[error("the ticket would have {count} {what}; at most {limit} are taken")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// As it would be.
        count: usize,
        /// At most.
        limit: usize,
    },
}

/// A change of a ticket's details that is sound.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Patch(Map<String, Value>);

impl Patch {
    /// One of a single member.
    #[must_use]
    pub fn of(member: &str, value: Value) -> Self {
        Self(Map::from_iter([(member.to_owned(), value)]))
    }

    /// With one more member.
    #[must_use]
    pub fn with(mut self, member: &str, value: Value) -> Self {
        self.0.insert(member.to_owned(), value);
        self
    }

    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The merge patch, as JSON.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        Value::Object(self.0.clone()).to_string().into_bytes()
    }

    /// Its members.
    #[must_use]
    pub fn members(&self) -> &Map<String, Value> {
        &self.0
    }

    /// The agents that it makes followers.
    pub fn new_followers(&self) -> impl Iterator<Item = AgentId> {
        let followers = self.0.get("followers").and_then(Value::as_object).into_iter().flatten();
        followers.filter(|(_, state)| !state.is_null()).filter_map(|(agent, _)| agent.parse().ok())
    }

    /// Who begins to follow the ticket with it, and who ends.
    pub fn follows(&self) -> impl Iterator<Item = (AgentId, Follow)> {
        let followers = self.0.get("followers").and_then(Value::as_object).into_iter().flatten();
        let follow = |state: &Value| if state.is_null() { Follow::Ends } else { Follow::Begins };
        followers.filter_map(move |(agent, state)| Some((agent.parse().ok()?, follow(state))))
    }

    /// The requester whose ticket it makes it.
    #[must_use]
    pub fn requester(&self) -> Option<RequesterId> {
        self.0.get("requester_id").and_then(Value::as_u64).map(RequesterId)
    }

    /// The `extra` object after it.
    ///
    /// # Errors
    /// Where it would be more than a ticket has.
    pub fn apply(&self, extra: &str) -> Result<Value, DetailsError> {
        // It was JSON when it was written.
        let mut after: Value = serde_json::from_str(extra).unwrap_or_default();
        merge_patch(&mut after, Value::Object(self.0.clone()));
        for (what, limit) in
            [("tags", TICKET_TAGS_MAX), ("followers", TICKET_FOLLOWERS_MAX), ("links", TICKET_LINKS_MAX)]
        {
            let count = after.get(what).and_then(Value::as_object).map_or(0, Map::len);
            if count > limit {
                return Err(DetailsError::TooMany { what, count, limit });
            }
        }
        let count = after.to_string().len();
        if count > TICKET_EXTRA_BYTES_MAX {
            return Err(DetailsError::TooMany {
                what: "bytes of details",
                count,
                limit: TICKET_EXTRA_BYTES_MAX,
            });
        }
        Ok(after)
    }
}

impl<'a> Details<'a> {
    fn members(&self) -> [(&'static str, Option<&'a RawValue>); 6] {
        [
            ("tags", self.tags),
            ("fields", self.fields),
            ("followers", self.followers),
            ("due_at", self.due_at),
            ("channel", self.channel),
            ("requester_id", self.requester_id),
        ]
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members().iter().all(|(_, value)| value.is_none())
    }

    /// Checks the change that an existing ticket is to get.
    ///
    /// # Errors
    /// Says what of it is not taken.
    pub fn check(&self, fields: &FieldSet) -> Result<Patch, DetailsError> {
        let mut patch = Map::new();
        for (member, raw) in self.members() {
            let Some(raw) = raw else { continue };
            // It was found to be JSON when the command was parsed.
            let value: Value = serde_json::from_str(raw.get()).unwrap_or_default();
            check_member(member, &value, fields)?;
            patch.insert(member.to_owned(), value);
        }
        let cleared = fields.all().iter().filter(|field| field.required == super::Required::AtCreate);
        let given = patch.get("fields").and_then(Value::as_object);
        let cleared =
            cleared.filter(|field| given.is_some_and(|given| given.get(&field.key) == Some(&Value::Null)));
        let cleared: Vec<String> = cleared.map(|field| field.key.clone()).collect();
        if cleared.is_empty() { Ok(Patch(patch)) } else { Err(DetailsError::Required(cleared)) }
    }

    /// The details that a new ticket starts with: those given, and the defaults of fields.
    ///
    /// # Errors
    /// Says what is not taken, or missing.
    pub fn check_new(&self, fields: &FieldSet) -> Result<Patch, DetailsError> {
        if self.is_empty() && fields.all().is_empty() {
            return Ok(Patch::default());
        }
        let Patch(mut patch) = self.check(fields)?;
        let mut values = match patch.remove("fields") {
            Some(Value::Object(values)) => values,
            _ => Map::new(),
        };
        for field in fields.all() {
            if let Some(default) = &field.default
                && !values.contains_key(&field.key)
            {
                values.insert(field.key.clone(), default.clone());
            }
        }
        let missing = fields.missing_at_create(Some(&values));
        if !missing.is_empty() {
            return Err(DetailsError::Required(missing));
        }
        if !values.is_empty() {
            patch.insert("fields".to_owned(), Value::Object(values));
        }
        // What is not there need not be taken away.
        let mut start = Value::Object(Map::new());
        merge_patch(&mut start, Value::Object(patch));
        let Value::Object(mut start) = start else { return Ok(Patch::default()) };
        start.retain(|_, value| value.as_object().is_none_or(|set| !set.is_empty()));
        let patch = Patch(start);
        patch.apply("{}")?;
        Ok(patch)
    }
}

fn check_member(member: &'static str, value: &Value, fields: &FieldSet) -> Result<(), DetailsError> {
    let refuse = |given: &Value, expected: String| {
        let given: String = given.to_string().chars().take(60).collect();
        Err(DetailsError::Malformed { member, given, expected })
    };
    match (member, value) {
        ("tags" | "fields" | "followers", Value::Object(set)) if !set.is_empty() => {
            for (name, state) in set {
                let in_set = state.is_null() || *state == Value::Bool(true);
                match member {
                    "tags" if !in_set || !is_tag(name) => {
                        return refuse(&serde_json::json!({ name: state }), expected_tag());
                    }
                    "followers" if !in_set || name.parse::<AgentId>().is_err() => {
                        let expected = "agents' numbers as keys, each with true or null".to_owned();
                        return refuse(&serde_json::json!({ name: state }), expected);
                    }
                    "fields" => check_field(name, state, fields)?,
                    _ => {}
                }
            }
            Ok(())
        }
        ("tags", _) => refuse(value, expected_tag()),
        ("fields", _) => refuse(value, "an object with at least one field's value by its key".to_owned()),
        ("followers", _) => {
            refuse(value, "an object with agents' numbers as keys, each with true or null".to_owned())
        }
        (_, Value::Null) => Ok(()),
        ("due_at", Value::Number(at)) if at.as_u64().is_some_and(|at| at <= DUE_AT_MS_MAX) => Ok(()),
        ("due_at", _) => refuse(value, format!("milliseconds since 1970 up to {DUE_AT_MS_MAX}, or null")),
        ("channel", Value::String(channel)) if is_channel(channel) => Ok(()),
        ("channel", _) => {
            let expected =
                format!("a word of small letters, digits, - and _, of at most {CHANNEL_BYTES_MAX}, or null");
            refuse(value, expected)
        }
        ("requester_id", Value::Number(id))
            if id.as_u64().is_some_and(|id| id > 0 && id <= i64::MAX as u64) =>
        {
            Ok(())
        }
        (_, _) => refuse(value, "a requester's number, or null".to_owned()),
    }
}

fn check_field(key: &str, value: &Value, fields: &FieldSet) -> Result<(), DetailsError> {
    let unknown =
        || DetailsError::UnknownField { key: key.chars().take(40).collect(), known: fields.to_string() };
    let field = fields.get(key).ok_or_else(unknown)?;
    if !value.is_null() {
        field.check(value)?;
    }
    Ok(())
}

fn expected_tag() -> String {
    format!(
        "an object with tags as keys, each with true or null; a tag is of at most {TAG_BYTES_MAX} bytes: letters that \
         are not capitals, digits and - _ . / :"
    )
}

fn is_tag(text: &str) -> bool {
    let taken = |character: char| {
        (character.is_alphanumeric() && !character.is_uppercase()) || "-_./:".contains(character)
    };
    (1..=TAG_BYTES_MAX).contains(&text.len()) && text.chars().all(taken)
}

fn is_channel(text: &str) -> bool {
    let taken = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    (1..=CHANNEL_BYTES_MAX).contains(&text.len()) && text.bytes().all(taken)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Command, Request};
    use super::*;

    fn fields() -> FieldSet {
        let defs = json!([
            {"key": "order_no", "name": "Order", "type": "text", "required": "at_create"},
            {"key": "size", "name": "Size", "type": "number", "default": 3},
            {"key": "colours", "name": "Colours", "type": "multi_choice", "choices": ["red", "blue"]},
        ]);
        FieldSet::new(serde_json::from_value(defs).unwrap())
    }

    fn with_set<T>(members: Value, then: impl FnOnce(Details<'_>) -> T) -> T {
        let mut command = members;
        command["type"] = json!("set");
        let text = command.to_string();
        let Command::Set { details, .. } = Request::parse(text.as_bytes()).unwrap().command else {
            panic!("a set")
        };
        then(details)
    }

    #[test]
    fn a_change_is_taken_as_it_came() {
        let members = json!({
            "tags": {"refund": true, "vip": null, "größe/2": true}, "fields": {"size": 4, "colours": {"red": true}},
            "followers": {"3": true, "4": null}, "due_at": null, "channel": "email", "requester_id": 12,
        });
        let patch = with_set(members.clone(), |details| details.check(&fields())).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&patch.to_json()).unwrap(), members);
        assert_eq!(patch.new_followers().collect::<Vec<_>>(), [AgentId(3)]);
        let after = patch.apply(r#"{"tags":{"vip":true},"due_at":17,"followers":{"4":true}}"#).unwrap();
        assert_eq!(after["tags"], json!({"refund": true, "größe/2": true}));
        assert_eq!((after.get("due_at"), &after["followers"]), (None, &json!({"3": true})));
    }

    #[test]
    fn what_is_not_taken_is_told() {
        let deep = serde_json::from_str::<Value>(&("[".repeat(100) + &"]".repeat(100))).unwrap();
        for (members, wanted) in [
            (json!({"tags": ["refund"]}), "expected an object with tags"),
            (json!({"tags": {}}), "expected an object with tags"),
            (json!({"tags": {"Refund": true}}), "not capitals"),
            (json!({"tags": {"a b": true}}), "not capitals"),
            (json!({"tags": {"\u{202e}x": true}}), "not capitals"),
            (json!({"tags": {"x": false}}), "true or null"),
            (json!({"tags": {"x".repeat(TAG_BYTES_MAX + 1): true}}), "at most"),
            (
                json!({"fields": {"nope": 1}}),
                "there is no field \"nope\"; the fields are: colours, order_no, size",
            ),
            (json!({"fields": {"size": "3"}}), "expected a number"),
            (json!({"fields": {"size": deep}}), "expected a number"),
            (json!({"fields": {"order_no": null}}), "needs values of the fields: order_no"),
            (json!({"fields": null}), "at least one"),
            (json!({"followers": {"ana": true}}), "agents' numbers"),
            (json!({"due_at": "tomorrow"}), "milliseconds"),
            (json!({"due_at": -1}), "milliseconds"),
            (json!({"due_at": DUE_AT_MS_MAX + 1}), "milliseconds"),
            (json!({"channel": "E-Mail"}), "a word"),
            (json!({"channel": ""}), "a word"),
            (json!({"requester_id": 0}), "a requester's number"),
        ] {
            let refused = with_set(members.clone(), |details| details.check(&fields()));
            let refused = refused.map(|_| ()).unwrap_err().to_string();
            assert!(refused.contains(wanted), "{members}: {refused}");
        }
    }

    #[test]
    fn a_new_ticket_has_defaults_and_what_it_needs() {
        let refused = Details::default().check_new(&fields()).unwrap_err();
        assert_eq!(refused, DetailsError::Required(vec!["order_no".to_owned()]));
        let given = json!({"fields": {"order_no": "A17", "colours": {"red": true, "blue": null}}, "tags": {"x": null}});
        let patch = with_set(given, |details| details.check_new(&fields())).unwrap();
        let wanted = json!({"fields": {"order_no": "A17", "colours": {"red": true}, "size": 3}});
        assert_eq!(Value::Object(patch.members().clone()), wanted);
        assert!(Details::default().check_new(&FieldSet::default()).unwrap().is_empty());
    }

    #[test]
    fn a_ticket_has_no_more_than_its_limits() {
        let tags = |count: usize| {
            let tags: Map<String, Value> =
                (0..count).map(|number| (format!("t{number}"), json!(true))).collect();
            Patch::of("tags", Value::Object(tags))
        };
        assert!(tags(TICKET_TAGS_MAX).apply("{}").is_ok());
        let refused = tags(TICKET_TAGS_MAX).apply(r#"{"tags":{"one more":true}}"#);
        assert!(matches!(refused, Err(DetailsError::TooMany { what: "tags", .. })));
        let long = Patch::of("fields", json!({"a": "x".repeat(TICKET_EXTRA_BYTES_MAX)}));
        assert!(matches!(long.apply("{}"), Err(DetailsError::TooMany { what: "bytes of details", .. })));
    }
}
