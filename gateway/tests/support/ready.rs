//! Starts a gateway as a process of its own, for tests of every kind.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// Starts it, and reads the line by which it says that it is ready: `--output json` is among its arguments.
pub(crate) fn start(command: &mut Command) -> (Child, Value) {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ready = serde_json::from_str(&line);
    (child, ready.unwrap_or_else(|_| panic!("no line that says that it is ready: {line:?}")))
}
