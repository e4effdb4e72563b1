//! Texts with labels, from files as they are found: CSV, TSV, JSON and JSON lines.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde_json::Value;
use serde_json::value::RawValue;

/// Bytes of a file; a larger one is not a set of messages.
const FILE_BYTES_MAX: u64 = 256 << 20;
/// Names that the column of texts has, where no option says it.
const TEXT_NAMES: [&str; 7] = ["text", "sentence", "utterance", "message", "question", "query", "body"];
/// Names that the column of labels has.
const LABEL_NAMES: [&str; 5] = ["intent", "label", "category", "class", "tag"];

/// A text and what it asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Example {
    /// What somebody wrote.
    pub text: String,
    /// The intent's name.
    pub label: String,
}

/// A file, and the split in it where it has several: `PATH` or `PATH#SPLIT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    /// The file.
    pub path: PathBuf,
    /// The member of its JSON object.
    pub split: Option<String>,
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (path, split) = match text.rsplit_once('#') {
            Some((path, split)) if !split.is_empty() => (path, Some(split.to_owned())),
            Some(_) => return Err(format!("{text:?} ends in #: expected the split's name after it")),
            None => (text, None),
        };
        if path.is_empty() {
            return Err("expected the path of a CSV, TSV, JSON or JSON lines file".to_owned());
        }
        Ok(Self { path: path.into(), split })
    }
}

/// Names of columns, or of members of JSON objects; the usual ones where there is none.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct Columns {
    /// The column (or member) that holds the texts [default: text, sentence, utterance, message, question,
    /// query or body].
    #[arg(long)]
    pub text_column: Option<String>,
    /// The column (or member) that holds the labels [default: intent, label, category, class or tag].
    #[arg(long)]
    pub label_column: Option<String>,
}

/// What is wrong with a file: where, and what was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DatasetError {
    path: PathBuf,
    /// From 1; 0 where the whole file is meant.
    line: u64,
    problem: String,
}

impl fmt::Display for DatasetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        write!(f, ": {}", self.problem)
    }
}

impl std::error::Error for DatasetError {}

/// A problem before it is known in which file.
type Problem = (u64, String);

/// Reads all examples of `source`; of a file with splits and no split named, the one called `usual`.
///
/// # Errors
/// Says the file, the line and what was expected there.
pub(super) fn read(source: &Source, columns: &Columns, usual: &str) -> Result<Vec<Example>, DatasetError> {
    let at = |(line, problem)| DatasetError { path: source.path.clone(), line, problem };
    let text = load(&source.path).map_err(at)?;
    let text = text.trim_start_matches('\u{feff}');
    let end = source.path.extension().and_then(|end| end.to_str()).unwrap_or_default().to_lowercase();
    if source.split.is_some() && end != "json" {
        return Err(at((0, "only a JSON object has splits: leave out the # and what follows it".to_owned())));
    }
    let examples = match end.as_str() {
        "csv" => table(text, b',', columns),
        "tsv" => table(text, b'\t', columns),
        "json" => document(text, columns, source.split.as_deref(), usual),
        "jsonl" | "ndjson" => lines(text, columns),
        other => Err((0, format!("it ends in {other:?}: expected .csv, .tsv, .json, .jsonl or .ndjson"))),
    };
    let examples = examples.map_err(at)?;
    if examples.is_empty() {
        return Err(at((0, "it has no examples: expected at least one text with a label".to_owned())));
    }
    Ok(examples)
}

fn load(path: &Path) -> Result<String, Problem> {
    let length = fs::metadata(path).map_err(|error| (0, format!("cannot be read: {error}")))?.len();
    if length > FILE_BYTES_MAX {
        return Err((0, format!("it has {length} bytes: expected at most {FILE_BYTES_MAX}")));
    }
    let bytes = fs::read(path).map_err(|error| (0, format!("cannot be read: {error}")))?;
    String::from_utf8(bytes).map_err(|error| {
        let before = error.as_bytes().iter().take(error.utf8_error().valid_up_to());
        (
            1 + before.filter(|byte| **byte == b'\n').count() as u64,
            "not UTF-8: expected text in UTF-8".to_owned(),
        )
    })
}

/// Which of `names` is meant, and where it is.
fn find(heads: &[&str], wanted: Option<&str>, usual: &[&str], what: &str) -> Result<usize, String> {
    let place = |name: &str| heads.iter().position(|head| head.trim().eq_ignore_ascii_case(name));
    let found = match wanted {
        Some(name) => place(name),
        None => usual.iter().find_map(|name| place(name)),
    };
    found.ok_or_else(|| {
        let expected = wanted.map_or_else(|| usual.join(", "), str::to_owned);
        let option = if what == "text" { "--text-column" } else { "--label-column" };
        format!("no column of {what}s among {heads:?}: expected {expected} ({option} names it)")
    })
}

fn example(text: &str, label: &str) -> Result<Example, String> {
    if text.trim().is_empty() {
        return Err("the text is empty: expected what somebody wrote".to_owned());
    }
    if label.trim().is_empty() {
        return Err(format!("the label of {text:?} is empty: expected an intent's name"));
    }
    Ok(Example { text: text.to_owned(), label: label.trim().to_owned() })
}

fn table(text: &str, delimiter: u8, columns: &Columns) -> Result<Vec<Example>, Problem> {
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(text.as_bytes());
    let wrong = |error: csv::Error| match error.kind() {
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
            let line = pos.as_ref().map_or(0, csv::Position::line);
            (line, format!("{len} fields: expected {expected_len}, as in the first line"))
        }
        _ => (error.position().map_or(0, csv::Position::line), error.to_string()),
    };
    let heads = reader.headers().map_err(wrong)?.clone();
    let heads: Vec<&str> = heads.iter().collect();
    let text_at = find(&heads, columns.text_column.as_deref(), &TEXT_NAMES, "text").map_err(|e| (1, e))?;
    let label_at =
        find(&heads, columns.label_column.as_deref(), &LABEL_NAMES, "label").map_err(|e| (1, e))?;
    let mut examples = Vec::new();
    for record in reader.records() {
        let record = record.map_err(wrong)?;
        let line = record.position().map_or(0, csv::Position::line);
        // Both columns are there: all records have as many fields as the first line.
        let (text, label) = (record.get(text_at).unwrap_or(""), record.get(label_at).unwrap_or(""));
        examples.push(example(text, label).map_err(|problem| (line, problem))?);
    }
    Ok(examples)
}

fn lines(text: &str, columns: &Columns) -> Result<Vec<Example>, Problem> {
    let numbered = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    numbered.map(|(number, line)| row(line, columns).map_err(|(_, problem)| (number, problem))).collect()
}

/// An array of rows, or an object of such arrays.
fn document(
    text: &str,
    columns: &Columns,
    split: Option<&str>,
    usual: &str,
) -> Result<Vec<Example>, Problem> {
    const SHAPE: &str = "expected an array of [text, label] or of objects, or an object of such arrays";
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
    let offset = (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count() as u64
}

/// `["text", "label"]` or `{"text": …, "intent": …}`; lines of the problem count from 0.
fn row(text: &str, columns: &Columns) -> Result<Example, Problem> {
    let wrong = |problem: String| (0, problem);
    let value: Value = serde_json::from_str(text).map_err(|error| {
        (error.line() as u64 - 1, format!("{error}: expected [text, label] or an object"))
    })?;
    match value {
        Value::Array(fields) => match fields.as_slice() {
            [Value::String(text), Value::String(label)] => example(text, label).map_err(wrong),
            _ => Err(wrong("expected two texts: [text, label]".to_owned())),
        },
        Value::Object(members) => {
            let heads: Vec<&str> = members.keys().map(String::as_str).collect();
            let member = |wanted: Option<&str>, usual: &[&str], what: &str| {
                let place = find(&heads, wanted, usual, what)?;
                let name = heads.get(place).copied().unwrap_or_default();
                let value = members.get(name).and_then(Value::as_str);
                value.ok_or_else(|| format!("{name:?} is not a text: expected \"{name}\": \"…\""))
            };
            let text = member(columns.text_column.as_deref(), &TEXT_NAMES, "text").map_err(wrong)?;
            let label = member(columns.label_column.as_deref(), &LABEL_NAMES, "label").map_err(wrong)?;
            example(text, label).map_err(wrong)
        }
        _ => Err(wrong("expected [text, label] or an object".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(name: &str, text: &[u8]) -> Result<Vec<Example>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name.split('#').next().unwrap());
        fs::write(&path, text).unwrap();
        let mut source = Source::from_str(name).unwrap();
        source.path = path;
        let found = read(&source, &Columns::default(), "train");
        found.map_err(|error| error.to_string().rsplit('/').next().unwrap_or_default().to_owned())
    }

    fn pairs(name: &str, text: &str) -> Vec<(String, String)> {
        let examples = read_text(name, text.as_bytes()).unwrap();
        examples.into_iter().map(|example| (example.text, example.label)).collect()
    }

    #[test]
    fn every_shape_gives_the_same_examples() {
        let wanted =
            [("Where is it, please?".into(), "where".into()), ("Über 3 Wochen".into(), "late".into())];
        for (name, text) in [
            ("a.csv", "text,category\n\"Where is it, please?\",where\nÜber 3 Wochen,late\n"),
            (
                "a.csv",
                "\u{feff}id,Label,Sentence\r\n1,where,\"Where is it, please?\"\r\n2,late,Über 3 Wochen\r\n",
            ),
            ("a.tsv", "utterance\tintent\nWhere is it, please?\twhere\nÜber 3 Wochen\tlate\n"),
            ("a.json", r#"[["Where is it, please?", "where"], {"intent": "late", "text": "Über 3 Wochen"}]"#),
            (
                "a.json",
                r#"{"oos": [], "train": [["Where is it, please?", "where"], ["Über 3 Wochen", "late"]]}"#,
            ),
            (
                "a.json#x",
                r#"{"x": [["Where is it, please?", "where"], ["Über 3 Wochen", "late"]], "train": []}"#,
            ),
            (
                "a.jsonl",
                "{\"text\":\"Where is it, please?\",\"intent\":\"where\"}\n\n{\"intent\":\"late\",\"text\":\"Über 3 Wochen\"}\n",
            ),
        ] {
            assert_eq!(pairs(name, text), wanted, "{name}: {text}");
        }
    }

    #[test]
    fn errors_say_file_line_and_what_was_expected() {
        for (name, text, wanted) in [
            ("a.csv", "text,category\nx,y\nz\n", "a.csv:3: 1 fields: expected 2"),
            ("a.csv", "text,category\nx,\n", "a.csv:2: the label of \"x\" is empty"),
            ("a.csv", "text,category\n\"a\nb\",c\n ,c\n", "a.csv:4: the text is empty"),
            (
                "a.csv",
                "what,category\nx,y\n",
                "a.csv:1: no column of texts among [\"what\", \"category\"]: expected",
            ),
            ("a.csv", "text,category\n", "a.csv: it has no examples"),
            ("a.txt", "x", "a.txt: it ends in \"txt\": expected .csv"),
            ("a.csv#x", "text,label\nx,y\n", "a.csv: only a JSON object has splits"),
            ("a.json", "[[\"a\", \"b\"],\n[\"a\"]]", "a.json:2: expected two texts"),
            (
                "a.json",
                "[[\"a\", \"b\"],\n{\"text\": 3, \"intent\": \"x\"}]",
                "a.json:2: \"text\" is not a text",
            ),
            (
                "a.json",
                "{\"val\": []}",
                "a.json: no split \"train\": expected one of val (named as PATH#SPLIT)",
            ),
            ("a.json", "{\"train\":\n3}", "a.json:2: split \"train\": "),
            ("a.json", "[[\"a\", \"b\"],\n", "a.json:2: EOF"),
            (
                "a.jsonl",
                "{\"text\":\"x\",\"intent\":\"y\"}\n{\"text\":\"x\"}\n",
                "a.jsonl:2: no column of labels",
            ),
        ] {
            let error = read_text(name, text.as_bytes()).unwrap_err();
            assert!(error.starts_with(wanted), "{text:?}: {error}");
        }
        let error = read_text("a.csv", b"text,label\nx,y\n\xff\xfe,y\n").unwrap_err();
        assert!(error.starts_with("a.csv:3: not UTF-8"), "{error}");
        assert!(Source::from_str("a.json#").is_err() && Source::from_str("").is_err());
    }
}
