//! What `wagglectl` does, one module a command.

mod already;
mod api;
pub(crate) mod args;
pub(crate) mod failure;
mod feed;
mod find;
mod learn;
mod learned;
mod live;
mod output;
mod render;
mod rows;
mod signal;
mod signal_lines;
pub(crate) mod speak;
mod state;
mod stop;
mod ticket;
mod watch;

use args::{Args, Task};
use failure::{Exit, Failure};

/// Carries out one command line.
pub(crate) async fn run(args: Args) -> Result<Exit, Failure> {
    match args.task {
        Task::Watch(watch) => watch::run(&args.global, &watch).await,
        Task::Ticket { task } => ticket::run(&args.global, task).await,
        Task::Search { words, limit } => find::search(&args.global, &words, limit).await,
        Task::View { task } => find::view(&args.global, task).await,
        Task::Suggest(suggest) => learn::suggest(&args.global, &suggest).await,
        Task::Learn { task } => learn::run(&args.global, task).await,
        Task::Feed(feed) => feed::run(&args.global, &feed).await,
        Task::Signal(signal) => signal::run(&args.global, &signal).await,
        Task::Presence => live::presence(&args.global).await,
        Task::Sessions { order, limit } => live::sessions(&args.global, order, limit).await,
        Task::Completion { shell } => {
            speak::print(&args::completion(shell))?;
            Ok(Exit::Ok)
        }
    }
}
