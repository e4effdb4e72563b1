//! Custom fields: how a tenant defines them, and which values they take.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::limits::{
    FIELD_CHOICE_BYTES_MAX, FIELD_CHOICES_MAX, FIELD_DEFAULT_BYTES_MAX, FIELD_KEY_BYTES_MAX,
    FIELD_TEXT_BYTES_MAX, FIELDS_MAX,
};
use crate::name::{Name, NameError};

/// The greatest number that a field takes, either way.
pub const FIELD_NUMBER_MAX: f64 = 1e15;

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldKind {
    /// A text of at most [`FIELD_TEXT_BYTES_MAX`].
    Text,
    /// A number within [`FIELD_NUMBER_MAX`].
    Number,
    /// One of the field's choices.
    Choice,
    /// Some of the field's choices: an object with `true` for each, so that changes commute.
    MultiChoice,
    /// A day: `2026-01-31`.
    Date,
    /// True or false.
    Checkbox,
}

/// When a ticket must have a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Required {
    /// It need not.
    #[default]
    Never,
    /// From its creation on.
    AtCreate,
    /// Before it is solved.
    AtSolve,
}

/// A custom field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldDef {
    /// What commands and events call it: `[a-z][a-z0-9_]*`, at most [`FIELD_KEY_BYTES_MAX`].
    pub key: String,
    /// What people call it.
    pub name: String,
    /// What it holds.
    #[serde(rename = "type")]
    pub kind: FieldKind,
    /// For [`FieldKind::Choice`] and [`FieldKind::MultiChoice`], at least one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<String>,
    /// When a ticket must have a value.
    #[serde(default)]
    pub required: Required,
    /// What a new ticket gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
}

/// Why a definition is not taken.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FieldDefError {
    /// The key is none.
    #[error(
        "the key {0:?} is none; expected a small letter, then small letters, digits and _, \
         at most {FIELD_KEY_BYTES_MAX} in all"
    )]
    BadKey(String),
    /// The name is none.
    #[error(transparent)]
    BadName(#[from] NameError),
    /// A choice without choices, or choices without a choice.
    #[error("{0}")]
    BadChoices(String),
    /// The default is no value of the field.
    #[error("the default is none: {0}")]
    BadDefault(ValueError),
    /// The default is long.
    #[error("the default has {0} bytes as JSON; at most {FIELD_DEFAULT_BYTES_MAX} are taken")]
    LongDefault(usize),
}

/// Why a value is not one of its field. The text names what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the field {key:?} is {given}; expected {expected}")]
pub struct ValueError {
    /// Which field.
    pub key: String,
    /// What came, shortened.
    pub given: String,
    /// What would be right.
    pub expected: String,
}

impl FieldDef {
    /// The definition with its name normalised.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn checked(mut self) -> Result<Self, FieldDefError> {
        if !is_key(&self.key) {
            return Err(FieldDefError::BadKey(self.key.chars().take(FIELD_KEY_BYTES_MAX).collect()));
        }
        self.name = Name::parse(&self.name)?.as_str().to_owned();
        self.check_choices().map_err(FieldDefError::BadChoices)?;
        if self.default == Some(Value::Null) {
            self.default = None;
        }
        if let Some(default) = &self.default {
            self.check(default).map_err(FieldDefError::BadDefault)?;
            let bytes = default.to_string().len();
            if bytes > FIELD_DEFAULT_BYTES_MAX {
                return Err(FieldDefError::LongDefault(bytes));
            }
        }
        Ok(self)
    }

    fn check_choices(&self) -> Result<(), String> {
        let chooses = matches!(self.kind, FieldKind::Choice | FieldKind::MultiChoice);
        match self.choices.len() {
            0 if chooses => return Err("a choice needs \"choices\", a list of at least one text".to_owned()),
            0 => return Ok(()),
            _ if !chooses => return Err("only the types choice and multi_choice have choices".to_owned()),
            count if count > FIELD_CHOICES_MAX => {
                return Err(format!("{count} choices; at most {FIELD_CHOICES_MAX} are taken"));
            }
            _ => {}
        }
        for (place, choice) in self.choices.iter().enumerate() {
            let shown: String = choice.chars().take(40).collect();
            if choice.trim().is_empty()
                || choice.len() > FIELD_CHOICE_BYTES_MAX
                || choice.chars().any(char::is_control)
            {
                return Err(format!(
                    "the choice {shown:?} is none; expected 1 to {FIELD_CHOICE_BYTES_MAX} bytes without control \
                     characters"
                ));
            }
            if self.choices.iter().take(place).any(|other| other == choice) {
                return Err(format!("the choice {shown:?} is given twice"));
            }
        }
        Ok(())
    }

    /// Whether `value` is one of the field's. In a change of a multi-choice, a choice that is `null` is taken out.
    ///
    /// # Errors
    /// Says what was expected.
    pub fn check(&self, value: &Value) -> Result<(), ValueError> {
        let fits = match (self.kind, value) {
            (FieldKind::Text, Value::String(text)) => {
                text.len() <= FIELD_TEXT_BYTES_MAX && !text.trim().is_empty() && !text.contains('\0')
            }
            (FieldKind::Number, Value::Number(number)) => {
                number.as_f64().is_some_and(|number| number.abs() <= FIELD_NUMBER_MAX)
            }
            (FieldKind::Choice, Value::String(choice)) => self.choices.contains(choice),
            (FieldKind::MultiChoice, Value::Object(chosen)) => {
                !chosen.is_empty() && chosen.iter().all(|(choice, state)| self.takes(choice, state))
            }
            (FieldKind::Date, Value::String(day)) => is_day(day),
            (FieldKind::Checkbox, Value::Bool(_)) => true,
            _ => false,
        };
        if fits {
            return Ok(());
        }
        let given: String = value.to_string().chars().take(60).collect();
        Err(ValueError { key: self.key.clone(), given, expected: self.expected() })
    }

    /// One that is not a choice any more may still be taken out.
    fn takes(&self, choice: &str, state: &Value) -> bool {
        state.is_null() || (*state == Value::Bool(true) && self.choices.iter().any(|known| known == choice))
    }

    fn expected(&self) -> String {
        match self.kind {
            FieldKind::Text => format!("a text of 1 to {FIELD_TEXT_BYTES_MAX} bytes that is not blank"),
            FieldKind::Number => format!("a number from -{FIELD_NUMBER_MAX:e} to {FIELD_NUMBER_MAX:e}"),
            FieldKind::Choice => format!("one of {}", self.some_choices()),
            FieldKind::MultiChoice => {
                format!(
                    "an object with true for each choice, null to take one out, out of {}",
                    self.some_choices()
                )
            }
            FieldKind::Date => "a day such as \"2026-01-31\"".to_owned(),
            FieldKind::Checkbox => "true or false".to_owned(),
        }
    }

    fn some_choices(&self) -> String {
        const SHOWN: usize = 12;
        let more = if self.choices.len() > SHOWN { ", …" } else { "" };
        let shown: Vec<String> =
            self.choices.iter().take(SHOWN).map(|choice| format!("{choice:?}")).collect();
        shown.join(", ") + more
    }
}

/// Whether `text` has the form of a field's key.
fn is_key(text: &str) -> bool {
    text.len() <= FIELD_KEY_BYTES_MAX
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// Whether `text` is a day of the Gregorian calendar, as ISO 8601 writes it.
fn is_day(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_shaped = bytes.len() == 10
        && bytes.iter().enumerate().all(|(place, byte)| match place {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    if !is_shaped {
        return false;
    }
    let mut parts = text.split('-').filter_map(|part| part.parse::<u32>().ok());
    let (Some(year), Some(month), Some(day)) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        _ => 0,
    };
    (1..=days).contains(&day)
}

/// A tenant's fields, by key.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FieldSet {
    fields: Vec<FieldDef>,
}

impl FieldSet {
    /// The most fields of one tenant: [`FIELDS_MAX`].
    pub const MAX: usize = FIELDS_MAX;

    /// A set of these fields; of two with one key the first counts.
    #[must_use]
    pub fn new(mut fields: Vec<FieldDef>) -> Self {
        fields.sort_by(|one, other| one.key.cmp(&other.key));
        fields.dedup_by(|later, kept| later.key == kept.key);
        Self { fields }
    }

    /// The fields, by key.
    #[must_use]
    pub fn all(&self) -> &[FieldDef] {
        &self.fields
    }

    /// The field called `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&FieldDef> {
        let place = self.fields.binary_search_by(|field| field.key.as_str().cmp(key)).ok()?;
        self.fields.get(place)
    }

    /// Whether a ticket that is solved must have some field.
    #[must_use]
    pub fn has_required_at_solve(&self) -> bool {
        self.fields.iter().any(|field| field.required == Required::AtSolve)
    }

    /// Keys of the fields that `values` lacks and must have, those included that a ticket must have from its
    /// creation on.
    #[must_use]
    pub fn missing_at_solve(&self, values: Option<&Map<String, Value>>) -> Vec<String> {
        self.missing(values, |required| required != Required::Never)
    }

    /// Keys of the fields that a new ticket must have and `values` lacks.
    #[must_use]
    pub fn missing_at_create(&self, values: Option<&Map<String, Value>>) -> Vec<String> {
        self.missing(values, |required| required == Required::AtCreate)
    }

    fn missing(&self, values: Option<&Map<String, Value>>, counts: impl Fn(Required) -> bool) -> Vec<String> {
        let has = |key: &str| match values.and_then(|values| values.get(key)) {
            None | Some(Value::Null) => false,
            Some(Value::Object(chosen)) => chosen.values().any(|state| *state == Value::Bool(true)),
            Some(_) => true,
        };
        let lacking = self.fields.iter().filter(|field| counts(field.required) && !has(&field.key));
        lacking.map(|field| field.key.clone()).collect()
    }
}

impl fmt::Display for FieldSet {
    /// Its keys, for messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 20;
        if self.fields.is_empty() {
            return f.write_str("none is defined");
        }
        for (place, field) in self.fields.iter().take(SHOWN).enumerate() {
            f.write_str(if place == 0 { "" } else { ", " })?;
            f.write_str(&field.key)?;
        }
        f.write_str(if self.fields.len() > SHOWN { ", …" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn field(json: Value) -> Result<FieldDef, FieldDefError> {
        serde_json::from_value::<FieldDef>(json).unwrap().checked()
    }

    #[test]
    fn values_are_of_their_type() {
        let cases = [
            (json!({"type": "text"}), json!("A17"), json!(17)),
            (
                json!({"type": "text"}),
                json!("x".repeat(FIELD_TEXT_BYTES_MAX)),
                json!("x".repeat(FIELD_TEXT_BYTES_MAX + 1)),
            ),
            (json!({"type": "text"}), json!("a\nb"), json!(" \n")),
            (json!({"type": "number"}), json!(-3.5), json!("3")),
            (json!({"type": "number"}), json!(1e15), json!(1.1e15)),
            (json!({"type": "date"}), json!("2028-02-29"), json!("2026-02-29")),
            (json!({"type": "date"}), json!("2000-12-31"), json!("2000-12-31T00:00")),
            (json!({"type": "date"}), json!("0001-01-01"), json!("2026-13-01")),
            (json!({"type": "checkbox"}), json!(false), json!("no")),
            (json!({"type": "choice", "choices": ["S", "M"]}), json!("M"), json!("L")),
            (
                json!({"type": "multi_choice", "choices": ["S", "M"]}),
                json!({"M": true, "L": null}),
                json!({"L": true}),
            ),
            (
                json!({"type": "multi_choice", "choices": ["S", "M"]}),
                json!({"S": null}),
                json!({"S": [[[]]]}),
            ),
            (json!({"type": "multi_choice", "choices": ["S", "M"]}), json!({"S": true}), json!(["S"])),
        ];
        for (mut def, good, bad) in cases {
            def["key"] = json!("size");
            def["name"] = json!("Size");
            let field = field(def.clone()).unwrap();
            assert_eq!(field.check(&good), Ok(()), "{def}");
            let refused = field.check(&bad).unwrap_err().to_string();
            assert!(
                refused.starts_with("the field \"size\" is ") && refused.contains("expected"),
                "{refused}"
            );
            assert!(refused.len() < 400, "{refused}");
        }
    }

    #[test]
    fn definitions_are_checked() {
        let with = |member: &str, value: Value| {
            let mut def = json!({"key": "size", "name": "Size", "type": "choice", "choices": ["S"]});
            def[member] = value;
            field(def).map_err(|error| error.to_string())
        };
        let many: Vec<String> = (0..=FIELD_CHOICES_MAX).map(|number| number.to_string()).collect();
        for (member, value, wanted) in [
            ("key", json!("Size"), "the key \"Size\" is none"),
            ("key", json!(""), "the key"),
            ("key", json!("a".repeat(FIELD_KEY_BYTES_MAX + 1)), "the key"),
            ("name", json!("a\u{202e}b"), "U+202E"),
            ("name", json!(" "), "blank"),
            ("choices", json!([]), "a choice needs"),
            ("choices", json!(["S", "S"]), "twice"),
            ("choices", json!(["S", " "]), "is none"),
            ("choices", json!(many), "at most"),
            ("type", json!("text"), "only the types"),
            ("default", json!("L"), "expected one of \"S\""),
        ] {
            let refused = with(member, value).unwrap_err();
            assert!(refused.contains(wanted), "{refused}");
        }
        assert!(with("key", json!("a".repeat(FIELD_KEY_BYTES_MAX))).is_ok());
        assert!(with("choices", json!(&many[1..])).is_ok());
        assert_eq!(with("default", json!(null)).unwrap().default, None);
        let long =
            json!({"key": "a", "name": "A", "type": "text", "default": "x".repeat(FIELD_DEFAULT_BYTES_MAX)});
        assert!(matches!(field(long), Err(FieldDefError::LongDefault(_))));
    }

    #[test]
    fn what_is_required_is_told() {
        let fields = ["a", "b", "c"].map(|key| {
            let required = match key {
                "a" => "at_create",
                "b" => "at_solve",
                _ => "never",
            };
            field(json!({"key": key, "name": key, "type": "checkbox", "required": required})).unwrap()
        });
        let set = FieldSet::new(fields.into_iter().rev().collect());
        assert_eq!(set.missing_at_create(None), ["a"]);
        assert_eq!(set.missing_at_solve(None), ["a", "b"]);
        let values = json!({"a": false, "b": null});
        assert_eq!(set.missing_at_solve(values.as_object()), ["b"]);
        assert_eq!((set.get("b").map(|field| field.required), set.get("d")), (Some(Required::AtSolve), None));
        assert_eq!(set.to_string(), "a, b, c");
    }
}
