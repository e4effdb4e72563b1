//! The bench of Waggle: scenarios, open-loop load from one thread, histograms, results and plots.
//! How to run it and what is measured: `docs/BENCHMARKS.md`.

#[cfg(target_os = "linux")]
pub mod accel;
pub mod cli;
pub mod clock;
pub mod desk;
pub mod facts;
pub mod fanout;
pub mod fetch;
pub mod fsync;
pub mod gateway;
#[cfg(target_os = "linux")]
pub mod lab;
pub mod lane;
pub mod learn;
pub mod load;
pub mod measure;
pub mod pace;
pub mod poller;
pub mod process;
pub mod report;
pub mod result;
pub mod scenario;
pub mod scrape;
pub mod seed;
pub mod session;
pub mod stop;
pub mod stream;
pub mod target;
pub mod tickets;
pub mod wire;
