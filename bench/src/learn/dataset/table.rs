//! CSV and TSV: a first line that names the columns, and a row of each example.

use super::{Columns, Example, LABEL_NAMES, Problem, TEXT_NAMES, example, find, line_at};

/// Spreadsheets of many languages put these between the columns of a CSV file, where a comma is in numbers.
const OTHER_DELIMITERS: [u8; 2] = [b';', b'\t'];

/// Reads all rows; those without any text are passed over, as spreadsheets leave them behind.
pub(super) fn read(text: &str, usual: u8, columns: &Columns) -> Result<Vec<Example>, Problem> {
    let delimiter = delimiter(text, usual);
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(text.as_bytes());
    let line = |position: Option<&csv::Position>| position.map_or(0, |position| line_of_row(text, position));
    let wrong = |error: csv::Error| match error.kind() {
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
            let separator = if delimiter == b'\t' { "tab" } else { "separator" };
            let problem = format!(
                "{len} field(s): expected {expected_len}, as in the first line (a {separator} or line break within a \
                 text needs quotes around the text)"
            );
            (line(pos.as_ref()), problem)
        }
        _ => (line(error.position()), error.to_string()),
    };
    let heads = reader.headers().map_err(wrong)?.clone();
    let heads: Vec<&str> = heads.iter().collect();
    let head_line = line_of_row(text, &csv::Position::new());
    let place = |wanted: Option<&str>, names: &[&str], what: &str| {
        find(&heads, wanted, names, what)
            .map_err(|error| (head_line, format!("{error}; the first line names the columns")))
    };
    let text_at = place(columns.text_column.as_deref(), &TEXT_NAMES, "text")?;
    let label_at = place(columns.label_column.as_deref(), &LABEL_NAMES, "label")?;
    let mut examples = Vec::new();
    let mut last = None;
    for record in reader.records() {
        let record = record.map_err(wrong)?;
        last = record.position().cloned();
        if record.iter().all(|field| field.trim().is_empty()) {
            continue;
        }
        // Both columns are there: all records have as many fields as the first line.
        let (text, label) = (record.get(text_at).unwrap_or(""), record.get(label_at).unwrap_or(""));
        examples.push(example(text, label).map_err(|problem| (line(record.position()), problem))?);
    }
    match last.filter(|last| is_open(text, last)) {
        Some(last) => {
            let problem = "a quote that is not closed: expected another one before the file's end".to_owned();
            Err((line_of_row(text, &last), problem))
        }
        None => Ok(examples),
    }
}

/// What is between the columns: as usual, unless the first line has none of it.
fn delimiter(text: &str, usual: u8) -> u8 {
    let head = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let is_there = |delimiter: &u8| head.as_bytes().contains(delimiter);
    if is_there(&usual) {
        return usual;
    }
    OTHER_DELIMITERS.into_iter().find(is_there).unwrap_or(usual)
}

/// The line that a row begins on; its position may be that of empty lines before it.
fn line_of_row(text: &str, position: &csv::Position) -> u64 {
    let start = usize::try_from(position.byte()).unwrap_or(usize::MAX);
    let rest = text.get(start..).unwrap_or_default();
    let empty = rest.len() - rest.trim_start_matches(['\r', '\n']).len();
    line_at(text, start.saturating_add(empty))
}

/// Whether the last row goes over several lines to the file's end and has an odd number of quotes: one that was opened
/// far above may have taken all that follows into one text.
fn is_open(text: &str, last: &csv::Position) -> bool {
    let row = usize::try_from(last.byte()).ok().and_then(|start| text.get(start..)).unwrap_or_default();
    row.trim().contains('\n') && row.bytes().filter(|byte| *byte == b'"').count() % 2 == 1
}
