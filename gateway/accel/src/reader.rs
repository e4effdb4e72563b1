//! A thread that takes what the eBPF programs leave in a buffer.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::io::{Errno, write};
use tracing::warn;

/// Takes until it is dropped.
///
/// A thread, not a task: the accelerator starts before any runtime, and the shards' runtimes are for
/// sockets.
#[derive(Debug)]
pub(super) struct Reader {
    stop: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Reader {
    /// Calls `take` whenever `source` has something, and once at the end.
    pub(super) fn start<S: AsFd + Send + 'static>(
        name: &str,
        mut source: S,
        mut take: impl FnMut(&mut S) + Send + 'static,
    ) -> io::Result<Self> {
        let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let stopped = Arc::clone(&stop);
        let read = move || {
            loop {
                let stop = wait(&source, &stopped);
                take(&mut source);
                if stop {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name(name.to_owned()).spawn(read)?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

/// Waits for either; true when it is time to stop.
fn wait(source: &impl AsFd, stopped: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(source, PollFlags::IN), PollFd::new(stopped, PollFlags::IN)];
    match poll(&mut fds, None) {
        Ok(_) => !fds[1].revents().is_empty(),
        Err(Errno::INTR) => false,
        Err(error) => {
            warn!(%error, "a buffer of the eBPF programs is no longer read");
            true
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Err(error) = write(&self.stop, &1_u64.to_ne_bytes()) {
            warn!(%error, "cannot stop a reader of the eBPF programs");
            return;
        }
        if let Some(thread) = self.thread.take() {
            // It has no result; a panic in it has been reported already.
            let _ = thread.join();
        }
    }
}
