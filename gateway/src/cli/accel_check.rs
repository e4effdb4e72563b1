//! `waggle accel check`: what this host can do, without a gateway.

use std::path::PathBuf;

use clap::Args;

use super::OutputArg;
use super::accel::print_accel;
use crate::accel::{CheckConfig, check};
use crate::config::Config;

/// Arguments of `waggle accel check`.
#[derive(Args)]
pub(super) struct CheckArgs {
    /// The gateway's TOML file, for its cgroup, interfaces and place for pins.
    #[arg(long, value_name = "FILE", env = "WAGGLE_CONFIG")]
    config: Option<PathBuf>,
    /// Put the guard's program on this interface for a moment, with nothing to guard; may be given again.
    /// A driver may reset the interface's queues for it.
    #[arg(long, value_name = "NAME")]
    interface: Vec<String>,
    #[command(flatten)]
    output: OutputArg,
}

/// What the check found.
#[derive(Debug, thiserror::Error)]
#[error("{0} of acceleration's features stand below their best rung")]
pub(super) struct BelowBest(usize);

pub(super) fn run(args: CheckArgs) -> anyhow::Result<()> {
    let config = Config::load(args.config.as_deref(), &serde_json::json!({}))?.accel;
    let mut interfaces = config.guard.interfaces;
    for name in args.interface {
        if !interfaces.contains(&name) {
            interfaces.push(name);
        }
    }
    let report = check(&CheckConfig { cgroup: config.cgroup, interfaces, pin_dir: config.pin_dir });
    print_accel(&report, args.output.output)?;
    match report.features.iter().filter(|feature| !feature.is_best()).count() {
        0 => Ok(()),
        below => Err(BelowBest(below).into()),
    }
}
