//! Values of tags and fields, so that what means the same is the same text.

use serde_json::Value;

/// A text as it is compared: in lower case.
pub(super) fn normal(text: &str) -> String {
    text.to_lowercase()
}

/// The texts of a field's value: one, or one for each choice that is set.
pub(super) fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Null => Vec::new(),
        Value::String(text) => vec![normal(text)],
        Value::Bool(_) | Value::Number(_) => vec![value.to_string()],
        Value::Array(values) => values.iter().flat_map(texts).collect(),
        Value::Object(set) => {
            let is_in = |value: &Value| !matches!(value, Value::Null | Value::Bool(false));
            set.iter().filter(|(_, value)| is_in(value)).map(|(name, _)| normal(name)).collect()
        }
    }
}
