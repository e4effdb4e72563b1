//! What the ledger counts.

use std::sync::atomic::{AtomicU64, Ordering};

/// Upper bounds of the batch-size histogram, in commands; one more bucket takes the rest.
pub const BATCH_SIZE_BOUNDS: [u64; 10] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512];

/// Counters of the ledger. All grow only.
#[derive(Debug, Default)]
pub struct LedgerStats {
    /// Transactions committed.
    pub commits: AtomicU64,
    /// Transactions that failed.
    pub failed_commits: AtomicU64,
    /// Commands committed.
    pub commands: AtomicU64,
    /// Commands that admission refused.
    pub refused: AtomicU64,
    /// Commands answered with overload.
    pub overloaded: AtomicU64,
    /// Answers given again for a key that came before.
    pub replayed: AtomicU64,
    /// Time spent in commits, in microseconds.
    pub commit_us: AtomicU64,
    /// Commits by size; see [`BATCH_SIZE_BOUNDS`].
    pub batch_sizes: [AtomicU64; BATCH_SIZE_BOUNDS.len() + 1],
}

impl LedgerStats {
    pub(super) fn committed(&self, commands: usize, commit_us: u64) {
        let commands = u64::try_from(commands).unwrap_or(u64::MAX);
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.commands.fetch_add(commands, Ordering::Relaxed);
        self.commit_us.fetch_add(commit_us, Ordering::Relaxed);
        let bucket = BATCH_SIZE_BOUNDS.iter().position(|bound| commands <= *bound);
        if let Some(count) = self.batch_sizes.get(bucket.unwrap_or(BATCH_SIZE_BOUNDS.len())) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}
