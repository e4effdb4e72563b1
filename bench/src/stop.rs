//! Ctrl-C and SIGTERM: the run ends as on an error, so that what was started is stopped.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{SignalKind, signal};

static STOPPED: AtomicBool = AtomicBool::new(false);

/// The bench was told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("interrupted by a signal")]
pub struct Interrupted;

/// Begins to listen for signals, in a thread of its own that sleeps until one comes.
///
/// # Errors
/// As the kernel tells them.
pub fn listen() -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        runtime.block_on(async {
            let (Ok(mut interrupt), Ok(mut terminate)) =
                (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
            else {
                return;
            };
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            STOPPED.store(true, Ordering::Relaxed);
        });
    })?;
    Ok(())
}

/// Whether to go on.
///
/// # Errors
/// After a signal.
pub fn check() -> Result<(), Interrupted> {
    if STOPPED.load(Ordering::Relaxed) { Err(Interrupted) } else { Ok(()) }
}
