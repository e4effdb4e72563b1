//! The bench of Waggle: scenarios, open-loop load from one thread, histograms, results and plots.
//! How to run it and what is measured: `docs/BENCHMARKS.md`.

pub mod clock;
pub mod lane;
pub mod load;
pub mod measure;
pub mod pace;
pub mod poller;
pub mod process;
pub mod session;
pub mod stop;
pub mod stream;
pub mod target;
pub mod tickets;
pub mod wire;
