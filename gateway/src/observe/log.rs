//! Logs: one line per event on standard error, for people or as JSON.

use std::io::IsTerminal;

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Human,
    /// One JSON object per line.
    Json,
}

/// Why there are no logs.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The level is no filter.
    #[error("{level:?} is no log level; expected error, warn, info, debug, trace, or module=level pairs")]
    Level {
        /// As given.
        level: String,
        /// Why.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// Logging was started before.
    #[error("logging is started already")]
    Twice(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Starts logging to standard error. `level` is a level, or pairs such as `waggle_gateway::http=debug`.
///
/// # Errors
/// Where `level` is none, or logging runs already.
pub fn start_logging(format: LogFormat, level: &str) -> Result<(), LogError> {
    let filter =
        EnvFilter::try_new(level).map_err(|source| LogError::Level { level: level.to_owned(), source })?;
    // At its finest level this library logs whole messages, and the first one of a push client holds a
    // token.
    let filter = match "tungstenite=warn".parse() {
        Ok(directive) => filter.add_directive(directive),
        Err(_) => filter,
    };
    let colours = std::io::stderr().is_terminal();
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    match format {
        LogFormat::Human => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    }
    .map_err(LogError::Twice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_that_is_none_is_named() {
        let error = start_logging(LogFormat::Human, "loud=very=much").unwrap_err().to_string();
        assert!(error.contains("loud=very=much") && error.contains("expected error"), "{error}");
    }
}
