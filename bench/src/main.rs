//! `waggle-bench`: runs the scenarios.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match waggle_bench::cli::run(waggle_bench::cli::Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("waggle-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
