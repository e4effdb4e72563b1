//! `waggle accel detach`: takes away what gateways have left in the kernel.

use std::path::PathBuf;

use clap::Args;

use super::OutputArg;
use super::accel::print_accel;
use crate::accel::{Living, PIN_DIR_DEFAULT, detach};
use crate::config::Config;

/// Arguments of `waggle accel detach`.
#[derive(Args)]
pub(super) struct DetachArgs {
    /// The gateway's TOML file, for its place for pins.
    #[arg(long, value_name = "FILE", env = "WAGGLE_CONFIG")]
    config: Option<PathBuf>,
    /// Where gateways have pinned; goes before the file's accel.pin_dir.
    #[arg(long, value_name = "PATH")]
    pin_dir: Option<PathBuf>,
    /// Look for cgroups of killed gateways below this one only, instead of everywhere.
    #[arg(long, value_name = "PATH")]
    cgroup: Option<PathBuf>,
    /// Take it from running gateways, too. They go on without.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    output: OutputArg,
}

/// Something was not taken away.
#[derive(Debug, thiserror::Error)]
#[error("{0} places are left as they are")]
pub(super) struct NotDetached(usize);

pub(super) fn run(args: DetachArgs) -> anyhow::Result<()> {
    let config = Config::load(args.config.as_deref(), &serde_json::json!({}))?.accel;
    let pin_dir = args.pin_dir.or(config.pin_dir).unwrap_or_else(|| PathBuf::from(PIN_DIR_DEFAULT));
    let living = if args.force { Living::Detached } else { Living::Spared };
    let report = detach(&pin_dir, args.cgroup.as_deref(), living);
    print_accel(&report, args.output.output)?;
    match report.left.len() {
        0 => Ok(()),
        left => Err(NotDetached(left).into()),
    }
}
