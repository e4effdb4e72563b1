//! `cargo xtask run` and `cargo xtask bench`: build for release, then become the program.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::ebpf;
use crate::process::{self, cargo};
use crate::setup::{self, Purpose};

/// A release build on a small machine takes minutes; one that takes longer hangs.
const BUILD_MAX: Duration = Duration::from_secs(60 * 60);

/// The gateway's option for where its data lies.
const DATA_OPTION: &str = "--data-dir";

/// Starts a gateway with demo data.
pub(crate) fn demo(args: &[OsString]) -> Result<()> {
    prepare()?;
    let build = cargo(&["build", "--release", "-p", "waggle-gateway", "-p", "waggle-client"]);
    process::run(build, BUILD_MAX)?;

    let target = process::target_dir()?;
    let mut serve = Command::new(target.join("release/waggle"));
    serve.args(["serve", "--demo"]);
    if !names_data(args) {
        let data = target.join("demo-data");
        eprintln!("Demo data: {} (kept between runs; delete it to start afresh)", shortened(&data).display());
        serve.arg(DATA_OPTION).arg(data);
    }
    serve.args(args);
    become_program(serve)
}

/// Runs the bench.
pub(crate) fn bench(args: &[OsString]) -> Result<()> {
    prepare()?;
    let build = cargo(&["build", "--release", "-p", "waggle-gateway", "-p", "waggle-bench"]);
    process::run(build, BUILD_MAX)?;
    let mut bench = Command::new(process::target_dir()?.join("release/waggle-bench"));
    bench.args(args);
    become_program(bench)
}

/// Sets up and builds the eBPF objects, which the gateway embeds where they exist: their lack stops nothing.
fn prepare() -> Result<()> {
    setup::setup(Purpose::Run)?;
    if setup::has_ebpf_programs()
        && let Err(error) = setup::build_ebpf(ebpf::Purpose::Note)
    {
        eprintln!("\n*** WITHOUT eBPF: {error:#}");
        eprintln!(
            "*** Tickets are served all the same; lossy paths stay as slow as the kernel makes them.\n"
        );
    }
    Ok(())
}

/// Whether the caller chose the data's place.
fn names_data(args: &[OsString]) -> bool {
    args.iter().filter_map(|arg| arg.to_str()).any(|arg| arg.split('=').next() == Some(DATA_OPTION))
}

/// `path` as seen from where the caller stands, if it lies below.
fn shortened(path: &Path) -> &Path {
    std::env::current_dir().ok().and_then(|here| path.strip_prefix(here).ok()).unwrap_or(path)
}

/// Replaces this process, so that signals and the exit code are the program's own.
#[cfg(unix)]
fn become_program(mut command: Command) -> Result<()> {
    use std::os::unix::process::CommandExt;
    let program = command.get_program().to_owned();
    Err(command.exec()).with_context(|| cannot_start(&program))
}

/// Runs the program to its end, where a process cannot be replaced.
#[cfg(not(unix))]
fn become_program(mut command: Command) -> Result<()> {
    let program = command.get_program().to_owned();
    let status = command.status().with_context(|| cannot_start(&program))?;
    anyhow::ensure!(status.success(), "{} failed: {status}", program.to_string_lossy());
    Ok(())
}

fn cannot_start(program: &OsStr) -> String {
    format!("cannot start {}, which was just built", program.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_whether_the_caller_chose_the_data() {
        for (args, expected) in [
            (vec!["--data-dir", "x"], true),
            (vec!["--data-dir=x"], true),
            (vec!["--data-directory=x"], false),
            (vec![], false),
        ] {
            let args: Vec<OsString> = args.into_iter().map(OsString::from).collect();
            assert_eq!(names_data(&args), expected, "{args:?}");
        }
    }
}
