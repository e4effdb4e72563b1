//! `waggle accel status`.

use std::path::Path;

use anyhow::Context;

use super::output::Output;
use crate::accel::{Status, StatusFormat, run_status};
use crate::data_dir::DataDir;
use crate::http::ask_control;

/// Asks the running gateway.
pub(super) fn status(data_dir: &Path, output: Output) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let socket = DataDir::at(data_dir).control_socket();
    let status = runtime.block_on(ask_control(&socket, "/accel"))?;
    let status: Status =
        serde_json::from_value(status).context("the gateway's status is of another version")?;
    let format = match output {
        Output::Json => StatusFormat::Json,
        Output::Human => StatusFormat::Text,
    };
    run_status(&status, format, &mut std::io::stdout().lock())?;
    Ok(())
}
