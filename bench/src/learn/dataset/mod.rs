//! Texts with labels, from files as they are found: CSV, TSV, JSON and JSON lines.

mod document;
mod table;

#[cfg(test)]
mod tests;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use waggle_core::limits::TEXT_BYTES_MAX;

/// Bytes of a file; a larger one is not a set of messages.
const FILE_BYTES_MAX: u64 = 256 << 20;
/// Of what a file has, so much is shown in an error.
const SHOWN_CHARS_MAX: usize = 200;
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
        "csv" | "tsv" | "json" | "jsonl" | "ndjson" if text.trim().is_empty() => {
            Err((0, "it is empty: expected texts with labels".to_owned()))
        }
        "csv" => table::read(text, b',', columns),
        "tsv" => table::read(text, b'\t', columns),
        "json" => document::read(text, columns, source.split.as_deref(), usual),
        "jsonl" | "ndjson" => document::lines(text, columns),
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
    decode(bytes)
}

/// The text in `bytes`, which is UTF-8; what else it seems to be is told.
fn decode(bytes: Vec<u8>) -> Result<String, Problem> {
    const UTF_16: &str = "it is UTF-16: expected UTF-8 (`iconv -f UTF-16 -t UTF-8` makes it so)";
    if matches!(bytes.get(..2), Some([0xff, 0xfe] | [0xfe, 0xff] | [0, 1..=255] | [1..=255, 0])) {
        return Err((1, UTF_16.to_owned()));
    }
    let line = |before: &[u8]| 1 + before.iter().filter(|byte| **byte == b'\n').count() as u64;
    if let Some(place) = memchr::memchr(0, &bytes) {
        let before = bytes.get(..place).unwrap_or_default();
        return Err((line(before), "it has a zero byte: expected text in UTF-8".to_owned()));
    }
    String::from_utf8(bytes).map_err(|error| {
        let place = error.utf8_error().valid_up_to();
        let before = error.as_bytes().get(..place).unwrap_or_default();
        let byte = error.as_bytes().get(place).copied().unwrap_or_default();
        (
            line(before),
            format!(
                "it is not UTF-8 (byte {byte:#04x}): expected UTF-8 (`iconv -f LATIN1 -t UTF-8` makes it so of Latin-1)"
            ),
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
        let shown = shortened(&format!("{heads:?}"));
        format!("no column of {what}s among {shown}: expected {expected} ({option} names it)")
    })
}

/// As much as fits in an error.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        None => text.to_owned(),
        Some((end, _)) => format!("{} …", text.get(..end).unwrap_or_default()),
    }
}

/// The line of `text` that its byte at `offset` is on.
fn line_at(text: &str, offset: usize) -> u64 {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count() as u64
}

fn example(text: &str, label: &str) -> Result<Example, String> {
    if text.trim().is_empty() {
        return Err("the text is empty: expected what somebody wrote".to_owned());
    }
    if text.len() > TEXT_BYTES_MAX {
        return Err(format!(
            "the text has {} bytes: expected at most {TEXT_BYTES_MAX}, as of a message (is a quote not closed?)",
            text.len()
        ));
    }
    if label.trim().is_empty() {
        let shown = shortened(text);
        return Err(format!("the label of {shown:?} is empty: expected an intent's name"));
    }
    Ok(Example { text: text.to_owned(), label: label.trim().to_owned() })
}
