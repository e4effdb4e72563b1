//! Words to people and programs that may have stopped listening: unlike `println!`, without a panic.

use std::io::{ErrorKind, Write};

use super::failure::Failure;

/// Writes to stdout. A reader that has gone (`| head`) is no failure.
///
/// # Errors
/// Where the output cannot be written for another reason.
pub(crate) fn print(text: &[u8]) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::local("cannot write the output", error))
        }
        _ => Ok(()),
    }
}

/// Writes a line to stderr, if anybody reads it.
pub(crate) fn notice(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
