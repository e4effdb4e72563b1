//! What commands read.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, bail};
use serde::de::DeserializeOwned;
use waggle_core::limits::COMMAND_BYTES_MAX;

/// A value from a file of JSON; `-` is standard input. `what` it is, errors say.
pub(super) fn read_json<T: DeserializeOwned>(file: &Path, what: &str) -> anyhow::Result<T> {
    let mut text = String::new();
    // One byte more than is taken, so that a longer one is noticed.
    let limit = COMMAND_BYTES_MAX as u64 + 1;
    let read = match file.to_str() {
        Some("-") => std::io::stdin().lock().take(limit).read_to_string(&mut text),
        _ => std::fs::File::open(file).and_then(|open| open.take(limit).read_to_string(&mut text)),
    };
    read.with_context(|| format!("{} cannot be read", file.display()))?;
    if text.len() > COMMAND_BYTES_MAX {
        bail!("{} has more than {COMMAND_BYTES_MAX} bytes", file.display());
    }
    serde_json::from_str(&text).with_context(|| format!("{} is no {what}", file.display()))
}
