//! `waggle accel status`.

use std::path::Path;

use super::output::{Output, print, print_json};
use crate::data_dir::DataDir;
use crate::http::ask_control;

/// Asks the running gateway.
pub(super) fn status(data_dir: &Path, output: Output) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let socket = DataDir::at(data_dir).control_socket();
    let status = runtime.block_on(ask_control(&socket, "/accel"))?;
    match output {
        Output::Json => print_json(&status),
        Output::Human => print(&format!("{status:#}\n")),
    }
}
