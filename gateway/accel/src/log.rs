//! Log lines of the eBPF programs, as events of `tracing`.

use std::io;

use aya::Ebpf;
use aya_log::EbpfLogger;
use tracing::level_filters::LevelFilter;
use tracing_log::LogTracer;

use super::reader::Reader;

/// The program's log level: statements beyond it cost nothing, for the verifier removes them.
pub(super) fn level() -> u8 {
    match LevelFilter::current().into_level() {
        None => 0,
        Some(tracing::Level::ERROR) => 1,
        Some(tracing::Level::WARN) => 2,
        Some(tracing::Level::INFO) => 3,
        Some(tracing::Level::DEBUG) => 4,
        Some(tracing::Level::TRACE) => 5,
    }
}

/// Hands the programs' log lines to `tracing`. Takes the log map out of `bpf`.
pub(super) fn read(bpf: &mut Ebpf) -> io::Result<Reader> {
    // The tracer is given, not installed: `log` as a whole stays as the application set it up.
    let logger = EbpfLogger::init_with_logger(bpf, LogTracer::new()).map_err(io::Error::other)?;
    Reader::start("ebpf-log", logger, EbpfLogger::flush)
}
