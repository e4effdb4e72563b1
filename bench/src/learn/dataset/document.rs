//! JSON: an array of rows, an object of such arrays, or a row on each line.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

use super::{Columns, Example, LABEL_NAMES, Problem, TEXT_NAMES, example, find, line_at};

/// A row on each line; empty lines are passed over.
pub(super) fn lines(text: &str, columns: &Columns) -> Result<Vec<Example>, Problem> {
    let numbered = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let read = |(number, line)| {
        row(line, columns)
            .map_err(|(_, problem)| (number, format!("{problem}; each line is a row of its own")))
    };
    numbered.map(read).collect()
}

/// An array of rows, or an object of such arrays.
pub(super) fn read(
    text: &str,
    columns: &Columns,
    split: Option<&str>,
    usual: &str,
) -> Result<Vec<Example>, Problem> {
    const SHAPE: &str = "expected an array of [text, label] or of objects, or an object of such arrays (a file with a \
                         row on each line ends in .jsonl)";
    let wrong = |error: serde_json::Error| (error.line() as u64, format!("{error}: {SHAPE}"));
    let rows: Vec<&RawValue> = if text.trim_start().starts_with('{') {
        let splits: BTreeMap<String, &RawValue> = serde_json::from_str(text).map_err(wrong)?;
        let name = split.unwrap_or(usual);
        let Some(rows) = splits.get(name) else {
            let names: Vec<_> = splits.keys().map(String::as_str).collect();
            let names = names.join(", ");
            return Err((0, format!("no split {name:?}: expected one of {names} (named as PATH#SPLIT)")));
        };
        let before = line_of(text, rows.get());
        serde_json::from_str(rows.get()).map_err(|error| {
            (before + error.line() as u64 - 1, format!("split {name:?}: {error}: {SHAPE}"))
        })?
    } else if let Some(name) = split {
        return Err((
            0,
            format!("it has no splits, and {name:?} was asked for: leave out the # and what follows it"),
        ));
    } else {
        serde_json::from_str(text).map_err(wrong)?
    };
    let examples = rows.into_iter().map(|raw| {
        row(raw.get(), columns).map_err(|(line, problem)| (line_of(text, raw.get()) + line, problem))
    });
    examples.collect()
}

/// The line of `text` that `part`, which was borrowed from it, begins on.
fn line_of(text: &str, part: &str) -> u64 {
    line_at(text, (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize))
}

/// `["text", "label"]` or `{"text": …, "intent": …}`; lines of the problem count from 0.
fn row(text: &str, columns: &Columns) -> Result<Example, Problem> {
    let wrong = |problem: String| (0, problem);
    let value: Value = serde_json::from_str(text).map_err(|error| {
        (error.line() as u64 - 1, format!("{error}: expected [text, label] or an object"))
    })?;
    match value {
        Value::Array(fields) => match fields.as_slice() {
            [Value::String(text), label] => match name(label) {
                Some(label) => example(text, &label).map_err(wrong),
                None => Err(wrong(format!("the label is {}: expected a name or a number", kind(label)))),
            },
            _ => Err(wrong("expected two members: [text, label]".to_owned())),
        },
        Value::Object(members) => {
            let heads: Vec<&str> = members.keys().map(String::as_str).collect();
            let member = |wanted: Option<&str>, usual: &[&str], what: &str| {
                let place = find(&heads, wanted, usual, what)?;
                let head = heads.get(place).copied().unwrap_or_default();
                Ok::<_, String>((head, members.get(head).unwrap_or(&Value::Null)))
            };
            let (head, text) = member(columns.text_column.as_deref(), &TEXT_NAMES, "text").map_err(wrong)?;
            let text = text.as_str();
            let text =
                text.ok_or_else(|| wrong(format!("{head:?} is not a text: expected \"{head}\": \"…\"")))?;
            let (head, label) =
                member(columns.label_column.as_deref(), &LABEL_NAMES, "label").map_err(wrong)?;
            let unnamed = || format!("{head:?} is {}: expected a name or a number", kind(label));
            example(text, &name(label).ok_or_else(|| wrong(unnamed()))?).map_err(wrong)
        }
        _ => Err(wrong("expected [text, label] or an object".to_owned())),
    }
}

/// A label's name; many sets number them.
fn name(label: &Value) -> Option<String> {
    match label {
        Value::String(name) => Some(name.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
