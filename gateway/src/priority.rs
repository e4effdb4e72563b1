//! Work that may wait.

/// How much it gives way: a thread at 10 gets a tenth of what one at 0 gets where both want a processor
/// (`sched_prio_to_weight` of Linux).
const NICENESS: i32 = 10;

/// How urgent a thread's work is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Priority {
    /// As urgent as all.
    Normal,
    /// It may come later.
    Background,
}

/// Lets this thread, and those that it starts from then on, give way to all others. Where that is refused it stays as
/// it is.
pub(crate) fn background_priority() {
    // On Linux this is the thread's own.
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::debug!(%error, "background work runs at normal priority");
    }
}
