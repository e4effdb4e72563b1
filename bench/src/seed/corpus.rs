//! Questions that people asked: from a folder, or made of phrases.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::phrase;
use crate::clock::Random;

/// Questions that are taken; real ones repeat themselves.
const QUESTIONS_MAX: usize = 200_000;
/// Bytes of one; longer ones are passed over.
const QUESTION_BYTES_MAX: usize = 2_000;
/// A file that is read.
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Folders below the one given.
const DEPTH_MAX: usize = 4;
/// How many are made where none are given.
const PHRASES: usize = 20_000;

/// Questions; never none.
pub(super) struct Corpus(Vec<String>);

impl Corpus {
    /// Of phrases.
    pub(super) fn phrases(seed: u64) -> Self {
        let mut random = Random::new(!seed);
        Self((0..PHRASES).map(|_| phrase::question(&mut random)).collect())
    }

    /// Reads all files below `folder`: of `*.csv` the first column, below its head; of `*.json` every array's
    /// first text in lists of arrays, as `{"train": [["text", "label"], …]}`, and texts in lists.
    ///
    /// # Errors
    /// Where a file cannot be read or understood, or there are no questions.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let mut questions = Vec::new();
        let mut files = Vec::new();
        find(folder, DEPTH_MAX, &mut files)?;
        files.sort();
        for file in &files {
            let length = fs::metadata(file).map_or(0, |facts| facts.len());
            if length > FILE_BYTES_MAX {
                bail!("{} has {length} bytes, expected at most {FILE_BYTES_MAX}", file.display());
            }
            let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
            let found = if file.extension().is_some_and(|end| end == "csv") {
                from_csv(&text)
            } else {
                from_json(&text)
            };
            questions.extend(found.with_context(|| format!("{} has no questions", file.display()))?);
        }
        questions.retain(|text| !text.trim().is_empty() && text.len() <= QUESTION_BYTES_MAX);
        questions.truncate(QUESTIONS_MAX);
        if questions.is_empty() {
            bail!("no questions in {}: expected *.csv or *.json files in it", folder.display());
        }
        Ok(Self(questions))
    }

    pub(super) fn get(&self, random: &mut Random) -> &str {
        self.0.get(random.below(self.0.len())).map_or("", String::as_str)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

fn find(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        let is_read = path.extension().is_some_and(|end| end == "csv" || end == "json");
        if path.is_dir() {
            if depth > 0 {
                find(&path, depth - 1, files)?;
            }
        } else if is_read {
            files.push(path);
        }
    }
    Ok(())
}

fn from_csv(text: &str) -> Result<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
    let mut questions = Vec::new();
    for record in reader.records() {
        questions.extend(record?.get(0).map(str::to_owned));
    }
    Ok(questions)
}

fn from_json(text: &str) -> Result<Vec<String>> {
    let mut questions = Vec::new();
    collect(&serde_json::from_str(text)?, &mut questions);
    Ok(questions)
}

/// A list whose first member is a text is a question with its label; a text alone is one, too.
fn collect(value: &Value, questions: &mut Vec<String>) {
    match value {
        Value::String(text) => questions.push(text.clone()),
        Value::Array(members) => match members.as_slice() {
            [Value::String(text), Value::String(_)] => questions.push(text.clone()),
            members => members.iter().for_each(|member| collect(member, questions)),
        },
        Value::Object(members) => members.values().for_each(|member| collect(member, questions)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_found_in_both_formats() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("deeper")).unwrap();
        fs::write(dir.path().join("a.csv"), "text,category\n\"Where is it, please?\",lost\nHello,x\n")
            .unwrap();
        fs::write(dir.path().join("deeper/b.json"), r#"{"train":[["how much","fee"]],"test":[["why","x"]]}"#)
            .unwrap();
        fs::write(dir.path().join("LICENSE"), "not a question").unwrap();
        let corpus = Corpus::read(dir.path()).unwrap();
        let mut questions: Vec<_> = corpus.iter().collect();
        questions.sort_unstable();
        assert_eq!(questions, ["Hello", "Where is it, please?", "how much", "why"]);
    }

    #[test]
    fn a_folder_without_questions_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let error = Corpus::read(dir.path()).err().unwrap().to_string();
        assert!(error.contains("expected *.csv or *.json"), "{error}");
        fs::write(dir.path().join("a.json"), "{").unwrap();
        assert!(Corpus::read(dir.path()).is_err());
        assert!(Corpus::read(&dir.path().join("none")).is_err());
    }
}
