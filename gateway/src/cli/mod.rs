//! The command line of `waggle`.

mod accel;
mod accel_check;
mod accel_detach;
mod admin;
mod agent;
mod attachment;
mod audit;
mod demo;
mod epoch;
mod exit;
mod field;
mod input;
mod learn;
mod lifecycle;
mod output;
mod people;
mod queue;
mod requester;
mod serve;
mod token;
mod view;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use output::{Output, print_json};

pub use exit::Exit;

/// Self-hosted tickets, pushed to agents at once.
#[derive(Parser)]
#[command(name = "waggle", version, after_help = exit::HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a gateway.
    Serve(Box<serve::ServeArgs>),
    /// Tenants, their people and settings, directly in the database of a gateway that runs or has run.
    Admin(admin::AdminArgs),
    /// Acceleration by eBPF.
    #[command(subcommand)]
    Accel(accel::AccelCommand),
    /// Print the reference of all configuration keys.
    Config {
        #[command(flatten)]
        output: OutputArg,
    },
    /// Print a completion script for a shell.
    Completion {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

#[derive(clap::Args)]
struct DataDirArg {
    /// The gateway's data directory.
    #[arg(long, value_name = "DIR", env = "WAGGLE_DATA_DIR", default_value = "waggle-data", global = true)]
    data_dir: PathBuf,
}

#[derive(clap::Args)]
struct OutputArg {
    /// For people, or for programs.
    #[arg(long, value_enum, default_value_t, global = true)]
    output: Output,
}

/// Runs the command line to its end.
pub fn run() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Serve(args) => serve::run(*args),
        Command::Admin(args) => admin::run(args),
        Command::Accel(command) => accel::run(command),
        Command::Config { output } => print_reference(output.output),
        Command::Completion { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "waggle", &mut std::io::stdout());
            Ok(())
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::report(&error),
    }
}

fn print_reference(output: Output) -> anyhow::Result<()> {
    match output {
        Output::Human => output::print(&crate::config::reference()),
        Output::Json => print_json(&crate::config::reference_json()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
