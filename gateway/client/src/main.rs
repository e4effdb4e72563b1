//! `wagglectl`: watches tickets, works on them, and feeds them in.
//!
//! It only carries arguments to the modules of `ctl`, and failures to exit codes.

mod ctl;

use clap::Parser;

fn main() {
    let args = ctl::args::Args::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            ctl::speak::notice(format_args!("error: cannot start: {error}"));
            std::process::exit(ctl::failure::Exit::Failure.code());
        }
    };
    let code = match runtime.block_on(ctl::run(args)) {
        Ok(exit) => exit.code(),
        Err(failure) => {
            ctl::speak::notice(format_args!("error: {failure}"));
            failure.exit.code()
        }
    };
    // Not by return: a write into a pipe that nobody reads would be waited for.
    std::process::exit(code);
}
