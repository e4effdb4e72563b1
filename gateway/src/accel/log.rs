//! Log lines of the eBPF programs, as events of `tracing`.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use aya::Ebpf;
use aya_log::EbpfLogger;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::io::{Errno, write};
use tracing::level_filters::LevelFilter;
use tracing::warn;
use tracing_log::LogTracer;

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

/// A thread that hands the programs' log lines to `tracing` until it is dropped.
///
/// A thread, not a task: the accelerator starts before any runtime, and the shards' runtimes are for
/// sockets.
#[derive(Debug)]
pub(super) struct LogReader {
    stop: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl LogReader {
    /// Starts reading. Takes the log map out of `bpf`.
    pub(super) fn start(bpf: &mut Ebpf) -> io::Result<Self> {
        // The tracer is given, not installed: `log` as a whole stays as the application set it up.
        let logger = EbpfLogger::init_with_logger(bpf, LogTracer::new()).map_err(io::Error::other)?;
        let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let stopped = Arc::clone(&stop);
        let thread =
            thread::Builder::new().name("ebpf-log".to_owned()).spawn(move || read(logger, &stopped))?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for LogReader {
    fn drop(&mut self) {
        if let Err(error) = write(&self.stop, &1_u64.to_ne_bytes()) {
            warn!(%error, "cannot stop the reader of eBPF logs");
            return;
        }
        if let Some(thread) = self.thread.take() {
            // It has no result; a panic in it has been reported already.
            let _ = thread.join();
        }
    }
}

fn read(mut logger: EbpfLogger<LogTracer>, stopped: &OwnedFd) {
    loop {
        let mut fds =
            [PollFd::from_borrowed_fd(logger.as_fd(), PollFlags::IN), PollFd::new(stopped, PollFlags::IN)];
        let waited = poll(&mut fds, None);
        let stop = !fds[1].revents().is_empty();
        logger.flush();
        match waited {
            Ok(_) if !stop => {}
            Err(Errno::INTR) => {}
            Ok(_) => return,
            Err(error) => {
                warn!(%error, "eBPF logs are no longer read");
                return;
            }
        }
    }
}
