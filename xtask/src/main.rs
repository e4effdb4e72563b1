//! Build and test workflow of Waggle: `cargo xtask <command>`.

mod ebpf;
mod toolchain;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use xshell::Shell;

#[derive(Parser)]
#[command(about = "Build and test workflow of Waggle")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Find the eBPF toolchain, or install it where that is possible
    Setup,
    /// Build the eBPF objects, and print their programs and sizes
    Ebpf,
}

fn main() -> Result<()> {
    let sh = Shell::new()?;
    match Arguments::parse().command {
        Command::Setup => match toolchain::install(&sh) {
            Ok(found) => println!("eBPF toolchain: {found}"),
            Err(error) => {
                // The gateway serves without eBPF, so set-up goes on.
                println!("{error:#}\nThe gateway builds and serves without it.");
            }
        },
        Command::Ebpf => {
            let found = toolchain::find(&sh).with_context(|| {
                let commands = toolchain::install_commands(&sh).join("\n  ");
                format!("to install an eBPF toolchain, run `cargo xtask setup` or:\n  {commands}\n")
            })?;
            println!("eBPF toolchain: {found}");
            for object in ebpf::build(&sh, &found)? {
                println!("{object}");
            }
        }
    }
    Ok(())
}
