//! Rows of a CSV file, or lines of stdin, as tickets to come.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use csv::{ReaderBuilder, StringRecord};
use sha2::{Digest, Sha256};
use waggle_core::id::QueueId;
use waggle_core::limits::{REQUESTER_BYTES_MAX, TEXT_BYTES_MAX};

use super::api::hex;
use super::failure::{Exit, Failure};

/// Characters of a text that become its subject, about.
const SUBJECT_CHARS: usize = 80;

/// One ticket to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    /// Counted from 1, bad ones included.
    pub(crate) number: u64,
    /// Line of the file where it begins.
    pub(crate) line: u64,
    pub(crate) requester: String,
    pub(crate) text: String,
}

/// A row that cannot be a ticket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}; passed over")]
pub(crate) struct BadRow {
    line: u64,
    problem: String,
}

/// Where rows come from.
pub(crate) struct Rows {
    source: Source,
    number: u64,
}

enum Source {
    Csv { reader: csv::Reader<Box<dyn Read + Send>>, text: usize, requester: Option<usize> },
    Lines(Box<dyn BufRead + Send>),
}

impl Rows {
    /// # Errors
    /// Where the file cannot be read, or lacks a column.
    pub(crate) fn csv(path: &Path, column: &str, requester: Option<&str>) -> Result<Self, Failure> {
        let file = File::open(path);
        let file =
            file.map_err(|error| Failure::local(format_args!("cannot open {}", path.display()), error))?;
        Self::from_csv(Box::new(file), column, requester)
    }

    fn from_csv(from: Box<dyn Read + Send>, column: &str, requester: Option<&str>) -> Result<Self, Failure> {
        let mut reader = ReaderBuilder::new()
            .from_reader(Box::new(PlainLines(BufReader::new(from))) as Box<dyn Read + Send>);
        let header = reader.headers().map_err(|error| Failure::local("the CSV file has no header", error))?;
        let find = |name: &str| {
            header.iter().position(|column| column.trim() == name).ok_or_else(|| {
                let has = header.iter().map(|column| format!("{column:?}")).collect::<Vec<_>>().join(", ");
                Failure::new(Exit::Usage, format!("the CSV file has no column {name:?}; it has {has}"))
            })
        };
        let text = find(column)?;
        let requester = requester.map(find).transpose()?;
        Ok(Self { source: Source::Csv { reader, text, requester }, number: 0 })
    }

    pub(crate) fn lines(from: Box<dyn BufRead + Send>) -> Self {
        Self { source: Source::Lines(from), number: 0 }
    }

    pub(crate) fn stdin() -> Self {
        Self::lines(Box::new(BufReader::new(std::io::stdin())))
    }
}

impl Iterator for Rows {
    type Item = Result<Row, BadRow>;

    fn next(&mut self) -> Option<Self::Item> {
        self.number += 1;
        let number = self.number;
        match &mut self.source {
            Source::Csv { reader, text, requester } => {
                let mut record = StringRecord::new();
                let line = reader.position().line();
                match reader.read_record(&mut record) {
                    Ok(false) => None,
                    Ok(true) => {
                        let line = record.position().map_or(line, csv::Position::line);
                        let field = |column: usize| record.get(column).unwrap_or_default().to_owned();
                        Some(row(number, line, requester.map(field), field(*text)))
                    }
                    Err(error) if error.is_io_error() => {
                        // A file that cannot be read on has no further rows.
                        self.source = Source::Lines(Box::new(std::io::empty()));
                        Some(Err(BadRow { line, problem: error.to_string() }))
                    }
                    Err(error) => {
                        let line = error.position().map_or(line, csv::Position::line);
                        Some(Err(BadRow { line, problem: problem(&error) }))
                    }
                }
            }
            Source::Lines(lines) => match line(lines) {
                Ok(bytes) if bytes.is_empty() => None,
                Err(error) => {
                    // It would fail for ever.
                    self.source = Source::Lines(Box::new(std::io::empty()));
                    Some(Err(BadRow { line: number, problem: error.to_string() }))
                }
                Ok(bytes) => Some(match String::from_utf8(bytes) {
                    Ok(text) => {
                        row(number, number, None, text.trim_start_matches('\u{feff}').trim_end().to_owned())
                    }
                    Err(_) => Err(BadRow { line: number, problem: "not UTF-8".to_owned() }),
                }),
            },
        }
    }
}

/// A text whose lines end with a newline alone. The CSV reader takes the two of CR LF apart, and would
/// tell the line before.
struct PlainLines<R>(BufReader<R>);

impl<R: Read> Read for PlainLines<R> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let Some(room) = (!out.is_empty()).then_some(out.len()) else { return Ok(0) };
        let held = self.0.fill_buf()?;
        let returns = held.iter().take(room).take_while(|byte| **byte != b'\r').count();
        let (from, to) = (held.get(..returns), out.get_mut(..returns));
        if let (1.., Some(from), Some(to)) = (returns, from, to) {
            to.copy_from_slice(from);
            self.0.consume(returns);
            return Ok(returns);
        }
        if held.is_empty() {
            return Ok(0);
        }
        // A carriage return: it stays where no newline follows.
        self.0.consume(1);
        let is_alone = self.0.fill_buf()?.first() != Some(&b'\n');
        if !is_alone {
            return self.read(out);
        }
        if let Some(first) = out.first_mut() {
            *first = b'\r';
        }
        Ok(1)
    }
}

/// One line with its newline, or as much of it as shows that it is too long; the rest is read past.
fn line(from: &mut dyn BufRead) -> std::io::Result<Vec<u8>> {
    const LINE_BYTES_MAX: u64 = TEXT_BYTES_MAX as u64 + 3;
    let mut line = Vec::new();
    from.take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
    let mut rest = line.last().copied();
    while rest.is_some_and(|last| last != b'\n') {
        let mut passed = Vec::new();
        from.take(LINE_BYTES_MAX).read_until(b'\n', &mut passed)?;
        rest = passed.last().copied();
    }
    // A character cut in two is not what is wrong with a line that is too long.
    if line.len() as u64 == LINE_BYTES_MAX {
        line.fill(b'x');
    }
    Ok(line)
}

fn problem(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("{len} fields; expected {expected_len}, as in the header")
        }
        csv::ErrorKind::Utf8 { .. } => "not UTF-8".to_owned(),
        _ => error.to_string(),
    }
}

fn row(number: u64, line: u64, requester: Option<String>, text: String) -> Result<Row, BadRow> {
    let bad = |problem: String| Err(BadRow { line, problem });
    let requester = match requester {
        Some(given) if !given.trim().is_empty() => given.trim().to_owned(),
        _ => format!("customer-{number}@example.com"),
    };
    if text.trim().is_empty() {
        return bad("the text is blank".to_owned());
    }
    if text.len() > TEXT_BYTES_MAX {
        return bad(format!("the text has {} bytes; at most {TEXT_BYTES_MAX} are taken", text.len()));
    }
    if requester.len() > REQUESTER_BYTES_MAX {
        let bytes = requester.len();
        return bad(format!("the requester has {bytes} bytes; at most {REQUESTER_BYTES_MAX} are taken"));
    }
    if text.contains('\0') || requester.contains('\0') {
        return bad("the character U+0000, which no message may hold".to_owned());
    }
    Ok(Row { number, line, requester, text })
}

impl Row {
    /// The first words of the text.
    pub(crate) fn subject(&self) -> String {
        let mut subject = String::new();
        let mut chars = 0;
        for word in self.text.split_whitespace() {
            let length = word.chars().count();
            let space = usize::from(chars > 0);
            if chars + space + length > SUBJECT_CHARS {
                if chars == 0 {
                    subject.extend(word.chars().take(SUBJECT_CHARS - 1));
                }
                subject.push('\u{2026}');
                break;
            }
            if space == 1 {
                subject.push(' ');
            }
            subject.push_str(word);
            chars += space + length;
        }
        subject
    }

    /// The same for the same row of the same feed, and for no other.
    pub(crate) fn key(&self, feed: &str, queue: QueueId, salt: &str) -> String {
        let mut hash = Sha256::new();
        let number = self.number.to_string();
        let queue = queue.to_string();
        for part in [feed, salt, &queue, &number, &self.text] {
            // Lengths keep neighbours apart.
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let digest = hex(&hash.finalize());
        format!("feed-{}", digest.get(..32).unwrap_or(&digest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &'static [u8]) -> Vec<Result<Row, BadRow>> {
        Rows::from_csv(Box::new(text), "text", None).unwrap().collect()
    }

    #[test]
    fn quotes_marks_and_bad_rows() {
        let rows = read(
            b"\xef\xbb\xbftext,category\r\n\"two\nlines, \"\"quoted\"\"\",a\nonly one\n ,b\n\xff,c\nlast,d",
        );
        let shown: Vec<String> = rows
            .iter()
            .map(|row| match row {
                Ok(row) => format!("{} {} {:?} {}", row.number, row.line, row.text, row.requester),
                Err(bad) => bad.to_string(),
            })
            .collect();
        assert_eq!(
            shown,
            [
                "1 2 \"two\\nlines, \\\"quoted\\\"\" customer-1@example.com",
                "line 4: 1 fields; expected 2, as in the header; passed over",
                "line 5: the text is blank; passed over",
                "line 6: not UTF-8; passed over",
                "5 7 \"last\" customer-5@example.com",
            ]
        );
    }

    #[test]
    fn a_missing_column_is_named() {
        let failure = Rows::from_csv(Box::new(&b"a,b\n"[..]), "text", None).err().unwrap();
        assert_eq!(failure.to_string(), "the CSV file has no column \"text\"; it has \"a\", \"b\"");
    }

    #[test]
    fn lines_are_rows() {
        let rows: Vec<_> = Rows::lines(Box::new(&b"one\r\n\ntwo"[..])).collect();
        assert_eq!(
            rows.iter().filter_map(|row| Some(row.as_ref().ok()?.text.as_str())).collect::<Vec<_>>(),
            ["one", "two"]
        );
        let long = format!("{}\u{e9}\nnext", "y".repeat(2 * TEXT_BYTES_MAX)).into_bytes();
        let rows: Vec<_> = Rows::lines(Box::new(std::io::Cursor::new(long))).collect();
        assert!(rows[0].as_ref().unwrap_err().to_string().contains("at most 65536"));
        assert_eq!(rows[1].as_ref().unwrap().text, "next");
        let rows: Vec<_> = Rows::lines(Box::new(&b"one\r\n\ntwo"[..])).collect();
        assert_eq!(rows[1].as_ref().unwrap_err().to_string(), "line 2: the text is blank; passed over");
    }

    #[test]
    fn what_cannot_be_read_has_no_further_rows() {
        struct Broken;

        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::IsADirectory.into())
            }
        }

        let rows: Vec<_> =
            Rows::lines(Box::new(BufReader::new((&b"one\n"[..]).chain(Broken)))).take(9).collect();
        assert_eq!(rows[0].as_ref().unwrap().text, "one");
        assert_eq!(rows[1].as_ref().unwrap_err().to_string(), "line 2: is a directory; passed over");
        assert_eq!(rows.len(), 2);
        let csv = Rows::from_csv(Box::new((&b"text\none\n"[..]).chain(Broken)), "text", None);
        assert_eq!(csv.unwrap().take(9).filter(Result::is_err).count(), 1);
    }

    #[test]
    fn subjects_end_at_a_word() {
        let of = |text: &str| row(1, 1, None, text.to_owned()).unwrap().subject();
        assert_eq!(of("short  and\nsweet"), "short and sweet");
        let long = of(&"word ".repeat(40));
        assert_eq!(long.chars().count(), 80);
        assert!(long.ends_with("word\u{2026}"));
        assert_eq!(of(&"x".repeat(200)).chars().count(), 80);
    }

    #[test]
    fn keys_tell_rows_apart() {
        let of = |number, text: &str, salt| {
            row(number, 1, None, text.to_owned()).unwrap().key("f.csv", QueueId(1), salt)
        };
        assert_eq!(of(1, "a", ""), of(1, "a", ""));
        let keys = [of(1, "a", ""), of(2, "a", ""), of(1, "b", ""), of(1, "a", "again")];
        assert!(keys.iter().all(|key| keys.iter().filter(|other| *other == key).count() == 1));
        assert!(keys[0].len() <= waggle_core::limits::IDEMPOTENCY_KEY_BYTES_MAX);
    }
}
