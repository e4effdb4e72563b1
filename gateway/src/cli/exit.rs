//! Exit codes that mean something.

use std::process::ExitCode;

use super::accel_check::BelowBest;
use super::accel_detach::NotDetached;
use super::attachment::Lost;
use crate::accel::AccelError;
use crate::app::StartError;
use crate::attachment::SettingsError;
use crate::config::ConfigError;
use crate::data_dir::DataDirError;
use crate::http::ControlError;
use crate::push::PushError;
use crate::store::{PeopleError, PeopleRefusal, StoreError};

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Something else failed.
    Failed = 1,
    /// The command line or the configuration is wrong (the command-line parser's code, too).
    Usage = 2,
    /// Another gateway uses the data directory, the database is locked, or pinned objects are in use.
    InUse = 3,
    /// Storage cannot be used: full, damaged, unreadable.
    Storage = 4,
    /// An address cannot be listened on.
    Listen = 5,
    /// No gateway runs on this data directory.
    NotRunning = 6,
    /// A name is taken, or what was named does not exist.
    Name = 7,
    /// A second signal ended the gateway before it had stopped.
    Interrupted = 8,
    /// A check found something that could be better.
    BelowBest = 9,
}

/// For `--help`.
pub(super) const HELP: &str = "Exit codes: 0 done, 1 failed, 2 command line or configuration, \
    3 data directory, database or what is pinned in use, 4 storage full, damaged or unreadable, 5 cannot listen, \
    6 no gateway is running, 7 name taken or unknown, 8 stopped at once by a second signal, \
    9 acceleration could stand on a better rung (`accel check`).";

/// Tells people what went wrong, with its causes; gives the exit code.
pub(super) fn report(error: &anyhow::Error) -> ExitCode {
    // Nobody reads standard error where that is closed.
    let _ = write_error(&format!("waggle: {error:#}\n"));
    ExitCode::from(code(error) as u8)
}

fn write_error(text: &str) -> std::io::Result<()> {
    use std::io::Write;
    std::io::stderr().lock().write_all(text.as_bytes())
}

fn code(error: &anyhow::Error) -> Exit {
    for cause in error.chain() {
        if let Some(error) = cause.downcast_ref::<StartError>() {
            return match error {
                StartError::DataDir(error) => of_data_dir(error),
                StartError::Attachments(SettingsError::Unreadable { .. }) => Exit::Storage,
                StartError::Store { source, .. } => of_store(source),
                StartError::Listen { .. }
                | StartError::Push(PushError::Tcp { .. } | PushError::Unix { .. }) => Exit::Listen,
                StartError::Tls(_)
                | StartError::Attachments(_)
                | StartError::Accel(AccelError::Guard(_) | AccelError::Profiles(_)) => Exit::Usage,
                StartError::Push(_) | StartError::Accel(_) | StartError::Auth(_) | StartError::Random(_) => {
                    Exit::Failed
                }
            };
        }
        if let Some(error) = cause.downcast_ref::<StoreError>() {
            return of_store(error);
        }
        if cause.is::<NotDetached>() {
            return Exit::InUse;
        }
        if cause.is::<BelowBest>() {
            return Exit::BelowBest;
        }
        if let Some(error) = cause.downcast_ref::<DataDirError>() {
            return of_data_dir(error);
        }
        if let Some(error) = cause.downcast_ref::<PeopleError>() {
            return match error {
                PeopleError::Refused(
                    PeopleRefusal::Missing { .. }
                    | PeopleRefusal::NameTaken { .. }
                    | PeopleRefusal::IdentityTaken { .. },
                ) => Exit::Name,
                PeopleError::Refused(_) => Exit::Failed,
                PeopleError::Store(error) => of_store(error),
            };
        }
        if cause.is::<Lost>() {
            return Exit::Storage;
        }
        if cause.is::<ConfigError>() || cause.is::<SettingsError>() {
            return Exit::Usage;
        }
        if let Some(ControlError::NotRunning { .. }) = cause.downcast_ref::<ControlError>() {
            return Exit::NotRunning;
        }
    }
    Exit::Failed
}

fn of_data_dir(error: &DataDirError) -> Exit {
    match error {
        DataDirError::InUse { .. } => Exit::InUse,
        DataDirError::Unusable { .. } => Exit::Storage,
        DataDirError::NoDatabase { .. } => Exit::Usage,
    }
}

fn of_store(error: &StoreError) -> Exit {
    match error {
        StoreError::Locked(_) => Exit::InUse,
        StoreError::NameTaken { .. } | StoreError::Missing { .. } => Exit::Name,
        _ => Exit::Storage,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn causes_have_their_codes() {
        let taken = StoreError::NameTaken { kind: "queue", name: "support".to_owned() };
        let error = Err::<(), _>(taken).context("cannot make the queue").unwrap_err();
        assert_eq!(code(&error), Exit::Name);
        let in_use = DataDirError::InUse { path: "x".into(), pid: "7".to_owned() };
        assert_eq!(code(&anyhow::Error::new(StartError::DataDir(in_use))), Exit::InUse);
        assert_eq!(code(&anyhow::anyhow!("else")), Exit::Failed);
    }
}
