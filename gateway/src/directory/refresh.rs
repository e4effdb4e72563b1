//! Keeps the directory as storage has it, which other processes change too.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::Directory;
use crate::store::Store;

/// Asks storage for its revision `every` so often, until `stop` changes or its sender is gone. What
/// `waggle admin` changes takes effect within that time.
pub async fn keep_fresh(
    directory: Directory,
    store: Arc<dyn Store>,
    every: Duration,
    mut stop: watch::Receiver<bool>,
) {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        tokio::select! {
            _ = stop.changed() => return,
            _ = ticks.tick() => {}
        }
        match directory.refresh(store.as_ref()).await {
            Ok(_) if failing => {
                failing = false;
                tracing::info!("the directory can be read again");
            }
            Ok(true) => tracing::info!("the directory has changed"),
            Ok(false) => {}
            // Once, not every second; what is known stays in force meanwhile.
            Err(error) if !failing => {
                failing = true;
                tracing::warn!(%error, "the directory cannot be read; it stays as it was");
            }
            Err(_) => {}
        }
    }
}
