//! A network namespace without a name.
#![allow(unsafe_code, reason = "unshare(2) has no safe wrapper")]

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};

/// Lives as long as this value, or a socket or process in it.
#[derive(Debug)]
pub struct Namespace(File);

impl Namespace {
    /// Makes an empty one.
    ///
    /// # Errors
    /// Where the process may not.
    pub fn new() -> Result<Self> {
        let made = thread::spawn(|| -> Result<File> {
            // SAFETY: only the network namespace is unshared, and only this thread's; the flag that is
            // unsafe is the one for descriptors.
            unsafe { unshare_unsafe(UnshareFlags::NEWNET) }
                .context("cannot make a network namespace: this needs root")?;
            Ok(File::open("/proc/thread-self/ns/net")?)
        });
        made.join().map_err(|_| anyhow!("the thread that makes a namespace panicked"))?.map(Self)
    }

    /// Where `ip` finds it, as long as this process lives.
    pub(super) fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }

    /// Moves the calling thread into it.
    ///
    /// # Errors
    /// Where the process may not.
    pub fn enter(&self) -> Result<()> {
        move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network))
            .context("cannot enter a network namespace")
    }

    /// Runs `act` on a thread of its own in it; sockets and processes stay where they were made.
    ///
    /// # Errors
    /// `act`'s.
    pub fn within<T: Send>(&self, act: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                self.enter()?;
                act()
            });
            inside.join().unwrap_or_else(|_| Err(anyhow!("the thread inside the namespace panicked")))
        })
    }
}

/// Runs `ip` in the calling thread's namespace.
pub(super) fn ip(arguments: &str) -> Result<()> {
    let output =
        Command::new("ip").args(arguments.split(' ')).output().context("cannot run ip (iproute2)")?;
    ensure!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
