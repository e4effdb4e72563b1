//! `cargo xtask`: everything that is done to this repository besides writing it.

mod ebpf;
mod fuzz;
mod kernels;
mod process;
mod report;
mod run;
mod setup;
mod skips;
mod test;
mod tidy;
mod toolchain;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(bin_name = "cargo xtask", about = "Sets up, builds, runs, tests and measures Waggle", version)]
struct Cli {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Find what building and testing need, and install what is missing (or say how)
    Setup,
    /// Build the eBPF objects; print their programs and sizes, and compare them with the record
    Ebpf {
        /// Write the record gateway-ebpf/objects.txt anew
        #[arg(long)]
        update: bool,
        /// Build from another folder as well, and compare the bytes
        #[arg(long, conflicts_with = "update")]
        twice: bool,
    },
    /// Set up, build and start a gateway with demo data
    Run {
        /// Further arguments of `waggle serve`
        #[arg(last = true)]
        args: Vec<OsString>,
    },
    /// Set up and run every check: format, lints, tidy, eBPF, tests, loom
    Test {
        /// Also run the crash and simulation tests in the release profile
        #[arg(long)]
        release: bool,
    },
    /// Build gateway and bench for release, and run the bench
    Bench {
        /// Arguments of `waggle-bench`
        #[arg(last = true)]
        args: Vec<OsString>,
    },
    /// Feed parsers, the push port and the client with mutated input, for longer than the tests do
    Fuzz {
        /// One of the tests in gateway/tests/fuzz [default: all of them]
        target: Option<String>,
        /// For each target
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
        seconds: u64,
        /// Repeats a run [default: drawn from the clock, and printed]
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Boot Debian's kernels in QEMU, and compare what of the acceleration works there with docs/KERNELS.md
    Kernels {
        /// Write docs/KERNELS.md anew
        #[arg(long)]
        update: bool,
        /// Try the gateway as tests have it, which is built sooner
        #[arg(long)]
        dev: bool,
    },
    /// Check the repository's own rules: dependencies, purity, sizes, names, texts
    Tidy,
}

fn main() -> ExitCode {
    match dispatch(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(task: Task) -> Result<()> {
    match task {
        Task::Setup => setup::setup(setup::Purpose::Test).map(|_| ()),
        Task::Ebpf { twice: true, .. } => setup::check_reproducible_ebpf(),
        Task::Ebpf { update, .. } => {
            setup::build_ebpf(if update { ebpf::Purpose::Record } else { ebpf::Purpose::Note })
        }
        Task::Run { args } => run::demo(&args),
        Task::Test { release } => {
            test::test(if release { test::Extent::WithRelease } else { test::Extent::Plain })
        }
        Task::Bench { args } => run::bench(&args),
        Task::Fuzz { target, seconds, seed } => fuzz::run(target.as_deref(), seconds, seed),
        Task::Kernels { update, dev } => kernels::kernels(
            if dev { kernels::Profile::Dev } else { kernels::Profile::Release },
            if update { kernels::Page::Update } else { kernels::Page::Compare },
        ),
        Task::Tidy => tidy_or_fail(),
    }
}

/// Prints every violation, and fails if there is one.
fn tidy_or_fail() -> Result<()> {
    let violations = tidy::check(&root())?;
    for violation in &violations {
        println!("{violation}");
    }
    if !violations.is_empty() {
        bail!("{} places break the repository's rules; xtask/src/tidy.rs holds them", violations.len());
    }
    println!("tidy: no violations");
    Ok(())
}

/// The repository's root.
fn root() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&package).parent().map(Path::to_owned).unwrap_or_default()
}
